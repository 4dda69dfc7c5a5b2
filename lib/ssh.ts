import { randomBytes } from 'node:crypto'
import type { EventEmitter } from 'node:events'
import { appendFileSync, chmodSync, createReadStream, createWriteStream, existsSync, statSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { homedir, userInfo } from 'node:os'
import { dirname } from 'node:path'
import type { Duplex, Readable, Writable } from 'node:stream'
import type { NodeSSH } from 'node-ssh'
import { codeOf, ExpectedError, messageOf, UsageError } from './errors.ts'
import { privateFolder, readIfExists } from './files.ts'
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
import type { Log } from './log.ts'
import { askConfirm, askSecret, interactive } from './prompt.ts'
import { commandLine, quote } from './quote.ts'
import { registerSecret } from './redact.ts'
import { Login } from './ssh-auth.ts'
import { parseDestination, readSshConfig, resolveHost, type SshSettings } from './ssh-config.ts'
import { until } from './wait.ts'

/** A server to connect to. What is absent is taken from ssh_config, in which `host` may be an alias. */
export interface SshTarget {
  host: string
  user?: string
  port?: number
  /** A key file to try before those of ssh_config. */
  keyFile?: string
}

/** How to connect. */
export interface ConnectOptions {
  log: Pick<Log, 'info' | 'warn' | 'detail'>
  acceptNewHostKey?: boolean
  /** Aborts whatever is under way. */
  signal?: AbortSignal
  /** Milliseconds that logging in may take; 20 s by default. */
  timeout?: number
}

/** How a command is run on a server. */
export interface ExecOptions {
  /** As root: by sudo, unless the user is root already. */
  sudo?: boolean
  input?: string | Buffer | Readable
  /** Milliseconds for the whole; 120 s by default, 0 for no limit. */
  timeout?: number
  /** Milliseconds without any output; no limit by default. */
  idle?: number
  /** Output as it comes, as text; a character never arrives in two pieces. It is still returned at the end. */
  onStdout?: (text: string) => void
  onStderr?: (text: string) => void
  /** Where stdout goes instead of into the result, byte by byte. */
  stdout?: Writable
  stderr?: Writable
  /** What to do when it fails. */
  fix?: string
  /** What it is called in errors; the first words of the command by default. */
  title?: string
}

/** How a command ended. `code` is null when a signal ended it. */
export interface ExecResult {
  code: number | null
  signal: string | undefined
  stdout: Buffer
  stderr: Buffer
}

/** The connection broke off; nobody knows how far the server came. Reconnecting may help. */
export class ConnectionLost extends ExpectedError {
  override name = 'ConnectionLost'
}

/** The server's host key is not the one that is known: trying again does not help. */
export class HostKeyError extends ExpectedError {
  override name = 'HostKeyError'
}

/** What we use of ssh2's channel of a command, and of its client. */
interface Channel extends Duplex {
  stderr: Readable
  close(): void
}
interface Client extends EventEmitter {
  exec(command: string, done: (error: Error | undefined, channel: Channel) => void): void
  destroy(): void
}

const CONNECT_TIMEOUT = 20_000
/** A dead connection is noticed after four of these: three questions without an answer. */
const KEEPALIVE = 10_000
/** More output than this in memory is a mistake: give `stdout` a place to go. */
const MOST_OUTPUT = 64 << 20

const ENDING = 'ending a command'
const again = 'then run the same command again'

/** A connection to a server, over which commands are run and files are transferred. */
export class Ssh {
  readonly settings: SshSettings
  readonly #target: SshTarget
  readonly #options: ConnectOptions
  readonly #via: SshTarget[]
  #ssh: NodeSSH | undefined
  #jump: Ssh | undefined
  #lost: Error | undefined
  #onlyHostKey = false
  #sudo: Promise<string | undefined> | undefined

  private constructor(target: SshTarget, options: ConnectOptions, via?: SshTarget[]) {
    const { text, notes } = readSshConfig()
    for (const note of notes) options.log.detail(note)
    const local = { home: homedir(), name: process.env.USER || userInfo().username }
    this.settings = resolveHost(target.host, text, target, local)
    if (target.keyFile) this.settings.identityFiles.unshift(target.keyFile)
    this.#target = target
    this.#options = options
    this.#via = via ?? this.settings.jumps.map(parseDestination)
  }

  /** Connects and logs in. Throws an ExpectedError in two lines for whatever stands in the way. */
  static async connect(target: SshTarget, options: ConnectOptions): Promise<Ssh> {
    return Ssh.#connect(target, options, undefined, 0)
  }

  /**
   * Goes as far as the host key, which is checked and asked about, and no further: for whoever lets another
   * program log in. The connection is closed again.
   */
  static async verifyHostKey(target: SshTarget, options: ConnectOptions): Promise<Ssh> {
    const ssh = new Ssh(target, options)
    ssh.#onlyHostKey = true
    try {
      await ssh.#open(0)
    } finally {
      ssh.close()
    }
    return ssh
  }

  static async #connect(
    target: SshTarget,
    options: ConnectOptions,
    via: SshTarget[] | undefined,
    depth: number,
  ): Promise<Ssh> {
    const ssh = new Ssh(target, options, via)
    if (depth > 8)
      throw new UsageError(`ssh_config reaches ${target.host} through itself`, 'correct its ProxyJump')
    try {
      await ssh.#open(depth)
    } catch (error) {
      ssh.close()
      throw error
    }
    return ssh
  }

  /** The server, as `user@host`, with its port where it is not 22. */
  get name(): string {
    const { user, hostName, port } = this.settings
    return `${user}@${hostName}${port === 22 ? '' : `:${port}`}`
  }

  /** Ends the connection. */
  close(): void {
    this.#ssh?.dispose()
    this.#ssh = undefined
    this.#jump?.close()
    this.#jump = undefined
  }

  async #open(depth: number): Promise<void> {
    const unknown = await this.#attempt(depth)
    if (!unknown) return
    await this.#approve(unknown)
    // A new connection instead of one that waits for a person: the server gives up on those.
    if (await this.#attempt(depth))
      throw new HostKeyError(
        `${this.name} showed another host key after its first one was accepted`,
        'find out who answers at this address before you try again',
      )
  }

  /** One try to connect. Resolves with the server's key when it is not known yet; nothing was sent to it then. */
  async #attempt(depth: number): Promise<Buffer | undefined> {
    const { settings } = this
    const { signal, timeout = CONNECT_TIMEOUT } = this.#options
    signal?.throwIfAborted()
    const sock = await this.#throughJump(depth)
    const { NodeSSH } = await import('node-ssh')
    const ssh = new NodeSSH()
    this.#ssh = ssh
    this.#lost = undefined

    // What ends the attempt from our side, which ssh2 does not know the reason of.
    let reason: Error | undefined
    let unknown: Buffer | undefined
    const end = (why: Error) => {
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

    const known = this.#knownHosts()
    const [host, port] = this.#knownAs
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
        algorithms: { serverHostKey: hostKeyAlgorithms(known, host, port) },
        hostVerifier: (key: Buffer) => {
          const verdict = judgeHostKey(known, host, port, key)
          if (verdict.state === 'known') return true
          if (verdict.state === 'unknown') {
            unknown = key
            for (const at of verdict.authorities)
              this.#options.log.warn(`${at}: @cert-authority is not used; the key itself has to be known`)
          } else reason ??= hostKeyError(this.name, knownName(host, port), key, verdict)
          return false
        },
        authHandler: (wanted: string[] | null, _partial: unknown, next: (method: unknown) => void) => {
          if (wanted) login.wanted = wanted
          if (this.#onlyHostKey) next(false)
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
      if (this.#onlyHostKey && !reason && /authentication methods failed/.test(messageOf(error)))
        return undefined
      throw reason ?? explain(error, settings, login)
    } finally {
      over = true
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** Host and port that known_hosts has the server under; an alias stands for itself, whatever the port. */
  get #knownAs(): [host: string, port: number] {
    const { hostKeyAlias, hostName, port } = this.settings
    return hostKeyAlias ? [hostKeyAlias, 22] : [hostName, port]
  }

  /** A stream to the server through the last of its jump hosts; undefined where there are none. */
  async #throughJump(depth: number): Promise<Duplex | undefined> {
    const hop = this.#via.at(-1)
    if (!hop) return undefined
    this.#jump?.close()
    // The nearest hop is reached as ssh_config says; the others through the hop before them.
    const before = this.#via.slice(0, -1)
    this.#jump = await Ssh.#connect(hop, this.#options, before.length > 0 ? before : undefined, depth + 1)
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

  #knownHosts(): KnownHost[] {
    return [...this.settings.userKnownHosts, ...this.settings.globalKnownHosts].flatMap(file =>
      parseKnownHosts(readIfExists(file) ?? '', file),
    )
  }

  /** Shows the fingerprint of an unknown key and asks, unless that was answered before; then remembers it. */
  async #approve(key: Buffer): Promise<void> {
    const { settings } = this
    const shown = `${keyType(key)?.replace(/^(ssh|ecdsa-sha2)-/, '')} host key ${fingerprint(key)}`
    const name = knownName(...this.#knownAs)
    if (!this.#options.acceptNewHostKey) {
      const yes = await askConfirm({
        message: `${name} is not known yet. It shows the ${shown}. Trust it?`,
        flag: '--accept-new-host-key, after you have compared the fingerprint',
      })
      if (!yes)
        throw new HostKeyError(
          `the host key of ${name} was not accepted; nothing was sent to it`,
          'compare it with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the server’s own console',
        )
    }
    const [file] = settings.userKnownHosts
    if (file === undefined) return
    if (!existsSync(dirname(file))) privateFolder(dirname(file))
    const before = readIfExists(file)
    const line = knownHostsLine(...this.#knownAs, key, settings.hashKnownHosts)
    // One write at the end of the file, as ssh does it: two of us never lose each other's line.
    const start = before === undefined || before === '' || before.endsWith('\n') ? '' : '\n'
    appendFileSync(file, `${start}${line}`, { mode: 0o600, flush: true })
    if (statSync(file).isFile()) chmodSync(file, 0o600)
    this.#options.log.info(`remembered the ${shown} of ${name} in ${file}`)
  }

  /**
   * Runs a program with its arguments, each quoted, and returns its stdout as text without the last newline.
   * Anything but exit code 0 is a failure, also being killed: an ExpectedError with the last line of stderr.
   */
  async run(command: readonly [string, ...string[]], options: ExecOptions = {}): Promise<string> {
    const result = await this.exec(command, options)
    if (result.code === 0) return result.stdout.toString().replace(/\n$/, '')
    throw failed(this.name, command, options, result)
  }

  /** Runs a POSIX shell script with arguments as `$1`, `$2`, …: nothing is ever put into its text. */
  async sh(script: string, args: readonly string[] = [], options: ExecOptions = {}): Promise<string> {
    return this.run(['sh', '-c', script, 'sh', ...args], {
      title: script.trim().split('\n')[0],
      ...options,
    })
  }

  /** Runs a program and returns how it ended, whatever that is. Throws when it could not be run to its end. */
  async exec(command: readonly [string, ...string[]], options: ExecOptions = {}): Promise<ExecResult> {
    // Every process of the command has this in its environment, so that all of them can be found and ended.
    const id = randomBytes(16).toString('hex')
    const marked = ['env', `OAS_RUN=${id}`, ...command] as const
    const title = titleOf(command, options)
    if (!options.sudo) return this.#exec(commandLine(marked), options, title, id)
    this.#sudo ??= this.#prepareSudo()
    this.#sudo.catch(() => {
      this.#sudo = undefined // another try may ask again
    })
    const password = await this.#sudo
    if (password === '') return this.#exec(commandLine(marked), options, title, id)
    // sudo reads the password from stdin only when it wants one. A line that is no secret marks where the
    // input of the command begins, so that a password nobody read never becomes part of it.
    const skip = 'while IFS= read -r line; do [ "$line" = "$0" ] && exec "$@"; done; exit 125'
    const before = `${password === undefined ? '' : `${password}\n`}${id}\n`
    return this.#exec(
      commandLine([...sudo(password), 'sh', '-c', skip, id, ...marked]),
      options,
      title,
      id,
      before,
    )
  }

  /** Ends all processes of a command. sshd passes on signals only for users other than root. */
  async #kill(id: string, options: ExecOptions): Promise<void> {
    await this.sh(KILL, [id], { sudo: options.sudo, timeout: 0, title: ENDING })
  }

  /**
   * Finds out how to become root: '' for root himself, undefined for sudo without a password, else the password,
   * which is asked for once, or taken from OAS_SUDO_PASSWORD. It only ever travels on stdin.
   */
  async #prepareSudo(): Promise<string | undefined> {
    const { user } = this.settings
    if ((await this.run(['id', '-u'])) === '0') return ''
    const free = await this.exec(sudo(undefined, 'true'))
    if (free.code === 0) return undefined
    const fail = (what: string, fix: string) => {
      throw new ExpectedError(`${user} cannot become root on ${this.settings.hostName}: ${what}`, fix)
    }
    if (free.code === 127)
      fail('sudo is not installed', `log in as root, or install sudo and allow it to ${user}`)
    const said = lastLine(free.stderr)
    if (!/password is required/.test(said)) fail(said, 'correct /etc/sudoers on the server (visudo)')
    const given = process.env.OAS_SUDO_PASSWORD
    for (let attempt = 1; ; attempt++) {
      const password =
        given ||
        (await askSecret({
          message: `sudo password of ${user} on ${this.settings.hostName}`,
          flag: 'it as OAS_SUDO_PASSWORD in the environment',
        }))
      registerSecret(password)
      const check = await this.exec(sudo(password, '-k', 'true'), { input: `${password}\n` })
      if (check.code === 0) return password
      const text = check.stderr.toString()
      if (/not in the sudoers file|not allowed to (execute|run)|may not run sudo/i.test(text))
        fail('sudo is not allowed to this user', `as root on the server: adduser ${user} sudo; ${again}`)
      if (!/incorrect password|no password was provided|try again/i.test(text))
        fail(lastLine(check.stderr), 'correct sudo on the server')
      if (given || attempt === 3 || !interactive())
        fail(
          'sudo does not accept the password',
          given ? 'correct OAS_SUDO_PASSWORD' : `find out the password of ${user}, ${again}`,
        )
      this.#options.log.warn('sudo does not accept this password')
    }
  }

  async #exec(
    line: string,
    options: ExecOptions,
    title: string,
    id: string,
    before = '',
  ): Promise<ExecResult> {
    // What ends an aborted command has to run in spite of the signal.
    const signal = title === ENDING ? undefined : this.#options.signal
    signal?.throwIfAborted()
    const client = this.#ssh?.connection as Client | null | undefined
    if (!client) throw this.#connectionLost(title)
    let code: number | null | undefined
    let endedBy: string | undefined
    let closed: Promise<unknown> | undefined
    const channel = await new Promise<Channel>((resolve, reject) => {
      const onAbort = () => reject(signal?.reason)
      signal?.addEventListener('abort', onAbort, { once: true })
      client.exec(line, (error, opened) => {
        signal?.removeEventListener('abort', onAbort)
        if (error) return reject(error)
        // At once: a quick program's end comes in the same packet, before anybody who awaits this goes on.
        opened.on('exit', (exitCode: number | null, signalName?: string) => {
          code = exitCode
          endedBy = signalName
        })
        closed = new Promise(done => opened.once('close', done))
        opened.on('error', () => {}) // 'close' follows and tells
        resolve(opened)
      })
    }).catch(error => {
      signal?.throwIfAborted()
      throw this.#ssh?.isConnected()
        ? new ExpectedError(
            `${this.name} did not run \`${title}\`: ${messageOf(error)}`,
            'look at the log of sshd on the server (journalctl -u ssh); it may limit sessions or commands',
            { cause: error },
          )
        : this.#connectionLost(title)
    })

    return new Promise((resolve, reject) => {
      let given: Error | undefined
      let idleTimer: NodeJS.Timeout | undefined
      const timers: NodeJS.Timeout[] = []
      /** Ends the command from our side: its processes, and its streams. */
      const stop = (why: Error) => {
        if (given) return
        given = why
        // A server that is gone confirms nothing.
        timers.push(setTimeout(settle, 3000))
        this.#kill(id, options)
          .catch(error => this.#options.log.detail(messageOf(error)))
          .finally(() => channel.close())
      }
      const settle = () => {
        for (const timer of [...timers, idleTimer]) clearTimeout(timer)
        signal?.removeEventListener('abort', onAbort)
        if (options.input && typeof options.input === 'object' && 'unpipe' in options.input)
          options.input.unpipe(channel)
        for (const output of outputs) output.end()
        if (given) reject(given)
        else if (code === undefined) reject(this.#connectionLost(title))
        else {
          const [stdout, stderr] = outputs.map(output => output.bytes()) as [Buffer, Buffer]
          resolve({ code, signal: endedBy, stdout, stderr })
        }
      }
      const onAbort = () => stop(signal?.reason)
      signal?.addEventListener('abort', onAbort)
      const late = (ms: number, what: string) =>
        stop(
          new ExpectedError(
            `\`${title}\` on ${this.name} ${what} ${seconds(ms)}, and was ended`,
            options.fix ?? `look at what the server does (top, df -h, journalctl -e), ${again}`,
          ),
        )
      const timeout = options.timeout ?? 120_000
      if (timeout > 0) timers.push(setTimeout(() => late(timeout, 'was not done after'), timeout))
      const alive = () => {
        clearTimeout(idleTimer)
        if (options.idle) idleTimer = setTimeout(() => late(options.idle!, 'said nothing for'), options.idle)
      }
      alive()

      const tooMuch = () =>
        stop(new ExpectedError(`\`${title}\` on ${this.name} says more than 64 MB`, 'write it to a file'))
      const outputs = [
        collect(channel, options.onStdout, options.stdout, tooMuch),
        collect(channel.stderr, options.onStderr, options.stderr, tooMuch),
      ]
      for (const stream of [channel, channel.stderr]) stream.on('data', alive)
      for (const stream of [options.stdout, options.stderr]) stream?.once('error', stop)
      void closed?.then(() => {
        if (channel.stderr.readableEnded) settle()
        else channel.stderr.once('end', settle)
      })

      if (before) channel.write(before)
      const { input } = options
      if (input === undefined || typeof input === 'string' || Buffer.isBuffer(input)) channel.end(input)
      else {
        input.once('error', stop)
        input.pipe(channel)
      }
    })
  }

  #connectionLost(title: string): ConnectionLost {
    const why = this.#lost ? `: ${messageOf(this.#lost)}` : ''
    return new ConnectionLost(
      `the connection to ${this.name} was lost at \`${title}\`${why}`,
      `see whether the server is up and reachable (ping), ${again}`,
      { cause: this.#lost },
    )
  }

  /**
   * Writes a file on the server whole or not at all: to a temporary neighbour, which gets its mode and is
   * renamed only when every byte has arrived. `content` is the data, or the path of a local file.
   */
  async upload(
    content: string | Buffer | { file: string },
    path: string,
    options: { mode: number; sudo?: boolean; timeout?: number },
  ): Promise<void> {
    const isFile = typeof content === 'object' && 'file' in content
    const data = isFile ? undefined : Buffer.from(content)
    const size = isFile ? statSync(content.file).size : data!.length
    await this.sh(UPLOAD, [path, options.mode.toString(8), String(size)], {
      input: isFile ? createReadStream(content.file) : data,
      sudo: options.sudo,
      timeout: options.timeout,
      title: `upload of ${path}`,
      fix: `check the folder, its rights and the free space on the server (df -h), ${again}; the file is as it was`,
    })
  }

  /** The bytes of a file on the server; at most 64 MB. */
  async download(path: string, options: { sudo?: boolean; timeout?: number } = {}): Promise<Buffer> {
    const command = ['cat', '--', path] as const
    const named = { ...options, title: `download of ${path}` }
    const result = await this.exec(command, named)
    if (result.code !== 0) throw failed(this.name, command, named, result)
    return result.stdout
  }

  /** Copies a file of the server to this machine, whole or not at all, of any size. */
  async downloadTo(
    path: string,
    local: string,
    options: { mode: number; sudo?: boolean; timeout?: number },
  ): Promise<void> {
    const temporary = `${local}.${randomBytes(6).toString('hex')}.tmp`
    const stdout = createWriteStream(temporary, { flags: 'wx', mode: options.mode, flush: true })
    try {
      await this.run(['cat', '--', path], { ...options, stdout, title: `download of ${path}` })
      await new Promise<void>((resolve, reject) => {
        stdout.once('error', reject)
        stdout.end(resolve)
      })
      chmodSync(temporary, options.mode)
      await rename(temporary, local)
    } catch (error) {
      stdout.destroy()
      await rm(temporary, { force: true })
      throw error
    }
  }

  /** The identity of the server's current boot. */
  bootId(): Promise<string> {
    return this.run(['cat', '/proc/sys/kernel/random/boot_id'])
  }

  /**
   * Connects again, as often as it takes until `deadline` (milliseconds) is over; with `afterBoot`, until the
   * server runs another boot than that one. Only a host key that changed ends it early: a server that boots
   * refuses connections, and the logins of ordinary users, for a while.
   */
  async reconnect(options: { deadline: number; afterBoot?: string }): Promise<void> {
    const { signal } = this.#options
    await until(
      async () => {
        try {
          this.close()
          this.#sudo = undefined
          await this.#open(0)
          if (options.afterBoot === undefined || (await this.bootId()) !== options.afterBoot)
            return { done: true }
          return { last: 'it has not rebooted yet' }
        } catch (error) {
          signal?.throwIfAborted()
          if (
            !(error instanceof ExpectedError) ||
            error instanceof HostKeyError ||
            error instanceof UsageError
          )
            throw error
          return { last: error.message }
        }
      },
      {
        deadline: options.deadline,
        every: 1000,
        describe: last => last ?? 'nothing',
        fix: `look at the console of ${this.settings.hostName} at your provider, ${again}`,
        signal,
      },
    )
  }

  /** The command with which the local `ssh` program opens a shell on this server, after the same checks. */
  shellCommand(): [string, ...string[]] {
    const { settings } = this
    const files = (names: string[]) => names.map(name => `"${name}"`).join(' ')
    return [
      'ssh',
      ...['-o', 'StrictHostKeyChecking=yes'],
      ...['-o', `UserKnownHostsFile=${files(settings.userKnownHosts)}`],
      ...(this.#target.keyFile ? ['-i', this.#target.keyFile] : []),
      ...['-p', String(settings.port), '-l', settings.user],
      '--',
      this.#target.host,
    ]
  }
}

/** Reads all of stdin; what a cut connection leaves is too short, and is thrown away. */
const UPLOAD = `
set -e
umask 077
temporary=$(mktemp -- "$1.XXXXXX.tmp")
trap 'rm -f -- "$temporary"' EXIT
trap 'exit 1' HUP INT PIPE TERM
cat > "$temporary"
[ "$(wc -c < "$temporary")" -eq "$3" ] || { echo 'not all of it arrived' >&2; exit 1; }
chmod -- "$2" "$temporary"
sync -- "$temporary"
mv -T -- "$temporary" "$1"
trap - EXIT
`

/** Ends the processes with `OAS_RUN=$1` in their environment. */
const KILL = `
for file in $(grep -lsz "^OAS_RUN=$1$" /proc/[0-9]*/environ); do
  process=\${file#/proc/}
  kill -TERM "\${process%/environ}" 2>/dev/null
done
exit 0
`

/** sudo with messages in English, without a terminal, and with its password (if any) from stdin. */
function sudo(password: string | undefined, ...rest: string[]): [string, ...string[]] {
  const how = password === undefined ? ['-n'] : ['-S', '-p', '']
  return ['env', 'LC_ALL=C.UTF-8', 'sudo', ...how, ...rest]
}

/** Collects a stream, hands it on as text, or pipes it to where it is to go. */
function collect(
  stream: Readable,
  onText: ((text: string) => void) | undefined,
  to: Writable | undefined,
  tooMuch: () => void,
) {
  const chunks: Buffer[] = []
  let size = 0
  const decoder = new TextDecoder()
  if (to) stream.pipe(to, { end: false })
  else
    stream.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > MOST_OUTPUT) return tooMuch()
      chunks.push(chunk)
      onText?.(decoder.decode(chunk, { stream: true }))
    })
  return {
    bytes: () => Buffer.concat(chunks),
    end: () => {
      const rest = onText ? decoder.decode() : ''
      if (rest) onText?.(rest)
    },
  }
}

