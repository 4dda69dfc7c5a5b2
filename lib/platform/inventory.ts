import { isIP } from 'node:net'
import { join } from 'node:path'
import type { Document, Scalar, YAMLMap } from 'yaml'
import type { Cluster } from '../script/cluster.ts'
import { UsageError } from '../script/errors.ts'
import { readIfExists } from '../script/files.ts'

/** A server of an inventory, with what is needed to log in to it. */
export interface InventoryHost {
  name: string
  /** `ansible_host`: an IP address, a host name, or a host alias of the SSH configuration. */
  address: string
  /** `ansible_user` */
  user?: string
  /** `ansible_port` */
  port?: number
  /** `ansible_ssh_private_key_file` */
  keyFile?: string
  /** The groups that list it, `all` included. */
  groups: string[]
}

/** What `editInventory` sets of a host. */
export type HostSettings = Pick<InventoryHost, 'name' | 'address' | 'user'>

/** An inventory of one server that is control plane and worker in one, as the CLI of 0.7 wrote it. */
const TEMPLATE = `# The server of this cluster, as an inventory of Ansible. Further variables of a host are kept:
# ansible_port, ansible_ssh_private_key_file, ...
all:
  hosts:
  children:
    # The same server is control plane and worker.
    master:
      hosts:
    worker:
      hosts:
`

type Data = Record<string, unknown>
/** Where in a document the hosts of a group are listed, and what they get from that group. */
interface HostList {
  group: string
  path: string[]
  hosts: Data
  vars: Data
}

/** `inventory.yml` of a cluster folder. */
export function inventoryFile(cluster: Cluster): string {
  return join(cluster.folder, 'inventory.yml')
}

/**
 * The hosts of an inventory, in its own order. Variables of inner groups win over those of outer ones, and a
 * host's own over all. Throws a UsageError for a file that is not an inventory, and for connection variables that could
 * not be used. Never quotes the file: it may hold passwords.
 */
export async function parseInventory(text: string, file: string): Promise<InventoryHost[]> {
  return hostsOf(await load(text, file), file)
}

/** The hosts of the inventory in this file; none when it does not exist. */
export async function readInventory(file: string): Promise<InventoryHost[]> {
  const text = readIfExists(file)
  return text === undefined ? [] : parseInventory(text, file)
}

/**
 * The server that a cluster of one server consists of: the one called `name`, else the only one in the group
 * `master`, else the only one. Undefined in an empty inventory. Throws a UsageError when there are several
 * to choose from, or others than the one called so.
 */
export function serverOf(
  hosts: readonly InventoryHost[],
  name: string | undefined,
  file: string,
): InventoryHost | undefined {
  if (hosts.length === 0) return undefined
  const masters = hosts.filter(host => host.groups.includes('master'))
  const candidates = name !== undefined ? hosts.filter(host => host.name === name) : masters
  const [server, second] = candidates.length > 0 || name !== undefined ? candidates : hosts
  if (server && !second) return server
  const names = hosts.map(host => host.name).join(', ')
  throw new UsageError(
    name === undefined
      ? `${file} has several servers: ${names}`
      : `${file} has no server ${name}, but ${names}`,
    name === undefined ? 'say which with --hostname NAME' : 'give one of these, or add it to the file first',
  )
}

/**
 * The text of an inventory with this host in it. Comments, unknown content and the other hosts stay what they
 * are; where nothing has to change, the text comes back as it was. A host that is new is added to `all` and,
 * where they are empty, to the groups `master` and `worker`. An empty text gives a new inventory. Pure.
 */
export async function editInventory(text: string, host: HostSettings, file: string): Promise<string> {
  const isNew = text.trim() === ''
  const doc = await load(isNew ? TEMPLATE : text, file)
  const before = hostsOf(doc, file)
  const present = before.find(({ name }) => name === host.name)
  if (present?.address === host.address && (host.user ?? present.user) === present.user) return text

  const lists = listsOf(doc, file)
  const own = lists.find(list => 'ansible_host' in map(list.hosts[host.name]))
  const node = await mapAt(doc, [...(own?.path ?? ['all', 'hosts']), host.name], file)
  const changes: [string, string][] = []
  if (present?.address !== host.address) changes.push(['ansible_host', host.address])
  if (host.user !== undefined && present?.user !== host.user) changes.push(['ansible_user', host.user])
  const edited = (await splice(text, node, changes)) ?? (await rewrite())

  async function rewrite(): Promise<string> {
    for (const [key, value] of changes) node.set(key, value)
    if (!present)
      for (const { group, path, hosts } of lists)
        if (['master', 'worker'].includes(group) && Object.keys(hosts).length === 0)
          (await mapAt(doc, path, file)).set(host.name, doc.createNode(null))
    return doc.toString({ lineWidth: 0, nullStr: '' })
  }

  const after = await parseInventory(edited, file)
  const others = (all: InventoryHost[]) => JSON.stringify(all.filter(({ name }) => name !== host.name))
  // An anchor or a merge key may share the variables of one host with others.
  if (
    others(before) !== others(after) ||
    after.find(({ name }) => name === host.name)?.address !== host.address
  )
    throw new UsageError(
      `${file} cannot be edited for ${host.name} without changing other servers`,
      'its hosts share variables by anchors or are listed more than once: edit it by hand',
    )
  return edited
}

/**
 * The text with the values of these keys replaced in place, so that not even a blank elsewhere changes.
 * Undefined when one of the keys has no plain value yet.
 */
