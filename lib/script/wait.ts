import { ExpectedError, TransientError } from './errors.ts'

/** How long and how often `until` checks, and how it describes the last state when time is up. */
export interface UntilOptions<T> {
  /** Milliseconds until it gives up. */
  deadline: number
  /** Milliseconds between two checks. */
  every?: number
  /** The last thing seen, in words, for the error. */
  describe: (last: T | undefined) => string
  /** Milliseconds for which `look` may fail with a TransientError, one time after the other; none by default. */
  patience?: number
  /** What to do about an expiry; it may depend on the last thing seen. */
  fix?: string | ((last: T | undefined) => string)
  /** Aborts the wait (Ctrl-C, a lost lock). */
  signal?: AbortSignal
}

/** Resolves after `ms` milliseconds; rejects with the signal's reason when that comes first. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const onAbort = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/**
 * Calls `look` until it returns `{ done }` and resolves with that value. `{ last }` means "not yet" and is
 * what the error tells when the deadline passes. Whatever `look` throws ends the wait at once, unless it may
 * pass by itself: that is how terminal conditions end it early.
 */
export async function until<T, D>(
  look: () => Promise<{ done: D } | { last: T }>,
  options: UntilOptions<T>,
): Promise<D> {
  const { deadline, patience = 0 } = options
  const end = performance.now() + deadline
  let answered = performance.now()
  let last: T | undefined
  for (;;) {
    options.signal?.throwIfAborted()
    try {
      const seen = await look()
      if ('done' in seen) return seen.done
      last = seen.last
      answered = performance.now()
    } catch (error) {
      if (!(error instanceof TransientError) || performance.now() - answered >= patience) throw error
    }
    if (performance.now() >= end) {
      const seconds = Math.round(deadline / 1000)
      throw new ExpectedError(
        `gave up after ${seconds} s; last seen: ${options.describe(last)}`,
        (typeof options.fix === 'function' ? options.fix(last) : options.fix) ??
          'check the last state seen, then run the same command again: it continues',
      )
    }
    await sleep(Math.min(options.every ?? 1000, Math.max(0, end - performance.now())), options.signal)
  }
}
