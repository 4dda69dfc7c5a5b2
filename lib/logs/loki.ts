import { ApiError } from '../kubectl/api-error.ts'
import type { Kubectl } from '../kubectl/kubectl.ts'
import { TransientError, UsageError } from '../script/errors.ts'
import type { Line } from './lines.ts'
import type { Labels } from './selection.ts'

/** Where flux2/core/loki serves its API: in the cluster alone, so that it is reached through the API server. */
const LOKI = { namespace: 'oas', service: 'loki', port: 3100 } as const

/** Milliseconds after which Loki is given up: a search over days on a small server takes its time. */
const TIMEOUT = 60_000

/** A line as Loki keeps it. */
export interface Entry {
  /** Nanoseconds since the epoch. */
  time: bigint
  labels: Labels
  text: string
}

/** What Loki is asked: the lines of a query from `start` on and before `end`, the first or the last of them. */
export interface LokiQuery {
  query: string
  start: bigint
  end: bigint
  limit: number
  direction: 'forward' | 'backward'
}

/** Asks Loki. The entries come by time, ascending, whatever the direction. */
export type AskLoki = (question: LokiQuery) => Promise<Entry[]>

/** Loki cannot be asked. What pods have may be read instead. */
export class LokiAway extends TransientError {
  override name = 'LokiAway'
}

/** The body of an answer of query_range. */
export interface LokiAnswer {
  data: {
    resultType: string
    result: { stream: Record<string, string>; values: [time: string, text: string][] }[]
  }
}

/** Asks the Loki of the platform, through the API server's service proxy; gives it up after `patience` ms. */
export function lokiOf(kubectl: Kubectl, signal: AbortSignal, patience = TIMEOUT): AskLoki {
  const { namespace, service, port } = LOKI
  const path = `/api/v1/namespaces/${namespace}/services/http:${service}:${port}/proxy/loki/api/v1/query_range`
  return async ({ query, start, end, limit, direction }) => {
    const timeout = AbortSignal.timeout(patience)
    try {
      const answer = await kubectl.call<LokiAnswer>({
        path,
        query: { query, start: `${start}`, end: `${end}`, limit, direction },
        timeout: 2 * patience,
        signal: AbortSignal.any([signal, timeout]),
      })
      return entriesOf(answer, query, direction)
    } catch (error) {
      if (timeout.aborted && !signal.aborted)
        throw new LokiAway(
          `Loki does not answer within ${patience / 1000} s`,
          'ask for less: a shorter --since, or the name of an application; or read its pod: npx tsx scripts/logs.ts loki',
        )
      throw explain(error, query)
    }
  }
}

/**
 * The entries of an answer by time, and those of one nanosecond in the order in which they were written. Throws
 * a UsageError for numbers, which are not lines. Pure.
 */
export function entriesOf({ data }: LokiAnswer, query: string, direction: LokiQuery['direction']): Entry[] {
  if (data?.resultType !== 'streams')
    throw new UsageError(
      `this query does not give lines but numbers: ${query}`,
      'ask for lines here, e.g. {namespace="oas"} |= "error"; numbers are for Grafana',
    )
  return data.result
    .flatMap(({ stream, values }) => {
      const entries = values.map(([time, text]): Entry => ({ time: BigInt(time), labels: stream, text }))
      return direction === 'forward' ? entries : entries.reverse()
    })
    .sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0))
}

/** What a failed question is told as. */
function explain(error: unknown, query: string): unknown {
  if (!(error instanceof ApiError)) return error
  const { code, reason, message, details } = error
  const look = 'see what its pod says: npx tsx scripts/logs.ts loki'
  // An answer with a reason is the API server's own; Loki answers in plain text.
  const own = reason === ''
  if (own && code === 400)
    return new UsageError(`Loki does not accept the query ${query}: ${message}`, 'correct the query')
  if (code === 404 && details.kind === 'services')
    return new LokiAway('Loki is not installed', 'install it: npx tsx scripts/install-core.ts')
  if (!own && (code === 401 || code === 403))
    return new LokiAway(`Loki may not be asked: ${message}`, 'use the administrator’s kubeconfig')
  if (!own) return new LokiAway(`Loki cannot be reached: ${message}`, look)
  if (code === 429)
    return new LokiAway(`Loki has too much to do (429): ${message}`, 'wait a minute, or ask for less')
  return new LokiAway(`Loki answers ${code}: ${message}`, look)
}

/** Nanoseconds of milliseconds. Pure. */
export const nanoseconds = (milliseconds: number): bigint => BigInt(Math.round(milliseconds)) * 1_000_000n

/** An entry as a line of a log. An entry without a container has the name of its job there. Pure. */
export function lineOf({ time, labels, text }: Entry): Line {
  const second = new Date(Number(time / 1_000_000_000n) * 1000).toISOString().slice(0, 19)
  return {
    time: `${second}.${String(time % 1_000_000_000n).padStart(9, '0')}Z`,
    namespace: labels.namespace ?? '',
    pod: labels.pod ?? '',
    container: labels.container_name ?? labels.app ?? labels.job ?? '',
    text,
  }
}
