import { createPrivateKey, X509Certificate } from 'node:crypto'
import { existsSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { pathToFileURL } from 'node:url'
import type { KubeConfig } from '@kubernetes/client-node'
import { codeOf, ExpectedError, messageOf } from './errors.ts'
import { BUNDLE, ENTRY } from './kube-bundle.ts'

/** Loads the KubeConfig class: from the bundle where it was built, else from the package. The one lazy door. */
async function loadKubeConfig(): Promise<typeof KubeConfig> {
  const module = existsSync(BUNDLE) ? await import(pathToFileURL(BUNDLE).href) : await import(ENTRY)
  return module.KubeConfig
}

/** An answer of the API server that is no success: the Status object's reason and message, and the HTTP code. */
export class ApiError extends Error {
  override name = 'ApiError'
  readonly code: number
  readonly reason: string
  readonly details: { name?: string; kind?: string; causes?: { field?: string; message?: string }[] }

  constructor(code: number, status: { reason?: string; message?: string; details?: ApiError['details'] }) {
    super(status.message || `HTTP ${code}`)
    this.code = code
    this.reason = status.reason ?? ''
    this.details = status.details ?? {}
  }
}

/** One request to the API server. `path` begins with a slash and has its names percent-encoded already. */
export interface ApiRequest {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  path: string
  query?: Record<string, string | number | boolean | undefined>
  body?: unknown
  contentType?: string
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
  /** The body as text: logs, /readyz. */
  text(request: ApiRequest): Promise<string>
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
  const agent = cluster.proxyUrl
    ? options.agent
    : url.protocol === 'http:'
      ? new http.Agent({ keepAlive: true })
      : new https.Agent({ ...(tls as https.AgentOptions), keepAlive: true, maxSockets: 32 })

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
    text: send,
    close: () => {
      if (agent && typeof agent !== 'boolean') agent.destroy()
    },
  }

  async function send(request: ApiRequest): Promise<string> {
    const method = request.method ?? 'GET'
    // Credentials of an exec plugin expire: they are asked for anew, from the package's own cache.
    const auth: https.RequestOptions = {}
    await config.applyToHTTPSOptions(auth)
    const target = new URL(cluster!.server.replace(/\/$/, '') + request.path)
    for (const [name, value] of Object.entries(request.query ?? {}))
      if (value !== undefined) target.searchParams.set(name, String(value))
    const payload = request.body === undefined ? undefined : JSON.stringify(request.body)
    const signals = [AbortSignal.timeout(request.timeout ?? 15_000)]
    if (request.signal) signals.push(request.signal)
    try {
      const { code, text, date } = await exchange(target, {
        method,
        agent,
        auth: auth.auth,
        signal: AbortSignal.any(signals),
        headers: {
          ...(auth.headers as Record<string, string>),
          accept: 'application/json, text/plain;q=0.5, */*;q=0.1',
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
      const serverNow = Date.parse(date ?? '')
      if (!Number.isNaN(serverNow)) client.clockOffset = serverNow - Date.now()
      if (code >= 200 && code < 300) return text
      throw new ApiError(code, parseStatus(text))
    } catch (error) {
      if (error instanceof ApiError) throw error
      if (request.signal?.aborted) throw request.signal.reason
      throw unreachable(cluster!.server, error)
    }
  }
  return client
}

function exchange(
  target: URL,
  options: https.RequestOptions & { payload?: string },
): Promise<{ code: number; text: string; date?: string }> {
  const { payload, ...requestOptions } = options
  return new Promise((resolve, reject) => {
    const request = (target.protocol === 'http:' ? http : https).request(target, requestOptions, response => {
      const chunks: Buffer[] = []
      response.on('data', chunk => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () =>
        resolve({
          code: response.statusCode ?? 0,
          text: Buffer.concat(chunks).toString('utf8'),
          date: response.headers.date,
        }),
      )
    })
    request.on('error', reject)
    request.end(payload)
  })
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
    return new ExpectedError(`the API server ${server} does not answer in time`, nodeFix, { cause: error })
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
  return new ExpectedError(
    `the API server ${server} cannot be reached (${code || messageOf(error)})`,
    nodeFix,
    { cause: error },
  )
}
