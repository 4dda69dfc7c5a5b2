/**
 * `sandbox.ts up --server --online` as a user runs it, on a machine that is a network namespace, against another one
 * that plays the internet: nobody outside is contacted.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import * as assert from 'uvu/assert'
import { ROOT } from '../../lib/script/files.ts'
import { until } from '../../lib/script/wait.ts'
import { run } from '../bed/build/shell.ts'
import { serversLayoutOf } from '../bed/cluster/layout.ts'
import { issueServing } from '../bed/cluster/pki.ts'
import type { Machine } from '../bed/server/machine.ts'
import { inNetwork } from '../bed/server/machine-network.ts'
import { bedName, machinesOf } from '../bed/server/machines.ts'
import { runScript } from '../harness-script.ts'
import { suite } from '../suite.ts'

const test = suite('online')
const folder = mkdtempSync(join(tmpdir(), 'oas-online-'))
/** The namespace that is this machine, and the one that is the internet. */
const HERE = `oas-here-${process.pid}`
const OUTSIDE = `oas-outside-${process.pid}`
const INTERNET = '100.64.0.1'
const WEB = '100.64.1.1'
let internet: ChildProcess
let server: Machine

const sandbox = (...args: string[]) =>
  runScript('sandbox', args, {
    within: ['nsenter', `--net=/run/netns/${HERE}`, '--'],
    env: { OAS_CLUSTERS_DIR: folder },
    timeout: 900_000,
  })
const up = (...args: string[]) => sandbox('up', '--server', '--worktree', ...args)
const rules = async () => {
  const mark = bedName(serversLayoutOf('sandbox'))
  const texts = await Promise.all(
    ['nat', 'filter'].map(table => inNetwork(HERE, 'iptables', ['--wait', '-t', table, '--list-rules'])),
  )
  return texts.flatMap(text => text.split('\n').filter(line => line.includes(mark)))
}
/** What a server says, or `exit code N`. */
const says = (...command: string[]) =>
  server.exec(['sh', '-c', '"$@" 2>&1 || echo "exit code $?"', 'sh', ...command], { timeout: 60_000 })
const visit = (address: string) => says('curl', '--silent', '--show-error', '--max-time', '20', address)

function startInternet(): void {
  const args = [`--address=${INTERNET}`, `--web=${WEB}`, `--folder=${folder}`]
  internet = spawn(
    'nsenter',
    [
      ...[`--net=/run/netns/${OUTSIDE}`, '--', process.execPath, '--import', 'tsx'],
      ...[join('test/server/internet.ts'), ...args],
    ],
    { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] },
  )
}

test.before(async () => {
  process.env.OAS_CLUSTERS_DIR = folder
  const { certificate, key } = await issueServing(['github.com'])
  writeFileSync(join(folder, 'serving.crt'), certificate)
  writeFileSync(join(folder, 'serving.key'), key)
  for (const name of [HERE, OUTSIDE]) await run('ip', ['netns', 'add', name])
  const ip = (netns: string, commands: string[]) =>
    run('ip', ['-n', netns, '-batch', '-'], { input: `${commands.join('\n')}\n` })
  await ip(HERE, [
    'link set lo up',
    `link add out type veth peer name in netns ${OUTSIDE}`,
    'address add 100.64.0.2/30 dev out',
    'link set out up',
    `route add default via ${INTERNET}`,
  ])
  await ip(OUTSIDE, [
    'link set lo up',
    `address add ${INTERNET}/30 dev in`,
    'link set in up',
    `address add ${WEB}/32 dev lo`,
  ])
  startInternet()
  await until(async () => (existsSync(join(folder, 'ready')) ? { done: true } : { last: undefined }), {
    deadline: 60_000,
    describe: () => 'the internet does not start',
  })
  const { code, stderr } = await up('--online', '--name-server', INTERNET)
  assert.is(code, 0, stderr)
  assert.match(stderr, 'they reach the internet through this machine, and nothing stands in for it')
  assert.not.match(stderr, 'releases.yaml')
  server = machinesOf(serversLayoutOf('sandbox'))[0]!
})

test.after(async () => {
  await sandbox('reset', '--server', '--confirm', 'sandbox')
  internet?.kill()
  for (const name of [HERE, OUTSIDE]) await run('ip', ['netns', 'delete', name]).catch(() => {})
  rmSync(folder, { recursive: true, force: true })
})

test('a server reaches the internet by name, under the address of this machine', async () => {
  const { host, from } = JSON.parse(await visit('http://github.com/')) as Record<string, string>
  assert.is(host, 'github.com')
  assert.match(from!, '100.64.0.2')
})

