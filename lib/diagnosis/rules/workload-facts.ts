/** What the rules on workloads, their pods and their volumes share. */

import { condition } from '../../flux/flux.ts'
import { type KubeObject, type Ref, refOf } from '../../kubectl/kubectl.ts'
import { isOfOthers } from '../allowed/object.ts'
import type { Finding } from '../finding.ts'
import { keyOf, leadsTo } from '../graph.ts'
import { eventTime, type Index } from '../snapshot.ts'

/** Seconds since the first of these times that is known; 0, as of something that begins now, when none is. */
export function since(index: Index, ...times: unknown[]): number {
  for (const time of times) {
    const at = typeof time === 'string' ? Date.parse(time) : Number.NaN
    // The definitions of the Gateway API write 1970 for what no controller has said yet.
    if (at > 0) return (index.now - at) / 1000
  }
  return 0
}

/**
 * The pods that still count: a rolling update leaves those of the old ReplicaSet in place until the new ones
 * are ready, and with them the failure that was just corrected. Pure.
 */
export function currentPods(pods: readonly KubeObject[], replicaSets: readonly KubeObject[]): KubeObject[] {
  const ownerOf = (object: KubeObject) =>
    object.metadata.ownerReferences?.find(owner => owner.controller)?.uid
  const revisionOf = (set: KubeObject) =>
    Number(set.metadata.annotations?.['deployment.kubernetes.io/revision'] ?? 0)
  const newest = new Map<string | undefined, number>()
  for (const set of replicaSets)
    newest.set(ownerOf(set), Math.max(revisionOf(set), newest.get(ownerOf(set)) ?? 0))
  const old = new Set(
    replicaSets.filter(set => revisionOf(set) < (newest.get(ownerOf(set)) ?? 0)).map(set => set.metadata.uid),
  )
  return pods.filter(pod => !pod.metadata.deletionTimestamp && !old.has(ownerOf(pod)))
}

const pods = new WeakMap<Index, KubeObject[]>()

/** The pods that count: neither those of old ReplicaSets nor those that are being deleted. */
export function podsOf(index: Index): readonly KubeObject[] {
  const found = pods.get(index) ?? currentPods(index.all('Pod'), index.all('ReplicaSet'))
  pods.set(index, found)
  return found
}

const byNamespace = new WeakMap<Index, Map<string, KubeObject[]>>()

/** The pods that count in a namespace. */
export function podsIn(namespace: string | undefined, index: Index): readonly KubeObject[] {
  let places = byNamespace.get(index)
  if (!places) {
    places = new Map()
    for (const pod of podsOf(index)) {
      const list = places.get(pod.metadata.namespace ?? '')
      if (list) list.push(pod)
      else places.set(pod.metadata.namespace ?? '', [pod])
    }
    byNamespace.set(index, places)
  }
  return places.get(namespace ?? '') ?? []
}

/** The pods that count to which a Service sends its requests. */
export function podsBehind(service: KubeObject, index: Index): KubeObject[] {
  return podsIn(service.metadata.namespace, index).filter(({ metadata }) => leadsTo(service, metadata.labels))
}

/** The workloads whose pods are, or would be, behind a Service. */
export function workloadsBehind(service: KubeObject, index: Index): KubeObject[] {
  return ['Deployment', 'StatefulSet', 'DaemonSet']
    .flatMap(kind => index.within(kind, service.metadata.namespace))
    .filter(({ spec }) => leadsTo(service, spec?.template?.metadata?.labels))
}

const slices = new WeakMap<Index, Map<string, number>>()

/** How many ready endpoints a Service has; undefined when that could not be read. */
export function endpointsOf(service: { namespace?: string; name: string }, index: Index): number | undefined {
  if (index.blind('EndpointSlice')) return undefined
  let counts = slices.get(index)
  if (!counts) {
    counts = new Map()
    for (const slice of index.all('EndpointSlice')) {
      const key = `${slice.metadata.namespace}/${slice.metadata.labels?.['kubernetes.io/service-name']}`
      const ready = ((slice.endpoints ?? []) as { conditions?: { ready?: boolean } }[]).filter(
        ({ conditions }) => conditions?.ready !== false,
      )
      counts.set(key, (counts.get(key) ?? 0) + ready.length)
    }
    slices.set(index, counts)
  }
  return counts.get(`${service.namespace}/${service.name}`) ?? 0
}

/** A container of a pod as its status tells it. */
export interface Container {
  name: string
  /** It has to end before the others start. */
  init: boolean
  // biome-ignore lint/suspicious/noExplicitAny: a ContainerStatus
  status: any
  // biome-ignore lint/suspicious/noExplicitAny: a Container
  spec: any
}

