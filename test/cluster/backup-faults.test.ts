/**
 * Backups of a cluster in which something is wrong, and restores and drills that are killed: never a success, always
 * the cause, and the same command completes it.
 */
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { until } from '../../lib/script/wait.ts'
import { suite } from '../suite.ts'
import { played, STAGES } from './faults/kubelets.ts'
import { Bed, type Outcome, runScript, type ScriptOptions } from './harness.ts'
import { killedAfterWrite, killedAt, killedWriting } from './killing.ts'
import { VeleroBed } from './velero-bed.ts'

const test = suite('backup-faults')
let bed: Bed
let velero: VeleroBed
/** A backup from before all faults. */
let first: string

const run = (name: string, args: readonly string[], options?: ScriptOptions): Promise<Outcome> =>
  runScript(name, ['--cluster', 'sandbox', ...args], { timeout: 600_000, ...options })
const backups = () => bed.kubectl.list('velero.io/v1', 'Backup', { namespace: 'velero' })

/** Waits for something of the cluster. */
const wait = (what: string, look: () => Promise<boolean>) =>
  until(async () => ((await look()) ? { done: true } : { last: what }), {
    deadline: 180_000,
    every: 300,
    describe: last => last ?? '',
  })

test.before(async () => {
  bed = await Bed.startInstalled()
  velero = await VeleroBed.start(bed)
  await velero.removeHooks()
  const { code, stdout, stderr } = await run('backup', ['--yes', '--json'])
  assert.is(code, 0, stderr)
  first = JSON.parse(stdout).result.proof.backup.name
})
test.before.each(() => velero.removeHooks())
test.after(async () => {
  await velero?.stop()
  await bed?.stop()
})