test('names: one that does not exist, and one whose answer needs TCP', async () => {
  assert.match(await visit('http://nothing.invalid/'), 'Could not resolve host')
  const many = await says('getent', 'ahostsv4', 'many.example.org')
  assert.match(many, WEB)
})

test('nothing stands in for the internet', async () => {
  assert.not.match(await says('cat', '/etc/hosts'), /github|k3s|docker/)
  assert.match(await visit('https://10.77.0.1/'), 'exit code 7')
  assert.match(await says('ls', '/opt/node'), 'No such file')
  assert.match(await says('ls', '/usr/local/share/ca-certificates'), /^$/)
  // Who plays github.com here is refused: no authority of ours is trusted.
  assert.match(await visit('https://github.com/k3s-io/k3s'), 'exit code 60')
  assert.match(readFileSync(join(folder, 'asked'), 'utf8'), 'github.com')
})

test('install-cluster asks for the real k3s at its real address, and takes it from nobody else', async () => {
  const home = mkdtempSync(join(folder, 'home-'))
  mkdirSync(join(home, '.ssh'), { mode: 0o700 })
  for (const file of [server.keyFile, server.knownHosts])
    copyFileSync(file, join(home, '.ssh', basename(file)))
  const script = (name: string, ...args: string[]) =>
    runScript(name, [...args, '--yes'], {
      within: ['nsenter', `--net=/run/netns/${HERE}`, '--'],
      env: { OAS_CLUSTERS_DIR: folder, HOME: home, SSH_AUTH_SOCK: undefined },
      timeout: 600_000,
    })
  const args = ['practice', 'oas.example.org', '--ip-address', server.address]
  const created = await script('create-cluster', ...args, '--admin-email', 'a@example.org')
  assert.is(created.code, 0, created.stderr)
  rmSync(join(folder, 'asked'))
  const { code, stderr } = await script('install-cluster', '--cluster', 'practice')
  assert.is(code, 1, stderr)
  assert.match(stderr, /certificate/i)
  assert.match(readFileSync(join(folder, 'asked'), 'utf8'), 'github.com')
  assert.match(await says('sh', '-c', 'command -v k3s || echo none'), 'none')
})

test("the checkout's repository is served, the charts are not", async () => {
  const refs = 'http://10.77.0.1:7780/openappstack.git/info/refs?service=git-upload-pack'
  assert.match(await visit(refs), 'refs/heads/main')
  assert.match(await says('curl', '--silent', '--fail', 'http://10.77.0.1:7780/charts/index.yaml'), '22')
})

test('the way out stays over a reboot and a second up, whose rules do not add up', async () => {
  const before = await rules()
  assert.is(before.length, 5)
  const boot = await server.bootId()
  await server.exec(['systemctl', 'reboot']).catch(() => {})
  await until(
    async () => {
      const now = await server.bootId()
      return now && now !== boot ? { done: true } : { last: now }
    },
    { deadline: 120_000, describe: () => 'the server does not reboot' },
  )
  const { code, stderr } = await up()
  assert.is(code, 0, stderr)
  assert.match(stderr, 'they reach the internet through this machine')
  assert.equal(await rules(), before)
  assert.match(await visit('http://get.k3s.io/'), '100.64.0.2')
})

test('without a name server the answer is an error at once, and comes back with it', async () => {
  internet.kill()
  await until(
    async () => (internet.exitCode !== null || internet.signalCode ? { done: true } : { last: undefined }),
    {
      deadline: 60_000,
      describe: () => 'the internet does not end',
    },
  )
  assert.match(await visit('http://github.com/'), /Could not resolve host|Temporary failure/)
  startInternet()
  await until(
    async () => {
      const answer = await visit('http://github.com/')
      return answer.includes('100.64.0.2') ? { done: true } : { last: answer }
    },
    { deadline: 120_000, describe: String },
  )
})

test('down removes the rules; servers with stand-ins do not become such with a way out', async () => {
  assert.is((await sandbox('down', '--server')).code, 0)
  assert.equal(await rules(), [])
  assert.is((await sandbox('reset', '--server', '--confirm', 'sandbox')).code, 0)
  assert.not.ok(existsSync(serversLayoutOf('sandbox').state))
  for (const args of [
    ['up', '--online'],
    ['up', '--server', '--online', '--charts', folder],
    ['up', '--server', '--name-server', INTERNET],
    ['up', '--server', '--online', '--name-server', 'x`y'],
    ['down', '--server', '--online'],
  ])
    assert.is((await sandbox(...args)).code, 2, args.join(' '))
})

test.run()
