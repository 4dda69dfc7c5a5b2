import { evictionCause, isEvicted } from '../../lib/diagnosis/eviction.ts'
import { type Condition, condition } from '../../lib/flux/flux.ts'
import { ApiError } from '../../lib/kubectl/api-error.ts'
import { type Kubectl, type KubeObject, refOf } from '../../lib/kubectl/kubectl.ts'
import { durationText } from '../../lib/script/duration.ts'
import { sleep } from '../../lib/script/wait.ts'

/** Which evicted pods are meant. */
export interface EvictionFilter {
  /** All namespaces when it is absent. */
  namespace?: string
  /** Only those that were evicted longer ago than this, in milliseconds. */
  olderThan?: number
}

/** What pods have failed, in numbers: its size does not grow with theirs. */
export interface Survey {
  /** How many evicted pods are meant. */
  evicted: number
  /** By namespace: how many of each age in AGES, and the greatest age in milliseconds. */
  namespaces: Map<string, { ages: number[]; oldest: number }>
  /** What the node was short of, with the number of pods. */
  causes: Map<string, number>
  /** Evicted pods that are not old enough. */
  younger: number
  /** Pods that failed for another reason, by that reason. */
  others: Map<string, number>
}

/** The ages by which evicted pods are counted: a name, and the limit in milliseconds. */
const AGES: readonly (readonly [name: string, below: number])[] = [
  ['< 1 h', 3_600_000],
  ['< 1 d', 86_400_000],
  ['< 7 d', 604_800_000],
  ['older', Number.POSITIVE_INFINITY],
]

/**
 * When a pod was evicted, in milliseconds of the epoch: the kubelet's condition tells it. One without it was
 * turned away when it came to a node under pressure. Pure.
 */
export function evictedAt(pod: KubeObject): number {
  const disruption = condition(pod, 'DisruptionTarget')
  return Date.parse(disruption?.lastTransitionTime ?? pod.metadata.creationTimestamp ?? '')
}

/** Whether an evicted pod is one of those that are meant. Pure. */
export function isMeant(pod: KubeObject, selection: EvictionFilter, now: number): boolean {
  const { olderThan } = selection
  return isEvicted(pod) && (olderThan === undefined || now - evictedAt(pod) >= olderThan)
}

/** An empty survey. */
export function newSurvey(): Survey {
  return { evicted: 0, namespaces: new Map(), causes: new Map(), younger: 0, others: new Map() }
}

/** Adds one failed pod to a survey. */
export function count(survey: Survey, pod: KubeObject, selection: EvictionFilter, now: number): void {
  const increment = (map: Map<string, number>, key: string) => map.set(key, (map.get(key) ?? 0) + 1)
  if (!isEvicted(pod)) increment(survey.others, pod.status?.reason || 'no reason given')
  else if (!isMeant(pod, selection, now)) survey.younger++
  else {
    survey.evicted++
    increment(survey.causes, evictionCause(pod))
    const age = Math.max(0, now - evictedAt(pod)) || 0
    const namespace = pod.metadata.namespace ?? ''
    const found = survey.namespaces.get(namespace) ?? { ages: AGES.map(() => 0), oldest: 0 }
    found.ages[AGES.findIndex(([, below]) => age < below)]! += 1
    found.oldest = Math.max(found.oldest, age)
    survey.namespaces.set(namespace, found)
  }
}

/** A survey as the rows of a table, the namespace with the most pods first. Pure. */
export function surveyRows(survey: Survey): string[][] {
  const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0)
  return [
    ['NAMESPACE', 'EVICTED', ...AGES.map(([name]) => name.toUpperCase()), 'OLDEST'],
    ...[...survey.namespaces]
      .sort((a, b) => sum(b[1].ages) - sum(a[1].ages) || a[0].localeCompare(b[0]))
      .map(([namespace, { ages, oldest }]) => [
        namespace,
        String(sum(ages)),
        ...ages.map(String),
        durationText(oldest),
      ]),
  ]
}

/** Numbers with what they count, the greatest first: `DiskPressure 12, memory 3`. Pure. */
export function countsText(counts: ReadonlyMap<string, number>): string {
  return [...counts]
    .sort((a, b) => b[1] - a[1])
    .map(([name, number]) => `${name} ${number}`)
    .join(', ')
}

