/** The part `login` of test-cluster on the real hydra, kratos and panel, as of a platform that is only a domain name. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { TestCheck } from '../../scripts/test-cluster/checks.ts'
import { LoginBed } from '../bed/login/bed.ts'
import { clientOf } from '../bed/login/clients.ts'
import { runScript } from '../harness-script.ts'
import { suite } from '../suite.ts'

const test = suite('test-cluster, login')
const folder = mkdtempSync(join(tmpdir(), 'oas-test-login-'))
let bed: LoginBed

const clients = (path: string, init: RequestInit = {}) =>
  fetch(`${bed.hydraAdmin}/clients${path}`, { headers: { 'content-type': 'application/json' }, ...init })
async function register(client: Record<string, unknown>): Promise<void> {
  await clients(`/${client.client_id}`, { method: 'DELETE' })
  const answer = await clients('', { method: 'POST', body: JSON.stringify(client) })
  assert.ok(answer.ok, await answer.text())
}
const wekan = () => clientOf('wekan', { ...bed.variables, wekan_oauth_client_secret: 'a-secret-of-wekan' })

test.before(async () => {
  bed = await LoginBed.up(folder, { progress: text => console.error(text), waiting: () => {} })
  await register(wekan())
})
test.after(async () => {
  await bed?.down()
  rmSync(folder, { recursive: true, force: true })
})

/** The checks that did not pass, as `NAME: WHAT`. */
async function failing(timeout = '1s'): Promise<{ code: number | null; bad: string[]; all: number }> {
  const to = ['--fqdn', bed.domain, '--connect-to', `127.0.0.1:1:${bed.ports.ingress}`]
  const { code, stdout, stderr } = await runScript(
    'test-cluster',
    [...to, '--only', 'login', '--app', 'wekan', '--timeout', timeout, '--json'],
    { env: { NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem') } },
  )
  const { result } = JSON.parse(stdout) as { result?: { checks: TestCheck[] } }
  assert.ok(result, stderr)
  const bad = result!.checks
    .filter(({ problem }) => problem)
    .map(({ name, problem }) => `${name}: ${problem!.what}`)
  return { code, bad, all: result!.checks.length }
}

test('a single sign-on that works passes', async () => {
  assert.equal(await failing('2m'), { code: 0, bad: [], all: 3 })
})

test('a client with another redirect address, and one that is not registered, fail by themselves', async () => {
  await register({ ...wekan(), redirect_uris: ['https://elsewhere.example.org/callback'] })
  const moved = await failing('10s')
  assert.is(moved.code, 3)
  assert.is(moved.bad.length, 1)
  assert.match(moved.bad[0]!, /^wekan: authorisation request: hydra refuses wekan with https:/)
  await clients('/wekan', { method: 'DELETE' })
  const gone = await failing('10s')
  assert.is(gone.bad.length, 1)
  assert.match(gone.bad[0]!, /^wekan: authorisation request: hydra refuses wekan/)
  await register(wekan())
  assert.equal((await failing('2m')).bad, [])
})

test.run()
