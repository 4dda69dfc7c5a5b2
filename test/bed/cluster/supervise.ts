import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ExpectedError } from '../../../lib/script/errors.ts'
import { until } from '../../../lib/script/wait.ts'
import { type Api, DEADLINE } from './api.ts'
import { allProcesses } from './control-plane.ts'
import type { Layout } from './layout.ts'
import { processDigest, processFailure, runningProcesses, start, stop } from './processes.ts'
import { COMMON_PORTS, type ProcessSpec, type Setting } from './spec.ts'

/** How often a process is started that ends by itself: on a busy machine it may not have waited long enough. */
const STARTS = 3

/** Starts those of the processes that do not run, or do not answer. Resolves when all of them answer. */
export async function ensureProcesses(
  setting: Setting,
  specs: readonly ProcessSpec[],
  api: Api,
  started: string[],
  signal?: AbortSignal,
): Promise<void> {
  const { layout } = setting
  const wanted = digests(setting)
  await Promise.all(
    specs.map(async spec => {
      const alive = () => runningProcesses(layout).some(({ name }) => name === spec.name)
      if (alive() && (await soonHealthy(api, spec))) return
      await stop(layout, [spec.name])
      const begin = () => start(layout, spec, wanted.get(spec.name)!)
      begin()
      started.push(spec.name)
      let starts = 1
      await until<string, true>(
        async () => {
          if (await api.healthy(spec)) return { done: true }
          if (!alive()) {
            if (starts === STARTS) throw processFailure(layout, spec, `ended by itself ${STARTS} times`)
            starts++
            begin()
          }
          return { last: 'it does not answer yet' }
        },
        { deadline: DEADLINE, every: 100, describe: () => '', signal },
      ).catch(error => {
        if (error instanceof ExpectedError && error.message.startsWith('gave up'))
          throw processFailure(layout, spec, `did not answer within ${DEADLINE / 60_000} minutes`)
        throw error
      })
    }),
  )
}

/** Whether a running process answers; it gets a minute, since an earlier `up` may just have started it. */
async function soonHealthy(api: Api, spec: ProcessSpec): Promise<boolean> {
  return await until<void, boolean>(
    async () => ((await api.healthy(spec)) ? { done: true } : { last: undefined }),
    { deadline: 60_000, every: 200, describe: () => 'no answer' },
  ).catch(() => false)
}

/**
 * Ends the sandbox's processes, or those of these names. Users go before what they use: an API server that has
 * lost its etcd takes long to end. Returns the names of those that ran.
 */
export async function stopInOrder(layout: Layout, only?: readonly string[]): Promise<string[]> {
  const names = only ?? runningProcesses(layout).map(({ name }) => name)
  const last = ['kube-apiserver', 'etcd']
  const stopped = await stop(
    layout,
    names.filter(name => !last.includes(name)),
  )
  for (const name of last) if (names.includes(name)) stopped.push(...(await stop(layout, [name])))
  return stopped
}

/** Ends the processes that run with something else than what they should: a program, a port, a certificate. */
export async function stopStale(setting: Setting): Promise<void> {
  const wanted = digests(setting)
  const stale = runningProcesses(setting.layout).filter(({ name, digest }) => wanted.get(name) !== digest)
  await stopInOrder(
    setting.layout,
    stale.map(({ name }) => name),
  )
}

/** The digest that each process should have. */
function digests(setting: Setting): Map<string, string> {
  const ca = readFileSync(join(setting.layout.pki, 'ca.crt'), 'utf8')
  // The kubeconfigs and `.flux.env` hold these. The other ports are in the arguments of those that use them.
  const ports = Object.fromEntries(COMMON_PORTS.map(name => [name, setting.ports[name]]))
  return new Map(allProcesses(setting).map(spec => [spec.name, processDigest(spec, { ports, ca })]))
}
