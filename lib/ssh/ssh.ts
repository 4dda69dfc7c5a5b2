import { randomBytes } from 'node:crypto'
import { ExpectedError, UsageError } from '../script/errors.ts'
import { commandLine } from '../script/quote.ts'
import { until } from '../script/wait.ts'
import type { SshSettings } from './config.ts'
import { Connection } from './connection.ts'
import { again, failed, HostKeyError, titleOf } from './errors.ts'
import { execute } from './exec.ts'
import { download, downloadTo, type TransferOptions, upload } from './files.ts'
import { checkShell } from './shell.ts'
import { sudo, sudoPassword } from './sudo.ts'
import type { ConnectOptions, ExecOptions, ExecResult, SshTarget } from './types.ts'

export { ConnectionLost, failed, HostKeyError } from './errors.ts'
export type { ConnectOptions, ExecOptions, ExecResult, SshTarget } from './types.ts'

const ENDING = 'ending a command'

/** Ends the processes with `OAS_RUN=$1` in their environment. */
const KILL = `
for file in $(grep -lsz "^OAS_RUN=$1$" /proc/[0-9]*/environ); do
  process=\${file#/proc/}
  kill -TERM "\${process%/environ}" 2>/dev/null
done
exit 0
`

/** The commands of this process, on all its connections, that somebody waits for. */
const running = new Set<string>()

function withoutStart(bytes: Buffer, start: Buffer): Buffer {
  return bytes.subarray(0, start.length).equals(start) ? bytes.subarray(start.length) : bytes
}

/** A connection to a server, over which commands are run and files are transferred. */
export class Ssh {
  /**
   * Whether what is run now belongs to a run that changes the server. Its processes carry that mark, so that
   * the next such run finds what this one leaves behind. The lock of the server sets it.
   */
  changing = false
  readonly #target: SshTarget
  readonly #connection: Connection
  #sudo: Promise<string | undefined> | undefined
  /** What the shell says on stderr before each command. */
  #shellSays: Buffer = Buffer.alloc(0)

  private constructor(target: SshTarget, options: ConnectOptions) {
    this.#target = target
    this.#connection = new Connection(target, options)
  }

  /** Connects, logs in, and sees that commands are run. Throws an ExpectedError in two lines for whatever stands in the way. */
  static async connect(target: SshTarget, options: ConnectOptions): Promise<Ssh> {
    const ssh = new Ssh(target, options)
    try {
      await ssh.#connection.open()
      ssh.#shellSays = await checkShell(ssh.#connection)
    } catch (error) {
      ssh.close()
      throw error
    }
    return ssh
  }

  /**
   * Goes as far as the host key, which is checked and asked about, and no further: for whoever lets another
   * program log in. The connection is closed again.
   */
  static async verifyHostKey(target: SshTarget, options: ConnectOptions): Promise<Ssh> {
    const ssh = new Ssh(target, options)
    try {
      await ssh.#connection.open(true)
    } finally {
      ssh.close()
    }
    return ssh
  }

  /** Where it connects to, and how. */
  get settings(): SshSettings {
    return this.#connection.settings
  }

  /** The server, as `user@host`, with its port where it is not 22. */
  get name(): string {
    return this.#connection.name
  }

  /** Ends the connection. */
  close(): void {
    this.#connection.close()
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
    const id = `${this.changing ? 'change' : 'look'}-${randomBytes(16).toString('hex')}`
    running.add(id)
    try {
      const result = await this.#exec(id, command, options)
      return { ...result, stderr: withoutStart(result.stderr, this.#shellSays) }
    } finally {
      running.delete(id)
    }
  }

  async #exec(
    id: string,
    command: readonly [string, ...string[]],
    options: ExecOptions,
  ): Promise<ExecResult> {
    const marked = ['env', `OAS_RUN=${id}`, ...command] as const
    const title = titleOf(command, options)
    const common = {
      title,
      // sshd passes on signals only for users other than root. What ends a command is not ended in its turn.
      ...(title === ENDING
        ? {}
        : {
            kill: async () => {
              await this.sh(KILL, [id], {
                sudo: options.sudo,
                timeout: 0,
                most: 64 << 10,
                title: ENDING,
                inSpiteOfAbort: true,
              })
            },
          }),
    }
    const password = options.sudo ? await this.#sudoPassword() : ''
    if (password === '') return execute(this.#connection, { ...common, line: commandLine(marked) }, options)
    // sudo reads the password from stdin only when it needs one. A line that is not secret marks where the
    // input of the command begins, so that a password nobody read never becomes part of it.
    const skip = 'while IFS= read -r line; do [ "$line" = "$0" ] && exec "$@"; done; exit 125'
    const line = commandLine([...sudo(password), 'sh', '-c', skip, id, ...marked])
    const before = `${password === undefined ? '' : `${password}\n`}${id}\n`
    return execute(this.#connection, { ...common, line, before }, options)
  }

  async #sudoPassword(): Promise<string | undefined> {
    this.#sudo ??= sudoPassword(this, text => this.#connection.options.log.warn(text))
    this.#sudo.catch(() => {
      this.#sudo = undefined // another try may ask again
    })
    return this.#sudo
  }

  /** The marks of the commands that this process waits for now, on any of its connections. */
  get running(): ReadonlySet<string> {
    return running
  }

  /**
   * Writes a file on the server whole or not at all: to a temporary neighbour, which gets its mode and is
   * renamed only when every byte has arrived. `content` is the data, or the path of a local file.
   */
  async upload(
    content: string | Buffer | { file: string },
    path: string,
    options: TransferOptions & { mode: number },
  ): Promise<void> {
    await upload(this, content, path, options)
  }

  /** The bytes of a file on the server; at most 64 MB. */
  async download(path: string, options: TransferOptions = {}): Promise<Buffer> {
    return download(this, path, options)
  }

  /** Copies a file of the server to this machine, whole or not at all, of any size. */
  async downloadTo(path: string, local: string, options: TransferOptions & { mode: number }): Promise<void> {
    await downloadTo(this, path, local, options)
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
    const { signal } = this.#connection.options
    await until(
      async () => {
        try {
          this.close()
          this.#sudo = undefined
          await this.#connection.open()
          this.#shellSays = await checkShell(this.#connection)
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
