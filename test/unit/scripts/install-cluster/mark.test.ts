import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Mark } from '../../../../lib/server/server-identity.ts'
import { checkPurged } from '../../../../scripts/install-cluster/mark.ts'
import { expectedFrom } from '../../helpers.ts'

const mark: Mark = {
  cluster: 'oas',
  domain: 'oas.example.org',
  machineId: 'm1',
  markedAt: '2026-11-22T10:00:00.000Z',
}

test('a purge that is not complete stands in the way', async () => {
  checkPurged('root@vps', undefined)
  checkPurged('root@vps', mark)
  const purging = { since: '2026-11-22T11:00:00.000Z' }
  const error = await expectedFrom(() => checkPurged('root@vps', { ...mark, purging }))
  assert.is(error.exitCode, 4)
  assert.is(error.message, 'the purge of root@vps is unfinished (started 2026-11-22T11:00:00.000Z)')
  assert.is(error.fix, 'complete it first: npx tsx scripts/purge.ts --cluster oas')
})

test.run()
