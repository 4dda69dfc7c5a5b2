import { printableJson } from './printable.ts'
import { redact } from './redact.ts'

/** Names of fields whose value is a secret. */
const FIELD =
  '(?:pass(?:word|wd|phrase)?|pwd|secret|token|api_?key|access_?key|private_?key|credentials?|authorization|cookie|session_?id)'

/** What unknown secrets look like, each with the part that may stay. */
const LOOKS: readonly [pattern: RegExp, replacement: string][] = [
  // Without its end a key was cut off: all of the rest may belong to it.
  [
    /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
    '*** (a private key)',
  ],
  [/\bAGE-SECRET-KEY-1[0-9A-Z]+/gi, '***'],
  [/\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/g, '***'],
  // JSON Web Tokens, those of service accounts among them.
  [/(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?/g, '***'],
  [/\b(Bearer|Basic|Token)(\s+)[\w+/=.~-]{8,}/gi, '$1$2***'],
  [/(\w{1,20}:\/\/)[^/\s@"'\\]+@/g, '$1***@'],
  // A password with a character that cuts the address off: its beginning stands where a port would.
  [/(\w{1,20}:\/\/[^/\s:@"'\\[\]]{1,100}:)(?!\d{1,5}(?!\w)|\*\*\*)[^\s/@"'\\]+/g, '$1***'],
  [/(invalid port \\?"):(?!\*\*\*)[^"\\]{1,200}/g, '$1:***'],
  // "client_secret": "…", password='…'; then the same in JSON that is a string of JSON itself.
  [new RegExp(`(${FIELD}["']?\\s*[=:]\\s*)(["'])(?:\\\\.|(?!\\2)[^\\\\])+\\2`, 'gi'), '$1$2***$2'],
  [new RegExp(`(${FIELD}\\\\"\\s*:\\s*\\\\")(?:\\\\\\\\\\\\"|(?!\\\\").)+\\\\"`, 'gi'), '$1***\\"'],
  // password=…; a colon also continues a sentence, so only passwords are hidden there.
  [new RegExp(`(${FIELD}=)(?!["'*\\\\])[^\\s&"',;)}\\]]+`, 'gi'), '$1***'],
  [/(pass(?:word|wd|phrase):\s+)(?!["'*\\])\S+/gi, '$1***'],
]

/** A text without known secrets and texts that look like one. */
export function scrub(text: string): string {
  let result = redact(text)
  for (const [pattern, replacement] of LOOKS) result = result.replace(pattern, replacement)
  return result
}

/** Fields whose value is a secret by their name. */
const NAMED =
  /^(?:pass(?:word|wd|phrase)?|pwd|.*[_-]?(?:password|secret_?key|token|api_?key|access_?key|private_?key))$/i

/** A value as JSON, every text and every name of a field in it scrubbed; numbers stay, so that it stays JSON. */
export function scrubbedJson(value: unknown): string {
  return printableJson(JSON.stringify(scrubbed(JSON.parse(JSON.stringify(value)), ''), null, 2))
}

function scrubbed(value: unknown, name: string): unknown {
  if (typeof value === 'string') return value !== '' && NAMED.test(name) ? '***' : scrub(value)
  if (Array.isArray(value)) return value.map(item => scrubbed(item, name))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([field, part]) => [redact(field), scrubbed(part, field)]),
  )
}
