/**
 * backup-cluster-dir against a real server with the bed's k3s stand-in, which runs a real API server, kubelet and
 * containerd. Its datastore is etcd in the folder where k3s has its SQLite file.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { allOf, encryptTo } from '../../lib/age/age.ts'
import { K3S } from '../../lib/k3s/k3s.ts'
import { kubeconfigAt } from '../../lib/k3s/kubeconfig.ts'
import { sleep, until } from '../../lib/script/wait.ts'
import { K3S_COPY, writeArchive } from '../../scripts/backup-cluster-dir/archive.ts'
import { CGROUP_V1 } from '../bed/server/machine-disk.ts'
import { test } from '../suite.ts'
import { type Machine, type Outcome, type ScriptOptions, ServerBed } from './harness.ts'

const CLUSTER = 'oas.example.org'
const MARK = '/etc/openappstack/cluster.json'
const PASSWORD = 'correct horse; $(battery)'
const confirmed = ['--server', '--confirm', CLUSTER]

let bed: ServerBed
let server: Machine
let archive = ''
const keyFile = join(mkdtempSync(join(tmpdir(), 'oas-age-')), 'key.txt')
process.on('exit', () => rmSync(join(keyFile, '..'), { recursive: true, force: true }))
const recipient = () => execFileSync('age-keygen', ['-y', keyFile], { encoding: 'utf8' }).trim()
const folder = () => join(bed.folder, CLUSTER)
const kubeconfig = () => join(folder(), 'kube_config_cluster.yml')
const archives = () => readdirSync(join(folder(), 'backups')).filter(name => name.endsWith('.tar.age'))

/** Runs backup-cluster-dir. Nothing of what it says may hold a secret. */
async function run(args: readonly string[], options: ScriptOptions = {}): Promise<Outcome> {
  const outcome = await bed.runScript('backup-cluster-dir', ['--cluster', CLUSTER, ...args], options)
  for (const text of [outcome.stdout, outcome.stderr]) {
    assert.not.match(text, PASSWORD)
    assert.not.match(text, /AGE-SECRET-KEY-1[A-Z0-9]{50}|K10[0-9a-f]{64}/)
  }
  return outcome
}

async function installK3s(): Promise<void> {
  await server.write(CGROUP_V1.path, CGROUP_V1.text)
  await server.exec(['sh', '-c', 'curl -sfL https://get.k3s.io | sh -'], { timeout: 240_000 })
  await fetchKubeconfig()
  const machineId = await server.exec(['cat', '/etc/machine-id'])
  const mark = { cluster: CLUSTER, domain: CLUSTER, machineId, markedAt: new Date().toISOString() }
  await server.write(MARK, JSON.stringify(mark))
  await nodeReady()
}

async function fetchKubeconfig(): Promise<void> {
  const text = kubeconfigAt(await server.exec(['cat', K3S.kubeconfig]), server.address)!
  writeFileSync(kubeconfig(), text, { mode: 0o600 })
}

function kubectl(args: readonly string[], input?: string): Promise<string> {
  return server.exec(['k3s', 'kubectl', ...args], { input, timeout: 330_000 })
}

async function nodeReady(): Promise<void> {
  await until(
    async () => {
      const nodes = await kubectl(['get', 'nodes']).catch(String)
      return / Ready /.test(nodes) ? { done: true } : { last: nodes }
    },
    { deadline: 300_000, describe: last => last ?? '' },
  )
}

const isActive = () => server.exec(['sh', '-c', `systemctl is-active ${K3S.service} || true`])
const authority = () => server.exec(['sha256sum', `${K3S.data}/server/tls/server-ca.crt`])
const startedAt = () => server.exec(['systemctl', 'show', '-P', 'ActiveEnterTimestampMonotonic', K3S.service])
const note = async (text: string) =>
  kubectl(['create', 'configmap', 'note', `--from-literal=text=${text}`, '-o', 'name', '--save-config'])
const noted = () =>
  kubectl(['get', 'configmap', 'note', '-o', 'jsonpath={.data.text}']).catch(() => undefined)
const noCopyIsLeft = async () =>
  assert.is(await server.exec(['sh', '-c', 'ls /var/cache/openappstack-backup 2>/dev/null || true']), '')

