import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT } from '../../lib/script/files.ts'
import { FAULTS, withTable } from '../cluster/fault-table.ts'

test('the table of faults in README.md is that of the tests', () => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
  assert.ok(readme === withTable(readme), 'run: npx tsx test/cluster/fault-table.ts')
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

test.run()