const seconds = (ms: number) => `${Math.round(ms / 100) / 10} s`
const titleOf = (command: readonly string[], options: ExecOptions) =>
  options.title ?? command.slice(0, 3).join(' ')

function lastLine(output: Buffer): string {
  return output.toString().trim().split('\n').at(-1) ?? ''
}

/** The error of a command that ended with anything but exit code 0. */
export function failed(
  server: string,
  command: readonly string[],
  options: ExecOptions,
  result: ExecResult,
): ExpectedError {
  const title = titleOf(command, options)
  const reason = result.signal
    ? `ended by ${result.signal}`
    : lastLine(result.stderr) || `exit code ${result.code}`
  const fix = /No space left on device|Disk quota exceeded/.test(reason)
    ? `free some disk space on the server (df -h), ${again}`
    : (options.fix ??
      (result.code === 127 ? `install ${command[0]} on the server, ${again}` : 'see the message above'))
  return new ExpectedError(`\`${title}\` on ${server} failed: ${reason}`, fix, { cause: result })
}

function timedOut({ hostName, port }: SshSettings, ms: number): ExpectedError {
  return new ExpectedError(
    `${hostName} port ${port} does not answer within ${seconds(ms)}`,
    'check the address, that the server is up (ping), and that no firewall drops this port',
  )
}

