import { homedir, userInfo } from 'node:os'
import type { Duplex } from 'node:stream'
import type { NodeSSH } from 'node-ssh'
import { ExpectedError, messageOf, UsageError } from '../script/errors.ts'
import { Login } from './auth.ts'
import { parseDestination, readSshConfig, resolveHost, type SshSettings } from './config.ts'
import { again, ConnectionLost, explain, HostKeyError, timedOut } from './errors.ts'
import { HostKey } from './host-key.ts'
import type { Client, ConnectOptions, SshTarget } from './types.ts'

const CONNECT_TIMEOUT = 15_000
/** A dead connection is noticed after four of these: three questions without an answer. */
const KEEPALIVE = 10_000
/** More jumps than this are a circle. */
const MOST_JUMPS = 8

/** The way to a server: through its jump hosts, past the check of its host key, to the login. */
export class Connection {
  readonly settings: SshSettings
  readonly options: ConnectOptions
  readonly #target: SshTarget
  readonly #via: SshTarget[]
  #ssh: NodeSSH | undefined
  #jump: Connection | undefined
  #lost: Error | undefined

  constructor(target: SshTarget, options: ConnectOptions, via?: SshTarget[]) {
    const { text, notes } = readSshConfig()
    for (const note of notes) options.log.detail(note)
    const local = { home: homedir(), name: process.env.USER || userInfo().username }
    this.settings = resolveHost(target.host, text, target, local)
    if (target.keyFile) this.settings.identityFiles.unshift(target.keyFile)
    this.options = options
    this.#target = target
    this.#via = via ?? this.settings.jumps.map(parseDestination)
  }

  /** The server, as `user@host`, with its port where it is not 22. */
  get name(): string {
    const { user, port } = this.settings
    return `${user}@${this.#host}${port === 22 ? '' : `:${port}`}`
  }

  /** What people call the server: behind jump hosts its address says nothing here, and several may have the same. */
  get #host(): string {
    return this.settings.jumps.length > 0 ? this.#target.host : this.settings.hostName
  }

  /** ssh2's client; undefined before it is opened and after it was closed. */
  get client(): Client | undefined {
    return (this.#ssh?.connection ?? undefined) as Client | undefined
  }

  /** Whether it still stands, as far as this side knows. */
  get isConnected(): boolean {
    return this.#ssh?.isConnected() ?? false
  }

  /**
   * Connects and logs in; with `onlyHostKey` it goes as far as the host key and no further. Throws an
   * ExpectedError for whatever stands in the way. `depth` counts the jump hosts it is one of.
   */
  async open(onlyHostKey = false, depth = 0): Promise<void> {
    if (depth > MOST_JUMPS)
      throw new UsageError(`ssh_config reaches ${this.#target.host} through itself`, 'correct its ProxyJump')
    const unknown = await this.#attempt(onlyHostKey, depth)
    if (!unknown) return
    await this.#hostKey().approve(unknown)
    // A new connection instead of one that waits for a person: the server gives up on those.
    if (await this.#attempt(onlyHostKey, depth))
      throw new HostKeyError(
        `${this.name} showed another host key after its first one was accepted`,
        'find out who answers at this address before you try again',
      )
  }

  /** Ends it, and those to its jump hosts. */
  close(): void {
    this.#ssh?.dispose()
    this.#ssh = undefined
    this.#jump?.close()
    this.#jump = undefined
  }

  /** The error of whatever was under way when it broke. */
  lostAt(title: string): ConnectionLost {
    const why = this.#lost ? `: ${messageOf(this.#lost)}` : ''
    return new ConnectionLost(
      `the connection to ${this.name} was lost at \`${title}\`${why}`,
      `see whether the server is up and reachable (ping), ${again}`,
      { cause: this.#lost },
    )
  }

  /** known_hosts is read each time: the file may have changed. */
  #hostKey(): HostKey {
    return new HostKey(this.name, this.settings, this.#target, this.options)
  }

  /** One try to connect. Resolves with the server's key when it is not known yet; nothing was sent to it then. */
  async #attempt(onlyHostKey: boolean, depth: number): Promise<Buffer | undefined> {
    const { settings } = this
    const { signal, timeout = CONNECT_TIMEOUT } = this.options
    signal?.throwIfAborted()
    const sock = await this.#throughJump(depth)
    const { NodeSSH } = await import('node-ssh')
    signal?.throwIfAborted() // nobody has listened meanwhile
    const ssh = new NodeSSH()
    this.#ssh = ssh
    this.#lost = undefined

    // What ends the attempt from our side, which ssh2 does not know the reason of.
    let reason: unknown
    let unknown: Buffer | undefined
    const end = (why: unknown) => {
      reason ??= why
      ;(ssh.connection as Client | null)?.destroy()
    }
    let timer: NodeJS.Timeout | undefined
    let over = false
    const startTimer = () => {
      if (!over) timer = setTimeout(() => end(timedOut(settings, timeout)), timeout)
    }
    const onAbort = () => end(signal?.reason)
    signal?.addEventListener('abort', onAbort)

    const hostKey = this.#hostKey()
    const login = new Login(settings, {
      onAsk: asking => (asking ? clearTimeout(timer) : startTimer()),
    })
    startTimer()
    try {
      const connecting = ssh.connect({
        host: settings.hostName,
        port: settings.port,
        username: settings.user,
        ...(sock ? { sock } : {}),
        readyTimeout: 0, // our own timer stands still while somebody is asked
        keepaliveInterval: KEEPALIVE,
        keepaliveCountMax: 3,
        algorithms: { serverHostKey: hostKey.algorithms },
        hostVerifier: (key: Buffer) => {
          try {
            if (hostKey.isKnown(key)) return true
            unknown = key
          } catch (error) {
            reason ??= error
          }
          return false
        },
        authHandler: (wanted: string[] | null, _partial: unknown, next: (method: unknown) => void) => {
          if (wanted) login.wanted = wanted
          if (onlyHostKey) next(false)
          else login.next().then(next, error => end(error))
        },
      })
      // node-ssh listens for errors only until it is connected; without a listener they end the process.
      ;(ssh.connection as unknown as Client).on('error', error => {
        this.#lost ??= error
      })
      await connecting
      return undefined
    } catch (error) {
      if (unknown && !reason) return unknown
      if (onlyHostKey && !reason && /authentication methods failed/.test(messageOf(error))) return undefined
      throw reason ?? explain(error, { ...settings, hostName: this.#host }, login)
    } finally {
      over = true
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** A stream to the server through the last of its jump hosts; undefined where there are none. */
  async #throughJump(depth: number): Promise<Duplex | undefined> {
    const hop = this.#via.at(-1)
    if (!hop) return undefined
    this.#jump?.close()
    // The nearest hop is reached as ssh_config says; the others through the hop before them.
    const before = this.#via.slice(0, -1)
    this.#jump = new Connection(hop, this.options, before.length > 0 ? before : undefined)
    await this.#jump.open(false, depth + 1)
    const { hostName, port } = this.settings
    try {
      return (await this.#jump.#ssh!.forwardOut('127.0.0.1', 0, hostName, port)) as Duplex
    } catch (error) {
      throw new ExpectedError(
        `${this.#jump.name} cannot reach ${hostName}:${port}: ${messageOf(error)}`,
        'check the address, and that this jump host allows AllowTcpForwarding',
        { cause: error },
      )
    }
  }
}
