/** uninstall-app --delete-data with the real Velero and a real bucket: no data goes that no proved backup holds. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { KUSTOMIZATION } from '../../lib/flux/flux.ts'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { KEPT_OF } from '../../scripts/uninstall-app/survey.ts'
import { type Answered, endOnTerminal } from '../harness-terminal.ts'
import { suite } from '../suite.ts'
import { told } from './faults.ts'
import { Bed, type Outcome, runScript, type ScriptOptions } from './harness.ts'
import { killedAfterWrite, killedAt } from './killing.ts'
import { VeleroBed } from './velero-bed.ts'

const test = suite('uninstall-data')
let bed: Bed
let velero: VeleroBed

const run = (name: string, args: readonly string[], options?: ScriptOptions): Promise<Outcome> =>
  runScript(name, ['--cluster', 'sandbox', ...args], { timeout: 600_000, ...options })
const deletion = (args: readonly string[] = [], options?: ScriptOptions) =>
  run('uninstall-app', ['wekan', '--delete-data', '--confirm', 'wekan', ...args], options)
const must = async (name: string, ...args: string[]) => {
  const outcome = await run(name, ['--yes', ...args])
  assert.is(outcome.code, 0, outcome.stderr)
  return outcome
}
const claimNames = async (isOurs: boolean) => {
  const found = await bed.kubectl.list('v1', 'PersistentVolumeClaim')
  return found
    .filter(({ metadata }) => metadata.name.includes('wekan') === isOurs)
    .map(({ metadata }) => `${metadata.namespace}/${metadata.name} ${metadata.uid}`)
    .sort()
}
const passwords = async () =>
  (await bed.kubectl.get({
    apiVersion: 'v1',
    kind: 'Secret',
    namespace: 'flux-system',
    name: 'oas-oauth-variables',
  }))!.data as Record<string, string>
const installed = () => bed.kubectl.get({ ...KUSTOMIZATION, namespace: 'flux-system', name: 'wekan' })
const newestBackup = async () =>
  (await bed.kubectl.list('velero.io/v1', 'Backup', { namespace: 'velero' }))
    .sort((a: KubeObject, b: KubeObject) =>
      String(b.metadata.creationTimestamp).localeCompare(String(a.metadata.creationTimestamp)),
    )
    .at(0)!.metadata.name
const backUp = async () => {
  await velero.removeHooks()
  await must('backup')
}

/** What a check itself writes: it asks for a file, and notes on the backup what is wrong with it in the bucket. */
const CHECKING = /accessreview|lease|downloadrequest|^patch backups\.velero\.io |velero\/oas-backup-proof$/i

/** A deletion that is refused, and that changes nothing. */
async function refused(code: number, message: RegExp, ...args: string[]): Promise<void> {
  const [claims, secrets] = [await claimNames(true), await passwords()]
  const mark = bed.auditMark()
  const outcome = await deletion(args)
  assert.is(outcome.code, code, outcome.stderr)
  assert.match(told(outcome)[0]!.what, message)
  assert.equal(
    bed.writesSince(mark).filter(write => !CHECKING.test(write)),
    [],
  )
  assert.equal(await claimNames(true), claims)
  assert.equal(await passwords(), secrets)
  assert.ok(await installed())
}

test.before(async () => {
  bed = await Bed.startInstalled({ audit: true })
  velero = await VeleroBed.start(bed)
})
test.after(async () => {
  await velero?.stop()
  await bed?.stop()
})

test('without a backup that holds everything, or with an old one, it is refused and nothing changes', async () => {
  await refused(4, /no good backup holds the data of wekan: there are no backups/)
  velero.copying.set('oas-apps/wekan-shared-data', 'fails')
  await velero.removeHooks()
  assert.is((await run('backup', ['--yes'])).code, 1)
  velero.copying.clear()
  await refused(4, /no good backup holds the data of wekan: backup manual-/)
  await backUp()
  await refused(4, /is .* old; at most/, '--max-backup-age', '1s')
})

test('a backup whose files in the bucket are damaged or gone proves nothing: nothing changes', async () => {
  const name = await newestBackup()
  const file = join(velero.s3.files, 'backups', name, `${name}.tar.gz`)
  const whole = readFileSync(file)
  try {
    writeFileSync(file, whole.subarray(0, whole.length - 20))
    await refused(1, /tar\.gz in the bucket is damaged/)
  } finally {
    writeFileSync(file, whole)
  }
  // That is told until it is proved again.
  await refused(4, /was found damaged: .*tar\.gz in the bucket is damaged/)
  await must('backup', '--verify', name)
})

