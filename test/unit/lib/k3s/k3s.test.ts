import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { K3S } from '../../../../lib/k3s/k3s.ts'
import { kubeconfigAt } from '../../../../lib/k3s/kubeconfig.ts'
import { artifactsOf, loadReleases } from '../../../../lib/k3s/releases.ts'
import { serviceVariables } from '../../../../lib/k3s/unit.ts'
import { compareK3s, versionIn } from '../../../../lib/k3s/version.ts'
import { ExpectedError } from '../../../../lib/script/errors.ts'
import { nodeNameFor } from '../../../../lib/server/node-name.ts'
import { parseFacts } from '../../../../lib/server/reader.ts'
import {
  agentConfig,
  editK3sConfig,
  installerVariables,
  secretsIn,
  serverConfig,
  unitArgs,
  unitVariables,
  withMoved,
} from '../../../../scripts/install-cluster/config.ts'
import { diffLines } from '../../../../scripts/install-cluster/diff.ts'
import {
  hasVersion,
  type K3sFacts,
  k3sFactsOf,
  k3sQuestions,
} from '../../../../scripts/install-cluster/facts.ts'
import { planHost, type WantedHost } from '../../../../scripts/install-cluster/plan.ts'
import { readiness, runnerText, savedFolder } from '../../../../scripts/install-cluster/run.ts'
import { WAY_OUT, wayOutProblems } from '../../../../scripts/install-cluster/way-out.ts'
import { said as reply } from '../server/said.ts'

const wanted = serverConfig({ name: 'oas', domain: 'oas.example.org', address: '203.0.113.7' })

/** The ExpectedError of `work`. */
async function refusal(work: () => unknown): Promise<ExpectedError> {
  try {
    await work()
  } catch (error) {
    if (error instanceof ExpectedError) return error
    throw error
  }
  return assert.unreachable('nothing was thrown') as never
}

function refusalOf(work: () => unknown): ExpectedError {
  try {
    work()
  } catch (error) {
    if (error instanceof ExpectedError) return error
    throw error
  }
  return assert.unreachable('nothing was thrown') as never
}

// config.yaml

test('a new config.yaml holds what k3s needs to know, and a second look changes nothing', async () => {
  const text = await editK3sConfig('', wanted)
  assert.equal(parse(text), {
    'write-kubeconfig-mode': '0600',
    'node-name': 'oas',
    'tls-san': ['oas.example.org', '203.0.113.7'],
    disable: ['traefik', 'local-storage'],
  })
  assert.is(await editK3sConfig(text, wanted), text)
})

test("comments, unknown keys and further values of the administrator's config.yaml stay", async () => {
  const text = `# mine
node-name: old-name # of before
kubelet-arg: [max-pods=200]
tls-san:
  - api.example.org # the balancer
disable: servicelb,traefik
write-kubeconfig-mode: 0644
`
  const edited = await editK3sConfig(text, wanted)
  assert.match(edited, '# mine')
  assert.match(edited, '# the balancer')
  assert.equal(parse(edited), {
    'node-name': 'old-name',
    'kubelet-arg': ['max-pods=200'],
    'tls-san': ['api.example.org', 'oas.example.org', '203.0.113.7'],
    disable: ['servicelb', 'traefik', 'local-storage'],
    'write-kubeconfig-mode': '0600',
  })
  assert.is(await editK3sConfig(edited, wanted), edited)
})

test('a mode without quotes is the same mode', async () => {
  const text = (await editK3sConfig('', wanted)).replace('"0600"', '0600').replace("'0600'", '0600')
  assert.is(await editK3sConfig(text, wanted), text)
})

test('whatever is in a config.yaml, editing it twice is editing it once, and nothing gets lost', async () => {
  const key = fc.constantFrom('tls-san', 'disable', 'node-name', 'kubelet-arg', 'x')
  const value = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.array(fc.string(), { maxLength: 3 }),
    fc.constant(null),
  )
  await fc.assert(
    fc.asyncProperty(fc.dictionary(key, value), async config => {
      const { stringify } = await import('yaml')
      const once = await editK3sConfig(stringify(config), wanted)
      assert.is(await editK3sConfig(once, wanted), once)
      const after = parse(once)
      for (const name of ['kubelet-arg', 'x']) assert.equal(after[name], config[name])
      for (const name of wanted.include['tls-san']!) assert.ok(after['tls-san'].includes(name))
    }),
    { numRuns: 100 },
  )
})

