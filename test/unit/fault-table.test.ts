import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FAULTS, PAGE, withTable } from '../cluster/fault-table.ts'
import { LAYER as LOGIN } from '../cluster/faults/login.ts'
import { SAMPLE, sampleOf } from '../cluster/faults/sample.ts'

test('the page of the faults has the table of the tests', () => {
  const page = readFileSync(PAGE, 'utf8')
  assert.ok(page === withTable(page), 'run: npx tsx test/cluster/fault-table.ts')
})

test('no two faults have one name, and there are enough of them', () => {
  const names = FAULTS.map(({ layer, name }) => `${layer} ${name}`)
  assert.equal(
    names.filter((name, i) => names.indexOf(name) !== i),
    [],
  )
  assert.ok(FAULTS.length >= 60, `there are ${FAULTS.length}`)
  assert.ok(FAULTS.filter(({ missed }) => missed).length <= FAULTS.length * 0.05)
})

test('the sample of npm test has faults of every layer but that of logging in', () => {
  const sample = sampleOf(FAULTS)
  const names = sample.map(({ name }) => name)
  assert.equal(
    SAMPLE.filter(name => !names.includes(name)),
    [],
  )
  const layers = new Set([LOGIN, ...sample.map(({ layer }) => layer)])
  assert.equal(
    FAULTS.filter(({ layer }) => !layers.has(layer)).map(({ layer }) => layer),
    [],
  )
})

test.run()
