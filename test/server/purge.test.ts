/**
 * purge against real servers, with the bed's k3s stand-in, which runs a real API server, kubelet and containerd.
 * Velero is not there: what its backups look like in the API is written by hand.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { K3S, LOCAL_STORAGE } from '../../lib/k3s/k3s.ts'
import { kubeconfigAt } from '../../lib/k3s/kubeconfig.ts'
import { sleep, until } from '../../lib/script/wait.ts'
import { K3S_STORAGE } from '../../scripts/purge/paths.ts'
import { CGROUP_V1 } from '../bed/server/machine-disk.ts'
import { test } from '../suite.ts'
import { type Machine, type Outcome, type ScriptOptions, ServerBed } from './harness.ts'

const CLUSTER = 'oas.example.org'
const MARK = '/etc/openappstack/cluster.json'
const CLAIM = '5d7c9f6e-1f3b-4f59-9a44-6a2a3b6b1c11'
const VOLUME = `${LOCAL_STORAGE}/pvc-${CLAIM}_oas-apps_data`
const PASSWORD = 'correct horse; $(battery)'
/** What has nothing to do with the cluster, and has to be there at the end. */
const BESIDE = ['/var/lib/docker/beside', '/srv/data/beside', '/etc/beside', '/usr/local/bin/helm']

let bed: ServerBed
let server: Machine
let other: Machine
const folder = () => join(bed.folder, CLUSTER)
const kubeconfig = () => join(folder(), 'kube_config_cluster.yml')
const secret: string[] = []

/** Runs purge. What it says is searched for the password of sudo. */
async function purge(args: readonly string[], options: ScriptOptions = {}): Promise<Outcome> {
  const outcome = await bed.runScript('purge', ['--cluster', CLUSTER, ...args], options)
  secret.push(outcome.stdout, outcome.stderr)
  return outcome
}
const confirmed = ['--confirm', CLUSTER]

function inventory(address: string, user = 'root'): void {
  writeFileSync(
    join(folder(), 'inventory.yml'),
    `all:\n  hosts:\n    vps:\n      ansible_host: ${address}\n      ansible_user: ${user}\n  children:\n    master: {hosts: {vps: }}\n`,
  )
}

/** Puts k3s on the server by its installer, with what else install-cluster leaves there, and fetches the kubeconfig. */
async function installK3s(options: { marked: boolean }): Promise<void> {
  await server.write(CGROUP_V1.path, CGROUP_V1.text)
  await server.exec(['sh', '-c', 'curl -sfL https://get.k3s.io | sh -'], { timeout: 300_000 })
  const text = kubeconfigAt(await server.exec(['cat', K3S.kubeconfig]), server.address)!
  writeFileSync(kubeconfig(), text, { mode: 0o600 })
  if (options.marked) await server.write(MARK, JSON.stringify(await mark()))
  await server.write('/etc/openappstack/tools.json', '{"paths":["/usr/local/bin/flux"]}')
  for (const tool of ['flux', 'helm']) await server.write(`/usr/local/bin/${tool}`, '#!/bin/sh\n', 0o755)
  await server.exec(['mkdir', '-p', '/root/.kube'])
  await server.exec(['ln', '-sf', K3S.kubeconfig, '/root/.kube/config'])
  await server.write(`${VOLUME}/file`, 'x'.repeat(3 << 20))
  await until(
    async () => {
      const nodes = await kubectl(['get', 'nodes']).catch(String)
      return / Ready /.test(nodes) ? { done: true } : { last: nodes }
    },
    { deadline: 300_000, describe: last => last ?? '' },
  )
}

async function mark(change: object = {}): Promise<object> {
  const machineId = await server.exec(['cat', '/etc/machine-id'])
  const markedAt = '2026-11-22T10:00:00.000Z'
  return { cluster: CLUSTER, domain: CLUSTER, machineId, markedAt, ...change }
}

function kubectl(args: readonly string[], input?: string): Promise<string> {
  return server.exec(['k3s', 'kubectl', ...args], { input, timeout: 330_000 })
}

const yaml = (objects: readonly object[]) => objects.map(object => JSON.stringify(object)).join('\n---\n')

