/**
 * What upgrade-0.7 itself takes, apart from Flux: the whole process without the two steps in which it waits for
 * Flux, and what the same steps of the rollback take (goal: at most 5 s). It looks every 0.7 s while it waits: half
 * of that is added for each wait. Starts a sandbox of its own with the small platform of test/fixtures/upgrade.
 *
 * Usage: npx tsx test/bench/upgrade.ts [ROUNDS]
 */
import { join } from 'node:path'
import { CURRENT_KINDS } from '../../lib/flux/flux-versions.ts'
import { table } from '../../lib/script/table.ts'
import { Bed, runScript } from '../cluster/harness.ts'
import { APPS, commitPlatform, platformObjects, platformReady } from '../fixtures/upgrade/platform.ts'
import { median } from './measure.ts'

const rounds = Number(process.argv[2] ?? 3)
const WAITS = /^(Wait until|Reconcile everything)/
const LAG = 0.35
const bed = await Bed.start()

/** Seconds of the whole run, and of it without the waits for Flux. */
async function taken(...args: string[]): Promise<{ all: number; own: number }> {
  const outcome = await runScript('upgrade-0.7', ['--cluster', 'sandbox', '--yes', '--json', ...args])
  if (outcome.code !== 0) throw new Error(outcome.stderr)
  const { steps } = JSON.parse(outcome.stdout) as { steps: { title: string; seconds: number }[] }
  const waits = steps.filter(({ title }) => WAITS.test(title))
  const waited = waits.reduce((sum, { seconds }) => sum + seconds - LAG, 0)
  return { all: outcome.seconds, own: outcome.seconds - waited }
}

try {
  const { kubectl } = bed
  await kubectl.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'flux-system' } })
  commitPlatform(join(bed.cluster, '.state', 'served', 'openappstack.git'))
  for (const object of platformObjects(CURRENT_KINDS, bed.up.gitUrl, APPS)) await kubectl.create(object)
  await platformReady(kubectl, CURRENT_KINDS, 7)
  const contenders = new Map([
    ['upgrade-0.7', [] as string[]],
    ['upgrade-0.7 --rollback', ['--rollback']],
  ])
  const samples = new Map([...contenders.keys()].map(name => [name, [] as { all: number; own: number }[]]))
  for (let round = 0; round < rounds; round++)
    for (const [name, args] of contenders) samples.get(name)!.push(await taken(...args))
  const cells = ([name, list]: [string, { all: number; own: number }[]]) => [
    name,
    `${median(list.map(({ own }) => own)).toFixed(2)} s`,
    `${median(list.map(({ all }) => all)).toFixed(1)} s`,
  ]
  console.log(table([['', 'ITSELF', 'WITH FLUX'], ...[...samples].map(cells)]))
} finally {
  await bed.stop()
}
