/**
 * What keeps people from logging in, on the real hydra-maester, hydra, kratos and PostgreSQL behind an installed
 * platform: each is named first, with its remedy, and healed where that is claimed.
 */
import * as assert from 'uvu/assert'
import { askSignOn } from '../bed/login/ask-sign-on.ts'
import { suite } from '../suite.ts'
import { healthy, testFaults } from './fault-suite.ts'
import { ref } from './faults/courses.ts'
import { faults, prepare } from './faults/login.ts'
import { Bed, runScript } from './harness.ts'

const test = suite('login faults')
let bed: Bed

test.before(async () => {
  bed = await Bed.startInstalled({ login: true, maester: true })
  await prepare(bed)
})
test.after(() => bed?.stop())

test('a platform on which people log in is healthy', () => healthy())

testFaults(test, () => bed, faults)

test('users of before there were grants: install-core tells of them, and ends their access when it is told to', async () => {
  await askSignOn(`${bed.login.kratosAdmin}/admin/identities`, 'POST', {
    schema_id: 'default',
    traits: { username: 'old', email: 'old@example.org' },
  })
  const kept = await runScript('install-core', ['--dry-run'])
  assert.is(kept.code, 0, kept.stderr)
  assert.match(kept.stderr, '1 user has no grants yet, and it may open every application')
  const ending = await runScript('install-core', ['--yes', '--set', 'legacy_access=false'])
  assert.is(ending.code, 0, ending.stderr)
  const panel = await bed.kubectl.get(ref('apps/v1', 'Deployment', 'single-sign-on', 'oas'))
  assert.match(JSON.stringify(panel!.spec.template.spec.containers), 'legacy_access=false')
  assert.match((await runScript('users', ['show', 'old'])).stdout, 'nothing: no grants yet')
  const decided = await runScript('install-core', ['--dry-run'])
  assert.not.match(decided.stderr, 'no grants yet')
})

test('no client secret stands in what was said, nor in the journal', async () => {
  const secret = await bed.kubectl.get(ref('v1', 'Secret', 'oas-wekan-oauth', 'oas-apps'))
  const value = Buffer.from(secret!.data.CLIENT_SECRET, 'base64').toString()
  assert.equal(bed.leaks([value, 'another-secret', 'changed-by-hand']), [])
})

test.run()
