import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { error, listed, quotedAnswer, refuse, warning } from '../../../../lib/preflight/findings.ts'
import { ExpectedErrors } from '../../../../lib/script/errors.ts'
import { serverChecks } from '../../../../lib/server/server-checks.ts'
import type { Owner } from '../../../../lib/server/server-conflicts.ts'
import type { ServerFacts } from '../../../../lib/server/server-facts.ts'
import { expectedFrom } from '../../helpers.ts'

const GB = 1e9
const good: ServerFacts = {
  os: { id: 'debian', version: '13', name: 'Debian GNU/Linux 13 (trixie)' },
  architecture: 'x86_64',
  hostname: 'oas',
  virtualisation: 'kvm',
  systemd: true,
  cpus: 6,
  memory: 11.7 * GB,
  swap: [],
  disks: [{ target: '/', type: 'ext4', size: 40 * GB, free: 36 * GB, freeInodes: 0.9 }],
  clockOffset: 300,
  clockSynchronised: true,
  cgroup: { version: 2, controllers: ['cpuset', 'cpu', 'io', 'memory', 'pids'] },
  cgroupV1Allowed: false,
  listeners: [{ protocol: 'tcp', address: '0.0.0.0', port: 22, program: 'sshd' }],
  services: ['ssh', 'cron', 'systemd-timesyncd'],
  firewall: false,
  mounts: [{ source: '/dev/vda1', target: '/', type: 'ext4', options: ['rw'] }],
  modules: { overlay: 'present', br_netfilter: 'present', vxlan: 'present' },
  routes: [
    { to: 'default', device: 'eth0' },
    { to: '10.0.0.0/24', device: 'eth1' },
  ],
  openrc: false,
  inotify: { instances: 8192, watches: 524_288 },
  remains: [],
}
const told = (change: Partial<ServerFacts>, owner?: Owner) =>
  serverChecks({ ...good, ...(owner === 'ours' ? { k3s: 'v1.36.2+k3s1' } : {}), ...change }, owner).map(
    ({ severity, what }) => `${severity}: ${what}`,
  )

test('a good server has no findings', () => {
  assert.equal(told({}), [])
  for (const [id, version] of [
    ['debian', '11'],
    ['debian', '12'],
    ['ubuntu', '22.04'],
    ['ubuntu', '24.04'],
    ['ubuntu', '26.04'],
  ] as const)
    assert.equal(told({ os: { id, version, name: `${id} ${version}` } }), [])
  assert.equal(told({ architecture: 'aarch64' }), [])
  assert.equal(told({ cpus: undefined, memory: undefined, clockSynchronised: undefined, disks: [] }), [])
})

