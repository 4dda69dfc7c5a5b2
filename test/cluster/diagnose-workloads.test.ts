/**
 * Faults in the layers of Kubernetes, on the real API server, scheduler and controllers: each is named first,
 * with its remedy, and healed where that is claimed. The kubelets are Stages of kwok (faults/kubelets.ts).
 */
import { suite } from '../suite.ts'
import { healthy, testFaults, testTogether } from './fault-suite.ts'
import { alone, apart, prepare } from './faults/workloads.ts'
import { succeeds } from './faults.ts'
import { Bed } from './harness.ts'

const test = suite('diagnose-workloads')
let bed: Bed

test.before(async () => {
  bed = await Bed.start({ audit: true })
  await succeeds('install-core', '--set', 'git_branch=main')
  await succeeds('install-app', 'wekan')
  await succeeds('install-app', 'velero')
  await prepare(bed)
})
test.after(() => bed?.stop())

test('an installed platform is healthy', () => healthy().then(() => undefined))

testTogether(test, () => bed, apart, { script: 'diagnose' })

testFaults(test, () => bed, alone)

test.run()
