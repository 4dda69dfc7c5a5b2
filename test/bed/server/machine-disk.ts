import { randomBytes } from 'node:crypto'
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { UsageError } from '../../../lib/script/errors.ts'
import { readIfExists, writeFileAtomic } from '../../../lib/script/files.ts'
import { run } from '../build/shell.ts'
import type { Layout } from '../cluster/layout.ts'
import { PROCESS_MARK } from '../cluster/processes.ts'
import { type MachineState, type MachineUser, machineFolder } from './machine.ts'
import { hierarchies } from './machine-cgroups.ts'
import { OUR_ADDRESS } from './machine-network.ts'

/** What the disk of a server gets besides Debian. */
export interface DiskContents {
  /** The public key that is let in. */
  authorizedKey: string
  user?: MachineUser
  /** More names for /etc/hosts: name → address. */
  hosts: Record<string, string>
  /** A certificate authority (PEM) that it trusts. */
  ca?: string
}

/**
 * What the administrator of a server with cgroups of version 1 has to configure in k3s: from Kubernetes 1.35 on no kubelet
 * starts there otherwise. A server in a container has the cgroups of this machine.
 */
export const CGROUP_V1 = {
  path: '/etc/rancher/k3s/config.yaml.d/cgroup-v1.yaml',
  text: 'kubelet-arg+:\n  - fail-cgroupv1=false\n',
}

/** What the process that unpacks a disk is called, with the server's name. */
export const UNPACKING = 'unpack'

const UNITS: Record<string, number> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 }

/** The bytes of a size like `512M` or `2G`. Throws a UsageError. */
export function bytesOf(size: string): number {
  const [, number, unit] = /^(\d+)([KMG])$/.exec(size) ?? []
  if (!number || !unit)
    throw new UsageError(`${JSON.stringify(size)} is not a size`, 'give a number with K, M or G, like 2G')
  return Number(number) * UNITS[unit]!
}

/**
 * The disk of a server: Debian from the archive, and what makes it this server. A complete one is kept; an
 * unfinished one is created again.
 */
export async function ensureDisk(
  layout: Layout,
  state: MachineState,
  archive: string,
  contents: DiskContents,
): Promise<void> {
  const { folder, root, disk } = machineFolder(layout, state.name)
  const finished = join(folder, 'disk-is-ready')
  const fresh = !existsSync(finished)
  if (fresh) {
    rmSync(root, { recursive: true, force: true })
    rmSync(disk, { force: true })
  }
  mkdirSync(root, { recursive: true })
  if (state.disk !== undefined) {
    if (fresh) {
      writeFileSync(disk, '')
      truncateSync(disk, bytesOf(state.disk))
      await run('mkfs.ext4', ['-q', '-F', '-m', '0', disk])
    }
    if (!mountsBelow(root).includes(root)) await run('mount', ['-o', 'loop', disk, root])
  }
  if (!fresh) return
  // Marked as ours: it goes on when we are killed, and has to be ended before anybody else works on the folder.
  const env = { [PROCESS_MARK]: `${layout.state}:${UNPACKING}-${state.name}:` }
  await run('tar', ['--zstd', '-C', root, '-xpf', archive], { timeout: 300_000, env })
  await personalise(layout, root, state, contents)
  writeFileAtomic(finished, '')
}

async function personalise(
  layout: Layout,
  root: string,
  state: MachineState,
  { authorizedKey, user, hosts, ca }: DiskContents,
): Promise<void> {
  const write = (path: string, text: string, mode = 0o644) => {
    mkdirSync(join(root, path, '..'), { recursive: true })
    writeFileSync(join(root, path), text, { mode })
  }
  write('etc/hostname', `${state.name}\n`)
  // systemd would take that of the virtual machine that this may be, the same for all servers.
  write('etc/machine-id', `${randomBytes(16).toString('hex')}\n`, 0o444)
  write('etc/resolv.conf', `nameserver ${OUR_ADDRESS}\n`)
  const names = Object.entries({ [state.name]: state.addresses[0]!, ...hosts })
  write(
    'etc/hosts',
    ['127.0.0.1 localhost', ...names.map(([name, address]) => `${address} ${name}`), ''].join('\n'),
  )
  for (const [type, key] of Object.entries(await hostKeys(layout, state))) {
    copyFileSync(key, join(root, `etc/ssh/ssh_host_${type}_key`))
    chmodSync(join(root, `etc/ssh/ssh_host_${type}_key`), 0o600)
    copyFileSync(`${key}.pub`, join(root, `etc/ssh/ssh_host_${type}_key.pub`))
  }
  mkdirSync(join(root, 'root/.ssh'), { recursive: true, mode: 0o700 })
  write('root/.ssh/authorized_keys', authorizedKey, 0o600)
  if (ca !== undefined) {
    // As update-ca-certificates does it, which takes a second.
    const lines = `${ca.trim()}\n`
    write('usr/local/share/ca-certificates/sandbox.crt', lines)
    appendFileSync(join(root, 'etc/ssl/certs/ca-certificates.crt'), lines)
  }
  if (hierarchies().some(({ version }) => version === 1)) write(CGROUP_V1.path, CGROUP_V1.text)
  if (state.memory !== undefined)
    write('etc/sandbox-meminfo', memoryInfo(readFileSync('/proc/meminfo', 'utf8'), state.memory))
  if (user) await addUser(root, user, authorizedKey)
}

