import { duration } from '../../lib/script/duration.ts'
import { UsageError } from '../../lib/script/errors.ts'

/** A stretch of time: milliseconds since the epoch, by the clock of the cluster. */
export interface Range {
  since?: number
  until?: number
}

const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/

/** A moment: an age, like `2h` or a number of minutes, or a time as RFC 3339 has it. Throws a UsageError that names the flag. */
export function moment(flag: string, value: string, now: number): number {
  if (/^((\d+[smhd])+|\d+)$/.test(value)) return now - duration(flag, value)
  const time = RFC3339.test(value) ? Date.parse(value) : Number.NaN
  if (Number.isNaN(time))
    throw new UsageError(
      `${flag} ${JSON.stringify(value)} is neither an age nor a time`,
      'give one like 30m, 2h or 3d, or one like 2026-06-01T12:00:00Z',
    )
  return time
}

/** The stretch of `--since` and `--until`. Throws a UsageError for an empty one. */
export function rangeOf(flags: { since?: string; until?: string }, now: number): Range {
  const since = flags.since === undefined ? undefined : moment('--since', flags.since, now)
  const until = flags.until === undefined ? undefined : moment('--until', flags.until, now)
  if (since !== undefined && until !== undefined && since >= until)
    throw new UsageError('--since is not before --until', 'exchange the two')
  return { since, until }
}
