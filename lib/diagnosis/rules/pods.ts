/** Pods that are not placed, not set up, not ended, or left behind. */

import { type Condition, condition } from '../../flux/flux.ts'
import { claimsOfPod } from '../../kubectl/claims.ts'
import { type KubeObject, type Ref, refOf } from '../../kubectl/kubectl.ts'
import { durationText } from '../../script/duration.ts'
import { evictionCause, hogOf, isEvicted } from '../eviction.ts'
import { each, type Finding, type Rule, tell } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { adviceOn } from './advice.ts'
import { RESTART_K3S, refTo } from './failure.ts'
import { placing } from './placing.ts'
import { podAge, rules as setUp } from './setup.ts'
import {
  controlPlane,
  describing,
  eventsOf,
  oncePerWorkload,
  podsOf,
  since,
  suffersFrom,
  whereToChange,
  workloadOf,
} from './workload-facts.ts'

/** Pods without a node. */
const unplaced: Rule = index =>
  oncePerWorkload(
    podsOf(index).flatMap(pod => {
      if (pod.spec?.nodeName || pod.status?.phase !== 'Pending') return []
      const finding = whyUnplaced(pod, condition(pod, 'PodScheduled'), index)
      return finding ? [{ ...finding, of: workloadOf(pod, index) }] : []
    }),
  )

function whyUnplaced(pod: KubeObject, scheduled: Condition | undefined, index: Index): Finding | undefined {
  const age = podAge(pod, index)
  const subject = refOf(pod)
  const unbound = claimsOfPod(pod).filter(name => {
    const found = index.get('PersistentVolumeClaim', pod.metadata.namespace, name)
    return found?.status?.phase !== 'Bound' || found.metadata.deletionTimestamp !== undefined
  })
  const message = String(scheduled?.message ?? '')
  const forClaim =
    /persistentvolumeclaim|PersistentVolumeClaims|binding volumes|persistent volumes to bind/.test(message) ||
    !scheduled
  if (unbound.length > 0 && forClaim && !index.blind('PersistentVolumeClaim')) {
    if (age < 10) return undefined
    return tell(subject, {
      rule: 'pod-waits-for-claim',
      cause: `waits for its volume: PersistentVolumeClaim ${unbound[0]} is not bound, or is being deleted`,
      evidence: message ? [short(message)] : [],
      text: 'see why the claim is not bound',
      command: `kubectl -n ${pod.metadata.namespace} describe pvc ${unbound[0]}`,
      symptom: true,
      causedBy: unbound.map(name => refTo('PersistentVolumeClaim', pod.metadata.namespace, name)),
    })
  }
  if (scheduled?.status === 'False' && scheduled.reason !== 'SchedulingGated')
    return age < 10 || isNodeComing(pod, index) ? undefined : placing(pod, message, index)
  if (scheduled || age < 30) return undefined
  const scheduler = pod.spec?.schedulerName ?? 'default-scheduler'
  const [other] = index.events(pod).filter(({ type }) => type === 'Warning')
  // Another one has to place it: that of a cluster around this one, for example.
  if (other)
    return tell(subject, {
      rule: 'scheduler-silent',
      cause: `nobody has placed it for ${durationText(age * 1000)}: ${short(other.message ?? '', 250)}`,
      text:
        adviceOn(other.message ?? '', whereToChange(workloadOf(pod, index), index)) ?? 'correct what it says',
      command: describing(pod),
    })
  return tell(subject, {
    rule: 'scheduler-silent',
    cause: `${scheduler} has not handled it for ${durationText(age * 1000)}`,
    ...suffersFrom(controlPlane('kube-scheduler', index)),
    ...(scheduler === 'default-scheduler'
      ? {
          text: 'the scheduler runs in the k3s service of the server: restart that',
          command: RESTART_K3S,
        }
      : { text: `install ${scheduler}, or omit spec.schedulerName` }),
  })
}

/** Whether an autoscaler of nodes has said within minutes that it brings one for a pod: Cluster Autoscaler or Karpenter. */
const isNodeComing = (pod: KubeObject, index: Index) =>
  eventsOf(index, pod, /^(TriggeredScaleUp|Nominated)$/, 600).length > 0

