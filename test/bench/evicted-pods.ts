/**
 * How fast evicted pods are deleted, on the real API server of a sandbox: as the script does it, by bare
 * parallel requests (both in this process, in turns), by the script as a whole (start, counting and lock
 * included), and by the kubectl, jq and xargs of the docs of 0.7.0. That one is run on a few pods, and its time
 * for each is multiplied: it does one after the other.
 *
 * Usage: npx tsx test/bench/evicted-pods.ts [COUNT [ROUNDS]]   (2000, 3; KUBECTL names the kubectl)
 */
import { execFileSync, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import https from 'node:https'
import { join } from 'node:path'
import { ROOT } from '../../lib/script/files.ts'
import { deleteEvicted } from '../../scripts/delete-evicted-pods/eviction.ts'
import { Bed } from '../cluster/harness.ts'
import { createEvicted, inParallel } from '../cluster/pods.ts'

const COUNT = Number(process.argv[2] ?? 2000)
const ROUNDS = Number(process.argv[3] ?? 3)
const FEW = 20
const kubectl = process.env.KUBECTL ?? 'kubectl'
const { signal } = new AbortController()
const bed = await Bed.start()

/** Seconds that some work takes. */
async function seconds(work: () => Promise<unknown> | unknown): Promise<number> {
  const started = performance.now()
  await work()
  return (performance.now() - started) / 1000
}

/** The middle one. */
const median = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1]!

/** Runs the script; resolves with its peak of resident memory in MiB. */
function runScript(): Promise<number> {
  return new Promise((resolve, reject) => {
    const args = [
      '--import',
      'tsx',
      join('scripts', 'delete-evicted-pods.ts'),
      '--yes',
      '--namespace',
      'bench',
    ]
    // V8 collects when it must: a heap that is small shows what has to be kept.
    const env = { ...process.env, NODE_OPTIONS: '--max-old-space-size=64' }
    const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: 'ignore' })
    let peak = 0
    const timer = setInterval(() => {
      try {
        const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
        peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024)
      } catch {
        // It has just ended.
      }
    }, 50)
    child.on('error', reject)
    child.on('close', code => {
      clearInterval(timer)
      if (code === 0) resolve(peak)
      else reject(new Error(`the script ended with ${code}`))
    })
  })
}

/** Deletes the pods by bare requests over 32 connections, knowing their names: nothing can be faster by much. */
async function rawDeletes(): Promise<void> {
  const pki = join(bed.cluster, '.state', 'pki')
  const read = (file: string) => readFileSync(join(pki, file))
  const agent = new https.Agent({
    keepAlive: true,
    maxSockets: 32,
    ca: read('ca.crt'),
    cert: read('admin.crt'),
    key: read('admin.key'),
  })
  await inParallel(
    COUNT,
    i =>
      new Promise<void>((resolve, reject) => {
        const url = `${bed.kubectl.client.server}/api/v1/namespaces/bench/pods/evicted-${i}`
        https
          .request(url, { method: 'DELETE', agent }, response => {
            response.resume().on('end', () => {
              if (response.statusCode === 200) resolve()
              else reject(new Error(`HTTP ${response.statusCode}`))
            })
          })
          .on('error', reject)
          .end()
      }),
  )
  agent.destroy()
}

/** The command of the docs, word for word but for the path of kubectl. */
function docs(): void {
  const pipeline = `${kubectl} get pods --all-namespaces -ojson | jq -r '.items[] | select(.status.reason!=null) | select(.status.reason | contains("Evicted")) | .metadata.name + " " + .metadata.namespace' | xargs -n2 -l bash -c '${kubectl} delete pods $0 --namespace=$1'`
  execFileSync('bash', ['-c', pipeline], {
    env: { ...process.env, KUBECONFIG: bed.up.kubeconfig },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}

try {
  await bed.kubectl.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'bench' } })
  const create = (count: number) => createEvicted(bed.kubectl, 'bench', count)

  await create(FEW)
  const one = (await seconds(docs)) / FEW
  console.log(`docs: ${one.toFixed(3)} s a pod, × ${COUNT} = ${(one * COUNT).toFixed(0)} s`)

  // A first run with a tenth: memory that grows with the number of pods would show.
  await create(Math.ceil(COUNT / 10))
  const small = await runScript()
  const [raws, ours]: number[][] = [[], []]
  for (let round = 1; round <= ROUNDS; round++) {
    await create(COUNT)
    raws!.push(await seconds(rawDeletes))
    await create(COUNT)
    ours!.push(await seconds(() => deleteEvicted(bed.kubectl, {}, () => undefined, signal)))
    console.log(
      `round ${round}: bare requests ${raws!.at(-1)!.toFixed(2)} s, ours ${ours!.at(-1)!.toFixed(2)} s`,
    )
  }
  const ratio = median(ours!) / median(raws!)
  console.log(`${COUNT} pods: ${ratio.toFixed(2)} times the time of bare requests (goal: 1.2 at 10000 pods)`)
  await create(COUNT)
  let large = 0
  const script = await seconds(async () => {
    large = await runScript()
  })
  console.log(`the script as a whole: ${script.toFixed(2)} s`)
  console.log(`  ${((one * COUNT) / script).toFixed(0)} times as fast as the docs (goal: 20 at 10000 pods)`)
  console.log(`  peak memory ${large.toFixed(0)} MiB; ${small.toFixed(0)} MiB with a tenth of the pods`)
} finally {
  await bed.stop()
}