/** A claim with a local volume of its own, and a pod that mounts it. */
function mounted(name: string, pod: { metadata?: object; spec?: object }): KubeObject[] {
  const namespace = 'oas-apps'
  return [
    {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name },
      spec: {
        accessModes: ['ReadWriteOnce'],
        capacity: { storage: '1Gi' },
        storageClassName: 'none',
        local: { path: `/${name}` },
        nodeAffinity: {
          required: {
            nodeSelectorTerms: [
              { matchExpressions: [{ key: 'kubernetes.io/os', operator: 'In', values: ['linux'] }] },
            ],
          },
        },
        claimRef: { namespace, name },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { namespace, name },
      spec: {
        accessModes: ['ReadWriteOnce'],
        storageClassName: 'none',
        volumeName: name,
        resources: { requests: { storage: '1Gi' } },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { namespace, name, ...pod.metadata },
      spec: {
        containers: [{ name: 'app', image: 'app', volumeMounts: [{ name: 'data', mountPath: '/data' }] }],
        volumes: [{ name: 'data', persistentVolumeClaim: { claimName: name } }],
        ...pod.spec,
      },
    },
  ]
}

test('a pod that is pending, and one that has failed: their volumes are missing, named with the pod', async () => {
  for (const stage of STAGES) await bed.kubectl.apply(stage)
  const objects = [
    ...mounted('pending', { spec: { nodeSelector: { nowhere: 'here' } } }),
    ...mounted('failed', { metadata: { annotations: played('evicted') } }),
  ]
  for (const object of objects) await bed.kubectl.create(object)
  const phase = async (name: string) =>
    (await bed.kubectl.get({ apiVersion: 'v1', kind: 'Pod', namespace: 'oas-apps', name }))?.status?.phase
  try {
    await wait('the pod has not failed', async () => (await phase('failed')) === 'Failed')
    await wait('a claim is not bound', async () => {
      const claims = await bed.kubectl.list('v1', 'PersistentVolumeClaim', { namespace: 'oas-apps' })
      return claims.every(({ status }) => status?.phase === 'Bound')
    })
    const { code, stderr } = await run('backup', ['--yes'])
    assert.is(code, 1, stderr)
    assert.match(stderr, /data of oas-apps\/pending: its pod pending is Pending, not Running/)
    assert.match(stderr, /data of oas-apps\/failed: its pod failed is Failed, not Running/)
  } finally {
    for (const object of objects.reverse()) await bed.kubectl.delete({ ...object, ...object.metadata })
    for (const stage of STAGES) await bed.kubectl.delete({ ...stage, ...stage.metadata })
  }
})

test('node-agent is down: every volume is missing, and the node is named', async () => {
  const agent = { apiVersion: 'apps/v1', kind: 'DaemonSet', namespace: 'velero', name: 'node-agent' }
  const running = async () =>
    (await bed.kubectl.list('v1', 'Pod', { namespace: 'velero' })).filter(
      ({ metadata, status }) => metadata.name.startsWith('node-agent') && status?.phase === 'Running',
    ).length
  const select = (nowhere: string | null) =>
    bed.kubectl.patch(agent, { spec: { template: { spec: { nodeSelector: { nowhere } } } } })
  await select('here')
  try {
    await wait('node-agent still runs', async () => (await running()) === 0)
    const { code, stderr } = await run('backup', ['--yes'])
    assert.is(code, 1, stderr)
    assert.match(stderr, /node-agent does not run on node \S+, and it reads the volumes there/)
  } finally {
    await select(null)
    await wait('node-agent does not run', async () => (await running()) > 0)
  }
  const { code, stderr } = await run('backup', ['--yes'])
  assert.is(code, 0, stderr)
})

/** Has Velero work on a backup that does not end, and returns the run that waits for it. */
async function hanging(): Promise<{ ended: Promise<Outcome> }> {
  const claims = await bed.kubectl.list('v1', 'PersistentVolumeClaim', { namespace: 'oas-apps' })
  for (const { metadata } of claims) velero.copying.set(`oas-apps/${metadata.name}`, 'hangs')
  const ended = run('backup', ['--yes'])
  await wait('no volume is being copied', async () =>
    (await bed.kubectl.list('velero.io/v1', 'PodVolumeBackup', { namespace: 'velero' })).some(
      ({ status }) => status?.phase === 'InProgress',
    ),
  )
  return { ended }
}

test('Velero is killed in the middle: the run that waits tells it, and the next backup is whole', async () => {
  const { ended } = await hanging()
  await velero.killServer()
  velero.copying.clear()
  await velero.startServer()
  const { code, stderr } = await ended
  assert.is(code, 1, stderr)
  assert.match(stderr, /found a backup with status "InProgress" during the server starting/)
  const next = await run('backup', ['--yes'])
  assert.is(next.code, 0, next.stderr)
  assert.is((await run('backup', ['--verify', first])).code, 0)
})

test('a backup that has expired proves nothing, and is not restored', async () => {
  const name = 'expires'
  await bed.kubectl.create({
    apiVersion: 'velero.io/v1',
    kind: 'Backup',
    metadata: { namespace: 'velero', name },
    spec: {
      ttl: '5s',
      storageLocation: 'default',
      defaultVolumesToFsBackup: true,
      excludedNamespaces: ['velero'],
    },
  })
  await wait('it has not expired', async () => {
    const { status } = (await backups()).find(({ metadata }) => metadata.name === name)!
    return status?.phase === 'Completed' && Date.parse(status.expiration) < Date.now()
  })
  const verified = await run('backup', ['--verify', name])
  assert.is(verified.code, 1)
  assert.match(verified.stderr, /has expired on/)
  const restored = await run('restore', [name, '--app', 'wekan', '--confirm', 'wekan', '--accept-unproved'])
  assert.is(restored.code, 1)
  assert.match(restored.stderr, /backup expires has expired on/)
})

test('a paused schedule: the newest of its backups is not a success, and diagnose names it', async () => {
  const [schedule] = await bed.kubectl.list('velero.io/v1', 'Schedule', { namespace: 'velero' })
  const ref = { apiVersion: 'velero.io/v1', kind: 'Schedule', ...schedule!.metadata }
  const name = `${ref.name}-now`
  // As `velero backup create --from-schedule` does.
  await bed.kubectl.create({
    apiVersion: 'velero.io/v1',
    kind: 'Backup',
    metadata: { namespace: 'velero', name, labels: { 'velero.io/schedule-name': ref.name } },
    spec: schedule!.spec.template,
  })
  await wait('it has not ended', async () =>
    (await backups()).some(({ metadata, status }) => metadata.name === name && status?.phase === 'Completed'),
  )
  const before = await run('backup', ['--verify', 'latest'])
  assert.is(before.code, 0, before.stderr)
  await bed.kubectl.patch(ref, { spec: { paused: true } })
  try {
    const { code, stderr } = await run('backup', ['--verify', 'latest'])
    assert.is(code, 1, stderr)
    assert.match(stderr, /the schedule \S+ is paused/)
    const diagnosis = await run('diagnose', [])
    assert.is(diagnosis.code, 3)
    assert.match(diagnosis.stdout, /is paused: nothing is backed up/)
  } finally {
    await bed.kubectl.patch(ref, { spec: { paused: false } })
  }
})

test('the clock of the machine is off: the storage refuses, and the clock is named', async () => {
  const shifted = `
    const [Real, off] = [Date, 3_600_000]
    globalThis.Date = class extends Real {
      constructor(...args) { args.length ? super(...args) : super(Real.now() + off) }
      static now() { return Real.now() + off }
    }`
  const code = `data:text/javascript;base64,${Buffer.from(shifted).toString('base64')}`
  const before = (await backups()).length
  const outcome = await run('backup', ['--yes'], { env: { NODE_OPTIONS: `--import ${code}` } })
  assert.is(outcome.code, 1, outcome.stderr)
  assert.match(
    outcome.stderr,
    /the clock of this machine and that of the S3 service \S+ differ by 60 minutes/,
  )
  assert.is((await backups()).length, before)
})

/** Runs a script that has to be killed on its way. */
async function dies(
  name: string,
  args: readonly string[],
  options: ScriptOptions,
  where: string,
): Promise<void> {
  const { signal, code, stderr } = await run(name, args, options)
  assert.is(signal, 'SIGKILL', `it was not killed ${where} but ended with ${code}:\n${stderr}`)
}

test('a drill killed at every step: the next one completes; the live applications are never touched', async () => {
  const before = await bed.live()
  const kills: [ScriptOptions, string][] = [
    [killedAt(/^\d+\. Restore wekan/), 'before the restore'],
    [killedAfterWrite(1), 'with its namespace'],
    // From here on, the first write removes what the killed one has left.
    [killedAfterWrite(1), 'while it cleans up'],
    [killedAfterWrite(2), 'with its namespace again'],
    [killedAfterWrite(3), 'with its policy'],
    [killedAfterWrite(4), 'with its Restore'],
    [killedAt('✓ Restore wekan'), 'after the restore'],
    [killedAt(/^\d+\. Verdict/), 'before the verdict'],
    [killedWriting('.md'), 'at the journal'],
    [killedAt('✓ Verdict'), 'after the verdict'],
  ]
  for (const [options, where] of kills) {
    await dies('restore-drill', [first, '--yes'], options, where)
    assert.equal(await bed.live(), before, where)
  }
  const { code, stderr } = await run('restore-drill', [first, '--yes'])
  assert.is(code, 0, stderr)
  assert.equal(await bed.live(), before)
  const drill = { apiVersion: 'v1', kind: 'Namespace', name: 'restore-drill-wekan' }
  assert.is(await bed.kubectl.get(drill), undefined)
})

test('a drill killed while Velero copies: the next one has it give that up, and completes', async () => {
  const copies = (kind: string) => bed.kubectl.list('velero.io/v1', kind, { namespace: 'velero' })
  const saved = (await copies('PodVolumeBackup')).find(({ spec }) => spec.pod.name.startsWith('wekan'))!
  velero.copying.set(`restore-drill-wekan/${saved.spec.volume}`, 'hangs')
  await dies('restore-drill', [first, '--yes'], killedAt(/ of \d+ volumes/), 'while it copies')
  // It may be killed before the copy has begun.
  await wait('no copy that hangs', async () =>
    (await copies('PodVolumeRestore')).some(({ status }) => status?.phase === 'InProgress'),
  )
  velero.copying.clear()
  const before = await bed.live()
  const { code, stderr } = await run('restore-drill', [first, '--yes'])
  assert.is(code, 0, stderr)
  assert.ok((await copies('PodVolumeRestore')).some(({ status }) => status?.phase === 'Canceled'))
  assert.equal(await bed.live(), before)
})

test('a restore killed at every step: the same command completes it', async () => {
  const claims = async () =>
    (await bed.kubectl.list('v1', 'PersistentVolumeClaim', { namespace: 'oas-apps' }))
      .map(({ metadata }) => metadata.name)
      .sort()
  const before = await claims()
  const command = [first, '--app', 'wekan', '--confirm', 'wekan']
  const kills: [ScriptOptions, string][] = [
    [killedAt(/^\d+\. Back up as/), 'before the safety backup'],
    [killedAfterWrite(1, /velero\/backups/), 'with the safety backup'],
    [killedAt(/^\d+\. Prove/), 'before the proof'],
    [killedAt('✓ Prove'), 'after the proof'],
    [killedAfterWrite(1, /oas-restore-state/), 'with its state'],
    [killedAt(/^\d+\. Suspend/), 'before it is suspended'],
    [killedAfterWrite(2), 'with one object of Flux suspended'],
    [killedAt('✓ Suspend'), 'after it is suspended'],
    [killedAt(/^\d+\. Stop it/), 'before it is stopped'],
    [killedAfterWrite(2), 'with a volume kept'],
    [killedAfterWrite(3), 'one write later'],
    [killedAfterWrite(4), 'two writes later'],
    [killedAt('✓ Stop it'), 'after it is stopped'],
    [killedAt(/^\d+\. Restore/), 'before the restore'],
    [killedAfterWrite(2), 'with the name of the Restore'],
    [killedAfterWrite(3), 'with the Restore'],
    [killedAt('✓ Restore'), 'after the restore'],
    [killedAt(/^\d+\. Load/), 'before the dumps are loaded'],
    [killedAt('✓ Load'), 'after they are loaded'],
    [killedAt(/^\d+\. Start/), 'before it is started'],
    [killedAt(/^\d+\. Resume/), 'before it is resumed'],
    [killedAfterWrite(2), 'in the middle of resuming'],
    [killedAt('✓ Resume'), 'after it is resumed'],
    [killedAt(/^\d+\. Wait/), 'before it is waited for'],
    [killedAt('✓ Wait'), 'after everything'],
  ]
  for (const [options, where] of kills) {
    await velero.removeHooks()
    await dies('restore', command, options, where)
  }
  const { code, stdout, stderr } = await run('restore', [...command, '--json'])
  assert.is(code, 0, stderr)
  assert.equal(await claims(), before)
  const { safety } = JSON.parse(stdout).result
  const state = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'velero', name: 'oas-restore-state' }
  assert.is(await bed.kubectl.get(state), undefined)
  assert.is((await run('status', [])).code, 0)
  // The state from before is in the safety backup, and can be taken back.
  await velero.removeHooks()
  const back = await run('restore', [safety, '--app', 'wekan', '--confirm', 'wekan'])
  assert.is(back.code, 0, back.stderr)
  assert.equal(await claims(), before)
})

