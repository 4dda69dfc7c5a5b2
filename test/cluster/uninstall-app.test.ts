/** Removing an application on the real Flux: its data is kept and found again, or deleted with all guards. */
import * as assert from 'uvu/assert'
import { HELM_RELEASE, KUSTOMIZATION } from '../../lib/flux/flux.ts'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { all, suite } from '../suite.ts'
import { told } from './faults.ts'
import { Bed, runScript, type ScriptOptions } from './harness.ts'
import { killedAfterWrite, killedAt } from './killing.ts'

const test = suite('uninstall-app')
let bed: Bed

test.before(async () => {
  bed = await Bed.startInstalled({ audit: true })
})

test.after(async () => {
  await bed?.stop()
})

const uninstall = (args: readonly string[], options?: ScriptOptions) =>
  runScript('uninstall-app', ['--cluster', 'sandbox', ...args], options)
const install = async () => {
  const outcome = await runScript('install-app', ['--cluster', 'sandbox', '--yes', 'wekan'], {
    timeout: 600_000,
  })
  assert.is(outcome.code, 0, outcome.stderr)
}
const kustomization = () => bed.kubectl.get({ ...KUSTOMIZATION, namespace: 'flux-system', name: 'wekan' })
const releaseRef = { ...HELM_RELEASE, namespace: 'oas-apps', name: 'wekan' }
const claims = async () => {
  const found = await bed.kubectl.list('v1', 'PersistentVolumeClaim', { namespace: 'oas-apps' })
  return found
    .filter(({ metadata }) => metadata.name.includes('wekan'))
    .map(({ metadata, spec }) => `${metadata.name} ${metadata.uid} ${spec.volumeName}`)
    .sort()
}
const variables = async () =>
  (await bed.kubectl.get({
    apiVersion: 'v1',
    kind: 'Secret',
    namespace: 'flux-system',
    name: 'oas-oauth-variables',
  }))!.data as Record<string, string>

/** What is left of wekan in its namespace, besides claims and what an administrator has. */
async function left(): Promise<string[]> {
  const kinds = [
    ['v1', 'Pod'],
    ['v1', 'Service'],
    ['v1', 'ConfigMap'],
    ['apps/v1', 'Deployment'],
    ['apps/v1', 'StatefulSet'],
    ['networking.k8s.io/v1', 'Ingress'],
    ['hydra.ory.sh/v1alpha1', 'OAuth2Client'],
    [HELM_RELEASE.apiVersion, HELM_RELEASE.kind],
  ] as const
  const found = await Promise.all(
    kinds.map(([apiVersion, kind]) => bed.kubectl.list(apiVersion, kind, { namespace: 'oas-apps' })),
  )
  return found
    .flat()
    .filter(({ metadata }: KubeObject) => metadata.name.includes('wekan') && !metadata.deletionTimestamp)
    .map(({ kind, metadata }) => `${kind} ${metadata.name}`)
}

test('a removal keeps the data, and the next installation finds it again', async () => {
  const before = await claims()
  const secret = (await variables()).wekan_oauth_client_secret
  assert.is(before.length, 2)
  const mark = bed.auditMark()
  const dry = await uninstall(['wekan', '--dry-run'])
  assert.is(dry.code, 0, dry.stderr)
  assert.match(
    dry.stderr,
    /keep the data in volume claim oas-apps\/wekan-shared-data \(5Gi requested, use not known\)/,
  )
  assert.equal(
    bed.writesSince(mark).filter(write => !write.includes('accessreview')),
    [],
  )

  const outcome = await uninstall(['wekan', '--yes'])
  assert.is(outcome.code, 0, outcome.stderr)
  assert.is(await kustomization(), undefined)
  assert.equal(await left(), [])
  assert.equal(await claims(), before)
  const again = await uninstall(['wekan', '--yes'])
  assert.is(again.code, 0)
  assert.match(again.stderr, /is not installed; nothing was changed/)

  await install()
  assert.equal(await claims(), before, 'the same claims on the same volumes')
  assert.is((await variables()).wekan_oauth_client_secret, secret)
})