test('what is no configuration is refused', async () => {
  for (const text of ['- a\n', 'a: [\n', 'just words\n']) {
    const error = await refusal(() => editK3sConfig(text, wanted))
    assert.is(error.exitCode, 4)
    assert.match(error.message, /config\.yaml on the server is/)
  }
})

test('keys that add stay, and drop-ins count', async () => {
  const names = ['oas.example.org', '203.0.113.7']
  const adding = await editK3sConfig('tls-san+: [api.example.org]\nnode-name: a\n', wanted)
  assert.equal(parse(adding)['tls-san+'], ['api.example.org', ...names])
  assert.is(parse(adding)['tls-san'], undefined)
  assert.is(await editK3sConfig(adding, wanted), adding)

  const dropIn = (text: string) => [{ path: `${K3S.config}.d/x.yml`, text }]
  const others = 'write-kubeconfig-mode: "0600"\ndisable: [traefik, local-storage]\n'
  // It has everything, or adds to config.yaml, or names the node.
  const complete = dropIn(`${others}tls-san: [${names}]\nnode-name: a\n`)
  assert.is(await editK3sConfig('', wanted, complete), '')
  const more = dropIn('tls-san+: [api.example.org]\nnode-name: a\n')
  assert.equal(parse(await editK3sConfig('', wanted, more)), {
    'write-kubeconfig-mode': '0600',
    'tls-san': names,
    disable: ['traefik', 'local-storage'],
  })
  for (const text of ['tls-san: [x]\n', 'disable: servicelb\n', 'write-kubeconfig-mode: "0644"\n']) {
    const error = await refusal(() => editK3sConfig('', wanted, dropIn(text)))
    assert.is(error.exitCode, 4)
    assert.match(error.message, 'config.yaml.d/x.yml on the server overrides')
  }
})

test('an agent joins by a token in a file', async () => {
  const text = await editK3sConfig('', agentConfig({ name: 'two', server: '2001:db8::7' }))
  assert.equal(parse(text), {
    server: 'https://[2001:db8::7]:6443',
    'token-file': '/etc/rancher/k3s/agent-token',
    'node-name': 'two',
  })
})

// The unit of an earlier installation

const unit = `[Service]
Type=notify
ExecStart=/usr/local/bin/k3s \\
    server \\
	'--disable' \\
	'traefik' \\
	'--tls-san=a.example.org,b.example.org' \\
	'--kubelet-arg=max-pods=200' \\
	'--node-label' \\
	'a=b c'"'"'d' \\
	'--node-name=one' \\

KillMode=process
`

test('flags of an earlier installation are kept, and those that config.yaml has move there', async () => {
  const args = unitArgs(unit, 'server')
  assert.equal(args.keep, ['--kubelet-arg=max-pods=200', '--node-label', "a=b c'd"])
  const merged = withMoved(wanted, args)
  assert.equal(parse(await editK3sConfig('', merged)), {
    'write-kubeconfig-mode': '0600',
    'node-name': 'one',
    'tls-san': ['oas.example.org', '203.0.113.7', 'a.example.org', 'b.example.org'],
    disable: ['traefik', 'local-storage'],
  })
  assert.equal(unitArgs('', 'server'), { keep: [], move: {} })
  assert.equal(unitArgs('ExecStart=/usr/local/bin/k3s \\\n    server \\\n\n', 'server').keep, [])
  assert.is((await refusal(() => unitArgs(unit, 'agent'))).exitCode, 4)
})

test('variables of an earlier installation are kept', () => {
  const env = `K3S_TOKEN='a b'\nK3S_NODE_NAME="x"\nOTHER=1\nhttps_proxy='http://10.0.0.1:3128'\n#K3S_NO=1\n`
  assert.equal(unitVariables(env), {
    K3S_TOKEN: 'a b',
    K3S_NODE_NAME: 'x',
    https_proxy: 'http://10.0.0.1:3128',
  })
})

