/**
 * upgrade-0.7 of platforms that are not as the docs have them, each from 0.6 to 0.7. Their chart of the secrets keeps
 * what it finds by Helm's `lookup`, as the one of 0.6 did; test/cluster/upgrade.test.ts has one that always makes new
 * values. The tests go on from where the one before has left the cluster.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { reconcile } from '../../lib/flux/flux.ts'
import { CURRENT_KINDS } from '../../lib/flux/flux-versions.ts'
import { until } from '../../lib/script/wait.ts'
import { suite } from '../suite.ts'
import { ApiProxy, signal, told } from './faults.ts'
import { runScript } from './harness.ts'
import { base64, Platform, same, secretRef, type Values } from './upgrading.ts'

const test = suite('upgrade variants')
let platform: Platform

const owner = { ...CURRENT_KINDS.helmRelease, namespace: 'flux-system', name: 'oas-secrets' }
const git = { ...CURRENT_KINDS.gitRepository, namespace: 'flux-system', name: 'openappstack' }
const inState = (name: string) => readdirSync(join(platform.bed.cluster, name))

/** The backups of what a rollback would have replaced or lost. */
const kept = () => inState('secrets-backup').filter(name => /-(replaced|added)$/.test(name))

test.before(async () => {
  platform = await Platform.start(text => text.replace('keep: false', 'keep: true'))
})

test.after(async () => {
  await platform?.bed.stop()
})

test('without Wekan; back after Wekan was installed on 0.7: its password and client secret are kept', async () => {
  const { kubectl } = platform.bed
  await kubectl.delete({ ...CURRENT_KINDS.kustomization, namespace: 'flux-system', name: 'wekan' })
  await kubectl.delete(secretRef('oas-wekan-variables'))
  await kubectl.patch(secretRef('oas-oauth-variables'), { data: { wekan_oauth_client_secret: null } })
  await platform.ready(6)
  const before = await platform.secrets()
  assert.is(Object.keys(before).length, 9)
  const added = await platform.upgraded(await platform.upgrade(), before)
  assert.equal(added, ['oas-oauth-variables/wekan_oauth_client_secret'])

  // As install-app makes it: Helm does not own it, and 0.6's chart has one of that name.
  const { apiVersion, kind, namespace, name } = secretRef('oas-wekan-variables')
  const data = { wekan_password: base64('made-on-0.7'), wekan_mongodb_password: base64('also-made-on-0.7') }
  await kubectl.create({ apiVersion, kind, metadata: { namespace, name }, data })
  await platform.rolledBack(await platform.secrets())
  assert.is(kept().length, 1)
})

/** Before what: one secret absent. */
let before: Values

test('one secret absent: source-controller down, then the network cut; nothing is lost', async () => {
  const { kubectl, cluster, up } = platform.bed
  await kubectl.delete(secretRef('oas-alertmanager-basic-auth'))
  before = await platform.secrets()
  assert.is(Object.keys(before).length, 9)
  await signal('source-controller', 'SIGSTOP')
  const held = await platform.upgrade(['--timeout', '0.2'])
  await signal('source-controller', 'SIGCONT')
  assert.is(held.code, 1, held.stderr)
  assert.match(told(held)[0]!.what, 'gave up after 12 s: Flux has not fetched v0.7 yet')
  assert.equal(await platform.secrets(), before)

  const proxy = new ApiProxy(platform.bed)
  let isCut = false
  proxy.meddle = (request, _response, pass) => (isCut ? request.socket.destroy() : pass())
  const file = join(cluster, 'kube_config_cluster.yml')
  const direct = readFileSync(file, 'utf8')
  assert.is(file, up.kubeconfig)
  writeFileSync(file, direct.replace(kubectl.client.server, await proxy.listen()))
  try {
    const cut = await platform.upgrade([], {
      kill: stderr => {
        isCut ||= stderr.includes('✓ Wait until oas-secrets is gone')
        return undefined
      },
    })
    assert.is(cut.code, 1, cut.stderr)
    assert.match(told(cut)[0]!.what, /API server/)
    await platform.nothingLost(before)
    assert.equal(await platform.secrets(), {})
  } finally {
    writeFileSync(file, direct)
    await proxy.close()
  }
})

