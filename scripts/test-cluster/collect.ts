import type { Snapshot } from '../../lib/diagnosis/snapshot.ts'
import { NAMESPACES } from '../../lib/diagnosis/status.ts'
import { condition } from '../../lib/flux/flux.ts'
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
import { messageOf } from '../../lib/script/errors.ts'
import { scrub } from '../../lib/script/scrub.ts'

const MOST_EVENTS = 40
const MOST_PODS = 5
const MOST_LINES = 30
const HOUR = 3_600_000

/** What a failure is looked into with: warnings of the last hour, and the last lines of pods that are not ready. */
export interface Collected {
  events: string[]
  logs: { pod: string; container: string; lines: string[] }[]
}

/** Warnings of the last hour, the newest last. Pure. */
function recentWarnings({ objects, takenAt }: Pick<Snapshot, 'objects' | 'takenAt'>): string[] {
  const time = ({ lastTimestamp, eventTime, metadata }: KubeObject) =>
    Date.parse(lastTimestamp ?? eventTime ?? metadata.creationTimestamp ?? '') || 0
  return objects
    .filter(object => object.kind === 'Event' && object.type === 'Warning')
    .filter(event => Date.parse(takenAt) - time(event) < HOUR)
    .sort((a, b) => time(a) - time(b))
    .slice(-MOST_EVENTS)
    .map(({ involvedObject, reason, message }) => {
      const { kind, namespace, name } = involvedObject ?? {}
      return scrub(`${kind} ${namespace ?? ''}/${name}: ${reason}: ${String(message ?? '').slice(0, 300)}`)
    })
}

/** Pods of the platform that run and are not ready. Pure. */
function unreadyPods(objects: readonly KubeObject[]): KubeObject[] {
  return objects
    .filter(({ kind, metadata }) => kind === 'Pod' && NAMESPACES.some(each => each === metadata.namespace))
    .filter(pod => pod.status?.phase === 'Running' && condition(pod, 'Ready')?.status !== 'True')
    .slice(0, MOST_PODS)
}

/** Collects events and logs, without secrets. What cannot be read is told in its place. */
export async function collect(kubectl: Kubectl, snapshot: Snapshot, signal: AbortSignal): Promise<Collected> {
  const logs = unreadyPods(snapshot.objects).map(async pod => {
    const { namespace = '', name } = pod.metadata
    const container = String(pod.spec?.containers?.[0]?.name ?? '')
    const lines: string[] = []
    try {
      const limits = { tailLines: MOST_LINES, limitBytes: 20_000, signal: AbortSignal.timeout(5000) }
      let text = ''
      for await (const piece of kubectl.logs({ namespace, name }, container, limits)) {
        text += piece
        if (text.length > limits.limitBytes) break // whoever answers may not keep to it
      }
      lines.push(...scrub(text).split('\n').filter(Boolean).slice(-MOST_LINES))
    } catch (error) {
      signal.throwIfAborted()
      lines.push(`(could not be read: ${messageOf(error)})`)
    }
    return { pod: `${namespace}/${name}`, container, lines }
  })
  return { events: recentWarnings(snapshot), logs: await Promise.all(logs) }
}
