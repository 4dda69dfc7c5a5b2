/**
 * Logs from Loki, through the real API server's service proxy, and from pods when Loki is away; and the support
 * bundle, which has them all. Loki is the stand-in of test/bed/loki. The collector is played: lines are pushed with
 * the labels that flux2/core/alloy gives them. Pods run in kwok, which serves files as their logs.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, relative } from 'node:path'
import * as assert from 'uvu/assert'
import { HELM_RELEASE } from '../../lib/flux/flux.ts'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { PRESETS } from '../../lib/logs/presets.ts'
import { labelsOf } from '../../lib/logs/selection.ts'
import { CONFIG_KEYS } from '../../lib/platform/config-keys.ts'
import { SecretCopies } from '../../lib/platform/secret-copies.ts'
import { ensureSecrets, loadCatalogue } from '../../lib/platform/secrets.ts'
import { ROOT } from '../../lib/script/files.ts'
import { until } from '../../lib/script/wait.ts'
import { layoutOf } from '../bed/cluster/layout.ts'
import { stop } from '../bed/cluster/processes.ts'
import { up } from '../bed/cluster/sandbox.ts'
import { all, test } from '../suite.ts'
import { folderWith, viewerFolder } from './faults.ts'
import { Bed, type Outcome, runScript } from './harness.ts'

let bed: Bed
let folder: string
let secret: string

/** Waits until something is there. */
function eventually<T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> {
  return until<string, T>(
    async () => {
      const found = await look()
      return found ? { done: found } : { last: what }
    },
    { deadline: 90_000, every: 200, describe: last => `not yet: ${last}` },
  )
}

/** A pod that kwok plays. */
function pod(namespace: string, name: string, labels: Record<string, string>, container: string): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace, name, labels },
    spec: {
      nodeName: 'sandbox',
      containers: [{ name: container, image: 'app', ports: [{ name: 'http', containerPort: 3100 }] }],
    },
  }
}
const SERVICE = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { namespace: 'oas', name: 'loki' },
  spec: {
    selector: { 'app.kubernetes.io/name': 'loki' },
    ports: [{ name: 'http-metrics', port: 3100, targetPort: 'http' }],
  },
}
const controller = pod('flux-system', 'helm-controller-1', { app: 'helm-controller' }, 'manager')
const hydra = pod('oas', 'hydra-1', { 'app.kubernetes.io/name': 'hydra' }, 'hydra')

const texts = (outcome: Outcome): string[] => {
  assert.is(outcome.code, 0, outcome.stderr)
  return JSON.parse(outcome.stdout).result.lines.map(({ text }: { text: string }) => text)
}
const logs = (...args: string[]) => runScript('logs', args)
const json = (...args: string[]) => runScript('logs', [...args, '--json'])
const labels = (object: KubeObject) => ({ ...labelsOf(object, object.spec.containers[0].name) })

/** Gives a container its log: a file of these lines. */
async function serveLog(object: KubeObject, lines: readonly string[]): Promise<void> {
  const { namespace = '', name } = object.metadata
  const container = object.spec.containers[0].name
  const logsFile = join(folder, `${name}.log`)
  const at = new Date().toISOString()
  writeFileSync(logsFile, lines.map(line => `${at} stdout F ${line}\n`).join(''))
  await bed.kubectl.apply({
    apiVersion: 'kwok.x-k8s.io/v1alpha1',
    kind: 'Logs',
    metadata: { namespace, name },
    spec: { logs: [{ containers: [container], logsFile }] },
  })
  await eventually(`the log of ${name}`, async () => {
    try {
      for await (const _ of bed.kubectl.logs({ namespace, name }, container)) return true
    } catch {
      return false
    }
  })
}

