import type { Document } from 'yaml'
import { apiUrl, K3S, type Role } from '../../lib/k3s/k3s.ts'
import { fileSettings, flagsIn, namesIn, valueIn } from '../../lib/k3s/settings.ts'
import { lastCommand, type NamedText, serviceVariables } from '../../lib/k3s/unit.ts'
import { EXIT, ExpectedError, UsageError } from '../../lib/script/errors.ts'

/**
 * k3s' own components in whose place Flux installs ours: the ingress, and the storage of flux2/infrastructure
 * (github.com/k3s-io/k3s pkg/cli/cmds/server.go, `disable`).
 */
const DISABLED = ['traefik', 'local-storage'] as const

/** What /etc/rancher/k3s/config.yaml has to say; its keys are the flags of k3s (https://docs.k3s.io/cli/server). */
export interface WantedConfig {
  /** Single values, set whatever was there. */
  set: Record<string, string>
  /** Single values, set where there is none. */
  default: Record<string, string>
  /** Lists that have to hold these among others. */
  include: Record<string, readonly string[]>
}

/** Keys that the script owns, by flags or by file. */
const MANAGED = ['write-kubeconfig-mode', 'node-name', 'tls-san', 'disable'] as const

/**
 * What the configuration of a server has to say. servicelb stays enabled: nothing else gives the ingress its
 * address. metrics-server and coredns stay as well, nobody else brings them. Pure.
 */
export function serverConfig(host: { name: string; domain: string; address: string }): WantedConfig {
  return {
    set: { 'write-kubeconfig-mode': '0600' },
    // The volumes of applications are bound to the name of the node: it must outlive a new host name.
    default: { 'node-name': host.name },
    include: { 'tls-san': [...new Set([host.domain, host.address])], disable: DISABLED },
  }
}

/** What the configuration of an agent has to say (github.com/k3s-io/k3s pkg/cli/cmds/agent.go). Pure. */
export function agentConfig(host: { name: string; server: string }): WantedConfig {
  return {
    set: { server: apiUrl(host.server), 'token-file': K3S.agentToken },
    default: { 'node-name': host.name },
    include: {},
  }
}

/**
 * The text of a config.yaml with which k3s has the wanted settings. Comments, unknown keys and further values of lists
 * stay; where nothing has to change, the text comes back as it was. A key that ends with `+` stays one, and drop-ins
 * count, which k3s reads after this file (github.com/k3s-io/k3s pkg/configfilearg/parser.go, readConfigFile). Pure.
 * Throws an ExpectedError (exit code 4) for a text that is not a configuration of k3s, and for a drop-in that overrides
 * what is wanted.
 */
export async function editK3sConfig(
  text: string,
  wanted: WantedConfig,
  dropIns: readonly NamedText[] = [],
): Promise<string> {
  const files = [{ path: K3S.config, text }, ...dropIns]
  const settings = await fileSettings(files)
  const { parseDocument } = await import('yaml')
  const doc = parseDocument(text, { prettyErrors: false, logLevel: 'error' })
  let changed = false
  const set = (key: string, value: unknown) => {
    if (doc.contents === null) doc.contents = doc.createNode({}) as unknown as typeof doc.contents
    doc.set(key, doc.createNode(value))
    changed = true
  }
  /** Refuses a drop-in that sets the key as a whole: nothing in config.yaml could change that. */
  const own = async (key: string, values: readonly string[]) => {
    for (const { path, text: dropIn } of dropIns)
      if (Object.keys((await parseMap(dropIn)) ?? {}).includes(key))
        throw new ExpectedError(
          `${path} on the server overrides ${key} of config.yaml, and lacks ${values.join(', ')}`,
          `add ${values.join(' and ')} to ${key} there, or remove the key from it`,
          { exitCode: EXIT.refused },
        )
  }
  for (const [key, value] of Object.entries(wanted.set))
    if (!isSame(valueIn(settings, key), value)) {
      await own(key, [value])
      set(key, value)
    }
  for (const [key, value] of Object.entries(wanted.default))
    if (namesIn(settings, key).length === 0 && !(key in wanted.set)) set(key, value)
  for (const [key, values] of Object.entries(wanted.include)) {
    const present = namesIn(settings, key)
    const missing = values.filter(value => !present.includes(value))
    if (missing.length === 0) continue
    await own(key, missing)
    // In config.yaml a key with + adds to the same key without, and is the later one.
    const name = doc.has(`${key}+`) ? `${key}+` : key
    const here = valuesOf(doc, name)
    const node = doc.get(name, true)
    // In place, so that comments between the items stay.
    if (node && typeof node === 'object' && 'items' in node && here.length > 0) {
      for (const value of missing) doc.addIn([name], value)
      changed = true
    } else set(name, [...here, ...missing])
  }
  return changed ? doc.toString({ lineWidth: 0, flowCollectionPadding: false }) : text
}

async function parseMap(text: string): Promise<Record<string, unknown> | undefined> {
  const { parse } = await import('yaml')
  return parse(text, { logLevel: 'error' }) as Record<string, unknown> | undefined
}

function plainValue(doc: Pick<Document, 'get'>, key: string): unknown {
  const value = doc.get(key)
  return typeof value === 'object' && value !== null && 'toJSON' in value
    ? (value as { toJSON(): unknown }).toJSON()
    : value
}

