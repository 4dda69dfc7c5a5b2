import { readConfig } from '../platform/config.ts'
import { type InventoryHost, inventoryFile, readInventory, serverOf } from '../platform/inventory.ts'
import { whoami } from '../platform/lock.ts'
import type { Cluster } from '../script/cluster.ts'
import { ExpectedError, UsageError } from '../script/errors.ts'
import type { Run } from '../script/run.ts'
import type { sshFlags } from '../ssh/flags.ts'
import { lockServer } from '../ssh/lock.ts'
import type { ConnectOptions, Ssh, SshTarget } from '../ssh/ssh.ts'

/** Milliseconds that commands of a run that was cut off get to end by themselves. */
const LEFTOVERS = 30_000
/** Milliseconds that a server may take from its last word to its next login. */
const REBOOT = 10 * 60_000

/** A run of a script that connects to a server: one that takes the flags of `sshFlags`. */
export type ServerRun = Pick<Run<typeof sshFlags>, 'flags' | 'log' | 'signal' | 'abort' | 'onEnd' | 'cluster'>

const targetOf = ({ address, user, port, keyFile }: InventoryHost): SshTarget => ({
  host: address,
  user,
  port,
  keyFile,
})

/** How to log in to the server of a cluster: from its inventory, else the address in its configuration. */
export async function serverOfCluster(cluster: Cluster, hostname: string | undefined): Promise<SshTarget> {
  const [server] = await hostsOfCluster(cluster, hostname)
  if (server) return server
  const file = inventoryFile(cluster)
  const address = readConfig(cluster.env).ip_address
  if (address) return { host: address, user: 'root' }
  throw new UsageError(
    `neither ${file} nor ${cluster.env} says which server cluster ${cluster.name} is on`,
    'write the inventory first: npx tsx scripts/create-cluster.ts',
  )
}

/** How to log in to the other hosts of a cluster: those of the group `worker` that are not in `master`. */
export async function agentsOfCluster(
  cluster: Cluster,
  hostname: string | undefined,
): Promise<(SshTarget & { name: string })[]> {
  return (await hostsOfCluster(cluster, hostname)).slice(1)
}

/**
 * How to log in to all hosts of a cluster that its inventory names: the server first, then the agents. Empty
 * where there is no inventory.
 */
export async function hostsOfCluster(
  cluster: Cluster,
  hostname: string | undefined,
): Promise<(SshTarget & { name: string })[]> {
  const file = inventoryFile(cluster)
  const hosts = await readInventory(file)
  const server = serverOf(hosts, hostname, file)
  const agents = hosts
    .filter(({ groups }) => groups.includes('worker') && !groups.includes('master'))
    .filter(({ name }) => name !== server?.name)
  return [...(server ? [server] : []), ...agents].map(host => ({ ...targetOf(host), name: host.name }))
}

/** Checks the host key of the server of the run's cluster, for whoever lets another program log in. */
export async function verifyServer(run: ServerRun): Promise<Ssh> {
  const { Ssh } = await import('../ssh/ssh.ts')
  return Ssh.verifyHostKey(await serverOfCluster(run.cluster, run.flags.hostname), connectOptions(run))
}

/** Connects to the server of the run's cluster, or to `target`; the connection is closed when the run ends. */
export async function connectServer(run: ServerRun, target?: SshTarget): Promise<Ssh> {
  const { Ssh } = await import('../ssh/ssh.ts')
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

/** Why a lock was lost; a broken connection is what people have to know then. */
function lostBy(ssh: Ssh, why: ExpectedError): ExpectedError {
  // The class itself would load all of ssh.ts.
  if (!(why.cause instanceof ExpectedError) || why.cause.name !== 'ConnectionLost') return why
  return new ExpectedError(
    `the connection to ${ssh.name} was lost`,
    'see whether the server is up and reachable (ping), then run the same command again: it continues',
    { cause: why.cause },
  )
}

/** The lock of a server, held by a run until its end. */
export interface HeldServer {
  /** Reboots the server, connects again when it is up, and takes the lock again. */
  reboot(): Promise<void>
}

/**
 * Takes the lock of the server for this run, which ends when the lock is lost, and sees to it that no command of
 * an earlier run is at work there any more. Throws an ExpectedError (exit code 75) that names the holder when
 * another run has the lock.
 */
export async function holdServer(ssh: Ssh, run: ServerRun): Promise<HeldServer> {
  const { endLeftovers } = await import('../ssh/leftovers.ts')
  const take = () => lockServer(ssh, { holder: whoami, onLost: why => run.abort(lostBy(ssh, why)) })
  let lock = await take()
  run.onEnd(() => lock.release())
  await endLeftovers(ssh, { wait: LEFTOVERS, log: run.log, signal: run.signal })
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
