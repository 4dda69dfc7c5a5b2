import { printableJson } from './printable.ts'

/**
 * Values that must never be shown. Everything that a script writes goes through `redact`, so a value that
 * was registered once cannot leak through an error text, a progress line or the journal.
 */
const values = new Set<string>()

/** Below this length a value is too common a word to be replaced everywhere ("true", "587"). */
const SHORTEST = 6

/**
 * Remembers a value as secret, together with its base64 and percent-encoded forms: the API server and URLs
 * carry it so, and an error message quotes what it was sent.
 */
export function registerSecret(value: string): void {
  if (value.length < SHORTEST) return
  values.add(value)
  values.add(Buffer.from(value).toString('base64'))
  values.add(encodeURIComponent(value.toWellFormed()))
  values.add(JSON.stringify(value).slice(1, -1))
}

/** The text with every registered value replaced by `***`; values that overlap become one. */
export function redact(text: string): string {
  const ranges: [from: number, to: number][] = []
  for (const value of values)
    for (let at = text.indexOf(value); at >= 0; at = text.indexOf(value, at + 1))
      ranges.push([at, at + value.length])
  if (ranges.length === 0) return text
  ranges.sort((a, b) => a[0] - b[0])
  let result = ''
  let end = 0
  for (const [from, to] of ranges) {
    if (from >= end) result += `${text.slice(end, from)}***`
    end = Math.max(end, to)
  }
  return result + text.slice(end)
}

/**
 * A value as JSON with every registered value replaced. Only strings are touched, so that it stays JSON; its
 * control characters are escaped.
 */
export function redactedJson(value: unknown): string {
  return printableJson(
    JSON.stringify(value, (_, part) => (typeof part === 'string' ? redact(part) : part), 2),
  )
}
