import { type Condition, condition } from '../flux/flux.ts'
import type { KubeObject } from '../kubectl/kubectl.ts'
import { scrub } from '../script/scrub.ts'
import { type Labels, labelsOf } from './selection.ts'

/** A container of a pod, and whether it has a log. */
export interface LogContainer {
  namespace: string
  pod: string
  container: string
  /** Tells this run of the container from the one before and the one after. */
  run: string
  running: boolean
  /** When this run began, as the kubelet says it. */
  startedAt?: string
  /** What its stream is called in Loki. */
  labels: Labels
  /** Whether there is a log to read. */
  readable: boolean
  /** Why there is none; or, where there is one, why the container does not run now. */
  why?: string
}

/**
 * The containers of a pod in the order in which they start, and which of them have a log. `previous`: of the run
 * before the last restart. The kubelet serves the log of the last run while a container waits for its next.
 * Pure.
 */
export function logContainersOf(pod: KubeObject, previous: boolean): LogContainer[] {
  const { status = {}, spec = {} } = pod
  const statuses = [
    ...(status.initContainerStatuses ?? []),
    ...(status.containerStatuses ?? []),
    ...(status.ephemeralContainerStatuses ?? []),
  ]
  const containers = [
    ...(spec.initContainers ?? []),
    ...(spec.containers ?? []),
    ...(spec.ephemeralContainers ?? []),
  ] as { name: string }[]
  return containers.map(({ name }) => {
    const found = statuses.find(each => each.name === name)
    const base = {
      namespace: pod.metadata.namespace ?? '',
      pod: pod.metadata.name,
      container: name,
      run: `${pod.metadata.uid}/${name}/${found?.restartCount ?? 0}`,
      running: found?.state?.running !== undefined,
      startedAt: (found?.state?.running ?? found?.state?.terminated)?.startedAt as string | undefined,
      labels: labelsOf(pod, name),
    }
    const last = found?.lastState?.terminated !== undefined
    if (previous)
      return {
        ...base,
        readable: last,
        ...(last ? {} : { why: 'it was not restarted: no earlier run exists' }),
      }
    if (found?.state?.running || found?.state?.terminated) return { ...base, readable: true }
    return { ...base, readable: last, why: whyWaiting(pod, found?.state?.waiting) }
  })
}

/** Why a container does not run. */
function whyWaiting(pod: KubeObject, waiting: { reason?: string; message?: string } | undefined): string {
  const { reason, message } = pod.status ?? {}
  const scheduled: Condition | undefined = condition(pod, 'PodScheduled')
  const parts =
    waiting?.reason || waiting?.message
      ? [`waits: ${waiting.reason ?? ''}`, waiting.message]
      : reason
        ? [`the pod was ended: ${reason}`, message]
        : scheduled?.status === 'False'
          ? [`the pod has no node: ${scheduled.reason ?? ''}`, scheduled.message]
          : [`not started yet; the pod is ${pod.status?.phase ?? 'new'}`]
  // A kubelet quotes addresses and answers, which may have a secret in them.
  return scrub(parts.filter(Boolean).join(': ').replaceAll(/\s+/g, ' '))
}