/** A volume with its claim, and what Velero has to say. `age` in hours. */
async function backup(age: number): Promise<void> {
  const crd = (kind: string, plural: string) => ({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.velero.io` },
    spec: {
      group: 'velero.io',
      names: { kind, plural },
      scope: 'Namespaced',
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
        },
      ],
    },
  })
  const namespace = (name: string) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  const spec = { accessModes: ['ReadWriteOnce'], storageClassName: 'local-path' }
  const request = { storage: '1Gi' }
  await kubectl(
    ['apply', '-f', '-'],
    yaml([
      namespace('velero'),
      namespace('oas-apps'),
      crd('Backup', 'backups'),
      crd('PodVolumeBackup', 'podvolumebackups'),
      {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name: `pvc-${CLAIM}` },
        spec: {
          ...spec,
          capacity: request,
          hostPath: { path: VOLUME },
          claimRef: { namespace: 'oas-apps', name: 'data' },
        },
      },
      {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name: 'data', namespace: 'oas-apps' },
        spec: { ...spec, volumeName: `pvc-${CLAIM}`, resources: { requests: request } },
      },
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'nextcloud', namespace: 'oas-apps' },
        spec: {
          containers: [
            {
              name: 'web',
              image: 'docker.io/library/nginx:1.29',
              volumeMounts: [{ name: 'data', mountPath: '/data' }],
            },
          ],
          volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }],
        },
      },
    ]),
  )
  await kubectl(['-n', 'oas-apps', 'wait', '--for=condition=Ready', 'pod/nextcloud', '--timeout=300s'])
  await kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=300s'])
  const uid = await kubectl(['-n', 'oas-apps', 'get', 'pvc', 'data', '-o', 'jsonpath={.metadata.uid}'])
  const at = new Date(Date.now() - age * 3_600_000).toISOString()
  const metadata = { name: 'nightly', namespace: 'velero' }
  const labels = { 'velero.io/backup-name': 'nightly', 'velero.io/pvc-uid': uid }
  const status = { phase: 'Completed', startTimestamp: at, completionTimestamp: at }
  const apiVersion = 'velero.io/v1'
  await kubectl(
    ['apply', '-f', '-'],
    yaml([
      { apiVersion, kind: 'Backup', metadata, spec: {}, status },
      { apiVersion, kind: 'PodVolumeBackup', metadata: { ...metadata, labels }, spec: {}, status },
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { ...metadata, name: 'oas-backup-proof' },
        data: { backup: 'nightly' },
      },
    ]),
  )
}

/** The record of an archive of the cluster folder, `age` hours old. */
function archive(age: number): void {
  mkdirSync(join(folder(), 'backups'), { recursive: true })
  const at = new Date(Date.now() - age * 3_600_000).toISOString()
  const record = { at, file: '/backups/oas.age', server: true }
  writeFileSync(join(folder(), 'backups', 'last.json'), JSON.stringify(record))
}

/** Everything that purge could remove, and what is beside it; equal as long as nothing was touched. */
async function state(machine = server): Promise<string> {
  return await machine.exec([
    'sh',
    '-c',
    `ls -ldn --time-style=full-iso "$@" ${VOLUME}/* /etc/openappstack/* 2>&1; systemctl is-active k3s; systemctl is-enabled k3s; cat /proc/sys/kernel/random/boot_id`,
    'sh',
    ...BESIDE,
    ...['/var/lib/OpenAppStack', '/var/lib/rancher', '/etc/rancher', K3S.unit, K3S.binary],
  ])
}

const markNow = async () => JSON.parse(await server.exec(['cat', MARK]))

/** Looks by itself, with other means than purge, that nothing is left, and that what is beside it is. */
async function assertGone(): Promise<void> {
  const found = await server.exec([
    'sh',
    '-c',
    `cd /usr/local/bin
    ls -d /var/lib/rancher /var/lib/OpenAppStack /var/lib/kubelet /var/lib/cni /etc/rancher /etc/openappstack /run/k3s \
      k3s* kubectl crictl ctr flux /root/.kube/config /etc/systemd/system/k3s* /etc/systemd/system/*/k3s* 2>/dev/null
    pgrep -lx 'k3s.*|kube-apiserver|kubelet|containerd.*|etcd|app'
    findmnt -rno TARGET | grep -E '^/(var/lib|run)/.*(k3s|kubelet|rancher|cni)'
    ip -o link | grep -E 'cni0|flannel|veth'
    exit 0`,
  ])
  assert.is(found, '')
  await server.exec(['ls', ...BESIDE])
}

test.before(async () => {
  bed = await ServerBed.start({
    serve: false,
    servers: 2,
    user: { name: 'ann', password: PASSWORD },
  })
  ;[server, other] = bed.servers as [Machine, Machine]
  mkdirSync(folder())
  writeFileSync(
    join(folder(), '.flux.env'),
    `domain=${CLUSTER}\nip_address=${server.address}\nadmin_email=a@example.org\n`,
  )
  inventory(server.address)
  for (const path of BESIDE) await server.write(path, 'beside')
  await installK3s({ marked: true })
})
test.after(async () => {
  await bed?.stop()
})

// Refusals: each leaves everything as it was

test('without backups it is refused, and everything that is missing is told at once', async () => {
  const before = await state()
  const { code, stderr, stdout } = await purge(confirmed)
  assert.is(code, 4)
  assert.match(stderr, /no complete backup of the data of one volume\n {2}fix: .*scripts\/backup/)
  assert.match(stderr, /no archive of the cluster folder\n {2}fix: .*backup-cluster-dir/)
  assert.match(stdout, /oas-apps\/data +3\.0 MiB/)
  assert.not.match(stderr, /^Plan|^1\./m)
  assert.is(await state(), before)
})

test('old backups are refused by their age, unless that age is allowed', async () => {
  await backup(30)
  archive(30)
  const before = await state()
  const { code, stderr } = await purge(confirmed)
  assert.is(code, 4)
  assert.match(stderr, 'backup nightly is 1 d 6 h old; at most 1 d is allowed')
  assert.match(stderr, 'the newest archive of the cluster folder is 1 d 6 h old')
  const allowed = await purge(['--dry-run', '--max-backup-age', '2d'])
  assert.is(allowed.code, 0)
  assert.is(await state(), before)
  assert.is((await purge(['--max-backup-age', 'soon'])).code, 2)
})

test('--dry-run shows the inventory, the plan and what stands in the way; --json is one document', async () => {
  await backup(1)
  archive(31)
  const before = await state()
  const { code, stdout, stderr } = await purge(['--dry-run', '--json'])
  assert.is(code, 4)
  const document = JSON.parse(stdout)
  assert.equal([document.exitCode, document.dryRun, document.errors.length], [4, true, 1])
  const { identity, cluster, volumes } = document.result
  assert.is(identity.hostname, server.name)
  assert.equal(cluster.nodes, [server.name])
  assert.equal(
    volumes.map(({ claim, size, backedUp }: Record<string, unknown>) => [
      claim,
      Number(size) >= 3 << 20,
      backedUp,
    ]),
    [['oas-apps/data', true, true]],
  )
  assert.ok(document.plan.includes('remove /usr/local/bin/flux (4.0 KiB)'))
  assert.ok(document.plan.some((line: string) => /^keep \/var\/lib\/docker /.test(line)))
  assert.not.match(document.plan.join('\n'), /helm|LOST/)
  assert.match(stderr, 'Dry run: nothing was changed.')
  assert.is(await state(), before)
  archive(1)
})

test('the name has to be given: --yes is not enough, and another name is refused', async () => {
  const before = await state()
  const yes = await purge(['--yes'])
  assert.is(yes.code, 2)
  assert.match(yes.stderr, `fix: give --confirm ${CLUSTER}`)
  for (const name of ['oas.example.com', '', 'y']) assert.is((await purge(['--confirm', name])).code, 4)
  assert.is(await state(), before)
  assert.not.ok(existsSync(join(folder(), 'journal')))
})

test('a server that is not proven to be the one of the cluster is refused, whatever else is right', async () => {
  const refused = async (pattern: RegExp | string) => {
    const before = [await state(), await state(other)]
    const { code, stderr } = await purge([...confirmed, '--discard-data'])
    assert.is(code, 4, stderr)
    assert.match(stderr, pattern)
    assert.match(stderr, 'nothing was changed')
    assert.equal([await state(), await state(other)], before)
  }
  // Another server at the address: with nothing on it, with data, with a mark of its own, with a copied mark.
  inventory(other.address)
  await refused(/neither a mark .* nor a k3s/)
  await other.write(`${VOLUME}/file`, 'theirs')
  await refused(/neither a mark .* nor a k3s/)
  await other.write(MARK, JSON.stringify(await mark({ cluster: 'theirs.example.org' })))
  await refused('marked as the server of the cluster theirs.example.org')
  await other.write(MARK, JSON.stringify(await mark({ domain: 'theirs.example.org' })))
  await refused('marked as the server of the domain theirs.example.org')
  await other.write(MARK, JSON.stringify(await mark()))
  await refused('a copy of its disk')
  await other.write(MARK, '{')
  const damaged = await purge([...confirmed, '--discard-data'])
  assert.is(damaged.code, 4)
  assert.match(damaged.stderr, 'is damaged')
  inventory(server.address)
  // The right mark, but k3s is not the one of the kubeconfig.
  const ours = readFileSync(kubeconfig(), 'utf8')
  const ca = await server.exec(['base64', '-w0', `${K3S.data}/server/tls/client-ca.crt`])
  writeFileSync(kubeconfig(), ours.replace(/(certificate-authority-data: ).*/, `$1${ca}`))
  await refused('another certificate authority')
  writeFileSync(kubeconfig(), ours)
})

test('links and foreign mounts are refused with what to do, bind mounts on the same disk included', async () => {
  const sh = (script: string) => server.exec(['sh', '-c', script])
  await sh(`mkdir ${LOCAL_STORAGE}/nas ${LOCAL_STORAGE}/bind /var/lib/OpenAppStack/tmp
    mount -t tmpfs nas ${LOCAL_STORAGE}/nas && echo theirs > ${LOCAL_STORAGE}/nas/file
    mount --bind /srv/data ${LOCAL_STORAGE}/bind
    ln -s /srv/data /var/lib/etcd`)
  const before = await state()
  const { code, stderr } = await purge([...confirmed, '--discard-data'])
  assert.is(code, 4)
  assert.match(
    stderr,
    `nas (tmpfs) is mounted at ${LOCAL_STORAGE}/nas, below /var/lib/OpenAppStack, which a purge removes`,
  )
  assert.match(stderr, `is mounted at ${LOCAL_STORAGE}/bind`)
  assert.match(stderr, '/var/lib/etcd leads elsewhere: to /srv/data')
  assert.is(await state(), before)
  // Those who come later than the survey are stopped by the guard in front of rm itself.
  const remove = `
    const { Ssh } = await import('./lib/ssh/ssh.ts')
    const { removePaths } = await import('./scripts/purge/server.ts')
    const log = { info() {}, warn() {}, detail() {} }
    const ssh = await Ssh.connect({ host: ${JSON.stringify(server.address)}, user: 'root' }, { log })
    for (const [mark, paths] of JSON.parse(process.argv[1]))
      await removePaths(ssh, mark, paths).then(
        removed => console.log('removed ' + removed),
        error => console.log(error.message))
    process.exit(0)`
  const right = await mark({ purging: { since: 'now' } })
  await server.write(MARK, JSON.stringify(right, null, 2))
  const cases = [
    [right, ['/var/log/pods', '/var/lib/OpenAppStack']],
    [right, ['/var/log/pods', '/var/lib/etcd']],
    [{ ...right, machineId: 'another' }, ['/var/log/pods']],
    [{ ...right, cluster: 'another' }, ['/var/log/pods']],
    [right, ['/var/cache/openappstack']],
  ]
  const said = await bed.run('env', [
    ...[
      `HOME=${bed.home}`,
      process.execPath,
      '--import',
      import.meta.resolve('tsx'),
      '--input-type=module',
      '-e',
    ],
    ...[remove, JSON.stringify(cases)],
  ])
  assert.equal(
    said.split('\n').map(line => /nothing was removed|not the server|removed/.exec(line)?.[0]),
    ['nothing was removed', 'nothing was removed', 'not the server', 'not the server', 'removed'],
    said,
  )
  await sh(`ls -d /var/log/pods && cat ${LOCAL_STORAGE}/nas/file /srv/data/beside
    umount ${LOCAL_STORAGE}/nas ${LOCAL_STORAGE}/bind
    rmdir ${LOCAL_STORAGE}/nas ${LOCAL_STORAGE}/bind && rm /var/lib/etcd`)
  await server.write(MARK, JSON.stringify(await mark()))
})

test('an unfinished purge is judged while k3s runs, even where its API server cannot be asked', async () => {
  await server.write(MARK, JSON.stringify(await mark({ purging: { since: '2026-11-22T11:00:00.000Z' } })))
  const text = readFileSync(kubeconfig(), 'utf8')
  rmSync(kubeconfig())
  const before = await state()
  const { code, stderr } = await purge(confirmed)
  assert.is(code, 4)
  assert.match(stderr, /the purge that started .* is unfinished/)
  assert.match(stderr, 'whether there is a backup of the data of one volume is not known')
  assert.is(await state(), before)
  writeFileSync(kubeconfig(), text, { mode: 0o600 })
  await server.write(MARK, JSON.stringify(await mark()))
})

test('while the API server is dead, backups of data cannot be judged: refused', async () => {
  await server.exec(['systemctl', 'stop', 'k3s'])
  // Where k3s' own provisioner keeps volumes.
  await server.write(`${K3S_STORAGE}/pvc-${CLAIM}_shop_data/file`, 'theirs')
  const before = await state()
  const { code, stderr, stdout } = await purge(confirmed)
  assert.is(code, 4)
  assert.match(stderr, 'whether there is a backup of the data of 2 volumes is not known')
  assert.match(stdout, /shop\/data .* not known/)
  assert.match(stdout, /applications +not known/)
  // The folder tells whose volume it is.
  assert.match(stdout, /oas-apps\/data +3\.0 MiB +not known/)
  assert.is(await state(), before)
  await server.exec(['rm', '-r', K3S_STORAGE])
  await server.exec(['systemctl', 'start', 'k3s'], { timeout: 300_000 })
})

// Purging

test('killed at every step, the next run knows what it was at and completes it', async () => {
  const text = readFileSync(kubeconfig(), 'utf8')
  let last: Outcome | undefined
  for (let step = 1; step <= 7; step++) {
    const outcome = await purge(confirmed, {
      kill: said => (said.includes(`\n${step}. `) ? 'SIGKILL' : undefined),
    })
    const { signal, stderr } = outcome
    // A quick step may be done before the signal arrives: then the next run has one step less, and ends.
    if (step === 7 && signal === null) {
      last = outcome
      break
    }
    assert.is(signal, 'SIGKILL', `step ${step}: ${stderr}`)
    if (step === 1) continue // the mark may or may not have got there
    const { cluster, purging } = await markNow()
    assert.is(cluster, CLUSTER)
    assert.ok(purging.since)
    assert.match(stderr, step > 2 ? /the purge that started .* is unfinished, continuing it/ : '')
  }
  const { code, stderr, stdout } = last ?? (await purge(confirmed))
  assert.is(code, 0, stderr)
  assert.match(stderr, 'no path, process, mount, unit, interface, port or firewall rule of k3s is left')
  assert.match(stdout, `scripts/install-cluster.ts --cluster ${CLUSTER}`)
  await assertGone()
  const [moved] = readdirSync(folder()).filter(name => name.startsWith('kube_config_cluster.yml'))
  assert.match(moved!, /\.purged-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ$/)
  assert.is(readFileSync(join(folder(), moved!), 'utf8'), text)
  const status = await bed.runScript('status', ['--cluster', CLUSTER])
  assert.match(status.stderr, /the kubeconfig .* does not exist/)
})

test('on a server that is purged there is nothing to do', async () => {
  const { code, stderr } = await purge(confirmed)
  assert.is(code, 0)
  assert.match(stderr, 'there is nothing of a cluster')
})

test('after the end of the power, of sshd and of the network in the middle, the next run completes', async () => {
  await installK3s({ marked: false }) // as the CLI of 0.7 did: only the authority of k3s tells whose it is
  await backup(1)
  archive(1)
  /** Data that takes a while to remove: a run must not be through with it before it is cut off. */
  const fill = () =>
    server.exec(
      [
        'sh',
        '-c',
        // What the run before has begun to remove goes first.
        `while pgrep -x rm > /dev/null; do sleep 0.2; done; mkdir -p ${VOLUME} && cd ${VOLUME} && seq 60000 | xargs touch`,
      ],
      { timeout: 180_000 },
    )
  await fill()
  inventory(server.address, 'ann')
  const env = { OAS_SUDO_PASSWORD: PASSWORD }
  const broke = ({ code, stderr }: Outcome) => {
    assert.ok(code === 1 || code === 75, stderr) // whether the command or the lock notices first
    assert.match(stderr, /✗ .* lost/)
  }
  const during = (step: string, what: () => Promise<unknown>) => {
    let done: Promise<unknown> | undefined
    const kill = (said: string): undefined => {
      if (said.includes(step)) done ??= sleep(100).then(what)
    }
    return { options: { env, kill }, done: async () => await done }
  }
  const power = during('\n2. ', () => server.reset())
  const first = await purge(confirmed, power.options)
  assert.match(first.stderr, /machine-id .*, not marked/)
  await power.done()
  broke(first)
  await server.waitForBoot()

  await fill()
  const sessions = during('\n3. ', () => server.exec(['pkill', '-f', '^sshd: ann']))
  const second = await purge([...confirmed, '--discard-data'], sessions.options)
  await sessions.done()
  broke(second)

  await fill()
  const network = during('\n3. ', () => bed.cut(server))
  const third = await purge([...confirmed, '--discard-data'], network.options)
  await network.done()
  broke(third)
  await bed.heal(server)

  // What comes up with the server is found by the proof, and keeps the purge from being called complete.
  await server.write(
    '/etc/systemd/system/beside.service',
    '[Service]\nType=oneshot\nExecStart=ip link add cni0 type bridge\n[Install]\nWantedBy=multi-user.target\n',
  )
  await server.exec(['systemctl', 'enable', '--quiet', 'beside.service'])
  // The server gives the lock back a minute after the last sign of life from the run that was cut off.
  const unproven = await until<Outcome, Outcome>(
    async () => {
      const outcome = await purge([...confirmed, '--discard-data', '--docker'], { env })
      return outcome.code === 75 ? { last: outcome } : { done: outcome }
    },
    { deadline: 300_000, every: 2000, describe: last => last?.stderr ?? '' },
  )
  assert.is(unproven.code, 1)
  assert.match(unproven.stderr, /left on .*: interface cni0/)
  assert.is((await markNow()).cluster, CLUSTER)
  await server.exec(['systemctl', 'disable', '--quiet', 'beside.service'])

  await server.write('/var/lib/docker/beside', 'beside')
  const { code, stderr } = await purge([...confirmed, '--discard-data'], { env })
  assert.is(code, 0, stderr)
  await assertGone()
})

test('after a purge it can be installed again, and is known again', async () => {
  await server.write(CGROUP_V1.path, CGROUP_V1.text)
  copyFileSync(bed.releases.list, join(folder(), 'releases.yaml'))
  const env = { OAS_SUDO_PASSWORD: PASSWORD }
  const { code, stderr } = await bed.runScript('install-cluster', ['--cluster', CLUSTER, '--yes'], { env })
  assert.is(code, 0, stderr)
  assert.match(await kubectl(['get', 'nodes']), / Ready /)
  const known = await purge(['--dry-run', '--discard-data'], { env })
  assert.is(known.code, 0, known.stderr)
  assert.match(known.stderr, `marked as ${CLUSTER}`)
  assert.match(known.stderr, 'remove /usr/local/bin/flux')
  assert.not.match(known.stderr, 'remove /usr/local/bin/helm') // it was there before
})

test('no password was said', () => {
  for (const text of secret) assert.not.match(text, PASSWORD)
  for (const name of readdirSync(join(folder(), 'journal')))
    assert.not.match(readFileSync(join(folder(), 'journal', name), 'utf8'), PASSWORD)
})

test.run()
