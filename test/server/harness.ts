/**
 * What the tests against real servers share: Debian servers with systemd and sshd of a test file's own, on a
 * network of their own, and scripts run as a user runs them, as processes on that network.
 */
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { ExpectedErrors } from '../../lib/script/errors.ts'
import { privateFolder } from '../../lib/script/files.ts'
import { withLock } from '../bed/build/lock.ts'
import { type Layout, serversLayoutOf } from '../bed/cluster/layout.ts'
import type { Machine } from '../bed/server/machine.ts'
import { checkMachineNeeds } from '../bed/server/machine-needs.ts'
import { dropPackets, inNetwork, netnsFile } from '../bed/server/machine-network.ts'
import { type ServedToMachines, serveMachines } from '../bed/server/machine-served.ts'
import { bedName, type MachinesOptions, removeMachines, startMachines } from '../bed/server/machines.ts'
import { type Fault, type ReleaseServer, releasesForServers } from '../bed/server/releases.ts'
import { type Outcome, runScript, type ScriptOptions } from '../harness-script.ts'

export type { Machine } from '../bed/server/machine.ts'
export type { Outcome, ScriptOptions } from '../harness-script.ts'

/** How the servers of a test file are started. */
export interface ServerBedOptions extends Omit<MachinesOptions, 'onHost'> {
  /** Serve the Git repository and the stand-in charts on 10.77.0.1; true unless told. */
  serve?: boolean
  /** Serve the stand-ins for releases and images as the internet does; true unless told. */
  releases?: boolean
}

const PREFIX = 'oas-servers-'
const NAME = 'bed'

/** Servers of a test file's own, 10.77.0.2, .3 …, and our side, 10.77.0.1, in a network namespace of its own. */
export class ServerBed {
  /** OAS_CLUSTERS_DIR, also of this process. */
  readonly folder: string
  /** HOME of the scripts: ~/.ssh has the key that the servers let in, and their host keys. */
  readonly home: string
  /** The network namespace of our side (/run/netns/NETNS). */
  readonly netns: string
  readonly servers: readonly Machine[]
  readonly #layout: Layout
  readonly #served: ServedToMachines | undefined
  readonly #releases: ReleaseServer | undefined

  private constructor(
    folder: string,
    layout: Layout,
    servers: readonly Machine[],
    served?: ServedToMachines,
    releases?: ReleaseServer,
  ) {
    this.folder = folder
    this.home = join(folder, '.home')
    this.netns = bedName(layout)
    this.servers = servers
    this.#layout = layout
    this.#served = served
    this.#releases = releases
  }

  /** Starts it. Beds of test processes that were killed are removed first. */
  static async start(options: ServerBedOptions = {}): Promise<ServerBed> {
    await checkMachineNeeds().catch(error => {
      const problems = error instanceof ExpectedErrors ? error.problems : [error]
      const text = problems.map(({ message, fix }) => `${message}: ${fix}`).join('\n')
      console.error(text) // uvu does not show why a test file could not begin
      throw new Error(text)
    })
    // Several test files start at once, and only one can remove a network.
    await withLock(join(tmpdir(), `${PREFIX}orphans`), { waiting: () => {} }, removeOrphans)
    const folder = mkdtempSync(join(tmpdir(), `${PREFIX}${began(process.pid)}-`))
    process.env.OAS_CLUSTERS_DIR = folder
    const layout = serversLayoutOf(NAME)
    try {
      const progress = options.progress ?? (() => {})
      const building = { progress, waiting: progress, signal: options.signal }
      const releases = options.releases === false ? undefined : await releasesForServers(building, layout)
      const servers = await startMachines(layout, {
        ...options,
        binds: { ...releases?.binds, ...options.binds },
        hosts: { ...releases?.hosts, ...options.hosts },
        ca: [releases?.ca, options.ca].filter(Boolean).join('\n') || undefined,
      })
      const [first] = servers as [Machine]
      const [served] = await Promise.all([
        options.serve === false
          ? undefined
          : serveMachines(layout, first, { ...building, worktree: true, onHost: false }),
        releases?.serve(layout, first, false),
      ])
      const bed = new ServerBed(folder, layout, servers, served, releases)
      const ssh = privateFolder(join(bed.home, '.ssh'))
      for (const file of [servers[0]!.keyFile, servers[0]!.knownHosts])
        copyFileSync(file, join(ssh, basename(file)))
      return bed
    } catch (error) {
      await remove(folder, layout)
      throw error
    }
  }

