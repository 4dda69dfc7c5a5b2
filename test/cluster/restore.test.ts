/**
 * restore with the real Velero on the bed (see velero-bed.ts): beside the running application, killed in the middle and
 * run again; and the core in place. backup-faults.test.ts has that of an application in place.
 */
import * as assert from 'uvu/assert'
import { suite } from '../suite.ts'
import { Bed, type Outcome, runScript, type ScriptOptions } from './harness.ts'
import { killedAfterWrite } from './killing.ts'
import { VeleroBed } from './velero-bed.ts'

const test = suite('restore')
let bed: Bed
let velero: VeleroBed
let backup: string

const restore = (args: readonly string[], options?: ScriptOptions): Promise<Outcome> =>
  runScript('restore', ['--cluster', 'sandbox', ...args], { timeout: 600_000, ...options })
const claims = (namespace: string) => bed.kubectl.list('v1', 'PersistentVolumeClaim', { namespace })
const ofVelero = (kind: string) => bed.kubectl.list('velero.io/v1', kind, { namespace: 'velero' })
const restores = async () => (await ofVelero('Restore')).map(({ metadata }) => metadata.name)
/** Has it killed on its way. */
async function dies(args: readonly string[], options: ScriptOptions): Promise<void> {
  const { signal, code, stderr } = await restore(args, options)
  assert.is(signal, 'SIGKILL', `it was not killed but ended with ${code}:\n${stderr}`)
}

test.before(async () => {
  bed = await Bed.startInstalled()
  velero = await VeleroBed.start(bed)
  await velero.removeHooks()
  const args = ['--cluster', 'sandbox', '--yes', '--json']
  const { code, stdout, stderr } = await runScript('backup', args, { timeout: 600_000 })
  assert.is(code, 0, stderr)
  backup = JSON.parse(stdout).result.proof.backup.name
})
test.before.each(() => velero.removeHooks())
test.after(async () => {
  await velero?.stop()
  await bed?.stop()
})

test('beside the running one, killed with its Restore: the same command completes it, nothing else is touched', async () => {
  const before = await bed.live()
  const command = [backup, '--app', 'wekan', '--into', 'look', '--yes']
  await dies(command, killedAfterWrite(2)) // with its namespace and the policy
  assert.equal(await restores(), [])
  await dies(command, killedAfterWrite(3))
  const [first, ...more] = await restores()
  assert.match(first ?? '', /^look-\d+$/)
  assert.equal(more, [])
  const { code, stdout, stderr } = await restore([...command, '--json'])
  assert.is(code, 0, stderr)
  assert.equal(await restores(), [first])
  const { held } = JSON.parse(stdout).result
  const there = await claims('look')
  assert.ok(there.length > 0 && there.length === held.length, stderr)
  for (const { status } of there) assert.is(status?.phase, 'Bound')
  const pods = await bed.kubectl.list('v1', 'Pod', { namespace: 'look' })
  assert.ok(pods.length > 0 && pods.every(({ status }) => status?.phase === 'Running'))
  const network = 'networking.k8s.io/v1'
  assert.equal(await bed.kubectl.list(network, 'Ingress', { namespace: 'look' }), [])
  const [policy] = await bed.kubectl.list(network, 'NetworkPolicy', { namespace: 'look' })
  assert.is(policy?.metadata.name, 'alone')
  assert.equal(await bed.live(), before)
})

test('a volume was not restored: the same command begins again; other data, or a namespace of others, is refused', async () => {
  const command = ['--app', 'wekan', '--into', 'look', '--yes']
  const uids = async () => (await claims('look')).map(({ metadata }) => metadata.uid)
  const before = await uids()
  for (const copy of await ofVelero('PodVolumeRestore'))
    await bed.kubectl.delete({ ...copy, ...copy.metadata })
  const { code, stderr } = await restore([backup, ...command])
  assert.is(code, 0, stderr)
  const after = await uids()
  assert.is(after.length, before.length)
  assert.not.ok(after.some(uid => before.includes(uid)))
  const other = await restore([backup, '--app', 'core', '--into', 'look', '--yes'])
  assert.is(other.code, 4)
  assert.match(other.stderr, new RegExp(`the namespace look has other data, of ${backup}`))
  const foreign = await restore([backup, '--app', 'wekan', '--into', 'oas-apps', '--yes'])
  assert.is(foreign.code, 4)
  assert.match(foreign.stderr, /the namespace oas-apps exists/)
})

test('the core: backed up by itself, and restored in place; of it only the database and Grafana are replaced', async () => {
  const args = ['--cluster', 'sandbox', '--app', 'core', '--yes', '--json']
  const made = await runScript('backup', args, { timeout: 600_000 })
  assert.is(made.code, 0, made.stderr)
  const { proof } = JSON.parse(made.stdout).result
  assert.is(proof.app, 'core')
  const captured: string[] = proof.backup.claims
    .filter(({ state }: { state: string }) => state === 'captured')
    .map(({ claim }: { claim: string }) => claim)
  assert.equal(captured, ['oas/kube-prometheus-stack-grafana', 'oas/postgres-data-single-sign-on-database-0'])
  const uids = async () => {
    const workloads = ['Deployment', 'StatefulSet', 'DaemonSet'].map(kind =>
      bed.kubectl.list('apps/v1', kind),
    )
    const all = [
      ...(await Promise.all(workloads)).flat(),
      ...(await bed.kubectl.list('v1', 'PersistentVolumeClaim')),
    ]
    return new Map(
      all.map(({ kind, metadata }) => [`${kind} ${metadata.namespace}/${metadata.name}`, metadata.uid]),
    )
  }
  const before = await uids()
  const { code, stdout, stderr } = await restore([
    ...[proof.backup.name, '--app', 'core', '--confirm', 'core', '--json'],
  ])
  assert.is(code, 0, stderr)
  assert.match(JSON.parse(stdout).result.safety, /^manual-core-/)
  const after = await uids()
  assert.equal([...after.keys()].sort(), [...before.keys()].sort())
  const replaced = [...before].filter(([name, uid]) => after.get(name) !== uid).map(([name]) => name)
  assert.equal(replaced.sort(), [
    'Deployment oas/kube-prometheus-stack-grafana',
    ...captured.map(claim => `PersistentVolumeClaim ${claim}`),
    'StatefulSet oas/single-sign-on-database',
  ])
  const status = await runScript('status', ['--cluster', 'sandbox', '--watch'], { timeout: 300_000 })
  assert.is(status.code, 0, status.stdout)
})

test.run()
