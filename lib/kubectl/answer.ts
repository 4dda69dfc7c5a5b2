import type http from 'node:http'
import { ExpectedError } from '../script/errors.ts'
import { asOneLine } from '../script/printable.ts'
import { ApiError } from './api-error.ts'

/** Bytes of one answer: a page of 500 objects has 5 MB, and an object at most 1.5 MB. */
const LARGEST = 32 << 20
/** Bytes of all answers that are being read at once. */
const TOGETHER = 64 << 20
/** Bytes of an answer that reports a failure, and characters of its message. */
const LARGEST_ERROR = 1 << 20
const LONGEST_MESSAGE = 2000

/** Something answers, and it is not a Kubernetes API. */
export function notKubernetes(server: string, what: string, cause?: unknown): ExpectedError {
  return new ExpectedError(
    `${server} answers, but it is not a Kubernetes API: ${asOneLine(what).slice(0, 200)}`,
    'correct the address in the kubeconfig; a proxy, a login page or another service may answer there',
    { cause },
  )
}

/** Reads the bodies of one server's answers, each and all together within bounds. Throws an ExpectedError beyond. */
export class Bodies {
  readonly #server: string
  #held = 0

  constructor(server: string) {
    this.#server = server
  }

  async read(response: http.IncomingMessage, largest = LARGEST): Promise<string> {
    const pieces: Buffer[] = []
    let size = 0
    try {
      for await (const piece of response as AsyncIterable<Buffer>) {
        size += piece.length
        this.#held += piece.length
        if (size > largest || this.#held > TOGETHER)
          throw new ExpectedError(
            `${this.#server} sends more than ${largest >> 20} MiB as one answer`,
            'check that the address in the kubeconfig is that of a Kubernetes API server',
          )
        pieces.push(piece)
      }
      return Buffer.concat(pieces, size).toString()
    } finally {
      this.#held -= size
    }
  }

  /** The error that an answer other than a success is. Throws when no Kubernetes API answers so. */
  async errorOf(response: http.IncomingMessage): Promise<ApiError> {
    const code = response.statusCode ?? 0
    if (code < 400) {
      response.resume().destroy()
      const { location } = response.headers
      throw notKubernetes(this.#server, `HTTP ${code}${location ? `, which leads to ${location}` : ''}`)
    }
    return new ApiError(code, parseStatus(await this.read(response, LARGEST_ERROR)))
  }
}

/** The JSON object of a body. Throws an ExpectedError for anything else. */
export function parseObject(server: string, body: string): object {
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch (error) {
    throw notKubernetes(server, body === '' ? 'an empty answer' : firstLine(body), error)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw notKubernetes(server, `${firstLine(body)} in place of an object`)
  return value
}

const firstLine = (text: string) => asOneLine(text.slice(0, 1000).trim().split('\n')[0] ?? '').slice(0, 200)

/**
 * What a service behind the API server's proxy says in its own shape: `{"error": "invalid_client"}` (RFC 6749, 5.2),
 * `{"error": {"message": "…", "reason": "…"}}` and `{"errors": {"database": "…"}}` (github.com/ory/herodot, healthx).
 */
function wordsIn({ error, errors, error_description }: Record<string, unknown>): string | undefined {
  const nested = typeof error === 'object' && error !== null ? (error as Record<string, unknown>) : {}
  const named = typeof errors === 'object' && errors !== null ? Object.entries(errors) : []
  const words = [
    error,
    error_description,
    nested.message,
    nested.reason,
    ...named.map(([name, text]) => `${name}: ${text}`),
  ]
  const text = words.filter(word => typeof word === 'string' && word !== '').join(': ')
  return text === '' ? undefined : asOneLine(text.slice(0, LONGEST_MESSAGE))
}

/** A Status object; of a proxy's page in its place the first line. */
function parseStatus(text: string): ConstructorParameters<typeof ApiError>[1] {
  try {
    const value = JSON.parse(text)
    if (typeof value === 'object' && value !== null) {
      const { reason, message, details } = value
      return {
        reason: typeof reason === 'string' ? reason : undefined,
        message: typeof message === 'string' ? asOneLine(message.slice(0, LONGEST_MESSAGE)) : wordsIn(value),
        details: typeof details === 'object' && details !== null ? details : undefined,
      }
    }
  } catch {
    // A page of HTML, most likely.
  }
  return { message: firstLine(text) }
}
