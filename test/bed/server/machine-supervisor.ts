/**
 * Runs one server, as a process of its own: boots it, boots it again when it reboots, and ends when it is off.
 *
 * Usage: node --import tsx test/bed/server/machine-supervisor.ts MACHINE.JSON
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { sleep } from '../../../lib/script/wait.ts'
import { type MachineState, readMachine } from './machine.ts'
import { makeCgroups, removeCgroups } from './machine-cgroups.ts'
import { makeMachineNetwork, netnsFile, removeNetwork } from './machine-network.ts'

/** The exit code by which systemd-nspawn asks for a reboot of the system in it. */
const REBOOT = 133

const file = process.argv[2]!
let child: ChildProcess | undefined
let ending = false
process.on('SIGTERM', () => {
  ending = true
  child?.kill('SIGKILL')
})

/** Boots the server once, with an empty network and empty cgroups. Resolves with how systemd-nspawn ended. */
async function boot(state: MachineState): Promise<number | null> {
  const own = `${state.bed}-${state.number}`
  const cgroups = await makeCgroups(own, state.memory)
  await makeMachineNetwork(state.bed, own, state.number, state.addresses)
  if (ending) return null
  const log = openSync(join(dirname(file), 'console.log'), 'a', 0o600)
  // It enters the cgroups before it is systemd-nspawn: no process of the server is ever elsewhere.
  const enter = 'while [ "$1" != -- ]; do echo $$ >"$1" || exit; shift; done; shift; exec "$@"'
  child = spawn('sh', ['-c', enter, 'sh', ...cgroups, '--', ...command(state, own)], {
    stdio: ['ignore', log, log],
    // The first: Kubernetes mounts and makes namespaces. The second: it sets sysctls of the network.
    env: { ...process.env, SYSTEMD_SECCOMP: '0', SYSTEMD_NSPAWN_API_VFS_WRITABLE: 'yes' },
  })
  closeSync(log)
  return await new Promise((resolve, reject) => {
    child!.once('error', reject)
    child!.once('close', resolve)
  })
}

/** The command line of systemd-nspawn, in a mount namespace of its own: no mount of the server is seen here. */
function command(state: MachineState, own: string): string[] {
  const devices = ['/dev/kmsg', '/dev/fuse'].filter(existsSync)
  return [
    ...['unshare', '--mount', '--propagation', 'private', 'systemd-nspawn'],
    ...['--quiet', '--keep-unit', '--register=no', '--boot', '--console=read-only', '--capability=all'],
    ...[`--machine=${own}`, `--hostname=${state.name}`, `--directory=${join(dirname(file), 'root')}`],
    ...['--resolv-conf=off', '--timezone=off', '--link-journal=no'],
    `--network-namespace-path=${netnsFile(own)}`,
    ...devices.map(path => `--bind=${path}`),
    ...Object.entries(state.binds).map(([there, here]) => `--bind-ro=${here}:${there}`),
  ]
}

let code: number | null = REBOOT
let own = ''
while (code === REBOOT && !ending) {
  const state = readMachine(file)
  own = `${state.bed}-${state.number}`
  const started = performance.now()
  code = await boot(state)
  console.log(`${new Date().toISOString()} systemd-nspawn ended with ${code}`)
  // A server that reboots at once for ever would take all of this machine's time.
  if (code === REBOOT && performance.now() - started < 500) await sleep(500)
}
await removeCgroups(own)
await removeNetwork(own)