/** Pods that were deleted and do not end. */
const terminating = each('Pod', (pod, index) => {
  const { namespace, name } = pod.metadata
  // The time of the deletion is that by which it should be over.
  const age = since(index, pod.metadata.deletionTimestamp)
  const { finalizers = [] } = pod.metadata as { finalizers?: string[] }
  if (!pod.metadata.deletionTimestamp || age < (finalizers.length > 0 ? 20 : 60)) return undefined
  const subject = refOf(pod)
  const lasts = durationText(age * 1000)
  if (finalizers.length > 0)
    return [
      tell(subject, {
        rule: 'pod-stuck-terminating',
        cause: `has been terminating for ${lasts}: nothing has removed its finalizer ${finalizers.join(', ')}`,
        text: 'see why the program of the finalizer does not run; if it was removed for good, remove the finalizer',
        command: `kubectl -n ${namespace} patch pod ${name} --type merge -p '{"metadata":{"finalizers":null}}'`,
      }),
    ]
  return [
    tell(subject, {
      rule: 'pod-stuck-terminating',
      cause: `has been terminating for ${lasts}: the kubelet of ${pod.spec?.nodeName} does not confirm its end`,
      text: 'only when the server was removed or restarted, so that the pod cannot run any more: delete it by force',
      command: `kubectl -n ${namespace} delete pod ${name} --force --grace-period=0`,
      symptom: true,
    }),
  ]
})

/** Pods that a kubelet has evicted since they wrote more than their own limits allow. */
const overStorage = (pods: readonly KubeObject[], index: Index): Finding[] =>
  oncePerWorkload(
    pods.map(pod => {
      const of = workloadOf(pod, index)
      const message = String(pod.status?.message ?? '')
      const volume = /EmptyDir volume "([^"]+)"/.exec(message)?.[1]
      const finding = tell(pod, {
        rule: 'pod-storage-exceeded',
        verdict: 'warning',
        cause: `was evicted: ${short(message)}`,
        text: `raise ${volume ? `sizeLimit of the emptyDir ${volume}` : 'its limit of ephemeral-storage'} ${whereToChange(of, index)}, or have it write less; then delete the evicted pods`,
        command: `npx tsx scripts/delete-evicted-pods.ts --namespace ${pod.metadata.namespace}`,
      })
      return { ...finding, of }
    }),
  )

/** Evicted pods that nobody needs: one finding for each namespace. */
const evicted: Rule = index => {
  const byNamespace = new Map<string, KubeObject[]>()
  for (const pod of index.all('Pod'))
    if (isEvicted(pod))
      byNamespace.set(pod.metadata.namespace ?? '', [
        ...(byNamespace.get(pod.metadata.namespace ?? '') ?? []),
        pod,
      ])
  return [...byNamespace].flatMap(([namespace, pods]): Finding[] => {
    const exceeding = overStorage(
      pods.filter(pod => / exceed(s|ed) /i.test(String(pod.status?.message ?? ''))),
      index,
    )
    const subject: Ref = { apiVersion: 'v1', kind: 'Namespace', name: namespace }
    const causes = [...new Set(pods.map(evictionCause))].join(', ')
    const args = ['--namespace', namespace]
    const [hog] = pods.flatMap(pod => hogOf(pod) ?? [])
    const left: Finding = tell(subject, {
      rule: 'evicted-pods-left',
      verdict: 'warning',
      cause: `${pods.length} evicted ${pods.length === 1 ? 'pod is' : 'pods are'} left behind`,
      evidence: [`the node was short of: ${causes}`, short(String(pods[0]!.status?.message ?? ''))],
      text: hog
        ? `let container ${hog.name}, which used ${hog.used} and requests ${hog.request}, request what it needs and give it a limit, or give the server more; then delete them: they only fill every list`
        : 'delete them: they only fill every list',
      command: `npx tsx scripts/delete-evicted-pods.ts ${args.join(' ')}`,
      action: { do: 'script', script: 'delete-evicted-pods', args },
    })
    // What tells why tells that they are left, too.
    return exceeding.length === pods.length ? exceeding : [...exceeding, left]
  })
}

/** Pods of which the resources were changed in place, and that do not get them. */
const notResized = each('Pod', (pod, index) => {
  const resizing = condition(pod, 'PodResizeInProgress')
  const { status, reason, message, lastTransitionTime } =
    condition(pod, 'PodResizePending') ?? (resizing?.reason === 'Error' ? resizing : undefined) ?? {}
  if (status !== 'True' || since(index, lastTransitionTime) < 600) return undefined
  return {
    rule: 'pod-not-resized',
    verdict: 'warning',
    cause: `it does not get the resources that were asked for (${reason}): ${short(message ?? '')}`,
    text:
      reason === 'Error'
        ? 'ask for no less memory than it uses, or recreate the pod'
        : 'ask for no more than its node has, or make room on it',
    command: describing(pod),
  }
})

export const rules: Rule[] = [unplaced, ...setUp, terminating, evicted, notResized]
