import { withoutCredentials } from './allowed/pick.ts'

/**
 * The part of a message that says something, on one line and without credentials in URLs. Helm puts the reason on
 * lines of its own, below the place of a rejected value or of a template's error. Of a long one both ends are kept:
 * every layer puts its own words in front, so that the reason is at the end. Pure.
 */
export function short(text: string, max = 300): string {
  const lines = text
    .slice(0, 20_000)
    .trim()
    .split('\n')
    .map(line => line.trim())
    .filter(Boolean)
  const [head = '', ...rest] = lines
  const more = /:(\d+:\d+)?$/.test(head)
    ? rest.slice(0, 4)
    : rest.filter(each => /^(\* |caused by: )/.test(each)).slice(0, 4)
  const line = [head, ...more].join(' ')
  const safe = withoutCredentials(line)
  if (safe.length <= max) return safe
  const lastClause = safe.length - safe.lastIndexOf(': ') - 2
  const tail = Math.min(Math.max(lastClause, Math.floor(max * 0.4)), Math.floor(max * 0.8))
  return `${safe.slice(0, max - tail)} … ${safe.slice(-tail)}`
}
