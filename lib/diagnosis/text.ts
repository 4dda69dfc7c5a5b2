import { withoutCredentials } from './allowed/pick.ts'

/**
 * The part of a message that says something, on one line and without credentials in URLs. Helm puts the reason on
 * lines of its own, below the place of a rejected value or of a template's error. Pure.
 */
export function short(text: string, max = 300): string {
  const lines = text
    .slice(0, 20_000)
    .trim()
    .split('\n')
    .map(line => line.trim())
  const line = /:(\d+:\d+)?$/.test(lines[0] ?? '') ? lines.slice(0, 5).join(' ') : (lines[0] ?? '')
  const safe = withoutCredentials(line)
  return safe.length > max ? `${safe.slice(0, max)}…` : safe
}
