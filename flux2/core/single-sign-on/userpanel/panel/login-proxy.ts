/**
 * Logins pass through the panel on their way to kratos, which has no throttle of its own. The ingress leads
 * /self-service/login here; everything else of kratos' public API goes straight to it.
 */
import { createHash } from 'node:crypto'
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { addressOf, bodyOf, HEADERS, PageError } from './http.ts'
import type { Panel, Visit } from './panel.ts'

const DEADLINE = 15_000

/** Hands a request of a login to kratos, unless its account or address has failed too often. */
export async function proxyLogin(panel: Panel, visit: Visit, response: ServerResponse): Promise<void> {
  const { request, url, method } = visit
  if (method !== 'GET' && method !== 'POST') throw new PageError(405, 'Method not allowed')
  const body = method === 'POST' ? await bodyOf(request) : undefined
  const account = body && accountIn(body, request.headers['content-type'], visit.cookie)
  const address = addressOf(request)
  if (account !== undefined) {
    const wait = panel.throttle.wait(account, address)
    if (wait > 0) {
      panel.log({ event: 'throttled', address, wait })
      return refuse(request, response, url, wait)
    }
  }
  const answer = await forward(panel.config.kratosPublicUrl, request, url, body)
  if (account !== undefined) {
    if (hasLoggedIn(answer)) panel.throttle.worked(account)
    else {
      panel.throttle.failed(account, address)
      panel.log({ event: 'login failed', address })
    }
  }
  response.writeHead(answer.statusCode ?? 502, answer.headers)
  answer.pipe(response)
}

/**
 * Whose password was sent, as a digest, since a name that somebody types may be a password. Undefined when no secret
 * was sent. A code of a second factor comes without a name: its account is that of the browser's session.
 */
export function accountIn(body: Buffer, type = '', cookie = ''): string | undefined {
  let fields: Record<string, unknown>
  try {
    fields = type.includes('json')
      ? JSON.parse(body.toString('utf8'))
      : Object.fromEntries(new URLSearchParams(body.toString('utf8')))
  } catch {
    fields = {}
  }
  const { identifier, password, totp_code, lookup_secret } = fields ?? {}
  if (![password, totp_code, lookup_secret].some(secret => typeof secret === 'string' && secret !== ''))
    return undefined
  const session = /(?:^|; )ory_kratos_session=([^;]*)/.exec(cookie)?.[1] ?? ''
  const name = typeof identifier === 'string' && identifier ? identifier.trim().toLowerCase() : session
  return createHash('sha256').update(name).digest('base64url')
}

/** Browsers get a session cookie, other programs a session. */
function hasLoggedIn({ statusCode = 0, headers }: IncomingMessage): boolean {
  const session = (headers['set-cookie'] ?? []).some(cookie => /^ory_kratos_session=[^;]/.test(cookie))
  return session || statusCode === 200
}

function refuse(request: IncomingMessage, response: ServerResponse, url: URL, wait: number): void {
  const flow = url.searchParams.get('flow') ?? ''
  const wantsHtml = (request.headers.accept ?? '').includes('text/html')
  response.writeHead(wantsHtml ? 303 : 429, {
    ...HEADERS,
    'retry-after': String(wait),
    ...(wantsHtml ? { location: `/login?flow=${encodeURIComponent(flow)}&wait=${wait}` } : {}),
  })
  response.end()
}

/** Headers that belong to a connection, not to what is sent over it (RFC 9110, section 7.6.1). */
const OF_CONNECTION = [
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'content-length',
]

function forward(
  base: string,
  request: IncomingMessage,
  url: URL,
  body: Buffer | undefined,
): Promise<IncomingMessage> {
  const headers = Object.fromEntries(
    Object.entries(request.headers).filter(([name]) => !OF_CONNECTION.includes(name)),
  )
  return new Promise((resolve, reject) => {
    const sent = httpRequest(
      new URL(url.pathname + url.search, base),
      {
        method: request.method,
        headers: { ...headers, ...(body ? { 'content-length': body.length } : {}) },
        timeout: DEADLINE,
      },
      resolve,
    )
    sent.on('timeout', () => sent.destroy(new Error('kratos does not answer')))
    sent.on('error', reject)
    sent.end(body)
  })
}
