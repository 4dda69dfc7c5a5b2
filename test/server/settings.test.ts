/**
 * Settings of k3s from everywhere: drop-ins, the environment, the unit. What an administrator set before stays, what
 * the scripts cannot work with is refused before anything changes, and a node keeps its name.
 */
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { K3S } from '../../lib/k3s/k3s.ts'
import { kubeconfigAt } from '../../lib/k3s/kubeconfig.ts'
import { loadReleases } from '../../lib/k3s/releases.ts'
import { CGROUP_V1 } from '../bed/server/machine-disk.ts'
import { test } from '../suite.ts'
import { type Machine, type Outcome, ServerBed } from './harness.ts'

const NAME = 'one'
const DOMAIN = 'oas.example.org'
const DROP_IN = `${K3S.config}.d/50-own.yml`
const PASSPHRASE = 'a passphrase for the tests'

let bed: ServerBed
let server: Machine

test.before(async () => {
  bed = await ServerBed.start({ serve: false })
  server = bed.servers[0]!
  const args = [NAME, DOMAIN, '--ip-address', server.address, '--ssh-user', 'root']
  const made = await bed.runScript('create-cluster', [...args, '--admin-email', 'a@example.org', '--yes'])
  assert.is(made.code, 0, made.stderr)
  copyFileSync(bed.releases.list, join(bed.folder, NAME, 'releases.yaml'))
  process.env.OAS_AGE_PASSPHRASE = PASSPHRASE
})
test.after(() => bed?.stop())

const sh = (script: string) => server.exec(['sh', '-c', script], { timeout: 300_000 })
const script = (name: string, ...args: string[]): Promise<Outcome> =>
  bed.runScript(name, ['--cluster', NAME, ...args], { timeout: 900_000 })
const install = () => script('install-cluster', '--yes')
const nodes = async () =>
  (await server.exec(['k3s', 'kubectl', 'get', 'nodes', '-o', 'jsonpath={.items[*].metadata.name}'])).trim()
const config = async () => parse(await server.exec(['cat', K3S.config]))
const kubeconfig = () => join(bed.folder, NAME, 'kube_config_cluster.yml')
function succeeded(outcome: Outcome): Outcome {
  assert.is(outcome.code, 0, outcome.stderr)
  return outcome
}
function refused(outcome: Outcome, message: string): void {
  assert.is(outcome.code, 4, outcome.stderr)
  assert.match(outcome.stderr, message)
}

test('OpenRC, and data in another folder, are refused before anything is changed', async () => {
  await sh('install -m 0755 /dev/null /sbin/openrc-run')
  const openrc = await install()
  await sh('rm /sbin/openrc-run')
  assert.is(openrc.code, 1)
  assert.match(openrc.stderr, 'the server has OpenRC beside systemd')
  await server.write(DROP_IN, 'data-dir: /data/k3s\n')
  refused(await install(), `k3s keeps its data in /data/k3s (data-dir in ${DROP_IN})`)
  assert.is((await sh('ls /usr/local/bin/k3s /data 2>/dev/null || true')).trim(), '')
})

test('settings of a drop-in count: the node has its name there, and names and addresses stay', async () => {
  await server.write(
    DROP_IN,
    `node-name: Mine\ntls-san+: [api.example.org]\nbind-address: ${server.address}\n`,
  )
  succeeded(await install())
  assert.is(await nodes(), 'mine')
  assert.is((await config())['node-name'], undefined)
  assert.match(readFileSync(kubeconfig(), 'utf8'), `server: https://${server.address}:6443\n`)
  const names = await sh(
    `openssl s_client -connect ${server.address}:6443 </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName || true`,
  )
  if (names !== '') for (const name of ['api.example.org', DOMAIN]) assert.match(names, `DNS:${name}`)
  assert.match(succeeded(await install()).stderr, 'Nothing to do: mine is Ready')
})

test('a node keeps its name when its host gets another, and no setting may rename it', async () => {
  await server.write(DROP_IN, 'tls-san+: [api.example.org]\n')
  await sh('echo other > /etc/hostname; hostname other')
  succeeded(await install())
  assert.is((await config())['node-name'], 'mine')
  assert.is(await nodes(), 'mine')
  await server.write(DROP_IN, 'node-name: renamed\n')
  refused(await install(), 'k3s would rename the node mine of other to renamed')
  await server.write(DROP_IN, 'tls-san+: [api.example.org]\n')
})

test('data elsewhere are refused by backup and purge, too', async () => {
  await server.write(DROP_IN, 'data-dir: /data/k3s\n')
  refused(await script('backup-cluster-dir', '--passphrase', '--yes'), 'k3s keeps its data in /data/k3s')
  refused(await script('purge', '--confirm', NAME, '--discard-data'), 'k3s keeps its data in /data/k3s')
  assert.is((await sh(`systemctl is-active ${K3S.service}`)).trim(), 'active')
  await server.write(DROP_IN, 'tls-san+: [api.example.org]\n')
})

test('an archive brings settings, manifests and the name of the node to another host', async () => {
  await server.write(
    `${K3S.data}/server/manifests/own.yaml`,
    'apiVersion: v1\nkind: Namespace\nmetadata: { name: own }\n',
  )
  succeeded(await script('backup-cluster-dir', '--passphrase', '--yes'))
  const last = JSON.parse(readFileSync(join(bed.folder, NAME, 'backups', 'last.json'), 'utf8'))
  assert.ok(existsSync(last.file))

  await sh(`${K3S.uninstall}; echo third > /etc/hostname; hostname third`)
  await server.write(CGROUP_V1.path, CGROUP_V1.text)
  succeeded(await install())
  assert.is(await nodes(), 'third')
  const restored = succeeded(
    await script('backup-cluster-dir', '--restore', last.file, '--server', '--confirm', NAME),
  )
  assert.match(restored.stderr, 'mine is Ready')
  assert.match(await nodes(), /\bmine\b/)
  assert.is((await config())['node-name'], 'mine')
  assert.match(
    await sh(`cat ${DROP_IN} ${K3S.data}/server/manifests/own.yaml`),
    /api\.example\.org[\s\S]*name: own/,
  )
})

test('a k3s that somebody installed by its environment is adopted under the name of its node', async () => {
  await sh(
    `${K3S.uninstall}; rm -rf /etc/rancher ${K3S.data} /root/.kube; rm -f /etc/openappstack/cluster.json`,
  )
  await server.write(CGROUP_V1.path, CGROUP_V1.text)
  const { version } = (await loadReleases()).entries.k3s
  await sh(
    `curl -sfL https://get.k3s.io | INSTALL_K3S_VERSION=${version} K3S_NODE_NAME=kept K3S_TOKEN=of-before sh -`,
  )
  await sh('until k3s kubectl get node kept 2>/dev/null; do sleep 1; done')
  // Whoever adopts a cluster has its kubeconfig.
  const own = kubeconfigAt(await server.exec(['cat', K3S.kubeconfig]), server.address)!
  writeFileSync(kubeconfig(), own, { mode: 0o600 })
  succeeded(await install())
  assert.is(await nodes(), 'kept')
  assert.is((await config())['node-name'], 'kept')
  assert.match(await server.exec(['cat', '/etc/systemd/system/k3s.service.env']), "K3S_TOKEN='of-before'")
})

test.run()
