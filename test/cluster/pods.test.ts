/**
 * Pods on the real API server: evicted ones are deleted and no others, and logs are read. The kubelet is kwok,
 * which serves files as logs; the statuses of failed pods are set through the API, as a kubelet sets them.
 */

import { execFile, spawn } from 'node:child_process'
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import type { RootCause } from '../../lib/diagnosis/finding.ts'
import { condition } from '../../lib/flux/flux.ts'
import type { KubeObject, Ref } from '../../lib/kubectl/kubectl.ts'
import { completeConfig, readConfig } from '../../lib/platform/config.ts'
import { SecretCopies } from '../../lib/platform/secret-copies.ts'
import { ensureSecrets, loadCatalogue } from '../../lib/platform/secrets.ts'
import { ROOT } from '../../lib/script/files.ts'
import { until } from '../../lib/script/wait.ts'
import { appKustomization } from '../../scripts/install-app/kustomization.ts'
import {
  gitRepository,
  namespaces,
  rootKustomization,
  settingsSecrets,
} from '../../scripts/install-core/platform.ts'
import { findPods } from '../../scripts/logs/pods.ts'
import { findTarget } from '../../scripts/logs/target.ts'
import { readObjects } from '../bed/build/data.ts'
import { layoutOf } from '../bed/cluster/layout.ts'
import { stop } from '../bed/cluster/processes.ts'
import { up } from '../bed/cluster/sandbox.ts'
import { all, test } from '../suite.ts'
import { Bed, type Outcome, runScript } from './harness.ts'
import { createEvicted, createFailed, EVICTED, pod } from './pods.ts'

const LOGS = { apiVersion: 'kwok.x-k8s.io/v1alpha1', kind: 'Logs' }
/** uvu asks its children for colours. */
const env = () => ({ ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined })
let bed: Bed
let folder: string

const podRef = (namespace: string, name: string): Ref => ({ apiVersion: 'v1', kind: 'Pod', namespace, name })

/** Waits until something is there. */
function eventually<T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> {
  return until<string, T>(
    async () => {
      const found = await look()
      return found ? { done: found } : { last: what }
    },
    { deadline: 180_000, every: 200, describe: last => `not yet: ${last}` },
  )
}

test.before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'oas-logs-'))
  bed = await Bed.start()
  for (const name of ['default', 'evictions', 'others']) {
    await bed.kubectl.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
    await eventually('the account that every pod needs', () =>
      bed.kubectl.get({ apiVersion: 'v1', kind: 'ServiceAccount', namespace: name, name: 'default' }),
    )
  }
})

test.after(async () => {
  await bed?.stop()
  rmSync(folder, { recursive: true, force: true })
})

// Evicted pods

const clean = (...args: string[]) => runScript('delete-evicted-pods', [...args, '--json'])
const resultOf = (outcome: Outcome) => JSON.parse(outcome.stdout).result
const names = async (namespace: string) =>
  (await bed.kubectl.list('v1', 'Pod', { namespace })).map(({ metadata }) => metadata.name).sort()

const OTHERS: Record<string, object> = {
  'failed-error': { phase: 'Failed', reason: 'Error' },
  'failed-without-reason': { phase: 'Failed' },
  'failed-similar': { phase: 'Failed', reason: 'NotEvicted', message: EVICTED.message },
  'failed-shutdown': { phase: 'Failed', reason: 'NodeShutdown', message: 'Evicted' },
  succeeded: { phase: 'Succeeded', reason: 'Evicted' },
  running: { phase: 'Running', reason: 'Evicted' },
}

test('nothing to delete is told, and nothing is changed', async () => {
  const outcome = await clean('--yes')
  assert.is(outcome.code, 0, outcome.stderr)
  assert.match(outcome.stderr, 'node sandbox: no DiskPressure')
  assert.match(outcome.stderr, 'nothing was changed')
})

