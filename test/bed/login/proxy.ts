import {
  createServer as createHttpServer,
  request as httpRequest,
  type IncomingMessage,
  type Server as PlainServer,
  type ServerResponse,
} from 'node:http'
import { createServer, type Server } from 'node:https'
import { connect } from 'node:net'

/** Where requests for a host, and a path that begins so, are led: a loopback port, or a handler of the test. */
export interface Route {
  host: string
  prefix: string
  to: number | ((request: IncomingMessage, response: ServerResponse) => void)
}

/** The route of a request: of those for its host the one with the longest prefix, as the ingress chooses. Pure. */
export function routeFor(routes: readonly Route[], host: string, path: string): Route | undefined {
  return routes
    .filter(route => route.host === host)
    .filter(({ prefix }) => prefix === '/' || path === prefix || path.startsWith(`${prefix}/`))
    .sort((a, b) => b.prefix.length - a.prefix.length)[0]
}

/** What stands in for the ingress controller: TLS, and the paths of the Ingress objects. Plain HTTP behind it. */
export function ingress(certificate: { key: string; cert: string }, routes: readonly Route[]): Server {
  return createServer(certificate, (request, response) => {
    const [host = ''] = (request.headers.host ?? '').split(':')
    const route = routeFor(routes, host, new URL(request.url ?? '/', 'https://x').pathname)
    if (!route) return void response.writeHead(404).end('no Ingress for this host and path')
    // As Traefik does: the address of the client at the end, and what the client claims is dropped.
    request.headers['x-forwarded-for'] = request.socket.remoteAddress ?? ''
    request.headers['x-forwarded-proto'] = 'https'
    if (typeof route.to === 'function') return route.to(request, response)
    const onward = httpRequest(
      {
        port: route.to,
        host: '127.0.0.1',
        path: request.url,
        method: request.method,
        headers: request.headers,
      },
      answer => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
      },
    )
    onward.on('error', () =>
      response.headersSent ? response.destroy() : response.writeHead(502).end('Bad Gateway'),
    )
    request.pipe(onward)
  })
}

/** What stands in for DNS: an HTTP proxy that leads every host that a program asks for to a port of loopback. */
export function namesTo(port: number): PlainServer {
  return createHttpServer().on('connect', (_request, client, head) => {
    const onward = connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n')
      onward.write(head)
      onward.pipe(client).pipe(onward)
    })
    for (const [one, other] of [
      [client, onward],
      [onward, client],
    ] as const)
      one.on('error', () => other.destroy())
  })
}