/** How it stands with a pressure on a node. */
export interface Pressure {
  node: string
  type: string
  state: 'over' | 'on' | 'unknown'
  /** When the state began. */
  since?: string
  message: string
}

/**
 * The disk pressure of each node, and the other pressures, which evict pods too, where there are some. A
 * kubelet that does not report leaves its conditions Unknown. Pure.
 */
export function pressures(nodes: readonly KubeObject[]): Pressure[] {
  return nodes.flatMap(node =>
    ['DiskPressure', 'MemoryPressure', 'PIDPressure'].flatMap(type => {
      const found: Condition | undefined = condition(node, type)
      const state = found?.status === 'True' ? 'on' : found?.status === 'False' ? 'over' : 'unknown'
      if (type !== 'DiskPressure' && state !== 'on') return []
      const { lastTransitionTime: since, message = '' } = found ?? {}
      return [{ node: node.metadata.name, type, state, since, message } as const]
    }),
  )
}

/** How many deletions are under way at the same time: as many as the client has connections. */
const PARALLEL = 32

/**
 * Every failed pod. The next page is fetched while this one is worked on, so that nobody waits for it, and never
 * more than two are held.
 */
async function* failedPods(
  kubectl: Kubectl,
  namespace: string | undefined,
): AsyncGenerator<KubeObject, void> {
  const options = { namespace, fieldSelector: 'status.phase=Failed' }
  const pages = kubectl.pages('v1', 'Pod', options)
  for (let next = pages.next(); ; ) {
    const { value: page } = await next
    if (!page) return
    next = pages.next()
    next.catch(() => undefined) // it is thrown when its turn comes
    yield* page
  }
}

/**
 * Does work that reads a long list. The server forgets the state in which a list started after some minutes
 * (410 Expired); then the work starts again.
 */
async function withFreshList<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++)
    try {
      return await work()
    } catch (error) {
      if (tries === 5 || codeOfApi(error) !== 410) throw error
    }
}

/** The code that the API server has answered with, when that is why something failed. */
function codeOfApi(error: unknown): number | undefined {
  const cause = error instanceof Error ? error.cause : undefined
  return cause instanceof ApiError ? cause.code : undefined
}

/** Counts the failed pods. */
export function surveyFailed(kubectl: Kubectl, selection: EvictionFilter): Promise<Survey> {
  return withFreshList(async () => {
    const survey = newSurvey()
    for await (const pod of failedPods(kubectl, selection.namespace))
      count(survey, pod, selection, Date.now() + kubectl.client.clockOffset)
    return survey
  })
}

/** What came of a deletion. */
export interface Deletion {
  deleted: number
  /** Somebody else was faster. */
  vanished: number
}

/**
 * Deletes the evicted pods that are meant, many at once, each only if it still is the one that was looked at:
 * a StatefulSet gives its next pod the same name. `told` learns what was done so far after each pod.
 */
export async function deleteEvicted(
  kubectl: Kubectl,
  selection: EvictionFilter,
  told: (done: Deletion) => void,
  signal: AbortSignal,
): Promise<Deletion> {
  const done: Deletion = { deleted: 0, vanished: 0 }
  await withFreshList(async () => {
    // All workers read the same list.
    const pods = failedPods(kubectl, selection.namespace)
    const worker = async () => {
      for await (const pod of pods) {
        if (!isMeant(pod, selection, Date.now() + kubectl.client.clockOffset)) continue
        signal.throwIfAborted()
        if (await deletePod(kubectl, pod, signal)) done.deleted++
        else done.vanished++
        told(done)
      }
    }
    // The first failure ends the list, and with it the other workers, each after the pod that it is at.
    const ends = await Promise.allSettled(Array.from({ length: PARALLEL }, worker))
    const failed = ends.find(end => end.status === 'rejected')
    if (failed) throw failed.reason
  })
  return done
}

/** Deletes one pod; false when it was gone, or is another one meanwhile. */
async function deletePod(kubectl: Kubectl, pod: KubeObject, signal: AbortSignal): Promise<boolean> {
  for (let tries = 1; ; tries++)
    try {
      return await kubectl.delete(refOf(pod), { uid: pod.metadata.uid })
    } catch (error) {
      const code = codeOfApi(error) ?? 0
      if (code === 409) return false // the name has a new pod
      // Too many at once for a server that is just recovering from a full disk.
      if (tries === 5 || (code !== 429 && code < 500)) throw error
      await sleep(tries * 1000, signal)
    }
}
