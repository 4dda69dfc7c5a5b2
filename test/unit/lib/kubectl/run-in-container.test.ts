/** What a command in a container says, from a small server that speaks the protocol: a stand-in for the API server. */
import { writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { runInContainer } from '../../../../lib/kubectl/run-in-container.ts'
import { ExpectedError } from '../../../../lib/script/errors.ts'
import { suite } from '../../../suite.ts'
import { temporaryFolder } from '../../helpers.ts'

const test = suite('exec')

interface Peer {
  send(data: Buffer): void
  close(): void
  terminate(): void
}
/** What we use of the server of the package `ws`, which has no types of its own. */
interface Upgrades {
  handleUpgrade(request: unknown, socket: unknown, head: unknown, then: (peer: Peer) => void): void
}

let server: Server
let kubeconfig: string
let asked: URL
let answer: ((peer: Peer) => void) | undefined

test.before(async () => {
  const { WebSocketServer } = (await import('ws' as string)) as {
    WebSocketServer: new (o: object) => Upgrades
  }
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'v5.channel.k8s.io' })
  server = createServer()
  server.on('upgrade', (request, socket, head) => {
    asked = new URL(request.url!, 'http://localhost')
    const behave = answer
    if (behave) return sockets.handleUpgrade(request, socket, head, behave)
    const body = JSON.stringify({ kind: 'Status', message: 'pods "db" is forbidden' })
    socket.end(
      `HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    )
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  kubeconfig = join(temporaryFolder(), 'config')
  const { port } = server.address() as AddressInfo
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      'current-context': 'c',
      contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
      clusters: [{ name: 'k', cluster: { server: `http://127.0.0.1:${port}` } }],
      users: [{ name: 'u', user: { token: 'none' } }],
    }),
  )
})

test.after(() => {
  server?.close()
  server?.closeAllConnections()
})

const place = { namespace: 'oas', pod: 'db-0', container: 'postgres' }
const run = (signal?: AbortSignal) =>
  runInContainer(kubeconfig, place, ['sh', '-c', 'echo "a b"'], { signal })
const part = (channel: number, text: string) => Buffer.concat([Buffer.of(channel), Buffer.from(text)])
/** What it throws. */
async function failure(signal?: AbortSignal): Promise<Error> {
  try {
    await run(signal)
  } catch (error) {
    return error as Error
  }
  throw new Error('it did not fail')
}

test('pieces of both outputs, and the exit code', async () => {
  const letters = Buffer.from('Müller')
  answer = peer => {
    for (const data of [part(1, ''), Buffer.concat([Buffer.of(1), letters.subarray(0, 2)]), part(2, 'no')])
      peer.send(data)
    peer.send(Buffer.concat([Buffer.of(1), letters.subarray(2)]))
    const details = { causes: [{ reason: 'ExitCode', message: '3' }] }
    peer.send(part(3, JSON.stringify({ status: 'Failure', reason: 'NonZeroExitCode', details })))
    peer.close()
  }
  assert.equal(await run(), { stdout: 'Müller', stderr: 'no', code: 3 })
  assert.is(asked.pathname, '/api/v1/namespaces/oas/pods/db-0/exec')
  assert.equal(asked.searchParams.getAll('command'), ['sh', '-c', 'echo "a b"'])
  assert.is(asked.searchParams.get('container'), 'postgres')
})

test('refused, cut off, nonsense, no server: an error in two lines', async () => {
  answer = undefined
  assert.match((await failure()).message, /HTTP 403: pods "db" is forbidden/)
  answer = peer => {
    peer.send(part(1, 'half'))
    peer.terminate()
  }
  assert.match((await failure()).message, /closed before its end/)
  answer = peer => {
    peer.send(Buffer.alloc(0))
    peer.send(part(9, 'another channel'))
    peer.send(part(3, 'no status'))
    peer.close()
  }
  const error = await failure()
  assert.instance(error, ExpectedError)
  assert.match(error.message, /not of Kubernetes/)
})

test('Ctrl-C ends it', async () => {
  answer = () => {}
  const controller = new AbortController()
  setTimeout(() => controller.abort(new Error('interrupted')), 100)
  assert.is((await failure(controller.signal)).message, 'interrupted')
})

test.run()
