/**
 * backup, restore and restore-drill with the real Velero and a real bucket on the bed; a stand-in says that volumes
 * were copied (see velero-bed.ts).
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import { allOf, decryptWith } from '../../lib/age/age.ts'
import { K3S } from '../../lib/k3s/k3s.ts'
import { until } from '../../lib/script/wait.ts'
import { folder, me, newHome, newKey, Sshd } from '../host/sshd.ts'
import { all, suite } from '../suite.ts'
import { drillJob } from './drill-job.ts'
import { Bed, type Outcome, runScript, type ScriptOptions } from './harness.ts'
import { VeleroBed } from './velero-bed.ts'

const test = suite('backup')
let bed: Bed
let velero: VeleroBed

const run = (name: string, args: readonly string[], options?: ScriptOptions): Promise<Outcome> =>
  runScript(name, ['--cluster', 'sandbox', ...args], { timeout: 300_000, ...options })
const backups = () => bed.kubectl.list('velero.io/v1', 'Backup', { namespace: 'velero' })

test.before(async () => {
  bed = await Bed.startInstalled()
  velero = await VeleroBed.start(bed)
})
test.before.each(() => velero.removeHooks()) // one test puts a hook back
test.after(async () => {
  await velero?.stop()
  await bed?.stop()
})

test('a backup ends with a proof: in the journal, in the bucket, and as an age', async () => {
  const { code, stdout, stderr } = await run('backup', ['--yes', '--json'])
  assert.is(code, 0, stderr)
  const { proof, file } = JSON.parse(stdout).result
  assert.equal(proof.wrong, [])
  assert.is(proof.backup.phase, 'Completed')
  const of = (state: string) =>
    proof.backup.claims.filter((claim: { state: string }) => claim.state === state)
  assert.ok(of('captured').length >= 2, JSON.stringify(proof.backup.claims))
  assert.ok(of('excluded').length >= 1)
  assert.equal(of('missing'), [])
  assert.match(readFileSync(file, 'utf8'), /^# Proof of backup manual-/)
  const folder = join(velero.s3.files, 'backups', proof.backup.name)
  assert.is(
    JSON.parse(readFileSync(join(folder, 'openappstack-proof.json'), 'utf8')).backup.name,
    proof.backup.name,
  )
  const mark = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'velero', name: 'oas-backup-proof' }
  assert.is((await bed.kubectl.get(mark))?.data.backup, proof.backup.name)
  assert.equal(bed.leaks(await bed.secretValues()), [])
  const listed = await run('backup', ['--list'])
  assert.is(listed.code, 0)
  assert.match(listed.stdout, new RegExp(`^${proof.backup.name} +Completed`, 'm'))
})

test('a volume that was not copied: exit code 1, named with its reason, although Velero says Completed', async () => {
  const claims = await bed.kubectl.list('v1', 'PersistentVolumeClaim')
  const place = claims
    .map(({ metadata }) => `${metadata.namespace}/${metadata.name}`)
    .find(name => /wekan|database/.test(name))!
  // Nobody mounts this one: Velero does not say a word about it.
  const spec = claims.find(({ metadata }) => `${metadata.namespace}/${metadata.name}` === place)!.spec
  const volume = {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: 'alone' },
    spec: {
      accessModes: spec.accessModes,
      capacity: { storage: '1Gi' },
      storageClassName: 'none',
      hostPath: { path: '/alone' },
      claimRef: { namespace: 'oas-apps', name: 'alone' },
    },
  }
  const claim = {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { namespace: 'oas-apps', name: 'alone' },
    spec: {
      ...spec,
      storageClassName: 'none',
      volumeName: 'alone',
      resources: { requests: { storage: '1Gi' } },
    },
  }
  await bed.kubectl.create(volume)
  await bed.kubectl.create(claim)
  await until(
    async () => {
      const found = await bed.kubectl.get({ ...claim, ...claim.metadata })
      return found?.status?.phase === 'Bound' ? { done: true } : { last: found?.status?.phase }
    },
    { deadline: 60_000, describe: String },
  )
  velero.copying.set(place, 'empty')
  try {
    const { code, stderr } = await run('backup', ['--yes'])
    assert.is(code, 1, stderr)
    assert.match(stderr, /Velero says Completed/)
    assert.match(stderr, /does not have the data of oas-apps\/alone: it is a hostPath volume\S* which Velero/)
    assert.match(
      stderr,
      new RegExp(`data of ${place}: Velero found it empty, and it was not empty at an earlier`),
    )
  } finally {
    velero.copying.clear()
    await bed.kubectl.delete({ ...claim, ...claim.metadata })
    await bed.kubectl.delete({ apiVersion: 'v1', kind: 'PersistentVolume', name: 'alone' })
  }
})

test('a changed file in the bucket is found', async () => {
  const { name } = (await backups()).find(({ status }) => status?.phase === 'Completed')!.metadata
  const file = join(velero.s3.files, 'backups', name, `${name}.tar.gz`)
  const whole = readFileSync(file)
  try {
    writeFileSync(file, whole.subarray(0, whole.length - 20))
    const { code, stderr } = await run('backup', ['--verify', name])
    assert.is(code, 1)
    assert.match(stderr, /tar\.gz in the bucket is damaged/)
  } finally {
    writeFileSync(file, whole)
  }
  const again = await run('backup', ['--verify', name])
  assert.is(again.code, 0, again.stderr)
})

/** The uids of all claims and pods of the applications that a drill must not touch, with their resourceVersions. */
async function live(): Promise<string[]> {
  const kinds = [
    ['v1', 'PersistentVolumeClaim'],
    ['v1', 'Secret'],
    ['v1', 'Service'],
    ['apps/v1', 'Deployment'],
    ['apps/v1', 'StatefulSet'],
  ] as const
  const lists = await Promise.all(
    kinds.map(([version, kind]) => bed.kubectl.list(version, kind, { namespace: 'oas-apps' })),
  )
  return lists
    .flat()
    .map(({ metadata }) => `${metadata.uid} ${metadata.resourceVersion}`)
    .sort()
}

