import { error, listed, type PreflightFinding, quotedAnswer, warning } from '../preflight/findings.ts'
import type { Disk } from './facts.ts'
import type { ServerFacts } from './server-facts.ts'

const GB = 1e9

/**
 * What the platform needs. Docs 0.7.0, "Prerequisites": 6 cores, 12 GB of memory, 25 GB of disk for the
 * installation. Less than `least` does not hold the core, k3s and Debian side by side.
 */
const NEEDS = {
  cpus: { least: 2, good: 6 },
  // A server sold with 12 GB shows less: the kernel keeps some.
  memory: { least: 3.6 * GB, good: 10.8 * GB },
  free: { least: 15 * GB, good: 25 * GB },
}

/** Releases that k3s and the packages of this toolkit are known to work on; those in between or newer are told. */
const RELEASES: Record<string, readonly string[]> = {
  debian: ['11', '12', '13'],
  ubuntu: ['22.04', '24.04', '26.04'],
}

/** Milliseconds that the clocks may differ: as much as checkClock of the cluster tolerates. */
const CLOCK_TOLERANCE = 120_000

/**
 * What is wrong with the machine itself: its system, size, disks, clock and kernel. A server that is `inUse`
 * by a cluster has its data already, so that only running out of space counts. Pure.
 */
export function machineProblems(facts: ServerFacts, inUse: boolean): PreflightFinding[] {
  return [
    ...system(facts),
    ...resources(facts),
    ...space(facts, inUse),
    ...fileSystems(facts),
    ...clock(facts),
    ...kernel(facts),
  ]
}

function system({
  os,
  architecture,
  hostname,
  systemd,
  virtualisation,
  openrc,
}: ServerFacts): PreflightFinding[] {
  const found: PreflightFinding[] = []
  const known = RELEASES[os.id]
  const name = quotedAnswer(os.name || `${os.id} ${os.version}`) || 'an unknown system'
  const wanted = 'Debian 11, 12 or 13, or Ubuntu 22.04, 24.04 or 26.04 LTS'
  if (!known) found.push(error(`the server runs ${name}, which is not supported`, `install ${wanted} on it`))
  else if (!known.includes(os.version)) {
    // Debian's testing has no number. An older one has an iptables that k3s stumbles over, or no updates any more.
    const isOld = os.version !== '' && Number(os.version) < Number(known[0])
    if (isOld) found.push(error(`the server runs ${name}, which is too old`, `upgrade it: ${wanted}`))
    else found.push(warning(`the server runs ${name}, which nobody has tried`, `better take ${wanted}`))
  }
  if (!['x86_64', 'aarch64'].includes(architecture))
    found.push(
      error(
        `the server's architecture is ${quotedAnswer(architecture) || 'unknown'}`,
        'take a server with x86_64 (amd64) or aarch64 (arm64)',
      ),
    )
  if (!systemd)
    found.push(error('the server was not booted with systemd', 'install k3s on a system that runs systemd'))
  else if (openrc)
    found.push(
      error(
        'the server has OpenRC beside systemd, and the installer of k3s would install a service of OpenRC',
        'remove it: apt-get remove openrc (the program is /sbin/openrc-run)',
      ),
    )
  if (/^(lxc|lxc-libvirt|openvz|docker|podman|systemd-nspawn|wsl|proot|rkt)$/.test(virtualisation))
    found.push(
      warning(
        `the server is a container (${virtualisation}), not a machine with a kernel of its own`,
        'better take a virtual machine: in a container it depends on the host whether Kubernetes works',
      ),
    )
  // The kubelet turns capitals into small letters; all else has to be right (RFC 1123).
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i.test(hostname))
    found.push(
      error(
        `the server's hostname ${JSON.stringify(quotedAnswer(hostname))} cannot be the name of a node`,
        'set one of letters, digits and dashes: hostnamectl set-hostname NAME',
      ),
    )
  else if (/^localhost(\.|$)/i.test(hostname))
    found.push(warning("the server's hostname is localhost", 'set a name: hostnamectl set-hostname NAME'))
  return found
}

