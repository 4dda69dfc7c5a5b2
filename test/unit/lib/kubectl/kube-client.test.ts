import { once } from 'node:events'
import type { RequestListener, ServerResponse } from 'node:http'
import net from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ApiError } from '../../../../lib/kubectl/api-error.ts'
import { unreachable } from '../../../../lib/kubectl/connection-errors.ts'
import { connect } from '../../../../lib/kubectl/kube-client.ts'
import { certificate } from '../../certificates.ts'
import { expectedFrom } from '../../helpers.ts'
import { kubeconfigFile, nobody, serve } from '../../transport.ts'

const base64 = (text: string) => Buffer.from(text).toString('base64')
const refused = (file: string) => expectedFrom(() => connect(file))
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

test('a request is sent again when the server has not looked at it yet, and says when', async () => {
  let asked = 0
  const busy = (header: object, times: number): RequestListener => {
    asked = 0
    return (_request, response) =>
      asked++ < times ? response.writeHead(429, { ...header }).end('{}') : response.end('{"kind":"List"}')
  }
  const body = { kind: 'Thing' }
  await against(busy({ 'retry-after': '1' }, 1), async client =>
    assert.equal(await client.request({ method: 'POST', path: '/x', body }), { kind: 'List' }),
  )
  assert.is(asked, 2)
  for (const header of [{}, { 'retry-after': '3600' }, { 'retry-after': '-1' }, { 'retry-after': 'soon' }]) {
    const answer = busy(header, 1)
    await against(answer, async client => {
      const error = await client.request({ path: '/x' }).catch(thrown => thrown)
      assert.ok(error instanceof ApiError && error.code === 429, String(error))
    })
    assert.is(asked, 1, JSON.stringify(header))
  }
})

test('what only reads is asked again when its connection was reset; what writes is not', async () => {
  let asked = 0
  const resets: RequestListener = (request, response) =>
    asked++ % 2 === 0 ? request.socket.resetAndDestroy() : response.end('{"kind":"Thing"}')
  await against(resets, async client => {
    assert.equal(await client.request({ path: '/x' }), { kind: 'Thing' })
    assert.is(asked, 2)
    const write = () => client.request({ method: 'POST', path: '/x', body: {} })
    assert.match((await expectedFrom(write)).message, 'cannot be reached (ECONNRESET)')
    assert.is(asked, 3)
  })
})

test('a service behind the proxy gets a form, and is told in its own words', async () => {
  const words = async (body: object) => {
    const answer: RequestListener = async (request, response) => {
      let form = ''
      for await (const piece of request) form += piece
      assert.is(request.headers['content-type'], 'application/x-www-form-urlencoded')
      assert.is(request.headers['x-other'], 'yes')
      assert.is(form, 'code=a%26b')
      response.writeHead(401).end(JSON.stringify(body))
    }
    return against(answer, client =>
      client
        .exchange({ method: 'POST', path: '/', form: { code: 'a&b' }, headers: { 'x-other': 'yes' } })
        .then(
          () => '',
          (error: ApiError) => `${error.reason}${error.message}`,
        ),
    )
  }
  assert.is(await words({ error: 'invalid_client', error_description: 'unknown' }), 'invalid_client: unknown')
  assert.is(await words({ error: { message: 'no', reason: 'away' } }), 'no: away')
  assert.is(await words({ errors: { database: 'refused' } }), 'database: refused')
  assert.is(await words({ error: 5, errors: null }), 'HTTP 401')
})

test('a server that is away is looked for where it is: the sandbox here, any other by ssh', () => {
  const away = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })
  assert.match(unreachable('https://127.0.0.1:6443', away).fix, 'scripts/sandbox.ts up')
  for (const server of ['https://oas.example.org:6443', 'https://203.0.113.7:6443']) {
    assert.match(unreachable(server, away).fix, 'scripts/ssh.ts --sudo -- systemctl status k3s')
    assert.not.match(unreachable(server, away).fix, 'sandbox')
  }
})

