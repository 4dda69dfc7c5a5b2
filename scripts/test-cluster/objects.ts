import { PROOF_MARK, VELERO } from '../../lib/backup/objects.ts'
import { appChainOf, concernsApp } from '../../lib/diagnosis/app-chain.ts'
import { concernsHost } from '../../lib/diagnosis/certificates/scope.ts'
import { type Diagnosis, diagnose } from '../../lib/diagnosis/diagnose.ts'
import { type RootCause, remedyText } from '../../lib/diagnosis/finding.ts'
import { keyOf } from '../../lib/diagnosis/graph.ts'
import type { Ignored } from '../../lib/diagnosis/ignore.ts'
import { PROOF_LASTS } from '../../lib/diagnosis/rules/backups.ts'
import { RULES } from '../../lib/diagnosis/rules/index.ts'
import { Index, type Snapshot } from '../../lib/diagnosis/snapshot.ts'
import { type StatusItem, statusOf } from '../../lib/diagnosis/status.ts'
import { type KubeObject, refText } from '../../lib/kubectl/kubectl.ts'
import { durationText } from '../../lib/script/duration.ts'
import { failedCheck, passedCheck, skippedCheck, type TestCheck, type TestSection } from './checks.ts'

/** What the cluster itself says: its objects, and what the diagnosis makes of them. */
export interface Judged extends Pick<Diagnosis, 'causes' | 'ignored'> {
  index: Index
}

/**
 * Judges a snapshot as `diagnose` does; with `app` only what this application depends on. Throws as `logs` does for an
 * application that is not installed. Pure.
 */
export function judgeObjects(
  snapshot: Snapshot,
  { app, ignored: known = [] }: { app?: string; ignored?: readonly Ignored[] } = {},
): Judged {
  const index = new Index(snapshot)
  const chain = app === undefined ? undefined : appChainOf(app, index)
  const { causes, ignored } = diagnose(snapshot, RULES, {
    index,
    ignored: known,
    only: cause => chain === undefined || concernsApp(cause, chain),
  })
  return { index, causes, ignored }
}

const BACKUP = /^(Backup|Schedule|BackupStorageLocation|BackupRepository|PodVolumeBackup)$/

/** The part that a cause belongs to. Pure. */
function sectionOf(cause: RootCause, index: Index): TestSection {
  const { kind, namespace } = cause.subject
  if (BACKUP.test(kind) || namespace === 'velero') return 'backup'
  if (kind === 'Node') return 'host'
  if (kind === 'OAuth2Client') return 'login'
  return concernsHost(cause, undefined, index) ? 'certs' : 'app'
}

/** A cause as a check that failed. Pure. */
function ofCause(section: TestSection, cause: RootCause, name = refText(cause.subject)): TestCheck {
  const explains = cause.explains.map(({ subject }) => refText(subject))
  return failedCheck(section, name, cause.cause, remedyText(cause.remedy), [
    ...cause.evidence,
    ...(explains.length > 0 ? [`explains ${[...new Set(explains)].slice(0, 6).join(', ')}`] : []),
  ])
}

const keyOfItem = ({ kind, namespace, name }: StatusItem) =>
  keyOf({ apiVersion: '', kind, namespace: namespace || undefined, name })

/** Whether objects are those of an application. */
function belongs(app: string | undefined, index: Index): (item: StatusItem) => boolean {
  if (app === undefined) return () => true
  const keys = new Set(appChainOf(app, index).refs.map(keyOf))
  return item => keys.has(keyOfItem(item))
}

/**
 * A check for each source, Kustomization, release, workload and volume, and one for each cause that is about none of
 * them. What only follows from a cause elsewhere is skipped and names it: it fails nothing of its own. Pure.
 */
export function objectChecks(judged: Judged, app?: string): TestCheck[] {
  const { index, causes } = judged
  const items = statusOf(index, judged)
    .filter(({ title }) => title !== 'Certificates' && title !== 'Nodes')
    .flatMap(section => section.items)
    .filter(({ namespace }) => namespace !== 'velero')
    .filter(belongs(app, index))
  const ours = causes.filter(cause => sectionOf(cause, index) === 'app')
  const told = new Set<RootCause>()
  const checks = items.map((item): TestCheck => {
    const name = `${item.kind} ${item.namespace ? `${item.namespace}/` : ''}${item.name}`
    const key = keyOfItem(item)
    const own = ours.find(cause => keyOf(cause.subject) === key)
    if (own) {
      told.add(own)
      return ofCause('app', own, name)
    }
    if (item.ready) return passedCheck('app', name, item.detail)
    const deeper = causes.find(cause => cause.explains.some(({ subject }) => keyOf(subject) === key))
    if (deeper) return skippedCheck('app', name, `follows from ${refText(deeper.subject)}`)
    if (item.ignored) return skippedCheck('app', name, `ignored ${item.ignored}`)
    return item.cause
      ? skippedCheck('app', name, `follows from ${item.cause}`)
      : failedCheck('app', name, `is not ready: ${item.detail}`, 'run npx tsx scripts/diagnose.ts')
  })
  return [...checks, ...ours.filter(cause => !told.has(cause)).map(cause => ofCause('app', cause))]
}