test('a dry run counts and changes nothing', async () => {
  for (const [name, status] of Object.entries(OTHERS))
    for (const namespace of ['evictions', 'others'])
      await createFailed(bed.kubectl, pod(namespace, name), status)
  await createEvicted(bed.kubectl, 'evictions', 700)
  await createEvicted(bed.kubectl, 'others', 3)
  const before = await names('evictions')
  const outcome = await runScript('delete-evicted-pods', ['--dry-run'])
  assert.is(outcome.code, 0, outcome.stderr)
  assert.match(outcome.stdout, /^evictions +700 +700 +0 +0 +0 /m)
  assert.match(outcome.stdout, /^others +3 +3 +0 +0 +0 /m)
  assert.match(outcome.stderr, 'left alone: 8 pods that failed for other reasons')
  assert.match(outcome.stderr, 'delete 703 evicted pods (short of: ephemeral-storage 703)')
  assert.equal(await names('evictions'), before)
})

test('without --yes and without a terminal nothing is deleted', async () => {
  const outcome = await clean('--namespace', 'others')
  assert.is(outcome.code, 2)
  assert.is((await names('others')).length, 9)
})

test('a namespace that does not exist is told with a suggestion', async () => {
  const outcome = await clean('--namespace', 'eviction', '--yes')
  assert.is(outcome.code, 2)
  assert.match(outcome.stderr, 'did you mean evictions?')
})

test('--namespace and --older-than leave the others', async () => {
  const old = new Date(Date.now() - 3 * 3_600_000).toISOString()
  const conditions = [{ type: 'DisruptionTarget', status: 'True', lastTransitionTime: old }]
  await createFailed(bed.kubectl, pod('others', 'old'), { ...EVICTED, conditions })
  const outcome = await clean('--namespace', 'others', '--older-than', '2h', '--yes')
  assert.is(outcome.code, 0, outcome.stderr)
  const { deleted, before } = resultOf(outcome)
  assert.equal([deleted, before.evicted, before.younger], [1, 1, 3])
  assert.is((await names('others')).length, 9)
  assert.is((await names('evictions')).length, 706)
})

if (all)
  test('a killed run leaves nothing that keeps the next one from completing', async () => {
    const killed = await runScript('delete-evicted-pods', ['--yes', '--namespace', 'evictions'], {
      kill: said => (said.includes('1. Delete') ? 'SIGKILL' : undefined),
    })
    assert.is(killed.signal, 'SIGKILL')
  })

test('deletes every evicted pod over several pages while others come and go, and no other one', async () => {
  // A pod that really was on the node: kwok made it run, and then it was evicted.
  const placed = pod('evictions', 'placed')
  await bed.kubectl.create({ ...placed, spec: { ...placed.spec, nodeName: 'sandbox' } })
  const ref = podRef('evictions', 'placed')
  await eventually('placed runs', async () => (await bed.kubectl.get(ref))?.status?.phase === 'Running')
  await bed.kubectl.patch(ref, { status: EVICTED }, { subresource: 'status' })
  await createEvicted(bed.kubectl, 'evictions', 700) // where some are there already, they stay

  // Meanwhile somebody deletes evicted pods, and gives the name of some to a new one, as a StatefulSet does.
  const replaced = ['evicted-690', 'evicted-695', 'evicted-699']
  let racing: Promise<void> | undefined
  const race = async () => {
    for (const name of replaced) {
      await bed.kubectl.delete(podRef('evictions', name))
      await bed.kubectl.create(pod('evictions', name))
    }
    for (let i = 689; i > 600; i -= 10) await bed.kubectl.delete(podRef('evictions', `evicted-${i}`))
  }
  const outcome = await runScript('delete-evicted-pods', ['--yes', '--json'], {
    kill: said => {
      if (said.includes('1. Delete')) racing ??= race()
      return undefined
    },
  })
  await racing
  assert.is(outcome.code, 0, outcome.stderr)
  const { before, deleted, vanished, after } = resultOf(outcome)
  assert.ok(
    deleted + vanished <= before.evicted && deleted > 600,
    JSON.stringify({ before, deleted, vanished }),
  )
  assert.is(after.evicted, 0)
  assert.equal(await names('others'), Object.keys(OTHERS).sort())
  assert.equal(await names('evictions'), [...Object.keys(OTHERS), ...replaced].sort())
})

