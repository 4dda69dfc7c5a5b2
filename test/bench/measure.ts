/** What the benchmarks share: medians of alternating runs, told as ratios. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { table } from '../../lib/script/table.ts'
import { builtPrograms } from '../bed/build/build.ts'
import { BED } from '../bed/build/programs.ts'
import { layoutOf } from '../bed/cluster/layout.ts'

/** The middle one of some numbers. */
export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** What a process took: milliseconds on the clock, and of processor time, which other load hardly changes. */
export interface Taken {
  clock: number
  processor: number
}

/** The medians of each contender. They take turns, so that a busy machine slows all of them. */
export async function alternate(
  contenders: Readonly<Record<string, () => Promise<Taken>>>,
  rounds: number,
): Promise<Map<string, Taken>> {
  const samples = new Map(Object.keys(contenders).map(name => [name, [] as Taken[]]))
  // The first round fills caches and does not count.
  for (let round = -1; round < rounds; round++)
    for (const [name, run] of Object.entries(contenders)) {
      const taken = await run()
      if (round >= 0) samples.get(name)!.push(taken)
    }
  return new Map(
    [...samples].map(([name, all]) => [
      name,
      { clock: median(all.map(each => each.clock)), processor: median(all.map(each => each.processor)) },
    ]),
  )
}

/** Milliseconds of processor time of all our children that have ended, in steps of 10 (proc(5), /proc/PID/stat). */
function processorOfChildren(): number {
  const fields = readFileSync('/proc/self/stat', 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return (Number(fields[13]) + Number(fields[14])) * 10
}

/** Runs a program to its end. Rejects when it fails, with what it said. One at a time. */
export function timed(program: string, args: readonly string[]): Promise<Taken> {
  return new Promise((resolve, reject) => {
    const before = processorOfChildren()
    const began = performance.now()
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', chunk => {
        said += chunk
      })
    child.on('error', reject)
    child.on('close', code => {
      const clock = performance.now() - began
      if (code === 0) resolve({ clock, processor: processorOfChildren() - before })
      else reject(new Error(`${program} ${args.join(' ')} ended with ${code}:\n${said}`))
    })
  })
}

/** Runs a TypeScript program by tsx, without npx in front of it. */
export function timedScript(path: string, args: readonly string[] = []): Promise<Taken> {
  return timed(process.execPath, ['--import', 'tsx', path, ...args])
}

/** kubectl: the one in KUBECTL, or else built into the cache from test/bed/go.mod, of the sandbox's version. */
export async function findKubectl(): Promise<string> {
  if (process.env.KUBECTL) return process.env.KUBECTL
  const progress = (text: string) => console.error(text)
  const kubectl = { name: 'kubectl', package: 'k8s.io/kubernetes/cmd/kubectl', module: 'k8s.io/kubernetes' }
  const waiting = (holder: string) => progress(`waiting for ${holder}`)
  const programs = [{ ...kubectl, tellsVersion: true }]
  const bin = await builtPrograms({ progress, waiting }, { folder: BED, programs })
  return `${bin}/kubectl`
}

/** Prints medians as a table, each beside its ratio to that of `base`. */
export function tellRatios(medians: ReadonlyMap<string, Taken>, base: string): void {
  const reference = medians.get(base)!
  const cells = (part: keyof Taken, taken: Taken) => [
    `${taken[part].toFixed(0)} ms`,
    `${(taken[part] / reference[part]).toFixed(2)}×`,
  ]
  console.log(
    table([
      ['', 'CLOCK', '', 'PROCESSOR', ''],
      ...[...medians].map(([name, taken]) => [name, ...cells('clock', taken), ...cells('processor', taken)]),
    ]),
  )
}

/**
 * Watches a list (`path`) of a sandbox until what is returned is called: times in objects are of whole seconds. `take`
 * gets each object when the API server tells of it.
 */
export function watch(server: string, path: string, take: (object: KubeObject) => void): () => void {
  const read = (file: string) => readFileSync(join(layoutOf('sandbox').pki, file))
  const url = new URL(server + path)
  url.searchParams.set('watch', 'true')
  const sent = request(
    url,
    { ca: read('ca.crt'), cert: read('admin.crt'), key: read('admin.key') },
    answer => {
      const lines = createInterface({ input: answer })
      lines.on('error', () => {}) // cut when it is ended
      lines.on('line', line => {
        const { type, object } = JSON.parse(line) as { type: string; object: KubeObject }
        if (type !== 'DELETED') take(object)
      })
    },
  )
  sent.on('error', () => {})
  sent.end()
  return () => sent.destroy()
}