test('a value that somebody changes meanwhile is told with exit code 3, and left alone', async () => {
  const { kubectl } = platform.bed
  const place = secretRef('oas-nextcloud-variables')
  let changed: Promise<unknown> | undefined
  const differs = await platform.upgrade([], {
    kill: stderr => {
      if (stderr.includes('✓ Put the secrets back'))
        changed ??= kubectl.patch(place, { data: { nextcloud_mariadb_password: base64('somebody else') } })
      return undefined
    },
  })
  await changed
  assert.is(differs.code, 3, differs.stderr)
  assert.match(
    differs.stderr,
    /Secret flux-system\/oas-nextcloud-variables differs from the backup in nextcloud_mariadb_password \(written by .+ at 20/,
  )
  assert.match(differs.stderr, 'restore-secrets.ts --dry-run')
  assert.is(platform.state()?.finishedAt, undefined)
  await platform.nothingLost(before)

  // It stays until the one who knows says so.
  assert.is((await platform.upgrade()).code, 3)
  const folder = join(platform.bed.cluster, platform.state()!.backup)
  const restored = await runScript('restore-secrets', [
    ...['--cluster', 'sandbox', '--yes', '--overwrite', place.name, folder],
  ])
  assert.is(restored.code, 0, restored.stderr)
  assert.equal(await platform.upgraded(await platform.upgrade(), before), [])
})

test('the way back: the chart finds the values, and nothing has to be put back a second time', async () => {
  const before = kept()
  const outcome = await platform.rolledBack(await platform.secrets())
  assert.match(outcome.stderr, '✓ Secrets as before: unchanged')
  assert.equal(kept(), before)
})

test('user-edited values and an upgrade begun by hand: taken up with --backup alone', async () => {
  const { kubectl } = platform.bed
  await kubectl.patch(secretRef('oas-nextcloud-variables'), {
    data: {
      nextcloud_password: base64('Edited-by-the-user-3'),
      nextcloud_mariadb_password: '',
      edited_binary: base64(Buffer.from(Array.from({ length: 256 }, (_, i) => 255 - i))),
    },
  })
  await kubectl.patch(secretRef('oas-wordpress-variables'), {
    data: { wordpress_password: base64('two\nlines\r\n'), wordpress_mariadb_password: base64('\n') },
  })
  const before = await platform.secrets()
  const backup = await runScript('backup-secrets', ['--cluster', 'sandbox'])
  assert.is(backup.code, 0, backup.stderr)
  const folder = backup.stdout.split('\n')[0]!

  // What the docs say to do by hand.
  await kubectl.patch(git, { spec: { ref: { branch: 'v0.7' } } })
  await reconcile(kubectl, git)
  await until<string, true>(async () => ((await kubectl.get(owner)) ? { last: 'there' } : { done: true }), {
    deadline: 300_000,
    every: 500,
    describe: () => 'oas-secrets is still there',
  })
  assert.equal(await platform.secrets(), {})

  const refused = await platform.upgrade()
  assert.is(refused.code, 4, refused.stderr)
  assert.match(told(refused)[0]!.fix, '--backup DIR')
  assert.is((await platform.upgrade(['--backup', join(folder, 'none')])).code, 2)
  assert.equal(await platform.secrets(), {})
  assert.equal(await platform.upgraded(await platform.upgrade(['--backup', folder]), before), [])
  assert.is((await platform.upgrade(['--rollback'])).code, 4)
  assert.equal(same(await platform.secrets(), before), [])
})

test('no value was told', () => {
  assert.ok(platform.values.size > 20)
  assert.equal(platform.bed.leaks([...platform.values]), [])
})

test.run()
