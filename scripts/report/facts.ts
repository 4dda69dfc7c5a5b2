import { DRILL_MARK, PROOF_MARK, VELERO } from '../../lib/backup/objects.ts'
import type { Diagnosis } from '../../lib/diagnosis/diagnose.ts'
import type { Finding } from '../../lib/diagnosis/finding.ts'
import { keyOf } from '../../lib/diagnosis/graph.ts'
import type { Index } from '../../lib/diagnosis/snapshot.ts'
import { isNotReady, statusOf } from '../../lib/diagnosis/status.ts'
import { condition } from '../../lib/flux/flux.ts'
import { type KubeObject, refOf, refText } from '../../lib/kubectl/kubectl.ts'
import { type JournalEntry, outcomeText } from '../../lib/script/journal.ts'

type Verdict = Finding['verdict']

/** Everything that a report tells, and what a later one is compared with. Holds no secret. */
export interface Report {
  version: 1
  cluster: string
  /** ISO 8601. */
  madeAt: string
  kubernetes?: string
  /** `ignored`: how many are not ready by findings that are ignored. */
  ready: { title: string; ready: number; all: number; ignored?: number }[]
  causes: {
    subject: string
    verdict: Verdict
    cause: string
    seen: string[]
    fix: string
    command?: string
  }[]
  /** Findings that the administrator ignores, for how long, and why. */
  ignored?: { subject: string; cause: string; until: string; reason: string }[]
  /** `verdict`: the worst of the causes about it. */
  certificates: {
    name: string
    hosts: string[]
    issuer: string
    notAfter?: string
    ready: boolean
    verdict?: Verdict
  }[]
  volumes: { name: string; size: string; used?: number; capacity?: number; growth?: number }[]
  releases: { name: string; chart: string; wanted: string; installed: string }[]
  /** `proved` and `drilled`: the times of the newest proof of a backup and of the newest drill of everything. */
  backups: {
    schedules: number
    newest?: string
    complete: number
    failed: number
    proved?: string
    drilled?: string
    /** The worst of the causes about backups, schedules and their storage. */
    verdict?: Verdict
  }
  /** Restores that were tried, the newest first: milliseconds that one took, and the age that its data had. */
  drills: { at: string; backup: string; rto: number; rpo: number; apps: string[] }[]
  users?: { all: number; active: number; admins: number; grants: Record<string, number> }
  runs: { script: string; startedAt: string; outcome: string; good: boolean }[]
  /** How much of the cluster could not be read: what is broken there is not known. */
  unread: number
  /** What could not be read, there and elsewhere. */
  gaps: { what: string; why: string }[]
}

/** What Prometheus knows of a volume, by `namespace/name`: bytes, and bytes a day over the last week. */
export interface VolumeUse {
  used?: number
  capacity?: number
  growth?: number
}

