/** preflight against a real Debian server that is too small, taken, or somebody else's. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { PreflightFinding } from '../../lib/preflight/findings.ts'
import type { ServerFacts } from '../../lib/server/server-facts.ts'
import { test } from '../suite.ts'
import { type Machine, ServerBed } from './harness.ts'

let bed: ServerBed
let server: Machine

test.before(async () => {
  bed = await ServerBed.start({
    serve: false,
    memory: '2G',
    disk: '2G',
    user: { name: 'ann', password: 'pass word' },
  })
  server = bed.servers[0]!
  const cluster = join(bed.folder, 'oas')
  mkdirSync(cluster, { mode: 0o700 })
  writeFileSync(join(cluster, '.flux.env'), `ip_address=${server.address}\ndomain=oas.example.test\n`)
  inventory('root')
})
test.after(() => bed?.stop())

function inventory(user: string): void {
  const text = `all:\n  hosts:\n    server1:\n      ansible_host: ${server.address}\n      ansible_user: ${user}\n`
  writeFileSync(join(bed.folder, 'oas', 'inventory.yml'), text)
}

/** Runs it; the findings are those of all sections, as `severity: what`. */
async function preflight(only: string, env: Record<string, string> = {}) {
  const { code, stdout } = await bed.runScript('preflight', ['--only', only, '--json'], { env })
  const document = JSON.parse(stdout)
  const sections: { findings: PreflightFinding[]; facts: unknown }[] = document.result?.sections ?? []
  const told = sections.flatMap(({ findings }) =>
    findings.map(({ severity, what }) => `${severity}: ${what}`),
  )
  return { code, told: told.join('\n'), document, facts: sections[0]?.facts as ServerFacts }
}

