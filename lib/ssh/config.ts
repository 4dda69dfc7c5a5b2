import { readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, dirname, isAbsolute, join } from 'node:path'
import SSHConfig, { glob } from 'ssh-config'
import { UsageError } from '../script/errors.ts'
import { readIfExists } from '../script/files.ts'

/** Who asks: what `~`, `%u` and the default user stand for. */
export interface LocalUser {
  home: string
  name: string
}

/** How a server is reached, after ssh_config(5) has been asked. */
export interface SshSettings {
  hostName: string
  port: number
  user: string
  /** The name that known_hosts has the server under; its port counts only without a HostKeyAlias. */
  hostKeyAlias?: string
  /** Key files to log in with, in order; the usual three when the configuration names none. */
  identityFiles: string[]
  /** Only these keys, also of those that the agent holds. */
  identitiesOnly: boolean
  /** The agent's socket: IdentityAgent; undefined for SSH_AUTH_SOCK, `none` for no agent. */
  identityAgent?: string
  /** The servers to go through, the nearest first, as `[user@]host[:port]`. */
  jumps: string[]
  /** known_hosts files; new keys go into the first. */
  userKnownHosts: string[]
  globalKnownHosts: string[]
  hashKnownHosts: boolean
}

/** Text of ssh_config, and what of it we do not follow. */
export interface SshConfigText {
  text: string
  notes: string[]
}

const section = /^\s*(?:host|match)(?=[\s=])/i
const defaultKeys = ['id_ed25519', 'id_ecdsa', 'id_rsa']

/**
 * One file of ssh_config with its Includes put in place. `read` gives the text of a file, `list` the files that
 * a pattern stands for, so this is pure. What would make reading a configuration run a program (Match exec,
 * canonical names by nslookup) is left out and noted.
 */
export function expandConfig(
  file: string,
  read: (file: string) => string | undefined,
  list: (pattern: string) => string[],
  depth = 0,
): SshConfigText {
  const notes: string[] = []
  const lines: string[] = []
  let head = 'Host *' // what comes before the first section is for all
  for (const [i, line] of (read(file) ?? '').split(/\r?\n/).entries()) {
    const at = `${file}:${i + 1}`
    if (section.test(line)) head = line
    if (/^\s*match\b.*\bexec\b/i.test(line)) notes.push(`${at}: Match exec is taken as not matching`)
    const include = /^\s*include[\s=]+(.+)$/i.exec(line)?.[1]
    if (/^\s*canonicalizehostname\b/i.test(line)) {
      notes.push(`${at}: CanonicalizeHostname is not followed`)
      continue
    }
    if (include === undefined) {
      lines.push(line)
      continue
    }
    if (depth >= 16) throw new UsageError(`${at}: files include each other`, 'remove one of the Includes')
    const patterns = [...include.matchAll(/"([^"]*)"|(\S+)/g)].map(match => match[1] ?? match[2] ?? '')
    for (const included of patterns.flatMap(list)) {
      const inner = expandConfig(included, read, list, depth + 1)
      notes.push(...inner.notes)
      const sections = inner.text.split('\n').some(text => section.test(text) && text !== 'Host *')
      if (sections && head !== 'Host *') {
        notes.push(`${at}: ${included} is not followed: it has sections of its own inside of a section`)
        continue
      }
      // An included file ends with its last section; ours goes on.
      lines.push(inner.text, head)
    }
  }
  return { text: lines.join('\n'), notes }
}

/** The user's own and the system's ssh_config as one text; the first value that is found counts, as for ssh. */
export function readSshConfig(
  files = [join(homedir(), '.ssh', 'config'), '/etc/ssh/ssh_config'],
): SshConfigText {
  const parts = files.map(file =>
    expandConfig(file, readIfExists, pattern => {
      const path = pattern.startsWith('~/') ? join(homedir(), pattern.slice(2)) : pattern
      return filesLike(isAbsolute(path) ? path : join(dirname(file), path))
    }),
  )
  return {
    text: parts.map(part => part.text).join('\nHost *\n'),
    notes: parts.flatMap(part => part.notes),
  }
}

/** The files that a path with a pattern in its last part stands for, sorted. */
function filesLike(path: string): string[] {
  if (!/[*?]/.test(path)) return [path]
  try {
    return readdirSync(dirname(path))
      .filter(name => !name.startsWith('.') && glob(basename(path), name))
      .sort()
      .map(name => join(dirname(path), name))
  } catch {
    return [] // ssh passes over a folder that is not there, too
  }
}

