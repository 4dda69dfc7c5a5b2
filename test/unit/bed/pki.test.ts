import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { load } from 'js-yaml'
import * as assert from 'uvu/assert'
import { ensurePki, kubeconfig } from '../../bed/cluster/pki.ts'
import { test } from '../../suite.ts'

const folder = mkdtempSync(join(tmpdir(), 'oas-pki-'))
const read = (file: string) => readFileSync(join(folder, file), 'utf8')
const DAY = 86_400_000

test.after(() => rmSync(folder, { recursive: true, force: true }))

test('issues a CA, certificates and keys that nobody else can read, once', async () => {
  assert.is(await ensurePki(folder), true)
  for (const file of readdirSync(folder)) assert.is(statSync(join(folder, file)).mode & 0o777, 0o600, file)
  assert.is(await ensurePki(folder), false)
  const ca = new X509Certificate(read('ca.crt'))
  const admin = new X509Certificate(read('admin.crt'))
  assert.ok(ca.ca)
  assert.ok(admin.verify(ca.publicKey))
  assert.match(admin.subject, /O=system:masters/)
})

test('lets a client in by its certificate, and nobody without one', async () => {
  const server = createServer(
    {
      ca: read('ca.crt'),
      cert: read('serving.crt'),
      key: read('serving.key'),
      requestCert: true,
      rejectUnauthorized: true,
    },
    (_, response) => response.end('hello'),
  )
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const ask = (client: object) =>
    new Promise<number>((resolve, reject) =>
      request({ host: '127.0.0.1', port, ca: read('ca.crt'), agent: false, ...client }, answer => {
        answer.resume()
        resolve(answer.statusCode!)
      })
        .on('error', reject)
        .end(),
    )
  assert.is(await ask({ cert: read('kwok.crt'), key: read('kwok.key') }), 200)
  let refused = false
  await ask({}).catch(() => {
    refused = true
  })
  assert.ok(refused)
  server.close()
})

test('issues anew what ends within a month, and keeps the key of the service accounts', async () => {
  const before = { ca: read('ca.crt'), accounts: read('service-account.key') }
  assert.is(await ensurePki(folder, new Date(Date.now() + 300 * DAY)), false)
  assert.is(await ensurePki(folder, new Date(Date.now() + 340 * DAY)), true)
  assert.is.not(read('ca.crt'), before.ca)
  assert.is(read('service-account.key'), before.accounts)
})

for (const damaged of ['admin.crt', 'serving.key', 'ca.crt', 'service-account.pub'])
  test(`issues anew when ${damaged} is cut off`, async () => {
    await ensurePki(folder)
    writeFileSync(join(folder, damaged), read(damaged).slice(0, 100))
    assert.is(await ensurePki(folder), true)
    assert.is(await ensurePki(folder), false)
  })

test('notices a certificate of another CA', async () => {
  await ensurePki(folder)
  const old = read('ca.crt')
  rmSync(join(folder, 'admin.crt'))
  await ensurePki(folder)
  writeFileSync(join(folder, 'ca.crt'), old)
  assert.is(await ensurePki(folder), true)
})

test('writes a kubeconfig with the certificates in it', () => {
  const config = load(
    kubeconfig({ cluster: 'sandbox', server: 'https://127.0.0.1:1', ca: 'a', certificate: 'b', key: 'c' }),
  ) as { users: { user: Record<string, string> }[]; clusters: { cluster: Record<string, string> }[] }
  assert.is(config.clusters[0]!.cluster.server, 'https://127.0.0.1:1')
  assert.equal(config.users[0]!.user, { 'client-certificate-data': 'Yg==', 'client-key-data': 'Yw==' })
})

test.run()
