import { appendFileSync, chmodSync, existsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { privateFolder, readIfExists } from '../script/files.ts'
import { askConfirm } from '../script/prompt.ts'
import type { SshSettings } from './config.ts'
import { HostKeyError, hostKeyError, otherMachine } from './errors.ts'
import {
  fingerprint,
  hostKeyAlgorithms,
  judgeHostKey,
  type KnownHost,
  keyType,
  knownHostsLine,
  knownName,
  parseKnownHosts,
} from './known-hosts.ts'
import type { ConnectOptions, SshTarget } from './types.ts'

/** The host key of one server: what known_hosts says of it, and whether a new one is accepted. */
export class HostKey {
  /** The algorithms to offer, so that the server shows a key that is known. */
  readonly algorithms: string[]
  readonly #settings: SshSettings
  readonly #options: ConnectOptions
  readonly #server: string
  readonly #known: KnownHost[]
  /** Host and port that known_hosts has the server under; an alias stands for itself, whatever the port. */
  readonly #as: [host: string, port: number]
  readonly #before: [host: string, port: number] | undefined

  /** `server` is its name in errors. */
  constructor(
    server: string,
    settings: SshSettings,
    { hostKeyAs }: Pick<SshTarget, 'hostKeyAs'>,
    options: ConnectOptions,
  ) {
    const { hostKeyAlias, hostName, port, userKnownHosts, globalKnownHosts } = settings
    this.#server = server
    this.#settings = settings
    this.#options = options
    this.#as = hostKeyAlias ? [hostKeyAlias, 22] : [hostName, port]
    this.#before = hostKeyAs === undefined ? undefined : [hostKeyAs, port]
    this.#known = [...userKnownHosts, ...globalKnownHosts].flatMap(file =>
      parseKnownHosts(readIfExists(file) ?? '', file),
    )
    this.algorithms = hostKeyAlgorithms(this.#known, ...(this.#before ?? this.#as))
  }

  /** Whether the key that the server shows is known. Throws a HostKeyError when another one is, or it is revoked. */
  isKnown(key: Buffer): boolean {
    const before = this.#before && judgeHostKey(this.#known, ...this.#before, key)
    if (before?.state === 'revoked')
      throw hostKeyError(this.#server, knownName(...this.#before!), key, before)
    if (before?.state === 'changed')
      throw otherMachine(this.#server, knownName(...this.#before!), key, before.at)
    const verdict = judgeHostKey(this.#known, ...this.#as, key)
    if (verdict.state === 'known') return true
    if (verdict.state !== 'unknown') throw hostKeyError(this.#server, knownName(...this.#as), key, verdict)
    if (before?.state === 'known') {
      this.#remember(key)
      return true
    }
    for (const at of verdict.authorities)
      this.#options.log.warn(`${at}: @cert-authority is not used; the key itself has to be known`)
    return false
  }

  /** Shows the fingerprint of an unknown key and asks, unless that was answered before; then remembers it. */
  async approve(key: Buffer): Promise<void> {
    const name = knownName(...this.#as)
    if (!this.#options.acceptNewHostKey) {
      const yes = await askConfirm({
        message: `${name} is not known yet. It shows the ${shown(key)}. Trust it?`,
        flag: '--accept-new-host-key, after you have compared the fingerprint',
      })
      if (!yes)
        throw new HostKeyError(
          `the host key of ${name} was not accepted; nothing was sent to it`,
          'compare it with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the server’s own console',
        )
    }
    this.#remember(key)
  }

  #remember(key: Buffer): void {
    const [file] = this.#settings.userKnownHosts
    if (file === undefined) return
    if (!existsSync(dirname(file))) privateFolder(dirname(file))
    const before = readIfExists(file)
    const line = knownHostsLine(...this.#as, key, this.#settings.hashKnownHosts)
    // One write at the end of the file, as ssh does it: two of us never lose each other's line.
    const start = before === undefined || before === '' || before.endsWith('\n') ? '' : '\n'
    appendFileSync(file, `${start}${line}`, { mode: 0o600, flush: true })
    if (statSync(file).isFile()) chmodSync(file, 0o600)
    this.#options.log.info(`remembered the ${shown(key)} of ${knownName(...this.#as)} in ${file}`)
  }
}

function shown(key: Buffer): string {
  return `${keyType(key)?.replace(/^(ssh|ecdsa-sha2)-/, '')} host key ${fingerprint(key)}`
}