test('a drill restores into a namespace of its own, and leaves the running applications as they are', async () => {
  const before = await live()
  const { code, stdout, stderr } = await run('restore-drill', ['--yes', '--json'])
  assert.is(code, 0, stderr)
  const { results, file, rto, rpo } = JSON.parse(stdout).result
  assert.equal(
    results.map(({ app }: { app: string }) => app),
    ['wekan'],
  )
  assert.ok(results[0].claims.length > 0 && rto > 0 && rpo > 0)
  assert.match(readFileSync(file, 'utf8'), /RTO/)
  assert.equal(await live(), before)
  assert.is(
    await bed.kubectl.get({ apiVersion: 'v1', kind: 'Namespace', name: 'restore-drill-wekan' }),
    undefined,
  )
  const { stdout: screen } = await run('status', ['--all'])
  assert.match(screen, /the last restore drill is/)
  assert.match(screen, /the last proved backup is/)
})

test('a drill compares files with those of the time of the backup: what is lost or changed is named', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'oas-drill-'))
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text)
  for (let i = 0; i < 20; i++) write(`letter ${i}`, `content ${i}`)
  await velero.addFolder('letters', folder)
  try {
    const made = await run('backup', ['--yes', '--json'])
    assert.is(made.code, 0, made.stderr)
    const { proof, file } = JSON.parse(made.stdout).result
    const ours = ({ claim }: { claim: string }) => claim === 'oas-apps/letters'
    const known = proof.contents.find(ours)
    assert.equal(known.files, [20, 20])
    assert.is(Object.keys(known.sample).length, 12)
    assert.match(readFileSync(file, 'utf8'), /oas-apps\/letters: 20 files, 12 checksums/)
    const inBucket = join(velero.s3.files, 'backups', proof.backup.name, 'openappstack-proof.json')
    assert.not.match(readFileSync(inBucket, 'utf8'), /letter \d/)

    const before = await live()
    const good = await run('restore-drill', ['--app', 'wekan', '--yes', '--json'])
    assert.is(good.code, 0, good.stderr)
    const [result] = JSON.parse(good.stdout).result.results
    assert.is(result.counted.find(ours).text, '20 files, 12 checksums compared')

    // What is restored is the same folder of this machine, with other contents now.
    for (let i = 0; i < 10; i++) rmSync(join(folder, `letter ${i}`))
    for (let i = 10; i < 20; i++) write(`letter ${i}`, 'another')
    const bad = await run('restore-drill', ['--app', 'wekan', '--yes', '--json'])
    assert.is(bad.code, 1, bad.stderr)
    assert.match(bad.stderr, /oas-apps\/letters: has 10 files, and had 20/)
    assert.match(bad.stderr, /oas-apps\/letters: file \S+\/letter 1\d has another content/)
    assert.match(bad.stderr, /oas-apps\/letters: \d files? of the sample of 12 cannot be found/)
    const verdict = readFileSync(JSON.parse(bad.stdout).result.file, 'utf8')
    assert.match(verdict, /NOT everything has come back/)
    assert.match(verdict, /DIFFERENCE: oas-apps\/letters: has 10 files, and had 20/)
    assert.equal(await live(), before)
    const scratch = { apiVersion: 'v1', kind: 'Namespace', name: 'restore-drill-wekan' }
    assert.is(await bed.kubectl.get(scratch), undefined)
  } finally {
    await velero.removeFolder('letters')
    rmSync(folder, { recursive: true })
  }
})