async function addUser(root: string, { name, password }: MachineUser, key: string): Promise<void> {
  const chroot = (args: readonly string[], input?: string) => run('chroot', [root, ...args], { input })
  await chroot(['useradd', '--create-home', '--shell', '/bin/bash', name])
  // sshd takes an account without any password for a locked one; * is not a hash of any.
  if (password === undefined) await chroot(['usermod', '--password', '*', name])
  else await chroot(['chpasswd'], `${name}:${password}\n`)
  const rule = `${name} ALL=(ALL:ALL) ${password === undefined ? 'NOPASSWD: ' : ''}ALL\n`
  writeFileSync(join(root, 'etc/sudoers.d', name), rule, { mode: 0o440 })
  await chroot(['install', '-d', '-m', '0700', '-o', name, '-g', name, `/home/${name}/.ssh`])
  await chroot(
    ['sh', '-c', 'umask 077; cat >"$1"; chown "$2:" "$1"', 'sh', `/home/${name}/.ssh/authorized_keys`, name],
    key,
  )
}

/** /proc/meminfo of a machine with less memory and no swap. Pure. */
export function memoryInfo(text: string, bytes: number): string {
  const kB = Math.floor(bytes / 1024)
  const values: Record<string, number> = {
    MemTotal: kB,
    MemFree: Math.floor(kB * 0.85),
    MemAvailable: Math.floor(kB * 0.9),
    SwapTotal: 0,
    SwapFree: 0,
  }
  return text.replace(/^(\w+):\s+\d+ kB$/gm, (line, name: string) =>
    name in values ? `${`${name}:`.padEnd(16)}${String(values[name]).padStart(8)} kB` : line,
  )
}

/** The host keys of a server, created once; they outlive its disk, so that clients need not accept new ones. */
async function hostKeys(layout: Layout, state: MachineState): Promise<Record<string, string>> {
  const keys: Record<string, string> = {}
  for (const type of ['ed25519', 'ecdsa']) {
    keys[type] = join(machineFolder(layout, state.name).folder, `host_${type}`)
    await ensureKey(keys[type], type, state.name)
  }
  return keys
}

/** Creates a key pair, unless it exists. */
export async function ensureKey(file: string, type: string, comment: string): Promise<void> {
  if (readIfExists(`${file}.pub`)) return
  rmSync(`${file}.new`, { force: true })
  await run('ssh-keygen', ['-q', '-t', type, '-N', '', '-C', comment, '-f', `${file}.new`])
  renameSync(`${file}.new`, file)
  renameSync(`${file}.new.pub`, `${file}.pub`) // last: it says that both are there
}

/** The lines of known_hosts for a server. */
export function knownHostsLines(layout: Layout, state: MachineState): string {
  const { folder } = machineFolder(layout, state.name)
  return ['ed25519', 'ecdsa']
    .map(type =>
      readFileSync(join(folder, `host_${type}.pub`), 'utf8')
        .split(' ')
        .slice(0, 2)
        .join(' '),
    )
    .map(key => `${state.addresses[0]} ${key}\n`)
    .join('')
}

/** What is mounted at or below a folder, the deepest first. */
export function mountsBelow(folder: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map(line =>
      (line.split(' ')[4] ?? '').replace(/\\(\d{3})/g, (_, code) =>
        String.fromCharCode(Number.parseInt(code, 8)),
      ),
    )
    .filter(path => path === folder || path.startsWith(`${folder}/`))
    .sort((a, b) => b.length - a.length)
}

/** Takes away what is mounted at or below a folder. */
export async function unmountBelow(folder: string): Promise<void> {
  for (const path of mountsBelow(folder)) await run('umount', [path])
}
