import { join } from 'node:path'
import type { Cluster } from './cluster.ts'
import { readConfig } from './config.ts'
import { UsageError } from './errors.ts'
import { readInventory, serverOf } from './inventory.ts'
import { whoami } from './lock.ts'
import type { Run } from './run.ts'
import type { ConnectOptions, Ssh, SshTarget } from './ssh.ts'
import type { sshFlags } from './ssh-flags.ts'
import { lockServer } from './ssh-lock.ts'

/** Milliseconds that a server may take from its last word to its next login. */
const REBOOT = 10 * 60_000

/** A run of a script that connects to a server: one that takes the flags of `sshFlags`. */
export type ServerRun = Pick<Run<typeof sshFlags>, 'flags' | 'log' | 'signal' | 'abort' | 'onEnd' | 'cluster'>

/** How to log in to the server of a cluster: from its inventory, else the address in its configuration. */
export async function serverOfCluster(cluster: Cluster, hostname: string | undefined): Promise<SshTarget> {
  const file = join(cluster.folder, 'inventory.yml')
  const server = serverOf(await readInventory(file), hostname, file)
  if (server) return { host: server.address, user: server.user, port: server.port, keyFile: server.keyFile }
  const address = readConfig(cluster.env).ip_address
  if (address) return { host: address, user: 'root' }
  throw new UsageError(
    `neither ${file} nor ${cluster.env} says which server cluster ${cluster.name} is on`,
    'write the inventory first: npx tsx scripts/create-cluster.ts',
  )
}

/** Checks the host key of the server of the run's cluster, for whoever lets another program log in. */
export async function verifyServer(run: ServerRun): Promise<Ssh> {
  const { Ssh } = await import('./ssh.ts')
  return Ssh.verifyHostKey(await serverOfCluster(run.cluster, run.flags.hostname), connectOptions(run))
}

/** Connects to the server of the run's cluster, or to `target`; the connection is closed when the run ends. */
export async function connectServer(run: ServerRun, target?: SshTarget): Promise<Ssh> {
  const { Ssh } = await import('./ssh.ts')
  const ssh = await Ssh.connect(
    target ?? (await serverOfCluster(run.cluster, run.flags.hostname)),
    connectOptions(run),
  )
  run.onEnd(async () => ssh.close())
  return ssh
}

function connectOptions({ flags, log, signal }: ServerRun): ConnectOptions {
  return { log, acceptNewHostKey: flags['accept-new-host-key'], signal }
}

/** The lock of a server, held by a run until its end. */
export interface HeldServer {
  /** Reboots the server, connects again when it is up, and takes the lock again. */
  reboot(): Promise<void>
}

/**
 * Takes the lock of the server for this run, which ends when the lock is lost. Throws an ExpectedError (exit
 * code 75) that names the holder when another run has it.
 */
export async function holdServer(ssh: Ssh, run: ServerRun): Promise<HeldServer> {
  const take = () => lockServer(ssh, { holder: whoami, onLost: why => run.abort(why) })
  let lock = await take()
  run.onEnd(() => lock.release())
  return {
    async reboot() {
      const boot = await ssh.bootId()
      await lock.release() // the kernel gives it back anyway: now nobody takes that for a loss
      // The answer may get lost with the connection: whether it reboots is seen by its next boot.
      await ssh.exec(['systemctl', 'reboot'], { sudo: true }).catch(() => {})
      await ssh.reconnect({ deadline: REBOOT, afterBoot: boot })
      lock = await take()
    },
  }
}