test('a restore in place: a safety backup, new volumes, everything ready again, and the old volumes kept', async () => {
  const proved = JSON.parse((await run('backup', ['--yes', '--json'])).stdout).result.proof.backup.name
  const claims = async () =>
    (await bed.kubectl.list('v1', 'PersistentVolumeClaim', { namespace: 'oas-apps' })).map(
      ({ metadata, status }) => `${metadata.name} ${metadata.uid} ${status?.phase}`,
    )
  const before = await claims()
  const wrong = await run('restore', [proved, '--app', 'wekan', '--confirm', 'other'])
  assert.is(wrong.code, 4)
  assert.equal(await claims(), before)
  const { code, stdout, stderr } = await run(
    'restore',
    [proved, '--app', 'wekan', '--confirm', 'wekan', '--json'],
    {
      timeout: 600_000,
    },
  )
  assert.is(code, 0, stderr)
  const { safety, held } = JSON.parse(stdout).result
  assert.match(safety, /^manual-wekan-/)
  const after = await claims()
  assert.is(after.length, before.length)
  assert.ok(
    after.every(claim => claim.endsWith('Bound')),
    after.join(),
  )
  for (const { claim } of held)
    assert.not.ok(before.some(each => after.includes(each) && each.startsWith(`${claim.split('/')[1]} `)))
  const old = await bed.kubectl.list('v1', 'PersistentVolume', {
    labelSelector: 'openappstack.net/replaced-by-restore=wekan',
  })
  assert.is(old.length, held.length)
  assert.ok(old.every(({ spec }) => spec?.persistentVolumeReclaimPolicy === 'Retain'))
  const state = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'velero', name: 'oas-restore-state' }
  assert.is(await bed.kubectl.get(state), undefined)
})

