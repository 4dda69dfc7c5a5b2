import { eventTime } from '../../lib/diagnosis/snapshot.ts'
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
import type { Line } from '../../lib/logs/lines.ts'
import { type LogReadOptions, POLL_INTERVAL } from '../../lib/logs/read.ts'
import { sleep } from '../../lib/script/wait.ts'

/** An event as a line, with the fields that Loki's collector gives one. Pure. */
export function eventLine(event: KubeObject): Line {
  const { involvedObject: about = {}, source = {} } = event
  const time = eventTime(event)
  const fields = {
    name: about.name,
    kind: about.kind,
    action: event.action,
    objectAPIversion: about.apiVersion,
    reportingcontroller: event.reportingComponent,
    sourcecomponent: source.component,
    sourcehost: source.host,
    reason: event.reason,
    type: event.type,
    count: event.count,
  }
  const text = Object.entries(fields).flatMap(([name, value]) => (value ? [`${name}=${value} `] : []))
  return {
    time: time ? new Date(time).toISOString() : '',
    namespace: about.namespace ?? '',
    pod: '',
    container: 'eventrouter',
    text: `${text.join('')}msg=${JSON.stringify(event.message ?? '')}`,
  }
}

/** The events that the API server still has (an hour’s, usually), by time; with `follow` also those to come. */
export async function* eventLines(
  kubectl: Kubectl,
  wanted: LogReadOptions,
  follow: boolean,
  signal: AbortSignal,
): AsyncGenerator<Line, void> {
  const idOf = ({ metadata }: KubeObject) => `${metadata.uid} ${metadata.resourceVersion}`
  let shown = new Set<string>()
  for (let tail = wanted.tailLines; ; tail = undefined) {
    const events = await kubectl.list('v1', 'Event')
    const fresh = events.filter(event => !shown.has(idOf(event)))
    yield* wantedEvents(fresh, { ...wanted, tailLines: tail }).map(eventLine)
    if (!follow) return
    shown = new Set(events.map(idOf))
    await sleep(POLL_INTERVAL, signal)
  }
}

/** The events that are wanted, by time. Pure. */
export function wantedEvents(events: readonly KubeObject[], wanted: LogReadOptions): KubeObject[] {
  const { since = 0, until = Number.POSITIVE_INFINITY, keep = () => true, tailLines } = wanted
  const found = events
    .filter(event => eventTime(event) >= since && eventTime(event) < until && keep(eventLine(event).text))
    .sort((a, b) => eventTime(a) - eventTime(b))
  return tailLines === undefined ? found : found.slice(Math.max(0, found.length - tailLines))
}
