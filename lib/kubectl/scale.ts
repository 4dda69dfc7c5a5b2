import { ExpectedError } from '../script/errors.ts'
import { until } from '../script/wait.ts'
import { mountsClaim, podsUsing } from './claims.ts'
import type { Kubectl, KubeObject, Ref } from './kubectl.ts'

/** An owner of pods, and its number of replicas. */
export interface Workload {
  ref: Ref
  /** Its name for `kubectl`. */
  name: string
  /** Undefined for its default. */
  replicas: number | undefined
}

/** Annotations with the replicas before a script scaled to 0, by what it does; empty for the default. */
export const NOTES = {
  migration: 'openappstack.net/replicas-before-migration',
  restore: 'openappstack.net/replicas-before-restore',
} as const
type Note = (typeof NOTES)[keyof typeof NOTES]

/** Kinds with `spec.replicas`, and their names in kubectl. */
const SCALABLE: Readonly<Record<string, readonly [apiVersion: string, word: string]>> = {
  Deployment: ['apps/v1', 'deployment'],
  StatefulSet: ['apps/v1', 'statefulset'],
  ReplicaSet: ['apps/v1', 'replicaset'],
  // Their operator scales its StatefulSets back at once.
  Prometheus: ['monitoring.coreos.com/v1', 'prometheus'],
  Alertmanager: ['monitoring.coreos.com/v1', 'alertmanager'],
}

/** Milliseconds to wait for the end of pods. */
const ENDING = 5 * 60_000

function workloadOf(object: KubeObject): Workload | undefined {
  const word = SCALABLE[object.kind]?.[1]
  if (!word) return undefined
  const { apiVersion, kind, metadata, spec } = object
  const noted = metadata.annotations?.[NOTES.migration]
  return {
    ref: { apiVersion, kind, name: metadata.name, namespace: metadata.namespace },
    name: `-n ${metadata.namespace} ${word} ${metadata.name}`,
    replicas: noted === undefined ? spec?.replicas : replicasOf(noted),
  }
}

/**
 * The owners to scale to 0 so that these pods end: the topmost ones. Pods whose owner cannot be
 * scaled are returned as problems.
 */
export async function ownersOf(
  kubectl: Kubectl,
  pods: readonly KubeObject[],
): Promise<{ workloads: Workload[]; problems: ExpectedError[] }> {
  const workloads = new Map<string, Workload>()
  const problems: ExpectedError[] = []
  for (const pod of pods) {
    let last = pod
    for (let depth = 0; depth < 6; depth++) {
      const owner = last.metadata.ownerReferences?.find(({ controller }) => controller)
      const found = owner && (await kubectl.get({ ...owner, namespace: pod.metadata.namespace }))
      if (!found) break
      last = { ...found, apiVersion: owner.apiVersion, kind: owner.kind }
    }
    const workload = last === pod ? undefined : workloadOf(last)
    const where = `pod ${pod.metadata.namespace}/${pod.metadata.name}`
    if (workload) workloads.set(workload.name, workload)
    else
      problems.push(
        new ExpectedError(
          last === pod
            ? `${where} uses a volume and has no owner`
            : `${where} uses a volume and belongs to ${last.kind} ${last.metadata.name}, which cannot be scaled`,
          last === pod
            ? `delete it: kubectl -n ${pod.metadata.namespace} delete pod ${pod.metadata.name}`
            : 'wait until it ends, or suspend or delete it; then run the same command again',
        ),
      )
  }
  return { workloads: [...workloads.values()].sort((a, b) => (a.name < b.name ? -1 : 1)), problems }
}

/** Scales to 0, and notes the replicas on the object itself, so that they survive a killed run. */
export async function scaleDown(kubectl: Kubectl, ref: Ref, note: Note): Promise<void> {
  const object = await kubectl.get(ref)
  if (!object) return
  const isNoted = object.metadata.annotations?.[note] !== undefined
  await kubectl.patch(ref, {
    metadata: {
      resourceVersion: object.metadata.resourceVersion,
      ...(isNoted ? {} : { annotations: { [note]: String(object.spec?.replicas ?? '') } }),
    },
    spec: { replicas: 0 },
  })
}

/** A note as a number. */
const replicasOf = (noted: string) => (/^\d+$/.test(noted) ? Number(noted) : undefined)

/** What a migration scaled to 0, in this run or an earlier one. Controllers copy the note to the objects they own. */
export async function scaledDown(kubectl: Kubectl): Promise<Workload[]> {
  const lists = await Promise.all(
    Object.entries(SCALABLE).map(([kind, [apiVersion]]) => kubectl.list(apiVersion, kind)),
  )
  return lists
    .flat()
    .filter(({ metadata }) => metadata.annotations?.[NOTES.migration] !== undefined)
    .filter(({ metadata }) => !metadata.ownerReferences?.some(({ controller }) => controller))
    .flatMap(object => workloadOf(object) ?? [])
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Restores the noted replicas. */
export async function scaleBack(kubectl: Kubectl, ref: Ref, note: Note): Promise<void> {
  const object = await kubectl.get(ref)
  const noted = object?.metadata.annotations?.[note]
  if (noted === undefined) return
  await kubectl.patch(ref, {
    metadata: { resourceVersion: object!.metadata.resourceVersion, annotations: { [note]: null } },
    spec: { replicas: replicasOf(noted) ?? null },
  })
}

/** Waits until no pod uses these claims any more. */
export async function untilUnused(
  kubectl: Kubectl,
  claims: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<void> {
  await until(
    async () => {
      const using = podsUsing(await kubectl.list('v1', 'Pod', {}, mountsClaim), claims)
      return using.length === 0 ? { done: true } : { last: using }
    },
    {
      deadline: ENDING,
      patience: 60_000,
      describe: last =>
        `${last?.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`).join(', ')} still there`,
      fix: 'check why these pods do not end (kubectl describe pod), then run the same command again',
      signal,
    },
  )
}
