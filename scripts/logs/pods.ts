import { labelledReleases } from '../../lib/flux/release-labels.ts'
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
import { labelsOf, literally, type Matcher } from '../../lib/logs/selection.ts'
import { type LogTarget, type Parts, POD } from '../../lib/logs/target.ts'
import { selects } from './filter.ts'

/** What may own a pod, and what may own that. */
const OWNERS = [
  ['apps/v1', 'ReplicaSet'],
  ['apps/v1', 'Deployment'],
  ['apps/v1', 'StatefulSet'],
  ['apps/v1', 'DaemonSet'],
  ['batch/v1', 'Job'],
  ['batch/v1', 'CronJob'],
] as const

/** The pods of a target as they are now, sorted by name, and the workloads that make them. */
export interface Found {
  pods: KubeObject[]
  workloads: KubeObject[]
}

/** The pods of a target as they are now, sorted by name. */
export async function findPods(kubectl: Kubectl, target: LogTarget): Promise<KubeObject[]> {
  return (await findWorkloads(kubectl, target)).pods
}

/** The pods of a target, and its workloads also where they have no pods. */
export async function findWorkloads(kubectl: Kubectl, target: LogTarget): Promise<Found> {
  if ('pod' in target) {
    const pod = await kubectl.get({ ...POD, ...target.pod })
    return { pods: pod ? [pod] : [], workloads: [] }
  }
  if ('matchers' in target) {
    const pods = await kubectl.list('v1', 'Pod', {}, pod => isSelected(pod, target.matchers))
    return { pods: pods.sort(byName), workloads: [] }
  }
  const everywhere = async (apiVersion: string, kind: string, keep?: (object: KubeObject) => boolean) =>
    (
      await Promise.all(
        target.namespaces.map(namespace => kubectl.list(apiVersion, kind, { namespace }, keep)),
      )
    ).flat()
  const [pods, ...owners] = await Promise.all([
    // An evicted pod has no log any more, and there may be thousands of them.
    everywhere('v1', 'Pod', ({ status }) => status?.reason !== 'Evicted'),
    ...OWNERS.map(([apiVersion, kind]) => everywhere(apiVersion, kind)),
  ])
  return partsOf(target, pods!, owners.flat())
}

/** Whether one of a pod's containers has a stream that is wanted. */
function isSelected(pod: KubeObject, matchers: readonly Matcher[]): boolean {
  const { initContainers = [], containers = [] } = pod.spec ?? {}
  return [...initContainers, ...containers].some(({ name }) => selects(matchers, labelsOf(pod, name)))
}

const idOf = ({ metadata }: KubeObject) => `${metadata.namespace}/${metadata.name}`
const byName = (a: KubeObject, b: KubeObject) => idOf(a).localeCompare(idOf(b))

/**
 * The pods and workloads that belong to a target: by the labels that Flux puts on what it applies, followed from
 * a pod to its owners, or by the labels that charts give their pods (hooks and what operators make have no
 * others). Pure.
 */
export function partsOf(target: Parts, pods: readonly KubeObject[], owners: readonly KubeObject[]): Found {
  const byUid = new Map(owners.map(owner => [owner.metadata.uid, owner]))
  const ownerOf = ({ metadata }: KubeObject) =>
    byUid.get(metadata.ownerReferences?.find(({ controller }) => controller)?.uid)
  const belongs = (object: KubeObject): boolean => {
    const labels = object.metadata.labels ?? {}
    if (target.kustomization && labels['kustomize.toolkit.fluxcd.io/name'] === target.kustomization)
      return true
    const ofRelease = target.releases.some(
      ({ namespace, name, instance, targetNamespace }) =>
        (labels['helm.toolkit.fluxcd.io/name'] === name &&
          labels['helm.toolkit.fluxcd.io/namespace'] === namespace) ||
        (object.metadata.namespace === targetNamespace && labelledReleases(labels).includes(instance)),
    )
    if (ofRelease) return true
    const owner = ownerOf(object)
    return owner !== undefined && belongs(owner)
  }
  return {
    pods: pods.filter(belongs).sort(byName),
    // What another workload has made, that one would make again under another name.
    workloads: owners.filter(owner => belongs(owner) && !ownerOf(owner)).sort(byName),
  }
}

/** What the names of a workload's pods end with. */
const ENDINGS: Record<string, string> = {
  Deployment: '-[a-z0-9]+-[a-z0-9]{5}',
  ReplicaSet: '-[a-z0-9]{5}',
  StatefulSet: '-[0-9]+',
  DaemonSet: '-[a-z0-9]{5}',
  Job: '-[a-z0-9]{5}',
  CronJob: '-[0-9]+-[a-z0-9]{5}',
}
/** From here on Kubernetes may cut a workload's name short in those of its pods. */
const LONG = 46

/**
 * The streams of a target: those of the pods that it has, and of those that its workloads had before. Undefined
 * when it has neither. Pure.
 */
export function streamsOf(target: LogTarget, { pods, workloads }: Found): readonly Matcher[] | undefined {
  if ('matchers' in target) return target.matchers
  if ('pod' in target)
    return [
      { label: 'namespace', values: [target.pod.namespace] },
      { label: 'pod', values: [target.pod.name] },
    ]
  const patterns = workloads.map(({ kind, metadata: { name } }) =>
    name.length > LONG ? `${literally(name.slice(0, LONG))}.*` : `${literally(name)}${ENDINGS[kind]}`,
  )
  const known = new RegExp(`^(?:${patterns.join('|')})$`)
  const others = pods.map(({ metadata }) => metadata.name).filter(name => !known.test(name))
  const all = [...new Set([...patterns, ...others.map(literally)])]
  if (all.length === 0) return undefined
  const namespaces = [...pods, ...workloads].map(({ metadata }) => metadata.namespace ?? '')
  return [
    { label: 'namespace', values: [...new Set(namespaces)].sort() },
    { label: 'pod', pattern: all.join('|') },
  ]
}
