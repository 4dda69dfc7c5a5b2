import { existsSync, readdirSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { ExpectedError } from '../../../lib/script/errors.ts'
import { run } from '../build/shell.ts'

/** Our side of the servers' network, and what they ask for a way out: a dead end, in the bed's own namespace. */
export const OUR_ADDRESS = '10.77.0.1'
const GATEWAY = '10.77.0.254'
/** The interface by which this machine itself reaches a newcomer's server. */
export const HOST_INTERFACE = 'oas-sandbox'

/** The address of the n-th server, from 1 on. */
export function machineAddress(number: number): string {
  return `10.77.0.${number + 1}`
}

/** The file of a network namespace. */
export function netnsFile(name: string): string {
  return join('/run/netns', name)
}

/** Runs commands of ip(8), in a namespace or here. They are constants, numbers and checked addresses. */
async function ip(netns: string | undefined, commands: readonly string[]): Promise<void> {
  await run('ip', [...(netns ? ['-n', netns] : []), '-batch', '-'], { input: `${commands.join('\n')}\n` })
}

/**
 * The bed's own network namespace with the bridge that its servers are on; nothing is routed out of it. With
 * `onHost` this machine itself is 10.77.0.1, else the namespace is. Does nothing if the network exists.
 */
export async function makeBedNetwork(netns: string, onHost: boolean): Promise<void> {
  await removeNetwork(netns)
  if (onHost) refuseTakenAddress()
  await ip(undefined, [`netns add ${netns}`])
  await ip(netns, [
    'link set lo up',
    'link add br0 type bridge',
    `address add ${GATEWAY}/24 dev br0`,
    ...(onHost ? [] : [`address add ${OUR_ADDRESS}/24 dev br0`]),
    'link set br0 up',
  ])
  if (!onHost) return
  await ip(undefined, [
    `link add ${HOST_INTERFACE} type veth peer name host netns ${netns}`,
    `address add ${OUR_ADDRESS}/24 dev ${HOST_INTERFACE}`,
    `link set ${HOST_INTERFACE} up`,
  ])
  await ip(netns, ['link set host master br0', 'link set host up'])
}

/** Has the bed's namespace pass on to this machine what the servers send elsewhere; no link is needed for it. */
export async function routeOut(netns: string): Promise<void> {
  await ip(netns, [`route replace default via ${OUR_ADDRESS}`])
}

/** Somebody else's network of the same addresses (a VPN, another sandbox) is not to be taken over. */
function refuseTakenAddress(): void {
  for (const [name, addresses] of Object.entries(networkInterfaces()))
    if (addresses?.some(({ address }) => address.startsWith('10.77.0.')))
      throw new ExpectedError(
        `this machine has an address of 10.77.0.0/24 already (on ${name}), which the sandbox's servers use`,
        'stop the other sandbox with `npx tsx scripts/sandbox.ts down --server --name NAME`, or disconnect that network',
      )
}

/** The network of a server, created again, as a reboot does: its namespace with eth0, on the bed's bridge. */
export async function makeMachineNetwork(
  bed: string,
  netns: string,
  number: number,
  addresses: readonly string[],
): Promise<void> {
  await removeNetwork(netns)
  // The kernel takes away the other end in its own time.
  await ip(bed, [`link delete s${number}`]).catch(() => {})
  await ip(undefined, [`netns add ${netns}`])
  // The hardware address stays the same over reboots, as that of a server does: others remember it.
  const hardware = `02:77:00:00:00:${(number + 1).toString(16).padStart(2, '0')}`
  await ip(bed, [
    `link add s${number} type veth peer name eth0 address ${hardware} netns ${netns}`,
    `link set s${number} master br0`,
    `link set s${number} up`,
  ])
  await ip(netns, [
    'link set lo up',
    ...addresses.map(address => `address add ${address}/24 dev eth0`),
    'link set eth0 up',
    `route add default via ${GATEWAY}`,
  ])
}

/** Gives a server one more address, or takes one away. */
export async function changeAddress(netns: string, change: 'add' | 'del', address: string): Promise<void> {
  // Without it the first address takes all others of its network with it.
  const promote = 'echo 1 >/proc/sys/net/ipv4/conf/eth0/promote_secondaries'
  await inNetwork(netns, 'sh', ['-c', promote])
  await ip(netns, [`address ${change} ${address}/24 dev eth0`])
  if (change === 'del') await ip(netns, [`route replace default via ${GATEWAY}`])
}

/** Ends what runs in a network namespace, and removes it with its interfaces. */
export async function removeNetwork(netns: string): Promise<void> {
  if (!existsSync(netnsFile(netns))) return
  const pids = await run('ip', ['netns', 'pids', netns])
  for (const pid of pids.split('\n').filter(Boolean))
    try {
      process.kill(Number(pid), 'SIGKILL')
    } catch {
      // It has ended by itself.
    }
  // With its namespace it would go in the kernel's own time, and the next start finds its address taken.
  await ip(netns, ['link delete host']).catch(() => {})
  await ip(undefined, [`netns delete ${netns}`])
}

/** The network namespaces of a bed. */
export function networksOf(bed: string): string[] {
  if (!existsSync('/run/netns')) return []
  return readdirSync('/run/netns').filter(name => name === bed || name.startsWith(`${bed}-`))
}

/** Drops (or no longer drops) every packet between our side in the bed's namespace and an address. */
export async function dropPackets(netns: string, address: string, drop: boolean): Promise<void> {
  const change = drop ? '--insert' : '--delete'
  for (const [chain, side] of [
    ['INPUT', '--source'],
    ['OUTPUT', '--destination'],
  ] as const)
    await inNetwork(netns, 'iptables', ['--wait', change, chain, side, address, '--jump', 'DROP'])
}

/** Runs a local program in a network namespace; returns its stdout. Throws unless it ends with 0. */
export async function inNetwork(
  netns: string,
  program: string,
  args: readonly string[],
  options: { input?: string; timeout?: number } = {},
): Promise<string> {
  return await run('nsenter', [`--net=${netnsFile(netns)}`, '--', program, ...args], options)
}