test('transport: a port where nobody listens fails at once, in two lines', async () => {
  const server = await nobody()
  const client = await connect(kubeconfigFile({ server }))
  const started = performance.now()
  const error = await expectedFrom(() => client.request({ path: '/version' }))
  assert.ok(performance.now() - started < 10_000)
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

for (const [what, answer, told] of [
  ['a page', response => response.end('<html>Please log in</html>'), '<html>Please log in</html>'],
  ['nothing', response => response.end(), 'an empty answer'],
  ['null', response => response.end('null'), 'null in place of an object'],
  ['a number', response => response.end('42'), '42 in place of an object'],
  ['a list', response => response.end('[{}]'), '[{}] in place of an object'],
  ['control characters', response => response.end('\x1b]52;c;AA\x07\x9b2J'), '\\x1b]52;c;AA\\x07\\x9b2J'],
  [
    'a redirect',
    response => response.writeHead(302, { location: 'https://login.example/' }).end(),
    'HTTP 302, which leads to https://login.example/',
  ],
] as [string, (response: ServerResponse) => unknown, string][])
  test(`transport: ${what} in place of an object is not a Kubernetes API`, () =>
    against(
      (_request, response) => answer(response),
      async (client, url) => {
        const error = await expectedFrom(() => client.request({ path: '/version' }))
        assert.is(error.message, `${url} answers, but it is not a Kubernetes API: ${told}`)
        assert.match(error.fix, 'correct the address in the kubeconfig')
      },
    ))

test('transport: what does not speak HTTP, or not TLS, is not a Kubernetes API', async () => {
  const greeting = net.createServer(socket => socket.end('SSH-2.0-OpenSSH_9.2\r\n')).listen(0, '127.0.0.1')
  await once(greeting, 'listening')
  greeting.unref()
  const { port } = greeting.address() as net.AddressInfo
  const plain = await serve((_request, response) => response.end('{}'))
  for (const [server, told] of [
    [`http://127.0.0.1:${port}`, 'it does not speak HTTP (HPE_'],
    [plain.url.replace('http:', 'https:'), 'it does not speak TLS'],
  ] as const) {
    const client = await connect(kubeconfigFile({ server }))
    const error = await expectedFrom(() => client.request({ path: '/' }))
    assert.ok(
      error.message.startsWith(`${server} answers, but it is not a Kubernetes API: ${told}`),
      error.message,
    )
    client.close()
  }
  greeting.close()
  plain.close()
})

for (const [what, parallel] of [
  ['of one answer', 1],
  ['of answers at once', 12],
] as const)
  test(`transport: a body without end is cut off, ${what}`, () =>
    against(
      (_request, response) => {
        const piece = Buffer.alloc(1 << 20, 'x')
        response.on('error', () => {})
        const more = () => {
          while (!response.destroyed && response.write(piece));
          if (!response.destroyed) response.once('drain', more)
        }
        more()
      },
      async (client, url) => {
        const before = process.memoryUsage().rss
        const errors = await Promise.all(
          Array.from({ length: parallel }, () => expectedFrom(() => client.request({ path: '/' }))),
        )
        for (const error of errors) assert.is(error.message, `${url} sends more than 32 MiB as one answer`)
        assert.ok(process.memoryUsage().rss - before < 200 << 20, String(process.memoryUsage().rss - before))
      },
    ))

test('transport: a body that comes too slowly has not come in time', () =>
  against(
    (_request, response) => {
      response.writeHead(200, { 'content-length': 100 })
      const timer = setInterval(() => response.write(' '), 20)
      response.on('close', () => clearInterval(timer)).on('error', () => {})
    },
    async client => {
      const error = await expectedFrom(() => client.request({ path: '/', timeout: 200 }))
      assert.match(error.message, 'does not answer in time')
    },
  ))

test('transport: an answer that does not come in time', () =>
  against(
    () => undefined,
    async client => {
      const started = performance.now()
      const error = await expectedFrom(() => client.request({ path: '/', timeout: 100 }))
      assert.match(error.message, 'does not answer in time')
      assert.ok(performance.now() - started < 10_000)
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