/** The nodes, as the API server knows them. Pure. */
export function nodeChecks({ index, causes }: Judged): TestCheck[] {
  const ours = causes.filter(cause => sectionOf(cause, index) === 'host')
  const healthy = index
    .all('Node')
    .filter(({ metadata }) => !ours.some(({ subject }) => subject.name === metadata.name))
  return [
    ...healthy.map(({ metadata, status }) =>
      passedCheck('host', `Node ${metadata.name}`, status?.nodeInfo?.kubeletVersion),
    ),
    ...ours.map(cause => ofCause('host', cause)),
  ]
}

/** The clients of single sign-on, as their operator has registered them. Pure. */
export function clientChecks({ index, causes }: Judged): TestCheck[] {
  return causes.filter(cause => sectionOf(cause, index) === 'login').map(cause => ofCause('login', cause))
}

/** How old the newest backup is of which every volume was proved. Pure. */
function proofCheck({ index, causes }: Judged): TestCheck {
  const name = 'last proved backup'
  const isMark = ({ subject }: Pick<RootCause, 'subject'>) => subject.name === PROOF_MARK
  const own = causes.find(isMark)
  if (own) return ofCause('backup', own, name)
  const deeper = causes.find(({ explains }) => explains.some(isMark))
  if (deeper) return skippedCheck('backup', name, `follows from ${refText(deeper.subject)}`)
  const ageOf = ({ metadata }: KubeObject) =>
    Math.max(0, index.now - (Date.parse(metadata.creationTimestamp ?? '') || index.now))
  const mark = index.get('ConfigMap', VELERO, PROOF_MARK)
  if (mark) return passedCheck('backup', name, `${durationText(ageOf(mark))} old`)
  const fix = 'run npx tsx scripts/backup.ts --verify latest'
  return Math.max(...index.all('Schedule').map(ageOf)) > PROOF_LASTS
    ? failedCheck('backup', name, 'no backup was ever proved', fix)
    : skippedCheck('backup', name, `none yet: ${fix}`)
}

/** The backups: their schedules and places, how old the newest complete one is, and the last that was proved. Pure. */
export function backupTests(judged: Judged): TestCheck[] {
  const { index, causes } = judged
  const schedules = index.all('Schedule')
  if (schedules.length === 0)
    return [skippedCheck('backup', 'backups', 'no schedule: run npx tsx scripts/install-app.ts velero')]
  const ours = causes.filter(cause => sectionOf(cause, index) === 'backup')
  const about = (name: string) => ours.some(({ subject }) => subject.name === name)
  const done = index
    .all('Backup')
    .filter(({ status }) => status?.phase === 'Completed')
    .map(({ status }) => Date.parse(status?.completionTimestamp ?? '') || 0)
  const newest = Math.max(0, ...done)
  const note = newest > 0 ? `newest complete backup: ${durationText(index.now - newest)} old` : 'none yet'
  return [
    ...schedules
      .filter(({ metadata }) => !about(metadata.name))
      .map(({ metadata }) => passedCheck('backup', `Schedule ${metadata.namespace}/${metadata.name}`, note)),
    ...index
      .all('BackupStorageLocation')
      .filter(({ metadata }) => !about(metadata.name))
      .map(({ metadata }) =>
        passedCheck('backup', `BackupStorageLocation ${metadata.namespace}/${metadata.name}`),
      ),
    proofCheck(judged),
    ...ours.filter(({ subject }) => subject.name !== PROOF_MARK).map(cause => ofCause('backup', cause)),
  ]
}

/**
 * The checks of hosts with what the diagnosis knows of them: a host whose check failed is told with the cause, and
 * causes of no tested host come behind. Pure.
 */
export function explainHosts(
  checks: readonly TestCheck[],
  { index, causes }: Judged,
  app?: string,
): TestCheck[] {
  const ours = causes.filter(cause => sectionOf(cause, index) === 'certs')
  const told = new Set<RootCause>()
  const explained = checks.map(each => {
    const host = each.name.split(': ')[0]!
    const concerning = ours.filter(cause => concernsHost(cause, host, index))
    for (const cause of concerning) if (each.state === 'failed') told.add(cause)
    const [cause] = concerning
    if (!cause || each.state !== 'failed' || !each.name.endsWith(': certificate')) return each
    const { problem } = ofCause('certs', cause)
    return { ...each, problem: { ...problem!, what: `${each.problem!.what}: ${problem!.what}` } }
  })
  const left = app === undefined ? ours.filter(cause => !told.has(cause)) : []
  return [...explained, ...left.map(cause => ofCause('certs', cause))]
}