test('another run holds the lock: nothing is deleted', async () => {
  await createEvicted(bed.kubectl, 'others', 1)
  const now = new Date().toISOString().replace('Z', '000Z')
  const lease = {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'openappstack-runbooks', namespace: 'kube-system' },
    spec: { holderIdentity: 'ann@elsewhere', leaseDurationSeconds: 60, acquireTime: now, renewTime: now },
  }
  await bed.kubectl.create(lease)
  const outcome = await clean('--yes')
  await bed.kubectl.delete({ ...lease, ...lease.metadata })
  assert.is(outcome.code, 75, outcome.stderr)
  assert.match(outcome.stderr, 'ann@elsewhere')
  assert.ok((await names('others')).includes('evicted-0'))
})

if (all)
  test('while the disk is full this is said first, and the exit code is 3', async () => {
    const node: Ref = { apiVersion: 'v1', kind: 'Node', name: 'sandbox' }
    const conditions = ((await bed.kubectl.get(node))?.status?.conditions ?? []) as { type: string }[]
    const set = (status: string) =>
      bed.kubectl.patch(
        node,
        {
          status: {
            conditions: conditions.map(each =>
              each.type === 'DiskPressure' ? { ...each, status, message: 'kubelet has disk pressure' } : each,
            ),
          },
        },
        { subresource: 'status' },
      )
    assert.is(condition((await bed.kubectl.get(node))!, 'DiskPressure')?.status, 'False')
    await set('True')
    const outcome = await clean('--yes')
    await set('False')
    assert.is(outcome.code, 3, outcome.stderr)
    assert.match(
      outcome.stderr,
      /^! node sandbox: DiskPressure.*: kubelet has disk pressure\n! free the full node first/,
    )
    assert.equal(resultOf(outcome).deleted, 1)
  })

// Logs

/** The time of a line of a log, as containers have it. */
const time = (second: number) => `2026-06-01T12:00:${String(second).padStart(2, '0')}.000000001Z`
const line = (second: number, text: string) => `${time(second)} stdout F ${text}\n`

/** Gives containers of a pod their logs: each as a file of these lines. Resolves when kwok serves them. */
async function serveLogs(namespace: string, name: string, logs: Record<string, string>): Promise<void> {
  const file = (container: string) => join(folder, `${name}-${container}.log`)
  for (const [container, text] of Object.entries(logs)) writeFileSync(file(container), text)
  await bed.kubectl.apply({
    ...LOGS,
    metadata: { namespace, name },
    spec: {
      logs: Object.keys(logs)
        .filter(container => !container.endsWith('.previous'))
        .map(container => ({
          containers: [container],
          logsFile: file(container),
          ...(`${container}.previous` in logs ? { previousLogsFile: file(`${container}.previous`) } : {}),
        })),
    },
  })
  await eventually(`logs of ${name}`, async () => {
    try {
      for await (const _ of bed.kubectl.logs({ namespace, name }, Object.keys(logs)[0]!)) break
      return true
    } catch {
      return false
    }
  })
}

/** The pods of Wekan, the one of its Deployment first. */
async function wekan(): Promise<KubeObject[]> {
  const pods = await findPods(bed.kubectl, await findTarget(bed.kubectl, 'wekan'))
  return pods.filter(each => each.status?.phase === 'Running' && !each.metadata.deletionTimestamp)
}
const shown = ({ stdout }: Outcome) => stdout.trimEnd().split('\n')
const nameOf = (object: KubeObject) => object.metadata.name

