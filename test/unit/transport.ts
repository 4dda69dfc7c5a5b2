import { writeFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { temporaryFolder } from './helpers.ts'

/** A server of the test's own on a free port of the loopback. It is no Kubernetes: it tests what happens on the wire. */
export async function serve(
  answer: http.RequestListener,
  tls?: { cert: string; key: string },
): Promise<{ url: string; close: () => void }> {
  const server = tls ? https.createServer(tls, answer) : http.createServer(answer)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  server.unref() // a test that fails half-way must not keep the suite from ending
  const { port } = server.address() as AddressInfo
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** The address of a port where nobody listens. */
export async function nobody(): Promise<string> {
  const { url, close } = await serve(() => undefined)
  close()
  return url
}

/** A file with a kubeconfig for this server and user; both are objects as YAML takes them. */
export function kubeconfigFile(
  given: { server: string; [key: string]: string },
  user: object = { token: 'ttt' },
): string {
  // The package takes plain HTTP only from somebody who says that nothing is verified.
  const cluster = { ...given, 'insecure-skip-tls-verify': given.server.startsWith('http:') }
  const file = join(temporaryFolder(), 'kubeconfig')
  const text = JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  })
  writeFileSync(file, text, { mode: 0o600 })
  return file
}
