import http from 'node:http'
import https from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, ExpectedError } from '../script/errors.ts'
import { warnOnce } from '../script/log.ts'
import { Bodies, parseObject } from './answer.ts'
import { ApiError } from './api-error.ts'
import { checkCredentials, unreachable } from './connection-errors.ts'
import { type Access, readKubeconfig } from './kubeconfig.ts'

/** One request to the API server. `path` begins with a slash and has its names percent-encoded already. */
export interface ApiRequest {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  path: string
  query?: Record<string, string | number | boolean | undefined>
  body?: unknown
  contentType?: string
  /** A form in place of a body, for services behind the API server's proxy. */
  form?: Record<string, string>
  /** Further headers, for those services; the API server's own credentials are never among them. */
  headers?: Record<string, string>
  /** What is accepted as the answer, where that is not plain JSON. */
  accept?: string
  /** Milliseconds until it gives up; 15 s unless told. */
  timeout?: number
  signal?: AbortSignal
}

/** A connection to one API server. Made by `connect`. */
export interface KubeClient {
  /** The server's URL. */
  server: string
  /** Milliseconds that the server's clock is ahead of ours, by the Date header of its last answer. */
  clockOffset: number
  /** The parsed JSON body. Throws ApiError for an answer that reports a failure, ExpectedError for none at all. */
  request<T>(request: ApiRequest): Promise<T>
  /**
   * The same for a service behind the API server's proxy, which may answer with any JSON or nothing: the body as
   * text, and its Link header, which leads to the next page ('' without one).
   */
  exchange(request: ApiRequest): Promise<{ text: string; link: string }>
  /**
   * The body as text, in pieces as they come, and without a timeout: a log that is followed may be silent for
   * days. On connections of its own, so that many of them keep nobody else waiting. Throws like `request`.
   */
  stream(request: Omit<ApiRequest, 'timeout'>): AsyncGenerator<string, void>
  close(): void
}

/** Milliseconds until an answer has to be there as a whole, unless told. */
const PATIENCE = 15_000
/**
 * How often a request is sent again that the server has not looked at yet (429 with Retry-After): a kind that was
 * installed a moment ago, "storage is (re)initializing". client-go does it ten times (rest/with_retry.go).
 */
const RETRIES = 5
/** Seconds of Retry-After that are waited for. */
const LONGEST_PAUSE = 2
/**
 * A connection that ends without an answer: the server closed an idle one at this moment, or has too much to do for a
 * handshake. What only reads is asked again after a second, as client-go does (rest/request.go).
 */
const RESET = new Set(['ECONNRESET', 'EPIPE'])

/**
 * Reads a kubeconfig and prepares a connection. Nothing is sent yet; a connection that anybody in between could read
 * is warned of. Throws an ExpectedError for a kubeconfig that cannot be used (see `readKubeconfig`), and when its
 * client certificate has expired: the server would only say "Unauthorized".
 *
 * It talks JSON over node:https instead of the generated clients, because those drop fields that their models
 * do not know, have no timeouts and hand back errors as unparsed text. Nothing that comes back is trusted: an answer
 * is bounded in size and in time, and has to be a JSON object.
 */
export async function connect(kubeconfig: string): Promise<KubeClient> {
  return connectTo(await readKubeconfig(kubeconfig), kubeconfig)
}