test.before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'oas-loki-'))
  bed = await Bed.start({ loki: true, audit: true })
  process.env.OAS_CLUSTER = 'sandbox' // some tests make folders of other clusters
  for (const name of ['flux-system', 'oas', 'oas-apps', 'velero', 'default']) {
    await bed.kubectl.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
    await eventually('the account that every pod needs', () =>
      bed.kubectl.get({ apiVersion: 'v1', kind: 'ServiceAccount', namespace: name, name: 'default' }),
    )
  }
  await ensureSecrets(bed.kubectl, await loadCatalogue(), new SecretCopies(bed.cluster))
  secret = (await bed.secretValues()).find(value => value.length >= 32)!
  await bed.kubectl.create(SERVICE)
  for (const each of [pod('oas', 'loki-0', { 'app.kubernetes.io/name': 'loki' }, 'loki'), controller, hydra])
    await bed.kubectl.create(each)
  await eventually('Loki answers through the API server', async () => {
    const outcome = await logs('--query', '{job="none"}')
    return outcome.code === 0
  })
})

test.after(async () => {
  delete process.env.OAS_CLUSTER
  await bed?.stop()
  rmSync(folder, { recursive: true, force: true })
})

const EVENT = { app: 'eventrouter', container_name: 'eventrouter', job: 'oas/eventrouter', instance: 'x' }
/** Streams as Alloy makes them, each with its lines. */
const PUSHED: readonly [labels: Record<string, string>, lines: readonly string[]][] = [
  [
    labels(controller),
    [
      '{"level":"info","msg":"release in-sync with desired state","HelmRelease":{"name":"wordpress"}}',
      '{"level":"info","msg":"running \'upgrade\' action","HelmRelease":{"name":"wordpress"}}',
      '{"level":"error","msg":"Reconciler error","HelmRelease":{"name":"wekan"}}',
    ],
  ],
  [labels(pod('flux-system', 's-1', { app: 'source-controller' }, 'manager')), ['stored artifact']],
  [labels(pod('flux-system', 'k-1', { app: 'kustomize-controller' }, 'manager')), ['server-side apply done']],
  [
    labels(
      pod('cert-manager', 'c-1', { 'app.kubernetes.io/name': 'cert-manager' }, 'cert-manager-controller'),
    ),
    ['propagation of chat.oas.example.org'],
  ],
  [labels(hydra), ['time=1 level=info msg=token', 'time=2 level=warning msg=denied', `level=error ${'x'}`]],
  [
    labels(pod('oas-apps', 'r-1', { 'app.kubernetes.io/name': 'rocketchat' }, 'rocketchat')),
    ['login by oauth', 'Exception in a job'],
  ],
  [
    labels(pod('oas', 'p-1', { 'app.kubernetes.io/name': 'single-sign-on' }, 'panel')),
    ['{"event":"refused","application":"wekan","user":"berta"}'],
  ],
  [
    { ...EVENT, namespace: 'oas' },
    [
      'name=a kind=Pod reason=Pulled type=Normal count=1 msg="pulled"',
      'name=b kind=Pod reason=BackOff type=Warning count=2 msg="back-off"',
    ],
  ],
]
const FLUX = [...PUSHED[0]![1], ...PUSHED[1]![1], ...PUSHED[2]![1]]
/** What each preset shows of them. */
const EXPECTED: Record<string, readonly string[]> = {
  flux: FLUX,
  'source-controller': PUSHED[1]![1],
  'kustomize-controller': PUSHED[2]![1],
  'helm-controller': PUSHED[0]![1].slice(1),
  certificates: PUSHED[3]![1],
  'hydra-warnings': PUSHED[4]![1].slice(1),
  'sso-rocketchat': [...PUSHED[4]![1], ...PUSHED[5]![1]],
  logins: PUSHED[6]![1],
  events: PUSHED[7]![1],
  warnings: PUSHED[7]![1].slice(1),
  errors: [PUSHED[0]![1][2]!, PUSHED[4]![1][2]!, PUSHED[5]![1][1]!],
  everything: PUSHED.flatMap(([, lines]) => lines),
}