test('a variable that the installer would change is refused', async () => {
  // install.sh, create_env_file: `sh -c export | while read x v; do echo $v; done`
  const through = (value: string) =>
    spawnSync('sh', ['-c', 'sh -c export | while read x v; do echo $v; done | grep ^K3S_'], {
      encoding: 'utf8',
      env: { K3S_TOKEN: value },
    }).stdout
  for (const value of ['a  b', 'a\tb', 'a\\b']) {
    assert.is.not(serviceVariables([], [{ path: '', text: through(value) }]).K3S_TOKEN, value)
    assert.is((await refusal(() => unitVariables(`K3S_TOKEN='${value}'\n`))).exitCode, 4)
  }
  for (const value of ['a b', ' a ', 'a;b|c', '$x', '*'])
    assert.is(serviceVariables([], [{ path: '', text: through(value) }]).K3S_TOKEN, value)
})

test('secrets of the configuration and the environment are known, so that no diff shows them', async () => {
  const config = 'token: abc-def-ghi\ntoken-file: /etc/x\netcd-s3-secret-key: s3-secret\nnode-name: a\n'
  const env = "K3S_TOKEN='from-env'\nK3S_AGENT_TOKEN=other\nK3S_NODE_NAME=a\n"
  assert.equal((await secretsIn(config, env)).sort(), ['abc-def-ghi', 'from-env', 'other', 's3-secret'])
  assert.equal(await secretsIn('a: [', ''), [])
})

// Versions

test('versions are ordered, also by the number of the release', () => {
  const order = [
    'v1.35.9+k3s2',
    'v1.36.0-rc1+k3s1',
    'v1.36.0+k3s1',
    'v1.36.0+k3s2',
    'v1.36.4+k3s1',
    'v1.36.10+k3s1',
  ]
  for (const [i, a] of order.entries())
    for (const [j, b] of order.entries())
      assert.is(Math.sign(compareK3s(a, b)), Math.sign(i - j), `${a} ${b}`)
  assert.throws(() => compareK3s('1.36.4', 'v1.36.4+k3s1'), /not a version of k3s/)
})

test('the version is found in what k3s says', () => {
  assert.is(versionIn('k3s version v1.36.4+k3s1 (0136cf25)\ngo version go1.26'), 'v1.36.4+k3s1')
  assert.is(versionIn('k3s: not found'), undefined)
})

test('a tool has its version only when it says exactly that', () => {
  assert.ok(hasVersion('flux: v2.9.5', 'v2.9.5'))
  assert.ok(hasVersion('v4.2.4+g1234', 'v4.2.4'))
  assert.ok(hasVersion('Client:\n\tVersion: v1.18.3', 'v1.18.3'))
  assert.not(hasVersion('v4.2.40', 'v4.2.4'))
  assert.not(hasVersion('v14.2.4', 'v4.2.4'))
  assert.not(hasVersion('', 'v4.2.4'))
})

// Plans

const releases = await loadReleases()
const artifacts = artifactsOf(releases, 'amd64')
const server: WantedHost = {
  role: 'server',
  artifacts,
  domain: 'oas.example.org',
  address: '203.0.113.7',
  airgap: false,
}
const QUESTIONS = k3sQuestions('server')
const factsOf = (outputs: Parameters<typeof reply<typeof QUESTIONS>>[1]) =>
  k3sFactsOf('server', parseFacts(QUESTIONS, reply(QUESTIONS, outputs)))
const absent = { text: '', code: 9 }
const noTools = { flux: absent, helm: absent, velero: absent, krew: absent }
const fresh = await factsOf({ ...noTools, arch: 'x86_64\n', hostname: 'OAS\n' })
const said = {
  flux: { said: 'flux: v2.9.5', isOurs: true },
  helm: { said: 'v4.2.4', isOurs: true },
  velero: { said: 'v1.18.3', isOurs: true },
  krew: { said: 'GitTag v0.5.0', isOurs: true },
}
const installed: K3sFacts = {
  ...fresh,
  sha256: artifacts.k3s.sha256,
  version: artifacts.k3s.version,
  unit: 'ExecStart=/usr/local/bin/k3s \\\n    server \\\n\n',
  config: await editK3sConfig('', { ...wanted, default: { 'node-name': 'oas' } }),
  enabled: true,
  active: true,
  current: true,
  complete: true,
  datastore: 5e6,
  storage: true,
  rootKubeconfig: 'ours',
  tools: said,
}

