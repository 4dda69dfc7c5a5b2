import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { upgradeProblem } from '../../../../scripts/install-cluster/upgrade.ts'

test('a downgrade and a minor version left out are refused, with exit code 4', () => {
  assert.is(upgradeProblem('v1.36.4+k3s1', 'v1.36.4+k3s1'), undefined)
  assert.is(upgradeProblem('v1.35.9+k3s1', 'v1.36.4+k3s1'), undefined)
  const down = upgradeProblem('v1.36.4+k3s2', 'v1.36.4+k3s1')!
  assert.match(down.message, 'downgrade')
  assert.is(down.exitCode, 4)
  const skip = upgradeProblem('v1.34.1+k3s1', 'v1.36.4+k3s1')!
  assert.match(skip.message, 'left out')
  assert.match(skip.fix, '--k3s-version v1.35.N+k3s1')
  assert.is(skip.exitCode, 4)
})

test.run()
