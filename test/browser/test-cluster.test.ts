/** The part `login` of test-cluster on the real hydra, kratos and panel, as of a platform that is only a domain name. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, request as httpsRequest, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { TestCheck } from '../../scripts/test-cluster/checks.ts'
import { loginClients } from '../../scripts/test-cluster/clients.ts'
import { loginChecks } from '../../scripts/test-cluster/login.ts'
import { issueServing } from '../bed/cluster/pki.ts'
import { LoginBed } from '../bed/login/bed.ts'
import { clientOf } from '../bed/login/clients.ts'
import { runScript } from '../harness-script.ts'
import { suite } from '../suite.ts'

const test = suite('test-cluster, login')
const folder = mkdtempSync(join(tmpdir(), 'oas-test-login-'))
const authorities = join(folder, 'authorities.pem')
let bed: LoginBed
/** The ingress, but a browser gets no cookie from it. */
let cookieless: Server

const clients = (path: string, init: RequestInit = {}) =>
  fetch(`${bed.hydraAdmin}/clients${path}`, { headers: { 'content-type': 'application/json' }, ...init })
async function register(client: Record<string, unknown>): Promise<void> {
  await clients(`/${client.client_id}`, { method: 'DELETE' })
  const answer = await clients('', { method: 'POST', body: JSON.stringify(client) })
  assert.ok(answer.ok, await answer.text())
}
const SECRET = 'a-secret-of-wekan'
const wekan = () => clientOf('wekan', { ...bed.variables, wekan_oauth_client_secret: SECRET })

test.before(async () => {
  bed = await LoginBed.up(folder, { progress: text => console.error(text), waiting: () => {} })
  await register(wekan())
  const { ca, certificate, key } = await issueServing(['*.oas.localhost'])
  writeFileSync(authorities, `${bed.ca}\n${ca}`)
  cookieless = createServer({ cert: certificate, key }, (asked, answer) => {
    const { method, headers, url: path } = asked
    const to = { host: '127.0.0.1', port: bed.ports.ingress, rejectUnauthorized: false }
    const onward = httpsRequest({ ...to, method, headers, path }, got => {
      const { 'set-cookie': _, ...others } = got.headers
      answer.writeHead(got.statusCode ?? 502, others)
      got.pipe(answer)
    })
    onward.on('error', () => answer.destroy())
    asked.pipe(onward)
  })
  await new Promise<void>(resolve => cookieless.listen(0, '127.0.0.1', resolve))
})
test.after(async () => {
  cookieless?.close()
  await bed?.down()
  rmSync(folder, { recursive: true, force: true })
})

const told = (checks: readonly TestCheck[]) =>
  checks.filter(({ problem }) => problem).map(({ name, problem }) => `${name}: ${problem!.what}`)

/** The checks that did not pass, as `NAME: WHAT`, and their remedies. */
async function failing(
  timeout = '1s',
  port = bed.ports.ingress,
): Promise<{ code: number | null; bad: string[]; fixes: string[]; all: number }> {
  const to = ['--fqdn', bed.domain, '--connect-to', `127.0.0.1:1:${port}`]
  const { code, stdout, stderr } = await runScript(
    'test-cluster',
    [...to, '--only', 'login', '--app', 'wekan', '--timeout', timeout, '--json'],
    { env: { NODE_EXTRA_CA_CERTS: authorities } },
  )
  const { result } = JSON.parse(stdout) as { result?: { checks: TestCheck[] } }
  assert.ok(result, stderr)
  const { checks } = result!
  const fixes = checks.flatMap(({ problem }) => (problem ? [problem.fix] : []))
  return { code, bad: told(checks), fixes, all: checks.length }
}

test('a single sign-on that works passes', async () => {
  assert.equal(await failing('2m'), { code: 0, bad: [], fixes: [], all: 3 })
})

test('a client with another redirect address, and one that is not registered, fail by themselves', async () => {
  await register({ ...wekan(), redirect_uris: ['https://elsewhere.example.org/callback'] })
  const moved = await failing('10s')
  assert.is(moved.code, 3)
  assert.is(moved.bad.length, 1)
  assert.match(moved.bad[0]!, /^wekan: authorisation request: hydra refuses wekan with https:/)
  assert.match(moved.fixes[0]!, 'install-app.ts wekan')
  await clients('/wekan', { method: 'DELETE' })
  const gone = await failing('10s')
  assert.is(gone.bad.length, 1)
  assert.match(gone.bad[0]!, /^wekan: authorisation request: hydra refuses wekan/)
  await register(wekan())
  assert.equal((await failing('2m')).bad, [])
})

test('the secret that an application has: the right one passes; a wrong and a missing one fail by themselves', async () => {
  const withSecret = async (secret: string | undefined) =>
    loginChecks({
      domain: bed.domain,
      target: () => ({ address: '127.0.0.1', port: bed.ports.ingress }),
      clients: loginClients({ domain: bed.domain }).filter(({ app }) => app === 'wekan'),
      secretOf: async () => secret,
      signal: new AbortController().signal,
    })
  assert.equal(told(await withSecret(SECRET)), [])
  const wrong = await withSecret('another-secret')
  assert.equal(told(wrong), ['wekan: client secret: hydra does not accept the secret of wekan'])
  assert.match(wrong.find(({ problem }) => problem)!.problem!.fix, 'install-app.ts wekan')
  assert.equal(told(await withSecret(undefined)), [
    'wekan: client secret: Secret oas-apps/oas-wekan-oauth has no CLIENT_SECRET',
  ])
})

test('a login that loses its cookies leads in a circle: only the login page fails', async () => {
  const { code, bad, fixes } = await failing('1s', (cookieless.address() as AddressInfo).port)
  assert.is(code, 3)
  assert.is(bad.length, 1, bad.join('\n'))
  assert.match(bad[0]!, /^login page: .*(redirects in a circle|without a field for a password)/)
  assert.match(fixes[0]!, /scripts\/(logs\.ts logins|app-debug\.ts single-sign-on)/)
  console.log(bad[0])
})

test.run()