test('a fresh server gets everything, and nothing is saved', async () => {
  const plan = await planHost(fresh, server)
  assert.equal(plan.downloads, ['k3s', 'installer', 'flux', 'helm', 'velero', 'krew'])
  assert.is(plan.node, 'oas')
  assert.not(plan.save)
  assert.ok(plan.lines.some(line => line.includes('+ node-name: oas')))
})

test('where everything is as it should be there is nothing to do', async () => {
  const plan = await planHost(installed, server)
  assert.equal([plan.lines, plan.downloads, plan.notes], [[], [], []])
})

test('whatever a killed run has left is completed', async () => {
  const states: [string, Partial<K3sFacts>, RegExp][] = [
    [
      'binary only',
      { unit: undefined, enabled: false, active: false, complete: false, datastore: undefined },
      /installer/,
    ],
    ['not enabled', { enabled: false }, /would not start with the server/],
    ['stopped to be saved', { active: false, current: false }, /does not run/],
    ['new binary, old process', { current: false }, /changed after its start/],
    ['no killall script', { complete: false }, /not complete/],
    ['no storage', { storage: false }, /local-storage/],
    ['no link', { rootKubeconfig: 'absent' }, /link/],
    ['a tool', { tools: { ...said, helm: undefined } }, /install helm v4\.2\.4/],
    ['downloads', { leftovers: true }, /remove the downloads/],
    ['another binary of this version', { sha256: 'f'.repeat(64) }, /not that of the release/],
  ]
  for (const [state, change, line] of states) {
    const { lines } = await planHost({ ...installed, ...change }, server)
    assert.ok(
      lines.some(each => line.test(each)),
      `${state}: ${lines}`,
    )
  }
})

test('an upgrade saves first; what must not be is refused', async () => {
  const plan = await planHost({ ...installed, version: 'v1.36.3+k3s1', sha256: 'a'.repeat(64) }, server)
  assert.ok(plan.save)
  assert.match(plan.lines[0]!, /^save datastore \(5 MB\) and token/)
  for (const version of ['v1.36.5+k3s1', 'v1.34.9+k3s1', 'v1.37.0+k3s1'])
    assert.is((await refusal(() => planHost({ ...installed, version }, server))).exitCode, 4)
  assert.is((await refusal(() => planHost({ ...fresh, otherRole: true }, server))).exitCode, 4)
})

test('data elsewhere are refused, wherever that is set', async () => {
  for (const setting of ['data-dir', 'datastore-endpoint', 'config']) {
    const settings = new Map([[setting, { values: ['/elsewhere'], from: 'x' }]])
    const error = await refusal(() => planHost({ ...installed, settings }, server))
    assert.is(error.exitCode, 4)
    assert.match(error.message, '/elsewhere'.slice(0, setting === 'datastore-endpoint' ? 0 : undefined))
  }
  const usual = new Map([['data-dir', { values: ['/var/lib/rancher/k3s/'], from: 'x' }]])
  assert.equal((await planHost({ ...installed, settings: usual }, server)).lines, [])
})

test('a node keeps the name that it has in the cluster', () => {
  const node = (name: string, isServer = true) => ({
    name,
    isServer,
    isReady: true,
    version: '',
    message: '',
  })
  const named = (name: string, from = '$K3S_NODE_NAME') => new Map([['node-name', { values: [name], from }]])
  const name = (change: Partial<K3sFacts>) => nodeNameFor({ ...installed, hostname: 'new-host', ...change })
  assert.is(nodeNameFor({ ...fresh, hostname: 'New-Host' }), 'new-host')
  assert.is(nodeNameFor({ ...fresh, settings: named('Mine') }), 'mine')
  // By its certificate, also while the API server does not answer; else it is the only server.
  assert.is(name({ kubeletName: 'old' }), 'old')
  assert.is(name({ kubeletName: 'old', nodes: [node('old'), node('two', false)] }), 'old')
  assert.is(name({ nodes: [node('old'), node('two', false)] }), 'old')
  assert.is(name({ settings: named('old'), nodes: [node('old'), node('b')] }), 'old')
  const unclear = refusalOf(() => name({ nodes: [node('a'), node('b')] }))
  assert.match(unclear.message, 'which of the nodes a, b is new-host')
  const renamed = refusalOf(() => name({ settings: named('b', 'x.yaml'), nodes: [node('old')] }))
  assert.match(renamed.message, 'k3s would rename the node old of new-host to b (node-name in x.yaml)')
  const withId = new Map([['with-node-id', { values: ['true'], from: 'x' }]])
  assert.is(name({ settings: withId, kubeletName: 'old-1234' }), 'old-1234')
  assert.is(refusalOf(() => nodeNameFor({ ...fresh, settings: withId })).exitCode, 4)
})

