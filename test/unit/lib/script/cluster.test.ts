import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import {
  checkClusterName,
  chooseCluster,
  clusterNamed,
  clusterNames,
} from '../../../../lib/script/cluster.ts'
import { UsageError } from '../../../../lib/script/errors.ts'
import { test } from '../../../suite.ts'
import { expectedFrom, temporaryFolder } from '../../helpers.ts'

const saved = { ...process.env }
const root = temporaryFolder()
test.before.each(() => {
  delete process.env.OAS_CLUSTER
  process.env.OAS_CLUSTERS_DIR = mkdtempSync(join(root, 'clusters-'))
})
test.after(() => {
  // The object itself stays: others hold it.
  for (const name of ['OAS_CLUSTER', 'OAS_CLUSTERS_DIR'])
    if (saved[name] === undefined) delete process.env[name]
    else process.env[name] = saved[name]
})
const make = (...names: string[]) => {
  for (const name of names) mkdirSync(join(process.env.OAS_CLUSTERS_DIR!, name))
}
const existing = { mayBeNew: false }

for (const name of ['oas.example.org', 'a', '9', 'sandbox', 'OAS-1', 'x'.repeat(100)])
  test(`${name.slice(0, 20)} is a name`, () => assert.is(checkClusterName(name), undefined))

for (const name of [
  '',
  '.',
  '..',
  '../x',
  'a/b',
  'a\\b',
  '/etc',
  '-x',
  'x-',
  '.hidden',
  'a..b',
  'a b',
  'a\n',
  'a\0b',
  'ä',
  '$(x)',
  'x'.repeat(101),
])
  test(`${JSON.stringify(name).slice(0, 20)} (${name.length}) is refused as a name`, async () => {
    const error = await expectedFrom(() => chooseCluster(name, { mayBeNew: true }))
    assert.instance(error, UsageError)
    assert.ok(error.message.startsWith(JSON.stringify(name)), error.message)
  })

test('all paths of a cluster lie in its folder', () => {
  const folder = join(process.env.OAS_CLUSTERS_DIR!, 'oas.example.org')
  assert.equal(clusterNamed('oas.example.org'), {
    name: 'oas.example.org',
    folder,
    env: join(folder, '.flux.env'),
    kubeconfig: join(folder, 'kube_config_cluster.yml'),
    journal: join(folder, 'journal'),
  })
})

test('only folders with a proper name are clusters', () => {
  make('b', 'a', '.state')
  writeFileSync(join(process.env.OAS_CLUSTERS_DIR!, 'file'), '')
  mkdirSync(join(root, 'elsewhere'))
  symlinkSync(join(root, 'elsewhere'), join(process.env.OAS_CLUSTERS_DIR!, 'linked'))
  assert.equal(clusterNames(), ['a', 'b', 'linked'])
  process.env.OAS_CLUSTERS_DIR = join(root, 'none')
  assert.equal(clusterNames(), [])
})

test('the only cluster is taken, a named one before it', async () => {
  make('a')
  assert.is((await chooseCluster(undefined, existing)).name, 'a')
  make('b')
  assert.is((await chooseCluster('b', existing)).name, 'b')
  process.env.OAS_CLUSTER = 'a'
  assert.is((await chooseCluster(undefined, existing)).name, 'a')
  assert.is((await chooseCluster('b', existing)).name, 'b')
})

test('an unknown cluster is told with the one that was meant, and is fine when it may be new', async () => {
  make('sandbox', 'oas.example.org')
  const error = await expectedFrom(() => chooseCluster('sandbx', existing))
  assert.is(error.exitCode, 2)
  assert.is(error.fix, 'did you mean sandbox?')
  assert.is((await chooseCluster('sandbx', { mayBeNew: true })).name, 'sandbx')
})

test('none, or several and nobody to ask: the error says what to give', async () => {
  assert.match((await expectedFrom(() => chooseCluster(undefined, existing))).fix, 'scripts/sandbox.ts up')
  make('a', 'b')
  const error = await expectedFrom(() => chooseCluster(undefined, existing))
  assert.is(error.message, 'there are 2 clusters: a, b')
  assert.is(error.fix, 'give --cluster NAME')
})

test.run()
