import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ExpectedError } from '../../../lib/script/errors.ts'
import { privateFolder, readIfExists, writeFileAtomic } from '../../../lib/script/files.ts'
import { refreshCharts } from '../build/charts.ts'
import { refreshRepository, type ServedCommit } from '../build/git.ts'
import { withLock } from '../build/lock.ts'
import { Api } from './api.ts'
import { type Bed, ensureBed } from './bed.ts'
import { pebbleUrl } from './certificates.ts'
import {
  allProcesses,
  apiServer,
  controllerManager,
  etcd,
  fluxControllers,
  kwok,
  scheduler,
  server,
} from './control-plane.ts'
import { environment } from './environment.ts'
import { controllers, ensureExtras, type RequestedExtras, servedToPods } from './extras.ts'
import { type Layout, layoutOf } from './layout.ts'
import { applyObjects, forgetAccounts } from './objects.ts'
import { ensurePki, writeKubeconfigs } from './pki.ts'
import { choosePorts } from './ports.ts'
import { runningProcesses } from './processes.ts'
import { readdress } from './readdress.ts'
import { installReplaced } from './replaced-charts.ts'
import { type Extras, LOGIN_HOST, LOOPBACK, type Ports, type ProcessSpec, type Setting } from './spec.ts'
import { type KnownPorts, readSandboxState, writeSandboxState } from './state.ts'
import { ensureProcesses, stopInOrder, stopStale } from './supervise.ts'

/** How a sandbox is started. Additional parts (see `Extras`) stay until `reset`. */
export interface UpOptions extends RequestedExtras {
  /** Its cluster's name; `sandbox` by default. */
  name?: string
  /** Programs that are used instead of those in the cache. */
  binDir?: string
  /** Serve the files as they are, and not the last commit. */
  worktree?: boolean
  /** The checkout that is served; this one by default. */
  source?: string
  /** A folder of chart archives that is served in place of the stand-ins. */
  charts?: string
  /** A Helm repository to use in place of the served charts. */
  chartsMirror?: string
  signal?: AbortSignal
  /** Told what is going on. */
  progress?: (text: string) => void
}

/** What `up` has done. */
export interface Up {
  name: string
  kubeconfig: string
  gitUrl: string
  chartsMirror: string
  fluxManifest: string
  logs: string
  served: ServedCommit
  charts: string[]
  started: string[]
  /** The address of the user panel and that of kratos' admin API; undefined without `--login`. */
  login?: { panel: string; kratosAdmin: string }
  /** The ports that other programs have taken since the last `up`. */
  moved: string[]
  seconds: number
}

/**
 * Starts the sandbox, or completes one that runs in part. Brings what it serves up to date. Can be killed at
 * any point and called again.
 */
export async function up(options: UpOptions = {}): Promise<Up> {
  const progress = options.progress ?? (() => {})
  const layout = layoutOf(options.name ?? 'sandbox')
  if (process.platform !== 'linux')
    throw new ExpectedError(
      `the sandbox needs Linux, and this machine runs ${process.platform}`,
      'use Linux, a virtual machine or WSL; for your own cluster: scripts/install-core.ts --kubeconfig FILE',
    )
  const waiting = (holder: string) => progress(`waiting for ${holder}, which uses the same sandbox or cache`)
  const building = { binDir: options.binDir, progress, waiting, signal: options.signal }
  const extras = await ensureExtras(options, readSandboxState(layout).extras, building)
  const bed = await ensureBed(building)
  return await withLock(layout.state, { waiting, signal: options.signal }, () =>
    upLocked(layout, bed, extras, options, progress),
  )
}