test.before(async () => {
  execFileSync('age-keygen', ['-o', keyFile], { stdio: 'ignore' })
  bed = await ServerBed.start({ serve: false, user: { name: 'ann', password: PASSWORD } })
  server = bed.servers[0]!
  mkdirSync(folder())
  writeFileSync(join(folder(), '.flux.env'), `domain=${CLUSTER}\nip_address=${server.address}\n`)
  writeFileSync(
    join(folder(), 'inventory.yml'),
    `all:\n  hosts:\n    vps:\n      ansible_host: ${server.address}\n      ansible_user: ann\n`,
  )
  process.env.OAS_SUDO_PASSWORD = PASSWORD
  await installK3s()
})
test.after(() => bed?.stop())

test('an archive holds datastore, token and keys; k3s stands still for a moment, pods go on', async () => {
  await kubectl(
    ['apply', '-f', '-'],
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'web', namespace: 'default' },
      spec: { containers: [{ name: 'web', image: 'docker.io/library/nginx:1.29' }] },
    }),
  )
  await kubectl(['wait', '--for=condition=Ready', 'pod/web', '--timeout=300s'])
  const container = () => kubectl(['get', 'pod', 'web', '-o', 'jsonpath={.status.containerStatuses[0]}'])
  const { containerID, restartCount } = JSON.parse(await container())
  await note('of the archive')
  const before = await startedAt()
  const outcome = await run(['--recipient', recipient(), '--remember', '--yes'])
  assert.is(outcome.code, 0, outcome.stderr)
  assert.match(outcome.stderr, 'k3s is stopped for some seconds')
  assert.is.not(await startedAt(), before)
  await nodeReady()
  const after = JSON.parse(await container())
  assert.equal([after.containerID, after.restartCount], [containerID, restartCount])
  await noCopyIsLeft()
  archive = join(bed.folder, 'kept.tar.age')
  writeFileSync(archive, readFileSync(join(folder(), 'backups', archives()[0]!)))
  assert.is(JSON.parse(readFileSync(join(folder(), 'backups', 'last.json'), 'utf8')).server, true)

  const out = mkdtempSync(join(tmpdir(), 'oas-out-'))
  try {
    execFileSync('age', ['-d', '-i', keyFile, '-o', join(out, 'a.tar'), archive])
    execFileSync('tar', ['-xf', join(out, 'a.tar'), '-C', out])
    execFileSync('tar', ['-xf', join(out, K3S_COPY), '-C', out])
    const token = readFileSync(join(out, K3S.token), 'utf8')
    assert.is(token.trim(), await server.exec(['cat', K3S.token]))
    assert.ok(readdirSync(join(out, K3S.datastore)).length > 0)
    assert.ok(readdirSync(join(out, K3S.data, 'server', 'tls')).includes('server-ca.key'))
  } finally {
    rmSync(out, { recursive: true, force: true })
  }
})

test('killed or cut off while k3s stands still: k3s comes back by itself, and the next run completes', async () => {
  const begun = archives().length
  const standsStill = /2?1\. Copy of k3s/
  const killed = await run(['--yes'], { kill: text => (standsStill.test(text) ? 'SIGKILL' : undefined) })
  assert.is(killed.signal, 'SIGKILL')
  assert.is(archives().length, begun)
  await until(async () => ((await isActive()) === 'active' ? { done: true } : { last: await isActive() }), {
    deadline: 300_000,
    describe: last => last ?? '',
  })
  const again = await run(['--yes'])
  assert.is(again.code, 0, again.stderr)
  assert.is(archives().length, begun + 1)
  await noCopyIsLeft()

  let cutting: Promise<void> | undefined
  const cut = await run(['--yes'], {
    kill: text => {
      if (standsStill.test(text)) cutting ??= bed.cut(server)
      return undefined
    },
  })
  await cutting
  await bed.heal(server)
  assert.is.not(cut.code, 0)
  assert.is(archives().length, begun + 1)
  await until(async () => ((await isActive()) === 'active' ? { done: true } : { last: await isActive() }), {
    deadline: 300_000,
    describe: last => last ?? '',
  })
  // The server gives the lock of the run that was cut off back a minute after its last sign of life.
  let healed = await run(['--yes'])
  for (let i = 0; i < 15 && healed.code === 75; i++) {
    await sleep(6000)
    healed = await run(['--yes'])
  }
  assert.is(healed.code, 0, healed.stderr)
  await noCopyIsLeft()
})

test('interrupted while it archives: no copy of the keys stays on the server', async () => {
  const begun = archives().length
  const stopped = await run(['--yes'], { kill: text => (/2\. Archive/.test(text) ? 'SIGINT' : undefined) })
  assert.is(stopped.code, 130, stopped.stderr)
  assert.is(archives().length, begun)
  await noCopyIsLeft()
})