test('what the environment names is written down, so that the node keeps its name', async () => {
  const settings = new Map([['node-name', { values: ['kept'], from: '$K3S_NODE_NAME' }]])
  const plan = await planHost({ ...installed, config: '', settings, kubeletName: 'kept' }, server)
  assert.is(plan.node, 'kept')
  assert.is(parse(plan.config!)['node-name'], 'kept')
})

test("somebody else's tools stay, and are told", async () => {
  const plan = await planHost(
    { ...installed, tools: { ...said, helm: { said: 'v3.9.0', isOurs: false } }, rootKubeconfig: 'other' },
    server,
  )
  assert.equal(plan.tools, [])
  assert.is(plan.notes.length, 2)
  assert.match(plan.notes[0]!, '/usr/local/bin/helm was installed by somebody else')
})

test('an agent gets a token and no tools; another token is replaced', async () => {
  const agent: WantedHost = { ...server, role: 'agent', token: 'c'.repeat(64) }
  const plan = await planHost(fresh, agent)
  assert.ok(plan.token)
  assert.equal(plan.downloads, ['k3s', 'installer'])
  const config = await editK3sConfig('', agentConfig({ name: 'oas', server: '203.0.113.7' }))
  const there: K3sFacts = {
    ...installed,
    unit: 'ExecStart=/usr/local/bin/k3s \\\n    agent \\\n\n',
    config,
    agentToken: 'c'.repeat(64),
    tools: {},
  }
  assert.equal((await planHost(there, agent)).lines, [])
  const other = await planHost(there, { ...agent, token: 'd'.repeat(64) })
  assert.ok(other.token && other.install)
})

test('facts: texts arrive whole, and times decide whether k3s is current', async () => {
  const outputs = {
    ...noTools,
    arch: 'aarch64\n',
    hostname: 'a\n',
    config: 'node-name: a\nactive active\n',
    active: 'inactive\n',
    started: '5000000\n',
    clock: '1000.500000000\n100.00\n',
    changed: '905.400000000\n',
    recorded: '{"paths": ["/usr/local/bin/helm"]}',
    helm: 'v4\n',
    flux: '',
  }
  const facts = await factsOf(outputs)
  assert.equal([facts.arch, facts.active, facts.current], ['arm64', false, true])
  assert.is(facts.config, 'node-name: a\nactive active\n')
  assert.equal(facts.tools, { helm: { said: 'v4', isOurs: true }, flux: { said: '', isOurs: false } })
  assert.not((await factsOf({ ...outputs, changed: '905.400000000\n905.600000000\n' })).current)
  assert.not((await factsOf({ ...outputs, started: '0\n' })).current)
  assert.match((await refusal(() => factsOf({ arch: 'riscv64\n' }))).message, /riscv64/)
})

test('a search domain with a wildcard is refused, no way to the registry is told', () => {
  const wayOut = (outputs: Parameters<typeof reply<typeof WAY_OUT>>[1]) =>
    wayOutProblems(parseFacts(WAY_OUT, reply(WAY_OUT, { registryProblem: '', ...outputs })))
  assert.equal(wayOut({}), [])
  const [wildcard] = wayOut({ wildcardDomains: 'oas.example.org\n' })
  assert.equal([wildcard!.severity, /search domain oas\.example\.org/.test(wildcard!.what)], ['error', true])
  const said = { text: 'curl: (6) Could not resolve host: registry-1.docker.io\n', code: 6 }
  const [registry] = wayOut({ registryProblem: said })
  assert.is(registry!.severity, 'warning')
  assert.match(registry!.what, 'registry-1.docker.io: curl: (6) Could not resolve host')
})

// What runs on the server