function resources({ cpus, memory, swap }: ServerFacts): PreflightFinding[] {
  const found: PreflightFinding[] = []
  if (cpus !== undefined && cpus < NEEDS.cpus.good)
    found.push(
      (cpus < NEEDS.cpus.least ? error : warning)(
        `the server has ${cpus === 1 ? '1 CPU core' : `${cpus} CPU cores`}; 6 are recommended, at least 2 are required`,
        'take a larger server',
      ),
    )
  if (memory !== undefined && memory < NEEDS.memory.good)
    found.push(
      (memory < NEEDS.memory.least ? error : warning)(
        `the server has ${gigabytes(memory)} of memory; 12 GB are wanted, 4 GB are the least (the core alone)`,
        'take a larger server',
      ),
    )
  if (swap.length > 0)
    found.push(
      warning(
        `the server swaps to ${listed(swap.map(quotedAnswer))}: pods get slow instead of being ended at their limit`,
        'switch it off: swapoff -a, and remove the swap line from /etc/fstab',
      ),
    )
  return found
}

function space({ disks }: ServerFacts, inUse: boolean): PreflightFinding[] {
  const found: PreflightFinding[] = []
  const tell = (disk: Disk, isBad: boolean, what: string) =>
    found.push(
      (isBad ? error : warning)(
        `${quotedAnswer(disk.target)} ${what}`,
        'free some space (du -xh /var | sort -h | tail), or enlarge the disk',
      ),
    )
  for (const disk of disks) {
    const { size, free, freeInodes } = disk
    const share = free / size
    if (inUse) {
      // The kubelet of k3s evicts pods below 5 %.
      if (share < 0.15) tell(disk, share < 0.05, `has only ${gigabytes(free)} free (${percent(share)})`)
    } else if (free < NEEDS.free.good)
      tell(
        disk,
        free < NEEDS.free.least,
        `has ${gigabytes(free)} free of ${gigabytes(size)}; 25 GB are wanted, 15 GB are the least`,
      )
    if (freeInodes !== undefined && freeInodes < 0.1)
      tell(disk, freeInodes < 0.03, `has only ${percent(freeInodes)} of its inodes free`)
  }
  return found
}

function fileSystems({ mounts }: ServerFacts): PreflightFinding[] {
  const found: PreflightFinding[] = []
  for (const { target, type, options } of mounts) {
    const isRancher = /^\/var\/lib(\/rancher(\/k3s)?)?$/.test(target)
    const holdsData = isRancher || /^\/var\/lib\/OpenAppStack(\/local-storage)?$/.test(target)
    if (holdsData && options.includes('ro'))
      found.push(
        error(
          `${quotedAnswer(target)} is mounted read-only`,
          `mount -o remount,rw ${quotedAnswer(target)}; look into dmesg for why it is`,
        ),
      )
    if (isRancher && options.includes('noexec'))
      found.push(
        error(
          `${quotedAnswer(target)} is mounted noexec, and k3s runs its programs from there`,
          `take noexec out of /etc/fstab, then: mount -o remount,exec ${quotedAnswer(target)}`,
        ),
      )
    if (/^(nfs4?|cifs|smb3|9p|fuse\.\S+)$/.test(type) && holdsData)
      found.push(
        error(
          `${quotedAnswer(target)} is a network file system (${quotedAnswer(type)}), on which databases break`,
          'mount a disk of the server there, or nothing',
        ),
      )
  }
  return found
}

function clock({ clockOffset, clockSynchronised }: ServerFacts): PreflightFinding[] {
  const found: PreflightFinding[] = []
  if (Math.abs(clockOffset) > CLOCK_TOLERANCE)
    found.push(
      error(
        `the server's clock is ${Math.round(Math.abs(clockOffset) / 60_000)} minutes ${clockOffset > 0 ? 'ahead of' : 'behind'} this machine's`,
        'correct the one that is wrong (compare `date -u` here and there); certificates and logins fail otherwise',
      ),
    )
  if (clockSynchronised === false)
    found.push(
      warning(
        "the server's clock is not synchronised with a time server",
        'apt-get install systemd-timesyncd && timedatectl set-ntp true; UDP port 123 has to be open outwards',
      ),
    )
  return found
}

