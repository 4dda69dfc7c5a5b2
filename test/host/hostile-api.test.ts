/**
 * Every script that asks a cluster, against API servers that mean no good: one clear error or a clean screen, within
 * 20 seconds and 300 MB. The time is that of an idle machine: one that has other work gets as much more as its starts
 * of scripts take.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { ROOT } from '../../lib/script/files.ts'
import { printable } from '../../lib/script/printable.ts'
import { writeBackup } from '../../lib/secret-backup/files.ts'
import { runScript } from '../harness-script.ts'
import { test } from '../suite.ts'
import { temporaryFolder } from '../unit/helpers.ts'
import { kubeconfigFile } from '../unit/transport.ts'
import {
  type Answer,
  apiServer,
  HOSTILE,
  hostileObjects,
  hostileServer,
  manyObjects,
  STRANGERS,
} from './hostile-api.ts'

const SECONDS = 20
/** How often the time that four scripts take for --help is added to that: on an idle machine it is three seconds together. */
const STARTS = 10
const MEMORY = 300 << 20

/**
 * The scripts, and what they are called with. FOLDER is a folder of the test's own, with a backup of a Secret in
 * FOLDER/saved. Those that begin with the server itself (change-ip, purge, preflight, ssh) get as far as this only by SSH.
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
}

/** Those against which every answer is tried; the others meet the ones that each part of the client is asked by. */
const FEW = ['status', 'diagnose', 'install-app']
const FOR_ALL = ['a body without end', 'a slow body', 'an HTML page', '404 for everything']

/** Runs a script against a server; how it ended, all that it said, and the most memory that it had. */
async function runAgainst(name: string, url: string) {
  const folder = temporaryFolder()
  const cluster = join(folder, 'clusters', 'oas')
  mkdirSync(cluster, { recursive: true })
  const kubeconfig = join(cluster, 'kube_config_cluster.yml')
  writeFileSync(kubeconfig, readFileSync(kubeconfigFile({ server: url })), { mode: 0o600 })
  writeFileSync(
    join(cluster, '.flux.env'),
    'domain=oas.example.org\nip_address=203.0.113.7\nadmin_email=a@example.org\noutgoing_mail_enabled=false\n',
  )
  const peak = join(folder, 'peak')
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { namespace: 'flux-system', name: 'oas-wekan-variables' },
    type: 'Opaque',
    data: { wekan_oauth_client_secret: 'eA==' },
  }
  const origin = { cluster: 'oas', server: url, createdAt: new Date().toISOString(), absent: [] }
  await writeBackup(join(folder, 'saved'), { ...origin, secrets: [secret] }, undefined, async () => undefined)
  const args = CALLS[name]!.map(arg => arg.replace('FOLDER', folder).replace('KUBECONFIG', kubeconfig))
  const outcome = await runScript(name, args, {
    env: {
      OAS_CLUSTERS_DIR: join(folder, 'clusters'),
      OAS_PEAK: peak,
      NODE_OPTIONS: `--import ${join(ROOT, 'test/host/peak.mjs')}`,
      OAS_CLUSTER: 'oas',
    },
  })
  return { ...outcome, peak: Number(readFileSync(peak, 'utf8')) }
}

/** Every script against one server, four at once. */
async function allAgainst(
  answer: Answer,
  scripts: readonly string[],
  memory: number,
  check: (name: string, outcome: Awaited<ReturnType<typeof runAgainst>>) => void,
): Promise<void> {
  const { url, close } = await hostileServer(answer)
  const names = [...scripts]
  const starts = await Promise.all(
    ['status', 'diagnose', 'logs', 'info'].map(name => runScript(name, ['--help'])),
  )
  const limit = SECONDS + STARTS * Math.max(...starts.map(({ seconds }) => seconds))
  const failures: string[] = []
  const work = async () => {
    for (let name = names.shift(); name; name = names.shift()) {
      const outcome = await runAgainst(name, url)
      try {
        assert.ok(outcome.seconds < limit, `${outcome.seconds} s of ${limit}`)
        assert.ok(outcome.peak < memory, `${outcome.peak >> 20} MB`)
        const said = outcome.stdout + outcome.stderr
        assert.is(said, printable(said))
        assert.not.match(said, /^✓ everything is healthy/m)
        assert.not.match(said, 'unexpected:')
        check(name, outcome)
      } catch (error) {
        failures.push(
          `${name} (${outcome.code}, ${outcome.seconds.toFixed(1)} s, ${outcome.peak >> 20} MB): ${(error as Error).message}\n${outcome.stdout}${outcome.stderr}`.slice(
            0,
            1500,
          ),
        )
      }
    }
  }
  await Promise.all([work(), work(), work(), work()])
  close()
  assert.equal(failures.join('\n\n'), '')
}

for (const [what, answer] of Object.entries(STRANGERS))
  test(`${what}: one clear error`, () =>
    allAgainst(
      answer,
      FOR_ALL.includes(what) ? Object.keys(CALLS) : FEW,
      MEMORY,
      (name, { code, stderr, stdout }) => {
        // What needs no cluster for its main part tells in one line that it could not ask it.
        if (name === 'info') return assert.match(stdout + stderr, /not asked|was not asked/)
        assert.is(code, 1)
        if (name === 'bundle') return assert.match(stderr, 'the bundle is written, but')
        const errors = stderr.split('\n').filter(line => line.startsWith('✗ '))
        assert.is(errors.length, 1, stderr)
        assert.match(stderr, /\n {2}fix: /)
        assert.not.match(stdout + stderr, /not installed|absent|has no node/)
      },
    ))

test('hostile texts in every object: a clean screen', () =>
  allAgainst(apiServer(hostileObjects), Object.keys(CALLS), MEMORY, () => {}))

test('lists that never end: one clear error', () =>
  allAgainst(
    apiServer((kind, i) => ({ metadata: { name: `${kind.toLowerCase()}-${i}`, namespace: 'oas-apps' } })),
    FEW,
    MEMORY,
    (_name, { code }) => assert.is(code, 1),
  ))

// V8 lets garbage lie while there is memory: what is held is less.
test('100,000 objects', () =>
  allAgainst(apiServer(manyObjects), ['status', 'diagnose'], 330 << 20, (_name, { code }) =>
    assert.is(code, 3),
  ))

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

test.run()
