import { chownSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ExpectedError } from '../../../lib/script/errors.ts'
import { writeFileAtomic } from '../../../lib/script/files.ts'
import { fingerprint } from '../../../lib/ssh/known-hosts.ts'
import { serversLayoutOf } from '../cluster/layout.ts'
import { runningProcesses } from '../cluster/processes.ts'
import { machineFolder } from './machine.ts'
import { memoryOf } from './machine-cgroups.ts'
import { checkMachineNeeds } from './machine-needs.ts'
import { type ServedToMachines, serveCheckout, serveMachines } from './machine-served.ts'
import { machinesOf, removeMachines, startMachines, stopMachines } from './machines.ts'
import { releasesForServers } from './releases.ts'
import { closeWayOut, decideOnline, openWayOut } from './way-out.ts'

/** A server as `up --server` and `status --server` show it. */
export interface ServerStatus {
  name: string
  address: string
  state: 'works' | 'does not answer' | 'is off'
  /** Of its ed25519 host key. */
  fingerprint: string
  /** Bytes in use. */
  memory?: number
  console: string
}

/** What `up --server` has done. */
export interface ServersUp {
  servers: ServerStatus[]
  /** The private key that they let in. */
  keyFile: string
  /** Whether they have the real internet. */
  online: boolean
  /** What install-cluster is given in place of the upstream releases: the list of the stand-ins, unless online. */
  releases?: string
  /** What the `.flux.env` of a cluster on them needs. */
  environment: Record<string, string>
  served: ServedToMachines['served']
  seconds: number
}

/** How servers are started. */
export interface ServersOptions {
  name: string
  count?: number
  worktree: boolean
  /** Gives new servers a way out, and no stand-ins. */
  online?: boolean
  /** Who answers for names then, instead of the name servers of this machine. */
  nameServer?: string
  charts?: string
  binDir?: string
  progress: (text: string) => void
  signal: AbortSignal
}

/** Boots the servers that do not run, and serves the repository and the stand-ins to them; without these if online. */
export async function upServers(options: ServersOptions): Promise<ServersUp> {
  const { name, progress, signal } = options
  const layout = serversLayoutOf(name)
  const count = options.count ?? Math.max(1, machinesOf(layout).length)
  const waiting = (holder: string) => progress(`waiting for ${holder}, which uses the same servers or cache`)
  await checkMachineNeeds() // before a build that may take an hour
  const online = decideOnline(layout, options)
  const releases = online ? undefined : await releasesForServers({ progress, waiting, signal }, layout)
  const began = performance.now()
  const machines = await startMachines(layout, {
    ...releases,
    online,
    servers: count,
    onHost: true,
    progress,
    signal,
  })
  const seconds = (performance.now() - began) / 1000
  const up = async () => ({ servers: (await serversStatus(name))!, keyFile: machines[0]!.keyFile, seconds })
  if (!releases) {
    await openWayOut(layout, machines[0]!)
    const { gitUrl, served } = await serveCheckout(layout, machines[0]!, options)
    giveToUser(layout.state)
    return { ...(await up()), online, served, environment: { git_url: gitUrl, git_branch: 'main' } }
  }
  const served = await serveMachines(layout, machines[0]!, { ...options, waiting, onHost: true })
  await releases.serve(layout, machines[0]!, true)
  // The cache may be root's own: what scripts of a user have to read lies with the servers.
  const copies = { releases: join(layout.state, 'releases.yaml'), flux: join(layout.state, 'flux.yaml') }
  writeFileAtomic(copies.releases, readFileSync(releases.list), 0o644)
  writeFileAtomic(copies.flux, readFileSync(served.fluxManifest), 0o644)
  giveToUser(layout.state)
  return {
    ...(await up()),
    online,
    releases: copies.releases,
    environment: {
      git_url: served.gitUrl,
      git_branch: 'main',
      charts_mirror: served.chartsMirror,
      flux_manifest: copies.flux,
    },
    served: served.served,
  }
}

/** Shuts the servers down. Their disks are kept. Returns the names of those that ran. */
export async function downServers(name: string): Promise<string[]> {
  needRoot()
  const layout = serversLayoutOf(name)
  const stopped = await stopMachines(layout, { orderly: true })
  await closeWayOut(layout)
  return stopped
}

/** Ends the servers, and removes their disks, keys and logs. */
export async function resetServers(name: string): Promise<void> {
  needRoot()
  const layout = serversLayoutOf(name)
  await closeWayOut(layout)
  await removeMachines(layout)
}

/** The state of every server. Undefined when there is none of this name. */
export async function serversStatus(name: string): Promise<ServerStatus[] | undefined> {
  needRoot()
  const layout = serversLayoutOf(name)
  const machines = machinesOf(layout)
  if (machines.length === 0) return undefined
  const running = new Set(runningProcesses(layout).map(({ name }) => name))
  return await Promise.all(
    machines.map(async machine => {
      const { folder, console } = machineFolder(layout, machine.name)
      const answers = () =>
        machine.waitForBoot({ deadline: 5000 }).then(
          () => true,
          () => false,
        )
      const [, key = ''] = readFileSync(join(folder, 'host_ed25519.pub'), 'utf8').split(' ')
      return {
        name: machine.name,
        address: machine.address,
        state: !running.has(machine.name) ? 'is off' : (await answers()) ? 'works' : 'does not answer',
        fingerprint: fingerprint(Buffer.from(key, 'base64')),
        memory: memoryOf(machine.netns),
        console,
      } as const
    }),
  )
}

function needRoot(): void {
  if (process.getuid?.() !== 0)
    throw new ExpectedError(
      'the servers of the sandbox belong to root',
      'run this with sudo, as you ran `up --server`',
    )
}

/** Gives the key to the user who called sudo: scripts need no root to log in with it. */
function giveToUser(state: string): void {
  const [uid, gid] = [Number(process.env.SUDO_UID), Number(process.env.SUDO_GID)]
  if (!(uid > 0) || !(gid > 0)) return
  const ssh = join(state, 'ssh')
  for (const path of [join(state, '..'), state, ssh, ...readdirSync(ssh).map(file => join(ssh, file))])
    chownSync(path, uid, gid)
}
