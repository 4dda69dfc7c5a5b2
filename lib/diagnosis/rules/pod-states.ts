/** Whether a pod works, and in which words it says why it does not. */
import { type Condition, condition } from '../../flux/flux.ts'
import type { KubeObject } from '../../kubectl/kubectl.ts'
import { isEvicted } from '../eviction.ts'
import type { Remedy } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { asRoot } from './failure.ts'
import { lastLinesOf } from './last-words.ts'
import { logsOf } from './readiness.ts'
import { isFollowed } from './run-history.ts'
import { startTrouble } from './starting.ts'
import { understood } from './understood.ts'
import { containersOf, describing, makerOf, podsIn, whereToChange, workloadOf } from './workload-facts.ts'
import { pods as podsOfWorkload } from './workloads.ts'

/** Whether a pod does what it is for, or its workload does so without it. Pure. */
export function isWorking(pod: KubeObject, index: Index): boolean {
  const phase = pod.status?.phase
  if (phase === 'Succeeded' || isEvicted(pod)) return true // evicted pods are told by pods.ts
  // What `kubectl debug` has started, and somebody has ended.
  if (phase === 'Failed' && pod.metadata.labels?.['app.kubernetes.io/managed-by'] === 'kubectl-debug')
    return true
  if (phase === 'Running') return condition(pod, 'Ready')?.status !== 'False'
  const job = jobMaking(pod, index)
  if (phase === 'Failed' && job)
    // A Job creates another pod, and tells itself when it gives up.
    return Boolean(job.status?.completionTime) || index.ownedBy(job).some(isRunning) || isFollowed(job, index)
  const workload = workloadOf(pod, index)
  // The one that has taken its place tells why that does not work.
  if (phase === 'Failed' && podsIn(pod.metadata.namespace, index).some(each => replaces(each, pod)))
    return true
  if (phase === 'Failed' && workload !== pod && isFollowed(workload, index)) return true
  if (phase === 'Failed' && workload !== pod && workload.kind !== 'ReplicaSet') {
    const { wanted, available } = podsOfWorkload(workload)
    return available >= wanted // it was replaced
  }
  return false
}

const replaces = (pod: KubeObject, failed: KubeObject) =>
  isRunning(pod) && makerOf(pod) !== undefined && makerOf(pod) === makerOf(failed)

/** The Job of a pod, which tells of its pods itself. Pure. */
export function jobMaking({ metadata }: KubeObject, index: Index): KubeObject | undefined {
  const name = metadata.ownerReferences?.find(({ kind }) => kind === 'Job')?.name
  return name ? index.get('Job', metadata.namespace, name) : undefined
}

const isRunning = ({ status }: KubeObject) => /^(Pending|Running)$/.test(status?.phase ?? '')

/** What is known of the reasons that a kubelet or a controller gives a pod. */
const REASONS: Readonly<Record<string, (pod: KubeObject, where: string, said: string) => string>> = {
  NodePorts: (_pod, where) =>
    `a port of the node that it needs is taken: free the port, or correct hostPort ${where}`,
  OutOfpods: () => 'the node has as many pods as it may: remove some, then delete this pod',
  UnexpectedAdmissionError: () =>
    'the node could not give it a device or resource: see its plugin, then delete the pod',
  NodeShutdown: () => 'the server was shut down: delete the pod, its workload recreates it',
  Terminated: () => 'the server was shut down: delete the pod, its workload recreates it',
  NodeAffinity: (_pod, where) =>
    `the labels of its node do not fit any more: correct nodeSelector or affinity ${where}, or label the node`,
  PodOSNotSupported: (_pod, where) =>
    `it needs another operating system than that of its node: correct spec.os and nodeSelector (kubernetes.io/os) ${where}, or add such a node; then delete the failed pods`,
  PodOSSelectorNodeLabelDoesNotMatch: (_pod, where) =>
    `its nodeSelector kubernetes.io/os and the operating system of its node differ: correct it ${where}; then delete the failed pods`,
  SysctlForbidden: (_pod, where) =>
    `the node does not allow this sysctl: allow it by --kubelet-arg allowed-unsafe-sysctls of k3s, or omit it ${where}`,
  NodeLost: () => 'its node is silent: see whether the server runs',
  DeadlineExceeded: (_pod, where) =>
    `it ran longer than activeDeadlineSeconds: raise that ${where}, or find out why it takes so long`,
  Preempting: () => 'a pod of higher priority needed its place: give the server more, or raise its priority',
  SchedulingGated: pod =>
    `it waits for its scheduling gate ${gatesOf(pod)}: see why the controller of the gate does not remove it, or remove the gate`,
  ReadinessGatesNotReady: pod =>
    `it waits for its readiness gate ${gateOf(pod)}: see why the controller of the gate does not set that condition`,
  PodInitializing: () => 'its init containers have not finished: read their logs',
  ContainerCreating: (_pod, _where, said) =>
    said
      ? 'correct what it says; while that goes on, wait'
      : 'the kubelet has not started it, and says nothing: read what k3s says on the server',
  VolumePermissionChangeInProgress: (_pod, where) =>
    `wait: the owner of every file on the volume is set first; fsGroupChangePolicy: OnRootMismatch in its security context ${where} avoids that`,
  NetworkPluginNotReady: () => 'the network of the node is not ready: restart k3s, and read what it says',
}

const gatesOf = (pod: KubeObject) =>
  ((pod.spec?.schedulingGates ?? []) as { name?: string }[]).map(({ name }) => name).join(', ')
