import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ApiError } from '../../../../lib/kubectl/api-error.ts'
import { connect } from '../../../../lib/kubectl/kube-client.ts'
import { certificate } from '../../certificates.ts'
import { expectedFrom, temporaryFolder } from '../../helpers.ts'
import { kubeconfigFile, nobody, serve } from '../../transport.ts'

const base64 = (text: string) => Buffer.from(text).toString('base64')
const refused = (file: string) => expectedFrom(() => connect(file))
const text = (content: string) => {
  const file = join(temporaryFolder(), 'kubeconfig')
  writeFileSync(file, content)
  return file
}

test('a kubeconfig that is not there is named', async () => {
  const error = await refused('/none/kubeconfig')
  assert.is(error.message, 'there is no kubeconfig /none/kubeconfig')
  assert.match(error.fix, '--kubeconfig FILE')
})

test('what is no kubeconfig in YAML is refused, and nothing of it is quoted', async () => {
  const folder = join(temporaryFolder(), 'folder')
  mkdirSync(folder)
  for (const file of [
    text('users: [\n token: hunter2hunter2'),
    text('\ttoken: hunter2hunter2'),
    text(''),
    folder,
  ]) {
    const error = await refused(file)
    assert.ok(error.message.startsWith(`${file} is not usable`), error.message)
    assert.not.match(`${error.message} ${error.fix}`, 'hunter2')
  }
})

test('a kubeconfig without a usable context says so', async () => {
  const file = kubeconfigFile({ server: 'https://127.0.0.1:1' })
  const config = JSON.parse(readFileSync(file, 'utf8'))
  for (const broken of [
    { ...config, 'current-context': undefined },
    { ...config, 'current-context': 'gone' },
    { ...config, contexts: [{ name: 'x', context: { cluster: 'gone', user: 'u' } }] },
    { apiVersion: 'v1', kind: 'Config' },
  ])
    assert.match((await refused(text(JSON.stringify(broken)))).message, /current context .*names no cluster/)
  assert.match((await refused(kubeconfigFile({ server: 'nonsense' }))).message, '"nonsense" is not a URL')
})

test('a file that the kubeconfig refers to has to be there', async () => {
  const error = await refused(
    kubeconfigFile({ server: 'https://127.0.0.1:1', 'certificate-authority': '/none/ca.crt' }),
  )
  assert.match(error.message, /is not usable: .*\/none\/ca\.crt/)
})