test('the name is typed: another one is refused; the data goes, with its passwords and no others', async () => {
  const others = await claimNames(false)
  const keys = Object.keys(await passwords())
  const name = await newestBackup()
  const type = (answer: string) => {
    const question = [/Type wekan to go on/, answer] satisfies Answered
    return endOnTerminal('uninstall-app', ['--cluster', 'sandbox', 'wekan', '--delete-data'], [question])
  }
  const wrong = await type('weken')
  assert.is(wrong.code, 4, wrong.screen)
  assert.match(wrong.screen, 'WITH ALL ITS DATA')
  assert.ok(await installed())
  const right = await type('wekan')
  assert.is(right.code, 0, right.screen)
  assert.match(right.screen, `prove backup ${name}, which holds the data`)
  assert.match(right.screen, 'DELETE the data in volume claim oas-apps/wekan-shared-data')
  assert.is(await installed(), undefined)
  assert.equal(await claimNames(true), [])
  assert.equal(await claimNames(false), others)
  assert.equal(Object.keys(await passwords()).sort(), keys.filter(key => !key.startsWith('wekan')).sort())
  // What was deleted is still in the bucket, and proved again.
  assert.is((await run('backup', ['--verify', name])).code, 0)
  const again = await deletion()
  assert.is(again.code, 0, again.stderr)
  assert.match(again.stderr, 'is not installed; nothing was changed')
})

test('installed again it is empty, with new passwords; what a backup has not seen is not deleted', async () => {
  await must('install-app', 'wekan')
  assert.is((await claimNames(true)).length, 2)
  await refused(4, /no good backup holds the data of wekan: .* was created after backup manual-/)
  await backUp()
})

test('two at once: one removes, the other one ends with 75 or comes too late', async () => {
  const both = await Promise.all([
    run('uninstall-app', ['wekan', '--yes']),
    run('uninstall-app', ['wekan', '--yes']),
  ])
  for (const { code, stderr } of both) assert.ok(code === 0 || code === 75, stderr)
  assert.ok(both.some(({ code }) => code === 0))
  assert.is(await installed(), undefined)
  assert.is((await claimNames(true)).length, 2)
  await must('install-app', 'wekan')
})

test('killed before and after every step of a deletion: the next run continues, and demands the backup again', async () => {
  const moments = [
    killedAt(/^\d+\. Prove backup/),
    killedAt(/^✓ Prove backup/),
    killedAt(/^\d+\. Mark its volumes/),
    killedAfterWrite(1, /persistentvolumeclaims/),
    killedAt(/^✓ Mark its volumes/),
    killedAt(/^\d+\. Remove wekan/),
    killedAfterWrite(1, /kustomizations/),
  ]
  const claims = await claimNames(true)
  // Those that a removal before has marked need no further write.
  for (const { metadata } of await bed.kubectl.list('v1', 'PersistentVolumeClaim', {
    labelSelector: KEPT_OF,
  }))
    await bed.kubectl.patch(
      { apiVersion: 'v1', kind: 'PersistentVolumeClaim', name: metadata.name, namespace: metadata.namespace },
      { metadata: { labels: { [KEPT_OF]: null } } },
    )
  for (const [i, options] of moments.entries()) {
    const outcome = await deletion([], options)
    assert.is(outcome.signal, 'SIGKILL', `${i}: ${outcome.stderr}`)
    assert.equal(await claimNames(true), claims)
  }
  const after = [
    killedAt(/^✓ Remove wekan/),
    killedAt(/^\d+\. Delete its data/),
    killedAfterWrite(1, /persistentvolumeclaims/),
    killedAt(/^\d+\. Delete its passwords/),
  ]
  for (const [i, options] of after.entries()) {
    const outcome = await deletion([], options)
    assert.is(outcome.signal, 'SIGKILL', `${i}: ${outcome.stderr}`)
    assert.ok((await passwords()).wekan_oauth_client_secret)
  }
  const last = await deletion()
  assert.is(last.code, 0, last.stderr)
  assert.equal(await claimNames(true), [])
  assert.is((await passwords()).wekan_oauth_client_secret, undefined)
  assert.match((await deletion()).stderr, 'is not installed; nothing was changed')
  assert.equal(bed.leaks(await bed.secretValues()), [])
})

test.run()
