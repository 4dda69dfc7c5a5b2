import { createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { isIPv6 } from 'node:net'
import type { Html } from './html.ts'
import { TEXTS } from './texts.ts'

/** What a page answers. */
export interface Answer {
  status?: number
  /** Where the browser goes. */
  location?: string
  page?: Html
  /** What is sent where it is not a page. */
  body?: string | Buffer
  headers?: Record<string, string>
  /** Set-Cookie, as kratos wrote them. */
  cookies?: string[]
}

export const redirect = (location: string): Answer => ({ status: 303, location })

/** A failure that is shown as a page with these words. */
export class PageError extends Error {
  readonly status: number
  readonly headers: Record<string, string>
  constructor(status: number, message: string, headers: Record<string, string> = {}) {
    super(message)
    this.status = status
    this.headers = headers
  }
}

/** No script at all, nothing from elsewhere; forms go to this host. */
const POLICY = [
  "default-src 'none'",
  "style-src 'self'",
  "img-src 'self' data: https:",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join('; ')

/** The headers of every answer. */
export const HEADERS: Record<string, string> = {
  'cache-control': 'no-store',
  'content-security-policy': POLICY,
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
}

export function send(response: ServerResponse, answer: Answer): void {
  const { status = 200, location, page, body, headers = {}, cookies } = answer
  response.writeHead(status, {
    ...HEADERS,
    ...(location === undefined ? {} : { location }),
    ...(page ? { 'content-type': 'text/html; charset=utf-8' } : {}),
    ...(cookies ? { 'set-cookie': cookies } : {}),
    ...headers,
  })
  response.end(page?.text ?? body)
}

const LARGEST_BODY = 64 * 1024

/** The body of a request. Throws a PageError when it is larger than 64 KiB. */
export async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = []
  let size = 0
  for await (const piece of request) {
    size += piece.length
    if (size > LARGEST_BODY) throw new PageError(413, TEXTS.error.tooLarge)
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}

/**
 * The fields of a form, as browsers send one without a file: nothing but application/x-www-form-urlencoded, and one
 * value a field. Whatever else could be read in two ways, and what was checked would not be what is done. Throws a
 * PageError.
 */
export async function formOf(request: IncomingMessage): Promise<URLSearchParams> {
  const type = (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase()
  if (type !== 'application/x-www-form-urlencoded' || request.headers['content-encoding'] !== undefined)
    throw new PageError(415, TEXTS.error.notForm)
  const fields = new Map<string, string>()
  for (const [name, value] of new URLSearchParams((await bodyOf(request)).toString('utf8'))) {
    // kratos' own forms have the same value in a hidden field and in the button.
    if ((fields.get(name) ?? value) !== value) throw new PageError(400, TEXTS.error.twice)
    fields.set(name, value)
  }
  return new URLSearchParams([...fields])
}

/**
 * The address that a request comes from. The last entry of X-Forwarded-For is the one that the ingress itself has
 * added; what stands before it the client may have invented.
 */
export function addressOf(request: IncomingMessage): string {
  const forwarded = String(request.headers['x-forwarded-for'] ?? '')
    .split(',')
    .at(-1)!
    .trim()
  return forwarded || (request.socket.remoteAddress ?? 'unknown')
}

/** The network of an address: whoever has an IPv6 address has the whole /64 around it (RFC 6177). */
export function networkOf(address: string): string {
  if (!isIPv6(address) || address.includes('.')) return address
  const [head = '', tail] = address.split('%')[0]!.split('::')
  const parts = head.split(':').filter(Boolean)
  const rest = (tail ?? '').split(':').filter(Boolean)
  const zeros = tail === undefined ? 0 : 8 - parts.length - rest.length
  const all = [...parts, ...Array<string>(zeros).fill('0'), ...rest]
  return `${all
    .slice(0, 4)
    .map(part => Number.parseInt(part, 16).toString(16))
    .join(':')}::/64`
}

/** The token of the forms of a session: nobody else can make one, and it is of no use in another session. */
export function formToken(secret: string, session: string): string {
  return createHmac('sha256', secret).update(`form ${session}`).digest('base64url')
}

/** Whether a form was sent from a page of this session. */
export function isOwnForm(secret: string, session: string, token: string | null): boolean {
  const expected = Buffer.from(formToken(secret, session))
  const given = Buffer.from(token ?? '')
  return given.length === expected.length && timingSafeEqual(given, expected)
}