test('every preset is accepted by Loki and shows the lines that it should, and no others', async () => {
  for (const [stream, lines] of PUSHED) await bed.pushLogs(stream, lines)
  assert.equal(Object.keys(EXPECTED).sort(), PRESETS.map(({ name }) => name).sort())
  for (const { name } of PRESETS) {
    const found = texts(await json(name))
    assert.equal([...found].sort(), [...EXPECTED[name]!].sort(), name)
  }
  const listed = JSON.parse((await json('--list')).stdout).result.presets
  assert.equal(
    listed.map((preset: { name: string }) => preset.name),
    PRESETS.map(({ name }) => name),
  )
})

test('--grep narrows a preset, --query asks for anything, and lines are shown with where they are from', async () => {
  const [line, ...more] = texts(await json('helm-controller', '--grep', 'wordpress', '--grep', 'upgrade'))
  assert.equal([line, more], [PUSHED[0]![1][1], []])
  assert.equal(
    texts(await json('--query', '{container_name="hydra"} |= "denied" | logfmt | level="warning"')),
    [PUSHED[4]![1][1]],
  )
  const shown = await logs('certificates')
  assert.match(
    shown.stdout,
    /^\d{4}-\S+Z c-1\/cert-manager-controller propagation of chat\.oas\.example\.org\n$/,
  )
  assert.is(shown.stderr, '')
  assert.match((await logs('events')).stdout, /^\S+ oas\/eventrouter name=a /)
})

test('what Loki does not accept is told with the query, and numbers are no lines', async () => {
  for (const [query, told] of [
    ['{foo!="bar"}', 'queries require at least one regexp or equality matcher'],
    ['{foo="bar"', 'parse error'],
    ['count_over_time({job=~".+"}[5m])', 'not give lines but numbers'],
  ] as const) {
    const outcome = await logs('--query', query)
    assert.is(outcome.code, 2, outcome.stderr)
    assert.match(outcome.stderr, query.slice(0, 12).replace('(', '('))
    assert.match(outcome.stderr, told)
  }
})

if (all)
  test('hostile texts are searched for as they are', async () => {
    const hostile = [
      '"',
      '`',
      '\\',
      'a\nb',
      '\\n',
      '|= "',
      '"} |= "x',
      '{{.x}}',
      '$1',
      '#',
      '(?i',
      "'",
      '%',
      'ü€😀',
      '\t',
      '\u2028',
    ]
    const stream = {
      namespace: 'oas',
      pod: 'hostile-0',
      container_name: 'c',
      app: 'hostile',
      job: 'oas/hostile',
    }
    const lines = hostile.map((text, i) => `<${i}${text}>`)
    await bed.pushLogs(stream, [...lines, 'harmless'])
    for (const [i, text] of hostile.entries()) {
      const found = texts(await json('oas/hostile-0', '--source', 'loki', '--grep', `${i}${text}`))
      assert.equal(found, [lines[i]], JSON.stringify(text))
    }
  })

test('a time range, to the nanosecond; and a pod that is gone', async () => {
  const stream = { namespace: 'oas', pod: 'gone-0', container_name: 'c', app: 'gone', job: 'oas/gone' }
  const at = (minutes: number) => new Date(Math.floor(Date.now() / 1000) * 1000 - minutes * 60_000)
  const [a, b, c] = [at(150), at(100), at(50)]
  await bed.pushLogs(stream, [
    [a, 'a'],
    [b, 'b'],
    [c, 'c'],
  ])
  const gone = ['oas/gone-0', '--source', 'loki']
  assert.equal(texts(await json(...gone, '--since', '120m')), ['b', 'c'])
  assert.equal(texts(await json(...gone, '--since', a.toISOString(), '--until', c.toISOString())), ['a', 'b'])
  assert.equal(texts(await json(...gone, '--tail', '1')), ['c'])
  assert.equal(texts(await json(...gone, '--since', '1d', '--tail', '2')), ['b', 'c'])
  const unknown = await logs('oas/gone-0')
  assert.is(unknown.code, 2)
  assert.match(unknown.stderr, 'give --source loki')
  const none = await logs('oas/never-0', '--source', 'loki')
  assert.equal([none.code, none.stdout], [0, ''])
  assert.match(none.stderr, 'nothing in the last day')
})