test('an application that is not installed, and names that are none', async () => {
  for (const [name, code, fix] of [
    ['wekan', 1, 'scripts/install-app.ts wekan'],
    ['nothing', 2, 'NAMESPACE/POD'],
    ['others/runing', 2, 'did you mean running?'],
    ['nowhere/pod', 2, 'there are no pods in nowhere'],
  ] as const) {
    const outcome = await runScript('logs', [name])
    assert.is(outcome.code, code, outcome.stderr)
    assert.match(outcome.stderr, fix)
  }
})

test('the logs of an application that Flux and Helm have installed, by time, without its secrets', async () => {
  const crds = join(dirname(bed.up.fluxManifest), 'crds')
  for (const crd of readObjects(join(crds, 'hydra-maester.yaml'))) await bed.kubectl.apply(crd)
  for (const namespace of namespaces()) await bed.kubectl.create(namespace)
  await ensureSecrets(bed.kubectl, await loadCatalogue(), new SecretCopies(bed.cluster))
  const config = completeConfig(readConfig(join(bed.cluster, '.flux.env')))
  for (const secret of settingsSecrets(config)) await bed.kubectl.apply(secret)
  await bed.kubectl.apply(gitRepository(config))
  // What the core brings of that which Wekan needs.
  await bed.kubectl.apply({
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name: 'local-path' },
    provisioner: 'rancher.io/local-path',
    volumeBindingMode: 'WaitForFirstConsumer',
  })
  const app = await appKustomization('wekan')
  const sources = {
    ...rootKustomization(),
    metadata: { name: 'sources', namespace: 'flux-system' },
    spec: { ...app.spec, path: './flux2/infrastructure/sources' },
  }
  // Without the core that it depends on.
  for (const kustomization of [sources, app]) {
    const spec = { ...kustomization.spec, dependsOn: undefined, wait: false, retryInterval: '2s' }
    await bed.kubectl.apply({ ...kustomization, spec })
  }
  const [server, database] = await eventually('wekan runs', async () => {
    const pods = await wekan().catch(() => [])
    return pods.length === 2 && pods
  })

  const secret = (await bed.secretValues()).find(value => value.length >= 32)!
  await serveLogs('oas-apps', nameOf(server!), {
    wekan: line(1, 'first') + line(3, `the password is ${secret}.`) + line(5, '\x1b]0;owned\x07 \x1b[31mred'),
  })
  await serveLogs('oas-apps', nameOf(database!), { ferretdb: line(2, 'second') + line(4, 'über €') })
  const outcome = await runScript('logs', ['wekan'])
  assert.is(outcome.code, 0, outcome.stderr)
  const [ofServer, ofDatabase] = [`${nameOf(server!)}/wekan`, `${nameOf(database!)}/ferretdb`]
  assert.equal(shown(outcome), [
    `2026-06-01T12:00:01.000Z ${ofServer} first`,
    `2026-06-01T12:00:02.000Z ${ofDatabase} second`,
    `2026-06-01T12:00:03.000Z ${ofServer} the password is ***.`,
    `2026-06-01T12:00:04.000Z ${ofDatabase} über €`,
    `2026-06-01T12:00:05.000Z ${ofServer} \\x1b]0;owned\\x07 red`,
  ])
  // The init container has no file.
  assert.match(outcome.stderr, /\/volume-permissions: log target not found/)

  const json = await runScript('logs', ['wekan', '--json', '--tail', '1', '--container', 'ferretdb'])
  const { lines } = resultOf(json)
  assert.equal(lines, [
    { time: time(4), namespace: 'oas-apps', pod: nameOf(database!), container: 'ferretdb', text: 'über €' },
  ])
  const all = await runScript('logs', ['wekan', '--json'])
  assert.is(resultOf(all).lines.length, 5)
  assert.equal(bed.leaks([secret]), [])
})

