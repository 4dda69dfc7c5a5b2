import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../../../lib/script/wait.ts'
import type { Building } from '../build/build.ts'
import { refreshCharts } from '../build/charts.ts'
import { refreshRepository, type ServedCommit } from '../build/git.ts'
import { DEADLINE } from '../cluster/api.ts'
import { ensureBed } from '../cluster/bed.ts'
import type { Layout } from '../cluster/layout.ts'
import { processFailure, runningProcesses, start } from '../cluster/processes.ts'
import type { ProcessSpec } from '../cluster/spec.ts'
import type { Machine } from './machine.ts'
import { netnsFile, OUR_ADDRESS } from './machine-network.ts'
import { bedName } from './machines.ts'

/** What servers find on our side of their network, as `.flux.env` calls it. */
export interface ServedToMachines {
  gitUrl: string
  chartsMirror: string
  fluxManifest: string
  served: ServedCommit
}

/** On an address of our own any port would do; this one is hardly ever taken on all addresses. */
const PORT = 7780
const URL = `http://${OUR_ADDRESS}:${PORT}`

/**
 * Serves the checkout's Git repository and the charts to the servers, as the sandbox does to its own Flux. Brings
 * both up to date where they are served already.
 */
export async function serveMachines(
  layout: Layout,
  machine: Machine,
  options: Building & { worktree: boolean; onHost: boolean; charts?: string; binDir?: string },
): Promise<ServedToMachines> {
  const bed = await ensureBed(options)
  const repository = repositoryOf(layout)
  const served = await refreshRepository(repository, { worktree: options.worktree })
  await refreshCharts({
    repository,
    charts: join(layout.served, 'charts'),
    crds: bed.crds,
    temporary: layout.temporary,
    given: options.charts,
  })
  await serveFolder(layout, machine, options.onHost)
  return {
    gitUrl: `${URL}/openappstack.git`,
    chartsMirror: `${URL}/charts`,
    fluxManifest: bed.fluxManifest,
    served,
  }
}

/** Serves the checkout's Git repository alone: servers with a way out find everything else at its real address. */
export async function serveCheckout(
  layout: Layout,
  machine: Machine,
  { worktree }: { worktree: boolean },
): Promise<Pick<ServedToMachines, 'gitUrl' | 'served'>> {
  const served = await refreshRepository(repositoryOf(layout), { worktree })
  await serveFolder(layout, machine, true)
  return { gitUrl: `${URL}/openappstack.git`, served }
}

function repositoryOf(layout: Layout): string {
  mkdirSync(layout.served, { recursive: true })
  return join(layout.served, 'openappstack.git')
}

async function serveFolder(layout: Layout, machine: Machine, onHost: boolean): Promise<void> {
  await ensureServed(layout, machine, {
    name: 'git-and-charts',
    file: '../cluster/server.ts',
    args: [`--address=${OUR_ADDRESS}`, `--port=${PORT}`, `--root=${layout.served}`],
    health: `${URL}/healthz`,
    onHost,
  })
}

/** Starts a server process of the sandbox on our side, unless it runs. Resolves when the machine reaches it. */
export async function ensureServed(
  layout: Layout,
  machine: Machine,
  options: { name: string; file: string; args: string[]; health: string; onHost: boolean },
): Promise<void> {
  const program = [
    process.execPath,
    '--import',
    import.meta.resolve('tsx'),
    join(import.meta.dirname, options.file),
  ]
  const [first = '', ...args] = options.onHost
    ? program
    : ['nsenter', `--net=${netnsFile(bedName(layout))}`, '--', ...program]
  const spec: ProcessSpec = {
    name: options.name,
    program: first,
    args: [...args, ...options.args],
    health: options.health,
    ports: [],
  }
  const running = () => runningProcesses(layout).some(({ name }) => name === options.name)
  if (!running()) start(layout, spec, '')
  await until<string, true>(
    async () => {
      try {
        await machine.exec(['curl', '--silent', '--fail', '--insecure', '--max-time', '2', options.health])
        return { done: true }
      } catch {
        if (!running()) throw processFailure(layout, spec, 'ended at once')
        return { last: 'no answer' }
      }
    },
    {
      deadline: DEADLINE,
      every: 100,
      describe: last => `${options.name}: ${last}`,
      fix: `read its log in ${layout.logs}`,
    },
  )
}