/** The same with an access that is known already; `name` is what messages call it. */
export async function connectTo(access: Access, name: string): Promise<KubeClient> {
  const { server } = access
  const options = await access.options()
  checkCredentials(options, name)
  if (access.unsafe)
    warnOnce(`the connection to ${server} can be read and changed by anybody in between: ${access.unsafe}`)

  const { agent: proxy, headers: _headers, auth: _auth, ...tls } = options
  const newAgent = (settings: http.AgentOptions) =>
    access.proxied
      ? (proxy as http.Agent)
      : server.startsWith('http:')
        ? new http.Agent(settings)
        : new https.Agent({ ...(tls as https.AgentOptions), ...settings })
  const agent = newAgent({ keepAlive: true, maxSockets: 32 })
  const streamAgent = newAgent({})
  const bodies = new Bodies(server)

  const client: KubeClient = {
    server,
    clockOffset: 0,
    request: async <T>(request: ApiRequest) => parseObject(server, (await send(request)).text) as T,
    exchange: send,
    stream,
    close: () => {
      for (const each of [agent, streamAgent]) each.destroy()
    },
  }

  /** Sends a request; resolves with a success as soon as its head is there. Throws ApiError for anything else. */
  async function open(
    request: ApiRequest,
    connection: { agent: http.Agent; signal?: AbortSignal },
  ): Promise<http.IncomingMessage> {
    const reads = (request.method ?? 'GET') === 'GET'
    for (let tries = 0; ; tries++) {
      let response: http.IncomingMessage
      try {
        response = await answerTo(request, connection)
      } catch (error) {
        if (!reads || tries === RETRIES || !RESET.has(codeOf(error) ?? '')) throw error
        await sleep(1000, undefined, { signal: connection.signal }).catch(() => {
          throw error
        })
        continue
      }
      const code = response.statusCode ?? 0
      if (code >= 200 && code < 300) return response
      const pause = Number(response.headers['retry-after'])
      if (code !== 429 || tries === RETRIES || !(pause > 0 && pause <= LONGEST_PAUSE))
        throw await bodies.errorOf(response)
      response.destroy()
      await sleep(pause * 1000, undefined, { signal: connection.signal })
    }
  }

  /** Sends a request, and resolves with the head of its answer. */
  async function answerTo(
    request: ApiRequest,
    connection: { agent: http.Agent; signal?: AbortSignal },
  ): Promise<http.IncomingMessage> {
    const method = request.method ?? 'GET'
    const { headers, auth } = await unlessAborted(access.options(), connection.signal)
    const target = new URL(server + request.path)
    for (const [name, value] of Object.entries(request.query ?? {}))
      if (value !== undefined) target.searchParams.set(name, String(value))
    const json = request.body === undefined ? undefined : JSON.stringify(request.body)
    const payload = request.form ? new URLSearchParams(request.form).toString() : json
    const type = request.form ? 'application/x-www-form-urlencoded' : 'application/json'
    const response = await head(target, {
      method,
      ...connection,
      auth,
      headers: {
        ...request.headers,
        ...(headers as http.OutgoingHttpHeaders),
        accept: request.accept ?? 'application/json, text/plain;q=0.5, */*;q=0.1',
        'user-agent': 'openappstack-runbooks',
        ...(payload === undefined
          ? {}
          : {
              'content-type': request.contentType ?? type,
              'content-length': Buffer.byteLength(payload),
            }),
      },
      payload,
    })
    const serverNow = Date.parse(response.headers.date ?? '')
    if (!Number.isNaN(serverNow)) client.clockOffset = serverNow - Date.now()
    return response
  }

  async function send(request: ApiRequest): Promise<{ text: string; link: string }> {
    const deadline = AbortSignal.timeout(request.timeout ?? PATIENCE)
    const signal = request.signal ? AbortSignal.any([deadline, request.signal]) : deadline
    try {
      const response = await open(request, { agent, signal })
      return { text: await bodies.read(response), link: String(response.headers.link ?? '') }
    } catch (error) {
      if (error instanceof ApiError || error instanceof ExpectedError) throw error
      if (request.signal?.aborted) throw request.signal.reason
      // A body that is too slow ends in a connection that was reset: by us.
      throw unreachable(server, deadline.aborted ? deadline.reason : error)
    }
  }

  async function* stream(request: Omit<ApiRequest, 'timeout'>): AsyncGenerator<string, void> {
    try {
      const response = await open(request, { agent: streamAgent, signal: request.signal })
      response.socket.setKeepAlive(true, 30_000) // else a server that has vanished is never noticed
      yield* response.setEncoding('utf8')
    } catch (error) {
      if (error instanceof ApiError || error instanceof ExpectedError) throw error
      throw request.signal?.aborted ? request.signal.reason : unreachable(server, error)
    }
  }
  return client
}

/** The promise, or the signal's reason when that comes first: a plugin may never end. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise
  signal.throwIfAborted()
  let end = () => {}
  const aborted = new Promise<never>((_, reject) => {
    end = () => reject(signal.reason)
    signal.addEventListener('abort', end, { once: true })
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', end)
  }
}

/** Sends a request and resolves with the head of the answer. */
function head(
  target: URL,
  options: https.RequestOptions & { payload?: string },
): Promise<http.IncomingMessage> {
  const { payload, ...requestOptions } = options
  return new Promise((resolve, reject) => {
    const request = (target.protocol === 'http:' ? http : https).request(target, requestOptions, resolve)
    request.on('error', reject)
    request.end(payload)
  })
}
