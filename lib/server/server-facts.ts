import { LOCAL_STORAGE } from '../k3s/k3s.ts'
import { ExpectedError } from '../script/errors.ts'
import type { Ssh } from '../ssh/ssh.ts'

/** A file system that our data is on, or will be. */
export interface Disk {
  target: string
  type: string
  /** Bytes. */
  size: number
  free: number
  /** Share of the inodes that is free; undefined where a file system does not count them. */
  freeInodes?: number
}

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

/**
 * Reads all facts in one go and changes nothing. Every line of output begins with the name of its fact, which sed
 * puts there: whatever a program or a file says cannot pass for another fact. Arguments: modules and disks as
 * lists, then what may remain.
 */
const GATHER = `
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin
tab=$(printf '\\t')
modules=$1 disks=$2
shift 2
each() { fact=$1; shift; "$@" 2>/dev/null </dev/null | sed "s/^/$fact$tab/"; }
each time date +%s%3N
each os cat /etc/os-release
each architecture uname -m
each hostname uname -n
each virtualisation systemd-detect-virt
[ ! -d /run/systemd/system ] || each systemd echo yes
each cpus nproc
each memory cat /proc/meminfo
for group in "$(sed -n 's/^0:://p' /proc/1/cgroup)" "$(sed -n 's/^[0-9]*:memory://p' /proc/1/cgroup)" ''; do
  each limit cat "/sys/fs/cgroup$group/memory.max"
  each limit sed -n 's/^hierarchical_memory_limit //p' "/sys/fs/cgroup/memory$group/memory.stat"
done
each swap cat /proc/swaps
each disk df -B1 --output=size,avail,itotal,iavail,fstype,target $disks
each clock timedatectl show --property=NTPSynchronized
each cgroup stat -f -c %T /sys/fs/cgroup
each controllers cat /sys/fs/cgroup/cgroup.controllers
each controllers awk '$4 == 1 && $2 > 0 { print $1 }' /proc/cgroups
each cgroupv1 grep -hs fail-cgroupv1=false /etc/rancher/k3s/config.yaml /etc/rancher/k3s/config.yaml.d/*.yaml
each listener ss -H -tulnp
each service systemctl list-units --type=service --state=active --plain --no-legend --no-pager
each firewall grep -s '^ENABLED=yes' /etc/ufw/ufw.conf
each mount cat /proc/mounts
for module in $modules; do
  if [ -d "/sys/module/$module" ] || grep -qw "$module" /proc/filesystems || modprobe -n -q "$module" 2>/dev/null ||
    { [ "$module" = br_netfilter ] && [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]; }
  then each module echo "$module present"
  elif [ -d "/lib/modules/$(uname -r)" ]; then each module echo "$module missing"
  else each module echo "$module unknown"
  fi
done
each route ip -4 -o route show
[ ! -x /usr/local/bin/k3s ] || each k3s /usr/local/bin/k3s --version
for path; do [ ! -e "$path" ] || each remains echo "$path"; done
each end echo yes
`

/** Gathers the facts about a server, as root. */
export async function gatherServerFacts(ssh: Ssh): Promise<ServerFacts> {
  // sudo is made ready first: nobody's typing of a password may count as a difference of the clocks.
  await ssh.run(['true'], { sudo: true })
  const before = Date.now()
  const text = await ssh.sh(GATHER, [MODULES.join(' '), DISKS.join(' '), ...REMAINS], {
    sudo: true,
    title: 'gathering the facts about the server',
  })
  return parseServerFacts(text, before, Date.now())
}

