/**
 * Every script that asks a cluster, against API servers that mean no good: one clear error or a clean screen, within
 * 20 seconds and 300 MB.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import * as assert from 'uvu/assert'
import { printable } from '../../lib/script/printable.ts'
import { writeBackup } from '../../lib/secret-backup/files.ts'
import { PLANTED, plantedObjects, secret } from '../fixtures/planted.ts'
import { runScript } from '../harness-script.ts'
import { all, test } from '../suite.ts'
import { temporaryFolder } from '../unit/helpers.ts'
import { kubeconfigFile } from '../unit/transport.ts'
import { type Measured, measured, oneError, scriptNames, tryAll } from './hostile.ts'
import {
  type Answer,
  apiServer,
  HOSTILE,
  hostileObjects,
  hostileServer,
  largeObjects,
  manyObjects,
  STRANGERS,
} from './hostile-api.ts'
import { HostileCluster, lockable, NEW } from './hostile-cluster.ts'
import { cleanUp } from './sshd.ts'

/**
 * The scripts, and what they are called with. FOLDER is a folder of the test's own, with a backup of a Secret in
 * FOLDER/saved.
 */
const CALLS: Readonly<Record<string, readonly string[]>> = {
  status: [],
  diagnose: [],
  'app-debug': ['nextcloud'],
  'cert-debug': ['--skip-probes'],
  bundle: ['--output', 'FOLDER/bundle.tar.gz'],
  info: ['--skip-ssh'],
  logs: ['nextcloud'],
  secrets: [],
  'backup-secrets': ['--yes', '--output', 'FOLDER/backup'],
  'install-core': ['--yes', '--skip-preflight'],
  'install-app': ['wekan', '--yes', '--skip-preflight'],
  'delete-evicted-pods': ['--dry-run'],
  'upgrade-0.7': ['--dry-run'],
  'migrate-data': ['--dry-run', '--old-kubeconfig', 'KUBECONFIG', '--output', 'FOLDER/volumes.json'],
  'upgrade-0.3': ['--dry-run'],
  'restore-secrets': ['FOLDER/saved', '--yes'],
  users: ['list'],
  'add-source': ['shop', 'https://127.0.0.1:1/shop.git', '--yes'],
  'remove-source': ['shop', '--yes'],
  'override-app': ['wekan', '--set', 'resources.limits.memory=1Gi', '--yes'],
  'uninstall-app': ['wekan', '--yes'],
  'restrict-access': ['--show'],
  // What the other sections ask is not the API server.
  'test-cluster': ['--only', 'app,prometheus,backup', '--timeout', '1s'],
  report: ['--output', 'FOLDER/report.html'],
  backup: ['--yes'],
  restore: ['nightly', '--app', 'wekan', '--yes', '--confirm', 'wekan'],
  'restore-drill': ['--yes'],
}

/** The scripts that are not among them, each with the reason. */
const NOT_CALLED: Readonly<Record<string, string>> = {
  help: 'asks no server',
  sandbox: 'asks the control plane that it starts itself',
  'create-cluster': 'asks no cluster: there is none yet',
  'upgrade-0.6': 'reads files alone',
  'install-cluster': 'asks the server by SSH alone',
  ssh: 'asks the server by SSH alone',
  preflight: 'asks the server by SSH alone',
  'backup-cluster-dir': 'asks the server by SSH alone',
}

/**
 * The scripts that log in to the server before they ask the cluster. What else stands against a purge is told with
 * it, so that it never gets as far as to change anything.
 */
const BEHIND: Readonly<Record<string, readonly string[]>> = {
  'change-ip': [NEW, '--yes', '--timeout', '1s'],
  purge: ['--dry-run'],
}

const ALL = [...Object.keys(CALLS), ...Object.keys(BEHIND)]
const FEW = ['status', 'diagnose', 'install-app']
/** Those that read the largest lists. */
const READERS = ['status', 'diagnose', 'bundle', 'report', 'test-cluster', 'backup']

