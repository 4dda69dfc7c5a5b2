import { cutMangled } from './mangled.ts'
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
 * carry it so, and an error message quotes what it was sent. So it is with what YAML makes of a value.
 */
export function registerSecret(value: string): void {
  if (value.length < SHORTEST) return
  values.add(value)
  values.add(Buffer.from(value).toString('base64'))
  values.add(encodeURIComponent(value.toWellFormed()))
  values.add(JSON.stringify(value).slice(1, -1))
  for (const form of yamlForms(value)) if (form.length >= SHORTEST) values.add(form)
}

/** What YAML reads a plain value as: an alias or tag without its sign, a number in another form. */
function yamlForms(value: string): string[] {
  if (/^[*&!|>%@]/.test(value)) return [value.slice(1)]
  const digits = value.replaceAll('_', '')
  const octal = /^0o?([0-7]+)$/.exec(digits)?.[1]
  if (octal) return [BigInt(`0o${octal}`).toString(), ...numberForms(digits)]
  if (/^0[xb][\da-f]+$/i.test(digits) && digits.length < 100)
    try {
      return [BigInt(digits).toString()]
    } catch {
      return [] // 0b with other digits is a text to YAML, too
    }
  return numberForms(digits)
}

/** A number as JavaScript and as Go write it: 3.14e+31, 1e+06. */
function numberForms(digits: string): string[] {
  if (digits.length > 400 || !/^[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?$/i.test(digits)) return []
  const number = Number(digits)
  if (!Number.isFinite(number)) return []
  const exponential = number.toExponential().replace(/e([-+])(\d)$/, 'e$10$2')
  return [String(number), exponential]
}

/**
 * The text with every registered value replaced by `***`, and every value that a message of YAML, Flux or the API
 * server quotes in another form; values that overlap become one.
 */
export function redact(text: string): string {
  return cutMangled(withoutRegistered(text))
}

function withoutRegistered(text: string): string {
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