/** What the server said between two moments of our clock, as facts. Pure. */
export function parseServerFacts(text: string, before: number, after: number): ServerFacts {
  const said = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    const tab = line.indexOf('\t')
    if (tab < 1) continue
    const name = line.slice(0, tab)
    said.set(name, [...(said.get(name) ?? []), line.slice(tab + 1)])
  }
  const all = (name: string) => said.get(name) ?? []
  const one = (name: string) => all(name)[0]?.trim() ?? ''
  if (one('end') !== 'yes')
    throw new ExpectedError(
      'the server did not tell all of its facts',
      'it needs a POSIX shell with the usual programs (Debian: coreutils, sed, grep); then run this again',
    )
  const release = new Map(all('os').map(line => splitAt(line, '=')))
  const unquoted = (name: string) => (release.get(name) ?? '').trim().replace(/^(["'])(.*)\1$/, '$2')
  const meminfo = new Map(all('memory').map(line => splitAt(line, ':')))
  const memory = [
    number(meminfo.get('MemTotal')?.replace(/ *kB$/, ''), 1024),
    ...all('limit').map(l => number(l)),
  ]
  const time = number(one('time'))
  const synchronised = one('clock').replace('NTPSynchronized=', '')
  const version = one('cgroup') === 'cgroup2fs' ? 2 : 1
  return {
    os: { id: unquoted('ID'), version: unquoted('VERSION_ID'), name: unquoted('PRETTY_NAME') },
    architecture: one('architecture'),
    hostname: one('hostname'),
    virtualisation: one('virtualisation'),
    systemd: one('systemd') === 'yes',
    cpus: number(one('cpus')),
    memory: memory.some(bytes => bytes !== undefined)
      ? Math.min(...memory.filter(bytes => bytes !== undefined))
      : undefined,
    swap: all('swap')
      .map(line => line.split(/\s+/)[0] ?? '')
      .filter(name => name.startsWith('/')),
    disks: disksOf(all('disk')),
    clockOffset: time === undefined ? 0 : Math.round(time - (before + after) / 2),
    clockSynchronised: synchronised === '' ? undefined : synchronised === 'yes',
    cgroup: { version, controllers: all('controllers').flatMap(line => line.split(/\s+/).filter(Boolean)) },
    cgroupV1Allowed: all('cgroupv1').some(line => !line.trim().startsWith('#')),
    listeners: all('listener').flatMap(line => listenerOf(line) ?? []),
    services: all('service').map(line => (line.trim().split(/\s+/)[0] ?? '').replace(/\.service$/, '')),
    firewall: all('firewall').length > 0,
    mounts: all('mount').flatMap(line => mountOf(line) ?? []),
    modules: Object.fromEntries(all('module').map(line => splitAt(line, ' '))) as ServerFacts['modules'],
    routes: all('route').map(line => ({
      to: line.split(' ')[0] ?? '',
      device: / dev (\S+)/.exec(line)?.[1] ?? '',
    })),
    k3s: /^k3s version (\S+)/.exec(one('k3s'))?.[1] ?? (all('k3s').length > 0 ? 'unknown' : undefined),
    remains: all('remains'),
  }
}

function splitAt(line: string, separator: string): [string, string] {
  const at = line.indexOf(separator)
  return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + separator.length)]
}

/** A number of units; undefined for a text that is none, as "max" or "-". */
function number(text: string | undefined, unit = 1): number | undefined {
  return text !== undefined && /^\s*\d+\s*$/.test(text) ? Number(text) * unit : undefined
}

/** Lines of df: size, free, inodes, free inodes, type, mount point; its heading is none. */
function disksOf(lines: readonly string[]): Disk[] {
  const disks = new Map<string, Disk>()
  for (const line of lines) {
    const match = /^\s*(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\/.*)$/.exec(line)
    const [size, free, inodes, freeInodes] = (match?.slice(1, 5) ?? []).map(field => number(field))
    if (!match || size === undefined || free === undefined) continue
    const target = match[6]!
    disks.set(target, {
      target,
      type: match[5]!,
      size,
      free,
      freeInodes: inodes && freeInodes !== undefined ? freeInodes / inodes : undefined,
    })
  }
  return [...disks.values()]
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