/** The containers of a pod, the first to start first. */
export function containersOf(pod: KubeObject): Container[] {
  const list = (statuses: unknown, specs: unknown, init: boolean): Container[] =>
    ((statuses ?? []) as { name?: string }[]).map(status => {
      const spec = ((specs ?? []) as { name?: string; restartPolicy?: string }[]).find(
        each => each.name === status.name,
      )
      // An init container that is always restarted is a sidecar.
      return { name: status.name ?? '', init: init && spec?.restartPolicy !== 'Always', status, spec }
    })
  return [
    ...list(pod.status?.initContainerStatuses, pod.spec?.initContainers, true),
    ...list(pod.status?.containerStatuses, pod.spec?.containers, false),
  ]
}

/** The owner that has created an object. */
const controllerOf = ({ metadata }: KubeObject) =>
  metadata.ownerReferences?.find(({ controller }) => controller)

/** The workload that a pod belongs to, past its ReplicaSet; the pod itself when nothing has made it. */
export function workloadOf(object: KubeObject, index: Index): KubeObject {
  const owner = controllerOf(object)
  const found = owner && index.get(owner.kind, object.metadata.namespace, owner.name)
  return found ? workloadOf(found, index) : object
}

/** The HelmRelease that has brought a workload: helm-controller labels what it installs. */
export function releaseOf(workload: KubeObject, index: Index): KubeObject | undefined {
  const { labels } = workload.metadata
  const name = labels?.['helm.toolkit.fluxcd.io/name']
  return name ? index.get('HelmRelease', labels?.['helm.toolkit.fluxcd.io/namespace'], name) : undefined
}

/** The Kustomization that has applied an object: kustomize-controller labels what it applies. */
export function kustomizationOf({ metadata }: KubeObject, index: Index): KubeObject | undefined {
  const { labels } = metadata
  const name = labels?.['kustomize.toolkit.fluxcd.io/name']
  return name
    ? index.get('Kustomization', labels?.['kustomize.toolkit.fluxcd.io/namespace'], name)
    : undefined
}

/** Whether a pod was created before its StatefulSet was changed, and is not replaced yet. */
export function isOfOldRevision(pod: KubeObject, set: KubeObject): boolean {
  const { updateRevision, currentRevision } = set.status ?? {}
  const revision = pod.metadata.labels?.['controller-revision-hash']
  return (
    set.kind === 'StatefulSet' &&
    Boolean(revision && updateRevision) &&
    revision !== updateRevision &&
    currentRevision !== updateRevision
  )
}

/**
 * The pods of a part of the control plane that are not ready, where it runs in pods: k3s runs it in its own process.
 * Source: https://kubernetes.io/docs/reference/setup-tools/kubeadm/implementation-details/
 */
export function controlPlane(component: 'kube-scheduler' | 'kube-controller-manager', index: Index): Ref[] {
  return podsIn('kube-system', index)
    .filter(pod => pod.metadata.labels?.component === component && condition(pod, 'Ready')?.status !== 'True')
    .map(refOf)
}

/** That something suffers from these, where there are any. */
export const suffersFrom = (causes: readonly Ref[]) =>
  causes.length > 0 ? { symptom: true as const, causedBy: causes } : {}

/** The uid of what created a pod: its ReplicaSet, Job … Pure. */
export const makerOf = (pod: KubeObject) => controllerOf(pod)?.uid

/** Where an administrator changes the values of a workload. */
export function whereToChange(workload: KubeObject, index: Index): string {
  if (workload.kind === 'Job' && workload.metadata.labels?.[REPOSITORY])
    return "in what Velero's chart sets for its maintenance Jobs (configuration.repositoryMaintenanceJob: podResources)"
  // k3s installs charts by Jobs of this name.
  const chart = workload.kind === 'Job' && /^helm-(?:install|delete)-(.+)/.exec(workload.metadata.name)?.[1]
  if (chart) return `in HelmChart ${workload.metadata.namespace}/${chart}, or its HelmChartConfig`
  const node = workload.metadata.ownerReferences?.find(({ kind }) => kind === 'Node')?.name
  if (workload.kind === 'Pod' && node)
    return `in its file on node ${node} (/etc/kubernetes/manifests, with k3s agent/pod-manifests; the pod itself is a copy)`
  const release = releaseOf(workload, index)
  const sources = (release?.spec?.valuesFrom ?? []) as { kind?: string; name?: string; optional?: boolean }[]
  const override = sources.find(({ kind, optional }) => kind === 'ConfigMap' && optional)
  // What an operator runs by itself is of an object of its own kind.
  const owners = workload.kind === 'Pod' ? (workload.metadata.ownerReferences ?? []) : []
  const operated = owners.find(({ controller }) => controller) ?? owners[0]
  const { kind, name } = operated ?? { kind: workload.kind, name: workload.metadata.name }
  if (!release || !override) return `in the manifest of ${kind} ${name}`
  return `by an override: npx tsx scripts/override-app.ts ${release.metadata.name} --set PATH=VALUE`
}