test('an unfinished restore: others are refused, the safety backup takes its place, and it can be abandoned', async () => {
  const ref = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'velero', name: 'oas-restore-state' }
  const state = async () => (await bed.kubectl.get(ref))?.data
  const command = [first, '--app', 'wekan', '--confirm', 'wekan']
  // Before anything is changed no other restore is blocked.
  await dies('restore', command, killedAt('✓ Prove'), 'after the proof')
  assert.is(await state(), undefined)
  await velero.removeHooks()
  await dies('restore', command, killedAt('✓ Restore'), 'after the restore')
  const { safety } = (await state())!
  const other = await run('restore', [first, '--app', 'nextcloud', '--confirm', 'nextcloud'])
  assert.is(other.code, 4, other.stderr)
  assert.match(other.stderr, new RegExp(`restore.ts ${first} --app wekan --abandon`))
  const back = await run('restore', [safety, '--app', 'wekan', '--confirm', 'wekan'])
  assert.is(back.code, 0, back.stderr)
  assert.is(await state(), undefined)

  const skipping = [...command, '--skip-safety']
  await dies('restore', skipping, killedAt('✓ Suspend'), 'after it is suspended')
  assert.is((await state())!.safety, 'none')
  const unnamed = await run('restore', [first, '--app', 'wekan', '--abandon', '--confirm', 'other'])
  assert.is(unnamed.code, 4, unnamed.stderr)
  const abandoned = await run('restore', [...command, '--abandon'])
  assert.is(abandoned.code, 0, abandoned.stderr)
  assert.is(await state(), undefined)
  const again = await run('restore', skipping)
  assert.is(again.code, 0, again.stderr)
  assert.is((await run('status', [])).code, 0)
})

test.run()