async function splice(
  text: string,
  node: YAMLMap,
  changes: readonly [key: string, value: string][],
): Promise<string | undefined> {
  const { isScalar } = await import('yaml')
  let edited = text
  const places = changes.map(([key, value]) => ({ scalar: node.get(key, true) as unknown, value }))
  const ranged = places.flatMap(({ scalar, value }) =>
    isScalar(scalar) && scalar.range && scalar.source
      ? [{ from: scalar.range[0], to: scalar.range[1], value }]
      : [],
  )
  if (ranged.length < places.length) return undefined
  // Quoted whatever YAML 1.1 could take for a number, as it does 1:2:3:4:5:6:7:8.
  for (const { from, to, value } of ranged.sort((a, b) => b.from - a.from))
    edited = edited.slice(0, from) + (isIP(value) === 4 ? value : JSON.stringify(value)) + edited.slice(to)
  return edited
}

/** Parses as Ansible does: YAML 1.1, in which a host called `no` needs quotes. */
async function load(text: string, file: string): Promise<Document> {
  const { parseDocument } = await import('yaml')
  const doc = parseDocument(text, { version: '1.1', prettyErrors: false, logLevel: 'error' })
  const [error] = doc.errors
  if (!error) return doc as unknown as Document
  const line = text.slice(0, error.pos[0]).split('\n').length
  throw new UsageError(`${file} line ${line} is not valid YAML (${error.code})`, 'correct it')
}

/** A value as a map. Ansible takes nothing for an empty one, and a word for one with that key. */
function map(value: unknown): Data {
  if (typeof value === 'string') return { [value]: null }
  return typeof value === 'object' && value !== null ? (value as Data) : {}
}

/** All lists of hosts, outer groups first. */
function listsOf(doc: Document, file: string): HostList[] {
  let root: unknown
  try {
    root = doc.toJS()
  } catch {
    throw notInventory(file) // too many aliases
  }
  if (typeof root !== 'object' || root === null || Array.isArray(root)) throw notInventory(file)
  const lists: HostList[] = []
  const walk = (group: string, path: string[], value: unknown, inherited: Data, depth: number) => {
    if (depth > 20 || (value !== null && (typeof value !== 'object' || Array.isArray(value))))
      throw notInventory(file)
    const { hosts, vars: own, children } = map(value)
    const vars = { ...inherited, ...map(own) }
    lists.push({ group, path: [...path, 'hosts'], hosts: map(hosts), vars })
    for (const [child, data] of Object.entries(map(children)))
      walk(child, [...path, 'children', child], data, vars, depth + 1)
  }
  const { all, ...others } = root as Data
  if (all !== undefined) walk('all', ['all'], all, {}, 0)
  for (const [group, value] of Object.entries(others)) walk(group, [group], value, map(map(all).vars), 0)
  return lists
}

function hostsOf(doc: Document, file: string): InventoryHost[] {
  const found = new Map<string, { groups: string[]; inherited: Data; own: Data }>()
  for (const { group, hosts, vars } of listsOf(doc, file))
    for (const [name, own] of Object.entries(hosts)) {
      const host = found.get(name) ?? { groups: [], inherited: {}, own: {} }
      found.set(name, host)
      if (!host.groups.includes(group)) host.groups.push(group)
      Object.assign(host.inherited, vars)
      Object.assign(host.own, map(own))
    }
  return [...found].map(([name, { groups, inherited, own }]) =>
    connection(name, groups, { ...inherited, ...own }, file),
  )
}

/** The connection variables of a host. They end up in SSH: what could be taken for an option is refused. */
function connection(name: string, groups: string[], vars: Data, file: string): InventoryHost {
  const address = String(vars.ansible_host ?? name)
  const user = vars.ansible_user == null ? undefined : String(vars.ansible_user)
  const port = vars.ansible_port == null ? undefined : Number(vars.ansible_port)
  const keyFile =
    vars.ansible_ssh_private_key_file == null ? undefined : String(vars.ansible_ssh_private_key_file)
  const wrong = (variable: string, what: string) =>
    new UsageError(`${file}: ${variable} of ${JSON.stringify(name)} must be ${what}`, 'correct it')
  if (checkAddress(address)) throw wrong('ansible_host', 'an IP address or a host name')
  if (user !== undefined && checkUser(user)) throw wrong('ansible_user', 'the name of a user')
  if (port !== undefined && !(Number.isInteger(port) && port > 0 && port < 65536))
    throw wrong('ansible_port', 'a port')
  return { name, address, user, port, keyFile, groups }
}

/** What is wrong with the address of a server, or undefined: an IP address, host name or SSH alias. */
export function checkAddress(address: string): string | undefined {
  return isIP(address) || (address.length <= 253 && /^[a-z0-9_]([\w.-]*\w)?$/i.test(address))
    ? undefined
    : 'must be an IP address or a host name'
}

/** What is wrong with the name of a user on a server, or undefined. */
export function checkUser(user: string): string | undefined {
  return /^[a-z_][\w.-]{0,31}$/i.test(user) ? undefined : 'must be the name of a user, like root'
}

/** The map at a path, made where there is nothing or a mere word. */
async function mapAt(doc: Document, path: readonly string[], file: string): Promise<YAMLMap> {
  const { isAlias, isMap } = await import('yaml')
  for (let length = 1; length <= path.length; length++) {
    const here = path.slice(0, length)
    const node = doc.getIn(here, true)
    if (isMap(node)) continue
    if (isAlias(node)) throw new UsageError(`${file}: ${here.join('.')} is an alias`, 'edit it by hand')
    const word = node as Scalar | undefined
    const made = doc.createNode(map(word?.value))
    if (word?.comment) made.commentBefore = word.comment
    doc.setIn(here, made)
  }
  return doc.getIn(path, true) as YAMLMap
}

function notInventory(file: string): UsageError {
  return new UsageError(
    `${file} is not an inventory: groups with hosts, vars and children are expected`,
    'correct it; without the file a new one is written',
  )
}
