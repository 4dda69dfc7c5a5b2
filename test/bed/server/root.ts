import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { codeOf, ExpectedError } from '../../../lib/script/errors.ts'
import type { Building } from '../build/build.ts'
import { cached, cacheKey } from '../build/cache.ts'
import { run } from '../build/shell.ts'

/** Raise it when a change of this file leads to another root from the same packages. */
const ROOT_RECIPE = 1
/** Debian's release; and its mirror is where apt takes it from on this machine. */
const SUITE = 'bookworm'
/** What a server of a provider has, and what Kubernetes needs on a node. */
const PACKAGES = [
  ...['systemd', 'systemd-sysv', 'dbus', 'openssh-server', 'sudo', 'ca-certificates', 'curl'],
  ...['iproute2', 'iptables', 'procps', 'kmod', 'conntrack', 'socat', 'ethtool', 'zstd'],
]
/** Not installed, since a fresh server has no container runtime: their programs are given to stand-ins. */
const NODE_PACKAGES = ['containerd', 'runc', 'containernetworking-plugins']
const NODE_PROGRAMS = {
  bin: ['usr/bin/containerd', 'usr/bin/containerd-shim-runc-v2', 'usr/bin/ctr', 'usr/sbin/runc'],
  cni: ['bridge', 'firewall', 'host-local', 'loopback', 'portmap'].map(name => `usr/lib/cni/${name}`),
}

/** Removes what no server of ours needs, and what has to be each server's own. */
const TRIM = `set -e
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/*.log /var/log/apt
rm -rf /usr/share/doc/* /usr/share/man/* /usr/share/info/* /usr/share/locale/* /usr/share/lintian
rm -f /etc/ssh/ssh_host_* /etc/hostname /etc/resolv.conf
: >/etc/machine-id
for timer in apt-daily apt-daily-upgrade dpkg-db-backup e2scrub_all fstrim; do
  ln -sf /dev/null /etc/systemd/system/$timer.timer
done
`

/** What makes Debian a good guest of systemd-nspawn. */
const FILES: Record<string, string> = {
  // A shutdown with pods that do not end would take the default of 90 s.
  'etc/systemd/system.conf.d/sandbox.conf': '[Manager]\nDefaultTimeoutStopSec=5s\n',
  'etc/systemd/journald.conf.d/sandbox.conf': '[Journal]\nSystemMaxUse=32M\n',
  // systemd-nspawn mounts the cgroups of version 1 read-only: no kubelet could make its own. And a container
  // sees the memory of the machine in /proc/meminfo: a smaller server brings a file of its own.
  'etc/systemd/system/sandbox-mounts.service': `[Unit]
Description=Mounts as on a server of its own
DefaultDependencies=no
Before=basic.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'for m in /sys/fs/cgroup/*/; do if mountpoint -q "$m"; then mount -o remount,bind,rw "$m"; fi; done'
ExecStart=/bin/sh -c '[ ! -f /etc/sandbox-meminfo ] || mount --bind /etc/sandbox-meminfo /proc/meminfo'
[Install]
WantedBy=basic.target
`,
}

/** The files from which servers are created. */
export interface DebianRoot {
  /** The root folder of a server as tar.zst. */
  archive: string
  /** Programs for stand-ins of a container runtime, `bin/` and `cni/`: they need the root's libraries. */
  node: string
}

/** The Debian of the servers: from the cache, or created in it by debootstrap. */
export async function debianRoot(building: Building): Promise<DebianRoot> {
  const key = cacheKey([process.arch, SUITE, ...PACKAGES, ...NODE_PACKAGES, `recipe ${ROOT_RECIPE}`])
  const damaged = (what: string) => building.progress(`the cache is damaged and is rebuilt: ${what}`)
  const folder = await cached(`debian-${key}`, { ...building, damaged }, folder => make(folder, building))
  return { archive: join(folder, 'root.tar.zst'), node: join(folder, 'node') }
}

