import { parseQuery, type Query } from './logql.ts'
import { nameOf, Refusal, type StoredLine, type Stream, type StreamLabels } from './store.ts'

const SECOND = 1_000_000_000n
const HOUR = 3600n * SECOND
/** Loki's defaults: lines in an answer, the most of them (`max_entries_limit_per_query`), and the longest time. */
const LINES = 100
const MOST = 5000
const LONGEST = 721n * HOUR
/** The most values of a series. */
const POINTS = 11_000n

/** The `data` of an answer. */
export type LokiData =
  | { resultType: 'streams'; result: { stream: StreamLabels; values: [string, string][] }[] }
  | { resultType: 'matrix'; result: { metric: StreamLabels; values: [number, string][] }[] }

/**
 * Answers `query_range` from these streams at the time `now`. Parameters and refusals are those of pkg/loghttp/params.go and
 * query.go in github.com/grafana/loki. Throws a Refusal. Pure.
 */
export function queryRange(parameters: URLSearchParams, streams: readonly Stream[], now: bigint): LokiData {
  const { start, end } = boundsOf(parameters, now)
  const limit = Number(parameters.get('limit') ?? LINES)
  if (!Number.isInteger(limit) || limit <= 0) throw new Refusal('limit must be a positive value')
  const direction = (parameters.get('direction') || 'backward').toLowerCase()
  if (direction !== 'forward' && direction !== 'backward')
    throw new Refusal(`invalid direction '${parameters.get('direction')}'`)
  const query = parseQuery(parameters.get('query') ?? '')
  if (query.counted !== undefined) {
    const step = stepOf(parameters, start, end)
    const lines = linesOf(query, streams, start - query.counted, end + 1n)
    return { resultType: 'matrix', result: counts(lines, query.counted, start, end, step) }
  }
  if (limit > MOST)
    throw new Refusal(
      `max entries limit per query exceeded, limit > max_entries_limit_per_query (${limit} > ${MOST})`,
    )
  const lines = linesOf(query, streams, start, end)
  const wanted = direction === 'forward' ? lines.slice(0, limit) : lines.slice(-limit).reverse()
  const values = (found: Found[]) => found.map(({ time, text }): [string, string] => [`${time}`, text])
  return {
    resultType: 'streams',
    result: grouped(wanted).map(({ labels, found }) => ({ stream: labels, values: values(found) })),
  }
}

/** Streams that have lines in the time that the parameters name and that the query selects, or all of them. */
export function streamsIn(
  parameters: URLSearchParams,
  streams: readonly Stream[],
  now: bigint,
  queries: readonly string[],
): Stream[] {
  const { start, end } = boundsOf(parameters, now)
  const selects = queries.map(query => parseQuery(query).selects)
  return streams.filter(
    ({ labels, entries }) =>
      (selects.length === 0 || selects.some(selected => selected(labels))) &&
      entries.some(({ time }) => time >= start && time < end),
  )
}

function boundsOf(parameters: URLSearchParams, now: bigint): { start: bigint; end: bigint } {
  const end = timeOf(parameters.get('end')) ?? now
  const since = parameters.get('since')
  const back = since ? durationOf(since) : HOUR
  const start = timeOf(parameters.get('start')) ?? (end < now ? end : now) - back
  if (end < start) throw new Refusal('end timestamp must not be before or equal to start time')
  if (end - start > LONGEST)
    throw new Refusal(
      `the query time range exceeds the limit (query length: ${(end - start) / SECOND}s, limit: ${LONGEST / HOUR}h)`,
    )
  return { start, end }
}

/** A time: nanoseconds, seconds with or without a fraction, or RFC 3339. */
function timeOf(text: string | null): bigint | undefined {
  if (!text) return undefined
  if (/^\d{1,10}$/.test(text)) return BigInt(text) * SECOND
  if (/^\d{11,19}$/.test(text)) return BigInt(text)
  if (/^\d{1,10}\.\d{1,9}$/.test(text)) return BigInt(Math.round(Number(text) * 1000)) * 1_000_000n
  const date = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(date)) throw new Refusal(`could not parse ${JSON.stringify(text)} as a time`)
  const nanoseconds = /\.\d{3}(\d{1,6})/.exec(text)?.[1] ?? ''
  return BigInt(date) * 1_000_000n + BigInt(nanoseconds.padEnd(6, '0'))
}

/** A duration of one unit, or seconds. */
function durationOf(text: string): bigint {
  const [, number, unit = 's'] = /^(\d{1,9})([smhdw])?$/.exec(text) ?? []
  if (number === undefined) throw new Refusal(`cannot parse ${JSON.stringify(text)} to a valid duration`)
  return BigInt(number) * SECOND * { s: 1n, m: 60n, h: 3600n, d: 86_400n, w: 604_800n }[unit]!
}

function stepOf(parameters: URLSearchParams, start: bigint, end: bigint): bigint {
  const given = parameters.get('step')
  const tenth = (end - start) / 250n / SECOND
  const step = given ? durationOf(given) : (tenth > 0n ? tenth : 1n) * SECOND
  if (step <= 0n)
    throw new Refusal(
      'zero or negative query resolution step widths are not accepted. Try a positive integer',
    )
  if ((end - start) / step > POINTS)
    throw new Refusal(
      'exceeded maximum resolution of 11,000 points per timeseries. Try increasing the value of the step parameter',
    )
  return step
}

/** A line that a query finds, with the labels that it has then. */
interface Found extends StoredLine {
  labels: StreamLabels
}

/** The lines of a query from `start` on and before `end`, by time. */
function linesOf(query: Query, streams: readonly Stream[], start: bigint, end: bigint): Found[] {
  return streams
    .filter(({ labels }) => query.selects(labels))
    .flatMap(({ labels, entries }) =>
      entries
        .filter(({ time }) => time >= start && time < end)
        .flatMap(({ time, text }) => {
          const line = query.stage({ labels, text })
          return line ? [{ time, text, labels: line.labels }] : []
        }),
    )
    .sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0))
}

function grouped(lines: readonly Found[]): { labels: StreamLabels; found: Found[] }[] {
  const groups = new Map<string, { labels: StreamLabels; found: Found[] }>()
  for (const line of lines) {
    const name = nameOf(line.labels)
    const group = groups.get(name) ?? { labels: line.labels, found: [] }
    groups.set(name, group)
    group.found.push(line)
  }
  return [...groups.values()]
}

/** How many lines there are in the range before each step. */
function counts(
  lines: readonly Found[],
  range: bigint,
  start: bigint,
  end: bigint,
  step: bigint,
): { metric: StreamLabels; values: [number, string][] }[] {
  return grouped(lines).map(({ labels, found }) => {
    const values: [number, string][] = []
    for (let at = start; at <= end; at += step) {
      const count = found.filter(({ time }) => time > at - range && time <= at).length
      if (count > 0) values.push([Number(at / 1_000_000n) / 1000, String(count)])
    }
    return { metric: labels, values }
  })
}