test('an application: what was said before its pods were started comes from Loki', async () => {
  const labels = { 'app.kubernetes.io/name': 'demo', 'app.kubernetes.io/instance': 'demo' }
  await bed.kubectl.create({
    ...HELM_RELEASE,
    metadata: { namespace: 'oas', name: 'demo' },
    spec: {
      suspend: true,
      interval: '1h',
      chart: { spec: { chart: 'demo', sourceRef: { kind: 'HelmRepository', name: 'demo' } } },
    },
  })
  await bed.kubectl.create({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { namespace: 'oas', name: 'demo', labels },
    spec: {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'web', image: 'app' }] } },
    },
  })
  const running = await eventually('its pod runs', async () => {
    const pods = await bed.kubectl.list('v1', 'Pod', {
      namespace: 'oas',
      labelSelector: 'app.kubernetes.io/name=demo',
    })
    return pods.find(({ status }) => status?.phase === 'Running')
  })
  await serveLog(running, ['now'])
  const stream = (pod: string) => ({
    namespace: 'oas',
    pod,
    container_name: 'web',
    app: 'demo',
    job: 'oas/demo',
  })
  const old = new Date(Date.now() - 1_800_000)
  await bed.pushLogs(stream('demo-5d4f8b9c7d-abcde'), [[old, 'of a pod that is gone']])
  await bed.pushLogs(stream('demo-two-5d4f8b9c7d-abcde'), [[old, 'of something else']])
  await bed.pushLogs(stream(running.metadata.name), ['now, in Loki'])
  const result = async (...args: string[]) => {
    const outcome = await json('demo', ...args)
    const { source } = JSON.parse(outcome.stdout).result
    return [source, ...texts(outcome)]
  }
  assert.equal(await result(), ['pods', 'now'])
  assert.equal(await result('--since', '1h'), ['loki', 'of a pod that is gone', 'now, in Loki'])
  assert.equal(await result('--since', '1h', '--until', '20m'), ['loki', 'of a pod that is gone'])
  assert.equal(await result('--source', 'loki', '--grep', 'gone'), ['loki', 'of a pod that is gone'])
  assert.equal(await result('--since', '1h', '--source', 'pods'), ['pods', 'now'])
  assert.equal(await result('--since', '1h', '--container', 'web', '--tail', '1'), ['loki', 'now, in Loki'])
})

test('more lines than Loki gives in one answer: none is lost, none comes twice, and they are in order', async () => {
  const stream = (name: string) => ({
    namespace: 'oas',
    pod: name,
    container_name: 'c',
    app: 'many',
    job: 'oas/many',
  })
  const start = Date.now() - 600_000
  // 14 000 lines of two pods; a page ends among many lines of one nanosecond.
  for (const name of ['many-0', 'many-1'])
    for (let i = 0; i < 7; i++)
      await bed.pushLogs(
        stream(name),
        Array.from(
          { length: 1000 },
          (_, n) => [new Date(start + i * 1000), `${name} ${i * 1000 + n}`] as const,
        ),
      )
  const query = '{app="many"}'
  const all = texts(await json('--query', query, '--since', '1h'))
  assert.is(all.length, 14_000)
  assert.is(new Set(all).size, 14_000)
  for (const name of ['many-0', 'many-1'])
    assert.equal(
      all.filter(text => text.startsWith(name)),
      Array.from({ length: 7000 }, (_, n) => `${name} ${n}`),
    )
  const last = texts(await json('--query', query, '--tail', '12000'))
  assert.equal(last.length, 12_000)
  assert.is(new Set(last).size, 12_000)
  assert.equal(new Set(last), new Set(all.slice(-12_000)))
})

