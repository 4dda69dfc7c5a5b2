import { K3S, LOCAL_STORAGE } from '../k3s/k3s.ts'
import type { Ssh } from '../ssh/ssh.ts'
import {
  CPUS,
  type Disk,
  disks,
  existing,
  firstLine,
  HOSTNAME,
  K3S_VERSION,
  MACHINE,
  MEMORY,
  OS,
  splitAt,
} from './facts.ts'
import { linesOf, program, readFacts, shell, type ValuesOf, wholeNumber } from './reader.ts'

/** A socket on which a program waits for connections, or for packets. */
export interface Listener {
  protocol: 'tcp' | 'udp'
  address: string
  port: number
  /** Undefined for what listens inside the kernel. */
  program?: string
}

/** What there is to know about a server before Kubernetes is installed on it. */
export interface ServerFacts {
  os: { id: string; version: string; name: string }
  architecture: string
  hostname: string
  /** The kind of container or virtual machine, as systemd-detect-virt tells it. */
  virtualisation: string
  systemd: boolean
  cpus?: number
  /** Bytes that the server has, or that a container may use. */
  memory?: number
  /** Devices and files that are swapped to. */
  swap: string[]
  disks: Disk[]
  /** Milliseconds by which the server's clock is ahead of ours. */
  clockOffset: number
  clockSynchronised?: boolean
  /** Version of the cgroup hierarchy, and the controllers that it has. */
  cgroup: { version: 1 | 2; controllers: string[] }
  /** k3s is told to do with version 1 of cgroups. */
  cgroupV1Allowed: boolean
  listeners: Listener[]
  /** Active services of systemd, without `.service`. */
  services: string[]
  firewall: boolean
  mounts: { source: string; target: string; type: string; options: string[] }[]
  /** `unknown` where the kernel belongs to somebody else, as in a container. */
  modules: Record<string, 'present' | 'missing' | 'unknown'>
  /** Destinations of routes (IPv4), with their devices. */
  routes: { to: string; device: string }[]
  /** OpenRC, which the installer of k3s takes before systemd (github.com/k3s-io/k3s install.sh, verify_system). */
  openrc: boolean
  /** The kernel's limits of inotify for one user; undefined where they cannot be read. */
  inotify: { instances?: number | undefined; watches?: number | undefined }
  /** Version of the k3s that is installed. */
  k3s?: string
  /** Paths that an earlier installation left behind. */
  remains: string[]
}

/** The kernel modules that are looked for (`k3s check-config` names them as necessary). */
const MODULES = ['overlay', 'br_netfilter', 'vxlan']

/** File systems that get full: those of k3s' images and of the applications' data, where they are of their own. */
const DISKS = ['/var/lib', '/var/lib/rancher', '/var/lib/kubelet', LOCAL_STORAGE]

/** What an installation leaves that was not purged (docs 0.7.0, "Purge OAS and install from scratch"). */
const REMAINS = [
  '/var/lib/rancher',
  '/var/lib/OpenAppStack',
  '/var/lib/kubelet',
  '/var/lib/cni',
  '/var/lib/etcd',
  // Not the whole of /etc/rancher: a configuration may be written before the first installation.
  '/etc/rancher/node',
  '/etc/kubernetes',
]

