import { UsageError } from './errors.ts'

const UNITS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** A duration: numbers with their units, or a number of minutes. */
const DURATION = /^(?:(?:\d+[smhd])+|\d+(?:\.\d+)?)$/

/**
 * Milliseconds of a `90s`, `30m`, `2h`, `3d` or `1h30m`; a number without a unit is minutes. Throws a UsageError that
 * names the flag.
 */
export function duration(flag: string, value: string): number {
  const parts = DURATION.test(value) ? [...value.matchAll(/([\d.]+)([smhd]?)/g)] : []
  const milliseconds = parts.reduce((sum, [, number, unit]) => sum + Number(number) * UNITS[unit || 'm']!, 0)
  // More than a hundred years is a typing error, and cannot be subtracted from a date.
  if (milliseconds === 0 || milliseconds > 36_500 * UNITS.d!)
    throw new UsageError(
      `${flag} ${JSON.stringify(value)} is not a duration`,
      'give one like 90s, 30m, 2h, 3d or 1h30m',
    )
  return milliseconds
}

/** Milliseconds of a `--timeout`; `otherwise` minutes when it was not given. Throws a UsageError. */
export function timeoutOf(value: string | undefined, otherwise: number): number {
  if (value === undefined) return otherwise * UNITS.m!
  const milliseconds = duration('--timeout', value)
  if (milliseconds > UNITS.d!)
    throw new UsageError(`--timeout ${JSON.stringify(value)} is longer than a day`, 'give 24h at most')
  return milliseconds
}

/** A duration in one or two units, for people: `40 s`, `2 h 5 min`, `3 d`. */
export function durationText(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000))
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  if (hours < 24) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`
  return hours % 24 === 0 ? `${hours / 24} d` : `${Math.floor(hours / 24)} d ${hours % 24} h`
}