async function make(folder: string, { progress, signal }: Building): Promise<void> {
  rmSync(folder, { recursive: true, force: true })
  const root = join(folder, 'work')
  mkdirSync(root, { recursive: true })
  progress(`fetching Debian ${SUITE} for servers (once; some minutes)`)
  // debootstrap mounts /proc in the folder. In a mount namespace of its own that is gone when it ends, however
  // that happens, and nothing can ever remove or copy files through it.
  await debootstrap(
    [
      '--variant=minbase',
      `--include=${[...PACKAGES, ...NODE_PACKAGES].join(',')}`,
      SUITE,
      root,
      ...(await mirror()),
    ],
    phase => progress(`creating the Debian of servers: ${phase}`),
    signal,
  )
  for (const [kind, programs] of Object.entries(NODE_PROGRAMS)) {
    mkdirSync(join(folder, 'node', kind), { recursive: true })
    for (const program of programs)
      cpSync(join(root, program), join(folder, 'node', kind, program.split('/').at(-1)!))
  }
  await chrooted(root, ['dpkg', '--purge', ...NODE_PACKAGES])
  await chrooted(root, ['sh', '-c', TRIM])
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(join(root, path, '..'), { recursive: true })
    writeFileSync(join(root, path), text, { mode: 0o644 })
  }
  await chrooted(root, ['systemctl', 'enable', '--quiet', 'sandbox-mounts.service'])
  progress('packing the Debian of servers')
  const archive = join(folder, 'root.tar.zst.new')
  await run('tar', ['--use-compress-program=zstd -6', '-C', root, '-cf', archive, '.'], { timeout: 300_000 })
  renameSync(archive, join(folder, 'root.tar.zst'))
  rmSync(root, { recursive: true, force: true })
}

/** Debian's mirror as apt on this machine has it; nothing where apt has none, since debootstrap knows one. */
async function mirror(): Promise<string[]> {
  const targets = await run('apt-get', ['indextargets', '--format', '$(ORIGIN)|$(LABEL)|$(REPO_URI)']).catch(
    () => '',
  )
  const found = targets.split('\n').find(line => line.startsWith('Debian|Debian|'))
  return found ? [found.split('|')[2]!] : []
}

/** The proxy that apt uses, for debootstrap's wget. */
async function proxy(): Promise<Record<string, string>> {
  const value = await run('apt-config', ['dump', '--format', '%v', 'Acquire::http::Proxy']).catch(() => '')
  return value && value !== 'DIRECT' ? { http_proxy: value } : {}
}

async function chrooted(root: string, command: readonly string[]): Promise<void> {
  await run('unshare', ['--mount', '--propagation', 'private', 'chroot', root, ...command], {
    env: { LC_ALL: 'C.UTF-8', DEBIAN_FRONTEND: 'noninteractive' },
    fix: 'this is a defect of the sandbox: report it',
  })
}

/** Runs debootstrap, and reports each of its phases once. */
async function debootstrap(
  args: readonly string[],
  tell: (phase: string) => void,
  signal?: AbortSignal,
): Promise<void> {
  const environment = { ...process.env, ...(await proxy()), LC_ALL: 'C' }
  await new Promise<void>((resolve, reject) => {
    const child = spawn('unshare', ['--mount', '--propagation', 'private', 'debootstrap', ...args], {
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
      signal,
    })
    const last: string[] = []
    const told = new Set<string | undefined>()
    const take = (text: string) => {
      last.push(text)
      if (last.length > 3) last.shift()
      const phase = /^I: (Retrieving|Extracting|Unpacking|Configuring) /.exec(text)?.[1]?.toLowerCase()
      if (phase !== undefined && !told.has(phase)) tell(phase)
      told.add(phase)
    }
    createInterface({ input: child.stdout }).on('line', take)
    createInterface({ input: child.stderr }).on('line', take)
    child.on('error', error => reject(codeOf(error) === 'ABORT_ERR' ? (signal?.reason ?? error) : error))
    child.on('close', code => {
      if (code === 0) resolve()
      else
        reject(
          new ExpectedError(
            `debootstrap failed: ${last.join(' | ') || `exit code ${code}`}`,
            'check that `apt-get update` works on this machine and that its disk has 1 GB of free space, then run this again',
          ),
        )
    })
  })
}