if (all)
  test('lines of one nanosecond that end a page', async () => {
    const time = `${Date.now() - 300_000}000001`
    const push = (pod: string, count: number) =>
      fetch(`${bed.lokiUrl}/loki/api/v1/push`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          streams: [
            {
              stream: { job: 'oas/same', pod },
              values: Array.from({ length: count }, (_, n) => [time, `${pod} ${n}`]),
            },
          ],
        }),
      })
    for (const each of ['same-0', 'same-1', 'same-2']) assert.ok((await push(each, 1500)).ok)
    const query = '{job="oas/same"}'
    const all = texts(await json('--query', query, '--since', '1h'))
    assert.equal([all.length, new Set(all).size], [4500, 4500])
    assert.ok((await push('same-3', 1500)).ok)
    const crowded = await json('--query', query, '--since', '1h')
    assert.match(crowded.stderr, '5000 lines or more at one nanosecond')
  })

test('secrets are blacked out, in every form', async () => {
  const stream = { namespace: 'oas', pod: 'leaky-0', container_name: 'c', app: 'leaky', job: 'oas/leaky' }
  await bed.pushLogs(stream, [`password=${secret}.`, `auth ${Buffer.from(secret).toString('base64')}`])
  assert.equal(texts(await json('--query', '{app="leaky"}')), ['password=***.', 'auth ***'])
  assert.match((await logs('--query', '{app="leaky"}')).stdout, 'password=***.')
})

// The support bundle

/** Another Secret than those of the catalogue, as somebody has made it. */
const OTHER = 'made-by-somebody-Zx81!'
const TOKEN = 'eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJzb21lYm9keSJ9.c2lnbmF0dXJl'

