import { accessSync, constants, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ExpectedError, throwAll } from '../../../lib/script/errors.ts'
import { run } from '../build/shell.ts'
import { hierarchies } from './machine-cgroups.ts'

/** The programs that servers need here, and the Debian packages that have them. */
const PROGRAMS: Record<string, string> = {
  debootstrap: 'debootstrap',
  'systemd-nspawn': 'systemd-container',
  ip: 'iproute2',
  iptables: 'iptables',
  nsenter: 'util-linux',
  unshare: 'util-linux',
  mount: 'mount',
  'mkfs.ext4': 'e2fsprogs',
  tar: 'tar',
  zstd: 'zstd',
  ssh: 'openssh-client',
  'ssh-keygen': 'openssh-client',
}
/** Without it debootstrap could not tell Debian's packages from anybody else's. */
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'

/** Throws everything that keeps this machine from running servers, at once. */
export async function checkMachineNeeds(): Promise<void> {
  if (process.platform !== 'linux')
    throw new ExpectedError(
      `servers of the sandbox need Linux, and this machine runs ${process.platform}`,
      'use Linux or a virtual machine',
    )
  // A shell of a user who became root by `su` does not have them in its PATH.
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin']
  process.env.PATH = [...new Set(folders)].join(':')
  const missing = Object.keys(PROGRAMS).filter(name => !folders.some(folder => isProgram(join(folder, name))))
  const packages = new Set(missing.map(name => PROGRAMS[name]!))
  if (!existsSync(KEYRING)) packages.add('debian-archive-keyring')
  const problems: ExpectedError[] = []
  if (packages.size > 0)
    problems.push(
      new ExpectedError(
        `servers of the sandbox need programs that are not installed: ${[...missing, ...(existsSync(KEYRING) ? [] : [KEYRING])].join(', ')}`,
        `install them (Debian, Ubuntu: apt-get install ${[...packages].join(' ')})`,
      ),
    )
  if (process.getuid?.() !== 0)
    problems.push(
      new ExpectedError(
        'servers of the sandbox need root: they have their own namespaces, mounts and cgroups',
        'run it with sudo, on your own machine or virtual machine',
      ),
    )
  else if (!missing.includes('unshare'))
    await run('unshare', ['--mount', '--net', '--pid', '--fork', 'true']).catch(cause =>
      problems.push(
        new ExpectedError(
          'root cannot create namespaces on this machine, and servers need them',
          'use your own machine or virtual machine, or a privileged container',
          { cause },
        ),
      ),
    )
  if (hierarchies().length === 0)
    problems.push(
      new ExpectedError(
        'no cgroups are mounted at /sys/fs/cgroup, and servers need them',
        'use your own machine or virtual machine, or a privileged container',
      ),
    )
  throwAll(problems)
}

/** What systemd, containerd and kubelets of some servers need together; a machine's default is 128. */
const INOTIFY_INSTANCES = 8192

/**
 * Raises this machine's limit of inotify instances until its next boot. It counts for all that belongs to root,
 * in all containers together: when it is reached, a server's systemd ends at once, and kubelets do not start.
 */
export function raiseLimits(): void {
  const file = '/proc/sys/fs/inotify/max_user_instances'
  if (Number(readFileSync(file, 'utf8')) < INOTIFY_INSTANCES) writeFileSync(file, `${INOTIFY_INSTANCES}`)
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