/**
 * Limits of inotify for one user. Instances: what the pods of the platform and systemd use up at most; the kernel's
 * default is 128. Watches: one for each log that is followed; until Linux 5.11 the
 * default was 8192, since then it grows with the memory (git.kernel.org, 92890123749b). Both are set to what
 * kind.sigs.k8s.io, "Known issues", recommends.
 */
const INOTIFY = {
  instances: { least: 512, set: 512 },
  watches: { least: 16_384, set: 524_288 },
}

function kernel({ k3s, cgroup, cgroupV1Allowed, modules, routes, inotify }: ServerFacts): PreflightFinding[] {
  const found: PreflightFinding[] = []
  for (const [what, { least, set }] of Object.entries(INOTIFY)) {
    const allowed = inotify[what as keyof typeof INOTIFY]
    if (allowed !== undefined && allowed < least)
      found.push(
        warning(
          `the server's kernel allows ${allowed} inotify ${what} for one user: pods may end with "too many open files"`,
          `echo fs.inotify.max_user_${what}=${set} > /etc/sysctl.d/90-inotify-${what}.conf && sysctl --system`,
        ),
      )
  }
  if (cgroup.version === 1 && !cgroupV1Allowed)
    found.push(
      error(
        'the server uses version 1 of cgroups, with which the kubelet of Kubernetes 1.35 and newer does not start',
        'add systemd.unified_cgroup_hierarchy=1 to the kernel command line and reboot; or, where that cannot be, write `kubelet-arg+: ["fail-cgroupv1=false"]` into /etc/rancher/k3s/config.yaml.d/cgroup.yaml',
      ),
    )
  const missing = ['cpu', 'cpuset', 'memory', 'pids'].filter(name => !cgroup.controllers.includes(name))
  if (missing.length > 0)
    found.push(
      error(
        `the server's kernel lacks the cgroup controllers ${missing.join(', ')}`,
        'add cgroup_enable=cpuset cgroup_enable=memory cgroup_memory=1 to the kernel command line and reboot',
      ),
    )
  for (const [name, state] of Object.entries(modules)) {
    const use = name === 'overlay' ? 'containers' : 'the network of the pods'
    if (state === 'missing')
      found.push(
        error(
          `the server's kernel has no module ${name}, which ${use} needs`.replace(
            'containers needs',
            'containers need',
          ),
          "install the distribution's usual kernel (Debian: linux-image-amd64, Ubuntu: linux-generic) and reboot",
        ),
      )
    else if (state === 'unknown')
      found.push(
        warning(
          `whether the server's kernel has ${name} cannot be seen from inside`,
          `on the host: modprobe ${name}`,
        ),
      )
  }
  // k3s' own: https://docs.k3s.io/networking/basic-network-options, cluster-cidr and service-cidr. Once it is
  // installed, it makes such routes itself, to its other servers.
  const clashes = routes.filter(({ to, device }) => /^10\.4[23]\./.test(to) && !/^(cni|flannel)/.test(device))
  if (k3s === undefined && clashes.length > 0)
    found.push(
      error(
        `the server routes ${listed(clashes.map(({ to, device }) => quotedAnswer(`${to} to ${device}`)))}, and k3s gives 10.42.0.0/16 to pods and 10.43.0.0/16 to services`,
        'give that network other addresses, or the cluster (cluster-cidr and service-cidr in /etc/rancher/k3s/config.yaml)',
      ),
    )
  return found
}

const gigabytes = (bytes: number) => `${(bytes / GB).toFixed(bytes < 10 * GB ? 1 : 0)} GB`
const percent = (share: number) => `${Math.floor(share * 100)} %`