/** The files of a bundle by their path below its own folder. */
function unpacked(file: string): Map<string, string> {
  const into = mkdtempSync(join(folder, 'unpacked-'))
  execFileSync('tar', ['-xzf', file, '-C', into])
  const [top, ...more] = readdirSync(into)
  assert.equal(more, [])
  return new Map(
    readdirSync(join(into, top!), { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => join(entry.parentPath, entry.name))
      .map(path => [relative(join(into, top!), path), readFileSync(path, 'utf8')]),
  )
}

/** Every secret that the test knows of, in every form. */
async function everySecret(): Promise<string[]> {
  const env = readFileSync(join(bed.cluster, '.flux.env'), 'utf8')
  const configured = CONFIG_KEYS.filter(key => key.secret).flatMap(({ name }) => {
    const value = new RegExp(`^${name}=(.+)$`, 'm').exec(env)?.[1]
    return value ? [value] : []
  })
  assert.ok(configured.length > 0)
  const kubeconfig = readFileSync(join(bed.cluster, 'kube_config_cluster.yml'), 'utf8')
  const credentials = [...kubeconfig.matchAll(/(?:client-key-data|token): (\S{20,})/g)].map(
    match => match[1]!,
  )
  const values = [...(await bed.secretValues()), ...configured, ...credentials, OTHER, TOKEN]
  // As for what is shown: what is shorter is a word.
  return values
    .filter(value => value.length >= 6)
    .flatMap(value => [value, Buffer.from(value).toString('base64'), encodeURIComponent(value)])
}

test('a bundle has what helps, and no secret in any form', async () => {
  const secrets = await bed.secretValues()
  await bed.kubectl.create({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { namespace: 'oas-apps', name: 'somebodys' },
    stringData: { password: OTHER, user: 'visible' },
  })
  await serveLog(controller, [...PUSHED[0]![1], `with ${secrets.join(' and ')}`])
  await serveLog(hydra, [
    `level=error dsn=postgres://hydra:${encodeURIComponent(OTHER)}@db/x`,
    `Authorization: Bearer ${TOKEN}`,
    Buffer.from(secret).toString('base64'),
    '\x1b]0;owned\x07',
  ])
  const stream = { namespace: 'oas', pod: 'b-0', container_name: 'c', app: 'b', job: 'oas/b' }
  await bed.pushLogs(stream, [`error: password is ${secret}`, `error: password=unknown-to-all`])
  mkdirSync(join(bed.cluster, 'journal'), { recursive: true })
  writeFileSync(join(bed.cluster, 'journal', '2026-install-core.md'), `# install-core\n`)

  const mark = bed.auditMark()
  const outcome = await runScript('bundle', ['--json'])
  assert.equal(bed.writesSince(mark), [])
  assert.is(outcome.code, 0, outcome.stderr)
  const { file, files } = JSON.parse(outcome.stdout).result
  assert.is(statSync(file).mode & 0o777, 0o600)
  assert.equal(readdirSync(join(bed.cluster, 'bundles')), [basename(file)])
  const found = unpacked(file)
  assert.equal([...found.keys()].sort(), [...files].sort())
  for (const path of [
    'README.txt',
    'facts.json',
    'findings.txt',
    'findings.json',
    'status.json',
    'versions.json',
    'flux.env.txt',
    'journal/2026-install-core.md',
    'logs/flux-system/helm-controller-1/manager.log',
    'logs/oas/hydra-1/hydra.log',
    'loki/errors.log',
    'loki/warnings.log',
  ])
    assert.ok(found.has(path), `${path} of ${[...found.keys()]}`)

  const all = [...found].map(([path, text]) => `${path}\n${text}`).join('\n')
  for (const value of await everySecret())
    assert.not(all.includes(value), `a secret is in it: ${value.length}`)
  assert.not.match(all, 'unknown-to-all')
  assert.not(all.includes('\x1b'))
  assert.match(
    found.get('logs/flux-system/helm-controller-1/manager.log')!,
    /helm-controller-1\/manager with \*\*\*/,
  )
  assert.match(found.get('loki/errors.log')!, 'error: password is ***')
  assert.match(found.get('flux.env.txt')!, 'domain=oas.example.org')
  assert.is(
    JSON.parse(found.get('versions.json')!).kubernetes,
    JSON.parse(found.get('facts.json')!).kubernetes,
  )
  for (const [path, text] of found) if (path.endsWith('.json')) JSON.parse(text)

  const facts = join(folder, 'facts.json')
  writeFileSync(facts, found.get('facts.json')!)
  const read = await runScript('diagnose', ['--from', facts])
  assert.is(read.code, 3, read.stderr)
  assert.is(read.stdout.split('\n')[0], found.get('findings.txt')!.split('\n')[0])
})

test('a bundle without logs, elsewhere; what is there is not overwritten', async () => {
  const file = join(folder, 'mine.tar.gz')
  const outcome = await runScript('bundle', ['--skip-logs', '--output', file])
  assert.is(outcome.code, 0, outcome.stderr)
  const found = unpacked(file)
  assert.not([...found.keys()].some(path => /^(logs|loki)\//.test(path)))
  assert.match(found.get('README.txt')!, '- logs: not wanted (--skip-logs)')
  const again = await runScript('bundle', ['--output', file])
  assert.is(again.code, 2)
  assert.match(again.stderr, 'already exists')
  assert.is((await runScript('bundle', ['--since', 'yesterday'])).code, 2)
})

test('a bundle by somebody who may not read Secrets: written, without logs, and it says so (1)', async () => {
  const flags = await viewerFolder(bed)
  const file = join(folder, 'viewer.tar.gz')
  const outcome = await runScript('bundle', [...flags, '--output', file])
  assert.is(outcome.code, 1, outcome.stderr)
  assert.match(outcome.stderr, 'the bundle is written, but')
  const found = unpacked(file)
  assert.match(found.get('README.txt')!, /- the Secrets: .*forbidden/)
  assert.match(found.get('README.txt')!, '- logs: the Secrets could not be read')
  assert.ok(found.has('facts.json'))
  assert.not([...found.keys()].some(path => path.startsWith('logs/')))
})

test('a bundle of a cluster that does not answer has what is known here (1)', async () => {
  const flags = folderWith(bed, 'gone', config => {
    config.clusters[0]!.cluster = { ...config.clusters[0]!.cluster, server: 'https://127.0.0.1:1' }
  })
  writeFileSync(join(bed.folder, 'gone', '.flux.env'), 'domain=oas.example.org\n')
  const file = join(folder, 'gone.tar.gz')
  const outcome = await runScript('bundle', [...flags, '--output', file])
  assert.is(outcome.code, 1, outcome.stderr)
  const found = unpacked(file)
  assert.equal([...found.keys()].sort(), ['README.txt', 'flux.env.txt', 'versions.json'])
  assert.match(found.get('README.txt')!, 'cannot be reached')
})

test('a bundle that is killed leaves none, and the next one is whole', async () => {
  const before = readdirSync(join(bed.cluster, 'bundles'))
  for (const signal of ['SIGKILL', 'SIGINT'] as const) {
    const outcome = await runScript('bundle', [], {
      kill: stderr => (stderr.includes('reading the logs') ? signal : undefined),
    })
    assert.ok(outcome.signal === 'SIGKILL' || outcome.code === 130, `${outcome.code} ${outcome.stderr}`)
    assert.equal(readdirSync(join(bed.cluster, 'bundles')), before)
  }
  const outcome = await runScript('bundle', ['--json'])
  assert.is(outcome.code, 0)
  assert.ok(unpacked(JSON.parse(outcome.stdout).result.file).has('README.txt'))
})

// Following, and Loki that is away

/** Runs the script with --follow --json. */
function following(...args: string[]): {
  texts: () => string[]
  stderr: () => string
  child: ChildProcess
  ended: Promise<number | null>
} {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', 'scripts/logs.ts', ...args, '--follow', '--json'],
    {
      cwd: ROOT,
      env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', piece => {
    stdout += piece
  })
  child.stderr.setEncoding('utf8').on('data', piece => {
    stderr += piece
  })
  return {
    texts: () =>
      stdout
        .split('\n')
        .filter(each => /^\{.*\}$/.test(each))
        .map(each => JSON.parse(each).text),
    stderr: () => stderr,
    child,
    ended: new Promise(resolve => child.on('close', resolve)),
  }
}

test('--follow shows what comes once, also late, at the same moment, and after Loki was away', async () => {
  const stream = (name: string) => ({
    namespace: 'oas',
    pod: name,
    container_name: 'c',
    app: 'f',
    job: 'oas/f',
  })
  const before = new Date(Date.now() - 20_000)
  await bed.pushLogs(stream('f-0'), [
    [before, 'one'],
    [before, 'two'],
  ])
  const follower = following('--query', '{app="f"}', '--tail', '1')
  const seen = (text: string) => eventually(text, async () => follower.texts().includes(text))
  try {
    await seen('two')
    const at = new Date()
    await bed.pushLogs(stream('f-0'), [[at, 'three']])
    await seen('three')
    await bed.pushLogs(stream('f-1'), [[at, 'at the same nanosecond']])
    await seen('at the same nanosecond')
    await bed.pushLogs(stream('f-2'), [[new Date(at.getTime() - 5000), 'late']])
    await seen('late')
    await stop(layoutOf('sandbox'), ['loki-stand-in'])
    await eventually('the outage is told', async () => follower.stderr().includes('trying again'))
    await up({ worktree: true, loki: true, audit: true })
    await eventually('Loki is back', async () => {
      const answer = await fetch(`${bed.lokiUrl}/ready`).catch(() => undefined)
      return answer?.ok
    })
    await bed.pushLogs(stream('f-0'), ['four', 'five'])
    await seen('five')
    follower.child.kill('SIGINT')
    assert.is(await follower.ended, 130)
    assert.equal(follower.texts(), ['two', 'three', 'at the same nanosecond', 'late', 'four', 'five'])
    assert.match(follower.stderr(), 'Loki answers again')
  } catch (error) {
    throw new Error(`${error}\nit said:\n${follower.texts()}\n${follower.stderr()}`)
  } finally {
    follower.child.kill('SIGKILL')
  }
})

/** What the presets show of the pods while Loki is away. */
async function fallsBack(told: RegExp): Promise<void> {
  const helm = await json('helm-controller')
  assert.equal(texts(helm), EXPECTED['helm-controller'])
  assert.match(helm.stderr, told)
  assert.is(helm.stderr.trimEnd().split('\n').length, 1, helm.stderr)
  assert.is(JSON.parse(helm.stdout).result.source, 'pods')
  assert.equal(texts(await json('helm-controller', '--grep', 'wordpress', '--tail', '1')), [PUSHED[0]![1][1]])
  const warnings = await json('warnings')
  assert.match(texts(warnings).join('\n'), /reason=BackOff type=Warning count=3 msg="Back-off \\"x\\""$/)
  assert.match(warnings.stderr, /what the API server still has/)
  const forced = await logs('flux', '--source', 'loki')
  assert.is(forced.code, 1)
  const raw = await logs('--query', '{job="x"}')
  assert.is(raw.code, 1)
}

if (all)
  test('Loki that hangs is given up soon', async () => {
    await serveLog(controller, PUSHED[0]![1])
    await bed.signal('loki-stand-in', 'SIGSTOP')
    try {
      const outcome = await json('helm-controller')
      assert.equal(texts(outcome), EXPECTED['helm-controller'])
      assert.match(outcome.stderr, /^! Loki does not answer within 15 s; this is what each pod still has$/m)
    } finally {
      await bed.signal('loki-stand-in', 'SIGCONT')
    }
  })

test('Loki that does not answer is told in one line, and pods and events are read in its place', async () => {
  await serveLog(controller, PUSHED[0]![1])
  await serveLog(hydra, [`level=info`, `level=warning the password is ${secret}`])
  await bed.kubectl.create({
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { namespace: 'oas', name: 'e.1' },
    involvedObject: { apiVersion: 'v1', kind: 'Pod', namespace: 'oas', name: 'hydra-1' },
    type: 'Warning',
    reason: 'BackOff',
    message: 'Back-off "x"',
    count: 3,
    lastTimestamp: new Date().toISOString().replace(/\.\d+/, ''),
    source: { component: 'kubelet' },
  })
  await stop(layoutOf('sandbox'), ['loki-stand-in'])
  await fallsBack(/^! Loki (cannot be reached|answers 50\d): .*this is what each pod still has$/m)
  assert.equal(texts(await json('hydra-warnings')), ['level=warning the password is ***'])
  const bundle = join(folder, 'without-loki.tar.gz')
  assert.is((await runScript('bundle', ['--output', bundle])).code, 0)
  const packed = unpacked(bundle)
  assert.match(packed.get('README.txt')!, '- logs from Loki: Loki ')
  assert.ok(packed.has('logs/oas/hydra-1/hydra.log'))
  const follower = following('hydra-warnings')
  await eventually('following pods', async () => follower.texts().length === 1)
  follower.child.kill('SIGINT')
  assert.is(await follower.ended, 130)
})

test('Loki without a pod, and Loki that is not installed', async () => {
  await bed.kubectl.delete({ apiVersion: 'v1', kind: 'Pod', namespace: 'oas', name: 'loki-0' })
  await eventually('no endpoints', async () => (await logs('flux')).stderr.includes('no endpoints available'))
  await fallsBack(/^! Loki cannot be reached: no endpoints available for service .*each pod still has$/m)
  await bed.kubectl.delete({ ...SERVICE, name: 'loki', namespace: 'oas' })
  await fallsBack(/^! Loki is not installed; this is what each pod still has$/m)
})

test('nothing that was said holds a secret', async () => {
  assert.equal(bed.leaks([secret, Buffer.from(secret).toString('base64')]), [])
})

test.run()
