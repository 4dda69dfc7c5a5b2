/** The servers that all other tests here stand on: they boot, reboot, end, and leave nothing behind. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { ROOT } from '../../lib/script/files.ts'
import { sleep } from '../../lib/script/wait.ts'
import { PROCESS_MARK } from '../bed/cluster/processes.ts'
import { hierarchies } from '../bed/server/machine-cgroups.ts'
import { mountsBelow } from '../bed/server/machine-disk.ts'
import { networksOf } from '../bed/server/machine-network.ts'
import { bedName } from '../bed/server/machines.ts'
import { suite } from '../suite.ts'
import { type Machine, ServerBed } from './harness.ts'

const test = suite('servers')
let bed: ServerBed
let first: Machine
let second: Machine

test.before(async () => {
  bed = await ServerBed.start({
    servers: 2,
    releases: false,
    memory: '1G',
    disk: '600M',
    user: { name: 'ann', password: 'it is $(secret) "here"' },
    hosts: { 'github.com': '10.77.0.1' },
    ca: '-----BEGIN CERTIFICATE-----\nsandbox\n-----END CERTIFICATE-----\n',
    progress: text => console.log(text),
  })
  first = bed.servers[0]!
  second = bed.servers[1]!
})

test.after(() => bed?.stop())

/** Runs a command over ssh, as a user does. */
function ssh(
  server: Machine,
  command: string,
  options: { user?: string; address?: string; wait?: number } = {},
) {
  return bed.run('ssh', [
    ...['-F', 'none', '-o', 'BatchMode=yes', '-o', `ConnectTimeout=${options.wait ?? 10}`],
    ...['-i', server.keyFile, '-o', `UserKnownHostsFile=${server.knownHosts}`],
    ...['-o', `HostKeyAlias=${server.address}`, '-o', 'StrictHostKeyChecking=yes'],
    `${options.user ?? 'root'}@${options.address ?? server.address}`,
    command,
  ])
}

/** All that a bed has on this machine; its folder is given, since it may be gone. */
function traces(folder: string, name: string): string[] {
  const processes = readdirSync('/proc').flatMap(pid => {
    try {
      const of = readFileSync(`/proc/${pid}/environ`, 'utf8')
      return of.includes(`${PROCESS_MARK}=${folder}/`)
        ? [`process ${readFileSync(`/proc/${pid}/cmdline`, 'utf8')}`]
        : []
    } catch {
      return []
    }
  })
  const cgroups = hierarchies().flatMap(({ path }) =>
    readdirSync(path)
      .filter(entry => entry.startsWith(name))
      .map(entry => join(path, entry)),
  )
  const shared = existsSync('/run/systemd/nspawn/propagate')
    ? readdirSync('/run/systemd/nspawn/propagate')
    : []
  return [
    ...processes,
    ...cgroups,
    ...mountsBelow(folder),
    ...networksOf(name),
    ...shared.filter(entry => entry.startsWith(name)),
    ...(existsSync(folder) ? [folder] : []),
  ]
}

test('a server is a Debian with systemd that lets in by key and by nothing else', async () => {
  assert.match(
    await ssh(first, '. /etc/os-release; echo $ID $VERSION_CODENAME; hostname; id -un'),
    /^debian bookworm\nserver1\nroot$/,
  )
  // `running` and not `degraded`: no unit has failed.
  assert.is(await ssh(first, 'systemctl is-system-running --wait'), 'running')
  assert.match(await ssh(first, 'sshd -T'), /^permitrootlogin (prohibit-password|without-password)$/m)
  const refused = await bed
    .run('ssh', [
      '-F',
      'none',
      '-o',
      'BatchMode=yes',
      '-o',
      'IdentityFile=none',
      '-o',
      `UserKnownHostsFile=${first.knownHosts}`,
      `root@${first.address}`,
      'true',
    ])
    .catch(error => error.message)
  assert.match(refused, 'Permission denied')
})

test('no server shares an identity with another one', async () => {
  const of = (server: Machine) => server.exec(['cat', '/etc/machine-id', '/etc/ssh/ssh_host_ed25519_key.pub'])
  const [id, key] = (await of(first)).split('\n')
  const [otherId, otherKey] = (await of(second)).split('\n')
  assert.match(id!, /^[0-9a-f]{32}$/)
  assert.is.not(id, otherId)
  assert.is.not(key, otherKey)
})

test('a user besides root has sudo with a password', async () => {
  assert.is(await ssh(first, 'id -un', { user: 'ann' }), 'ann')
  assert.is(await ssh(first, 'sudo -n id -u 2>/dev/null || echo asked', { user: 'ann' }), 'asked')
  assert.is(
    await ssh(first, `printf '%s\\n' 'it is $(secret) "here"' | sudo -S -p '' id -u`, { user: 'ann' }),
    '0',
  )
})

