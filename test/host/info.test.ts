import { mkdirSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { parseFacts } from '../../lib/server/reader.ts'
import { SERVER_INFO, serverInfoOf, serverRows } from '../../scripts/info/server-info.ts'
import { test } from '../suite.ts'
import { said } from '../unit/lib/server/said.ts'
import { cleanUp, folder, me, newHome, newKey, runScript, Sshd } from './sshd.ts'

const home = newHome()
const sshd = await Sshd.start()
const key = newKey(join(folder(), 'key'))
sshd.authorise(key)
const clusters = folder()
const env = { OAS_CLUSTERS_DIR: clusters, HOME: home }
mkdirSync(join(clusters, 'one'))
writeFileSync(
  join(clusters, 'one', '.flux.env'),
  'domain=oas.example.org\nip_address=127.0.0.1\nadmin_email=a@example.org\noutgoing_mail_enabled=false\n',
)
const inventory = (port: number) =>
  writeFileSync(
    join(clusters, 'one', 'inventory.yml'),
    `all:\n  hosts:\n    one:\n      ansible_host: 127.0.0.1\n      ansible_port: ${port}\n      ansible_user: ${me}\n      ansible_ssh_private_key_file: ${key}\n`,
  )
test.after(cleanUp)

test('a cluster without an inventory has no server to ask', async () => {
  const { code, out, err } = await runScript('info', ['--json'], { env })
  assert.is(code, 0, err)
  assert.equal(JSON.parse(out.toString()).result.servers, [])
})

test('the server tells its system, addresses, disks and load, without rights of root', async () => {
  inventory(sshd.port)
  const { code, out, err } = await runScript('info', ['--accept-new-host-key', '--json'], { env })
  assert.is(code, 0, err)
  const [{ ssh, info }] = JSON.parse(out.toString()).result.servers
  assert.is(ssh, `${me}@127.0.0.1`)
  assert.is(info.hostname, hostname())
  assert.match(info.os, /\w/)
  assert.ok(info.uptime > 0 && info.cpus > 0 && info.memory.total > info.memory.available)
  assert.is(info.load.length, 3)
  assert.is(info.disks[0].target, '/')
  const shown = await runScript('info', [], { env })
  assert.match(shown.out.toString(), /server +\S+@127\.0\.0\.1, .*up \d+/)
  assert.match(shown.out.toString(), /disk \/ +.* of .* free/)
})

test('a server that cannot be reached is told, and everything else is shown', async () => {
  await sshd.down()
  const { code, out, err } = await runScript('info', [], { env })
  assert.is(code, 0)
  assert.match(err, /! the server \S+ was not asked: 127\.0\.0\.1 port \d+ refuses connections/)
  assert.match(out.toString(), 'https://admin.oas.example.org')
  assert.match(out.toString(), 'not asked')
  assert.not.match((await runScript('info', ['--skip-ssh'], { env })).err, 'the server')
})

const infoOf = (outputs: Parameters<typeof said<typeof SERVER_INFO>>[1]) =>
  serverInfoOf(parseFacts(SERVER_INFO, said(SERVER_INFO, outputs)))

test('what a server says is taken apart by names; of k3s either service counts', () => {
  const info = infoOf({
    hostname: 'vps\n',
    os: 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    addresses: '203.0.113.7\n2001:db8::7\n',
    k3s: 'k3s version v1.36.4+k3s1 (abc)\ngo version go1.25\n',
    services: 'k3s.service inactive\nk3s-agent.service active\n',
    uptime: '200000.5 100.0\n',
    load: '0.10 0.20 0.30 1/200 3\n',
    cpus: '2\n',
    memory: 'MemTotal: 4000000 kB\nMemAvailable: 1000000 kB\n',
    disks:
      '    1B-blocks       Avail Inodes IFree Type Mounted on\n40000000000 12000000000 1 1 ext4 /\n40000000000 12000000000 1 1 ext4 /\n',
  })
  assert.equal([info.k3s, info.service, info.disks.length], ['v1.36.4+k3s1', 'active', 1])
  assert.equal(serverRows({ ssh: 'root@vps', info }).slice(0, 3), [
    ['server', 'root@vps, vps, Debian GNU/Linux 12 (bookworm), up 2 days'],
    ['  addresses', '203.0.113.7 2001:db8::7'],
    ['  k3s', 'v1.36.4+k3s1, active'],
  ])
  const none = infoOf({})
  assert.equal([none.k3s, none.addresses], [undefined, []])
})

test.run()