/** Splits `[user@]host[:port]` or `ssh://[user@]host[:port]`, as ProxyJump takes it. Throws a UsageError. */
export function parseDestination(text: string): { host: string; user?: string; port?: number } {
  const match = /^(?:ssh:\/\/)?(?:([^@\s]+)@)?(?:\[([^\]\s]+)\]|([^:@\s[\]]+))(?::(\d{1,5}))?\/?$/.exec(text)
  const host = match?.[2] ?? match?.[3]
  const port = match?.[4] === undefined ? undefined : Number(match[4])
  if (!host || host.startsWith('-') || (port !== undefined && (port < 1 || port > 65535)))
    throw new UsageError(`${JSON.stringify(text)} is not a server`, 'write [USER@]HOST[:PORT]')
  return { host, user: match?.[1], port }
}

/**
 * What ssh_config says of a host. User and port that are `given` come before it, as on ssh's command line.
 * Throws a UsageError for what cannot be parsed and for ProxyCommand, which is a program of the user's. Pure.
 */
export function resolveHost(
  alias: string,
  config: string,
  given: { user?: string; port?: number },
  local: LocalUser,
): SshSettings {
  const values = compute(alias, config, given.user)
  const words = (key: string): string[] => {
    const value = values[key]
    return value === undefined ? [] : Array.isArray(value) ? value : [value]
  }
  const word = (key: string) => words(key)[0]
  const yes = (key: string) => /^(yes|true)$/i.test(word(key) ?? '')
  const command = word('proxycommand')
  if (command !== undefined && command.toLowerCase() !== 'none' && word('proxyjump') === undefined)
    throw new UsageError(
      `ssh_config reaches ${alias} by a ProxyCommand, which is not run here`,
      'use ProxyJump instead: it does the same without a program',
    )
  const port = given.port ?? Number(word('port') ?? 22)
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    throw new UsageError(
      `the port ${JSON.stringify(word('port'))} of ${alias} is not a valid port`,
      'correct it in ssh_config',
    )
  const user = given.user ?? word('user') ?? local.name
  const hostName = (word('hostname') ?? alias).replaceAll(/%([%h])/g, (_, c) => (c === '%' ? '%' : alias))
  const tokens: Record<string, string> = {
    '%': '%',
    d: local.home,
    h: hostName,
    k: word('hostkeyalias') ?? alias,
    n: alias,
    p: String(port),
    r: user,
    u: local.name,
  }
  const path = (text: string) =>
    text.replaceAll(/%(.)/g, (all, c) => tokens[c] ?? all).replace(/^~(?=\/|$)/, local.home)
  const files = (key: string, otherwise: string[]) =>
    (words(key).length > 0 ? words(key) : otherwise).filter(file => file !== 'none').map(path)
  const agent = word('identityagent')
  return {
    hostName,
    port,
    user,
    hostKeyAlias: word('hostkeyalias'),
    identityFiles: files(
      'identityfile',
      defaultKeys.map(name => `~/.ssh/${name}`),
    ),
    identitiesOnly: yes('identitiesonly'),
    identityAgent: agent === undefined || agent === 'SSH_AUTH_SOCK' ? undefined : path(agent),
    jumps: jumps(word('proxyjump')),
    userKnownHosts: files('userknownhostsfile', ['~/.ssh/known_hosts', '~/.ssh/known_hosts2']),
    globalKnownHosts: files('globalknownhostsfile', [
      '/etc/ssh/ssh_known_hosts',
      '/etc/ssh/ssh_known_hosts2',
    ]),
    hashKnownHosts: yes('hashknownhosts'),
  }
}

function jumps(value: string | undefined): string[] {
  if (value === undefined || value.toLowerCase() === 'none') return []
  return value.split(',').map(hop => {
    parseDestination(hop.trim())
    return hop.trim()
  })
}

function compute(alias: string, config: string, user?: string): Record<string, string | string[]> {
  try {
    return SSHConfig.parse(config).compute(
      { Host: alias, User: user },
      { ignoreCase: true, matchExec: false },
    )
  } catch (error) {
    throw new UsageError(
      `ssh_config cannot be read: ${error instanceof Error ? error.message : error}`,
      'correct ~/.ssh/config (or /etc/ssh/ssh_config); `ssh -G HOST` shows what ssh makes of it',
    )
  }
}
