import { createPrivateKey, X509Certificate } from 'node:crypto'
import { existsSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { codeOf, ExpectedError, messageOf, TransientError } from '../script/errors.ts'
import { ApiError } from './api-error.ts'
import { loadKubeConfig } from './kube-bundle.ts'

/** One request to the API server. `path` begins with a slash and has its names percent-encoded already. */
export interface ApiRequest {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  path: string
  query?: Record<string, string | number | boolean | undefined>
  body?: unknown
  contentType?: string
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
  /** The parsed JSON body. Throws ApiError for an answer that is no success, ExpectedError for none at all. */
  request<T>(request: ApiRequest): Promise<T>
  /**
   * The body as text, in pieces as they come, and without a timeout: a log that is followed may be silent for
   * days. On connections of its own, so that many of them keep nobody else waiting. Throws like `request`.
   */
  stream(request: Omit<ApiRequest, 'timeout'>): AsyncGenerator<string, void>
  close(): void
}

const nodeFix =
  'is the cluster running, and is its address right? For the sandbox: npx tsx scripts/sandbox.ts up'

/**
 * Reads a kubeconfig and prepares a connection. Nothing is sent yet. Throws an ExpectedError when the file is
 * missing, malformed or lacks a context, and when its client certificate has expired: the server would only
 * say "Unauthorized".
 *
 * It talks JSON over node:https instead of the generated clients, because those drop fields that their models
 * do not know, have no timeouts and hand back errors as unparsed text.
 */
export async function connect(kubeconfig: string): Promise<KubeClient> {
  if (!existsSync(kubeconfig))
    throw new ExpectedError(
      `there is no kubeconfig ${kubeconfig}`,
      'copy the kubeconfig of the cluster there, or give it with `install-core --kubeconfig FILE`',
    )
  const config = new (await loadKubeConfig())()
  const broken = (what: string, cause?: unknown) =>
    new ExpectedError(`${kubeconfig} is not usable: ${what}`, 'fetch the kubeconfig from the cluster again', {
      cause,
    })
  try {
    config.loadFromFile(kubeconfig)
  } catch (error) {
    // The parser quotes the file, and with it keys and tokens: only the kind of error is told.
    throw broken('it is not a kubeconfig in YAML', codeOf(error) ? error : undefined)
  }
  const cluster = config.getCurrentCluster()
  if (!cluster?.server)
    throw broken(`its current context ${JSON.stringify(config.currentContext)} names no cluster`)
  const url = URL.parse(cluster.server)
  if (!url) throw broken(`its server ${JSON.stringify(cluster.server)} is not a URL`)

  const options: https.RequestOptions = {}
  try {
    await config.applyToHTTPSOptions(options)
  } catch (error) {
    throw broken(messageOf(error), error)
  }
  checkCredentials(options, broken)
  const { agent: _made, ...tls } = options
  const newAgent = (settings: http.AgentOptions) =>
    cluster.proxyUrl
      ? options.agent
      : url.protocol === 'http:'
        ? new http.Agent(settings)
        : new https.Agent({ ...(tls as https.AgentOptions), ...settings })
  const agent = newAgent({ keepAlive: true, maxSockets: 32 })
  const streamAgent = newAgent({})

  const client: KubeClient = {
    server: cluster.server,
    clockOffset: 0,
    request: async <T>(request: ApiRequest) => {
      const body = await send(request)
      try {
        return (body === '' ? {} : JSON.parse(body)) as T
      } catch (error) {
        throw new ExpectedError(
          `${cluster.server} does not answer like an API server: ${body.trim().split('\n')[0]?.slice(0, 80)}`,
          'is the address in the kubeconfig right, and is no proxy or login page in between?',
          { cause: error },
        )
      }
    },
    stream,
    close: () => {
      for (const each of [agent, streamAgent]) if (each && typeof each !== 'boolean') each.destroy()
    },
  }

  /** Sends a request; resolves with a success as soon as its head is there. Throws ApiError for anything else. */
  async function open(
    request: ApiRequest,
    connection: { agent: typeof agent; signal?: AbortSignal },
  ): Promise<http.IncomingMessage> {
    const method = request.method ?? 'GET'
    // Credentials of an exec plugin expire: they are asked for anew, from the package's own cache.
    const auth: https.RequestOptions = {}
    await config.applyToHTTPSOptions(auth)
    const target = new URL(cluster!.server.replace(/\/$/, '') + request.path)
    for (const [name, value] of Object.entries(request.query ?? {}))
      if (value !== undefined) target.searchParams.set(name, String(value))
    const payload = request.body === undefined ? undefined : JSON.stringify(request.body)
    const response = await head(target, {
      method,
      ...connection,
      auth: auth.auth,
      headers: {
        ...(auth.headers as Record<string, string>),
        accept: request.accept ?? 'application/json, text/plain;q=0.5, */*;q=0.1',
        'user-agent': 'openappstack-runbooks',
        ...(payload === undefined
          ? {}
          : {
              'content-type': request.contentType ?? 'application/json',
              'content-length': Buffer.byteLength(payload),
            }),
      },
      payload,
    })
    const serverNow = Date.parse(response.headers.date ?? '')
    if (!Number.isNaN(serverNow)) client.clockOffset = serverNow - Date.now()
    const code = response.statusCode ?? 0
    if (code >= 200 && code < 300) return response
    throw new ApiError(code, parseStatus(await bodyOf(response)))
  }

  /** What a failed request is told as. */
  function failure(error: unknown, signal: AbortSignal | undefined): unknown {
    if (error instanceof ApiError) return error
    return signal?.aborted ? signal.reason : unreachable(cluster!.server, error)
  }

  async function send(request: ApiRequest): Promise<string> {
    const signals = [AbortSignal.timeout(request.timeout ?? 15_000)]
    if (request.signal) signals.push(request.signal)
    try {
      return await bodyOf(await open(request, { agent, signal: AbortSignal.any(signals) }))
    } catch (error) {
      throw failure(error, request.signal)
    }
  }

  async function* stream(request: Omit<ApiRequest, 'timeout'>): AsyncGenerator<string, void> {
    try {
      const response = await open(request, { agent: streamAgent, signal: request.signal })
      response.socket.setKeepAlive(true, 30_000) // else a server that has vanished is never noticed
      yield* response.setEncoding('utf8')
    } catch (error) {
      throw failure(error, request.signal)
    }
  }
  return client
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

async function bodyOf(response: http.IncomingMessage): Promise<string> {
  let text = ''
  for await (const piece of response.setEncoding('utf8')) text += piece
  return text
}

function parseStatus(text: string): { reason?: string; message?: string; details?: ApiError['details'] } {
  try {
    const status = JSON.parse(text)
    if (typeof status === 'object' && status !== null) return status
  } catch {
    // A proxy in between answers in HTML; its first line has to do.
  }
  return { message: text.trim().split('\n')[0]?.slice(0, 200) }
}

/** Names an expired or not yet valid client certificate, and a key that does not belong to it. */
function checkCredentials(options: https.RequestOptions, broken: (what: string) => ExpectedError): void {
  if (!options.cert) return
  let certificate: X509Certificate
  try {
    certificate = new X509Certificate(options.cert as Buffer)
  } catch {
    throw broken('its client certificate cannot be read')
  }
  const now = Date.now()
  if (Date.parse(certificate.validTo) < now)
    throw broken(`its client certificate expired on ${certificate.validTo}`)
  if (Date.parse(certificate.validFrom) > now)
    throw broken(
      `its client certificate is not valid before ${certificate.validFrom}; this machine's clock says ${new Date(now).toISOString()}`,
    )
  try {
    if (options.key && !certificate.checkPrivateKey(createPrivateKey(options.key as Buffer)))
      throw broken('its client key does not belong to its client certificate')
  } catch (error) {
    throw error instanceof ExpectedError ? error : broken('its client key cannot be read')
  }
}

/** Says in two lines why the API server could not be asked. */
function unreachable(server: string, error: unknown): ExpectedError {
  const code = codeOf(error) ?? ''
  if (error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError'))
    return new TransientError(`the API server ${server} does not answer in time`, nodeFix, { cause: error })
  if (/CERT_HAS_EXPIRED/.test(code))
    return new ExpectedError(
      `the certificate of the API server ${server} has expired`,
      'renew it on the server (k3s renews its certificates when it is restarted), and check the clocks',
      { cause: error },
    )
  if (/CERT_NOT_YET_VALID/.test(code))
    return new ExpectedError(
      `the certificate of the API server ${server} is not valid yet`,
      'a clock is wrong: compare `date -u` here and on the server',
      { cause: error },
    )
  if (/ALTNAME|SIGNATURE|SELF_SIGNED|UNABLE_TO/.test(code))
    return new ExpectedError(
      `the certificate of the API server ${server} cannot be trusted (${code})`,
      'fetch the kubeconfig from the cluster again; if its address changed, the certificate must name the new one',
      { cause: error },
    )
  return new TransientError(
    `the API server ${server} cannot be reached (${code || messageOf(error)})`,
    nodeFix,
    { cause: error },
  )
}
