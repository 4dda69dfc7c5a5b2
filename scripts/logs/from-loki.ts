import type { Line } from '../../lib/logs/lines.ts'
import { type AskLoki, lineOf, nanoseconds } from '../../lib/logs/loki.ts'
import { AHEAD, backward, followLoki, forward } from '../../lib/logs/loki-pages.ts'
import type { Range } from './range.ts'

/** Milliseconds that a search goes back when it is not told how far. */
const DAY = 24 * 3_600_000

/** Which lines of a query are wanted. */
export interface Request extends Range {
  query: string
  /** The last lines; all of them when it is left out. */
  tail?: number
  follow: boolean
  /** The time of the cluster. */
  now: () => number
  signal: AbortSignal
  warn: (text: string) => void
}

/** The lines of a query from Loki, by time; with `follow` also those to come. */
export async function* lokiLines(ask: AskLoki, request: Request): AsyncGenerator<Line, void> {
  const { query, tail, warn, signal } = request
  const start = nanoseconds(request.since ?? (request.until ?? request.now()) - DAY)
  const end = request.until === undefined ? nanoseconds(request.now()) + AHEAD : nanoseconds(request.until)
  const search = { query, start, end }
  if (request.follow) {
    const now = () => nanoseconds(request.now())
    for await (const entry of followLoki(ask, { query, start, tail, now, signal, warn })) yield lineOf(entry)
  } else if (tail !== undefined) yield* (await backward(ask, search, tail, { warn })).map(lineOf)
  else for await (const page of forward(ask, search, { warn })) yield* page.map(lineOf)
}
