import { K3S, LOCAL_STORAGE } from '../../lib/k3s/k3s.ts'
import { messageOf } from '../../lib/script/errors.ts'
import { sizeText } from '../../lib/script/size.ts'
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

/** Needs no rights beyond a login. Every line begins with the name of its fact, whatever a program says. */
const READ = `
export LC_ALL=C
tab=$(printf '\\t')
each() { fact=$1; shift; "$@" 2>/dev/null </dev/null | sed "s/^/$fact$tab/"; }
each hostname uname -n
each os sed -n 's/^PRETTY_NAME="\\{0,1\\}\\([^"]*\\)"\\{0,1\\}$/\\1/p' /etc/os-release
each addresses sh -c "ip -o addr show scope global | awk '!/ (cni|flannel|veth)/ { sub(\\"/.*\\", \\"\\", \\$4); print \\$4 }'"
[ ! -x ${K3S.binary} ] || { each k3s ${K3S.binary} --version; each service systemctl is-active k3s.service k3s-agent.service; }
each uptime cut -d ' ' -f 1 /proc/uptime
each load cut -d ' ' -f 1-3 /proc/loadavg
each cpus nproc
each memory sed -n 's/^\\(MemTotal\\|MemAvailable\\): *\\([0-9]*\\) kB/\\1 \\2/p' /proc/meminfo
each disk df -B1 --output=size,avail,target / /var/lib/rancher ${LOCAL_STORAGE}
`

/** Reads it from a server, as the user that logs in. */
export async function readServerInfo(ssh: Ssh): Promise<ServerInfo> {
  return parseServerInfo(await ssh.sh(READ, [], { timeout: 20_000, title: 'looking at the server' }))
}

/** What the server said, parsed. Pure. */
export function parseServerInfo(text: string): ServerInfo {
  const lines = text.split('\n').map(line => line.split('\t'))
  const all = (name: string) => lines.filter(([fact]) => fact === name).map(([, value = '']) => value.trim())
  const one = (name: string) => all(name)[0] ?? ''
  const memory = (name: string) =>
    Number(
      all('memory')
        .find(line => line.startsWith(name))
        ?.split(' ')[1] ?? 0,
    ) * 1024
  const disks = new Map(
    all('disk').flatMap(line => {
      const [, size, free, target] = /^(\d+) +(\d+) +(\/.*)$/.exec(line) ?? []
      return target ? [[target, { target, size: Number(size), free: Number(free) }] as const] : []
    }),
  )
  const service = all('service')
  return {
    hostname: one('hostname'),
    os: one('os'),
    addresses: all('addresses'),
    k3s: /^k3s version (\S+)/.exec(one('k3s'))?.[1],
    service: service.find(state => state === 'active') ?? service[0],
    uptime: Number(one('uptime')),
    load: one('load').split(' ').map(Number),
    cpus: Number(one('cpus')),
    memory: { total: memory('MemTotal'), available: memory('MemAvailable') },
    disks: [...disks.values()],
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
    ['  load', `${load.join(' ')} on ${cpus} CPU${cpus === 1 ? '' : 's'}`],
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
