import { createHash, createHmac, randomBytes } from 'node:crypto'

/** One line of a known_hosts file (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"). */
export interface KnownHost {
  /** Where it stands, as FILE:LINE. */
  at: string
  marker?: 'revoked' | 'cert-authority'
  /** The field of patterns as it stands, or one hashed name. */
  hosts: string
  /** The public key as it is sent. */
  key: Buffer
}

/** What known_hosts says of the key that a server shows. */
export type Verdict =
  | { state: 'known'; at: string }
  /** `authorities`: lines with @cert-authority for this host, which we do not use: ssh2 reads no certificates. */
  | { state: 'unknown'; authorities: string[] }
  | { state: 'changed'; at: string }
  | { state: 'revoked'; at: string }

/** The type that a public key names in itself, like `ssh-ed25519`; undefined for any other text. */
export function keyType(key: Buffer): string | undefined {
  if (key.length < 4) return undefined
  const length = key.readUInt32BE(0)
  if (length === 0 || length > 64 || key.length <= 4 + length) return undefined
  return key.toString('latin1', 4, 4 + length)
}

/** The fingerprint of a key as ssh shows it: `SHA256:` and base64 without padding. */
export function fingerprint(key: Buffer): string {
  return `SHA256:${createHash('sha256')
    .update(key)
    .digest('base64')
    .replace(/(?<!=)=+$/, '')}`
}

/** The entries of a known_hosts file. Like ssh, it skips lines of any other form. */
export function parseKnownHosts(text: string, file: string): KnownHost[] {
  return text.split(/\r?\n/).flatMap((line, i): KnownHost[] => {
    const fields = line.trim().split(/[ \t]+/)
    if (fields[0]?.startsWith('#')) return []
    const marker = fields[0]?.startsWith('@') ? fields.shift()!.slice(1) : undefined
    if (marker !== undefined && marker !== 'revoked' && marker !== 'cert-authority') return []
    const [hosts, type, encoded] = fields
    if (!hosts || !type || !encoded) return []
    const key = Buffer.from(encoded, 'base64')
    if (keyType(key) !== type) return []
    return [{ at: `${file}:${i + 1}`, marker, hosts, key }]
  })
}

/** The name under which a server is known: in brackets with its port, unless that is 22. */
export function knownName(host: string, port: number): string {
  return port === 22 ? host.toLowerCase() : `[${host.toLowerCase()}]:${port}`
}

/** Whether a line is about this name. One negated pattern that matches overrides all others. */
function isAbout(entry: KnownHost, name: string): boolean {
  if (entry.hosts.startsWith('|')) {
    const [, version, salt, hash] = entry.hosts.split('|')
    return version === '1' && hashName(name, Buffer.from(salt ?? '', 'base64')) === hash
  }
  const patterns = entry.hosts.toLowerCase().split(',')
  return (
    patterns.some(pattern => !pattern.startsWith('!') && globMatches(pattern, name)) &&
    !patterns.some(pattern => pattern.startsWith('!') && globMatches(pattern.slice(1), name))
  )
}

const hashName = (name: string, salt: Buffer) => createHmac('sha1', salt).update(name).digest('base64')

/** `*` and `?` as ssh matches them; brackets are plain characters. Walks back to the last `*` only: linear memory, no regular expression that a file could blow up. */
function globMatches(pattern: string, name: string): boolean {
  let [p, n, star, mark] = [0, 0, -1, 0]
  while (n < name.length) {
    if (pattern[p] === '*') {
      star = p++
      mark = n
    } else if (pattern[p] === '?' || pattern[p] === name[n]) {
      p++
      n++
    } else if (star >= 0) {
      p = star + 1
      n = ++mark
    } else return false
  }
  while (pattern[p] === '*') p++
  return p === pattern.length
}

/** The lines about a server, revocations among them. */
function about(entries: readonly KnownHost[], host: string, port: number): KnownHost[] {
  return entries.filter(entry => isAbout(entry, knownName(host, port)))
}

/**
 * Judges the key that a server shows. Any line with this key will do; a server that is known by other keys
 * only has `changed`, also when they are of other types: those it was asked for first (`hostKeyAlgorithms`).
 */
export function judgeHostKey(
  entries: readonly KnownHost[],
  host: string,
  port: number,
  key: Buffer,
): Verdict {
  const lines = about(entries, host, port)
  // ssh, too, takes a key that is known for the host without its port, but does not call it changed.
  const withoutPort = port === 22 ? [] : about(entries, host, 22)
  const same = (entry: KnownHost) => entry.key.equals(key)
  const revoked = [...lines, ...withoutPort].find(entry => entry.marker === 'revoked' && same(entry))
  if (revoked) return { state: 'revoked', at: revoked.at }
  const keys = lines.filter(entry => entry.marker === undefined)
  const known = [...keys, ...withoutPort.filter(entry => entry.marker === undefined)].find(same)
  if (known) return { state: 'known', at: known.at }
  const other = keys.find(entry => keyType(entry.key) === keyType(key)) ?? keys[0]
  if (other) return { state: 'changed', at: other.at }
  const authorities = lines.filter(entry => entry.marker === 'cert-authority').map(entry => entry.at)
  return { state: 'unknown', authorities }
}

/** Signature algorithms of host keys, the strongest first. RSA with SHA-1 is not among them. */
const algorithms = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
]

/** The algorithms to offer to a server: those of the keys by which it is known first, so that it shows one of these. */
export function hostKeyAlgorithms(entries: readonly KnownHost[], host: string, port: number): string[] {
  const types = [...about(entries, host, port), ...about(entries, host, 22)]
    .filter(entry => entry.marker === undefined)
    .map(entry => keyType(entry.key))
  const isKnown = (algorithm: string) => types.includes(algorithm.replace(/^rsa-.*/, 'ssh-rsa'))
  return [...algorithms.filter(isKnown), ...algorithms.filter(algorithm => !isKnown(algorithm))]
}

/** The line that makes a server known; with its name hashed, as `HashKnownHosts yes` has it. */
export function knownHostsLine(host: string, port: number, key: Buffer, hashed: boolean): string {
  const name = knownName(host, port)
  const salt = randomBytes(20)
  const field = hashed ? `|1|${salt.toString('base64')}|${hashName(name, salt)}` : name
  return `${field} ${keyType(key)} ${key.toString('base64')}\n`
}