async function upLocked(
  layout: Layout,
  bed: Bed,
  extras: Extras,
  options: UpOptions,
  progress: (text: string) => void,
): Promise<Up> {
  const began = performance.now()
  for (const folder of [layout.state, layout.logs, layout.etcd, layout.artifacts, layout.temporary])
    privateFolder(folder)
  mkdirSync(layout.served, { recursive: true })
  const state = readSandboxState(layout)
  await ensurePki(layout.pki)
  const ports = await currentPorts({ layout, bin: bed.bin, ports: state.ports as Ports, extras })
  const setting: Setting = { layout, bin: bed.bin, ports, extras }
  const used = allProcesses(setting).flatMap(spec => spec.ports)
  const moved = used.filter(name => state.ports[name] !== undefined && state.ports[name] !== ports[name])
  const known = state.known ?? state.ports
  const remember = ({ server, artifacts, pebble }: KnownPorts) => {
    const { bin, fluxManifest } = bed
    writeSandboxState(layout, { ports, known: { server, artifacts, pebble }, bin, fluxManifest, extras })
  }
  remember(known)
  await stopStale(setting)
  const url = `https://${LOOPBACK}:${ports.apiServer}`
  writeKubeconfigs(layout.pki, layout.cluster.name, url, layout.cluster.kubeconfig)

  const api = new Api(layout, options.signal)
  const started: string[] = []
  const ensure = (specs: ProcessSpec[]) => ensureProcesses(setting, specs, api, started, options.signal)
  try {
    const serving = (async () => {
      const repository = join(layout.served, 'openappstack.git')
      const served = await refreshRepository(repository, {
        worktree: options.worktree ?? false,
        source: options.source,
      })
      const charts = await refreshCharts({
        repository,
        charts: join(layout.served, 'charts'),
        crds: bed.crds,
        temporary: layout.temporary,
        given: options.charts,
      })
      await ensure([server(setting)])
      return { served, ...charts }
    })()
    const controlPlane = (async () => {
      progress('starting etcd and the API server')
      await ensure([etcd(setting)])
      await ensure([apiServer(setting)])
      progress('starting the controllers and Flux')
      await Promise.all([
        ensure([controllerManager(setting), scheduler(setting)]),
        (async () => {
          await applyObjects(api, url, bed, setting)
          await readdress(api, url, known, ports)
          remember(ports)
          await ensure([kwok(setting), ...fluxControllers(setting), ...controllers(setting)])
        })(),
      ])
      if (started.includes('pebble')) await forgetAccounts(api, url, pebbleUrl(ports))
    })()
    const others = ensure(servedToPods(setting))
    // Both to their end, so that a chart that cannot be packed leaves no half-started control plane.
    await Promise.allSettled([serving, controlPlane, others])
    const [{ served, charts, missing, replaced }] = await Promise.all([serving, controlPlane, others])
    await installReplaced(api, url, replaced)
    const gitUrl = `http://${LOOPBACK}:${ports.server}/openappstack.git`
    const chartsMirror = options.chartsMirror ?? `http://${LOOPBACK}:${ports.server}/charts`
    const before = readIfExists(layout.cluster.env) ?? ''
    const text = environment(before, {
      gitUrl,
      chartsMirror,
      fluxManifest: bed.fluxManifest,
      fluxManifestBefore: state.fluxManifest,
      acmeServer: extras.certificates && pebbleUrl(ports),
    })
    if (text !== before) writeFileAtomic(layout.cluster.env, text)
    if (missing.length > 0 && !options.chartsMirror) throw missingCharts(missing)
    return {
      name: layout.cluster.name,
      kubeconfig: layout.cluster.kubeconfig,
      gitUrl,
      chartsMirror,
      fluxManifest: bed.fluxManifest,
      logs: layout.logs,
      served,
      charts,
      started,
      login: extras.login && {
        panel: `https://admin.${LOGIN_HOST}:${ports.ingress}`,
        kratosAdmin: `http://${LOOPBACK}:${ports.kratosAdmin}`,
      },
      moved,
      seconds: (performance.now() - began) / 1000,
    }
  } finally {
    api.close()
  }
}

function missingCharts(missing: readonly ExpectedError[]): ExpectedError {
  return new ExpectedError(
    `the sandbox runs, but charts are missing: ${missing.map(({ message }) => message).join('; ')}`,
    [...new Set(missing.map(({ fix }) => fix))].join('; '),
  )
}

/** The ports: those of running processes are ours, the others must be free. */
async function currentPorts(remembered: Setting): Promise<Ports> {
  const running = new Set(runningProcesses(remembered.layout).map(({ name }) => name))
  const ours = allProcesses(remembered)
    .filter(({ name }) => running.has(name))
    .flatMap(spec => spec.ports.map(port => remembered.ports[port]))
  return choosePorts(remembered.ports, new Set(ours))
}

/** Ends the sandbox's processes. What it holds stays for the next `up`. Returns the names of those that ran. */
export async function down(
  name = 'sandbox',
  waiting: (holder: string) => void = () => {},
): Promise<string[]> {
  const layout = layoutOf(name)
  return await withLock(layout.state, { waiting }, () => stopInOrder(layout))
}

/** Ends the sandbox and removes everything it held. `.flux.env` and the journal stay. */
export async function reset(name = 'sandbox', waiting: (holder: string) => void = () => {}): Promise<void> {
  const layout = layoutOf(name)
  await withLock(layout.state, { waiting }, async () => {
    await stopInOrder(layout)
    rmSync(layout.state, { recursive: true, force: true })
    rmSync(layout.cluster.kubeconfig, { force: true })
  })
}
