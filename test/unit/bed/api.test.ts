import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { Api } from '../../bed/cluster/api.ts'
import { ensurePki } from '../../bed/cluster/pki.ts'
import { readdress } from '../../bed/cluster/readdress.ts'
import type { Ports } from '../../bed/cluster/spec.ts'
import { test } from '../../suite.ts'

const pki = mkdtempSync(join(tmpdir(), 'oas-api-'))
test.before(async () => void (await ensurePki(pki)))
test.after(() => rmSync(pki, { recursive: true, force: true }))

/** Runs `work` against a server that answers so. */
async function against(listener: RequestListener, work: (url: string) => Promise<void>): Promise<void> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await new Promise(done => server.once('listening', done))
  try {
    await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

test('asks again until there is a good answer; what is refused is not asked again', async () => {
  let asked = 0
  const busy: RequestListener = (request, response) => {
    asked++
    if (request.url === '/missing') response.writeHead(404).end()
    else if (asked === 1) request.socket.destroy()
    else response.writeHead([200, 200, 503, 429][asked] ?? 200).end('late')
  }
  const api = new Api({ pki })
  await against(busy, async url => {
    assert.equal(await api.request(`${url}/busy`, { method: 'PATCH', body: '{}' }), {
      status: 200,
      body: 'late',
    })
    assert.is(asked, 4)
    assert.is((await api.request(`${url}/missing`)).status, 404)
    assert.is(asked, 5)
  })
  api.close()
})

test('sends once what must not be done twice, and waits for nothing once it is interrupted', async () => {
  let asked = 0
  const never: RequestListener = (_request, response) => {
    asked++
    response.writeHead(503).end()
  }
  const stop = new AbortController()
  const api = new Api({ pki }, stop.signal)
  await against(never, async url => {
    assert.is((await api.request(url, { method: 'POST', body: '{}' })).status, 503)
    assert.is(asked, 1)
    const waiting = api.request(url)
    stop.abort(new Error('interrupted'))
    await waiting.then(
      () => assert.unreachable(),
      error => assert.is(error.message, 'interrupted'),
    )
  })
  api.close()
})

test('tells what is installed the ports of now: URLs, variables and issuers, and nothing else', async () => {
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  const repository = { url: 'http://127.0.0.1:20000/openappstack.git' }
  const lists: Record<string, object[]> = {
    '/apis/source.toolkit.fluxcd.io/v1/gitrepositories': [
      {
        metadata: { name: 'oas', namespace: 'flux-system' },
        spec: repository,
        status: { artifact: { url: 'http://127.0.0.1:20002/oas.tar.gz' } },
      },
    ],
    '/apis/source.toolkit.fluxcd.io/v1/helmrepositories': [
      { metadata: { name: 'far', namespace: 'flux-system' }, spec: { url: 'https://charts.example.org' } },
    ],
    '/apis/cert-manager.io/v1/clusterissuers': [
      { metadata: { name: 'acme' }, spec: { acme: { server: 'https://127.0.0.1:20001/dir' } } },
    ],
    '/api/v1/namespaces/flux-system/secrets': [
      {
        metadata: { name: 'variables', namespace: 'flux-system' },
        data: { mirror: base64('http://127.0.0.1:20000/charts'), port: base64('20000'), raw: '/w==' },
      },
    ],
  }
  const patched: Record<string, unknown> = {}
  const cluster: RequestListener = async (request, response) => {
    if (request.method === 'GET') {
      const items = lists[request.url!]
      return void response.writeHead(items ? 200 : 404).end(JSON.stringify({ items }))
    }
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    patched[`${request.method} ${request.url}`] = JSON.parse(Buffer.concat(chunks).toString())
    response.end('{}')
  }
  const api = new Api({ pki })
  await against(cluster, async url => {
    // Each has the other's port of before.
    const known = { server: 20_000, pebble: 20_001, artifacts: 20_002 }
    await readdress(api, url, known, { server: 20_001, pebble: 20_000, artifacts: 20_003 } as Ports)
    assert.equal(patched, {
      'PATCH /apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system/gitrepositories/oas': {
        spec: { url: 'http://127.0.0.1:20001/openappstack.git' },
      },
      'PATCH /apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system/gitrepositories/oas/status': {
        status: { artifact: { url: 'http://127.0.0.1:20003/oas.tar.gz' } },
      },
      'PATCH /apis/cert-manager.io/v1/clusterissuers/acme': {
        spec: { acme: { server: 'https://127.0.0.1:20000/dir' } },
      },
      'PATCH /api/v1/namespaces/flux-system/secrets/variables': {
        data: { mirror: base64('http://127.0.0.1:20001/charts'), port: base64('20000'), raw: '/w==' },
      },
    })
  })
  api.close()
})

test.run()