const listen = (port: number, program?: string, address = '0.0.0.0', protocol: 'tcp' | 'udp' = 'tcp') => ({
  listeners: [{ protocol, address, port, program }],
})
const mount = (target: string, type = 'ext4', options = ['rw']) => ({
  mounts: [{ source: '/dev/vdb', target, type, options }],
})
const disk = (free: number, freeInodes = 0.9) => ({
  disks: [{ target: '/', type: 'ext4', size: 40 * GB, free: free * GB, freeInodes }],
})
const cases: [change: Partial<ServerFacts>, expected: RegExp | undefined, owner?: Owner][] = [
  [{ os: { id: 'debian', version: '10', name: 'Debian 10' } }, /^error: .*Debian 10, which is too old$/],
  [{ os: { id: 'ubuntu', version: '20.04', name: 'Ubuntu 20.04' } }, /^error: .*too old$/],
  [{ os: { id: 'debian', version: '', name: 'Debian forky/sid' } }, /^warning: .*nobody has tried$/],
  [{ os: { id: 'ubuntu', version: '25.10', name: 'Ubuntu 25.10' } }, /^warning: .*nobody has tried$/],
  [
    { os: { id: 'fedora', version: '44', name: 'Fedora 44' } },
    /^error: .*Fedora 44, which is not supported$/,
  ],
  [{ os: { id: '', version: '', name: '' } }, /^error: .*an unknown system/],
  [{ architecture: 'armv7l' }, /^error: .*architecture is armv7l$/],
  [{ systemd: false }, /^error: .*systemd$/],
  [{ virtualisation: 'lxc' }, /^warning: .*a container \(lxc\)/],
  [{ hostname: 'my_server' }, /^error: .*hostname "my_server" cannot be the name of a node$/],
  [{ hostname: 'Oas.Example.org' }, undefined],
  [{ hostname: 'localhost' }, /^warning: .*hostname is localhost$/],
  [{ cpus: 1 }, /^error: the server has 1 CPU core;/],
  [{ cpus: 4 }, /^warning: the server has 4 CPU cores;/],
  [{ memory: 2.1 * GB }, /^error: the server has 2\.1 GB of memory/],
  [{ memory: 8 * GB }, /^warning: the server has 8\.0 GB of memory/],
  [{ swap: ['/dev/vda2'] }, /^warning: the server swaps to \/dev\/vda2/],
  [disk(8), /^error: \/ has 8\.0 GB free of 40 GB/],
  [disk(20), /^warning: \/ has 20 GB free of 40 GB/],
  [disk(8), undefined, 'ours'],
  [disk(5), /^warning: \/ has only 5\.0 GB free \(12 %\)/, 'ours'],
  [disk(1), /^error: \/ has only 1\.0 GB free \(2 %\)/, 'ours'],
  [disk(36, 0.01), /^error: \/ has only 1 % of its inodes free/],
  [disk(36, 0.05), /^warning: \/ has only 5 % of its inodes free/],
  [{ clockOffset: 600_000 }, /^error: the server's clock is 10 minutes ahead of this machine's$/],
  [{ clockOffset: -600_000 }, /^error: .*10 minutes behind/],
  [{ clockOffset: 119_000 }, undefined],
  [{ clockSynchronised: false }, /^warning: .*not synchronised/],
  [{ cgroup: { version: 1, controllers: good.cgroup.controllers } }, /^error: .*version 1 of cgroups/],
  [{ cgroup: { version: 1, controllers: good.cgroup.controllers }, cgroupV1Allowed: true }, undefined],
  [
    { cgroup: { version: 2, controllers: ['cpuset', 'cpu', 'pids'] } },
    /^error: .*lacks the cgroup controllers memory$/,
  ],
  [{ modules: { overlay: 'missing' } }, /^error: .*no module overlay, which containers need$/],
  [{ modules: { br_netfilter: 'unknown' } }, /^warning: .*br_netfilter cannot be seen/],
  [
    { routes: [{ to: '10.42.0.0/16', device: 'eth1' }] },
    /^error: the server routes 10\.42\.0\.0\/16 to eth1/,
  ],
  [{ routes: [{ to: '10.42.0.0/24', device: 'cni0' }] }, undefined],
  [
    listen(6443, 'k3s-server'),
    /^error: port 6443\/tcp is in use by k3s-server, and the API server needs it$/,
  ],
  [listen(6443, 'k3s-server'), undefined, 'ours'],
  [listen(80, 'nginx', '*'), /^error: port 80\/tcp is in use by nginx, and the ingress needs it$/],
  [listen(80, 'nginx', '127.0.0.1'), undefined],
  [listen(10250, 'kubelet', '127.0.0.1'), /^error: port 10250\/tcp/],
  [listen(8472, undefined, '0.0.0.0', 'udp'), /^error: port 8472\/udp is in use by the kernel/],
  [listen(53, 'dnsmasq'), undefined],
  [listen(8472, 'x', '0.0.0.0', 'tcp'), undefined],
  [{ services: ['rke2-server'] }, /^error: another Kubernetes runs on the server \(rke2-server\)$/],
  [{ services: ['snap.microk8s.daemon-kubelite'] }, /^error: another Kubernetes/],
  [{ services: ['docker', 'containerd'] }, /^warning: docker, containerd runs on the server/],
  [{ services: ['apache2'] }, /^warning: a web server runs on the server \(apache2\)/],
  [{ firewall: true }, /^warning: the firewall ufw is on/],
  [{ services: ['firewalld'] }, /^warning: the firewall firewalld is on/],
  [{}, undefined, 'ours'],
  [{ k3s: undefined, ...listen(80, 'nginx') }, /^error: port 80\/tcp is in use by nginx/, 'ours'],
  [{ k3s: undefined, remains: ['/var/lib/rancher'] }, undefined, 'ours'],
  [{}, /^error: .*somebody else's installation: it is marked/, { problem: 'it is marked as that of x' }],
  [{ remains: ['/var/lib/rancher'] }, /^warning: an earlier installation left \/var\/lib\/rancher$/],
  [{ remains: ['/var/lib/rancher'] }, undefined, 'ours'],
  [{ remains: ['/var/lib/OpenAppStack'], ...mount('/var/lib/OpenAppStack/local-storage') }, undefined],
  [mount('/var/lib/kubelet/pods/x/volumes'), /^warning: .* is still mounted from an earlier installation$/],
  [mount('/var/lib/OpenAppStack/local-storage/backup'), /^warning: .*mounted below the data of the platform/],
  [mount('/var/lib/OpenAppStack/local-storage/backup'), /^warning: .*mounted below/, 'ours'],
  [mount('/var/lib/rancher', 'ext4', ['rw', 'noexec']), /^error: \/var\/lib\/rancher is mounted noexec/],
  [mount('/var/lib/rancher', 'ext4', ['ro']), /^error: \/var\/lib\/rancher is mounted read-only$/],
  [mount('/var/lib/OpenAppStack/local-storage', 'nfs4'), /^error: .*is a network file system \(nfs4\)/],
]
for (const [i, [change, expected, owner]] of cases.entries())
  test(`rule ${i}: ${JSON.stringify(change).slice(0, 90)}${owner ? ` (${JSON.stringify(owner)})` : ''}`, () => {
    const findings = told(change, owner)
    if (expected === undefined) return assert.equal(findings, [])
    assert.is(findings.length, 1, findings.join('\n'))
    assert.match(findings[0]!, expected)
  })

test('everything that is wrong is told at once, each with its remedy', () => {
  const findings = serverChecks({
    ...good,
    ...disk(1),
    ...listen(443, 'apache2'),
    memory: 2 * GB,
    swap: ['/swapfile'],
    services: ['apache2'],
  })
  assert.equal(
    findings.map(({ severity }) => severity),
    ['error', 'warning', 'error', 'error', 'warning'],
  )
  for (const { fix } of findings) assert.ok(fix.length > 10)
})

test('what a program calls itself does not become a command to paste, nor more than a line', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), program => {
      const [finding] = serverChecks({ ...good, ...listen(80, program) })
      assert.not.match(finding!.what + finding!.fix, /\p{Cc}/u)
      assert.match(finding!.fix, /systemctl disable --now (SERVICE|[\w.][\w.-]*)$/)
    }),
  )
})

