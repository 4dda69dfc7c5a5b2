/** Workloads whose pods are missing, or not all ready. */
import { type Condition, condition } from '../../flux/flux.ts'
import { type KubeObject, refOf } from '../../kubectl/kubectl.ts'
import { NOTES } from '../../kubectl/scale.ts'
import { durationText } from '../../script/duration.ts'
import { each, type Finding, patching, type Remedy, type Rule, tell } from '../finding.ts'
import { keyOf, leadsTo } from '../graph.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { rules as ofContainers } from './containers.ts'
import { asRoot } from './failure.ts'
import { rules as ofNeeds } from './needs.ts'
import { rules as ofPods } from './pods.ts'
import {
  controlPlane,
  describing,
  endpointsOf,
  eventsOf,
  isOfOldRevision,
  isScaledByOthers,
  kustomizationOf,
  podsOf,
  releaseOf,
  since,
  suffersFrom,
  whereToChange,
  workloadOf,
} from './workload-facts.ts'

/** Flux's own controllers are told by the rules on Flux. */
const FLUX = /^(source|kustomize|helm)-controller$/
const isFlux = ({ metadata }: KubeObject) => metadata.namespace === 'flux-system' && FLUX.test(metadata.name)

const troubled = new WeakMap<Index, Map<string, Finding>>()

/** The pods of which a rule tells something, each with that. */
export function troubledPods(index: Index): ReadonlyMap<string, Finding> {
  let found = troubled.get(index)
  if (!found) {
    const all = [...ofContainers, ...ofNeeds, ...ofPods].flatMap(rule => rule(index))
    found = new Map(
      all
        .filter(({ subject, verdict }) => subject.kind === 'Pod' && verdict === 'broken')
        .map(finding => [keyOf(finding.subject), finding]),
    )
    troubled.set(index, found)
  }
  return found
}

/** How many pods a workload wants, and how many of them can be used. */
export function pods(workload: KubeObject): { wanted: number; available: number } {
  const { spec, status } = workload
  return workload.kind === 'DaemonSet'
    ? { wanted: status?.desiredNumberScheduled ?? 0, available: status?.numberAvailable ?? 0 }
    : { wanted: spec?.replicas ?? 1, available: status?.availableReplicas ?? status?.readyReplicas ?? 0 }
}

/** Seconds for which a start does not count as a failure: images are pulled and databases are prepared in that time. */
const START = 300

/** Workloads without all of their pods: a symptom of whatever the pods have. */
const unavailable: Rule = index => {
  const mine = new Map<KubeObject, KubeObject[]>()
  for (const pod of podsOf(index)) {
    const workload = workloadOf(pod, index)
    mine.set(workload, [...(mine.get(workload) ?? []), pod])
  }
  return ['Deployment', 'StatefulSet', 'DaemonSet'].flatMap(kind =>
    index.all(kind).flatMap((workload): Finding[] => {
      const { wanted, available } = pods(workload)
      const progressing = condition(workload, 'Progressing')
      const stuck = progressing?.status === 'False'
      if (isFlux(workload) || (available >= wanted && !stuck)) return []
      const owned = mine.get(workload) ?? []
      const sick = owned.some(pod => troubledPods(index).has(keyOf(refOf(pod))))
      if (!sick && !stuck && quiet(workload, owned, index) < START) return []
      return [unavailableFinding(workload, progressing, owned, index)]
    }),
  )
}

/** Seconds since anything has happened to a workload or its pods. */
function quiet(workload: KubeObject, owned: readonly KubeObject[], index: Index): number {
  const conditions = (workload.status?.conditions ?? []) as (Condition & { lastUpdateTime?: string })[]
  const written = (workload.metadata.managedFields ?? []) as { subresource?: string; time?: string }[]
  return Math.min(
    since(index, workload.metadata.creationTimestamp),
    ...conditions.map(each => since(index, each.lastUpdateTime, each.lastTransitionTime)),
    // A DaemonSet and a StatefulSet whose only pod is being replaced have neither a condition nor a pod.
    ...written
      .filter(each => each.subresource === 'status' && each.time)
      .map(each => since(index, each.time)),
    ...owned.map(pod =>
      since(index, condition(pod, 'Ready')?.lastTransitionTime, pod.metadata.creationTimestamp),
    ),
  )
}

