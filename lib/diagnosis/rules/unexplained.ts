/**
 * The last net: whatever has not worked for minutes and is not told by any other rule is told in its own words. So
 * "nothing is broken" means that everything that was read works.
 */
import { condition } from '../../flux/flux.ts'
import { type KubeObject, type Ref, refOf } from '../../kubectl/kubectl.ts'
import { durationText } from '../../script/duration.ts'
import type { Finding } from '../finding.ts'
import { keyOf } from '../graph.ts'
import type { Index } from '../snapshot.ts'
import { remedyOf } from './advice.ts'
import { warnings } from './certificate-events.ts'
import { refTo } from './failure.ts'
import { START_PATIENCE, type Unsettled, unsettledObjects } from './own-state.ts'
import { isWorking, jobMaking, podTrouble } from './pod-states.ts'
import { warned } from './repeated-warnings.ts'
import { keptObjects } from './terminating.ts'
import { eventsOf, oncePerWorkload, podsOf, since, timesSeen, workloadOf } from './workload-facts.ts'

/** Findings for what no rule has told. Pure. */
export function unexplained(index: Index, told: readonly Finding[] = []): Finding[] {
  const known = new Set(told.map(({ subject }) => keyOf(subject)))
  const sick = new Set(
    told
      .filter(({ subject, verdict }) => subject.kind === 'Node' && verdict === 'broken')
      .map(({ subject }) => subject.name),
  )
  const found = [...pods(index, known), ...unsettledObjects(index), ...keptObjects(index)].filter(
    ({ object, lasts }) => lasts >= START_PATIENCE && !known.has(keyOf(refOf(object))),
  )
  const once = found.map(each => {
    const node = each.object.kind === 'Pod' ? each.object.spec?.nodeName : undefined
    return {
      ...findingOf(each, index),
      ...(sick.has(node) ? { symptom: true as const, causedBy: [refTo('Node', undefined, node)] } : {}),
      of: workloadOf(each.object, index),
    }
  })
  return [...oncePerWorkload(once), ...warned(index, [...told, ...once])]
}

function findingOf({ object, cause, lasts, remedy, rule }: Unsettled, index: Index): Finding {
  return {
    rule: rule ?? `${object.kind.toLowerCase()}-not-working`,
    verdict: 'broken',
    subject: refOf(object),
    cause,
    evidence: [`for ${durationText(lasts * 1000)}`, ...warnings(object, index)],
    remedy: remedy ?? remedyOf(object, cause),
    // A pod suffers from its node, a release from its pods: what is deeper is told in its place.
    ...(object.kind === 'Pod' ? {} : { symptom: true as const, causedBy: namedIn(object, cause, index) }),
  }
}

/** The objects that one of others names in its words (`SecretStore "vault"`, `Database/shop/orders`), its Job, its class, and what it owns. */
function namedIn(object: KubeObject, words: string, index: Index): Ref[] {
  const { metadata, status } = object
  const named = [
    ...words.matchAll(
      /\b([A-Z][A-Za-z]{2,60})[ /]["'`]?(?:([a-z0-9-]{1,63})\/)?([a-z0-9][a-z0-9.-]{0,252})/g,
    ),
  ].map(([, kind = '', namespace, name = '']) => refTo(kind, namespace ?? metadata.namespace, name))
  const { gatewayClassName } = object.spec ?? {}
  const classes = gatewayClassName ? [refTo('GatewayClass', undefined, gatewayClassName)] : []
  const jobs = status?.jobName ? [refTo('Job', metadata.namespace, status.jobName)] : []
  return [
    ...jobs,
    ...classes,
    ...named.filter(ref => index.find(ref) !== undefined),
    ...index.ownedBy(object).map(refOf),
  ]
}

/** For how long the controller of a pod has made one after the other, since each fails. */
function recreated(pod: KubeObject, index: Index): number {
  const [event] = eventsOf(index, workloadOf(pod, index), /^(FailedDaemonPod|Recreating\w{1,20}Pod)$/)
  return event && timesSeen(event) > 2 ? since(index, event.firstTimestamp) : 0
}

/** The Job of a pod, and the CronJob of that, which tell of the pod themselves; without one the pod. */
function makersOf(pod: KubeObject, index: Index): KubeObject[] {
  const job = jobMaking(pod, index)
  return job ? [job, workloadOf(job, index)] : [pod]
}

function pods(index: Index, known: ReadonlySet<string>): Unsettled[] {
  return podsOf(index).flatMap(pod => {
    if (isWorking(pod, index) || makersOf(pod, index).some(maker => known.has(keyOf(refOf(maker))))) return []
    const lasts = Math.max(
      Math.min(
        since(index, pod.metadata.creationTimestamp),
        since(index, condition(pod, 'Ready')?.lastTransitionTime, pod.metadata.creationTimestamp),
      ),
      recreated(pod, index),
    )
    return [{ object: pod, lasts, ...podTrouble(pod, index) }]
  })
}
