/** The server of a cluster gets another address: change-ip on real servers, as a user runs it. */
import { copyFileSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { sleep } from '../../lib/script/wait.ts'
import type { ChangeState } from '../../scripts/change-ip/state.ts'
import { suite } from '../suite.ts'
import { type Machine, type Outcome, type ScriptOptions, ServerBed } from './harness.ts'

const OLD = '10.77.0.2'
const NEW = '10.77.0.50'
const NEXT = '10.77.0.60'
const NAME = 'oas.example.org'
const CONFIG = '/etc/rancher/k3s/config.yaml'
const DROP_IN = '/etc/systemd/system/k3s.service.d/test.conf'
const SERVER_FILES = [CONFIG, '/etc/hosts', '/etc/systemd/system/k3s.service.env', DROP_IN]

/** What node-exporter is to the platform: a pod that has the address of its node. */
const HOST_POD = `apiVersion: apps/v1
kind: DaemonSet
metadata: {name: host, namespace: default}
spec:
  selector: {matchLabels: {app: host}}
  template:
    metadata: {labels: {app: host}}
    spec:
      hostNetwork: true
      containers: [{name: pause, image: registry.k8s.io/pause:3.10}]
`

const test = suite('change-ip')
let bed: ServerBed
let server: Machine
let folder: string

const here = (name: string) => join(folder, name)
const change = (args: readonly string[], options: ScriptOptions = {}): Promise<Outcome> =>
  bed.runScript('change-ip', ['--cluster', NAME, '--yes', ...args], options)
const state = (): ChangeState => JSON.parse(readFileSync(here('change-ip/state.json'), 'utf8'))
let kubectlProgram = ''
/** kubectl with the cluster's own kubeconfig, from our side. */
const kubectl = async (...args: string[]) =>
  bed.run(kubectlProgram, ['--kubeconfig', here('kube_config_cluster.yml'), ...args])

/** All that a change touches, to the byte: what is not there, modes and owners, too. */
async function everything(): Promise<string> {
  const there = await server.exec([
    'sh',
    '-c',
    'for f; do sha256sum "$f" 2>&1; stat -c "%a %u:%g" "$f" 2>&1; done',
    'sh',
    ...SERVER_FILES,
  ])
  const ours = ['inventory.yml', '.flux.env', 'kube_config_cluster.yml'].map(
    name => `${name} ${statSync(here(name)).mode & 0o777}\n${readFileSync(here(name), 'utf8')}`,
  )
  const secret = await kubectl(
    '-n',
    'flux-system',
    'get',
    'secret',
    'oas-cluster-variables',
    '-o',
    'jsonpath={.data}',
  )
  return [there, ...ours, secret].join('\n')
}

/** Lets k3s start only as long as its configuration lacks a text. */
async function breakK3sWith(text: string | undefined): Promise<void> {
  const check = text === undefined ? '/bin/true' : `/bin/sh -c "! grep -q ${text} ${CONFIG}"`
  await server.write(DROP_IN, `# for ${OLD} only\n[Service]\nExecStartPre=${check}\n`)
  await server.exec(['systemctl', 'daemon-reload'])
}

function ended(outcome: Outcome, code: number, ...said: (string | RegExp)[]): void {
  assert.is(outcome.code, code, `exit code ${outcome.code}:\n${outcome.stderr}`)
  for (const what of said) assert.match(outcome.stderr, what)
}

/** At which step a run is killed: when it says so. */
const at = (step: string) => (stderr: string) =>
  new RegExp(`^\\d+\\. ${step}`, 'm').test(stderr) ? ('SIGKILL' as const) : undefined

test.before(async () => {
  // uvu says nothing about a hook that fails.
  await setUp().catch(error => {
    console.log(error)
    throw error
  })
})

async function setUp(): Promise<void> {
  const progress = (text: string) => console.log(text)
  bed = await ServerBed.start({ servers: 2, serve: false, progress })
  kubectlProgram = join(Object.values(bed.releases.binds)[0]!, 'kubectl')
  server = bed.servers[0]!
  folder = join(bed.folder, NAME)
  const args = [NAME, NAME, '--ip-address', OLD, '--admin-email', 'a@example.org', '--yes']
  ended(await bed.runScript('create-cluster', args), 0)
  copyFileSync(bed.releases.list, here('releases.yaml'))
  ended(await bed.runScript('install-cluster', ['--cluster', NAME, '--yes']), 0)
  await server.exec(['sh', '-c', `echo '${OLD} ${NAME}' >> /etc/hosts`])
  await breakK3sWith(undefined)
  await kubectl('create', 'namespace', 'flux-system')
  await kubectl(
    '-n',
    'flux-system',
    'create',
    'secret',
    'generic',
    'oas-cluster-variables',
    `--from-literal=ip_address=${OLD}`,
    `--from-literal=domain=${NAME}`,
  )
  await kubectl(
    'create',
    'configmap',
    'mine',
    `--from-literal=url=http://${OLD}/`,
    `--from-literal=other=http://${OLD}1/`,
  )
  await server.write('/root/host-pod.yaml', HOST_POD)
  await server.exec(['k3s', 'kubectl', 'apply', '-f', '/root/host-pod.yaml'])
  writeFileSync(here('notes.yaml'), `a: 1\nserver: ${OLD}\n`)
}

test.after(() => bed?.stop())

test('what is no address of a server is refused, and never reaches one', async () => {
  const before = await everything()
  const wrong: [string[], RegExp | string][] = [
    [['10.77.0.999'], 'must be an IP address'],
    [['10.77.0.50; reboot'], 'must be an IP address'],
    [['$(touch /tmp/pwned)'], 'must be an IP address'],
    [['127.0.0.1'], 'loopback'],
    [['fe80::1%eth0'], 'zone'],
    [['2001:db8::5'], 'family'],
    [[], 'NEW is missing'],
    [['--rollback', NEW], '--rollback takes neither'],
    [['--rollback'], 'no change .* is known'],
    [['--provider', 'nobody', NEW], 'is unknown'],
  ]
  for (const [args, what] of wrong) ended(await change(args), 2, new RegExp(what))
  assert.is(await everything(), before)
})

test('an address at which nobody answers is refused with what to do', async () => {
  ended(
    await change([NEW]),
    4,
    `nobody answers at the new address ${NEW}`,
    `the server answers at ${OLD}: give it ${NEW}`,
  )
})

test('an address at which another machine answers is refused by its host key', async () => {
  const stranger = await change([bed.servers[1]!.address])
  ended(stranger, 1, 'another machine')
})

test('the plan is one diff of everything, and changes nothing', async () => {
  await server.addAddress(NEW)
  const before = await everything()
  const plan = await change(['--dry-run', NEW])
  ended(plan, 0)
  for (const line of [
    '--- server:/etc/rancher/k3s/config.yaml',
    `  -  - ${OLD}`,
    `  +  - ${NEW}`,
    `  +node-ip: ${NEW}`,
    '--- server:/etc/hosts',
    `--- server:${DROP_IN}`,
    `  +    server: https://${NEW}:6443`,
    '--- Secret flux-system/oas-cluster-variables',
    `  +ip_address: ${NEW}`,
    `  +ip_address=${NEW}`,
    'ConfigMap default/mine: data.url',
    'notes.yaml:2',
    'DNS: ',
  ])
    assert.ok(plan.stderr.includes(line), `the plan lacks ${line}:\n${plan.stderr}`)
  assert.not.match(plan.stderr, 'data.other')
  assert.is(await everything(), before)
  assert.not.ok(readdirSync(folder).includes('change-ip'))
})

test('a change that fails is rolled back to the byte', async () => {
  await breakK3sWith(NEW)
  // Like an agent that is switched off: nobody waits for it.
  await server.write('/root/off.yaml', 'apiVersion: v1\nkind: Node\nmetadata: {name: switched-off}\n')
  await server.exec(['k3s', 'kubectl', 'apply', '-f', '/root/off.yaml'])
  const before = await everything()
  const failed = await change([NEW])
  ended(
    failed,
    1,
    /k3s on .* does not start: .*(exited|Failed with result)/,
    'everything was put back as it was',
  )
  assert.is(await everything(), before)
  assert.is(state().phase, 'undone')
  assert.match(await kubectl('get', 'nodes'), ' Ready ')
  await kubectl('delete', 'node', 'switched-off')
})

const STEPS = [
  'Save the originals',
  'Files on the server',
  'Restart k3s',
  `API server at ${NEW}`,
  'Nodes',
  'Files of the cluster folder',
  'Variables of the cluster',
  'Pods with the old address',
  'Flux',
]

let original = ''
let changed = ''

test('killed at one step after the other, it is completed by the next run', async () => {
  await breakK3sWith(undefined)
  original = await everything()
  for (const step of STEPS) {
    const killed = await change([NEW], { kill: at(step) })
    assert.is(killed.signal, 'SIGKILL', `it did not come to ${step}:\n${killed.stderr}`)
  }
  ended(await change([NEW]), 0, 'complete the change that began')
  changed = await everything()
  assert.is(state().phase, 'changed')
  assert.match(await kubectl('get', 'nodes', '-o', 'wide'), NEW)
  assert.is(await hostPod(), NEW)
  for (const name of ['inventory.yml', '.flux.env', 'kube_config_cluster.yml'])
    assert.not.match(readFileSync(here(name), 'utf8'), `${OLD}\\b`)
})

test('the same for taking it back, which brings back every byte', async () => {
  for (const step of [
    'Variables of the cluster',
    'Files of the cluster folder',
    'Files on the server',
    'Restart k3s',
    `API server at ${OLD}`,
    'Flux',
  ]) {
    const killed = await change(['--rollback'], { kill: at(step) })
    assert.is(killed.signal, 'SIGKILL', `it did not come to ${step}:\n${killed.stderr}`)
  }
  ended(await change(['--rollback']), 0)
  assert.is(await everything(), original)
  ended(await change(['--rollback']), 0, 'taken back already')
})

test('what was killed can be taken back from every step', async () => {
  for (const step of ['Files on the server', 'Restart k3s', 'Variables of the cluster']) {
    const killed = await change([NEW], { kill: at(step) })
    assert.is(killed.signal, 'SIGKILL')
    if (step === 'Restart k3s') ended(await change([NEXT]), 4, 'is not complete')
    ended(await change(['--rollback']), 0)
    assert.is(await everything(), original, `after ${step}`)
  }
})

test('a complete change is taken back while k3s is down, the variables of the cluster included', async () => {
  ended(await change([NEW]), 0)
  await server.exec(['systemctl', 'stop', 'k3s'])
  ended(await change(['--rollback']), 0)
  assert.is(await everything(), original)
  assert.equal([state().phase, state().variables], ['undone', []])
})

/** A run to which something happens while k3s restarts. */
async function disturbed(what: () => Promise<unknown>): Promise<Outcome> {
  let happened: Promise<unknown> | undefined
  const outcome = await change([NEW], {
    kill: stderr => {
      if (/^\d+\. Restart k3s/m.test(stderr)) happened ??= what()
      return undefined
    },
  })
  assert.ok(happened, outcome.stderr)
  await happened
  return outcome
}

test('a connection that is cut in the middle leaves a change that the next run completes', async () => {
  // The server ends all sessions at once.
  const killed = await disturbed(() => server.exec(['pkill', '-KILL', '-f', 'sshd: root@']))
  assert.not.equal(killed.code, 0, killed.stderr)
  assert.is(state().phase, 'changing')
  // Packets vanish: neither side is told.
  const dropped = await disturbed(() => bed.cut(server, NEW))
  assert.not.equal(dropped.code, 0, dropped.stderr)
  assert.is(state().phase, 'changing')
  await bed.heal(server, NEW)
  // The server holds the lock of the lost run for a minute.
  let completed = await change([NEW])
  for (let attempt = 0; completed.code === 75 && attempt < 20; attempt++) {
    assert.match(completed.stderr, 'another run holds the lock on')
    await sleep(5000)
    completed = await change([NEW])
  }
  ended(completed, 0)
  assert.is(await everything(), changed)
})

test('what is done already is unchanged', async () => {
  const again = await change([NEW])
  ended(again, 0, 'everywhere; nothing was changed')
  assert.is(await everything(), changed)
})

test('the old address is taken away, the server reboots, and everything works', async () => {
  await takeAway(OLD)
  const boot = await server.bootId()
  await bed.runScript('ssh', ['--cluster', NAME, '--', 'systemctl', 'reboot'])
  await server.waitForBoot({ after: boot })
  ended(await bed.runScript('ssh', ['--cluster', NAME, '--', 'true']), 0)
  await ready()
  ended(await change([NEW]), 0, 'nothing was changed')
  ended(await change(['--rollback']), 4, `does not have ${OLD} any more`)
})

/** Takes an address away, without those beside it: systemd's own configuration has that setting on real servers. */
async function takeAway(address: string): Promise<void> {
  await server.exec(['sysctl', '-q', '-w', 'net.ipv4.conf.all.promote_secondaries=1'])
  await server.removeAddress(address)
}

/** The address of the pod of the host network, once it runs. */
async function hostPod(): Promise<string> {
  await kubectl('rollout', 'status', 'daemonset/host', '--timeout=300s')
  return kubectl('get', 'pods', '-l', 'app=host', '-o', 'jsonpath={.items[*].status.podIP}')
}

async function ready(): Promise<void> {
  let seen = ''
  for (let attempt = 0; attempt < 300; attempt++) {
    seen = await kubectl('get', 'nodes', '-o', 'wide').catch(error => String(error))
    if (/ Ready /.test(seen)) return
    await sleep(1000)
  }
  assert.unreachable(`the node is not Ready: ${seen}`)
}

test('a server that was moved is known again by its host key, with k3s that cannot start any more', async () => {
  await server.addAddress(NEXT)
  await takeAway(NEW)
  await server.reset()
  await server.waitForBoot()
  const moved = await change([NEXT])
  ended(moved, 0, `${NAME} has the address ${NEXT}`)
  await ready()
  assert.match(await kubectl('get', 'nodes', '-o', 'wide'), NEXT)
  assert.match(readFileSync(here('.flux.env'), 'utf8'), `ip_address=${NEXT}\n`)
  const secret = await kubectl(
    '-n',
    'flux-system',
    'get',
    'secret',
    'oas-cluster-variables',
    '-o',
    'jsonpath={.data.ip_address}',
  )
  assert.is(Buffer.from(secret, 'base64').toString(), NEXT)
})

test.run()