test('a server has the memory, the disk, the names and the authority that it was given', async () => {
  const memory = await ssh(first, 'cat /proc/meminfo')
  assert.match(memory, /^MemTotal: +1048576 kB$/m)
  assert.match(memory, /^SwapTotal: +0 kB$/m)
  const size = Number(await ssh(first, 'df --output=size -k / | tail -1'))
  assert.ok(size > 400_000 && size < 620_000, `${size} kB`)
  const full = await first.exec(['fallocate', '--length', '700M', '/big']).catch(error => error.message)
  assert.match(full, 'No space left on device')
  await first.exec(['rm', '/big'])
  const eater = await first
    .exec([
      'systemd-run',
      '--quiet',
      '--wait',
      'sh',
      '-c',
      'head -c 1200M /dev/zero | tail -c 1200M >/dev/null',
    ])
    .catch(error => error.message)
  assert.match(eater, 'failed', 'more memory than that cannot be used')
  assert.is(
    (await ssh(first, 'getent hosts github.com server2')).replaceAll(/ +/g, ' '),
    '10.77.0.1 github.com\n10.77.0.3 server2',
  )
  assert.match(await ssh(first, 'cat /etc/ssl/certs/ca-certificates.crt'), '\nsandbox\n')
})

test('two servers see each other and our side, and nothing else', async () => {
  const reach = (url: string) =>
    first.exec(['curl', '-sS', '--max-time', '2', '-o', '/dev/null', url]).then(
      () => 'reached',
      error => error.message as string,
    )
  assert.match(await first.exec(['bash', '-c', 'exec 3<>/dev/tcp/10.77.0.3/22; head -c 4 <&3']), 'SSH-')
  assert.is(await reach(`${bed.chartsMirror}/index.yaml`), 'reached')
  assert.is(await reach(`${bed.gitUrl}/info/refs?service=git-upload-pack`), 'reached')
  assert.match(await reach('http://192.0.2.1'), /curl|exit code/)
  assert.not.match(await ssh(first, 'ip route'), /via (?!10\.77\.0\.254)/)
})

test('what a kubelet needs is there: cgroups of its own, iptables, a runtime that is not installed', async () => {
  await ssh(first, 'for c in /sys/fs/cgroup/*/; do mkdir $c/kubepods && rmdir $c/kubepods || exit; done')
  await ssh(first, 'iptables -t nat -N TRY && iptables -t nat -X TRY')
  assert.match(
    await ssh(first, '/opt/node/bin/containerd --version && /opt/node/bin/runc --version'),
    'containerd',
  )
  assert.is(await ssh(first, 'command -v containerd runc || echo none'), 'none')
  assert.match(await ssh(first, 'cat /proc/self/mountinfo'), / \/opt\/node ro,/)
})

test('a reboot gives another boot of the same server, with an empty network and empty cgroups', async () => {
  const before = await first.waitForBoot()
  await first.write('/root/kept', 'yes')
  await ssh(
    first,
    'ip link add cni0 type bridge; iptables -t nat -N KUBE-X; for c in /sys/fs/cgroup/*/; do mkdir $c/kubepods; done',
  )
  await first.addAddress('10.77.0.50')
  await ssh(first, 'systemctl reboot').catch(() => {})
  const began = performance.now()
  const after = await first.waitForBoot({ after: before })
  console.log(`reboot to ssh: ${((performance.now() - began) / 1000).toFixed(1)} s`)
  assert.is.not(after, before)
  assert.is(await ssh(first, 'cat /root/kept /proc/sys/kernel/random/boot_id'), `yes${after}`)
  assert.is(await ssh(first, 'ls -d /sys/fs/cgroup/*/kubepods 2>/dev/null || echo gone'), 'gone')
  assert.not.match(await ssh(first, 'ip link; iptables-save'), /cni0|KUBE-X/)
  assert.is(await ssh(first, 'hostname', { address: '10.77.0.50' }), 'server1')
  await first.removeAddress(first.address)
  assert.is(await ssh(first, 'hostname', { address: '10.77.0.50' }), 'server1')
  await first.addAddress(first.address)
  await first.removeAddress('10.77.0.50')
  assert.is(await ssh(first, 'hostname'), 'server1')
  assert.match(
    await ssh(first, 'hostname', { address: '10.77.0.50', wait: 1 }).catch(error => error.message),
    'connect',
  )
})

test('cut drops packets without a word, and heal lets a connection go on', async () => {
  const counting = ssh(first, 'for i in 1 2 3 4 5 6; do echo $i; sleep 0.5; done')
  await sleep(1000)
  await bed.cut(first)
  assert.match(await ssh(first, 'true', { wait: 1 }).catch(error => error.message), 'timed out')
  assert.is(await ssh(second, 'hostname'), 'server2')
  assert.is(await first.exec(['hostname']), 'server1')
  await bed.heal(first)
  assert.is(await counting, '1\n2\n3\n4\n5\n6')
})

