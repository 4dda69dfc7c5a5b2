/**
 * What install-app itself takes, apart from Flux: from its start until Flux has the Kustomization, and from
 * Ready until it ends (goal: at most 1 s), against `kubectl apply` and `kubectl wait`. The conditions of Flux
 * know whole seconds only, so a watch stamps the moments. Starts a sandbox of its own with the core in it.
 *
 * Usage: npx tsx test/bench/install-app-overhead.ts [ROUNDS]
 * Environment: KUBECTL, the kubectl to compare with; without it one is built once.
 */
import { join } from 'node:path'
import { HELM_RELEASE, KUSTOMIZATION, standing } from '../../lib/flux/flux.ts'
import { ROOT } from '../../lib/script/files.ts'
import { table } from '../../lib/script/table.ts'
import { until } from '../../lib/script/wait.ts'
import { Bed, runScript } from '../cluster/harness.ts'
import { findKubectl, median, timed, watch } from './measure.ts'

const APP = 'wekan'
const rounds = Number(process.argv[2] ?? 5)
const kubectl = await findKubectl()
const bed = await Bed.start()

/** The moments at which a Kustomization was there first, and became Ready last. */
interface Moments {
  there: number
  ready: number
}

/** Watches the application's Kustomization until `stop` is called. */
function watching(): { moments: Moments; stop: () => void } {
  const moments: Moments = { there: 0, ready: 0 }
  let ready = false
  const list = `/apis/${KUSTOMIZATION.apiVersion}/namespaces/flux-system/kustomizations`
  const stop = watch(bed.kubectl.client.server, `${list}?fieldSelector=metadata.name=${APP}`, object => {
    const now = performance.now()
    moments.there ||= now
    const isReady = standing(object).state === 'ready'
    if (isReady && !ready) moments.ready = now
    ready = isReady
  })
  return { moments, stop }
}

/** Removes the application, so that it can be installed again. */
async function remove(): Promise<void> {
  await bed.kubectl.delete({ ...KUSTOMIZATION, name: APP, namespace: 'flux-system' })
  await until(
    async () => {
      const left = [
        await bed.kubectl.get({ ...KUSTOMIZATION, name: APP, namespace: 'flux-system' }),
        await bed.kubectl.get({ ...HELM_RELEASE, name: APP, namespace: 'oas-apps' }),
      ]
      return left.some(Boolean) ? { last: 'still there' } : { done: undefined }
    },
    { deadline: 120_000, every: 300, describe: last => `${APP} is ${last}` },
  )
}

/** Seconds before Flux has the Kustomization, until it is Ready, and after that, of one installation. */
async function split(install: () => Promise<unknown>): Promise<number[]> {
  await remove()
  const { moments, stop } = watching()
  const began = performance.now()
  await install()
  const ended = performance.now()
  // The API server may tell others before us.
  await until(async () => (moments.ready > 0 ? { done: undefined } : { last: 'not seen' }), {
    deadline: 5000,
    every: 50,
    describe: last => `Ready was ${last}`,
  })
  stop()
  return [moments.there - began, moments.ready - moments.there, ended - moments.ready].map(ms => ms / 1000)
}

const contenders: Record<string, () => Promise<unknown>> = {
  'install-app': async () => {
    const { code, stderr } = await runScript('install-app', [APP, '--yes'])
    if (code !== 0) throw new Error(stderr)
  },
  'kubectl apply, kubectl wait': async () => {
    const flags = [`--kubeconfig=${bed.up.kubeconfig}`, '-n', 'flux-system']
    await timed(kubectl, [...flags, 'apply', '-f', join(ROOT, 'flux2/cluster/apps', `${APP}.yaml`)])
    await timed(kubectl, [...flags, 'wait', '--for=condition=Ready', `kustomization/${APP}`, '--timeout=5m'])
  },
}

try {
  const core = await runScript('install-core', ['--yes'], { timeout: 600_000 })
  if (core.code !== 0) throw new Error(core.stderr)
  const taken = new Map(Object.keys(contenders).map(name => [name, [] as number[][]]))
  for (let round = 0; round < rounds; round++)
    for (const [name, install] of Object.entries(contenders)) taken.get(name)!.push(await split(install))
  const seconds = (samples: number[][], part: number) =>
    median(samples.map(sample => sample[part]!)).toFixed(2)
  console.log(
    table([
      ['', 'BEFORE', 'FLUX', 'AFTER READY'],
      ...[...taken].map(([name, samples]) => [name, ...[0, 1, 2].map(part => `${seconds(samples, part)} s`)]),
    ]),
  )
} finally {
  await bed.stop()
}
