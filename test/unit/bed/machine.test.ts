import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MOST_SERVERS } from '../../bed/cluster/flags.ts'
import { hierarchies } from '../../bed/server/machine-cgroups.ts'
import { bytesOf, memoryInfo } from '../../bed/server/machine-disk.ts'
import { checkMachineNeeds } from '../../bed/server/machine-needs.ts'
import { machineAddress, OUR_ADDRESS } from '../../bed/server/machine-network.ts'
import { bedName } from '../../bed/server/machines.ts'
import { expectedFrom, messagesOf } from '../helpers.ts'

test('cgroups of both versions are found, and nothing else', () => {
  const mounts = `27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 master:1 - cgroup cgroup rw,cpu,cpuacct
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
50 27 0:40 / /somewhere/else rw,relatime - cgroup2 cgroup2 rw
`
  assert.equal(hierarchies(mounts), [
    { path: '/sys/fs/cgroup/cpu,cpuacct', version: 1 },
    { path: '/sys/fs/cgroup/unified', version: 2 },
  ])
  assert.equal(
    hierarchies('30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n'),
    [{ path: '/sys/fs/cgroup', version: 2 }],
  )
})

test('sizes are read, and what is none is refused', async () => {
  assert.is(bytesOf('2G'), 2 ** 31)
  assert.is(bytesOf('600M'), 600 * 2 ** 20)
  for (const wrong of ['', '2', '2 G', 'G', '-1G', '1.5G', '2Gi'])
    assert.match((await expectedFrom(() => bytesOf(wrong))).message, 'is not a size')
})

test('/proc/meminfo of a smaller server says so in its own words', () => {
  const text =
    'MemTotal:       24684092 kB\nMemFree:        22000000 kB\nMemAvailable:   23000000 kB\nBuffers:          100000 kB\nSwapTotal:       1000000 kB\nSwapFree:         900000 kB\nHugePages_Total:       0\n'
  assert.is(
    memoryInfo(text, 2 ** 31),
    'MemTotal:        2097152 kB\nMemFree:         1782579 kB\nMemAvailable:    1887436 kB\nBuffers:          100000 kB\nSwapTotal:             0 kB\nSwapFree:              0 kB\nHugePages_Total:       0\n',
  )
})

test('a bed is named by its folder, so that its remains are found by whoever knows that', () => {
  assert.match(bedName({ state: '/a' }), /^oas-[0-9a-f]{8}$/)
  assert.is(bedName({ state: '/a' }), bedName({ state: '/a' }))
  assert.is.not(bedName({ state: '/a' }), bedName({ state: '/b' }))
})

test('servers have addresses of their own', () => {
  const addresses = Array.from({ length: MOST_SERVERS }, (_, i) => machineAddress(i + 1))
  assert.is(addresses[0], '10.77.0.2')
  assert.is(new Set([...addresses, OUR_ADDRESS]).size, MOST_SERVERS + 1)
})

test('all that is missing here is told at once, with what to install', async () => {
  const { PATH } = process.env
  process.env.PATH = '/nowhere'
  try {
    const error = await expectedFrom(() => checkMachineNeeds())
    assert.match(
      messagesOf(error).join('\n'),
      /programs that are not installed: .*systemd-nspawn.*tar, zstd, ssh, ssh-keygen/,
    )
    const text = 'problems' in error ? JSON.stringify(error.problems) : error.fix
    assert.match(text, /apt-get install .*systemd-container.*openssh-client/)
  } finally {
    process.env.PATH = PATH
  }
})

test.run()
