/**
 * Backups whose storage fails, with the real Velero on the bed and a bucket that fails on demand (see velero-bed.ts):
 * `backup`, `backup --verify latest`, `diagnose` and `status` never call one good, and name the cause.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { newestBackups } from '../../lib/backup/velero.ts'
import { until } from '../../lib/script/wait.ts'
import type { StorageFault } from '../bed/s3/faulty.ts'
import { s3Access } from '../host/servers.ts'
import { suite } from '../suite.ts'
import { Bed, type Outcome, runScript } from './harness.ts'
import { failed, toldOfLatest, VeleroBed } from './velero-bed.ts'

const test = suite('backup-storage')
let bed: Bed
let velero: VeleroBed
/** A proved backup from before all faults. */
let first: string

/** How Velero's plugin for S3 names itself, and how our scripts do. */
const [OF_VELERO, OURS] = [/aws-sdk/, /^node$/]

const run = (name: string, args: readonly string[]): Promise<Outcome> =>
  runScript(name, ['--cluster', 'sandbox', ...args], { timeout: 600_000 })
const backUp = (...more: string[]) => run('backup', ['--yes', ...more])
const verify = (name = 'latest') => run('backup', ['--verify', name])

test.before(async () => {
  bed = await Bed.startInstalled()
  velero = await VeleroBed.start(bed)
  await velero.removeHooks()
  const { code, stdout, stderr } = await backUp('--json')
  assert.is(code, 0, stderr)
  first = JSON.parse(stdout).result.proof.backup.name
})
test.after.each(async () => {
  velero.storage.faults = []
  await velero.release()
  await velero.available('Available')
  // A diagnosis is to tell what a test brings about, and nothing of the one before.
  for (const backup of await newestBackups(bed.kubectl))
    if (/Failed/.test(backup.status?.phase)) await bed.kubectl.delete({ ...backup, ...backup.metadata })
})
test.after(async () => {
  await velero?.stop()
  await bed?.stop()
})

const CONTENTS = { method: /PUT/, path: /\.tar\.gz$/, agent: OF_VELERO }
/** What goes wrong, what the proof of a nightly backup and what the diagnosis says of it; and `backup`, if something else. */
const FAULTS: [string, StorageFault, latest: RegExp, diagnosis: RegExp, backup?: RegExp][] = [
  [
    '503 when a backup is uploaded',
    { failing: { kind: 'unavailable' }, ...CONTENTS },
    /has failed \(Failed\): backup execution failed: .*SlowDown/,
    /the storage has an outage/,
  ],
  [
    '500 to everything',
    { failing: { kind: 'internal' } },
    /the bucket backups at \S+ is refused: InternalError/,
    /the storage has an outage/,
  ],
  [
    'the storage is full',
    { failing: { kind: 'full' }, method: /PUT/ },
    /has failed \(Failed\): .*QuotaExceeded/,
    /make room in the storage/,
    /writing to the bucket backups at \S+ is refused: QuotaExceeded/,
  ],
  [
    'answers are cut off',
    { failing: { kind: 'cut' }, ...CONTENTS },
    /has failed \(Failed\): .*(EOF|reset)/,
    /let the server reach the storage/,
  ],
  [
    'the clock of the server is off',
    { failing: { kind: 'skewed' }, agent: OF_VELERO },
    /has failed \(Failed(Validation)?\)/,
    /correct the clock of the server/,
    /Velero cannot use its bucket: .*RequestTimeTooSkewed/,
  ],
  [
    'the last file of a backup is refused, and Velero says Completed',
    { failing: { kind: 'full' }, method: /PUT/, path: /velero-backup\.json$/, agent: OF_VELERO, after: 1 },
    /velero-backup\.json says Finalizing: a new server would not find this backup/,
    /was found damaged: .*says Finalizing/,
  ],
]
for (const [name, fault, latest, diagnosis, backup = latest] of FAULTS)
  test(`${name}: never a success, the cause is named`, async () => {
    const begin = async () => {
      velero.storage.faults = [{ ...fault }]
      // What Velero looks at by itself meets it first.
      if (!fault.method) await velero.available('Unavailable')
    }
    await begin()
    await velero.nightly()
    await toldOfLatest(latest, diagnosis)
    await begin()
    failed(await backUp(), backup)
    assert.ok(velero.storage.met.length > 0)
  })

