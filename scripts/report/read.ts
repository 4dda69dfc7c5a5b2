import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { diagnose } from '../../lib/diagnosis/diagnose.ts'
import { gather } from '../../lib/diagnosis/gather.ts'
import { readKnown } from '../../lib/diagnosis/known.ts'
import { RULES } from '../../lib/diagnosis/rules/index.ts'
import { Index } from '../../lib/diagnosis/snapshot.ts'
import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { PROMETHEUS } from '../../lib/platform/prometheus.ts'
import { accountServices, everybody } from '../../lib/platform/sign-on.ts'
import { messageOf, UsageError } from '../../lib/script/errors.ts'
import { readJournal } from '../../lib/script/journal.ts'
import type { Run } from '../../lib/script/run.ts'
import { type Report, reportOf, type VolumeUse } from './facts.ts'

/** Runs of the journal that are told. */
const RUNS = 20
/** Drills that are told. */
const DRILLS = 5
/** Bytes of an earlier report. */
const LARGEST = 32 << 20
/** Milliseconds for what a report can do without. */
const PATIENCE = 15_000

/**
 * Reads the cluster, Prometheus, the accounts and the journal. What a report can do without becomes a gap; throws an
 * ExpectedError when the cluster cannot be read, and a UsageError for a wrong list of ignored findings.
 */
export async function readReport(
  run: Pick<Run, 'cluster' | 'log' | 'signal'>,
  kubectl: Kubectl,
): Promise<Report> {
  const { config, ignored } = await readKnown(run)
  const gaps: Report['gaps'] = []
  const attempt = async <T>(what: string, work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work()
    } catch (error) {
      run.signal.throwIfAborted()
      gaps.push({ what, why: messageOf(error) })
      return undefined
    }
  }
  const [snapshot, volumes, users] = await Promise.all([
    gather(kubectl, { config }),
    attempt('the use of volumes, from Prometheus', () => volumeUse(kubectl)),
    attempt('the users', () => userNumbers(kubectl)),
  ])
  const index = new Index(snapshot)
  return reportOf({
    cluster: run.cluster.name,
    index,
    diagnosis: diagnose(snapshot, RULES, { index, ignored }),
    volumes: volumes ?? new Map(),
    users,
    drills: readDrills(run.cluster.journal),
    runs: readJournal(run.cluster.journal, RUNS),
    gaps,
  })
}

/** The verdicts of the newest drills, which restore-drill has written to the journal. Others are passed over. */
export function readDrills(journal: string): Report['drills'] {
  const names = existsSync(journal) ? readdirSync(journal) : []
  return names
    .filter(name => /-drill-[^/]{1,200}\.json$/.test(name))
    .sort()
    .reverse()
    .flatMap(name => {
      try {
        const { version, madeAt, backup, rto, rpo, results } = JSON.parse(
          readFileSync(join(journal, name), 'utf8'),
        ) as Record<string, unknown>
        if (version !== 1 || !Array.isArray(results) || Number.isNaN(Date.parse(String(madeAt)))) return []
        const apps = results.map((result: { app?: unknown; differences?: unknown[] } | null) =>
          result?.differences?.length ? `${result.app} (failed)` : String(result?.app),
        )
        return [
          { at: String(madeAt), backup: String(backup), rto: Number(rto) || 0, rpo: Number(rpo) || 0, apps },
        ]
      } catch {
        return []
      }
    })
    .slice(0, DRILLS)
}

interface Series {
  data?: { result?: { metric?: Record<string, string>; value?: [number, string] }[] }
}

/** What is used of volumes, and how that grows, as kubelet has told Prometheus. */
async function volumeUse(kubectl: Kubectl): Promise<Map<string, VolumeUse>> {
  const queries = {
    used: 'kubelet_volume_stats_used_bytes',
    capacity: 'kubelet_volume_stats_capacity_bytes',
    growth: 'delta(kubelet_volume_stats_used_bytes[7d]) / 7',
  } as const
  const found = new Map<string, VolumeUse>()
  await Promise.all(
    Object.entries(queries).map(async ([field, query]) => {
      const { data } = await kubectl.call<Series>({
        path: `${PROMETHEUS}/query`,
        query: { query },
        timeout: PATIENCE,
      })
      for (const { metric, value } of data?.result ?? []) {
        const number = Number(value?.[1])
        if (!metric?.persistentvolumeclaim || !Number.isFinite(number)) continue
        const name = `${metric.namespace}/${metric.persistentvolumeclaim}`
        found.set(name, { ...found.get(name), [field]: number })
      }
    }),
  )
  return found
}

/** Users and grants in numbers: no name leaves the cluster. */
async function userNumbers(kubectl: Kubectl): Promise<NonNullable<Report['users']>> {
  const people = await everybody(accountServices(kubectl).kratos)
  const grants: Record<string, number> = {}
  for (const { metadata_admin } of people)
    for (const app of Object.keys(metadata_admin?.apps ?? {})) grants[app] = (grants[app] ?? 0) + 1
  return {
    all: people.length,
    active: people.filter(({ state }) => state === 'active').length,
    admins: people.filter(({ state, metadata_admin }) => state === 'active' && metadata_admin?.admin).length,
    grants,
  }
}

/** Whether a value has all that a comparison reads of a report: somebody may have edited the file. */
function isReport(value: unknown): value is Report {
  if (typeof value !== 'object' || value === null) return false
  const { version, madeAt, causes, releases, certificates, volumes, backups } = value as Partial<Report>
  const isList = (list: unknown, ...fields: string[]) =>
    Array.isArray(list) && list.every(item => fields.every(field => typeof item?.[field] === 'string'))
  return (
    version === 1 &&
    typeof madeAt === 'string' &&
    isList(causes, 'subject', 'cause') &&
    isList(releases, 'name', 'installed') &&
    isList(certificates, 'name') &&
    isList(volumes, 'name') &&
    typeof backups === 'object' &&
    backups !== null
  )
}

/** An earlier report: the JSON file beside its page. Throws a UsageError for anything else. */
export function earlierReport(file: string): Report {
  const fix = 'give the .json file that an earlier `report` has written'
  try {
    if (statSync(file).size > LARGEST) throw new UsageError(`${file} is too large for a report`, fix)
    const report: unknown = JSON.parse(readFileSync(file, 'utf8'))
    if (isReport(report)) return report
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(`${file} cannot be read: ${messageOf(error)}`, fix)
  }
  throw new UsageError(`${file} is not a report`, fix)
}