const gateOf = (pod: KubeObject) =>
  ((pod.spec?.readinessGates ?? []) as { conditionType?: string }[])
    .map(({ conditionType }) => conditionType)
    .filter(type => condition(pod, type ?? '')?.status !== 'True')
    .join(', ')

/** The cause and the remedy of a pod that does not work, in the words of its own status. Pure. */
export function podTrouble(pod: KubeObject, index: Index): { cause: string; remedy: Remedy; rule: string } {
  const { reason, message } = wordsOf(pod, index)
  const [, lacking] = /^OutOf([\w.-]+)$/.exec(reason) ?? []
  const known = REASONS[reason]
  const where = whereToChange(workloadOf(pod, index), index)
  const slow = hooked(pod, where, index) ?? pulling(pod, index) ?? saying(pod, where, index)
  if (slow) return slow
  const said = message ? `: ${short(message)}` : ''
  const phase =
    pod.status?.phase === 'Running' ? 'runs, but is not ready' : `is ${pod.status?.phase ?? 'not started'}`
  return {
    rule: 'pod-not-working',
    cause: `${phase}${reason ? ` (${reason})` : ''}${said}`,
    remedy: {
      text:
        known?.(pod, where, message) ??
        (lacking
          ? `the node had no ${lacking === 'cpu' ? 'CPU' : lacking} left for it: give the server more, or lower its requests ${where}; then delete the pod`
          : startTrouble(message)?.fix(where)) ??
        'correct what it says; its events and its log tell more',
      command: describing(pod),
    },
  }
}

/** The most telling reason and message in a pod's status: its own, a container's, a condition's. */
function wordsOf(pod: KubeObject, index: Index): { reason: string; message: string } {
  const { status = {} } = pod
  if (status.reason || status.message) return { reason: status.reason ?? '', message: status.message ?? '' }
  for (const { name, status: container } of containersOf(pod)) {
    const { waiting, terminated } = container.state ?? {}
    if (waiting?.reason === 'ContainerCreating') {
      const event = index.events(pod).find(({ type }) => type === 'Warning')
      const told = REASONS[event?.reason] ? event?.reason : waiting.reason
      return { reason: told, message: waiting.message ?? event?.message ?? '' }
    }
    if (waiting?.reason) return { reason: waiting.reason, message: waiting.message ?? eventOf(pod, index) }
    if (terminated && terminated.exitCode !== 0)
      return {
        reason: terminated.reason ?? 'Error',
        message: `container ${name} ended with exit code ${terminated.exitCode}${terminated.message ? `: ${terminated.message}` : ''}`,
      }
  }
  const bad = ((status.conditions ?? []) as Condition[]).filter(
    each => each.status === 'False' && each.reason,
  )
  const told = bad.find(each => each.type === 'PodScheduled') ?? bad.find(each => each.message) ?? bad[0]
  if (told) return { reason: told.reason ?? '', message: told.message ?? '' }
  return { reason: '', message: eventOf(pod, index) }
}

const eventOf = (pod: KubeObject, index: Index) =>
  String(index.events(pod).find(({ type }) => type === 'Warning')?.message ?? '')

/** A failed pod whose container has said why. */
function saying(pod: KubeObject, where: string, index: Index) {
  for (const container of containersOf(pod)) {
    const { name, status } = container
    const { exitCode, reason, message } = status.state?.terminated ?? {}
    if (!exitCode) continue
    if (reason === 'OOMKilled')
      return {
        rule: 'pod-out-of-memory',
        cause: `container ${name} was killed when it needed more memory than it may have`,
        remedy: { text: `raise its memory limit ${where}` },
      }
    const words = [String(message ?? ''), lastLinesOf(pod, name, index)]
    const known = understood(pod, container, words, index)
    if (known)
      return {
        rule: known.rule,
        cause: `container ${name} has ended with exit code ${exitCode}: ${known.cause}`,
        remedy: {
          text: known.fix,
          command: known.command ?? logsOf(pod, name, ''),
        },
      }
  }
  return undefined
}

/**
 * A pod of which a container was started last, and that still counts as being created: its hook goes on. A kubelet starts
 * the next container, or pulls its image, when the hook has ended.
 */
function hooked(pod: KubeObject, where: string, index: Index) {
  const newest = index
    .events(pod)
    .find(({ type, reason }) => type === 'Warning' || /^(Pull|Created|Started|SandboxChanged)/.test(reason))
  const held = containersOf(pod).find(
    ({ name, status }) =>
      newest?.reason === 'Started' &&
      newest.involvedObject?.fieldPath === `spec.containers{${name}}` &&
      /^(ContainerCreating|PodInitializing)$/.test(status.state?.waiting?.reason ?? ''),
  )
  return (
    held && {
      rule: 'pod-not-working',
      cause: `container ${held.name} was started, and its postStart hook has not completed`,
      remedy: {
        text: `have the command of lifecycle.postStart end ${where}: nothing else limits its time`,
        command: describing(pod),
      },
    }
  )
}

/** A pod whose image has been pulled for minutes: the last event about it says so. */
function pulling(pod: KubeObject, index: Index) {
  const [last] = index
    .events(pod)
    .filter(({ reason }) => /^(Pull|Failed|BackOff|Created|Started)/.test(reason ?? ''))
  if (last?.reason !== 'Pulling') return undefined
  const image = /"([^"]+)"/.exec(String(last.message ?? ''))?.[1] ?? 'its image'
  return {
    rule: 'image-pull-slow',
    cause: `the image ${image} is still being pulled: it is large, or the line is slow`,
    remedy: {
      text: 'wait, or check the line of the server and the size of the image',
      command: asRoot('k3s crictl images'),
    },
  }
}
