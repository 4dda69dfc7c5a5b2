import { TransientError } from '../script/errors.ts'
import { sleep } from '../script/wait.ts'
import { type AskLoki, type Entry, nanoseconds } from './loki.ts'
import { POLL_INTERVAL, RECONNECT_TIMEOUT } from './read.ts'

/** Loki's limit of lines in one answer, unless its administrator has set another. */
export const LIMIT = 5000

/** Which lines of a query are wanted: from `start` on and before `end`. */
export interface Search {
  query: string
  start: bigint
  end: bigint
}

/** How a search goes on. */
export interface Options {
  /** Lines in one answer. */
  limit?: number
  /** Told when there are more lines at one nanosecond than fit into an answer: the rest cannot be had. */
  warn: (text: string) => void
}

/** Tells an entry from any other: Loki keeps none twice with the same of all three. */
const idOf = ({ time, labels, text }: Entry) => `${time} ${JSON.stringify(labels)} ${text}`

const crowded = (limit: number, time: bigint) =>
  `${limit} lines or more at one nanosecond, ${new Date(Number(time / 1_000_000n)).toISOString()}: Loki gives no more of them`

/**
 * All lines of a search by time, in pages. A page ends anywhere among lines of one nanosecond: the next one
 * begins with that nanosecond, and what was had of it is left out.
 */
export async function* forward(
  ask: AskLoki,
  { query, start, end }: Search,
  { limit = LIMIT, warn }: Options,
): AsyncGenerator<Entry[], void> {
  let had = new Set<string>()
  while (start < end) {
    const page = await ask({ query, start, end, limit, direction: 'forward' })
    yield page.filter(entry => !had.has(idOf(entry)))
    const last = page.at(-1)
    if (page.length < limit || !last) return
    if (last.time === start) warn(crowded(limit, start))
    // No more can be had of a nanosecond that fills an answer alone.
    had = new Set(page.filter(({ time }) => time === last.time).map(idOf))
    start = last.time === start ? start + 1n : last.time
  }
}

/** The last lines of a search, ascending by time. */
export async function backward(
  ask: AskLoki,
  { query, start, end }: Search,
  count: number,
  { limit = LIMIT, warn }: Options,
): Promise<Entry[]> {
  const pages: Entry[][] = []
  let had = new Set<string>()
  for (let left = count; left > 0 && start < end; ) {
    // Those of the nanosecond in which the last page ended come again.
    const most = Math.min(limit, left + had.size)
    const page = await ask({ query, start, end, limit: most, direction: 'backward' })
    const fresh = page.filter(entry => !had.has(idOf(entry)))
    pages.unshift(fresh)
    left -= fresh.length
    const [first] = page
    if (page.length < most || !first) break
    const alone = first.time === end - 1n
    if (alone && left > 0) warn(crowded(limit, first.time))
    had = new Set(page.filter(({ time }) => time === first.time).map(idOf))
    end = alone ? first.time : first.time + 1n
  }
  return pages.flat().slice(-count)
}

/** Nanoseconds that a line may need on its way to Loki without being missed by somebody who follows. */
const DELAY = nanoseconds(30_000)
/** Nanoseconds that a server's clock may be ahead of what we take for the time: Loki itself refuses what is later. */
export const AHEAD = nanoseconds(600_000)

/** What is followed. */
export interface Following extends Options {
  query: string
  /** The first moment of which lines are wanted. */
  start: bigint
  /** Of the lines from before, how many are shown at most; all when it is left out. */
  tail?: number
  /** The time of the cluster. */
  now: () => bigint
  signal: AbortSignal
  /** Milliseconds between two looks. */
  every?: number
}

/**
 * The lines of a query as they come, until the signal ends it. Every look goes back as far as lines may be late
 * and leaves out what was shown; a Loki that is away for some minutes is waited for.
 */
export async function* followLoki(ask: AskLoki, following: Following): AsyncGenerator<Entry, void> {
  const { query, now, signal, warn, tail, every = POLL_INTERVAL } = following
  /** What is not to be shown any more, by the time of it. */
  const shown = new Map<string, bigint>()
  const had = (entries: readonly Entry[]) => {
    for (const entry of entries) shown.set(idOf(entry), entry.time)
  }
  let { start } = following
  let looked = now()
  let from = start
  if (tail !== undefined) {
    const end = looked + AHEAD
    const last = tail > 0 ? await backward(ask, { query, start, end }, tail, following) : []
    // What else is there by now was not wanted: all that was there before the first of these, and beside it.
    const [first] = last
    if (last.length === tail) {
      start = first ? first.time : looked - DELAY
      for await (const page of forward(ask, { query, start, end: first ? start + 1n : end }, following))
        had(page)
    }
    had(last)
    from = start > looked - DELAY ? start : looked - DELAY
    yield* last
  }
  let awaySince: number | undefined
  for (;;) {
    const looking = now()
    try {
      for await (const page of forward(ask, { query, start: from, end: looking + AHEAD }, following))
        for (const entry of page) {
          if (shown.has(idOf(entry))) continue
          had([entry])
          yield entry
        }
      if (awaySince !== undefined) warn('Loki answers again')
      awaySince = undefined
      looked = looking
    } catch (error) {
      if (signal.aborted || !(error instanceof TransientError)) throw error
      if (awaySince === undefined) warn(`${error.message}; trying again`)
      awaySince ??= performance.now()
      if (performance.now() - awaySince > RECONNECT_TIMEOUT) throw error
    }
    from = start > looked - DELAY ? start : looked - DELAY
    for (const [id, time] of shown) if (time < from) shown.delete(id)
    await sleep(every, signal)
  }
}