test('another server than that of the cluster is refused before anything happens on it', async () => {
  const mark = await server.exec(['cat', MARK])
  await server.write(MARK, mark.replaceAll(CLUSTER, 'other.example.org'))
  const before = await startedAt()
  for (const args of [['--yes'], ['--restore', archive, '--identity', keyFile, ...confirmed]]) {
    const refused = await run(args)
    assert.is(refused.code, 4, refused.stderr)
    assert.match(refused.stderr, 'it is marked as the server of the cluster other.example.org')
  }
  assert.is(await startedAt(), before)
  await server.write(MARK, mark)
})

test('disaster: k3s is gone and installed anew; the archive brings the objects and the old keys back', async () => {
  const before = await authority()
  await server.exec([K3S.uninstall], { timeout: 180_000 })
  await installK3s()
  assert.is.not(await authority(), before)
  assert.is(await noted(), undefined)
  const args = ['--restore', archive, '--identity', keyFile]

  const unasked = await run([...args, '--server', '--yes'])
  assert.is(unasked.code, 2, '--yes is not enough')
  assert.match(unasked.stderr, `give --confirm ${CLUSTER}`)
  const wrong = await run([...args, '--server', '--confirm', 'oas.example.com'])
  assert.is(wrong.code, 4)
  const dry = await run([...args, ...confirmed, '--dry-run'])
  assert.is(dry.code, 0)
  assert.is(await noted(), undefined)

  const restored = await run([...args, ...confirmed])
  assert.is(restored.code, 0, restored.stderr)
  await nodeReady()
  assert.is(await noted(), 'of the archive')
  assert.is(await authority(), before)
  await noCopyIsLeft()
  // The kubeconfig of the folder is that of the restored cluster.
  const nodes = await bed.runScript('status', ['--cluster', CLUSTER, '--json'])
  assert.not.match(nodes.stderr, /certificate|Unauthorized/)
  // The pod of the archive runs again.
  await kubectl(['wait', '--for=condition=Ready', 'pod/web', '--timeout=300s'])
})

test('killed while it restores: the next run completes', async () => {
  await kubectl(['delete', 'configmap', 'note'])
  const args = ['--restore', archive, '--identity', keyFile, ...confirmed]
  const killed = await run(args, { kill: text => (/2\. State of k3s/.test(text) ? 'SIGKILL' : undefined) })
  assert.is(killed.signal, 'SIGKILL')
  const again = await run(args)
  assert.is(again.code, 0, again.stderr)
  await nodeReady()
  assert.is(await noted(), 'of the archive')
  await noCopyIsLeft()
})

test('a state with which k3s does not come up is undone: what was there comes back', async () => {
  const base = mkdtempSync(join(tmpdir(), 'oas-bad-'))
  const db = join(base, K3S.datastore)
  mkdirSync(join(db, 'etcd', 'member', 'snap'), { recursive: true })
  writeFileSync(join(db, 'etcd', 'member', 'snap', 'db'), 'no datastore')
  writeFileSync(join(base, K3S.token), 'K10nonsense\n')
  execFileSync('tar', ['-C', base, '-cf', join(base, 'k3s.tar'), K3S.datastore.slice(1), K3S.token.slice(1)])
  const copy = readFileSync(join(base, 'k3s.tar'))
  const about = { cluster: CLUSTER, createdAt: new Date().toISOString() }
  const version = /v\d\S+/.exec(await server.exec(['k3s', '--version']))![0]
  const content = writeArchive({ ...about, server: { name: 'vps', k3s: version } }, [
    { path: K3S_COPY, mode: 0o600, size: copy.length, content: [copy] },
  ])
  const bad = join(base, 'bad.tar.age')
  writeFileSync(bad, await allOf(encryptTo({ recipients: [recipient()] }, content)))
  const [before, token] = [await authority(), await server.exec(['cat', K3S.token])]
  const refused = await run(['--restore', bad, '--identity', keyFile, ...confirmed], { timeout: 400_000 })
  rmSync(base, { recursive: true, force: true })
  assert.is(refused.code, 1)
  assert.match(refused.stderr, 'restoring k3s on ')
  await nodeReady()
  assert.is(await noted(), 'of the archive')
  assert.equal([await authority(), await server.exec(['cat', K3S.token])], [before, token])
})

test.run()