/** Runs a script against a server, with a folder of its own; how it ended, all that it said, and its memory. */
async function runAgainst(name: string, url: string, call = CALLS[name]!, folder = temporaryFolder()) {
  const cluster = join(folder, 'clusters', 'oas')
  mkdirSync(cluster, { recursive: true })
  const kubeconfig = join(cluster, 'kube_config_cluster.yml')
  writeFileSync(kubeconfig, readFileSync(kubeconfigFile({ server: url })), { mode: 0o600 })
  writeFileSync(
    join(cluster, '.flux.env'),
    `${[
      'domain=oas.example.org',
      'ip_address=203.0.113.7',
      'admin_email=a@example.org',
      'outgoing_mail_enabled=false',
      'backup_s3_enabled=true',
      'backup_s3_url=http://127.0.0.1:1', // where nobody listens
      'backup_s3_region=eu-central-1',
      'backup_s3_bucket=oas',
      'backup_s3_prefix=oas',
      'backup_s3_aws_access_key_id=KEY',
      'backup_s3_aws_secret_access_key=a-secret-key',
    ].join('\n')}\n`,
  )
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { namespace: 'flux-system', name: 'oas-wekan-variables' },
    type: 'Opaque',
    data: { wekan_oauth_client_secret: 'eA==' },
  }
  const origin = { cluster: 'oas', server: url, createdAt: new Date().toISOString(), absent: [] }
  await writeBackup(join(folder, 'saved'), { ...origin, secrets: [secret] }, undefined, async () => undefined)
  const args = call.map(arg => arg.replace('FOLDER', folder).replace('KUBECONFIG', kubeconfig))
  return await measured(name, args, join(folder, 'clusters'))
}

let cluster: HostileCluster
test.before(async () => {
  cluster = await HostileCluster.start()
})
test.after(async () => {
  await cluster?.stop()
  cleanUp()
})

/** Runs a script that logs in to the server of its cluster first. */
function runBehind(name: string): Promise<Measured> {
  const { clusters, env } = cluster.folderIn(temporaryFolder())
  return measured(name, BEHIND[name]!, clusters, env, cluster.within)
}

/** Every script against one server. */
async function allAgainst(
  answer: Answer,
  scripts: readonly string[],
  check: (name: string, outcome: Measured) => void,
): Promise<void> {
  const { url, close } = await hostileServer(answer)
  cluster.answer = lockable(answer)
  await tryAll(scripts, name => (name in BEHIND ? runBehind(name) : runAgainst(name, url)), check)
  close()
}

test('no script is forgotten', () => {
  const known = [CALLS, BEHIND, NOT_CALLED].flatMap(Object.keys)
  assert.equal(known.sort(), scriptNames().sort())
})

for (const [what, answer] of Object.entries(STRANGERS))
  test(`${what}: one clear error`, () =>
    allAgainst(answer, ALL, (name, outcome) => {
      const { code, stderr, stdout } = outcome
      if (name in BEHIND) {
        oneError(outcome)
        return assert.match(stderr, name === 'purge' ? 'the cluster was not asked' : 'answers neither at')
      }
      // What needs no cluster for its main part tells in one line that it could not ask it.
      if (name === 'info') return assert.match(stdout + stderr, /not asked|was not asked/)
      assert.is(code, 1)
      if (name === 'bundle') return assert.match(stderr, 'the bundle is written, but')
      oneError(outcome)
      assert.not.match(stdout + stderr, /not installed|absent|has no node/)
    }))

test('hostile texts in every object: a clean screen', () =>
  allAgainst(apiServer(hostileObjects), ALL, (name, { stdout }) => {
    if (name === 'purge') assert.match(stdout, /^k3s +k3s\.service is active$/m)
  }))

test('lists that never end: one clear error', () =>
  allAgainst(
    apiServer((kind, i) => ({ metadata: { name: `${kind.toLowerCase()}-${i}`, namespace: 'oas-apps' } })),
    [...FEW, ...Object.keys(BEHIND)],
    (name, { code }) => assert.is(code, name === 'purge' ? 4 : 1),
  ))

test('100,000 objects', () =>
  allAgainst(apiServer(manyObjects), all ? ALL : READERS, (name, { code }) => {
    if (['status', 'diagnose'].includes(name)) assert.is(code, 3)
  }))

test('100,000 objects that do not fit into memory: what was not read is told', () =>
  allAgainst(apiServer(largeObjects), all ? READERS : ['diagnose'], (name, { code, stdout, stderr }) => {
    if (name !== 'diagnose') return
    assert.is(code, 1)
    assert.match(stdout + stderr, 'the objects of this cluster do not fit into memory')
  }))