test('the installer is called with the variables of the official one, and hostile flags stay what they are', async () => {
  assert.equal(installerVariables('server', 'v1.36.4+k3s1'), {
    INSTALL_K3S_SKIP_DOWNLOAD: 'true',
    INSTALL_K3S_VERSION: 'v1.36.4+k3s1',
    INSTALL_K3S_EXEC: 'server',
    INSTALL_K3S_FORCE_RESTART: 'true',
  })
  const hostile = ['--node-label=$(touch /tmp/pwned)', "it's `id`", '-\n-', '*']
  const plan = { ...(await planHost(fresh, server)), args: hostile, variables: { K3S_TOKEN: "a'b$c" } }
  const text = runnerText(plan, artifacts as never, '')
  // Its head, run by a real shell, hands on exactly these.
  const head = text.slice(0, text.indexOf('set -eu'))
  const { stdout } = spawnSync('sh', ['-c', `${head}\nshift 5; printf '%s\\0' "$K3S_TOKEN" "$@"`], {
    encoding: 'utf8',
  })
  assert.equal(stdout.split('\0').slice(0, -1), ["a'b$c", ...hostile])
})

test('saved folders sort by time and name the version', () => {
  const folder = savedFolder('v1.36.3+k3s1', new Date('2030-01-02T03:04:05.678Z'))
  assert.is(folder, '/var/backups/openappstack/k3s-2030-01-02T03-04-05Z-v1.36.3+k3s1')
})

test('a node is ready only in this version, and by the kubelet that runs now', () => {
  const started = Date.parse('2030-01-02T03:04:05Z')
  const node = { name: 'a', isServer: true, isReady: true, version: 'v1.36.4+k3s1', message: '' }
  const signs = { api: true, started, leases: new Map([['a', started + 678]]), nodes: [node] }
  const words = (changes: Partial<Parameters<typeof readiness>[0]>, version = node.version) =>
    readiness({ ...signs, ...changes }, { node: 'a', version })
  assert.is(words({}), 'Ready, v1.36.4+k3s1')
  const message = 'cni plugin not initialized'
  assert.is(words({ nodes: [{ ...node, isReady: false, message }] }), `node a is not Ready: ${message}`)
  assert.is(words({}, 'v1.36.5+k3s1'), 'the kubelet of node a is still v1.36.4+k3s1')
  const silent = 'the kubelet of node a has not reported since k3s was started'
  assert.is(words({ started: started + 1000 }), silent)
  assert.is(words({ leases: new Map() }), silent)
  assert.is(words({ nodes: [] }), 'node a does not exist')
  assert.is(words({ nodes: undefined }), 'the API server does not answer')
  assert.is(words({ api: false }), 'the API server is not ready')
  assert.is(words({ started: undefined }), 'k3s does not run on the host of node a')
})

test("the kubeconfig gets the server's address", () => {
  const text =
    'clusters:\n- cluster:\n    certificate-authority-data: x\n    server: https://127.0.0.1:6443\n  name: default\n'
  assert.match(kubeconfigAt(text, '203.0.113.7')!, '    server: https://203.0.113.7:6443\n')
  assert.match(kubeconfigAt(text, '2001:db8::1')!, 'server: https://[2001:db8::1]:6443\n')
  assert.match(kubeconfigAt(text.replace('6443', '7443'), 'a')!, 'server: https://a:7443\n')
  assert.is(kubeconfigAt('server: https://elsewhere:6443\n', 'a'), undefined)
  // With bind-address, k3s writes that address.
  for (const bound of ['10.0.0.7', '[fd00::7]', '[::1]', 'localhost'])
    assert.match(kubeconfigAt(text.replace('127.0.0.1', bound), 'a')!, 'server: https://a:6443\n', bound)
})

test('a diff leads from one text to the other', () => {
  assert.equal(diffLines('a\nb\n', 'a\nb\n'), [])
  assert.equal(diffLines('', 'a\n'), ['+ a'])
  assert.equal(diffLines('a\nb\nc\n', 'a\nx\nc\n'), ['  a', '- b', '+ x', '  c'])
  const lines = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 8 })
  fc.assert(
    fc.property(lines, lines, (one, other) => {
      const diff = diffLines(one.map(each => `${each}\n`).join(''), other.map(each => `${each}\n`).join(''))
      if (diff.length === 0) return assert.equal(one, other)
      const side = (sign: string) => diff.filter(line => line[0] !== sign).map(line => line.slice(2))
      assert.equal(side('+'), one)
      assert.equal(side('-'), other)
    }),
  )
})

test.run()
