/** The node of the bed, under k3s' face: the stand-in behaves as the tests of the scripts take for granted. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { ROOT } from '../../lib/script/files.ts'
import { sleep } from '../../lib/script/wait.ts'
import { suite } from '../suite.ts'
import { type Machine, ServerBed } from './harness.ts'

const test = suite('node')
const PINNED = 'v1.36.4+k3s1'
const NEWER = 'v1.36.5+k3s1'
let bed: ServerBed
let server: Machine
let other: Machine

test.before(async () => {
  bed = await ServerBed.start({ servers: 2, serve: false, progress: text => console.log(text) })
  server = bed.servers[0]!
  other = bed.servers[1]!
})

test.after(() => bed?.stop())

const sh = (script: string, machine = server) => machine.exec(['sh', '-c', script], { timeout: 330_000 })
const install = (variables: string, machine = server) =>
  sh(`curl -sfL https://get.k3s.io | ${variables} sh -`, machine)
const kubectl = (args: string, machine = server) => sh(`kubectl ${args}`, machine)

/** Repeats until it does not throw. Throws the last failure after five minutes. */
async function eventually<T>(what: () => Promise<T>): Promise<T> {
  for (const end = Date.now() + 300_000; ; await sleep(500))
    try {
      return await what()
    } catch (error) {
      if (Date.now() > end) throw error
    }
}

/** What is behind a port of the server, seen from our side. It is waited for: rules of a port may be just coming. */
const get = (port: number) =>
  eventually(() => bed.run('curl', ['-sf', '--max-time', '10', `http://10.77.0.2:${port}/`]))
const names = async () =>
  await bed.run('sh', [
    '-c',
    'openssl s_client -connect 10.77.0.2:6443 </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName',
  ])

test('a release whose checksum is wrong, which is cut short or not there, is not installed', async () => {
  const file = `github.com/k3s-io/k3s/releases/download/${PINNED}/k3s`
  for (const [fault, message] of [
    [{ damaged: true }, /Download sha256 does not match/],
    [{ cutAfter: 1_000_000 }, /Download failed/],
    [{ status: 404 }, /Download failed/],
  ] as const) {
    bed.setFaults({ [file]: fault })
    const said = await sh(
      `curl -sfL https://get.k3s.io | INSTALL_K3S_VERSION=${PINNED} sh - 2>&1 || [ ! -e /usr/local/bin/k3s ]`,
    )
    assert.match(said, message)
  }
  bed.setFaults({})
})

test('the installer installs the pinned release, and the node becomes ready', async () => {
  await sh(
    'mkdir -p /etc/rancher/k3s && cat >/etc/rancher/k3s/config.yaml <<EOF\ntls-san: [one.example.org]\ndisable: [traefik, local-storage, metrics-server]\nno-such-key: 1\nEOF',
  )
  await install(`INSTALL_K3S_VERSION=${PINNED}`)
  assert.match(await sh('k3s --version'), /^k3s version v1\.36\.4\+k3s1 \(stand-in\)\n/)
  await eventually(() => kubectl('wait --for=condition=Ready node/server1 --timeout=1s'))
  assert.is(
    await kubectl(
      "get node server1 -o 'jsonpath={.status.nodeInfo.kubeletVersion} {.status.addresses[0].address}'",
    ),
    `${PINNED} 10.77.0.2`,
  )
  assert.match(await sh('journalctl -u k3s'), /Unknown flag --no-such-key found in config\.yaml, skipping/)
  assert.is(await sh('stat -c %a /etc/rancher/k3s/k3s.yaml'), '600')
  assert.match(await sh('cat /var/lib/rancher/k3s/server/token'), /^K10[0-9a-f]{64}::server:[0-9a-f]+$/)
  const [hash] = (await bed.run('sh', ['-c', 'curl -sfk https://10.77.0.2:6443/cacerts | sha256sum'])).split(
    ' ',
  )
  assert.match(await sh('cat /var/lib/rancher/k3s/server/node-token'), `K10${hash}::`)
})

test('port 6443 lets nobody in without a certificate, and gains the names of tls-san', async () => {
  const status = ['-sk', '-o', '/dev/null', '-w', '%{http_code}']
  assert.is(await bed.run('curl', [...status, 'https://10.77.0.2:6443/api']), '401')
  // Whoever says so himself is not believed.
  const lie = ['-H', 'X-Remote-User: system:admin', '-H', 'X-Remote-Group: system:masters']
  assert.is(await bed.run('curl', [...status, ...lie, 'https://10.77.0.2:6443/api']), '401')
  assert.match(await names(), 'DNS:one.example.org')
  await sh(
    "sed -i 's/one.example.org/two.example.org/' /etc/rancher/k3s/config.yaml && systemctl restart k3s",
  )
  const after = await eventually(async () => {
    const found = await names()
    assert.match(found, 'DNS:two.example.org')
    return found
  })
  assert.match(after, 'DNS:one.example.org')
  assert.match(after, 'IP Address:10.77.0.2')
})