/** The values of a key that may hold several: a list, or one text with commas, as k3s takes both. */
function valuesOf(doc: Parameters<typeof plainValue>[0], key: string): string[] {
  const value = plainValue(doc, key)
  if (value === undefined || value === null) return []
  return [value]
    .flat()
    .flatMap(each => String(each).split(','))
    .map(each => each.trim())
    .filter(Boolean)
}

/** Whether a value of the file means the text; `0600` without quotes is a number for YAML. */
function isSame(value: string | undefined, text: string): boolean {
  return value === text || (value !== undefined && /^\d+$/.test(text) && Number(value) === Number(text))
}

/** Flags of k3s that came with an earlier installation, apart from those that belong into config.yaml. */
export interface UnitArgs {
  /** To be given to the installer again, or they are lost (https://docs.k3s.io/upgrades/manual). */
  keep: string[]
  /** A flag overrules the file, also a whole list: ours have to move there. */
  move: Record<string, string[]>
}

/** Takes apart the flags of a service unit that the official installer wrote. Pure. */
export function unitArgs(unit: string, role: Role): UnitArgs {
  const { command, words } = lastCommand([{ path: '', text: unit }])
  if (command !== '' && command !== role)
    throw new ExpectedError(
      `k3s runs as \`${command}\` on the server, not as ${role}`,
      'this script knows servers and agents only; check inventory.yml',
      { exitCode: EXIT.refused },
    )
  const args: UnitArgs = { keep: [], move: {} }
  for (const { flag, values, words: given } of flagsIn(words))
    if (MANAGED.some(key => key === flag))
      args.move[flag] = [...(args.move[flag] ?? []), ...values.flatMap(value => value.split(','))]
    else args.keep.push(...given)
  return args
}

/** The wanted configuration together with what moves from flags into the file. Pure. */
export function withMoved(wanted: WantedConfig, { move }: UnitArgs): WantedConfig {
  const { 'node-name': name, 'tls-san': names = [], disable = [] } = move
  const include = { ...wanted.include }
  for (const [key, values] of Object.entries({ 'tls-san': names, disable }))
    if (values.length > 0 || include[key]) include[key] = [...new Set([...(include[key] ?? []), ...values])]
  // A flag won over the file so far.
  const nodeName = name?.at(-1)
  return { ...wanted, set: nodeName ? { ...wanted.set, 'node-name': nodeName } : wanted.set, include }
}

/**
 * The variables of a unit's environment file that the installer takes over from its own environment, and without
 * which it would lose them (github.com/k3s-io/k3s install.sh, create_env_file). Pure. Throws an ExpectedError for a
 * value that would not survive: the installer puts it through `read` and `echo`, which join blanks and drop backslashes.
 */
export function unitVariables(text: string): Record<string, string> {
  const all = Object.entries(serviceVariables([], [{ path: '', text }]))
  const kept = all.filter(([name]) => /^(K3S_|CONTAINERD_)|^(NO|HTTP|HTTPS)_PROXY$/i.test(name))
  const changed = kept.find(([, value]) => /\s{2}|[\t\r\n\\]/.test(value))
  if (changed)
    throw new ExpectedError(
      `the installer of k3s would change the value of ${changed[0]}: it has blanks or backslashes that get lost`,
      `move the setting to ${K3S.config}, or the variable to /etc/default/k3s on the server`,
      { exitCode: EXIT.refused },
    )
  return Object.fromEntries(kept)
}

/** The values of a configuration and its environment file that nobody may see: both are shown when they change. */
export async function secretsIn(config: string, env: string): Promise<string[]> {
  const { parse } = await import('yaml')
  const isSecret = /^(agent-)?token$|vpn-auth|endpoint|secret|password|access-key/
  const values: Record<string, unknown> = serviceVariables([], [{ path: '', text: env }])
  try {
    Object.assign(values, parse(config))
  } catch {} // editing it tells
  return Object.entries(values)
    .filter(([name]) => isSecret.test(name.replace(/^K3S_/, '').replaceAll('_', '-').toLowerCase()))
    .flatMap(([, value]) => (typeof value === 'string' && value !== '' ? [value] : []))
}

/** The variables of the official installer (github.com/k3s-io/k3s install.sh, its head). Pure. */
export function installerVariables(role: Role, version: string): Record<string, string> {
  return {
    INSTALL_K3S_SKIP_DOWNLOAD: 'true', // the binary lies in its place, verified
    INSTALL_K3S_VERSION: version,
    INSTALL_K3S_EXEC: role,
    // It would look at the binary, the unit and its environment only: a new config.yaml needs a restart too.
    INSTALL_K3S_FORCE_RESTART: 'true',
  }
}

/** Where the API server is reached from elsewhere. Throws a UsageError when the configuration does not say. */
export function publicAddress(
  config: Record<string, string>,
  server: string,
): { domain: string; address: string } {
  const { domain, ip_address: address = server } = config
  if (!domain)
    throw new UsageError(
      'the configuration of the cluster has no domain',
      'write it first: npx tsx scripts/create-cluster.ts',
    )
  return { domain, address }
}
