/**
 * What `backup` takes beyond Velero's own time with 20 volumes (goal: at most 3 s), what the proof of 200 volumes takes
 * (goal: at most 5 s), and a diagnosis of those with and without the kinds of Velero (goal: not slower). Starts a sandbox
 * of its own with the real Velero and its bucket; a stand-in says that volumes were copied (test/cluster/velero-bed.ts).
 *
 * Usage: npx tsx test/bench/backup.ts [ROUNDS]
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isUnfinished } from '../../lib/backup/objects.ts'
import { newestBackups } from '../../lib/backup/velero.ts'
import { diagnose } from '../../lib/diagnosis/diagnose.ts'
import { gather } from '../../lib/diagnosis/gather.ts'
import { RULES } from '../../lib/diagnosis/rules/index.ts'
import { Kubectl, type KubeObject, type ListOptions } from '../../lib/kubectl/kubectl.ts'
import { ROOT } from '../../lib/script/files.ts'
import { table } from '../../lib/script/table.ts'
import { until } from '../../lib/script/wait.ts'
import { Bed, runScript } from '../cluster/harness.ts'
import { inParallel } from '../cluster/pods.ts'
import { podWithClaims, VeleroBed } from '../cluster/velero-bed.ts'
import { alternate, median, type Taken, tellRatios, timedScript, watch } from './measure.ts'

const [FEW, MANY, FILES] = [20, 200, 100]
const rounds = Number(process.argv[2] ?? 5)
const bed = await Bed.startInstalled()
const velero = await VeleroBed.start(bed)
const folder = mkdtempSync(join(tmpdir(), 'oas-bench-'))
const volumes = async () => (await bed.kubectl.list('v1', 'PersistentVolumeClaim')).length

/** Adds volumes with some files each, up to so many in the cluster. */
async function addFolders(count: number): Promise<void> {
  const there = await volumes()
  await inParallel(count - there, async i => {
    const name = `volume-${i}`
    mkdirSync(join(folder, name))
    for (let file = 0; file < FILES; file++) writeFileSync(join(folder, name, `${file}`), `${name}/${file}`)
    await velero.addFolder(name, join(folder, name))
  })
}

/** Adds volumes by the ten, up to so many in the cluster: a node takes no 200 pods. */
async function addVolumes(count: number): Promise<void> {
  const there = await volumes()
  await inParallel(Math.ceil((count - there) / 10), async i => {
    const names = Array.from({ length: Math.min(10, count - there - 10 * i) }, (_, j) => `many-${i}-${j}`)
    const paths = Object.fromEntries(names.map(name => [name, `/${name}`]))
    for (const object of podWithClaims(`many-${i}`, paths)) await bed.kubectl.create(object)
  })
  await until(
    async () => {
      const claims = await bed.kubectl.list('v1', 'PersistentVolumeClaim')
      const pods = await bed.kubectl.list('v1', 'Pod', { namespace: 'oas-apps' })
      const waiting = [
        ...claims.filter(({ status }) => status?.phase !== 'Bound'),
        ...pods.filter(({ status }) => status?.phase !== 'Running'),
      ]
      return waiting.length === 0 ? { done: true } : { last: waiting.map(({ metadata }) => metadata.name) }
    },
    { deadline: 300_000, describe: String },
  )
}

/** Milliseconds of a backup: before Velero has its object, while it works on it, and after that. */
async function backUp(): Promise<{ before: number; ofVelero: number; after: number }> {
  const earlier = new Set((await newestBackups(bed.kubectl)).map(({ metadata }) => metadata.name))
  let [there, ended] = [0, 0]
  const stop = watch(bed.kubectl.client.server, '/apis/velero.io/v1/namespaces/velero/backups', object => {
    if (earlier.has(object.metadata.name)) return
    there ||= performance.now()
    if (!isUnfinished(object)) ended ||= performance.now()
  })
  const began = performance.now()
  const { code, stderr } = await runScript('backup', ['--yes'], { timeout: 600_000 })
  const done = performance.now()
  if (code !== 0) throw new Error(stderr)
  // The API server may tell others before us.
  await until(async () => (ended > 0 ? { done: true } : { last: 'not seen' }), {
    deadline: 5000,
    every: 50,
    describe: last => `its end was ${last}`,
  })
  stop()
  return { before: there - began, ofVelero: ended - there, after: done - ended }
}

/** The same cluster without what Velero has in it. */
class WithoutVelero extends Kubectl {
  override async *pages<T extends KubeObject>(apiVersion: string, kind: string, options?: ListOptions) {
    if (!apiVersion.startsWith('velero.io/')) yield* super.pages<T>(apiVersion, kind, options)
  }
}

/** A diagnosis in this process. */
async function looked(kubectl: Kubectl): Promise<Taken> {
  const [began, used] = [performance.now(), process.cpuUsage()]
  diagnose(await gather(kubectl), RULES)
  const { user, system } = process.cpuUsage(used)
  return { clock: performance.now() - began, processor: (user + system) / 1000 }
}

try {
  await velero.removeHooks()
  await addFolders(FEW)
  const taken: Awaited<ReturnType<typeof backUp>>[] = []
  // The first one creates the repositories and does not count.
  for (let round = -1; round < rounds; round++) {
    const one = await backUp()
    if (round >= 0) taken.push(one)
  }
  const seconds = (of: (one: (typeof taken)[number]) => number) =>
    `${(median(taken.map(of)) / 1000).toFixed(2)} s`
  console.log(
    table([
      ['', 'BEFORE', 'VELERO', 'AFTER', 'BEYOND'],
      [
        `backup of ${await volumes()} volumes`,
        seconds(({ before }) => before),
        seconds(({ ofVelero }) => ofVelero),
        seconds(({ after }) => after),
        seconds(({ before, after }) => before + after),
      ],
    ]),
  )

  await addVolumes(MANY)
  const { name } = (await velero.nightly()).metadata
  const proof = `the proof of ${await volumes()} volumes`
  tellRatios(
    await alternate(
      {
        [proof]: () => timedScript(join(ROOT, 'scripts/backup.ts'), ['--verify', name]),
        'an empty program': () => timedScript(join(ROOT, 'test/bench/empty.ts')),
      },
      rounds,
    ),
    'an empty program',
  )

  await velero.stop() // its stand-in for the node-agent works in this process
  const without = new WithoutVelero(bed.kubectl.client)
  tellRatios(
    await alternate(
      {
        'a diagnosis without the kinds of Velero': () => looked(without),
        'a diagnosis': () => looked(bed.kubectl),
      },
      3 * rounds,
    ),
    'a diagnosis without the kinds of Velero',
  )
} finally {
  await velero.stop()
  await bed.stop()
  rmSync(folder, { recursive: true, force: true })
}