function unavailableFinding(
  workload: KubeObject,
  progressing: Condition | undefined,
  owned: readonly KubeObject[],
  index: Index,
): Finding {
  const { namespace, name } = workload.metadata
  const { wanted, available } = pods(workload)
  const dns = namespace === 'kube-system' && name === 'coredns'
  const late = progressing?.status === 'False'
  // A pod that the kubelet has ended says why in words of its own, and its controller makes another one.
  const ended = owned.find(({ status }) => status?.phase === 'Failed' && status.reason)?.status
  const [warning] =
    late && !ended
      ? owned.flatMap(pod => eventsOf(index, pod, /./)).filter(({ type }) => type === 'Warning')
      : []
  const { reason, message } = ended ?? warning ?? {}
  const words = reason ? `: ${reason}: ${short(String(message ?? ''), 200)}` : ''
  const { readyReplicas, numberReady } = workload.status ?? {}
  const { minReadySeconds = 0 } = workload.spec ?? {}
  if (minReadySeconds > START && (readyReplicas ?? numberReady ?? 0) >= wanted)
    return tell(workload, {
      rule: 'workload-unavailable',
      cause: `its pods are ready, and count as available only ${minReadySeconds} s after that (minReadySeconds)`,
      text: `wait, or lower minReadySeconds ${whereToChange(workload, index)}`,
      command: describing(workload),
    })
  const counted = `${available} of ${wanted} pods ${wanted === 1 ? 'is' : 'are'} ready`
  const cause =
    late && available >= wanted
      ? 'its new pods have not become ready in time; the old ones still run'
      : late
        ? `${counted}, and the time for that is over${words}`
        : `${counted}${words}`
  return tell(workload, {
    rule: dns ? 'cluster-dns-down' : 'workload-unavailable',
    cause: dns ? `no name is resolved in the cluster: ${counted}${words}` : cause,
    evidence: late ? [`Progressing=False ${progressing.reason}: ${short(progressing.message ?? '')}`] : [],
    text:
      ended?.reason === 'Evicted'
        ? 'make room for what it ran short of on the node, or give its pods a request and a limit of that'
        : 'see what its pods say',
    command: describing(workload),
    symptom: true,
  })
}

/** Workloads that were scaled to 0 by hand, although their release or Kustomization runs them. */
const scaledToZero = each(['Deployment', 'StatefulSet'], (workload, index) => {
  const { namespace } = workload.metadata
  // cert-manager's are told with what that means for certificates (issuers.ts).
  if (workload.spec?.replicas !== 0 || isFlux(workload) || namespace === 'cert-manager') return undefined
  if (isScaledByOthers(workload, index)) return undefined
  const remedy = scaleBack(workload, index) ?? (isAwaited(workload, index) ? scaleUp(workload) : undefined)
  if (!remedy) return undefined
  return { rule: 'workload-scaled-to-zero', cause: 'is scaled to 0: it was stopped by hand', ...remedy }
})

/** Whether requests to a workload are lost: a Service selects its pods, and has no others, as of another colour. */
function isAwaited(workload: KubeObject, index: Index): boolean {
  return index
    .within('Service', workload.metadata.namespace)
    .filter(service => leadsTo(service, workload.spec?.template?.metadata?.labels))
    .some(service => !endpointsOf(service.metadata, index) && !isAside(service, index))
}

/** Whether routes name a Service and send it nothing, as the colour that does not serve at the moment. Pure. */
export function isAside({ metadata }: KubeObject, index: Index): boolean {
  type Backend = { name?: string; namespace?: string; weight?: number }
  const weights = index
    .all('HTTPRoute')
    .flatMap(route =>
      ((route.spec?.rules ?? []) as { backendRefs?: Backend[] }[]).flatMap(({ backendRefs = [] }) =>
        backendRefs
          .filter(
            ({ name, namespace = route.metadata.namespace }) =>
              name === metadata.name && namespace === metadata.namespace,
          )
          .map(({ weight = 1 }) => weight),
      ),
    )
  return weights.length > 0 && weights.every(weight => weight === 0)
}

const scaleUp = ({ kind, metadata: { namespace, name } }: KubeObject): Remedy => ({
  text: 'scale it up, unless it was stopped on purpose',
  command: `kubectl -n ${namespace} scale ${kind.toLowerCase()} ${name} --replicas=1`,
})

/** How a workload comes back; undefined for one that nobody of ours has installed. */
function scaleBack(workload: KubeObject, index: Index): Remedy | undefined {
  const { namespace, name, annotations } = workload.metadata
  if (annotations?.[NOTES.migration] !== undefined)
    return {
      text: 'an unfinished migration of data has stopped it: run the same migrate-data command again',
      command: 'npx tsx scripts/migrate-data.ts --help',
    }
  if (annotations?.[NOTES.restore] !== undefined)
    return {
      text: 'an unfinished restore has stopped it: run the same restore command again',
      command: 'kubectl -n velero get configmap oas-restore-state -o yaml',
    }
  const release = releaseOf(workload, index)
  if (release) {
    const { namespace: place, name: title } = release.metadata
    if (release.spec?.suspend === true)
      return {
        text: 'its release is suspended: resume that when the work on it is over, then have Helm run again',
        command: `flux resume helmrelease ${title} -n ${place} && flux reconcile helmrelease ${title} -n ${place} --force`,
      }
    return {
      text: 'have Helm restore the replicas of the release',
      command: `flux reconcile helmrelease ${title} -n ${place} --force`,
      action: { do: 'reconcile', ref: refOf(release), force: true },
    }
  }
  const owner = kustomizationOf(workload, index)
  if (owner)
    return {
      text: 'have Flux apply it again',
      command: `flux reconcile kustomization ${owner.metadata.name} -n ${owner.metadata.namespace}`,
      action: { do: 'reconcile', ref: refOf(owner) },
    }
  if (namespace !== 'kube-system') return undefined
  return {
    text: 'let it run again',
    command: `kubectl -n ${namespace} scale ${workload.kind.toLowerCase()} ${name} --replicas=1`,
    action: patching(workload, { spec: { replicas: 1 } }, 'let it run again'),
  }
}