test('a fresh server with 2 GB of memory: what it is, and that it is too small', async () => {
  await server.exec(['touch', '/run/before'])
  const { code, told, facts } = await preflight('server')
  assert.is(code, 3)
  assert.equal(
    [facts.os.id, facts.os.version, facts.hostname, facts.systemd],
    ['debian', '12', 'server1', true],
  )
  assert.match(facts.virtualisation, /nspawn/)
  assert.ok(facts.memory! > 1.9e9 && facts.memory! <= 2 ** 31, String(facts.memory))
  assert.match(told, /^error: the server has 2\.\d GB of memory; 12 GB are wanted/m)
  assert.match(told, /^error: \/ has 1\.\d GB free of \d/m)
  assert.match(told, /^warning: the server is a container/m)
  assert.not.match(told, /: port |Kubernetes runs|installation|minutes|not booted|hostname|cgroup/)
  // It looked, and left everything as it was but for what a login writes.
  const changed = await server.exec(['find', '/', '-xdev', '-newer', '/run/before', '-type', 'f'])
  assert.equal(
    changed.split('\n').filter(file => file && !/^\/(run|proc|sys|var\/log|var\/lib\/systemd)\//.test(file)),
    [],
  )
})

test('a user with sudo and a password sees the same', async () => {
  inventory('ann')
  const asRoot = await preflight('server', { OAS_SUDO_PASSWORD: 'pass word' })
  inventory('root')
  const asAnn = await preflight('server')
  assert.is(asAnn.told, asRoot.told)
})

test('everything that is in the way is told at once', async () => {
  const inTheWay = `set -e
    systemd-run --quiet --unit=nginx socat TCP-LISTEN:80,fork -
    systemd-run --quiet --unit=other socat TCP-LISTEN:6443,fork -
    systemd-run --quiet --unit=docker socat TCP-LISTEN:2375,bind=127.0.0.1,fork -
    systemd-run --quiet --unit=rke2-server sleep infinity
    mkdir -p /etc/ufw /var/lib/rancher/k3s /var/lib/OpenAppStack/local-storage/backup
    echo ENABLED=yes > /etc/ufw/ufw.conf
    mount -t tmpfs none /var/lib/OpenAppStack/local-storage/backup
    mount -t tmpfs -o noexec none /var/lib/rancher/k3s
    ip link add veth7 type veth peer name veth8 && ip addr add 10.42.7.1/24 dev veth7 && ip link set veth7 up
    echo my_server > /proc/sys/kernel/hostname
    printf 'Filename Type Size Used Priority\\n/swapfile file 1048572 0 -2\\n' > /run/swaps
    mount --bind /run/swaps /proc/swaps  # swap belongs to the kernel, which others use, too
    while ! ss -Hltn 'sport = 80 or sport = 6443' | grep -c . | grep -q 2; do sleep 0.1; done`
  await server.exec(['sh', '-c', inTheWay])
  const { code, told, document } = await preflight('server')
  assert.is(code, 3)
  for (const expected of [
    /^error: port 80\/tcp is in use by socat, and the ingress needs it$/m,
    /^error: port 6443\/tcp is in use by socat, and the API server needs it$/m,
    /^error: another Kubernetes runs on the server \(rke2-server\)$/m,
    /^error: \/var\/lib\/rancher\/k3s is mounted noexec/m,
    /^error: the server routes 10\.42\.7\.0\/24 to veth7/m,
    /^error: the server's hostname "my_server" cannot be the name of a node$/m,
    /^warning: docker runs on the server/m,
    /^warning: a web server runs on the server \(nginx\)/m,
    /^warning: the firewall ufw is on/m,
    /^warning: \/var\/lib\/OpenAppStack\/local-storage\/backup is mounted below the data/m,
    /^warning: the server swaps to \/swapfile/m,
  ])
    assert.match(told, expected)
  for (const { findings } of document.result.sections)
    for (const { fix } of findings as PreflightFinding[]) assert.ok(fix.length > 10, fix)
  // A reboot is the end of most of it; what is left is on the disk.
  await server.reset()
  await server.waitForBoot()
  await server.exec(['rm', '-r', '/etc/ufw'])
  const after = await preflight('server')
  assert.match(
    after.told,
    /^warning: an earlier installation left \/var\/lib\/rancher, \/var\/lib\/OpenAppStack$/m,
  )
  assert.not.match(after.told, /port|Kubernetes runs|noexec|routes|hostname|docker|nginx|ufw|swaps/)
  await server.exec(['rm', '-r', '/var/lib/rancher', '/var/lib/OpenAppStack'])
})

test("a server that is marked as another cluster's is refused, ours is not", async () => {
  const machineId = (await server.exec(['cat', '/etc/machine-id'])).trim()
  const mark = (cluster: string) => {
    const text = JSON.stringify({ cluster, domain: 'oas.example.test', machineId, markedAt: '2026-01-01' })
    return server.exec(['sh', '-c', 'mkdir -p /etc/openappstack; cat > /etc/openappstack/cluster.json'], {
      input: text,
    })
  }
  await mark('somebody')
  assert.match(
    (await preflight('server')).told,
    /^error: .* it is marked as the server of the cluster somebody/m,
  )
  await mark('oas')
  assert.not.match((await preflight('server')).told, /installation/)
  await server.exec(['rm', '-r', '/etc/openappstack'])
})

test('ports: refused by a server that is up, filtered by a line that is cut', async () => {
  const open = await preflight('ports')
  assert.equal([open.code, open.facts as unknown], [0, { 80: 'refused', 443: 'refused', 6443: 'refused' }])
  await bed.cut(server)
  try {
    const cut = await preflight('ports,server')
    assert.is(cut.code, 1) // the server could not be looked at, and the ports are told all the same
    assert.match(cut.told, /port 80, 443, 6443: packets vanish/)
    assert.match(cut.document.errors[0].message, 'does not answer')
  } finally {
    await bed.heal(server)
  }
})

test('when the line is cut in the middle, that is told, too', async () => {
  const firewall = (action: string) =>
    server.exec([
      'iptables',
      action,
      'OUTPUT',
      '-p',
      'tcp',
      '--sport',
      '22',
      '-m',
      'length',
      '--length',
      '1200:',
      '-j',
      'DROP',
    ])
  // The login goes through, the long answer with the facts does not.
  await firewall('-I')
  try {
    const { code, document } = await preflight('server')
    assert.is(code, 1)
    assert.match(document.errors[0].message, /was lost at|does not answer|was not done/)
  } finally {
    await firewall('-D')
  }
})

test.run()
