import { resolve } from 'node:path'
import { ExpectedError, Findings } from '../../../lib/script/errors.ts'
import { quote } from '../../../lib/script/quote.ts'
import { mebibytes } from '../../../lib/script/size.ts'
import { table } from '../../../lib/script/table.ts'
import { named, type SandboxRun } from '../cluster/flags.ts'
import { serversLayoutOf } from '../cluster/layout.ts'
import { downServers, resetServers, serversStatus, upServers } from './servers.ts'

/** Boots the servers, and shows how to create a cluster on them. */
async function startServers(run: SandboxRun, name: string): Promise<void> {
  const { flags, log } = run
  const plan = [
    flags.online
      ? 'create the Debian of the servers, unless the cache has it'
      : 'create the Debian of the servers and build the programs, unless the cache has them',
    'boot the servers that do not run: Debian with systemd and sshd, in containers, on 10.77.0.0/24, a network of this machine alone',
    `serve ${flags.worktree ? 'the files of this checkout as they are' : 'the last commit of this checkout'} to them`,
    ...(flags.online
      ? ['let them reach the internet through this machine: net.ipv4.ip_forward, and rules of iptables']
      : []),
    `write ${serversLayoutOf(name).state}`,
  ]
  if (flags['dry-run']) return void (await run.agree(plan, ''))
  const result = await upServers({
    name,
    count: flags.count === undefined ? undefined : Number(flags.count),
    worktree: flags.worktree,
    online: flags.online,
    nameServer: flags['name-server'],
    charts: flags.charts === undefined ? undefined : resolve(flags.charts),
    binDir: flags['bin-dir'] === undefined ? undefined : resolve(flags['bin-dir']),
    progress: log.progress,
    signal: run.signal,
  })
  run.result = result
  const { servers, keyFile, releases, environment, served, seconds, online } = result
  for (const { name, address, fingerprint } of servers)
    log.ok(`${name} is at ${address}; its host key is ${fingerprint}`)
  log.ok(`booted in ${seconds.toFixed(1)} s; they get ${served.commit.slice(0, 12)}, from the ${served.from}`)
  if (online) log.ok('they reach the internet through this machine, and nothing stands in for it')
  const edits = Object.entries(environment).map(
    ([key, value]) => `-e ${quote(`s|^${key}=.*|${key}=${value}|`)}`,
  )
  run.next([
    `eval "$(ssh-agent)" && ssh-add ${quote(keyFile)}   # log in with its key from this terminal`,
    `npx tsx scripts/create-cluster.ts practice oas.example.org --ip-address ${servers[0]!.address} --admin-email you@example.org`,
    `sed -i ${edits.join(' ')} clusters/practice/.flux.env   # take the platform from this machine`,
    ...(releases
      ? [
          `cp ${quote(releases)} clusters/practice/releases.yaml   # the releases are stand-ins: they have other checksums`,
        ]
      : []),
    'npx tsx scripts/ssh.ts --cluster practice   # check it, then continue as on a server of a provider',
    `npx tsx scripts/sandbox.ts down --server${named(name)}   # shut down; the disks are kept`,
  ])
}

/** Shuts the servers down; their disks are kept. */
async function stopServers(run: SandboxRun, name: string): Promise<void> {
  if (run.flags['dry-run'])
    return void (await run.agree([`shut down the servers of ${name}; their disks are kept`], ''))
  const stopped = await downServers(name)
  run.result = { name, stopped }
  run.log.ok(stopped.length > 0 ? `shut down ${stopped.join(', ')}` : 'nothing was running')
}

/** Shows the servers. Ends with findings when one does not work. */
async function showServers(run: SandboxRun, name: string): Promise<void> {
  const servers = await serversStatus(name)
  if (servers === undefined)
    throw new ExpectedError(
      `the sandbox ${name} has no servers`,
      `start one: npx tsx scripts/sandbox.ts up --server${named(name)}`,
    )
  run.result = { name, servers }
  run.log.print(
    table([
      ['SERVER', 'ADDRESS', 'STATE', 'MEMORY', 'HOST KEY', 'CONSOLE'],
      ...servers.map(({ name, address, state, memory, fingerprint, console }) => [
        ...[name, address, state, mebibytes(memory), fingerprint, console],
      ]),
    ]),
  )
  if (servers.every(({ state }) => state === 'works')) return
  run.next([`npx tsx scripts/sandbox.ts up --server${named(name)}   # start what does not work`])
  throw new Findings()
}

/** Removes the servers after the name was typed. */
async function removeServers(run: SandboxRun, name: string): Promise<void> {
  const plan = [
    `stop the servers of ${name}`,
    `remove ${serversLayoutOf(name).state} with their disks and keys`,
  ]
  if (
    !(await run.agreeByName(
      plan,
      `Remove the servers of ${name} with everything in them?`,
      name,
      run.flags.confirm,
    ))
  )
    return
  await resetServers(name)
  run.result = { name, removed: true }
  run.log.ok(`the servers of ${name} are removed`)
  run.next([`npx tsx scripts/sandbox.ts up --server${named(name)}   # start a fresh one`])
}

/** The commands of `sandbox.ts --server`, by their words. */
export const serverCommands = {
  up: startServers,
  down: stopServers,
  status: showServers,
  reset: removeServers,
}
