/** What works, and still warns of something often. */
import { type KubeObject, refOf } from '../../kubectl/kubectl.ts'
import { kindOf } from '../allowed/kinds.ts'
import { isOfOthers } from '../allowed/object.ts'
import { type Finding, tell } from '../finding.ts'
import { keyOf } from '../graph.ts'
import { eventTime, type Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { remedyOf } from './advice.ts'
import { isWorking } from './pod-states.ts'
import { since, timesAnHour, timesSeen, workloadOf } from './workload-facts.ts'

/** Kinds with rules of which warnings are told, too, although they work; so are those of kinds without rules. */
const WARNED = /^(Node|Pod|Service|Ingress|PersistentVolumeClaim|ServiceAccount)$/

/** Reasons of warnings that rules judge by how often and how long they come, and of mere notes: an audit, a hint. */
const JUDGED =
  /^(Unhealthy|ProbeWarning|BackOff|Failed|Evicted|FailedScheduling|FailedMount|FailedAttachVolume|InvalidDiskCapacity|Rebooted|Cgroup\w+|VolumeResizeFailed|\w*Violation|TopologyAwareHints\w+)$/

/** What a controller tries again by itself: somebody else has written the object at that moment. */
const PASSING = /the object has been modified; please apply your changes to the latest version/

/** Warnings that have come at least so often, so often an hour, for at least so many seconds, and not longer ago. */
const OFTEN = { times: 10, hourly: 1, lasts: 900, ago: 600 }

/** Reasons by which something says that an object will never do as it is: twice is enough. */
const REFUSED = /^(Invalid|Rejected|BadConfig|Unsupported)/

/** What objects that work keep warning of: each warning once, with the number of those that it is about. Pure. */
export function warned(index: Index, told: readonly Finding[]): Finding[] {
  const known = new Set(told.map(({ subject }) => keyOf(subject)))
  const names = new Set(told.map(({ subject }) => subject.name))
  const found = new Map<string, { object: KubeObject; event: KubeObject; others: number }>()
  for (const event of index.snapshot.objects) {
    if (event.kind !== 'Event' || event.type !== 'Warning') continue
    if (timesSeen(event) < (REFUSED.test(event.reason ?? '') ? 2 : OFTEN.times)) continue
    const { kind = '', apiVersion = '', namespace, name = '' } = event.involvedObject ?? {}
    const object = index.get(kindOf({ kind, apiVersion }), namespace, name)
    if (object && !WARNED.test(kind) && !isOfOthers(object)) continue
    if (JUDGED.test(event.reason ?? '') || PASSING.test(event.message ?? '')) continue
    if (!REFUSED.test(event.reason ?? '') && timesAnHour(event) < OFTEN.hourly) continue
    const begun = since(index, event.firstTimestamp, event.metadata.creationTimestamp)
    if (!object || begun < OFTEN.lasts || index.now - eventTime(event) > OFTEN.ago * 1000) continue
    const isTold =
      [object, workloadOf(object, index)].some(each => known.has(keyOf(refOf(each)))) ||
      String(event.message)
        .match(/[\w.-]+/g)
        ?.some(word => names.has(word))
    if (isTold || (kind === 'Pod' && !isWorking(object, index))) continue
    const key = `${kind} ${event.reason} ${String(event.message).replaceAll(name, '')}`
    const earlier = found.get(key)
    if (earlier) earlier.others++
    else found.set(key, { object, event, others: 0 })
  }
  return [...found.values()].map(({ object, event, others }) =>
    tell(object, {
      rule: 'warned-repeatedly',
      verdict: 'warning',
      cause: `${object.kind === 'Pod' ? 'works, but ' : ''}keeps warning (${event.reason}): ${short(String(event.message ?? ''), 250)}${others > 0 ? ` (and ${others} more of the same)` : ''}`,
      evidence: [`${timesSeen(event)} times`],
      ...remedyOf(object, String(event.message)),
      ...(/nameserver|search line/i.test(String(event.message))
        ? {
            text: 'leave at most three name servers and few search domains in /etc/resolv.conf of the server',
          }
        : {}),
    }),
  )
}