/** What a server is asked. The time comes first: it is held against the moments around the whole answer. */
export const SERVER_FACTS = {
  time: program(['date', '+%s%3N'], ({ text }) => wholeNumber(text)),
  os: OS,
  architecture: MACHINE,
  hostname: HOSTNAME,
  virtualisation: firstLine('systemd-detect-virt'),
  systemd: program(['test', '-d', '/run/systemd/system'], ({ code }) => code === 0),
  cpus: CPUS,
  memory: MEMORY,
  /** What the cgroup of a container may use, in either version of cgroups. */
  limits: shell(
    `for group in "$(sed -n 's/^0:://p' /proc/1/cgroup)" "$(sed -n 's/^[0-9]*:memory://p' /proc/1/cgroup)" ''; do
  cat "/sys/fs/cgroup$group/memory.max"
  sed -n 's/^hierarchical_memory_limit //p' "/sys/fs/cgroup/memory$group/memory.stat"
done`,
    [],
    answer => linesOf(answer).flatMap(line => wholeNumber(line) ?? []),
  ),
  swap: program(['cat', '/proc/swaps'], answer =>
    linesOf(answer)
      .map(line => line.split(/\s+/)[0] ?? '')
      .filter(name => name.startsWith('/')),
  ),
  disks: disks(DISKS),
  clockSynchronised: program(['timedatectl', 'show', '--property=NTPSynchronized'], ({ text }) =>
    text.startsWith('NTPSynchronized=') ? text.trim() === 'NTPSynchronized=yes' : undefined,
  ),
  cgroupVersion: program(['stat', '-f', '-c', '%T', '/sys/fs/cgroup'], ({ text }): 1 | 2 =>
    text.trim() === 'cgroup2fs' ? 2 : 1,
  ),
  controllers: shell(
    `cat /sys/fs/cgroup/cgroup.controllers; awk '$4 == 1 && $2 > 0 { print $1 }' /proc/cgroups`,
    [],
    answer => linesOf(answer).flatMap(line => line.split(/\s+/).filter(Boolean)),
  ),
  cgroupV1Allowed: shell(
    'grep -hs fail-cgroupv1=false /etc/rancher/k3s/config.yaml /etc/rancher/k3s/config.yaml.d/*.y*ml',
    [],
    answer => linesOf(answer).some(line => !line.trim().startsWith('#')),
  ),
  listeners: program(['ss', '-H', '-tulnp'], answer =>
    linesOf(answer).flatMap(line => listenerOf(line) ?? []),
  ),
  services: program(
    ['systemctl', 'list-units', '--type=service', '--state=active', '--plain', '--no-legend', '--no-pager'],
    answer => linesOf(answer).map(line => (line.trim().split(/\s+/)[0] ?? '').replace(/\.service$/, '')),
  ),
  firewall: program(['grep', '-s', '^ENABLED=yes', '/etc/ufw/ufw.conf'], ({ code }) => code === 0),
  mounts: program(['cat', '/proc/mounts'], answer => linesOf(answer).flatMap(line => mountOf(line) ?? [])),
  modules: shell(
    `for module; do
  if [ -d "/sys/module/$module" ] || grep -qw "$module" /proc/filesystems || modprobe -n -q "$module" ||
    { [ "$module" = br_netfilter ] && [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]; }
  then echo "$module present"
  elif [ -d "/lib/modules/$(uname -r)" ]; then echo "$module missing"
  else echo "$module unknown"
  fi
done`,
    MODULES,
    answer => Object.fromEntries(linesOf(answer).map(line => splitAt(line, ' '))) as ServerFacts['modules'],
  ),
  routes: program(['ip', '-4', '-o', 'route', 'show'], answer =>
    linesOf(answer).map(line => ({
      to: line.split(' ')[0] ?? '',
      device: / dev (\S+)/.exec(line)?.[1] ?? '',
    })),
  ),
  openrc: program(['test', '-x', '/sbin/openrc-run'], ({ code }) => code === 0),
  inotify: program(
    ['cat', '/proc/sys/fs/inotify/max_user_instances', '/proc/sys/fs/inotify/max_user_watches'],
    answer => {
      const [instances, watches] = linesOf(answer).map(line => wholeNumber(line))
      return { instances, watches }
    },
  ),
  k3s: K3S_VERSION,
  hasK3s: program(['test', '-x', K3S.binary], ({ code }) => code === 0),
  remains: existing(REMAINS),
}

/** Gathers the facts about a server, as root. */
export async function gatherServerFacts(ssh: Ssh): Promise<ServerFacts> {
  // sudo asks for its password first: the time to type a password is not a difference of the clocks.
  await ssh.run(['true'], { sudo: true })
  const before = Date.now()
  const said = await readFacts(ssh, SERVER_FACTS, {
    sudo: true,
    title: 'gathering the facts about the server',
  })
  return serverFactsOf(said, before, Date.now())
}

/** What a server answered between two moments of our clock, as facts. Pure. */
export function serverFactsOf(
  said: ValuesOf<typeof SERVER_FACTS>,
  before: number,
  after: number,
): ServerFacts {
  const { time, memory, limits, cgroupVersion: version, controllers, k3s, hasK3s, ...rest } = said
  const total = memory('MemTotal')
  const sizes = [...(total === undefined ? [] : [total]), ...limits]
  return {
    ...rest,
    memory: sizes.length > 0 ? Math.min(...sizes) : undefined,
    clockOffset: time === undefined ? 0 : Math.round(time - (before + after) / 2),
    cgroup: { version, controllers },
    k3s: k3s ?? (hasK3s ? 'unknown' : undefined),
  }
}

/** A line of ss: protocol, state, two queues, local and peer address, and who it is. */
function listenerOf(line: string): Listener | undefined {
  const [protocol, , , , local = '', , ...rest] = line.trim().split(/\s+/)
  const match = /^(.+):(\d+)$/.exec(local)
  if ((protocol !== 'tcp' && protocol !== 'udp') || !match) return undefined
  const program = /^users:\(\("([^"]*)"/.exec(rest.join(' '))?.[1]
  const address = match[1]!.replace(/%.*$/, '').replace(/^\[|\]$/g, '')
  return { protocol, address, port: Number(match[2]), program }
}

/** A line of /proc/mounts, in which blanks are written as \\040. */
function mountOf(line: string): ServerFacts['mounts'][number] | undefined {
  const plain = (field: string) =>
    field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
  const [source, target, type, options] = line.split(' ').map(plain)
  return source && target && type && options
    ? { source, target, type, options: options.split(',') }
    : undefined
}