for (const name of ['diagnose', 'app-debug', 'cert-debug'])
  test(`a hostile snapshot: a clean screen of ${name}`, async () => {
    const kinds = [
      'Pod',
      'Event',
      'Node',
      'Kustomization',
      'HelmRelease',
      'GitRepository',
      'Ingress',
      'Certificate',
    ]
    const objects = kinds.map(kind => ({ apiVersion: 'v1', kind, ...hostileObjects(kind, 0) }))
    const gaps = [{ what: HOSTILE, why: HOSTILE }]
    const facts = {
      version: 1,
      takenAt: new Date().toISOString(),
      server: HOSTILE,
      groups: [HOSTILE],
      objects,
      gaps,
    }
    const file = join(temporaryFolder(), 'facts.json')
    writeFileSync(
      file,
      JSON.stringify({ ...facts, clockOffset: HOSTILE, secrets: [{ name: HOSTILE, keys: 5 }] }),
    )
    const args = name === 'app-debug' ? ['nextcloud', '--from', file] : ['--from', file]
    const { code, stdout, stderr } = await runScript(name, args)
    assert.is(code, 1, stderr)
    assert.is(stdout + stderr, printable(stdout + stderr))
    assert.not.match(stdout + stderr, /^✓ everything is healthy/m)
    assert.not.match(stdout + stderr, /unexpected:|a defect/)
  })

const LOOK = ['--only', 'app,prometheus,backup', '--timeout', '1s']
/** Everything that writes down what a cluster says, and scripts whose journal tells how they failed on it. */
const WRITERS: readonly (readonly [name: string, ...args: string[]])[] = [
  ['diagnose', '--output', 'FOLDER/diagnose.json'],
  ['app-debug', 'wekan', '--output', 'FOLDER/app.json'],
  ['cert-debug', '--skip-probes', '--output', 'FOLDER/cert.json'],
  ['bundle', '--output', 'FOLDER/bundle.tar.gz'],
  ['logs', 'oas-apps/wekan-1'],
  ['logs', 'oas-apps/wekan-1', '--json'],
  ['status', '--json'],
  ['report', '--output', 'FOLDER/report.html', '--json'],
  ['report', '--markdown', '--output', 'FOLDER/report.md'],
  ['test-cluster', ...LOOK, '--junit', 'FOLDER/junit.xml', '--html', 'FOLDER/page.html'],
  ['test-cluster', ...LOOK, '--json'],
  ['install-app', 'wekan', '--yes', '--skip-preflight'],
  ['uninstall-app', 'wekan', '--yes'],
  ['backup', '--yes'],
  ['delete-evicted-pods', '--yes'],
]

test('secrets in every field and in every log: none on a screen, in a file or in a journal', async () => {
  const [kustomization] = plantedObjects().filter(({ kind }) => kind === 'Kustomization')
  const wekan = { ...kustomization!.metadata, namespace: 'flux-system', name: 'wekan' }
  const [pod] = plantedObjects().filter(({ kind }) => kind === 'Pod')
  const ours = { ...pod!, metadata: { ...pod!.metadata, namespace: 'oas-apps', name: 'wekan-1' } }
  const objects = [...plantedObjects(), { ...kustomization!, metadata: wekan }, ours]
  const api = apiServer((kind, i) => objects.filter(object => object.kind === kind)[i] as never)
  const line = () =>
    `${new Date().toISOString()} Get "https://u:${secret()}@host/": login password=${secret()}, Authorization: Bearer ${secret()}`
  const { url, close } = await hostileServer((request, response) => {
    if (/selfsubjectaccessreviews/.test(request.url ?? ''))
      return response.writeHead(201).end(JSON.stringify({ status: { allowed: true } }))
    if (/\/pods\/wekan-1$/.test(request.url ?? '')) return response.end(JSON.stringify(ours))
    if (!/\/log\?/.test(request.url ?? '')) return api(request, response)
    response.end(`${line()}\n${line()}\n`)
  })
  const leaks: string[] = []
  let read = 0
  for (const [name, ...args] of WRITERS) {
    const folder = temporaryFolder()
    const outcome = await runAgainst(name, url, args, folder)
    const files = readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter(file => file.isFile())
      .map(file => join(file.parentPath, file.name))
    const texts = files.map(file => {
      const bytes = readFileSync(file)
      return file.endsWith('.gz') ? gunzipSync(bytes).toString('latin1') : bytes.toString()
    })
    read += files.length
    for (const text of [outcome.stdout, outcome.stderr, ...texts])
      leaks.push(...(text.match(PLANTED) ?? []).map(leak => `${name} ${args.join(' ')}: ${leak}`))
  }
  close()
  assert.equal(leaks, [])
  assert.ok(read >= 68, `only ${read} files`)
})

test.run()
