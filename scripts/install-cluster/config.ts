import type { Document } from 'yaml'
import { apiUrl, K3S, type Role } from '../../lib/k3s/k3s.ts'
import { EXIT, ExpectedError, UsageError } from '../../lib/script/errors.ts'

/** k3s' own components in whose place Flux installs ours: the ingress, and the storage of flux2/infrastructure. */
export const DISABLED = ['traefik', 'local-storage'] as const

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

/** What the configuration of an agent has to say. Pure. */
export function agentConfig(host: { name: string; server: string }): WantedConfig {
  return {
    set: { server: apiUrl(host.server), 'token-file': K3S.agentToken },
    default: { 'node-name': host.name },
    include: {},
  }
}

/** The name that a host has as a node, unless it is told another: its host name in lower case. Pure. */
export function nodeName(hostname: string): string {
  return hostname.toLowerCase()
}

/**
 * The text of a config.yaml that says what is wanted. Comments, unknown keys and further values of lists stay;
 * where nothing has to change, the text comes back as it was. Pure; throws an ExpectedError for a text that is not
 * a configuration of k3s.
 */
export async function editK3sConfig(text: string, wanted: WantedConfig): Promise<string> {
  const { parseDocument, isMap } = await import('yaml')
  const doc = parseDocument(text, { prettyErrors: false, logLevel: 'error' })
  const [error] = doc.errors
  if (error || (doc.contents !== null && !isMap(doc.contents)))
    throw new ExpectedError(
      error
        ? `${K3S.config} on the server is not valid YAML (${error.code}, line ${text.slice(0, error.pos[0]).split('\n').length})`
        : `${K3S.config} on the server is not a map of flags and values`,
      'correct it there: k3s could not read it either',
      { exitCode: EXIT.refused },
    )
  let changed = false
  const set = (key: string, value: unknown) => {
    if (doc.contents === null) doc.contents = doc.createNode({}) as unknown as typeof doc.contents
    doc.set(key, doc.createNode(value))
    changed = true
  }
  for (const [key, value] of Object.entries(wanted.set))
    if (!isSame(plainValue(doc, key), value)) set(key, value)
  for (const [key, value] of Object.entries(wanted.default))
    if (valuesOf(doc, key).length === 0) set(key, value)
  for (const [key, values] of Object.entries(wanted.include)) {
    const present = valuesOf(doc, key)
    const missing = values.filter(value => !present.includes(value))
    if (missing.length === 0) continue
    const node = doc.get(key, true)
    // In place, so that comments between the items stay.
    if (node && typeof node === 'object' && 'items' in node && present.length > 0) {
      for (const value of missing) doc.addIn([key], value)
      changed = true
    } else set(key, [...present, ...missing])
  }
  return changed ? doc.toString({ lineWidth: 0, flowCollectionPadding: false }) : text
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
function isSame(value: unknown, text: string): boolean {
  return typeof value === 'number' ? value === Number(text) : value === text
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
  const words = wordsOf(/^ExecStart=((?:.*\\\n)*.*)$/m.exec(unit)?.[1] ?? '')
  const flags = words.slice(1)
  if (flags[0] !== undefined && !flags[0].startsWith('-')) {
    const command = flags.shift()
    if (command !== role)
      throw new ExpectedError(
        `k3s runs as \`${command}\` on the server, not as ${role}`,
        'this script knows servers and agents only; check inventory.yml',
        { exitCode: EXIT.refused },
      )
  }
  const args: UnitArgs = { keep: [], move: {} }
  for (let i = 0; i < flags.length; i++) {
    const [, name = '', inline] = /^--([a-z-]+)(?:=([\s\S]*))?$/.exec(flags[i]!) ?? []
    if (!MANAGED.some(key => key === name)) {
      args.keep.push(flags[i]!)
      continue
    }
    const value = inline ?? flags[++i] ?? ''
    args.move[name] = [...(args.move[name] ?? []), ...value.split(',')]
  }
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

/** Splits a command line of systemd into its words: quotes, and backslashes before a line end. */
function wordsOf(line: string): string[] {
  const words: string[] = []
  let word: string | undefined
  for (const [, single, double, escaped, plain] of line
    .replaceAll('\\\n', ' ')
    .matchAll(/'([^']*)'|"((?:[^"\\]|\\[\s\S])*)"|\\([\s\S])|([^\s'"\\]+)|\s+/g)) {
    const part = single ?? double?.replaceAll(/\\([\s\S])/g, '$1') ?? escaped ?? plain
    if (part !== undefined) word = (word ?? '') + part
    else if (word !== undefined) {
      words.push(word)
      word = undefined
    }
  }
  return word === undefined ? words : [...words, word]
}

/**
 * The variables of a unit's environment file that the installer takes over from its own environment, and without
 * which it would lose them. Pure.
 */
export function unitVariables(text: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const line of text.split('\n')) {
    const [, name, value = ''] = /^\s*([A-Za-z_]\w*)=(.*)$/.exec(line) ?? []
    if (name && /^(K3S_|CONTAINERD_)|^(NO|HTTP|HTTPS)_PROXY$/i.test(name))
      found[name] = wordsOf(value.trim()).join(' ')
  }
  return found
}

/**
 * Refuses what this script would damage: data elsewhere than it looks for it. Pure; the flags are those of the
 * unit, the variables those of its environment file.
 */
export async function checkForeign(
  text: string,
  args: readonly string[],
  variables: Record<string, string>,
): Promise<void> {
  const { parse } = await import('yaml')
  const config = (parse(text) ?? {}) as Record<string, unknown>
  for (const [key, variable] of [
    ['data-dir', 'K3S_DATA_DIR'],
    ['datastore-endpoint', 'K3S_DATASTORE_ENDPOINT'],
  ] as const)
    if (
      config[key] !== undefined ||
      variables[variable] !== undefined ||
      args.some(arg => arg.startsWith(`--${key}`) || (key === 'data-dir' && /^-d\b/.test(arg)))
    )
      throw new ExpectedError(
        `k3s on the server has a ${key} of its own`,
        'this script could neither save its data nor find them: upgrade it by hand (https://docs.k3s.io/upgrades/manual)',
        { exitCode: EXIT.refused },
      )
}

/** The values of a configuration and its environment file that nobody may see: both are shown when they change. */
export async function secretsIn(config: string, env: string): Promise<string[]> {
  const { parse } = await import('yaml')
  const isSecret = /^(agent-)?token$|vpn-auth|endpoint|secret|password|access-key/
  const values: Record<string, unknown> = unitVariables(env)
  try {
    Object.assign(values, parse(config))
  } catch {} // editing it tells
  return Object.entries(values)
    .filter(([name]) => isSecret.test(name.replace(/^K3S_/, '').replaceAll('_', '-').toLowerCase()))
    .flatMap(([, value]) => (typeof value === 'string' && value !== '' ? [value] : []))
}

/** The variables of the official installer (https://docs.k3s.io/reference/env-variables). Pure. */
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