  /** Ends it and removes everything of it. */
  async stop(): Promise<void> {
    await remove(this.folder, this.#layout)
  }

  /** Where the Git repository is served. */
  get gitUrl(): string {
    return this.#services().gitUrl
  }

  /** Where the charts are served. */
  get chartsMirror(): string {
    return this.#services().chartsMirror
  }

  /** Flux's install manifest. */
  get fluxManifest(): string {
    return this.#services().fluxManifest
  }

  /** The stand-ins for releases: their list for a cluster's folder, and the URL of the mirror. */
  get releases(): ReleaseServer {
    if (!this.#releases) throw new Error('this bed was started with `releases: false`')
    return this.#releases
  }

  /** Says what goes wrong with downloads from now on: beginnings of HOST/PATH → faults. `{}` ends all faults. */
  setFaults(faults: Readonly<Record<string, Fault>>): void {
    this.releases.setFaults(this.#layout, faults)
  }

  #services(): ServedToMachines {
    if (!this.#served) throw new Error('this bed was started with `serve: false`')
    return this.#served
  }

  /** Runs `scripts/NAME.ts` on the servers' network, with a home that knows the servers and no ssh-agent. */
  async runScript(name: string, args: readonly string[], options: ScriptOptions = {}): Promise<Outcome> {
    return await runScript(name, args, {
      ...options,
      within: ['nsenter', `--net=${netnsFile(this.netns)}`, '--'],
      env: { HOME: this.home, SSH_AUTH_SOCK: undefined, OAS_CLUSTERS_DIR: this.folder, ...options.env },
    })
  }

  /** Runs a local program on the servers' network; returns its stdout. Rejects unless it ends with 0. */
  async run(
    program: string,
    args: readonly string[],
    options: { input?: string; timeout?: number } = {},
  ): Promise<string> {
    return await inNetwork(this.netns, program, args, options)
  }

  /** Drops every packet between our side and this address of a server, without a word to either. */
  async cut(server: Machine, address = server.address): Promise<void> {
    await dropPackets(this.netns, address, true)
  }

  /** Undoes `cut`. */
  async heal(server: Machine, address = server.address): Promise<void> {
    await dropPackets(this.netns, address, false)
  }
}

async function remove(folder: string, layout: Layout): Promise<void> {
  await removeMachines(layout)
  rmSync(folder, { recursive: true, force: true })
}

/** `PID-TIME` of a process, which no later process with the same number has; undefined when it has ended. */
export function began(pid: number | string): string | undefined {
  try {
    // What stands before the last bracket is a name, which may contain anything.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\)/s, '').trim().split(' ')
    return `${pid}-${fields[19]}`
  } catch {
    return undefined
  }
}

/** Removes the beds of processes that have ended without doing so. Their folders' names tell whose they are. */
async function removeOrphans(): Promise<void> {
  const before = process.env.OAS_CLUSTERS_DIR
  for (const name of readdirSync(tmpdir())) {
    const owner = name.startsWith(PREFIX) ? /^(\d+)-\d+/.exec(name.slice(PREFIX.length)) : null
    if (!owner || began(owner[1]!) === owner[0]) continue
    const folder = join(tmpdir(), name)
    process.env.OAS_CLUSTERS_DIR = folder
    await remove(folder, serversLayoutOf(NAME))
  }
  if (before === undefined) delete process.env.OAS_CLUSTERS_DIR
  else process.env.OAS_CLUSTERS_DIR = before
}
