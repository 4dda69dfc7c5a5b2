import { UsageError } from './errors.ts'

const UNITS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Milliseconds of a `30m`, `2h`, `3d`, `1h30m`. Throws a UsageError that names the flag. */
export function duration(flag: string, value: string): number {
  const parts = [...value.matchAll(/(\d+)([smhd])/g)]
  const milliseconds = parts.reduce((sum, [, number, unit]) => sum + Number(number) * UNITS[unit!]!, 0)
  // A hundred years: what is longer is a typing error, and no date any more.
  if (!/^(\d+[smhd])+$/.test(value) || milliseconds === 0 || milliseconds > 36_500 * UNITS.d!)
    throw new UsageError(
      `${flag} ${JSON.stringify(value)} is no duration`,
      'give one like 30m, 2h, 3d or 1h30m',
    )
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