for (const [what, from, until, message] of [
  ['has expired', -10, -1, 'its client certificate expired on '],
  ['is not valid yet', 1, 10, /its client certificate is not valid before .*this machine's clock says/],
] as const)
  test(`a client certificate that ${what} is named before anything is sent`, async () => {
    const { cert, key } = await certificate(from, until)
    const user = { 'client-certificate-data': base64(cert), 'client-key-data': base64(key) }
    assert.match((await refused(kubeconfigFile({ server: 'https://127.0.0.1:1' }, user))).message, message)
  })

test('a client key has to belong to its certificate, and both have to be readable', async () => {
  const [one, two] = [await certificate(-1, 1), await certificate(-1, 1)]
  for (const [cert, key, message] of [
    [one.cert, two.key, 'its client key does not belong to its client certificate'],
    [one.cert, 'no key', 'its client key cannot be read'],
    ['no certificate', one.key, 'its client certificate cannot be read'],
  ] as const) {
    const user = { 'client-certificate-data': base64(cert), 'client-key-data': base64(key) }
    assert.match((await refused(kubeconfigFile({ server: 'https://127.0.0.1:1' }, user))).message, message)
  }
  const user = { 'client-certificate-data': base64(one.cert), 'client-key-data': base64(one.key) }
  ;(await connect(kubeconfigFile({ server: 'https://127.0.0.1:1' }, user))).close()
})

/** A client of a server of the test's own, closed afterwards together with it. */
async function against<T>(
  answer: RequestListener,
  work: (client: Awaited<ReturnType<typeof connect>>, url: string) => Promise<T>,
) {
  const server = await serve(answer)
  const client = await connect(kubeconfigFile({ server: server.url }))
  try {
    return await work(client, server.url)
  } finally {
    client.close()
    server.close()
  }
}

test('transport: a port where nobody listens fails within a second, in two lines', async () => {
  const server = await nobody()
  const client = await connect(kubeconfigFile({ server }))
  const started = performance.now()
  const error = await expectedFrom(() => client.request({ path: '/version' }))
  assert.ok(performance.now() - started < 1000)
  assert.is(error.message, `the API server ${server} cannot be reached (ECONNREFUSED)`)
  assert.match(error.fix, 'is the cluster running')
  assert.not.match(`${error.message}${error.fix}`, '\n')
})

test('transport: method, path, query, body and type arrive as they were given', () =>
  against(
    (request, response) => {
      let body = ''
      request.on('data', chunk => {
        body += chunk
      })
      request.on('end', () =>
        response.end(
          JSON.stringify({
            method: request.method,
            url: request.url,
            type: request.headers['content-type'],
            body,
          }),
        ),
      )
    },
    async client => {
      const request = {
        method: 'PATCH',
        path: '/api/v1/a%2Fb',
        query: { force: true, dryRun: undefined, limit: 5, labelSelector: 'a=b,c' },
        body: { ü: 1 },
        contentType: 'application/apply-patch+yaml',
      } as const
      assert.equal(await client.request(request), {
        method: 'PATCH',
        url: '/api/v1/a%2Fb?force=true&limit=5&labelSelector=a%3Db%2Cc',
        type: 'application/apply-patch+yaml',
        body: '{"ü":1}',
      })
    },
  ))

for (const [what, status, body, reason, message] of [
  [
    'a Status object',
    409,
    '{"reason":"Conflict","message":"the object has been modified"}',
    'Conflict',
    'the object has been modified',
  ],
  ['plain text', 503, 'apiserver not ready\nmore\n', '', 'apiserver not ready'],
  [
    'an HTML page',
    502,
    '<html><title>502 Bad Gateway</title>\n</html>',
    '',
    '<html><title>502 Bad Gateway</title>',
  ],
  ['nothing', 500, '', '', 'HTTP 500'],
  ['JSON that is no Status', 500, '"oops"', '', '"oops"'],
  ['a Status without a message', 500, '{}', '', 'HTTP 500'],
] as const)
  test(`transport: an error answered with ${what}`, () =>
    against(
      (_request, response) => response.writeHead(status).end(body),
      async client => {
        try {
          await client.request({ path: '/' })
          assert.unreachable()
        } catch (error) {
          assert.instance(error, ApiError)
          const { code, reason: actual, message: told } = error as ApiError
          assert.equal([code, actual, told], [status, reason, message])
        }
      },
    ))

test('transport: a long error page is cut', () =>
  against(
    (_request, response) => response.writeHead(500).end('x'.repeat(100_000)),
    async client => {
      const error = (await client.request({ path: '/' }).catch(e => e)) as Error
      assert.is(error.message.length, 200)
    },
  ))

test('transport: a page in place of an answer is no defect of ours', () =>
  against(
    (_request, response) => response.end('<html>Please log in</html>'),
    async (client, url) => {
      const error = await expectedFrom(() => client.request({ path: '/version' }))
      assert.match(error.message, url)
    },
  ))

test('transport: an answer that does not come in time', () =>
  against(
    () => undefined,
    async client => {
      const started = performance.now()
      const error = await expectedFrom(() => client.request({ path: '/', timeout: 100 }))
      assert.match(error.message, 'does not answer in time')
      assert.ok(performance.now() - started < 1000)
    },
  ))

test('transport: an answer that stops in the middle', () =>
  against(
    (_request, response) => {
      response.writeHead(200, { 'content-length': 100 }).write('{')
      setTimeout(() => response.destroy(), 20)
    },
    async client => {
      assert.match((await expectedFrom(() => client.request({ path: '/' }))).message, 'cannot be reached')
    },
  ))

test('transport: an abort ends a request with its own reason', () =>
  against(
    () => undefined,
    async client => {
      const abort = new AbortController()
      const reason = new Error('interrupted')
      setTimeout(() => abort.abort(reason), 20)
      assert.is(await client.request({ path: '/', signal: abort.signal }).catch(e => e), reason)
    },
  ))

test('transport: the server’s clock is read from its Date header, and rubbish is none', async () => {
  let date = new Date(Date.now() + 600_000).toUTCString()
  await against(
    (_request, response) => response.setHeader('date', date).end('{}'),
    async client => {
      await client.request({ path: '/' })
      assert.ok(Math.abs(client.clockOffset - 600_000) < 2500, String(client.clockOffset))
      date = 'rubbish'
      await client.request({ path: '/' })
      assert.not.ok(Number.isNaN(client.clockOffset))
    },
  )
})

test('transport: a server certificate is checked against the CA of the kubeconfig, and its time', async () => {
  const [valid, other, expired] = [
    await certificate(-1, 1),
    await certificate(-1, 1),
    await certificate(-10, -1),
  ]
  const ask = async (tls: { cert: string; key: string }, ca: string) => {
    const server = await serve((_request, response) => response.end('{"ok":true}'), tls)
    const client = await connect(
      kubeconfigFile({ server: server.url, 'certificate-authority-data': base64(ca) }),
    )
    try {
      return await client.request({ path: '/' })
    } finally {
      client.close()
      server.close()
    }
  }
  assert.equal(await ask(valid, valid.cert), { ok: true })
  assert.match((await expectedFrom(() => ask(valid, other.cert))).message, 'cannot be trusted')
  assert.match((await expectedFrom(() => ask(expired, expired.cert))).message, 'has expired')
})

test('transport: a client certificate is presented', async () => {
  const [server, user] = [await certificate(-1, 1), await certificate(-1, 1)]
  const tls = { ...server, requestCert: true, rejectUnauthorized: false }
  const { url, close } = await serve((request, response) => {
    const { subject } = (request.socket as import('node:tls').TLSSocket).getPeerCertificate()
    response.end(JSON.stringify({ name: subject?.CN }))
  }, tls)
  const client = await connect(
    kubeconfigFile(
      { server: url, 'certificate-authority-data': base64(server.cert) },
      { 'client-certificate-data': base64(user.cert), 'client-key-data': base64(user.key) },
    ),
  )
  assert.equal(await client.request({ path: '/' }), { name: 'unit' })
  client.close()
  close()
})

test.run()
