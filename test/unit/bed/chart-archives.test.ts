import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { load } from 'js-yaml'
import { list } from 'tar'
import * as assert from 'uvu/assert'
import { pinnedCharts, refreshCharts } from '../../bed/build/charts.ts'
import { refreshRepository } from '../../bed/build/git.ts'
import { test } from '../../suite.ts'

const base = mkdtempSync(join(tmpdir(), 'oas-charts-'))
test.after(() => rmSync(base, { recursive: true, force: true }))

const write = (file: string, text: string) => {
  mkdirSync(dirname(join(base, file)), { recursive: true })
  writeFileSync(join(base, file), text)
}
const release = (name: string, chart: string, version: string) =>
  `kind: HelmRelease\nmetadata: {name: ${name}}\nspec: {chart: {spec: {chart: ${chart}, version: ${version}}}}\n`

const options = {
  repository: join(base, 'served.git'),
  charts: join(base, 'charts'),
  crds: join(base, 'crds'),
  temporary: join(base, 'tmp'),
}
const refresh = async (given?: string) => {
  await refreshRepository(options.repository, { worktree: true, source: join(base, 'source') })
  return await refreshCharts({ ...options, given })
}
const entriesOf = async (file: string) => {
  const names: string[] = []
  await list({ file: join(options.charts, file), onReadEntry: entry => names.push(entry.path) })
  return names.sort()
}

test.before(() => {
  write(
    'source/flux2/a/release.yaml',
    `${release('one', 'little', '1.2.3')}---\n${release('two', 'gone', '4.0.0')}`,
  )
  write('source/flux2/b/deep/release.yaml', release('three', 'little', '2.0.0'))
  write('source/flux2/b/values.yaml', 'kind: ConfigMap\n')
  write(
    'source/test/bed/charts/little/Chart.yaml',
    'apiVersion: v2\nname: little\nversion: 0.0.0\nannotations: {openappstack.net/crds: "kinds"}\n',
  )
  write('source/test/bed/charts/little/templates/x.yaml', 'a: 1\n')
  write('source/test/bed/charts/_shared/_objects.tpl', '\n')
  write('crds/kinds.yaml', 'kind: CustomResourceDefinition\n')
})

test('finds what releases pin, each chart and version once', () => {
  const texts = [
    release('a', 'x', '1.0.0'),
    `${release('b', 'x', '1.0.0')}---\n${release('c', 'x', '"2"')}`,
    '- a',
  ]
  assert.equal(
    pinnedCharts(texts).map(({ chart, version }) => [chart, version]),
    [
      ['x', '1.0.0'],
      ['x', '2'],
    ],
  )
})

test('serves stand-ins at the pinned versions and tells which are missing', async () => {
  const { charts, missing } = await refresh()
  assert.equal(charts, ['little 1.2.3', 'little 2.0.0'])
  assert.equal(
    missing.map(({ message }) => message),
    ['HelmRelease two pins chart gone 4.0.0, which has no stand-in'],
  )
  assert.equal(await entriesOf('little-1.2.3.tgz'), [
    'little/Chart.yaml',
    'little/crds/kinds.yaml',
    'little/templates/_objects.tpl',
    'little/templates/x.yaml',
  ])
  const index = load(readFileSync(join(options.charts, 'index.yaml'), 'utf8')) as {
    entries: { little: { version: string; digest: string; urls: string[] }[] }
  }
  for (const { version, digest, urls } of index.entries.little) {
    assert.equal(urls, [`little-${version}.tgz`])
    const archive = readFileSync(join(options.charts, urls[0]!))
    assert.is(createHash('sha256').update(archive).digest('hex'), digest)
  }
})

test('makes the same bytes again from the same charts', async () => {
  await refresh()
  const before = readFileSync(join(options.charts, 'index.yaml'), 'utf8')
  await refresh()
  assert.is(readFileSync(join(options.charts, 'index.yaml'), 'utf8'), before)
})

test('serves given archives in place of the stand-ins', async () => {
  await refresh()
  const given = join(base, 'given')
  mkdirSync(given)
  writeFileSync(join(given, 'real.tgz'), readFileSync(join(options.charts, 'little-1.2.3.tgz')))
  const { charts, missing } = await refresh(given)
  assert.equal(charts, ['little 1.2.3'])
  assert.is(missing.length, 2)
  assert.equal(readdirSync(options.charts).sort(), ['index.yaml', 'real.tgz'])
})

test('tells of which charts another archive was served before, at the same version', async () => {
  assert.equal((await refresh()).replaced, [])
  write('source/test/bed/charts/little/templates/x.yaml', 'a: 2\n')
  assert.equal((await refresh()).replaced, ['little 1.2.3', 'little 2.0.0'])
  assert.equal((await refresh()).replaced, [])
  // Whatever the file is called.
  const given = join(base, 'other')
  mkdirSync(given)
  writeFileSync(join(given, 'other.tgz'), readFileSync(join(options.charts, 'little-1.2.3.tgz')))
  write('source/test/bed/charts/little/templates/x.yaml', 'a: 3\n')
  await refresh()
  assert.equal((await refresh(given)).replaced, ['little 1.2.3'])
})

test('refuses an archive that is no chart', async () => {
  const given = join(base, 'broken')
  mkdirSync(given)
  writeFileSync(join(given, 'broken.tgz'), 'nothing')
  let message = ''
  await refresh(given).catch(error => {
    message = error.message
  })
  assert.match(message, /broken\.tgz is not a Helm chart/)
})

test('names unknown CRDs that a stand-in asks for', async () => {
  write(
    'source/test/bed/charts/little/Chart.yaml',
    'apiVersion: v2\nname: little\nversion: 0.0.0\nannotations: {openappstack.net/crds: "other"}\n',
  )
  let message = ''
  await refresh().catch(error => {
    message = error.message
  })
  assert.match(message, /little needs the CRDs of other, which are unknown/)
})

test.run()
