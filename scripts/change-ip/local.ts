import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { isIP } from 'node:net'
import { homedir, userInfo } from 'node:os'
import { join, relative } from 'node:path'
import { parseConfig, readConfig } from '../../lib/platform/config.ts'
import { inventoryFile, parseInventory } from '../../lib/platform/inventory.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { EXIT, ExpectedError, UsageError } from '../../lib/script/errors.ts'
import { ROOT, readIfExists } from '../../lib/script/files.ts'
import { readSshConfig, resolveHost } from '../../lib/ssh/config.ts'
import type { SshTarget } from '../../lib/ssh/types.ts'
import { canonical, checkServerAddress, mentions, replaceAddress } from './address.ts'
import { type ChangeState, type FileEdit, isOpen } from './state.ts'

/** The address on the command line, in its usual spelling. Throws a UsageError for what cannot be a server's. */
export function addressArgument(what: string, value: string): string {
  const problem = checkServerAddress(value)
  if (problem)
    throw new UsageError(
      `${what} ${JSON.stringify(value)} ${problem}`,
      'give the public address of the server',
    )
  return canonical(value)
}

/**
 * The address to replace: that of an unfinished change, `given`, or the one that the files of
 * the cluster agree on. When they have the new one already, that of the last change, or the new one itself: then
 * there is only something to complete. Throws what does not go together.
 */
export function oldAddress(
  address: string,
  found: readonly { file: string; address: string }[],
  given: string | undefined,
  state: ChangeState | undefined,
): string {
  const open = isOpen(state) ? state : undefined
  if (open && open.new !== address)
    throw new ExpectedError(
      `the change from ${open.old} to ${open.new} is not complete`,
      `complete it first (change-ip ${open.new}), or take it back (change-ip --rollback)`,
      { exitCode: EXIT.refused },
    )
  if (open && given !== undefined && given !== open.old)
    throw new UsageError(
      `--old-ip ${given}, but the change that is not complete is from ${open.old}`,
      'leave out --old-ip',
    )
  const others = found.filter(each => each.address !== address)
  const distinct = [...new Set(others.map(each => each.address))]
  if (!open && given === undefined && distinct.length > 1)
    throw new UsageError(
      `the files name several addresses: ${others.map(each => `${each.file} ${each.address}`).join(', ')}`,
      'name the address to replace: --old-ip OLD',
    )
  const old = open?.old ?? given ?? distinct[0] ?? (state?.new === address ? state.old : address)
  if (isIP(old) !== isIP(address))
    throw new UsageError(
      `${old} cannot become ${address}: a cluster of k3s keeps the family of its addresses (IPv4 or IPv6)`,
      'give an address of the same family; another one needs a new installation, since the networks of pods and services are of it, too',
    )
  return old
}

/** The addresses that the files of a cluster folder name as that of the server. */
export async function namedAddresses(
  cluster: Cluster,
  server: string,
): Promise<{ file: string; address: string }[]> {
  const api = /^[ \t]*server:[ \t]*["']?https:\/\/\[?([^\]\s/"']+?)\]?(:\d+)?["']?[ \t\r]*$/m.exec(
    readIfExists(cluster.kubeconfig) ?? '',
  )?.[1]
  return [
    { file: '.flux.env', address: readConfig(cluster.env).ip_address ?? '' },
    { file: 'inventory.yml', address: server },
    { file: 'kube_config_cluster.yml', address: api ?? '' },
  ]
    .filter(({ address }) => isIP(address) && !checkServerAddress(address))
    .map(each => ({ ...each, address: canonical(each.address) }))
}

/**
 * How to log in to the server at its new address: with the user, port and key of the old one. Known_hosts has it
 * under the old name still, which is what it is recognised by. Also tells what ssh_config says that has to change.
 */
export function targetAt(
  address: string,
  server: SshTarget,
  old: string,
): { target: SshTarget; left: string[] } {
  const local = { home: homedir(), name: process.env.USER || userInfo().username }
  const settings = resolveHost(server.host, readSshConfig().text, server, local)
  const left =
    settings.hostName !== server.host && mentions(settings.hostName, old)
      ? [`~/.ssh/config: HostName ${settings.hostName} of ${server.host}`]
      : []
  const { user, port } = settings
  const keyFile = server.keyFile ?? settings.identityFiles.find(file => readIfExists(file) !== undefined)
  const knownAs = settings.hostKeyAlias ?? settings.hostName
  const hostKeyAs = knownAs === address ? old : knownAs
  return {
    target: { host: address, user, port, keyFile, ...(hostKeyAs === address ? {} : { hostKeyAs }) },
    left,
  }
}

/** What the files of the cluster folder become. Throws when they would no longer be what they are. */
export async function planHere(cluster: Cluster, old: string, address: string): Promise<FileEdit[]> {
  const edits: FileEdit[] = []
  for (const file of [cluster.kubeconfig, inventoryFile(cluster), cluster.env]) {
    const before = readIfExists(file)
    if (before === undefined) continue
    const after = replaceAddress(before, old, address)
    if (after === before) continue
    if (file === cluster.env) parseConfig(after, file)
    if (file === inventoryFile(cluster)) await parseInventory(after, file)
    edits.push({ place: 'here', path: realpathSync(file), mode: statSync(file).mode & 0o777, before, after })
  }
  return edits
}

/** Folders of a cluster folder that tell of the past, or are somebody else's. */
const NOT_SEARCHED = new Set(['.git', '.state', 'backups', 'change-ip', 'journal', 'node_modules'])
const LARGEST = 1 << 20

/** Files of people on this machine that hold an address, as PATH:LINE: overrides, and whatever is in the cluster folder. */
export function findHere(cluster: Cluster, address: string, edits: readonly FileEdit[]): string[] {
  const found: string[] = []
  const walk = (folder: string) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name)
      if (entry.isDirectory() && !NOT_SEARCHED.has(entry.name)) walk(path)
      if (
        !entry.isFile() ||
        statSync(path).size > LARGEST ||
        edits.some(edit => edit.path === realpathSync(path))
      )
        continue
      const text = readFileSync(path, 'latin1')
      if (text.includes('\0')) continue
      for (const [i, line] of text.split('\n').entries())
        if (mentions(line, address)) found.push(`${shown(path)}:${i + 1}`)
    }
  }
  for (const folder of [join(ROOT, 'install', 'overrides'), cluster.folder]) walk(folder)
  return found
}

/** A path as it is short to read. */
function shown(path: string): string {
  const short = relative(process.cwd(), path)
  return short.startsWith('..') ? path : short
}

/** Where systems configure their network. */
const NETWORK = /^\/etc\/(network|netplan|systemd\/network|NetworkManager|dhcpcd|cloud)[./]/

/**
 * What else on the server holds the old address, as PATH:LINE; and a warning when the network is configured with the
 * old address only, so that the new one would be gone after a reboot. Pure.
 */
export function findElsewhere(
  elsewhere: readonly { path: string; line: number; text: string }[],
  old: string,
  address: string,
): { places: string[]; warning: string | undefined } {
  const places = elsewhere.filter(({ text }) => mentions(text, old))
  const network = places.find(({ path }) => NETWORK.test(path))
  const known = elsewhere.some(({ path, text }) => NETWORK.test(path) && mentions(text, address))
  return {
    places: places.map(({ path, line }) => `server:${path}:${line}`),
    warning:
      network && !known
        ? `${network.path} on the server configures ${old}, and nothing there configures ${address}: it would be gone after a reboot`
        : undefined,
  }
}
