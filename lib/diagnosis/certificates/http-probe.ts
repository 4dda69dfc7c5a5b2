import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { TLSSocket } from 'node:tls'
import type { Hop, HttpFacts } from './host-facts.ts'
import { PROBE_TIMEOUT, probeFailureOf, SILENCE } from './probe-failure.ts'

/** As many redirects as Let's Encrypt follows (https://letsencrypt.org/docs/challenge-types/#http-01-challenge). */
const MOST_HOPS = 10

/** Bytes of an answer that are read: the answer to a challenge has about 90. */
const MOST_BYTES = 2048

/** A request to a host's port 80. */
export interface HttpQuestion {
  host: string
  /** Where the connection goes: the request still names the host. */
  address: string
  http: number
  https: number
  path: string
  /** The Challenge that the path belongs to, and its expected answer. */
  challenge?: { name: string; key: string }
}

/**
 * Requests a path as an authority does: on port 80, following redirects to ports 80 and 443 without checking
 * certificates. Redirects within the host go to the same address, others to the address of their host. Never
 * throws, except for the signal.
 */
export async function probeHttp(question: HttpQuestion, signal?: AbortSignal): Promise<HttpFacts> {
  const { host, address, path, challenge } = question
  const hops: Hop[] = []
  const facts = { at: at(address, question.http), path, challenge: challenge?.name, hops }
  let url = new URL(`http://${host}${path}`)
  try {
    for (;;) {
      const { status, headers, body } = await exchangeHttp(url, targetOf(url, question), signal)
      const location = status >= 300 && status < 400 ? headers.location : undefined
      const server = [headers.server].flat()[0]
      hops.push({ url: url.href, status, server: server?.slice(0, 80), location: location?.slice(0, 300) })
      if (location === undefined)
        return { ...facts, matches: challenge && status === 200 && body === challenge.key }
      if (!URL.canParse(location, url.href))
        return redirects(facts, `to ${JSON.stringify(location.slice(0, 100))}`)
      url = new URL(location, url.href)
      if (!/^https?:$/.test(url.protocol) || url.port !== '')
        return redirects(facts, `to ${url.origin}, but an authority follows to ports 80 and 443 only`)
      if (hops.length > MOST_HOPS) return redirects(facts, 'in a circle')
    }
  } catch (error) {
    signal?.throwIfAborted()
    return { ...facts, failed: probeFailureOf(error) }
  }
}

/** Within the host the connection goes to its address, otherwise to that of the other host. */
function targetOf({ protocol, hostname }: URL, question: HttpQuestion): HttpTarget {
  const isSecure = protocol === 'https:'
  return hostname === question.host
    ? { address: question.address, port: isSecure ? question.https : question.http }
    : { address: hostname, port: isSecure ? 443 : 80 }
}

const redirects = (facts: HttpFacts, where: string): HttpFacts => ({
  ...facts,
  failed: { kind: 'redirects', message: `it redirects ${where}` },
})

/** An address with a port, as it is written in a URL. Pure. */
export function at(address: string, port: number): string {
  return `${address.includes(':') ? `[${address}]` : address}:${port}`
}

/** What a server answers. */
export interface HttpAnswer {
  status: number
  headers: IncomingMessage['headers']
  /** Its beginning, as Latin-1. */
  body: string
  /** Why a program would not trust its certificate: a code of OpenSSL, or ERR_TLS_CERT_ALTNAME_INVALID. */
  distrust?: string
  /** When its certificate ends, ISO 8601. */
  notAfter?: string
}

/** Where a request goes, and what is sent. */
export interface HttpTarget {
  address: string
  port: number
  method?: 'GET' | 'POST'
  headers?: Record<string, string>
  body?: string
  /** Bytes of the answer that are read. */
  most?: number
}

/**
 * One request, whose answer is read as far as it is needed. Certificates are not checked, but judged in the answer.
 * Throws what the connection throws, and an error of the code SILENCE when the exchange takes too long.
 */
export function exchangeHttp(url: URL, target: HttpTarget, signal?: AbortSignal): Promise<HttpAnswer> {
  const isSecure = url.protocol === 'https:'
  const { most = MOST_BYTES, body = '' } = target
  return new Promise((resolve, reject) => {
    const sent = (isSecure ? httpsRequest : httpRequest)({
      host: target.address,
      port: target.port,
      method: target.method ?? 'GET',
      path: `${url.pathname}${url.search}`,
      headers: {
        ...target.headers,
        host: url.host,
        'user-agent': 'openappstack-runbooks',
        connection: 'close',
        ...(body ? { 'content-length': Buffer.byteLength(body) } : {}),
      },
      servername: url.hostname,
      rejectUnauthorized: false, // an authority does not check certificates either
      agent: false,
      signal,
    })
    // Of the whole exchange: a server that sends one byte a second would reset a timeout of the socket.
    const timer = setTimeout(
      () => sent.destroy(Object.assign(new Error('no answer in time'), { code: SILENCE })),
      PROBE_TIMEOUT,
    )
    sent.on('close', () => clearTimeout(timer))
    sent.on('error', reject)
    sent.on('response', response => {
      const chunks: Buffer[] = []
      let length = 0
      const trust = isSecure ? trustOf(response.socket as TLSSocket) : {}
      const end = () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString('latin1').trimEnd(),
          ...trust,
        })
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        length += chunk.length
        if (length < most) return
        end()
        sent.destroy()
      })
      response.on('end', end)
      response.on('error', reject)
    })
    sent.end(body)
  })
}

/** Whether the certificate of a connection is trusted, and until when it is valid. */
function trustOf(socket: TLSSocket): Pick<HttpAnswer, 'distrust' | 'notAfter'> {
  const { authorizationError: why } = socket as { authorizationError?: string | { code?: string } }
  const { valid_to } = socket.getPeerCertificate()
  const until = Date.parse(valid_to ?? '')
  return {
    ...(socket.authorized ? {} : { distrust: (typeof why === 'string' ? why : why?.code) ?? 'unknown' }),
    ...(Number.isNaN(until) ? {} : { notAfter: new Date(until).toISOString() }),
  }
}
