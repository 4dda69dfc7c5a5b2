/**
 * `test-cluster --browser` as a process: real hydra, kratos and panel behind a real API server, the machine's Chromium,
 * and stand-ins for the pages of the applications (stand-ins/pages.ts).
 */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { Identity } from '../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import { editConfig } from '../../lib/platform/config.ts'
import { writeFileAtomic } from '../../lib/script/files.ts'
import type { TestCheck } from '../../scripts/test-cluster/checks.ts'
import { layoutOf } from '../bed/cluster/layout.ts'
import { Bed, type Outcome, runScript, type ScriptOptions } from '../cluster/harness.ts'
import { prepareNamespace, serveAccounts } from '../cluster/login-services.ts'
import { suite } from '../suite.ts'
import { STAND_INS, StandInServer } from './stand-ins/server.ts'
import { zipTexts } from './zip.ts'

const test = suite('people in a browser')
let bed: Bed
let standIns: StandInServer
/** Where port 443 of every host is: the port of the panel here. */
let connectTo: string[]

test.before(async () => {
  bed = await Bed.start({ login: true })
  await prepareNamespace(bed)
  await serveAccounts(bed)
  const domain = new URL(bed.up.login!.panel).host.replace('admin.', '')
  const { cluster, state } = layoutOf('sandbox')
  const [host = '', port] = domain.split(':')
  writeFileAtomic(cluster.env, editConfig(readFileSync(cluster.env, 'utf8'), { domain: host }))
  connectTo = ['--connect-to', `127.0.0.1:1:${port}`]
  const ca = readFileSync(join(state, 'login/ca.pem'), 'utf8')
  standIns = await StandInServer.start({ domain, ca, hydraAdmin: bed.login.hydraAdmin })
  await create({ username: 'mia', metadata_admin: { apps: {} } })
})
test.after(async () => {
  await standIns?.close()
  await bed?.stop()
})

const identities = (query = '') => `${bed.login.kratosAdmin}/admin/identities${query}`
async function create({ username, metadata_admin }: { username: string; metadata_admin: object }) {
  const answer = await fetch(identities(), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      schema_id: 'default',
      traits: { username, email: `${username}@example.org` },
      metadata_admin,
    }),
  })
  assert.ok(answer.ok, await answer.text())
}
const names = async () =>
  ((await (await fetch(identities())).json()) as Identity[]).map(({ traits }) => traits.username).sort()

interface Tested extends Outcome {
  checks: TestCheck[]
  bad: TestCheck[]
}
async function tested(args: readonly string[] = [], options: ScriptOptions = {}): Promise<Tested> {
  const given = ['--only', 'browser', '--json', ...connectTo, ...args]
  const outcome = await runScript('test-cluster', given, options)
  const { result } = (outcome.stdout ? JSON.parse(outcome.stdout) : {}) as {
    result?: { checks: TestCheck[] }
  }
  const checks = result?.checks ?? []
  return { ...outcome, checks, bad: checks.filter(({ problem }) => problem) }
}
const told = ({ bad, stderr }: Tested) =>
  `${bad.map(({ name, problem }) => `${name}: ${problem!.what}\n  ${problem!.seen.join('\n  ')}`).join('\n')}\n${stderr}`

test('an administrator and a user are followed into every application, work there, and are refused without a grant', async () => {
  const outcome = await tested()
  assert.is(outcome.code, 0, told(outcome))
  const passed = outcome.checks.filter(({ state }) => state === 'passed').map(({ name }) => name)
  assert.equal(outcome.checks.length, passed.length)
  for (const { client } of STAND_INS) {
    assert.ok(passed.includes(`${client}: administrator enters by single sign-on`), client)
    assert.ok(passed.includes(`${client}: user enters by single sign-on`), client)
    assert.ok(passed.includes(`${client}: refused without a grant`), client)
  }
  for (const name of [
    'administrator: rights at the panel',
    'user: rights at the panel',
    'grafana: rights of the administrator',
    'grafana: rights of the user',
    'nextcloud: a file is uploaded, moved and downloaded',
    'nextcloud: a calendar entry is kept',
    'nextcloud: a generated password is kept',
    'nextcloud: a document is edited, saved and opened again',
    'rocketchat: a message is kept',
    'wekan: a card is kept',
    'wordpress: a comment is taken',
    'administrator: log out',
    'user: log out',
  ])
    assert.ok(passed.includes(name), name)
  console.log(`${passed.length} checks in ${outcome.seconds.toFixed(1)} s`)
  assert.equal(await names(), ['mia'])
})

test('what fails in one application fails by itself, with a screenshot and a trace, and no password in them', async () => {
  standIns.broken.set('wekan', () => '<p>Internal server error</p>')
  standIns.broken.set('grafana', (here, account) =>
    STAND_INS.find(({ client }) => client === 'grafana')!.page(here, { ...account, isAdmin: true }),
  )
  const outcome = await tested(['--timeout', '1s'])
  standIns.broken.clear()
  assert.is(outcome.code, 3, told(outcome))
  assert.equal(
    outcome.bad.map(({ name }) => name).sort(),
    [
      'grafana: rights of the user',
      'wekan: administrator enters by single sign-on',
      'wekan: user enters by single sign-on',
    ],
    told(outcome),
  )
  for (const { problem } of outcome.bad) {
    assert.match(problem!.fix, /app-debug\.ts (wekan|kube-prometheus-stack)/)
    const seen = problem!.seen.join('\n')
    const [, picture = ''] = /screenshot: (\S+)/.exec(seen) ?? []
    const [, trace = ''] = /trace: npx playwright-core show-trace (\S+)/.exec(seen) ?? []
    assert.ok(existsSync(picture), seen)
    assert.is(statSync(picture).mode & 0o077, 0)
    // What is in a trace: no request, so no cookie, and nothing that was typed at the login.
    const texts = zipTexts(readFileSync(trace))
    assert.ok(texts.length > 0)
    for (const text of texts) assert.not.match(text, /identifier|ory_kratos_session|set-cookie|"password"/i)
  }
  assert.equal(await names(), ['mia'])
})

test('Ctrl-C in the middle removes both people', async () => {
  const interrupted = runScript('test-cluster', ['--only', 'browser', ...connectTo], {
    kill: stderr => (/user enters by single sign-on/.test(stderr) ? 'SIGINT' : undefined),
  })
  const { code } = await interrupted
  assert.is(code, 130)
  assert.equal(await names(), ['mia'])
})

test('whom a killed run has left, the next one removes; somebody with the same name stays', async () => {
  await create({
    username: 'oas-test',
    metadata_admin: { subject: 'test-cluster-user', apps: { wekan: 'user' } },
  })
  const outcome = await tested(['--app', 'wekan'])
  assert.is(outcome.code, 0, told(outcome))
  assert.equal(await names(), ['mia'])

  await create({ username: 'oas-test', metadata_admin: { subject: 'somebody', apps: {} } })
  const refused = await tested(['--app', 'wekan'])
  assert.is(refused.code, 1)
  assert.match(refused.bad[0]!.problem!.what, /oas-test exists, and was not created by test-cluster/)
  assert.equal(await names(), ['mia', 'oas-test'])
})

test.run()
