/**
 * The way out of the servers' network (`up --server --online`): this machine, or in tests the bed's own namespace,
 * passes their packets on under its own address, and their questions for names to the name servers that it has itself.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ExpectedError } from '../../../lib/script/errors.ts'
import { privateFolder, writeFileAtomic } from '../../../lib/script/files.ts'
import { run } from '../build/shell.ts'
import type { Layout } from '../cluster/layout.ts'
import type { Machine } from './machine.ts'
import { HOST_INTERFACE, inNetwork, OUR_ADDRESS, routeOut } from './machine-network.ts'
import { ensureServed } from './machine-served.ts'
import { bedName, machinesOf } from './machines.ts'

const NETWORK = '10.77.0.0/24'
/** Where their questions for names arrive. On port 53 this machine may have a name server on all addresses. */
const NAMES = 7753
const HEALTH = 7754

/** Says that the servers of a folder have a way out, and who answers for names. It is there before their disks are. */
const fileOf = (layout: Pick<Layout, 'state'>) => join(layout.state, 'online.json')

/** Whether the servers of this folder have a way out, and so no stand-ins. */
export function isOnline(layout: Pick<Layout, 'state'>): boolean {
  return existsSync(fileOf(layout))
}

/**
 * Whether servers get a way out: those that were started with one keep it. Throws an ExpectedError for servers that
 * were started without: their disks hold the stand-ins' addresses and authority.
 */
export function decideOnline(
  layout: Layout,
  options: { online?: boolean | undefined; nameServer?: string | undefined },
): boolean {
  if (!options.online) return isOnline(layout)
  if (!isOnline(layout) && machinesOf(layout).length > 0)
    throw new ExpectedError(
      'the servers were created with stand-ins for the internet, which their disks hold',
      'replace them: `npx tsx scripts/sandbox.ts reset --server`, then `up --server --online`',
    )
  privateFolder(layout.state)
  writeFileAtomic(fileOf(layout), JSON.stringify({ nameServer: options.nameServer }))
  return true
}

/** Rules of iptables as `TABLE CHAIN RULE…`, with a mark by which they are found again. Pure. */
export function wayOutRules(mark: string): string[][] {
  const names = (protocol: string) => [
    ...['nat', 'PREROUTING', '-i', HOST_INTERFACE, '-d', OUR_ADDRESS, '-p', protocol, '--dport', '53'],
    ...['-j', 'DNAT', '--to-destination', `${OUR_ADDRESS}:${NAMES}`],
  ]
  const rules = [
    ['nat', 'POSTROUTING', '-s', NETWORK, '!', '-d', NETWORK, '-j', 'MASQUERADE'],
    names('udp'),
    names('tcp'),
    ['filter', 'FORWARD', '-i', HOST_INTERFACE, '-j', 'ACCEPT'],
    ['filter', 'FORWARD', '-o', HOST_INTERFACE, '-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED'],
  ]
  return rules.map((rule, i) => [
    ...rule,
    ...(i === rules.length - 1 ? ['-j', 'ACCEPT'] : []),
    ...['-m', 'comment', '--comment', mark],
  ])
}

/** Opens the way out; does nothing twice. The first server is asked whether names are answered. */
export async function openWayOut(layout: Layout, machine: Machine): Promise<void> {
  const bed = bedName(layout)
  await closeWayOut(layout)
  await routeOut(bed)
  await inNetwork(bed, 'sh', ['-c', FORWARD])
  await run('sh', ['-c', FORWARD])
  for (const [table = '', chain = '', ...rule] of wayOutRules(bed))
    await run('iptables', ['--wait', '-t', table, '--insert', chain, ...rule])
  const { nameServer } = JSON.parse(readFileSync(fileOf(layout), 'utf8')) as { nameServer?: string }
  await ensureServed(layout, machine, {
    name: 'name-server',
    file: 'name-server.ts',
    args: [
      ...[`--address=${OUR_ADDRESS}`, `--port=${NAMES}`, `--health=${HEALTH}`],
      ...(nameServer ? [`--upstream=${nameServer}`] : []),
    ],
    health: `http://${OUR_ADDRESS}:${HEALTH}/healthz`,
    onHost: true,
  })
}

const FORWARD = 'echo 1 >/proc/sys/net/ipv4/ip_forward'

/** Removes the rules of the way out from this machine; does nothing where there are none. */
export async function closeWayOut(layout: Pick<Layout, 'state'>): Promise<void> {
  if (!isOnline(layout)) return
  const mark = bedName(layout)
  for (const table of ['nat', 'filter']) {
    const rules = await run('iptables', ['--wait', '-t', table, '--list-rules'])
    for (const rule of rules.split('\n'))
      if (rule.startsWith('-A ') && rule.split(' ').includes(mark))
        await run('iptables', ['--wait', '-t', table, '--delete', ...rule.split(' ').slice(1)])
  }
}