/** Deployments whose changes are held back. */
const paused = each('Deployment', workload => {
  if (workload.spec?.paused !== true || isFlux(workload)) return undefined
  const { namespace, name } = workload.metadata
  return {
    rule: 'workload-paused',
    verdict: (workload.status?.updatedReplicas ?? 0) < pods(workload).wanted ? 'broken' : 'warning',
    cause: 'its rollout is paused: a change of it has no effect',
    text: 'resume the rollout',
    command: `kubectl -n ${namespace} rollout resume deployment ${name}`,
    action: patching(workload, { spec: { paused: null } }, 'resume the rollout'),
  }
})

/** Workloads of which the controllers of Kubernetes have taken no notice. */
const ignored = each(['Deployment', 'StatefulSet', 'DaemonSet', 'Job'], (workload, index) => {
  const age = since(index, workload.metadata.creationTimestamp)
  const isHandled = Object.keys(workload.status ?? {}).length > 0 || index.ownedBy(workload).length > 0
  if (isHandled || workload.spec?.suspend || age < 120) return undefined
  const { managedBy } = workload.spec ?? {}
  if (managedBy)
    return {
      rule: 'controller-silent',
      cause: `is left to the controller ${managedBy} (spec.managedBy), which has not handled it for ${durationText(age * 1000)}`,
      text: `see whether ${managedBy} is installed and works, or recreate it without managedBy`,
      command: describing(workload),
    }
  return {
    rule: 'controller-silent',
    cause: `nothing has handled it for ${durationText(age * 1000)}: the controllers of Kubernetes do not work`,
    ...suffersFrom(controlPlane('kube-controller-manager', index)),
    text: 'they run in the k3s service of the server: read what it says, then restart it',
    command: asRoot('journalctl -u k3s -n 50 --no-pager'),
  }
})

/** Workloads that were changed, and keep their older pods until somebody deletes them. */
const onDelete = each(['StatefulSet', 'DaemonSet'], ({ metadata, spec, status }) => {
  const { currentRevision, updateRevision, desiredNumberScheduled, updatedNumberScheduled } = status ?? {}
  // With OnDelete the current revision stays the old one, even when every pod is of the new one
  // (https://github.com/kubernetes/kubernetes/issues/73492).
  const isBehind =
    (currentRevision !== updateRevision && (status?.updatedReplicas ?? 0) < (status?.replicas ?? 1)) ||
    (updatedNumberScheduled ?? 0) < (desiredNumberScheduled ?? 0)
  if (spec?.updateStrategy?.type !== 'OnDelete' || !isBehind) return undefined
  return {
    rule: 'workload-on-delete',
    verdict: 'warning',
    cause: 'it was changed, but its updateStrategy OnDelete keeps the older pods: the change has no effect',
    text: 'delete its pods one by one, or set updateStrategy to RollingUpdate',
    command: `kubectl -n ${metadata.namespace} get pods -L controller-revision-hash`,
  }
})

/**
 * StatefulSets that were changed, and whose partition keeps every pod as it is.
 * Source: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#partitions
 */
const partitioned = each('StatefulSet', ({ metadata, spec, status }) => {
  const partition = Number(spec?.updateStrategy?.rollingUpdate?.partition ?? 0)
  const { currentRevision, updateRevision } = status ?? {}
  if (partition < (spec?.replicas ?? 1) || partition === 0 || currentRevision === updateRevision)
    return undefined
  return {
    rule: 'workload-partition',
    verdict: 'warning',
    cause: `it was changed, but its partition ${partition} keeps all of its pods: the change has no effect`,
    text: 'lower spec.updateStrategy.rollingUpdate.partition, as to 0',
    command: `kubectl -n ${metadata.namespace} get pods -L controller-revision-hash`,
  }
})

/**
 * Pods that were created before a StatefulSet was corrected, and never get ready: it replaces them one by one, and
 * waits for each to be ready first.
 * Source: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback
 */
const oldRevision = each(
  index => podsOf(index),
  (pod, index) => {
    const set = workloadOf(pod, index)
    if (!isOfOldRevision(pod, set) || !pod.metadata.uid) return undefined
    const trouble = troubledPods(index).get(keyOf(refOf(pod)))
    if (!trouble) return undefined
    const { namespace, name } = pod.metadata
    return {
      rule: 'pod-of-old-revision',
      cause: `StatefulSet ${set.metadata.name} was changed, but waits for this older pod to become ready`,
      evidence: [trouble.cause],
      text: 'delete the pod: it is recreated from the corrected template, with the same volume',
      command: `kubectl -n ${namespace} delete pod ${name}`,
      action: { do: 'delete', ref: refOf(pod), uid: pod.metadata.uid },
    }
  },
)

export const rules: Rule[] = [unavailable, scaledToZero, paused, ignored, onDelete, partitioned, oldRevision]
