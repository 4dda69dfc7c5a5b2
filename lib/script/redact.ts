import { cutMangled } from './mangled.ts'
import { printableJson } from './printable.ts'

/**
 * Values that must never be shown. Everything that a script writes goes through `redact`, so a value that
 * was registered once cannot leak through an error text, a progress line or the journal.
 */
const values = new Map<string, Set<string>>()

/** Adds a value to those with the same beginning: a text is searched once for all of them. */
function remember(value: string): void {
  if (value.length < SHORTEST) return
  const beginning = value.slice(0, SHORTEST)
  values.set(beginning, (values.get(beginning) ?? new Set()).add(value))
  begins[hashAt(value, 0)] = 1
}

/** Where a registered value may begin, by its first characters: most places are passed over without a look. */
const begins = new Uint8Array(1 << 16)
const hashAt = (text: string, at: number) =>
  (text.charCodeAt(at) * 1021 + text.charCodeAt(at + 1) * 31 + text.charCodeAt(at + 2) * 127) & 0xffff

/** Below this length a value is too common a word to be replaced everywhere ("true", "587"). */
const SHORTEST = 6

/**
 * Remembers a value as secret, together with its base64 and percent-encoded forms: the API server and URLs
 * carry it so, and an error message quotes what it was sent. So it is with what YAML makes of a value.
 */
export function registerSecret(value: string): void {
  if (value.length < SHORTEST) return
  remember(value)
  remember(Buffer.from(value).toString('base64'))
  remember(encodeURIComponent(value.toWellFormed()))
  remember(JSON.stringify(value).slice(1, -1))
  for (const form of yamlForms(value)) remember(form)
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
  if (values.size > 0)
    for (let at = 0; at + SHORTEST <= text.length; at++) {
      if (begins[hashAt(text, at)] === 0) continue
      for (const value of values.get(text.slice(at, at + SHORTEST)) ?? [])
        if (text.startsWith(value, at)) ranges.push([at, at + value.length])
    }
  if (ranges.length === 0) return text
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
