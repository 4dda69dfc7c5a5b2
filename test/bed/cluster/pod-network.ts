/**
 * The sandbox's pod network as the API server sees it, a process of its own: pods of the sandbox have addresses,
 * but nothing listens there. This is the HTTP proxy (CONNECT) by which the API server reaches pods, and it leads
 * whoever asks for a port of the stand-in for Loki, of hydra, kratos or the panel to where the sandbox runs that. So
 * `/api/v1/namespaces/oas/services/http:loki:3100/proxy` works like on a server: the Service, its endpoints and the
 * pod's readiness are looked at by the API server itself. A test leads other ports to servers of its own (FILE).
 *
 * Usage: node --import tsx test/bed/cluster/pod-network.ts --port=PORT --pki=FOLDER --routes=FILE --forward=PORT-OF-PODS=PORT…
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { connect } from 'node:net'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readIfExists } from '../../../lib/script/files.ts'
import { LOOPBACK } from './spec.ts'

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    pki: { type: 'string' },
    routes: { type: 'string' },
    forward: { type: 'string', multiple: true },
  },
})
/** By the port of a pod, the one on which the sandbox runs what listens there. */
const forwards = new Map(
  (values.forward ?? []).map(pair => pair.split('=').map(Number) as [from: number, to: number]),
)

/** Where a connection really goes: kwok's answers for the node are asked at its own address. */
function destination(host: string, port: number): number | undefined {
  if (host === LOOPBACK) return port
  const routes: Record<string, number> = JSON.parse(readIfExists(values.routes ?? '') ?? '{}')
  return forwards.get(port) ?? routes[port]
}

const pem = (file: string) => readFileSync(join(values.pki!, file))
const server = createServer(
  {
    // Whoever may come in by this could talk to anything on this machine: nobody without one of our certificates.
    ca: pem('ca.crt'),
    cert: pem('serving.crt'),
    key: pem('serving.key'),
    requestCert: true,
    rejectUnauthorized: true,
  },
  (request, response) => {
    response.writeHead(request.url === '/healthz' ? 200 : 404).end()
  },
)
server.on('connect', (request, client, head) => {
  client.on('error', () => {})
  const [host = '', port] = (request.url ?? '').split(':')
  const to = destination(host, Number(port))
  if (to === undefined) return void client.end('HTTP/1.1 502 nothing listens there\r\n\r\n')
  const upstream = connect(to, LOOPBACK, () => {
    client.write('HTTP/1.1 200 OK\r\n\r\n')
    upstream.write(head)
    upstream.pipe(client)
    client.pipe(upstream)
  })
  upstream.on('error', () => client.destroy())
  upstream.on('close', () => client.destroy())
  client.on('close', () => upstream.destroy())
})
server.listen(Number(values.port), LOOPBACK)