if (all) {
  test('data is deleted only by its name, with a backup or told otherwise', async () => {
    const before = await claims()
    const noBackup = await uninstall(['wekan', '--delete-data', '--confirm', 'wekan'])
    assert.is(noBackup.code, 4, noBackup.stderr)
    assert.match(told(noBackup)[0]!.what, /no good backup holds the data of wekan/)
    const noName = await uninstall(['wekan', '--delete-data', '--discard-data', '--yes'])
    assert.is(noName.code, 2, noName.stderr)
    const wrong = await uninstall(['wekan', '--delete-data', '--discard-data', '--confirm', 'weken'])
    assert.is(wrong.code, 4, wrong.stderr)
    assert.equal(await claims(), before)
    assert.ok(await kustomization())
  })

  test('hostile names and flags: one clear error each, and nothing is written', async () => {
    const before = await claims()
    const mark = bed.auditMark()
    for (const name of [
      ...['../wekan', 'wekan/../velero', 'oas-apps/wekan', 'weken', '', ' ', 'wekan;id', '$(id)', '`id`'],
      ...['--flag', '-x', "wek'an", '"wekan"', 'wekan\nvelero', 'wek\u001b[2Jan', '\u202ewekan', '__proto__'],
      ...['ingress', 'flux-system', 'wekan,velero', 'x'.repeat(100_000)],
    ])
      for (const more of [[], ['--delete-data', '--discard-data', '--confirm', name]]) {
        const outcome = await uninstall(['--yes', ...more, '--', name])
        assert.is(outcome.code, 2, `${name}: ${outcome.stderr}`)
        assert.is(told(outcome).length, 1, outcome.stderr)
        assert.ok(outcome.stderr.length < 500, outcome.stderr)
        assert.not.match(outcome.stderr.replaceAll('\n', ''), /[\p{Cc}\p{Cf}]/u)
      }
    for (const args of [
      ['wekan', '--flag'],
      ['wekan', 'velero'],
      ['wekan', '--timeout', '-1m'],
      ['wekan', '--timeout', 'soon'],
      ['wekan', '--delete-data', '--max-backup-age', 'x'],
      ['wekan', '--confirm'],
    ]) {
      const outcome = await uninstall(['--yes', ...args])
      assert.is(outcome.code, 2, `${args}: ${outcome.stderr}`)
      assert.is(told(outcome).length, 1, outcome.stderr)
    }
    assert.equal(bed.writesSince(mark), [])
    assert.equal(await claims(), before)
    assert.ok(await kustomization())
  })

  test('a suspended one is refused: Flux would leave it running', async () => {
    await bed.kubectl.patch(releaseRef, { spec: { suspend: true } })
    const outcome = await uninstall(['wekan', '--yes'])
    assert.is(outcome.code, 4, outcome.stderr)
    assert.match(told(outcome)[0]!.what, /is suspended/)
    await bed.kubectl.patch(releaseRef, { spec: { suspend: null } })
  })

  test('killed before and after every step: the next run continues', async () => {
    const before = await claims()
    // The claims are marked already, so that the first write is the deletion of the Kustomization.
    const moments = [killedAt('1. Mark'), killedAt('2. Remove'), killedAfterWrite(1)]
    for (const options of moments) {
      const outcome = await uninstall(['wekan', '--yes'], options)
      assert.is(outcome.signal, 'SIGKILL', outcome.stderr)
    }
    const last = await uninstall(['wekan', '--yes'])
    assert.is(last.code, 0, last.stderr)
    assert.equal(await left(), [])
    assert.equal(await claims(), before)
    assert.match((await uninstall(['wekan', '--yes'])).stderr, /its data is kept in volume claim/)
  })

  test('data that was kept is deleted later, with its password and no other', async () => {
    const others = Object.keys(await variables()).filter(key => !key.startsWith('wekan'))
    const outcome = await uninstall(['wekan', '--delete-data', '--discard-data', '--confirm', 'wekan'])
    assert.is(outcome.code, 0, outcome.stderr)
    assert.equal(await claims(), [])
    assert.equal(Object.keys(await variables()).sort(), others.sort())
    await install()
    assert.is((await claims()).length, 2)
  })
}

test.run()
