import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { load } from 'js-yaml'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT } from '../../../lib/script/files.ts'
import { pinnedCharts } from '../../bed/build/charts.ts'

const folder = join(ROOT, 'test/bed/charts')
const standIns = readdirSync(folder, { withFileTypes: true })
  .filter(entry => entry.isDirectory() && !entry.name.startsWith('_'))
  .map(entry => entry.name)
const read = (...path: string[]) => readFileSync(join(folder, ...path), 'utf8')

test('there is a stand-in for every chart that a release pins, and no other', () => {
  const releases = readdirSync(join(ROOT, 'flux2'), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.yaml'))
    .map(name => readFileSync(join(ROOT, 'flux2', name), 'utf8'))
  const pinned = new Set(pinnedCharts(releases).map(({ chart }) => chart))
  assert.equal([...standIns].sort(), [...pinned].sort())
})

for (const name of standIns) {
  test(`${name} says that it is a stand-in and leaves its version to the packager`, () => {
    const chart = load(read(name, 'Chart.yaml')) as Record<string, string>
    assert.is(chart.name, name)
    assert.match(chart.description!, /^Stand-in for the upstream chart .+ tests only$/)
    assert.is(chart.version, '0.0.0')
    assert.match(read(name, 'README.md'), /not the upstream chart/)
  })

  test(`${name} refuses values it does not know, and knows its own`, () => {
    const schema = JSON.parse(read(name, 'values.schema.json'))
    assert.is(schema.additionalProperties, false)
    const values = load(read(name, 'values.yaml')) as Record<string, unknown>
    assert.equal(Object.keys(schema.properties).sort(), Object.keys(values).sort())
  })

  test(`${name} brings no CRDs of its own`, () => {
    assert.not.ok(existsSync(join(folder, name, 'crds')))
  })
}

test.run()
