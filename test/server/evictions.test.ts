/** A disk that fills up on a real node: its kubelet evicts, and delete-evicted-pods cleans up behind it. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { writeFileAtomic } from '../../lib/script/files.ts'
import { until } from '../../lib/script/wait.ts'
import { suite } from '../suite.ts'
import { type Machine, ServerBed } from './harness.ts'

const test = suite('evictions')
const CLUSTER = 'oas.example.org'
const REPLICAS = 5
let bed: ServerBed
let server: Machine

/** Pods that a kubelet evicts, and two that ended by themselves. */
const PODS = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: default }
spec:
  replicas: ${REPLICAS}
  selector:
    matchLabels: { app: web }
  template:
    metadata:
      labels: { app: web }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - { name: web, image: docker.io/library/busybox:1.37.0, command: [sleep, "86400"] }
---
apiVersion: v1
kind: Pod
metadata: { name: failed, namespace: default }
spec:
  restartPolicy: Never
  containers:
    - { name: failed, image: docker.io/library/busybox:1.37.0, command: [sh, -c, exit 1] }
---
apiVersion: v1
kind: Pod
metadata: { name: completed, namespace: default }
spec:
  restartPolicy: Never
  containers:
    - { name: completed, image: docker.io/library/busybox:1.37.0, command: [sh, -c, exit 0] }
`

/** What the kubelet does after five minutes by default, so that the test need not wait. */
const CONFIG = `
kubelet-arg+:
  - eviction-pressure-transition-period=5s
`

const sh = (script: string) => server.exec(['sh', '-c', script], { timeout: 180_000 })

/** Pods as `NAME PHASE REASON`, sorted. */
async function pods(): Promise<string[]> {
  const line = '{range .items[*]}{.metadata.name} {.status.phase} {.status.reason}{"\\n"}{end}'
  const said = await server.exec(['kubectl', 'get', 'pods', '-n', 'default', '-o', `jsonpath=${line}`])
  return said
    .split('\n')
    .map(pod => pod.trim())
    .filter(Boolean)
    .sort()
}

/** Waits until the pods look as they should. */
async function eventually(what: string, wanted: (pods: string[]) => boolean): Promise<string[]> {
  return await until<string[], string[]>(
    async () => {
      const seen = await pods()
      return wanted(seen) ? { done: seen } : { last: seen }
    },
    { deadline: 240_000, every: 1000, describe: last => `${what}: ${last?.join(', ')}` },
  )
}

const evicted = (all: readonly string[]) => all.filter(pod => pod.endsWith('Failed Evicted'))
const running = (all: readonly string[]) => all.filter(pod => /^web-\S+ Running$/.test(pod))
const run = (...args: string[]) => bed.runScript('delete-evicted-pods', ['--cluster', CLUSTER, ...args])

test.before(async () => {
  bed = await ServerBed.start({ serve: false, disk: '3G' })
  server = bed.servers[0]!
  await server.write('/etc/rancher/k3s/config.yaml.d/evictions.yaml', CONFIG)
  await sh('curl -sfL https://get.k3s.io | INSTALL_K3S_VERSION=v1.36.4+k3s1 sh -')
  const folder = join(bed.folder, CLUSTER)
  mkdirSync(folder)
  const kubeconfig = await sh('cat /etc/rancher/k3s/k3s.yaml')
  writeFileAtomic(join(folder, 'kube_config_cluster.yml'), kubeconfig.replace('127.0.0.1', server.address))
  // A namespace of a new cluster gets its ServiceAccount a moment later.
  await sh('until kubectl get serviceaccount default; do sleep 1; done')
  await server.exec(['kubectl', 'apply', '--filename=-'], { input: PODS })
  await eventually(
    'everything runs or has ended',
    all =>
      running(all).length === REPLICAS &&
      all.includes('failed Failed') &&
      all.includes('completed Succeeded'),
  )
})
test.after(() => bed?.stop())

test('a full disk: pods are evicted, the script names the pressure and deletes nothing without being asked', async () => {
  // What is left is less than the 5 % at which k3s has its kubelet evict.
  await sh('fallocate -l $(($(df --output=avail -B1 /var | tail -1) * 97 / 100)) /var/fill')
  const all = await eventually('the kubelet evicts', seen => evicted(seen).length >= REPLICAS)
  const { code, stdout, stderr } = await run('--dry-run')
  assert.is(code, 3, stderr)
  assert.match(stderr, /node server1: DiskPressure for .*/)
  assert.match(stderr, /free the full node first/)
  assert.match(stderr, `delete ${evicted(all).length} evicted pods`)
  assert.match(stdout, /default/)
  assert.is(evicted(await pods()).length, evicted(all).length)
})

test('when it is over, evicted pods go, and pods that failed or ended otherwise stay', async () => {
  await sh('rm /var/fill')
  await eventually('the platform heals', all => running(all).length === REPLICAS)
  const { code, stderr } = await run('--yes')
  assert.is(code, 0, stderr)
  assert.match(stderr, /node server1: no DiskPressure/)
  assert.match(stderr, /left alone: 1 pod that failed for other reasons/)
  const after = await pods()
  assert.equal(evicted(after), [])
  assert.is(running(after).length, REPLICAS)
  assert.ok(after.includes('failed Failed') && after.includes('completed Succeeded'), after.join(', '))
})

test('a second run has nothing to do', async () => {
  const { code, stderr } = await run('--yes')
  assert.is(code, 0, stderr)
  assert.match(stderr, /no evicted pods; nothing was changed/)
})

test.run()
