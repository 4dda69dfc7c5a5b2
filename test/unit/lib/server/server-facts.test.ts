import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseFacts } from '../../../../lib/server/reader.ts'
import { SERVER_FACTS, serverFactsOf } from '../../../../lib/server/server-facts.ts'
import { said } from './said.ts'

/** What a Debian 12 with 12 GB of memory says. */
const debian = {
  time: '1700000001000\n',
  os: 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n',
  architecture: 'x86_64\n',
  hostname: 'oas\n',
  virtualisation: 'kvm\n',
  systemd: '',
  cpus: '6\n',
  memory: 'MemTotal:       12256000 kB\nSwapTotal:             0 kB\n',
  limits: 'max\n',
  swap: `Filename                                Type            Size            Used            Priority
/dev/vda2                               partition       999420          0               -2
`,
  disks: `   1B-blocks       Avail  Inodes   IFree Type Mounted on
105553174016 57393090560 6553600 6400000 ext4 /
   200000000    10000000       0       0 btrfs /var/lib/OpenAppStack/local storage
`,
  clockSynchronised: 'NTPSynchronized=yes\n',
  cgroupVersion: 'cgroup2fs\n',
  controllers: 'cpuset cpu io memory hugetlb pids rdma misc\n',
  listeners: `udp   UNCONN 0      0            127.0.0.1:323        0.0.0.0:*    users:(("chronyd",pid=512,fd=5))
tcp   LISTEN 0      128            0.0.0.0:22         0.0.0.0:*    users:(("sshd",pid=600,fd=3))
tcp   LISTEN 0      511                  *:80               *:*    users:(("apache2",pid=7,fd=4),("apache2",pid=6,fd=4))
tcp   LISTEN 0      128      [fe80::1]%eth0:443           [::]:*    users:(("my prog",pid=9,fd=4))
udp   UNCONN 0      0              0.0.0.0:8472       0.0.0.0:*
`,
  services: `ssh.service loaded active running OpenBSD Secure Shell server
apache2.service loaded active running The Apache HTTP Server
`,
  firewall: 'ENABLED=yes\n',
  mounts: `/dev/vda1 / ext4 rw,relatime,errors=remount-ro 0 0
/dev/vdb1 /var/lib/OpenAppStack/local\\040storage btrfs ro,noexec 0 0
`,
  modules: 'overlay present\nbr_netfilter missing\n',
  routes: `default via 203.0.113.1 dev eth0
10.42.0.0/24 dev cni0 proto kernel scope link src 10.42.0.1
`,
  k3s: 'k3s version v1.36.2+k3s1 (abcdef12)\ngo version go1.26.0\n',
  hasK3s: '',
  remains: '/var/lib/rancher\n',
}
type Said = Parameters<typeof said<typeof SERVER_FACTS>>[1]
const factsOf = (outputs: Said, before = 0, after = 0) =>
  serverFactsOf(parseFacts(SERVER_FACTS, said(SERVER_FACTS, outputs)), before, after)

test('the facts of a server are read', () => {
  const facts = factsOf(debian, 1_700_000_000_000, 1_700_000_001_000)
  assert.equal(facts.os, { id: 'debian', version: '12', name: 'Debian GNU/Linux 12 (bookworm)' })
  assert.equal([facts.cpus, facts.memory, facts.hostname, facts.systemd], [6, 12_256_000 * 1024, 'oas', true])
  assert.equal(facts.swap, ['/dev/vda2'])
  assert.equal(facts.disks, [
    {
      target: '/',
      type: 'ext4',
      size: 105_553_174_016,
      free: 57_393_090_560,
      freeInodes: 6_400_000 / 6_553_600,
    },
    {
      target: '/var/lib/OpenAppStack/local storage',
      type: 'btrfs',
      size: 200_000_000,
      free: 10_000_000,
      freeInodes: undefined,
    },
  ])
  assert.equal([facts.clockOffset, facts.clockSynchronised], [500, true])
  assert.is(facts.cgroup.version, 2)
  assert.ok(facts.cgroup.controllers.includes('memory'))
  assert.equal(facts.listeners, [
    { protocol: 'udp', address: '127.0.0.1', port: 323, program: 'chronyd' },
    { protocol: 'tcp', address: '0.0.0.0', port: 22, program: 'sshd' },
    { protocol: 'tcp', address: '*', port: 80, program: 'apache2' },
    { protocol: 'tcp', address: 'fe80::1', port: 443, program: 'my prog' },
    { protocol: 'udp', address: '0.0.0.0', port: 8472, program: undefined },
  ])
  assert.equal(facts.services, ['ssh', 'apache2'])
  assert.is(facts.firewall, true)
  assert.equal(facts.mounts[1], {
    source: '/dev/vdb1',
    target: '/var/lib/OpenAppStack/local storage',
    type: 'btrfs',
    options: ['ro', 'noexec'],
  })
  assert.equal(facts.modules, { overlay: 'present', br_netfilter: 'missing' })
  assert.equal(facts.routes[1], { to: '10.42.0.0/24', device: 'cni0' })
  assert.equal([facts.k3s, facts.remains], ['v1.36.2+k3s1', ['/var/lib/rancher']])
})

test('a container counts what it may use, not what its host has', () => {
  assert.is(factsOf({ ...debian, limits: '2147483648\n9223372036854771712\n' }).memory, 2_147_483_648)
})

test('what is not there is not known, instead of zero', () => {
  const facts = factsOf({})
  assert.equal(
    [facts.cpus, facts.memory, facts.clockSynchronised, facts.k3s, facts.clockOffset],
    [undefined, undefined, undefined, undefined, 0],
  )
  assert.equal([facts.disks, facts.listeners, facts.cgroup.version], [[], [], 1])
})

test('k3s that does not tell its version is there all the same', () => {
  assert.is(factsOf({ ...debian, k3s: 'Segmentation fault\n' }).k3s, 'unknown')
})

test('a comment does not allow version 1 of cgroups', () => {
  const allowed = (line: string) => factsOf({ cgroupV1Allowed: `${line}\n` }).cgroupV1Allowed
  assert.is(allowed('kubelet-arg: ["fail-cgroupv1=false"]'), true)
  assert.is(allowed('# fail-cgroupv1=false'), false)
})

test('whatever a server says, it is parsed or refused, and never anything else', () => {
  const names = Object.keys(SERVER_FACTS) as (keyof typeof SERVER_FACTS)[]
  const output = fc
    .tuple(fc.string({ unit: 'binary', maxLength: 80 }), fc.integer({ min: 0, max: 255 }))
    .map(([text, code]) => ({ text, code }))
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...names), output), outputs => {
      const facts = factsOf(outputs)
      for (const number of [
        facts.cpus,
        facts.memory,
        facts.clockOffset,
        ...facts.disks.map(disk => disk.free),
      ])
        assert.ok(number === undefined || Number.isFinite(number))
    }),
  )
})

test.run()
