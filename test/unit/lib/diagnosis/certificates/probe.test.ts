import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { HostFacts } from '../../../../../lib/diagnosis/certificates/host-facts.ts'
import { hopsText, hostProblems } from '../../../../../lib/diagnosis/certificates/host-problems.ts'
import { probeHttp } from '../../../../../lib/diagnosis/certificates/http-probe.ts'
import { probeTls } from '../../../../../lib/diagnosis/certificates/tls-probe.ts'

const host = 'chat.oas.example.org'
const challenge = { name: 'chat-1', key: 'token.thumbprint' }
const path = '/.well-known/acme-challenge/token'

/** Works with a server that is there for this alone. */
async function against<T>(server: Server, work: (port: number) => Promise<T>): Promise<T> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  try {
    return await work((server.address() as AddressInfo).port)
  } finally {
    if ('closeAllConnections' in server) (server as ReturnType<typeof createServer>).closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
}

function ask(answer: (request: IncomingMessage, response: ServerResponse) => void, asked = challenge) {
  return against(createServer(answer), port =>
    probeHttp({ host, address: '127.0.0.1', http: port, https: 1, path, challenge: asked }),
  )
}

test('the right answer is told from others', async () => {
  const right = await ask((request, response) => {
    assert.equal([request.headers.host, request.url], [host, path])
    response.setHeader('server', 'test').end(`${challenge.key}\n`)
  })
  assert.is(right.matches, true)
  assert.equal(
    right.hops.map(({ status, server }) => [status, server]),
    [[200, 'test']],
  )
  assert.is((await ask((_request, response) => void response.end('something else'))).matches, false)
  assert.is((await ask((_request, response) => void response.writeHead(503).end())).matches, false)
})

test('redirects within the host are followed, in a circle only so far', async () => {
  const found = await ask((request, response) => {
    if (request.url === path) response.writeHead(302, { location: '/elsewhere' }).end()
    else response.end(challenge.key)
  })
  assert.is(found.matches, true)
  assert.is(found.hops.length, 2)
  const circle = await ask((_request, response) => void response.writeHead(301, { location: path }).end())
  assert.is(circle.failed?.kind, 'redirects')
  assert.is(circle.hops.length, 11)
})

test('a redirect to another port or scheme is as far as it goes', async () => {
  for (const location of [
    'http://chat.oas.example.org:8080/',
    'ftp://chat.oas.example.org/',
    'http://[bad/',
  ]) {
    const { failed } = await ask((_request, response) => void response.writeHead(302, { location }).end())
    assert.is(failed?.kind, 'redirects', location)
  }
})

test('more than an answer to a challenge is not read', async () => {
  const { matches } = await ask((_request, response) => {
    response.on('error', () => {})
    const write = () => {
      while (!response.destroyed && response.write('x'.repeat(65536)));
      if (!response.destroyed) response.once('drain', write)
    }
    write()
  })
  assert.is(matches, false)
})

test('who refuses, and who ends the connection, is told apart', async () => {
  const port = await against(createTcpServer(), async free => free)
  const question = { host, address: '127.0.0.1', http: port, https: port, path }
  assert.is((await probeHttp(question)).failed?.kind, 'refused')
  assert.is((await probeTls(question)).failed?.kind, 'refused')
  const reset = createTcpServer(socket => socket.destroy())
  const broken = await against(reset, at => probeHttp({ ...question, http: at }))
  assert.is(broken.failed?.kind, 'reset')
  const plain = createTcpServer(socket => {
    socket.on('error', () => {})
    socket.resume() // otherwise its end is not noticed
    socket.end('this is no TLS\n')
  })
  const spoken = await against(plain, at => probeTls({ ...question, https: at }))
  assert.equal(spoken.chain, [])
  assert.is(spoken.failed?.kind, 'tls')
})

test('an interruption ends a question', async () => {
  const abort = new AbortController()
  setTimeout(() => abort.abort(new Error('interrupted')), 50)
  const silent = createServer(() => {})
  await against(silent, async port => {
    const question = { host, address: '127.0.0.1', http: port, https: port, path }
    try {
      await probeHttp(question, abort.signal)
      assert.unreachable()
    } catch (error) {
      assert.match((error as Error).message, 'interrupted')
    }
  })
})

const facts = (more: Partial<HostFacts>): HostFacts => ({
  host,
  expected: ['203.0.113.7'],
  dns: [{ name: host, resolver: '9.9.9.9', a: ['203.0.113.7'], aaaa: [] }],
  caa: [],
  http: [],
  tls: [],
  ...more,
})
const rulesOf = (more: Partial<HostFacts>) => hostProblems(facts(more)).map(({ rule }) => rule)
const answer = (more: object) => ({ name: host, resolver: '9.9.9.9', a: [], aaaa: [], ...more })

test('what DNS says against a host', () => {
  assert.equal(rulesOf({}), [])
  assert.equal(rulesOf({ dns: [answer({})] }), ['host-dns-missing'])
  assert.equal(rulesOf({ dns: [answer({ failed: 'ESERVFAIL' })] }), ['host-dns-fails'])
  assert.equal(rulesOf({ dns: [answer({ failed: 'ETIMEOUT' })] }), [], 'the resolver is at fault')
  assert.equal(rulesOf({ dns: [answer({ a: ['198.51.100.4'] })] }), ['host-dns-elsewhere'])
  assert.equal(rulesOf({ dns: [answer({ a: ['203.0.113.7'], aaaa: ['2001:db8::7'] })] }), [
    'host-aaaa-elsewhere',
  ])
  assert.equal(
    rulesOf({ expected: ['10.0.0.5'], dns: [answer({ a: ['8.8.8.8'] })] }),
    [],
    'a server behind a router does not know its public address',
  )
})

test('what CAA records say against a host', () => {
  const records = (issue: string) => ({ caa: [{ name: host, records: [{ critical: 0, issue }] }] })
  assert.equal(rulesOf(records('letsencrypt.org')), [])
  assert.equal(rulesOf(records('ca.example.net')), ['host-caa-forbids'])
})

test('what port 80 says against a host', () => {
  const at = '203.0.113.7:80'
  const http = (more: object) => ({ http: [{ at, path, hops: [], ...more }] })
  const failed = (kind: string) => http({ failed: { kind, message: kind } })
  assert.equal(rulesOf(failed('refused')), ['host-port-80-refused'])
  assert.equal(rulesOf(failed('timeout')), ['host-port-80-filtered'])
  assert.equal(rulesOf(failed('silent')), ['host-port-80-broken'])
  assert.equal(rulesOf(failed('unreachable')), [], 'this machine has no IPv6')
  const hop = { url: `http://${host}${path}`, status: 308, location: `https://${host}/` }
  const behind = { hops: [hop], failed: { kind: 'refused', message: 'refused' } }
  assert.equal(rulesOf(http(behind)), [], 'any other path may be redirected')
  assert.equal(rulesOf(http({ ...behind, challenge: 'chat-1' })), ['host-redirect'])
  assert.equal(
    rulesOf(http({ challenge: 'chat-1', matches: false, hops: [{ url: hop.url, status: 404 }] })),
    ['host-answers-otherwise'],
  )
})

test('the token of a challenge is not told whole', () => {
  const text = hopsText({
    at: '203.0.113.7:80',
    path: '/.well-known/acme-challenge/0123456789abcdef',
    hops: [],
  })
  assert.match(text, 'acme-challenge/01234567…')
  assert.not.match(text, '89abcdef')
})

test.run()