/** The events of a reason about an object, the newest first; those older than `within` seconds are history. */
export function eventsOf(index: Index, object: KubeObject, reason: RegExp, within = 3600): KubeObject[] {
  return index
    .events(object)
    .filter(
      event =>
        reason.test(event.reason ?? '') &&
        since(
          index,
          event.series?.lastObservedTime,
          event.lastTimestamp,
          event.eventTime,
          event.metadata.creationTimestamp,
        ) < within,
    )
}

/** The same about one container of a pod: what names another one is not about it. */
export function eventsOfContainer(
  index: Index,
  pod: KubeObject,
  name: string,
  reason: RegExp,
  within?: number,
): KubeObject[] {
  return eventsOf(index, pod, reason, within).filter(
    ({ involvedObject: about }) => !about?.fieldPath || about.fieldPath.endsWith(`{${name}}`),
  )
}

/** The label of the Jobs by which Velero maintains a repository. */
export const REPOSITORY = 'velero.io/repo-name'

/**
 * Whether something else decides how many pods a workload has, so that none may be right: KEDA and other autoscalers of
 * others, an Argo Rollout that runs its template, a Canary of Flagger, and what stops workloads for the night. A
 * VerticalPodAutoscaler names its workload by targetRef, too, and leaves the number as it is.
 * Sources: https://argo-rollouts.readthedocs.io/en/stable/migrating/#reference-deployment-from-rollout,
 * https://docs.flagger.app/usage/how-it-works#canary-target, https://codeberg.org/hjacobs/kube-downscaler,
 * https://kube-green.dev/docs/configuration/
 */
export function isScaledByOthers({ kind, metadata }: KubeObject, index: Index): boolean {
  const { namespace, name, annotations } = metadata
  const isNamed = (ref?: { kind?: string; name?: string }) =>
    ref?.name === name && (ref.kind ?? kind) === kind
  return (
    annotations?.['downscaler/original-replicas'] !== undefined ||
    index.within('SleepInfo', namespace).some(({ status }) => status?.operation === 'SLEEP') ||
    index.within('Canary', namespace).some(({ spec }) => isNamed(spec?.targetRef)) ||
    index
      .kinds()
      .filter(each => isOfOthers(index.all(each)[0]!))
      .flatMap(each => index.within(each, namespace))
      .some(({ spec }) => isNamed(spec?.scaleTargetRef) || isNamed(spec?.workloadRef))
  )
}

/** The command that shows an object with its events. */
export function describing({ kind, metadata: { namespace, name } }: KubeObject): string {
  return `kubectl ${namespace ? `-n ${namespace} ` : ''}describe ${kind.toLowerCase()} ${name}`
}

/** How often an event was seen. */
export function timesSeen(event: KubeObject): number {
  return event.series?.count ?? event.count ?? 1
}

/** How often an event comes, between the first and the last time that it was seen; Infinity where that is not told. */
export function timesAnHour(event: KubeObject): number {
  const first = Date.parse(event.firstTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp ?? '')
  const hours = (eventTime(event) - first) / 3_600_000
  return hours > 0 ? timesSeen(event) / hours : Number.POSITIVE_INFINITY
}

/** Rules that tell only that a pod does not work: a pod of the same workload may say why. */
const BARE = /^pod-(not-ready|crash-looping)$/

/**
 * Pods of one workload that are in the same trouble are one finding: the others only repeat the first, and those that
 * do not say why what another one says. Pure.
 */
export function oncePerWorkload(found: readonly (Finding & { of: KubeObject })[]): Finding[] {
  const first = new Map<string, Finding>()
  for (const { of, ...finding } of found)
    for (const key of [finding.rule, ...(BARE.test(finding.rule) || finding.symptom ? [] : ['why'])]) {
      const place = `${key} ${keyOf(refOf(of))}`
      if (!first.has(place)) first.set(place, finding)
    }
  return found.map(({ of, ...finding }) => {
    const place = keyOf(refOf(of))
    const why = BARE.test(finding.rule) ? first.get(`why ${place}`) : undefined
    const earlier = why ?? first.get(`${finding.rule} ${place}`)!
    return keyOf(earlier.subject) === keyOf(finding.subject)
      ? finding
      : { ...finding, symptom: true, causedBy: [earlier.subject] }
  })
}
