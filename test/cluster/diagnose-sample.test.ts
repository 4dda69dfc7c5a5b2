/**
 * The faults that `npm test` tries (faults/sample.ts): some of those of diagnose-flux, diagnose-workloads and
 * diagnose-certificates, in the same way, on one bed. `npm run test:all` has those files in its place.
 */
import * as assert from 'uvu/assert'
import { suite } from '../suite.ts'
import { healthy, testFaults, testTogether } from './fault-suite.ts'
import { apart as ofHosts, probing, together } from './faults/certificates.ts'
import { faults as flux } from './faults/flux.ts'
import { sampleOf } from './faults/sample.ts'
import { alone, apart as ofPods, prepare } from './faults/workloads.ts'
import { Bed, runScript } from './harness.ts'

const test = suite('diagnose-sample')
let bed: Bed

test.before(async () => {
  bed = await Bed.startInstalled({ audit: true })
  await prepare(bed)
})
test.after(() => bed?.stop())

test('an installed platform is healthy', async () => {
  await healthy()
  await healthy(probing(bed), 'cert-debug')
  const outcome = await runScript('app-debug', ['wekan'])
  assert.is(outcome.code, 0, outcome.stderr)
  assert.match(outcome.stdout, /✓ +HelmRelease +oas-apps\/wekan/)
  assert.not.match(outcome.stdout, '✗')
})

testTogether(test, () => bed, sampleOf(ofPods), { script: 'diagnose' })

testTogether(test, () => bed, sampleOf(ofHosts), { script: 'cert-debug', args: probing })

testFaults(test, () => bed, sampleOf([...flux, ...alone, ...together]))

test.run()