if (all)
  test('--container, --since and --tail', async () => {
    const [, database] = await wekan()
    const name = nameOf(database!)
    const recent = new Date(Date.now() - 60_000).toISOString()
    appendFileSync(join(folder, `${name}-ferretdb.log`), `${recent} stdout F recent\n`)
    const since = await runScript('logs', [`oas-apps/${name}`, '--since', '1h'])
    assert.equal(
      shown(since).map(each => each.split(' ').at(-1)),
      ['recent'],
    )
    const none = await runScript('logs', [`oas-apps/${name}`, '--tail', '0'])
    assert.is(none.stdout, '')
    const unknown = await runScript('logs', ['wekan', '--container', 'ferretbd'])
    assert.equal([unknown.code, /did you mean ferretdb\?/.test(unknown.stderr)], [2, true])
    for (const args of [
      ['--follow', '--previous'],
      ['--tail', '-1'],
      ['--since', 'yesterday'],
    ])
      assert.is((await runScript('logs', ['wekan', ...args])).code, 2)
  })

test('a container that cannot start has no log, and this is told why', async () => {
  const broken = pod('others', 'broken')
  const containers = [{ name: 'app', image: 'registry.invalid/app' }]
  await bed.kubectl.create({ ...broken, spec: { ...broken.spec, nodeName: 'sandbox', containers } })
  await eventually('it waits', async () => {
    const status = (await bed.kubectl.get(podRef('others', 'broken')))?.status
    return status?.containerStatuses?.[0]?.state?.waiting?.reason === 'ImagePullBackOff'
  })
  const outcome = await runScript('logs', ['others/broken', '--json'])
  assert.is(outcome.code, 0)
  const [{ why }] = resultOf(outcome).silent
  assert.match(why, /^waits: ImagePullBackOff: Back-off pulling image "registry.invalid\/app"/)
  await createEvicted(bed.kubectl, 'others', 1)
  const evicted = await runScript('logs', ['others/evicted-0'])
  assert.match(evicted.stderr, 'evicted-0/app: the pod was ended: Evicted: The node was low on resource')
})

test('--previous shows the run before the restart', async () => {
  const [server] = await wekan()
  const name = nameOf(server!)
  const none = await runScript('logs', [`oas-apps/${name}`, '--previous'])
  assert.match(none.stderr, /\/wekan: it was not restarted/)
  const restarted = (server!.status!.containerStatuses as object[]).map(each => ({
    ...each,
    restartCount: 1,
    lastState: { terminated: { exitCode: 1, reason: 'Error' } },
  }))
  await bed.kubectl.patch(
    podRef('oas-apps', name),
    { status: { containerStatuses: restarted } },
    { subresource: 'status' },
  )
  await serveLogs('oas-apps', name, { wekan: line(9, 'after'), 'wekan.previous': line(8, 'before') })
  const text = async (...args: string[]) =>
    shown(await runScript('logs', [`oas-apps/${name}`, ...args])).map(each => each.split(' ').at(-1))
  assert.equal(await text('--previous'), ['before'])
  assert.equal(await text(), ['after'])
})

test('a diagnosis tells what a container that is ready says again and again', async () => {
  const complaining = pod('others', 'complaining')
  await bed.kubectl.create({ ...complaining, spec: { ...complaining.spec, nodeName: 'sandbox' } })
  await eventually('it is ready', async () => {
    const status = (await bed.kubectl.get(podRef('others', 'complaining')))?.status
    return status?.containerStatuses?.[0]?.ready
  })
  const lines = (before: number) =>
    Array.from({ length: 40 }, (_, i) => {
      const at = new Date(Date.now() - before + i).toISOString()
      return `${at} stderr F Error from server (Forbidden): pods is forbidden: User "system:serviceaccount:others:default" cannot list resource "pods" in API group "" in the namespace "others" (${i})\n`
    }).join('')
  const told = async () => {
    const { causes } = resultOf(await runScript('diagnose', ['--json']))
    return (causes as RootCause[]).filter(({ subject }) => subject.name === 'complaining')
  }
  const container = complaining.spec!.containers[0].name
  // What was so an hour ago is over.
  await serveLogs('others', 'complaining', { [container]: lines(3_600_000) })
  assert.equal(await told(), [])
  await serveLogs('others', 'complaining', { [container]: lines(60_000) })
  const [cause, ...others] = await told()
  assert.equal([cause!.rule, cause!.verdict, others.length], ['container-rights-missing', 'warning', 0])
})

