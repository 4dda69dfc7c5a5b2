/**
 * Faults in the layers of Flux, on the real API server and the real controllers: each is named first, with its
 * remedy, and healed where that is claimed. A diagnosis writes nothing.
 */

import * as assert from 'uvu/assert'
import { suite } from '../suite.ts'
import { healthy, testFaults } from './fault-suite.ts'
import { faults } from './faults/flux.ts'
import { override, reaches, release, unready } from './faults.ts'
import { Bed, runScript } from './harness.ts'

const test = suite('diagnose-flux')
let bed: Bed

test.before(async () => {
  bed = await Bed.startInstalled({ audit: true })
})
test.after(() => bed?.stop())

test('an installed platform is healthy, and app-debug shows every link of it', async () => {
  await healthy()
  const outcome = await runScript('app-debug', ['wekan'])
  assert.is(outcome.code, 0, outcome.stdout)
  for (const link of [
    'GitRepository +flux-system/openappstack',
    'Kustomization +flux-system/wekan',
    'HelmRelease +oas-apps/wekan',
    'Deployment +oas-apps/wekan',
    'Pod +oas-apps/wekan-',
    'PersistentVolumeClaim +oas-apps/wekan-shared-data',
    'Node +sandbox',
  ])
    assert.match(outcome.stdout, new RegExp(`✓ +${link}`))
  assert.not.match(outcome.stdout, '✗')
})

testFaults(test, () => bed, faults)

test('neither script writes anything without --fix, nor with a dry run', async () => {
  await bed.kubectl.apply(override('wekan', 'replicaCount: many\n'))
  await reaches(bed, release('wekan'), unready)
  try {
    for (const [script, ...args] of [
      ['diagnose'],
      ['app-debug'],
      ['app-debug', 'wekan'],
      ['app-debug', 'wekan', '--fix', '--dry-run'],
    ] as const) {
      const mark = bed.auditMark()
      const outcome = await runScript(script, args)
      assert.is(outcome.code, 3, outcome.stderr)
      assert.equal(bed.writesSince(mark), [], script)
    }
  } finally {
    await bed.kubectl.delete({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      namespace: 'oas-apps',
      name: 'oas-wekan-override',
    })
  }
  await healthy()
})

test('app-debug tells what concerns the application, and knows names as logs does', async () => {
  await bed.kubectl.patch(release('loki', 'oas'), { spec: { suspend: true } })
  try {
    assert.is((await runScript('app-debug', ['wekan'])).code, 0)
    for (const name of ['loki', 'core']) {
      const outcome = await runScript('app-debug', [name])
      assert.is(outcome.code, 3, outcome.stderr)
      assert.match(outcome.stdout, /! +HelmRelease +oas\/loki/)
    }
  } finally {
    await bed.kubectl.patch(release('loki', 'oas'), { spec: { suspend: null } })
  }
  const unknown = await runScript('app-debug', ['wekn'])
  assert.is(unknown.code, 2)
  assert.match(unknown.stderr, 'wekan')
  const absent = await runScript('app-debug', ['nextcloud'])
  assert.is(absent.code, 1)
  assert.match(absent.stderr, 'install-app.ts nextcloud')
})

test('no secret is in anything that was said', async () => {
  assert.equal(bed.leaks(await bed.secretValues()), [])
})

test.run()
