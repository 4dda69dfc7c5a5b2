import { redact } from '../../lib/script/redact.ts'
import { scrub } from '../../lib/script/scrub.ts'

/** Fields whose value is a secret by their name. */
const NAMED =
  /^(?:pass(?:word|wd|phrase)?|pwd|.*[_-]?(?:password|secret_?key|token|api_?key|access_?key|private_?key))$/i

/** A value as JSON, every text in it scrubbed. Only texts are touched, so that it stays JSON. */
export function scrubbedJson(value: unknown): string {
  const text = JSON.stringify(
    value,
    (name, part) => (typeof part !== 'string' ? part : part !== '' && NAMED.test(name) ? '***' : scrub(part)),
    2,
  )
  // Names of fields may hold one as well.
  return redact(text)
}
