/**
 * Faults in the layers of Kubernetes, on the real API server, scheduler and controllers: each is named first,
 * with its remedy, and healed where that is claimed. The kubelets are Stages of kwok (faults/kubelets.ts).
 */
import { suite } from '../suite.ts'
import { healthy, testFaults, testTogether } from './fault-suite.ts'
import { alone, apart, prepare } from './faults/workloads.ts'
import { Bed } from './harness.ts'

const test = suite('diagnose-workloads')
let bed: Bed

test.before(async () => {
  bed = await Bed.startInstalled({ audit: true })
  await prepare(bed)
})
test.after(() => bed?.stop())

test('an installed platform is healthy', () => healthy().then(() => undefined))

testTogether(test, () => bed, apart, { script: 'diagnose' })

testFaults(test, () => bed, alone)

test.run()