test('a slow storage: too late for a script, and for Velero a backup that is not finished', async () => {
  velero.storage.faults = [{ failing: { kind: 'slow', milliseconds: 30_000 }, agent: OURS }]
  failed(await backUp(), /the bucket backups at \S+ was not done in time/)
  velero.storage.met.length = 0
  velero.storage.faults = [{ failing: { kind: 'slow', milliseconds: 50_000 }, ...CONTENTS }]
  const night = velero.nightly()
  await until(async () => (velero.storage.met.length > 0 ? { done: true } : { last: 'nothing' }), {
    deadline: 120_000,
    every: 300,
    describe: last => `${last} was uploaded`,
  })
  failed(await verify(), /is not finished \(\w+, for /)
  velero.storage.faults = []
  await night
})

test('the credentials are wrong: those of Velero, and those of .flux.env', async () => {
  await velero.killServer()
  await velero.startServer('not the secret')
  try {
    await velero.available('Unavailable')
    await velero.nightly()
    await toldOfLatest(/has failed \(FailedValidation\): .*default is in Unavailable/, /correct the keys/)
    failed(await backUp(), /Velero cannot use its bucket: .*SignatureDoesNotMatch/)
  } finally {
    await velero.killServer()
    await velero.startServer()
  }
  velero.configure(bed, { backup_s3_aws_secret_access_key: 'not the secret' })
  try {
    for (const outcome of [await backUp(), await verify(first)]) failed(outcome, /the secret key is wrong/)
  } finally {
    velero.configure(bed, { backup_s3_aws_secret_access_key: s3Access.secret })
  }
})

test('the bucket is gone, before a backup and in the middle of one', async () => {
  const away = `${velero.s3.files}-away`
  await velero.hang()
  const waiting = backUp()
  await velero.hanging()
  renameSync(velero.s3.files, away)
  try {
    await velero.release()
    failed(await waiting, /there is no bucket backups/)
    await velero.available('Unavailable')
    await velero.nightly()
    await toldOfLatest(/there is no bucket backups/, /create the bucket/)
  } finally {
    renameSync(away, velero.s3.files)
  }
})

test('Velero is killed in the middle of the night: told while it is away, and afterwards', async () => {
  await velero.hang()
  const night = velero.nightly()
  await velero.hanging()
  await velero.killServer()
  failed(await verify(), /is not finished \(InProgress, for /)
  failed(await backUp('--timeout', '10s'), /gave up after 10 s; last seen: manual-\S+: waits for \S+/)
  velero.copying.clear()
  await velero.startServer()
  assert.is((await night).status?.phase, 'Failed')
  const { code, stderr } = await backUp()
  assert.is(code, 0, stderr)
  await toldOfLatest(
    /found a backup with status "InProgress" during the server starting/,
    /velero was restarted while it ran/,
  )
})

test('what is tampered with in the bucket is found, told from then on, and not restored', async () => {
  const { name } = (await velero.nightly()).metadata
  assert.is((await verify()).code, 0)
  const of = (file: string) => join(velero.s3.files, file)
  const foreign = (file: string) => readFileSync(of(`backups/${first}/${file.replace(name, first)}`))
  const contents = `${name}.tar.gz`
  const volumes = `backups/${name}/${name}-podvolumebackups.json.gz`
  const damages: [file: string, content: Buffer, cause: RegExp][] = [
    [`backups/${name}/${contents}`, foreign(contents), /tar\.gz was changed after it was proved/],
    [`backups/${name}/velero-backup.json`, foreign('velero-backup.json'), /describes another backup/],
    [
      volumes,
      readFileSync(of(volumes)).subarray(0, -9),
      /podvolumebackups\.json\.gz in the bucket is damaged/,
    ],
    ['kopia/oas-apps/kopia.repository', Buffer.from('{}'), /volumes of oas-apps cannot be read/],
  ]
  for (const [file, content, cause] of damages) {
    const good = readFileSync(of(file))
    writeFileSync(of(file), content)
    await toldOfLatest(cause, cause)
    const restored = await run('restore', [name, '--app', 'wekan', '--confirm', 'wekan'])
    failed(restored, /the proof of backup \S+ says: |cannot be read/)
    writeFileSync(of(file), good)
    const again = await verify()
    assert.is(again.code, 0, again.stderr)
  }
  writeFileSync(of(`backups/${name}/openappstack-proof.json`), foreign('openappstack-proof.json'))
  const changed = /openappstack-proof\.json was changed after it was written/
  failed(await verify(), changed)
  failed(await verify(), changed) // what it knew is lost: the next proof does not forgive that
})

test('the password of the repositories is changed, and lost', async () => {
  const { code, stderr } = await backUp()
  assert.is(code, 0, stderr)
  await velero.nightly()
  const ref = { apiVersion: 'v1', kind: 'Secret', namespace: 'velero', name: 'velero-repo-credentials' }
  const { metadata, data, type } = (await bed.kubectl.get(ref))!
  try {
    const other = Buffer.from('another password').toString('base64')
    await bed.kubectl.patch(ref, { data: { 'repository-password': other } })
    const refused = /the password of the cluster does not open kopia\/\S+\/kopia\.repository/
    await toldOfLatest(refused, refused)
    failed(await backUp(), refused)
    await bed.kubectl.delete(ref)
    const lost = /the Secret velero\/velero-repo-credentials does not exist/
    await toldOfLatest(lost, lost)
    failed(await backUp(), lost)
  } finally {
    await bed.kubectl.delete(ref)
    const { name, namespace, labels } = metadata
    await bed.kubectl.create({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name, namespace, labels },
      type,
      data,
    })
  }
})

test('a disturbance while a proof is read: nothing is called damaged, and what was proved stays so', async () => {
  for (const kind of ['cut', 'reset', 'internal'] as const) {
    velero.storage.faults = [{ failing: { kind }, path: /\.tar\.gz$/, agent: OURS }]
    const outcome = await verify(first)
    failed(outcome, /does not answer|InternalError/)
    assert.not.match(outcome.stderr, /damaged/)
  }
  velero.storage.faults = []
  const proved = await verify(first)
  assert.is(proved.code, 0, proved.stderr)
})

test('after all of it, a backup of the night is proved, and the platform is healthy', async () => {
  assert.is((await velero.nightly()).status?.phase, 'Completed')
  const { code, stderr } = await verify()
  assert.is(code, 0, stderr)
  const status = await run('status', [])
  assert.is(status.code, 0, status.stdout)
})

test.run()
