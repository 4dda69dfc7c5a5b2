import { LOCAL_STORAGE } from '../../lib/k3s/k3s.ts'
import { countText } from '../../lib/script/count.ts'
import { messageOf } from '../../lib/script/errors.ts'
import { sizeText } from '../../lib/script/size.ts'
import {
  ADDRESSES,
  CPUS,
  disks,
  HOSTNAME,
  K3S_VERSION,
  MEMORY,
  OS,
  unitStates,
} from '../../lib/server/facts.ts'
import { program, readFacts, type ValuesOf } from '../../lib/server/reader.ts'
import { connectServer, hostsOfCluster, type ServerRun } from '../../lib/server/server.ts'
import type { Ssh, SshTarget } from '../../lib/ssh/ssh.ts'

/** What an administrator wants to know of a server at a glance. */
export interface ServerInfo {
  hostname: string
  os: string
  addresses: string[]
  /** Version of k3s, and what systemd says of its service; undefined where it is not installed. */
  k3s?: string
  service?: string
  /** Seconds since it was booted. */
  uptime: number
  /** Averages over 1, 5 and 15 minutes. */
  load: number[]
  cpus: number
  /** Bytes. */
  memory: { total: number; available: number }
  disks: { target: string; size: number; free: number }[]
}

/** What was asked of one server: its facts, or why there are none. */
export type AskedServer = { ssh: string } & ({ info: ServerInfo } | { problem: string })

/** What a server is asked. It needs no rights beyond a login. */
export const SERVER_INFO = {
  hostname: HOSTNAME,
  os: OS,
  addresses: ADDRESSES,
  k3s: K3S_VERSION,
  services: unitStates(['k3s.service', 'k3s-agent.service']),
  uptime: program(['cat', '/proc/uptime'], ({ text }) => Number.parseFloat(text) || 0),
  load: program(['cat', '/proc/loadavg'], ({ text }) =>
    text.split(' ').slice(0, 3).map(Number).filter(Number.isFinite),
  ),
  cpus: CPUS,
  memory: MEMORY,
  disks: disks(['/', '/var/lib/rancher', LOCAL_STORAGE]),
}

/** Reads it from a server, as the user that logs in. */
async function readServerInfo(ssh: Ssh): Promise<ServerInfo> {
  return serverInfoOf(
    await readFacts(ssh, SERVER_INFO, { timeout: 20_000, title: 'reading from the server' }),
  )
}

/** What the server answered, as facts. Of its services the one that is active counts. Pure. */
export function serverInfoOf(said: ValuesOf<typeof SERVER_INFO>): ServerInfo {
  const { os, k3s, services, cpus, memory, disks, ...rest } = said
  const states = [...services.values()]
  return {
    ...rest,
    os: os.name,
    k3s,
    service: k3s && (states.find(state => state === 'active') ?? states[0]),
    cpus: cpus ?? 0,
    memory: { total: memory('MemTotal') ?? 0, available: memory('MemAvailable') ?? 0 },
    disks: disks.map(({ target, size, free }) => ({ target, size, free })),
  }
}

/** Rows for people. Pure. */
export function serverRows(asked: AskedServer): [string, string][] {
  if ('problem' in asked) return [['server', `${asked.ssh}, not asked`]]
  const { hostname, os, addresses, k3s, service, uptime, load, cpus, memory, disks } = asked.info
  return [
    ['server', `${asked.ssh}, ${hostname}, ${os}, up ${upText(uptime)}`],
    ['  addresses', addresses.join(' ')],
    ['  k3s', k3s ? `${k3s}, ${service}` : 'not installed'],
    ...disks.map(({ target, size, free }): [string, string] => [
      `  disk ${target}`,
      `${sizeText(free)} of ${sizeText(size)} free`,
    ]),
    ['  load', `${load.join(' ') || 'unknown'} on ${countText(cpus, 'CPU')}`],
    ['  memory', `${sizeText(memory.available)} of ${sizeText(memory.total)} available`],
  ]
}

function upText(seconds: number): string {
  const [days, hours, minutes] = [86_400, 3600, 60].map(unit => Math.floor(seconds / unit)) as [
    number,
    number,
    number,
  ]
  return days > 1 ? `${days} days` : hours > 1 ? `${hours} hours` : `${minutes} minutes`
}

/**
 * Asks the servers of a cluster; one that cannot be reached is told, not thrown. A cluster without
 * an inventory has none to ask.
 */
export async function askServers(run: ServerRun): Promise<AskedServer[]> {
  const { cluster, flags } = run
  let targets: SshTarget[] = []
  try {
    targets = await hostsOfCluster(cluster, flags.hostname)
  } catch (error) {
    return [{ ssh: 'inventory.yml', problem: messageOf(error) }]
  }
  const asked: AskedServer[] = []
  // One after the other: each may have something to ask on the one terminal.
  for (const target of targets) {
    const ssh = `${target.user ? `${target.user}@` : ''}${target.host}`
    try {
      asked.push({ ssh, info: await readServerInfo(await connectServer(run, target)) })
    } catch (error) {
      run.signal.throwIfAborted()
      asked.push({ ssh, problem: messageOf(error) })
    }
  }
  return asked
}