if (all) {
  test('one application: its volumes and no others, proved; it is no proof of the cluster', async () => {
    const mark = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'velero', name: 'oas-backup-proof' }
    const before = (await bed.kubectl.get(mark))?.data.backup
    const { code, stdout, stderr } = await run('backup', ['--app', 'wekan', '--yes', '--json'])
    assert.is(code, 0, stderr)
    const { app, backup } = JSON.parse(stdout).result.proof
    assert.is(app, 'wekan')
    assert.match(backup.name, /^manual-wekan-/)
    const claims: string[] = backup.claims.map(({ claim }: { claim: string }) => claim)
    assert.ok(claims.length > 0 && claims.every(claim => claim.startsWith('oas-apps/')), claims.join())
    const verified = await run('backup', ['--verify', backup.name, '--app', 'wekan'])
    assert.is(verified.code, 0, verified.stderr)
    // Of the whole cluster it proves nothing, and that does not change what is proved of the application.
    const whole = await run('backup', ['--verify', backup.name])
    assert.is(whole.code, 1, whole.stderr)
    const listed = async (...args: string[]) => (await run('backup', ['--list', ...args])).stdout
    assert.match(await listed(), new RegExp(`^${backup.name} .* \\d+ of one application  `, 'm'))
    assert.match(await listed('--app', 'wekan'), new RegExp(`^${backup.name} .* \\d+ of \\d+  `, 'm'))
    const place = join(velero.s3.files, 'backups', backup.name)
    const wrong = (file: string) => JSON.parse(readFileSync(join(place, file), 'utf8')).wrong.length
    assert.is(wrong('openappstack-proof-wekan.json'), 0)
    assert.ok(wrong('openappstack-proof.json') > 0)
    assert.is((await bed.kubectl.get(mark))?.data.backup, before)
  })

  test('a restored application that does not answer over HTTP: exit code 1, and the way back', async () => {
    const proved = JSON.parse((await run('backup', ['--yes', '--json'])).stdout).result.proof.backup.name
    velero.webStatus = 503
    try {
      const { code, stderr } = await run('restore', [proved, '--app', 'wekan', '--confirm', 'wekan'], {
        timeout: 600_000,
      })
      assert.is(code, 1, stderr)
      assert.match(stderr, /wekan was restored and runs; Service oas-apps\/\S+ does not answer over HTTP/)
      assert.match(
        stderr,
        /back to the state before: npx tsx scripts\/restore.ts manual-wekan-\S+ --app wekan/,
      )
    } finally {
      velero.webStatus = 200
    }
  })

  test("the generated secrets lie beside the backup, encrypted, with k3s' token of the server; without one it is told", async () => {
    const { generateX25519Identity, identityToRecipient } = await import('age-encryption')
    const identity = await generateX25519Identity()
    /** Backs up. Returns what it says, and the opened secrets. */
    const saved = async (...more: string[]) => {
      const args = ['--yes', '--json', '--recipient', await identityToRecipient(identity), ...more]
      const { code, stdout, stderr } = await run('backup', args)
      assert.is(code, 0, stderr)
      const { name } = JSON.parse(stdout).result.proof.backup
      const file = readFileSync(join(velero.s3.files, 'backups', name, 'openappstack-secrets.yaml.age'))
      assert.not.match(file.toString('latin1'), /velero-repo-credentials/)
      const keys = { identities: [identity], passphrase: async () => '' }
      return { stderr, text: (await allOf(decryptWith(keys, [file], 'secrets'))).toString() }
    }
    const without = await saved()
    assert.match(without.stderr, /k3s' token is not saved with the backup: /)
    assert.match(without.text, /name: "?velero-repo-credentials/)
    assert.match(without.text, /name: "?oas-oauth-variables/)

    const token = `K10${randomBytes(16).toString('hex')}::server:${randomBytes(8).toString('hex')}`
    const home = process.env.HOME
    newHome()
    const key = newKey(join(folder(), 'key'))
    // A server whose /var/lib is one of its own, with the file that k3s writes.
    const put = `mount -t tmpfs none /var/lib && mkdir -p ${dirname(K3S.token)} && echo "$0" >${K3S.token} && exec "$@"`
    const sshd = await Sshd.start({ within: ['unshare', '--mount', 'sh', '-c', put, token] })
    sshd.authorise(key)
    const inventory = join(bed.cluster, 'inventory.yml')
    writeFileSync(
      inventory,
      `all:\n  hosts:\n    one:\n      ansible_host: 127.0.0.1\n      ansible_port: ${sshd.port}\n      ansible_user: ${me}\n      ansible_ssh_private_key_file: ${key}\n`,
    )
    try {
      const { text, stderr } = await saved('--accept-new-host-key')
      assert.match(stderr, /Secrets and k3s' token/)
      assert.match(text, /name: "?openappstack-k3s-token/)
      assert.match(text, Buffer.from(token).toString('base64'))
      assert.equal(bed.leaks([token, ...(await bed.secretValues())]), [])
    } finally {
      rmSync(inventory)
      await sshd.down()
      process.env.HOME = home
    }
  })

  test('a drill as a job: its script and its account do it, report what is lost, and may do nothing else', async () => {
    const planned = await run('restore-drill', ['--schedule', 'monthly'])
    assert.is(planned.code, 2)
    const scheduled = await run('restore-drill', ['--schedule', '30 4 1 * *', '--yes'])
    assert.is(scheduled.code, 0, scheduled.stderr)
    const job = await drillJob(bed)
    const folder = mkdtempSync(join(tmpdir(), 'oas-drill-'))
    for (let i = 0; i < 5; i++) writeFileSync(join(folder, `letter ${i}`), `content ${i}`)
    await velero.addFolder('letters', folder)
    try {
      assert.is((await run('backup', ['--yes'])).code, 0)
      const before = await live()
      const good = await job.run()
      assert.is(good.code, 0, good.text)
      assert.match(good.text, /everything has come back/)
      assert.equal(job.alerts, [])
      rmSync(join(folder, 'letter 3'))
      const bad = await job.run()
      assert.is(bad.code, 1)
      assert.match(bad.text, /letters: has 4 files, and had 5/)
      assert.is(job.alerts.length, 1)
      assert.match(job.alerts[0]?.annotations.summary ?? '', /letters: has 4 files, and had 5/)
      assert.is(job.alerts[0]!.labels.alertname, 'RestoreDrillFailed')
      assert.equal(await live(), before)
      assert.not.ok((good.text + bad.text).includes(job.token))
    } finally {
      await velero.removeFolder('letters')
      rmSync(folder, { recursive: true })
    }
    const [pod] = await bed.kubectl.list('v1', 'Pod', { namespace: 'oas-apps' })
    const mark = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: 'velero', name: 'other' } }
    const live2 = { apiVersion: 'v1', kind: 'Namespace', name: 'oas-apps' }
    const stolen = {
      apiVersion: 'velero.io/v1',
      kind: 'Restore',
      metadata: { namespace: 'velero', name: 'stolen' },
      spec: { backupName: 'any', includedNamespaces: ['oas-apps'] },
    }
    const denied: [() => Promise<unknown>, RegExp][] = [
      [() => job.exec('oas-apps', pod!.metadata.name), /a drill works in its own namespaces only/],
      [() => job.kubectl.delete(live2), /a drill works in its own namespaces only/],
      [() => job.kubectl.create(stolen), /a drill restores into its own namespaces only/],
      [() => job.kubectl.create(mark), /a drill writes its own mark only/],
      [() => job.kubectl.list('v1', 'Secret', { namespace: 'flux-system' }), /forbidden/],
      [() => job.kubectl.list('v1', 'Secret', { namespace: 'velero' }), /forbidden/],
    ]
    for (const [work, why] of denied)
      assert.match(await work().then(String, (error: Error) => error.message), why)
    const ended = await run('restore-drill', ['--schedule', 'off', '--yes'])
    assert.is(ended.code, 0, ended.stderr)
    assert.equal(await bed.kubectl.list('batch/v1', 'CronJob', { namespace: 'velero' }), [])
  })

  test('copying fails: the message of the volume is told', async () => {
    const claims = await bed.kubectl.list('v1', 'PersistentVolumeClaim', { namespace: 'oas-apps' })
    const place = `oas-apps/${claims[0]!.metadata.name}`
    velero.copying.set(place, 'fails')
    const { code, stderr } = await run('backup', ['--yes'])
    velero.copying.clear()
    assert.is(code, 1)
    assert.match(stderr, new RegExp(`data of ${place}: copying it has failed: the stand-in was told to fail`))
    assert.match(stderr, /has failed in part/)
    assert.is((await run('diagnose', [])).code, 3)
  })

  test('a hook that fails: no success', async () => {
    const [pod] = (await bed.kubectl.list('v1', 'Pod', { namespace: 'oas-apps' })).filter(({ spec }) =>
      spec?.volumes?.some((volume: { persistentVolumeClaim?: object }) => volume.persistentVolumeClaim),
    )
    const annotations = { 'pre.hook.backup.velero.io/command': '["/bin/true"]' }
    const ref = { apiVersion: 'v1', kind: 'Pod', ...pod!.metadata }
    await bed.kubectl.patch(ref, { metadata: { annotations } })
    const { code, stderr } = await run('backup', ['--yes'])
    assert.is(code, 1)
    assert.match(stderr, /1 of 1 hooks failed: a database has no new dump/)
  })

  test('the bucket is gone: refused before, and told', async () => {
    const away = `${velero.s3.files}-away`
    renameSync(velero.s3.files, away)
    const { code, stderr } = await run('backup', ['--yes'])
    renameSync(away, velero.s3.files)
    assert.is(code, 1)
    assert.match(stderr, /there is no bucket backups/)
    await velero.available('Available')
  })

  test('killed in the middle, run again: the same backup is continued', async () => {
    const claims = await bed.kubectl.list('v1', 'PersistentVolumeClaim', { namespace: 'oas-apps' })
    for (const { metadata } of claims) velero.copying.set(`oas-apps/${metadata.name}`, 'hangs')
    const before = (await backups()).length
    const killed = await run('backup', ['--yes'], { timeout: 20_000 }).catch(error => error)
    assert.ok(killed)
    velero.copying.clear()
    for (const copy of await bed.kubectl.list('velero.io/v1', 'PodVolumeBackup', { namespace: 'velero' }))
      if (copy.status?.phase === 'InProgress')
        await bed.kubectl.patch(
          { apiVersion: 'velero.io/v1', kind: 'PodVolumeBackup', ...copy.metadata },
          { status: { phase: 'New' } },
        )
    const { code, stderr } = await run('backup', ['--yes'])
    assert.is(code, 0, stderr)
    assert.match(stderr, /Continue backup|Back up as/)
    assert.is((await backups()).length, before + 1)
  })

  test('a backup is deleted by its name only, from the bucket too', async () => {
    const { name } = (await backups())[0]!.metadata
    assert.is((await run('backup', ['--delete', name, '--confirm', 'other'])).code, 4)
    const { code, stderr } = await run('backup', ['--delete', name, '--confirm', name])
    assert.is(code, 0, stderr)
    assert.not.ok(readdirSync(join(velero.s3.files, 'backups')).includes(name))
  })
}

test.run()