test('poweroff ends a server, and it can be started again; a pulled plug keeps the disk', async () => {
  const before = await second.waitForBoot()
  await ssh(second, 'systemctl poweroff').catch(() => {})
  for (let i = 0; i < 2400 && second.running(); i++) await sleep(50)
  assert.is(second.running(), false)
  assert.is(await second.bootId(), undefined)
  assert.not.ok(networksOf(bed.netns).includes(second.netns))
  second.powerOn()
  const again = await second.waitForBoot({ after: before })
  await second.write('/root/kept', 'yes')
  await second.exec(['sync'])
  await second.reset()
  await second.waitForBoot({ after: again })
  assert.is(await ssh(second, 'cat /root/kept'), 'yes')
})

test('scripts run as processes on the network of the servers', async () => {
  const made = await bed.runScript('create-cluster', [
    'one',
    'oas.example.org',
    '--ip-address',
    first.address,
    '--admin-email',
    'a@example.org',
    '--yes',
  ])
  assert.is(made.code, 0, made.stderr)
  const said = await bed.runScript('ssh', [
    '--cluster',
    'one',
    '--',
    'sh',
    '-c',
    'hostname; echo "$1"',
    'sh',
    "$(id) 'x'",
  ])
  assert.equal([said.code, said.stdout], [0, "server1\n$(id) 'x'\n"], said.stderr)
})

test('nothing of it is left when it has ended', async () => {
  const own = [bed.folder, bed.netns] as const
  assert.ok(traces(...own).length > 10)
  await bed.stop()
  assert.equal(traces(...own), [])
})

test('what a killed test leaves is removed by the next start', async () => {
  const child: ChildProcess = spawn(
    process.execPath,
    [
      ...['--import', 'tsx', '--input-type=module', '-e'],
      `import { ServerBed } from ${JSON.stringify(join(ROOT, 'test/server/harness.ts'))}
       const bed = await ServerBed.start({ serve: false, releases: false })
       console.log(JSON.stringify([bed.folder, bed.netns]))
       setInterval(() => {}, 1000)`,
    ],
    { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const own: [string, string] = await new Promise((resolve, reject) => {
    child.stdout!.once('data', line => resolve(JSON.parse(line)))
    child.once('close', () => reject(new Error('it ended before it had started a server')))
  })
  const ended = new Promise(resolve => child.once('close', resolve))
  child.kill('SIGKILL')
  await ended
  assert.ok(traces(...own).length > 5, 'the server goes on')
  bed = await ServerBed.start({ serve: false, releases: false })
  assert.equal(traces(...own), [])
  assert.is(await ssh(bed.servers[0]!, 'hostname'), 'server1')
  const next = [bed.folder, bed.netns] as const
  await bed.stop()
  assert.equal(traces(...next), [])
})

test('a start that is killed at any moment leaves nothing that the next one does not remove', async () => {
  const moments: Record<string, (folder: string, name: string) => boolean> = {
    'its folder is there': () => true,
    'its network is there': (_, name) => networksOf(name).length > 0,
    'its disks are mounted': folder => mountsBelow(folder).length === 2,
    'a server begins to run': (_, name) => networksOf(name).length > 1,
  }
  const left: [string, string][] = []
  for (const [moment, reached] of Object.entries(moments)) {
    const child = spawn(
      process.execPath,
      [
        ...['--import', 'tsx', '--input-type=module', '-e'],
        `import { ServerBed } from ${JSON.stringify(join(ROOT, 'test/server/harness.ts'))}
         await ServerBed.start({ servers: 2, disk: '600M', serve: false, releases: false })`,
      ],
      { cwd: ROOT, stdio: 'ignore' },
    )
    const ended = new Promise(resolve => child.once('close', resolve))
    const own = (): [string, string] | undefined => {
      const folder = readdirSync(tmpdir()).find(name => name.includes(`-${child.pid}-`))
      if (!folder) return undefined
      const path = join(tmpdir(), folder)
      return [path, bedName({ state: join(path, '.servers', 'bed') })]
    }
    for (let i = 0; ; i++) {
      const [folder, name] = own() ?? []
      if (folder && name && reached(folder, name)) break
      assert.ok(i < 6000 && child.exitCode === null, `not seen: ${moment}`)
      await sleep(10)
    }
    child.kill('SIGKILL')
    await ended
    assert.ok(traces(...own()!).length > 0)
    left.push(own()!)
  }
  bed = await ServerBed.start({ serve: false, releases: false })
  const mine: [string, string] = [bed.folder, bed.netns]
  await bed.stop()
  for (const each of [mine, ...left]) assert.equal(traces(...each), [])
})

test.run()