test('a pod runs on a volume, and answers behind a NodePort and a LoadBalancer', async () => {
  const objects = readFileSync(join(ROOT, 'test/server/node-objects.yaml'), 'utf8')
  await server.exec(['kubectl', 'apply', '--filename=-'], { input: objects })
  await kubectl('rollout status deployment/web --timeout=300s')
  assert.is((await get(30080)).split('\n').length, 1)
  await get(8000)
  assert.match(await sh('cat /var/lib/volumes/pvc-*/index.html'), await get(30080))
  // By the gateway to the kubelet, and by the cluster's DNS.
  assert.match(
    await eventually(() => kubectl('exec deploy/web -- wget -qO- http://web.default.svc.cluster.local/')),
    await get(30080),
  )
  await kubectl('logs deploy/provisioner')
})

test('an image that nobody has leaves its pod waiting', async () => {
  await kubectl('run lost --image=registry.invalid/lost:1')
  await eventually(async () =>
    assert.match(
      await kubectl('get pod lost -o jsonpath={.status.containerStatuses[0].state.waiting.reason}'),
      /ImagePullBackOff|ErrImagePull/,
    ),
  )
  await kubectl('delete pod lost --wait=false')
})

test('containers go on while the service is stopped', async () => {
  const before = await get(30080)
  await sh('systemctl stop k3s')
  assert.is(await get(30080), before)
  await sh('systemctl start k3s')
  await eventually(() => kubectl('get node server1'))
  assert.is(await get(30080), before)
})

test('after a reboot everything comes back', async () => {
  const boot = await server.bootId()
  await sh('systemctl reboot').catch(() => {})
  await server.waitForBoot({ after: boot })
  await eventually(async () => assert.is((await get(30080)).split('\n').length, 2))
  await kubectl('wait --for=condition=Ready node/server1 --timeout=300s')
})

test('another server joins as an agent, and its pods are reached', async () => {
  const token = await sh('cat /var/lib/rancher/k3s/server/node-token')
  await install(`INSTALL_K3S_VERSION=${PINNED} K3S_URL=https://10.77.0.2:6443 K3S_TOKEN='${token}'`, other)
  await eventually(() => kubectl('wait --for=condition=Ready node/server2 --timeout=1s'))
  await kubectl(`run far --image=docker.io/library/any:1 --overrides='{"spec":{"nodeName":"server2"}}'`)
  await kubectl('wait --for=condition=Ready pod/far --timeout=300s')
  const address = await kubectl('get pod far -o jsonpath={.status.podIP}')
  const answer = await eventually(() => sh(`curl -sf --max-time 10 http://${address}/`))
  assert.match(answer, 'stand-in for docker.io/library/any:1')
  await kubectl('delete pod far --wait=false')
})

test('the installer upgrades to the newest release of the channel', async () => {
  await install('INSTALL_K3S_CHANNEL=stable')
  await eventually(async () =>
    assert.is(await kubectl('get node server1 -o jsonpath={.status.nodeInfo.kubeletVersion}'), NEWER),
  )
  await get(30080)
})

test('a start that fails tells why', async () => {
  await sh('cp /etc/rancher/k3s/config.yaml /root && echo "node-ip: nonsense" >>/etc/rancher/k3s/config.yaml')
  assert.match(await sh('systemctl restart k3s 2>&1 || true'), 'Job for k3s.service failed')
  assert.match(await sh('journalctl -u k3s -n 20'), 'invalid node-ip nonsense')
  await sh('mv /root/config.yaml /etc/rancher/k3s/ && systemctl restart k3s')
})

test('k3s-killall.sh ends everything, and k3s-uninstall.sh leaves nothing', async () => {
  await sh('k3s-killall.sh >/dev/null 2>&1')
  const processes = await sh('ps -e -o args=')
  assert.not.match(processes, /containerd|kube|httpd|pause/)
  assert.is(await sh('grep -cE " /run/k3s| /var/lib/kubelet| /run/netns" /proc/mounts || true'), '0')
  assert.is(await sh('iptables-save | grep -c KUBE || true'), '0')
  await sh('k3s-uninstall.sh >/dev/null 2>&1')
  const left = [
    '/usr/local/bin/k3s*',
    '/usr/local/bin/kubectl',
    '/etc/systemd/system/k3s*',
    '/etc/rancher/k3s',
  ]
  assert.is(
    await sh(`ls -d ${left.join(' ')} /var/lib/rancher/k3s /var/lib/kubelet /run/k3s 2>/dev/null || true`),
    '',
  )
  // As upstream's: what is the node's identity stays.
  await sh('test -s /etc/rancher/node/password')
})

test('images from a folder are enough where there is no internet', async () => {
  const folder = `/var/lib/rancher/k3s/agent/images`
  const file = `https://github.com/k3s-io/k3s/releases/download/${encodeURIComponent(PINNED)}/k3s-airgap-images-amd64.tar.zst`
  await sh(`mkdir -p ${folder} && cd ${folder} && curl -sfLO ${file}`)
  bed.setFaults({ 'registry-1.docker.io': { status: 503 } })
  await install(`INSTALL_K3S_VERSION=${PINNED}`)
  await eventually(() => kubectl('-n kube-system rollout status deployment/coredns --timeout=1s'))
})

test.run()
