/** Whether what a run has failed at is history: Jobs, and the runs of others, that a later one has made good. */
import { type Condition, condition } from '../../flux/flux.ts'
import type { KubeObject } from '../../kubectl/kubectl.ts'
import { kindOf } from '../allowed/kinds.ts'
import { isOfOthers } from '../allowed/object.ts'
import type { Index } from '../snapshot.ts'
import { REPOSITORY, since } from './workload-facts.ts'

/** Whether a run has come to its end and succeeded, as far as it says so. */
function hasSucceeded({ status = {}, ...object }: KubeObject): boolean {
  const isTrue = (type: string) => condition({ ...object, status }, type)?.status === 'True'
  const phase = status.phase ?? status.state
  return phase === undefined
    ? isTrue('Succeeded') || isTrue('Complete') || status.readyToUse === true
    : /^(succeeded|success(ful)?|completed?)$/i.test(phase)
}

/** What a run is one of. */
interface Kinship {
  /** Its labels without its own name, and without what differs from one to the next. */
  labels: Map<string, string>
  /**
   * What runs of the same share: the name without what differs (`db-nightly-20261125010000`, `web-ci-r4x2k`), or a
   * label of their own API (`cnpg.io/cluster` of `postgresql.cnpg.io`), each with the objects that the spec names.
   */
  marks: string[]
}

/** A part of a name that differs from run to run: a time or a number, or what `generateName` appends. */
const GENERATED = /^(\d+|[bcdfghjklmnpqrstvwxz2456789]{5})$/

function kinshipOf(run: KubeObject): Kinship {
  const { apiVersion, metadata, spec = {} } = run
  const parts = metadata.name.split(/[-.]/)
  while (parts.length > 1 && GENERATED.test(parts.at(-1)!)) parts.pop()
  const cron = metadata.ownerReferences?.find(({ kind }) => kind === 'CronJob')?.name ?? ''
  const own = new Set([metadata, ...(metadata.ownerReferences ?? [])].flatMap(({ name, uid }) => [name, uid]))
  const labels = Object.entries(metadata.labels ?? {}).filter(
    ([label, value]) =>
      !own.has(value) &&
      !/^(\d*|true|false)$/.test(value) &&
      !/(phase|version|revision|chart|hash|sha|id)$/.test(label),
  )
  const group = `.${String(apiVersion).split('/')[0]}`
  const ofApi = labels.filter(([label]) => {
    const domain = `.${label.split('/')[0]}`
    return label.includes('/') && (domain.endsWith(group) || group.endsWith(domain))
  })
  const place = `${kindOf(run)} ${metadata.namespace} ${isOfOthers(run) ? JSON.stringify(spec) : cron}`
  const marks = [parts.join('-'), ...ofApi.map(pair => pair.join('='))].map(mark => `${place} ${mark}`)
  return { labels: new Map(labels), marks }
}

/** When a run that has succeeded began, and what it is one of. */
type Success = Kinship & { age: number }

const successes = new WeakMap<Index, Map<string, Success[]>>()

/** The runs that have succeeded, by each of their marks. */
function successesBy(index: Index): ReadonlyMap<string, readonly Success[]> {
  const known = successes.get(index)
  if (known) return known
  const found = new Map<string, Success[]>()
  const runs = index
    .kinds()
    .flatMap(kind => index.all(kind).filter(each => kind === 'Job' || isOfOthers(each)))
  for (const run of runs.filter(hasSucceeded)) {
    const success = { ...kinshipOf(run), age: since(index, run.metadata.creationTimestamp) }
    for (const mark of success.marks) {
      const list = found.get(mark)
      if (list) list.push(success)
      else found.set(mark, [success])
    }
  }
  successes.set(index, found)
  return found
}

/** Whether a later run of the same has succeeded since one has failed. */
function isRepeated(run: KubeObject, index: Index): boolean {
  const conditions = (run.status?.conditions ?? []) as Condition[]
  const changes = conditions.flatMap(({ lastTransitionTime }) => lastTransitionTime ?? [])
  const ended = Math.min(...[run.metadata.creationTimestamp, ...changes].map(time => since(index, time)))
  const { labels, marks } = kinshipOf(run)
  return marks
    .flatMap(mark => successesBy(index).get(mark) ?? [])
    .some(
      other =>
        other.age < ended &&
        [...labels].every(([label, value]) => (other.labels.get(label) ?? value) === value),
    )
}

/**
 * Whether what a Job or a run of others has failed at is history: a later Job of the same CronJob, or for the same
 * repository of Velero, has taken its place, or a later run of the same has succeeded.
 */
export function isFollowed(run: KubeObject, index: Index): boolean {
  if (run.kind !== 'Job') return isOfOthers(run) && isRepeated(run, index)
  const cron = run.metadata.ownerReferences?.find(({ kind }) => kind === 'CronJob')?.uid
  const repository = run.metadata.labels?.[REPOSITORY]
  const isAlike = ({ metadata }: KubeObject) =>
    (cron && metadata.ownerReferences?.some(({ uid }) => uid === cron)) ||
    (repository && metadata.labels?.[REPOSITORY] === repository)
  const age = ({ metadata }: KubeObject) => since(index, metadata.creationTimestamp)
  return (
    index.all('Job').some(other => other !== run && isAlike(other) && age(other) < age(run)) ||
    isRepeated(run, index)
  )
}
