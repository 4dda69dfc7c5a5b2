import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { privateFolder, writeFileAtomic } from '../../../lib/script/files.ts'
import { withLock } from '../build/lock.ts'
import type { Layout } from '../cluster/layout.ts'
import { runningProcesses, stop } from '../cluster/processes.ts'
import { Machine, type MachineState, machineFolder, readMachine } from './machine.ts'
import { removeCgroups } from './machine-cgroups.ts'
import {
  bytesOf,
  type DiskContents,
  ensureDisk,
  ensureKey,
  knownHostsLines,
  UNPACKING,
  unmountBelow,
} from './machine-disk.ts'
import { checkMachineNeeds, raiseLimits } from './machine-needs.ts'
import { machineAddress, makeBedNetwork, networksOf, removeNetwork } from './machine-network.ts'
import { debianRoot } from './root.ts'

/** How servers are started. */
export interface MachinesOptions extends Partial<Omit<DiskContents, 'authorizedKey'>> {
  /** How many; one by default. */
  servers?: number
  /** What each may use, and sees as all there is, like `2G`. */
  memory?: string
  /** The size of each server's disk, like `4G`. */
  disk?: string
  /** Paths of this machine that they see read-only: path there → path here. */
  binds?: Record<string, string>
  /** Whether they have the real internet, and so nothing of the stand-ins. */
  online?: boolean
  /** Whether this machine itself is on their network; else only the namespace of the bed is. */
  onHost?: boolean
  progress?: (text: string) => void
  signal?: AbortSignal
}

/**
 * The name of all that a bed of servers has outside of its folder: network namespaces and cgroups. It is made
 * from the folder, so that whoever knows that finds everything, also what a killed process left behind.
 */
export function bedName(layout: Pick<Layout, 'state'>): string {
  return `oas-${createHash('sha256').update(layout.state).digest('hex').slice(0, 8)}`
}

/**
 * Starts servers, or those that do not run: 10.77.0.2, .3 … Existing disks are kept. Resolves when all of
 * them let in by ssh.
 */
export async function startMachines(layout: Layout, options: MachinesOptions = {}): Promise<Machine[]> {
  const progress = options.progress ?? (() => {})
  const waiting = (holder: string) => progress(`waiting for ${holder}, which uses the same servers or cache`)
  const memory = options.memory === undefined ? undefined : bytesOf(options.memory)
  await checkMachineNeeds()
  raiseLimits()
  const debian = await debianRoot({ progress, waiting, signal: options.signal })
  return await withLock(layout.state, { waiting, signal: options.signal }, async () => {
    for (const folder of [layout.state, layout.logs, layout.temporary, join(layout.state, 'ssh')])
      privateFolder(folder)
    const bed = bedName(layout)
    const running = runningProcesses(layout).map(({ name }) => name)
    const unpacking = running.filter(name => name.startsWith(UNPACKING))
    await stop(layout, unpacking)
    if (running.length === unpacking.length) {
      await removeLeftovers(layout)
      await makeBedNetwork(bed, options.onHost ?? false)
    }
    const key = join(layout.state, 'ssh', 'id_ed25519')
    await ensureKey(key, 'ed25519', 'sandbox')
    const states = Array.from({ length: options.servers ?? 1 }, (_, i): MachineState => {
      const { folder, file } = machineFolder(layout, `server${i + 1}`)
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      const before = existsSync(file) ? readMachine(file) : undefined
      return {
        name: `server${i + 1}`,
        number: i + 1,
        bed,
        addresses: before?.addresses ?? [machineAddress(i + 1)],
        memory: memory ?? before?.memory,
        disk: before ? before.disk : options.disk,
        binds: { ...(options.online ? {} : { '/opt/node': debian.node }), ...options.binds },
      }
    })
    const hosts = {
      ...Object.fromEntries(states.map(({ name, number }) => [name, machineAddress(number)])),
      ...options.hosts,
    }
    const contents = { ...options, hosts, authorizedKey: readFileSync(`${key}.pub`, 'utf8') }
    progress(states.length === 1 ? 'booting the server' : `booting ${states.length} servers`)
    const machines = await Promise.all(
      states.map(async state => {
        await ensureDisk(layout, state, debian.archive, contents)
        writeFileAtomic(machineFolder(layout, state.name).file, JSON.stringify(state))
        const machine = new Machine(layout, state)
        machine.powerOn()
        return machine
      }),
    )
    writeFileAtomic(
      join(layout.state, 'ssh', 'known_hosts'),
      states.map(state => knownHostsLines(layout, state)).join(''),
    )
    await Promise.all(machines.map(machine => machine.waitForBoot()))
    return machines
  })
}

/** The servers that have been started in this folder. */
export function machinesOf(layout: Layout): Machine[] {
  const folder = join(layout.state, 'servers')
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .map(name => machineFolder(layout, name).file)
    .filter(existsSync)
    .map(readMachine)
    .sort((a, b) => a.number - b.number)
    .map(state => new Machine(layout, state))
}

/**
 * Ends all servers and what else runs for them; nothing of them is left but their folder. `orderly` shuts them
 * down as `poweroff` does, else their plugs are pulled. Returns the names of those that ran.
 */
export async function stopMachines(layout: Layout, options: { orderly?: boolean } = {}): Promise<string[]> {
  const running = machinesOf(layout).filter(machine => machine.running())
  if (options.orderly) await Promise.all(running.map(machine => machine.powerOff()))
  await stop(
    layout,
    runningProcesses(layout).map(({ name }) => name),
  )
  await removeLeftovers(layout)
  return running.map(({ name }) => name)
}

/** Ends all servers and removes everything of them. */
export async function removeMachines(layout: Layout): Promise<void> {
  await stopMachines(layout)
  rmSync(layout.state, { recursive: true, force: true })
}

/** Removes what a killed process or a crash left behind outside of the folder. Nothing of the bed runs. */
async function removeLeftovers(layout: Layout): Promise<void> {
  const bed = bedName(layout)
  const numbers = machinesOf(layout).map(({ netns }) => netns)
  for (const name of new Set([...numbers, ...networksOf(bed)])) {
    if (name !== bed) await removeCgroups(name)
    rmSync(join('/run/systemd/nspawn/propagate', name), { recursive: true, force: true })
  }
  for (const name of networksOf(bed)) await removeNetwork(name)
  await unmountBelow(layout.state)
}
