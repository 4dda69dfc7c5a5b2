/**
 * The sandbox's web server, a process of its own. It stands in for the ingress controller and for the pods behind
 * it, which do not run: on one port for port 80, on the other for port 443, with the certificates that are in the
 * Secrets of the Ingresses. Challenges of ACME (HTTP-01) are answered for real. It is a proxy, too: cert-manager
 * checks a challenge on port 80 before it has it accepted, and comes here by HTTP_PROXY.
 *
 * Usage: node --import tsx test/bed/cluster/web.ts --http=PORT --https=PORT --health=PORT --server=URL --pki=DIR --faults=FILE
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { createSecureContext, type SecureContext } from 'node:tls'
import { parseArgs } from 'node:util'
import type { KubeObject } from '../../../lib/kubectl/kubectl.ts'
import { Api } from './api.ts'
import { defaultCertificate } from './default-certificate.ts'
import { LOOPBACK } from './spec.ts'
import { readFaults } from './web-faults.ts'
import { answerTo, secretFor } from './web-routes.ts'

const options = { type: 'string' } as const
const { values } = parseArgs({
  options: { http: options, https: options, health: options, server: options, pki: options, faults: options },
})
const api = new Api({ pki: values.pki! })
const faults = () => readFaults(values.faults!)

/** What is at a path of the API server, or undefined when there is nothing. */
async function get(path: string): Promise<KubeObject | undefined> {
  const { status, body } = await api.once(`${values.server}${path}`, { timeout: 10_000 })
  if (status === 404) return undefined
  if (status !== 200) throw new Error(`${path}: ${status}`)
  return JSON.parse(body)
}
const all = async (path: string) => ((await get(path))?.items ?? []) as KubeObject[]
const ingresses = () => all('/apis/networking.k8s.io/v1/ingresses')

async function answerHttp(request: IncomingMessage, response: ServerResponse): Promise<void> {
  // As a proxy it is asked for the whole URL.
  const proxied = !request.url!.startsWith('/')
  const { hostname, pathname } = new URL(request.url!, `http://${request.headers.host ?? 'unknown'}`)
  const { fault, only } = faults().http[hostname] ?? {}
  const hit = only === undefined || only === (proxied ? 'self-check' : 'acme')
  if (fault !== undefined && hit) {
    if (fault === 'refuse') return void request.socket.destroy()
    if (fault === 'hang') return
    if (fault === 'redirect')
      return void response.writeHead(301, { location: `https://${hostname}${pathname}` }).end()
    if (fault === 'wrong') return void response.end('<html><title>This domain is parked</title></html>\n')
    return void response.writeHead(fault).end()
  }
  const [routes, services, pods] = await Promise.all([
    ingresses(),
    all('/api/v1/services'),
    all('/api/v1/pods'),
  ])
  const { status, body, location } = answerTo({ ingresses: routes, services, pods }, hostname, pathname)
  response.writeHead(status, location ? { location } : {}).end(body)
}

const http = createServer((request, response) => {
  answerHttp(request, response).catch(error => {
    console.error(String(error))
    response.writeHead(502).end()
  })
})

/** What was served last for a host: a fault is that it is served still. */
const served = new Map<string, SecureContext>()

async function contextFor(host: string): Promise<SecureContext | undefined> {
  const fault = faults().tls[host]
  if (fault === 'refuse') throw new Error('refused on purpose')
  if (fault === 'default') return undefined
  if (fault === 'stale' && served.has(host)) return served.get(host)
  const secret = secretFor(await ingresses(), host)
  if (!secret) return undefined
  const data = (await get(`/api/v1/namespaces/${secret.namespace}/secrets/${secret.name}`))?.data
  if (!data?.['tls.crt'] || !data['tls.key']) return undefined
  const pem = (name: string) => Buffer.from(data[name], 'base64')
  try {
    served.set(host, createSecureContext({ cert: pem('tls.crt'), key: pem('tls.key') }))
  } catch {
    return undefined // no certificate, or not of this key: as if it were not there
  }
  return served.get(host)
}

const https = createTlsServer(
  {
    ...(await defaultCertificate()),
    SNICallback: (host, done) => {
      contextFor(host).then(
        context => done(null, context),
        error => {
          console.error(String(error))
          done(error)
        },
      )
    },
  },
  (request, response) => {
    const fault = faults().tls[(request.headers.host ?? '').split(':')[0]!]
    // As flux2/infrastructure-configs/hsts.yaml has it.
    const hsts = fault === 'no-hsts' ? {} : { 'strict-transport-security': 'max-age=15768000' }
    response.writeHead(fault === 'away' ? 503 : 200, hsts).end('the sandbox\n')
  },
)
createServer((_request, response) => response.end()).listen(Number(values.health), LOOPBACK)
https.listen(Number(values.https), LOOPBACK)
http.listen(Number(values.http), LOOPBACK)

// Nobody listens on port 80: no fault of one host, and not told by the requests, which do not come.
setInterval(() => {
  const refuse = faults().http['*'] !== undefined
  if (refuse && http.listening) {
    http.close()
    http.closeAllConnections()
  } else if (!refuse && !http.listening) http.listen(Number(values.http), LOOPBACK)
}, 200)