test('a long log is shown whole, and ends in silence, as interrupted, when its reader closes the pipe', async () => {
  const [, database] = await wekan()
  const name = nameOf(database!)
  const long = Array.from({ length: 30_000 }, (_, i) => line(i % 60, `line ${i}`)).join('')
  await serveLogs('oas-apps', name, { ferretdb: long })
  const outcome = await runScript('logs', [`oas-apps/${name}`, '--tail', 'all'])
  assert.is(shown(outcome).length, 30_000)
  assert.is(shown(await runScript('logs', [`oas-apps/${name}`])).length, 100)
  const command = `node --import tsx scripts/logs.ts oas-apps/${name} --tail all | head -n 1; echo \${PIPESTATUS[0]}`
  const output = await new Promise<string>((resolve, reject) =>
    execFile('bash', ['-c', command], { cwd: ROOT, env: env() }, (error, stdout, stderr) =>
      error || stderr ? reject(error ?? new Error(stderr)) : resolve(stdout),
    ),
  )
  assert.match(output, /^\S+ \S+\/ferretdb line 0\n130\n$/)
})

test('--follow goes on with what comes: after an outage, from new pods, until it is interrupted', async () => {
  const [server, database] = await wekan()
  const [old, other] = [nameOf(server!), nameOf(database!)]
  await serveLogs('oas-apps', other, { ferretdb: line(1, 'f-one') })
  await serveLogs('oas-apps', old, { wekan: line(2, 'w-one') })
  const append = (name: string, container: string, second: number, text: string) =>
    appendFileSync(join(folder, `${name}-${container}.log`), line(second, text))
  const args = ['--import', 'tsx', 'scripts/logs.ts', 'wekan', '--follow', '--json']
  const child = spawn(process.execPath, args, { cwd: ROOT, env: env(), stdio: ['ignore', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', piece => {
    stdout += piece
  })
  child.stderr.setEncoding('utf8').on('data', piece => {
    stderr += piece
  })
  const ended = new Promise<number | null>(resolve => child.on('close', resolve))
  /** The texts of the lines so far. The document that ends every script is spread over several lines. */
  const texts = () =>
    stdout
      .split('\n')
      .slice(0, -1)
      .filter(each => /^\{.*\}$/.test(each))
      .map(each => JSON.parse(each).text)
  const seen = (text: string) => eventually(text, async () => texts().includes(text))
  try {
    await follow(seen, () => stderr.includes('trying again'))
    child.kill('SIGINT')
    assert.is(await ended, 130)
    assert.equal(texts().slice(0, 2).sort(), ['f-one', 'w-one'])
    assert.equal(texts().slice(2), ['f-two', 'f-three', 'w-two', 'w-three'])
  } catch (error) {
    throw new Error(`${error}\nit said:\n${stdout}${stderr}`)
  } finally {
    child.kill('SIGKILL')
  }

  async function follow(seen: (text: string) => Promise<boolean>, outageTold: () => boolean) {
    await seen('f-one')
    await seen('w-one')
    append(other, 'ferretdb', 3, 'f-two')
    await seen('f-two')

    await stop(layoutOf('sandbox'), ['kube-apiserver'])
    append(other, 'ferretdb', 4, 'f-three')
    await eventually('the outage is told', async () => outageTold())
    await up({ worktree: true })
    await seen('f-three')
    append(old, 'wekan', 5, 'w-two')
    await seen('w-two')

    await bed.kubectl.delete(podRef('oas-apps', old))
    const [next] = await eventually('the next pod', async () => {
      const pods = await wekan()
      return pods.length === 2 && nameOf(pods[0]!) !== old && pods
    })
    await serveLogs('oas-apps', nameOf(next!), { wekan: line(6, 'w-three') })
    await seen('w-three')
  }
})

test.run()
