import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ExpectedError } from '../../../../lib/script/errors.ts'
import { ROOT } from '../../../../lib/script/files.ts'
import { parseServerFacts } from '../../../../lib/server/server-facts.ts'
import { expectedFrom } from '../../helpers.ts'

const T = '\t'
/** What a Debian 12 with 12 GB of memory says. */
const debian = `time${T}1700000001000
os${T}PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
os${T}VERSION_ID="12"
os${T}ID=debian
architecture${T}x86_64
hostname${T}oas
virtualisation${T}kvm
systemd${T}yes
cpus${T}6
memory${T}MemTotal:       12256000 kB
memory${T}SwapTotal:             0 kB
limit${T}max
swap${T}Filename                                Type            Size            Used            Priority
swap${T}/dev/vda2                               partition       999420          0               -2
disk${T}   1B-blocks       Avail  Inodes   IFree Type Mounted on
disk${T}105553174016 57393090560 6553600 6400000 ext4 /
disk${T}   200000000    10000000       0       0 btrfs /var/lib/OpenAppStack/local storage
clock${T}NTPSynchronized=yes
cgroup${T}cgroup2fs
controllers${T}cpuset cpu io memory hugetlb pids rdma misc
listener${T}udp   UNCONN 0      0            127.0.0.1:323        0.0.0.0:*    users:(("chronyd",pid=512,fd=5))
listener${T}tcp   LISTEN 0      128            0.0.0.0:22         0.0.0.0:*    users:(("sshd",pid=600,fd=3))
listener${T}tcp   LISTEN 0      511                  *:80               *:*    users:(("apache2",pid=7,fd=4),("apache2",pid=6,fd=4))
listener${T}tcp   LISTEN 0      128      [fe80::1]%eth0:443           [::]:*    users:(("my prog",pid=9,fd=4))
listener${T}udp   UNCONN 0      0              0.0.0.0:8472       0.0.0.0:*
service${T}ssh.service loaded active running OpenBSD Secure Shell server
service${T}apache2.service loaded active running The Apache HTTP Server
firewall${T}ENABLED=yes
mount${T}/dev/vda1 / ext4 rw,relatime,errors=remount-ro 0 0
mount${T}/dev/vdb1 /var/lib/OpenAppStack/local\\040storage btrfs ro,noexec 0 0
module${T}overlay present
module${T}br_netfilter missing
route${T}default via 203.0.113.1 dev eth0
route${T}10.42.0.0/24 dev cni0 proto kernel scope link src 10.42.0.1
k3s${T}k3s version v1.36.2+k3s1 (abcdef12)
k3s${T}go version go1.26.0
remains${T}/var/lib/rancher
end${T}yes
`

test('the facts of a server are read', () => {
  const facts = parseServerFacts(debian, 1_700_000_000_000, 1_700_000_001_000)
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
  const limited = debian.replace(`limit${T}max`, `limit${T}2147483648\nlimit${T}9223372036854771712`)
  assert.is(parseServerFacts(limited, 0, 0).memory, 2_147_483_648)
})

test('what is not there is not known, instead of zero', () => {
  const facts = parseServerFacts(`end${T}yes\n`, 0, 0)
  assert.equal(
    [facts.cpus, facts.memory, facts.clockSynchronised, facts.k3s, facts.clockOffset],
    [undefined, undefined, undefined, undefined, 0],
  )
  assert.equal([facts.disks, facts.listeners, facts.cgroup.version], [[], [], 1])
})

test('an answer that was cut off is refused', async () => {
  const error = await expectedFrom(() => parseServerFacts(debian.slice(0, -10), 0, 0))
  assert.match(error.message, 'did not tell all')
})

test('a comment does not allow version 1 of cgroups', () => {
  const said = (line: string) => parseServerFacts(`cgroupv1${T}${line}\nend${T}yes`, 0, 0).cgroupV1Allowed
  assert.is(said('kubelet-arg: ["fail-cgroupv1=false"]'), true)
  assert.is(said('# fail-cgroupv1=false'), false)
})

test('whatever a server says, it is parsed or refused, and never anything else', () => {
  const names = [...new Set(debian.split('\n').map(line => line.split(T)[0] ?? ''))]
  const line = fc
    .tuple(fc.constantFrom(...names), fc.string({ unit: 'binary', maxLength: 80 }))
    .map(l => l.join(T))
  fc.assert(
    fc.property(fc.array(fc.oneof(line, fc.string()), { maxLength: 30 }), lines => {
      try {
        const facts = parseServerFacts(`${lines.join('\n')}\nend${T}yes\n`, 0, 0)
        for (const number of [
          facts.cpus,
          facts.memory,
          facts.clockOffset,
          ...facts.disks.map(disk => disk.free),
        ])
          assert.ok(number === undefined || Number.isFinite(number))
      } catch (error) {
        assert.instance(error, ExpectedError)
      }
    }),
  )
})

test('a program cannot pass its name off as another fact', () => {
  // The very line of the script that marks output, on the shell of this machine.
  const source = readFileSync(join(ROOT, 'lib/server/server-facts.ts'), 'utf8')
  const each = /^each\(\) .*$/m.exec(source)?.[0]
  assert.ok(each)
  const script = `tab=$(printf '\\t')\n${each}\neach listener printf '%s' "$1"\n`
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), text => {
      const hostile = `${text.replaceAll('\0', '')}\nk3s\tk3s version v9\nend\tyes`
      const out = execFileSync('sh', ['-c', script, 'sh', hostile], { encoding: 'utf8' })
      for (const said of out.split('\n').filter(Boolean)) assert.ok(said.startsWith('listener\t'), said)
    }),
    { numRuns: 30 },
  )
})

test.run()