test('refuse tells warnings and throws errors, all at once', async () => {
  const said: string[] = []
  const log = { warn: (text: string) => void said.push(text), info: (text: string) => void said.push(text) }
  refuse([warning('w', 'do')], log)
  assert.equal(said, ['w', '  fix: do'])
  const thrown = await expectedFrom(() => refuse([error('a', 'x'), warning('w', 'do'), error('b', 'y')], log))
  assert.instance(thrown, ExpectedErrors)
  assert.equal(
    (thrown as ExpectedErrors).problems.map(problem => [problem.message, problem.fix]),
    [
      ['a', 'x'],
      ['b', 'y'],
    ],
  )
})

test('texts of others are shortened and cleaned', () => {
  assert.is(quotedAnswer(' a\x1b[31m\r\n b '), 'a [31m b')
  assert.is(quotedAnswer('x'.repeat(500)).length, 160)
  assert.is(listed(['a', 'b', 'c', 'd', 'e']), 'a, b, c, d, e')
  assert.is(listed(['a', 'b', 'c', 'd', 'e', 'f']), 'a, b, c, d and 2 more')
})

test('OpenRC beside systemd, and few inotify instances or watches', () => {
  assert.match(told({ openrc: true })[0]!, /^error: the server has OpenRC beside systemd/)
  assert.equal(told({ inotify: {} }), [])
  assert.match(told({ inotify: { instances: 128 } })[0]!, /^warning: .* 128 inotify instances/)
  assert.match(told({ inotify: { watches: 8192 } })[0]!, /^warning: .* 8192 inotify watches/)
})

test.run()