function hostKeyError(
  server: string,
  name: string,
  key: Buffer,
  verdict: { state: 'changed' | 'revoked'; at: string },
): HostKeyError {
  if (verdict.state === 'revoked')
    return new HostKeyError(
      `${server} shows the host key ${fingerprint(key)}, which is revoked in ${verdict.at}`,
      'do not connect: somebody marked this key as stolen; give the server new host keys',
    )
  return new HostKeyError(
    `the host key of ${server} has changed: it shows ${keyType(key)} ${fingerprint(key)}, another one than in ${verdict.at}. This may be an attack`,
    `if the server was installed anew and its console shows this fingerprint: ssh-keygen -R ${quote(name)} -f ${quote(verdict.at.replace(/:\d+$/, ''))}; ${again}`,
  )
}

/** Turns what ssh2 throws while connecting into two lines. */
function explain(error: unknown, settings: SshSettings, login: Login): unknown {
  if (error instanceof ExpectedError) return error
  const { hostName, port, user } = settings
  const place = `${hostName} port ${port}`
  const code = codeOf(error)
  const message = messageOf(error)
  const expected = (what: string, fix: string) => new ExpectedError(what, fix, { cause: error })
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return expected(
      `the name ${hostName} is not known (${code})`,
      'correct ansible_host in inventory.yml, the alias in ~/.ssh/config, or DNS',
    )
  if (code === 'ECONNREFUSED')
    return expected(
      `${place} refuses connections`,
      'check the address and port, and that sshd runs on the server (systemctl status ssh)',
    )
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH' || code === 'ETIMEDOUT')
    // node-ssh says ETIMEDOUT, too, when the server hangs up.
    return message === 'No response from server'
      ? hungUp(place, error)
      : expected(
          `${place} cannot be reached (${code})`,
          'check the address, the network here, and the firewall of the server',
        )
  if (/Too many authentication failures/i.test(message))
    return expected(
      `${place} wants no more keys after ${login.offered.join(', ')}`,
      'name the right key in ~/.ssh/config: IdentityFile FILE and IdentitiesOnly yes',
    )
  if (/authentication methods failed/i.test(message)) {
    const wanted = login.wanted.length > 0 ? ` (${login.wanted.join(',')})` : ''
    const problems = login.problems.length > 0 ? `; ${login.problems.join('; ')}` : ''
    if (login.offered.length === 0)
      return expected(
        `there is no key to log in to ${user}@${hostName} with${problems}`,
        'load your key into an agent (eval "$(ssh-agent)"; ssh-add), or make one with ssh-keygen and authorise it on the server',
      )
    return expected(
      `permission denied${wanted}: ${user}@${hostName} accepts none of ${login.offered.join(', ')}${problems}`,
      `add your public key to ~${user}/.ssh/authorized_keys on the server (ssh-copy-id), or name the right user and key`,
    )
  }
  if (error instanceof Error && 'level' in error && error.level === 'agent')
    return expected(
      `the ssh-agent did not sign: ${message}`,
      'unlock it or confirm its question; or unset SSH_AUTH_SOCK to use key files',
    )
  if (code === 'ECONNRESET' || code === 'EPIPE' || /before handshake|Connection lost/i.test(message))
    return hungUp(place, error)
  if (/no matching/i.test(message))
    return expected(`${place} and we have no algorithm in common: ${message}`, 'update sshd on the server')
  return expected(`connecting to ${place} failed: ${message}`, 'see `ssh -v` to the same server')
}

function hungUp(place: string, cause: unknown): ExpectedError {
  return new ExpectedError(
    `${place} hung up before the login`,
    'wait until the server has booted; if it stays so, look at sshd there (MaxStartups, fail2ban, hosts.deny), or something else listens on this port',
    { cause },
  )
}