/** The report of what was read. Pure. */
export function reportOf(read: {
  cluster: string
  index: Index
  diagnosis: Diagnosis
  volumes: ReadonlyMap<string, VolumeUse>
  users: Report['users']
  drills: Report['drills']
  runs: readonly JournalEntry[]
  gaps: Report['gaps']
}): Report {
  const { index, diagnosis } = read
  const { snapshot } = index
  const sections = statusOf(index, diagnosis)
  const worst = (objects: readonly KubeObject[]): Verdict | undefined => {
    const keys = new Set(objects.map(object => keyOf(refOf(object))))
    const about = diagnosis.causes.filter(cause =>
      [cause, ...cause.explains].some(({ subject }) => keys.has(keyOf(subject))),
    )
    return about.find(({ verdict }) => verdict === 'broken')?.verdict ?? about[0]?.verdict
  }
  const name = ({ namespace, name }: { namespace?: string; name: string }) =>
    namespace ? `${namespace}/${name}` : name
  const backups = index.all('Backup')
  const phase = (text: string) => backups.filter(({ status }) => status?.phase === text)
  const marked = (name: string) => {
    const at = index.get('ConfigMap', VELERO, name)?.metadata.creationTimestamp
    return at === undefined ? undefined : String(at)
  }
  const newest = phase('Completed')
    .map(({ status }) => String(status?.completionTimestamp ?? ''))
    .sort()
    .at(-1)
  return {
    version: 1,
    cluster: read.cluster,
    madeAt: snapshot.takenAt,
    kubernetes: snapshot.kubernetes,
    ready: sections
      .filter(({ items }) => items.length > 0)
      .map(({ title, items }) => ({
        title,
        ready: items.filter(({ ready }) => ready).length,
        all: items.length,
        ignored: items.filter(item => !item.ready && !isNotReady(item)).length || undefined,
      })),
    causes: diagnosis.causes.map(({ subject, verdict, cause, evidence, remedy }) => ({
      subject: refText(subject),
      verdict,
      cause,
      seen: [...evidence],
      fix: remedy.text,
      command: remedy.command,
    })),
    ignored: diagnosis.ignored.map(({ finding, by: { until, reason } }) => ({
      subject: refText(finding.subject),
      cause: finding.cause,
      until,
      reason,
    })),
    certificates: index
      .all('Certificate')
      .map(certificate => ({
        name: name(certificate.metadata),
        hosts: ((certificate.spec?.dnsNames ?? []) as unknown[]).map(String),
        issuer: String(certificate.spec?.issuerRef?.name ?? ''),
        notAfter:
          certificate.status?.notAfter === undefined ? undefined : String(certificate.status.notAfter),
        ready: condition(certificate, 'Ready')?.status === 'True',
        verdict: worst([certificate]),
      }))
      .sort((a, b) => (a.notAfter ?? '').localeCompare(b.notAfter ?? '') || a.name.localeCompare(b.name)),
    volumes: sections
      .filter(({ title }) => title === 'Volumes')
      .flatMap(({ items }) => items)
      .map(item => ({
        name: name(item),
        size: item.detail.split(' ')[0] ?? '',
        ...read.volumes.get(name(item)),
      })),
    releases: index
      .all('HelmRelease')
      .map(({ metadata, spec, status }) => ({
        name: name(metadata),
        chart: String(spec?.chart?.spec?.chart ?? ''),
        wanted: String(spec?.chart?.spec?.version ?? ''),
        installed: String((status?.history as { chartVersion?: string }[])?.[0]?.chartVersion ?? ''),
      }))
      .sort((a, b) => a.name.localeCompare(b.name)),
    backups: {
      schedules: index.all('Schedule').length,
      newest,
      complete: phase('Completed').length,
      failed: backups.filter(({ status }) => /Failed/.test(status?.phase ?? '')).length,
      proved: marked(PROOF_MARK),
      drilled: marked(DRILL_MARK),
      verdict: worst(['Schedule', 'Backup', 'BackupStorageLocation'].flatMap(kind => index.all(kind))),
    },
    drills: read.drills,
    users: read.users,
    runs: read.runs.map(run => ({
      script: run.script,
      startedAt: run.startedAt,
      outcome: outcomeText(run),
      good: run.exitCode === 0,
    })),
    unread: diagnosis.gaps.length,
    gaps: [...diagnosis.gaps, ...read.gaps],
  }
}

/** What has changed from one report to a later one, in lines. Pure. */
export function changesSince(before: Report, now: Report): string[] {
  const lines: string[] = []
  const told = ({ subject, cause }: Report['causes'][number]) => `${subject}: ${cause}`
  const old = new Set(before.causes.map(told))
  const current = new Set(now.causes.map(told))
  for (const cause of now.causes) if (!old.has(told(cause))) lines.push(`new: ${told(cause)}`)
  for (const cause of before.causes) if (!current.has(told(cause))) lines.push(`gone: ${told(cause)}`)
  const byName = <T extends { name: string }>(items: readonly T[]) =>
    new Map(items.map(item => [item.name, item]))
  const releases = byName(before.releases)
  for (const { name, installed } of now.releases) {
    const was = releases.get(name)
    if (!was) lines.push(`release ${name} is new: ${installed || 'not installed yet'}`)
    else if (was.installed !== installed) lines.push(`release ${name}: ${was.installed} → ${installed}`)
  }
  for (const { name } of before.releases)
    if (!now.releases.some(each => each.name === name)) lines.push(`release ${name} is gone`)
  const certificates = byName(before.certificates)
  for (const { name, notAfter } of now.certificates) {
    const was = certificates.get(name)
    if (was && was.notAfter !== notAfter)
      lines.push(`certificate ${name} was renewed: until ${(notAfter ?? 'unknown').slice(0, 10)}`)
  }
  const volumes = byName(before.volumes)
  for (const { name, used } of now.volumes) {
    const was = volumes.get(name)?.used
    if (was !== undefined && used !== undefined && Math.abs(used - was) > 1e6)
      lines.push(`volume ${name}: ${used > was ? '+' : '-'}${Math.round(Math.abs(used - was) / 1e6)} MB`)
  }
  if (before.backups.drilled !== now.backups.drilled && now.backups.drilled)
    lines.push(`a restore was tried: ${now.backups.drilled.slice(0, 10)}`)
  if (before.users && now.users && before.users.all !== now.users.all)
    lines.push(`users: ${before.users.all} → ${now.users.all}`)
  if (before.kubernetes !== now.kubernetes)
    lines.push(`Kubernetes: ${before.kubernetes ?? 'unknown'} → ${now.kubernetes ?? 'unknown'}`)
  return lines
}
