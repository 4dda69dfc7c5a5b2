import type { EventEmitter } from 'node:events'
import type { Duplex, Readable, Writable } from 'node:stream'
import type { Log } from '../script/log.ts'

/** A server to connect to. What is absent is taken from ssh_config, in which `host` may be an alias. */
export interface SshTarget {
  host: string
  user?: string
  port?: number
  /** A key file to try before those of ssh_config. */
  keyFile?: string
  /**
   * The name that known_hosts has this server under: the address it had before. A key that is known there is
   * accepted for the new address, too; another one than there is refused.
   */
  hostKeyAs?: string
}

/** How to connect. */
export interface ConnectOptions {
  log: Pick<Log, 'info' | 'warn' | 'detail'>
  acceptNewHostKey?: boolean
  /** Aborts whatever is under way. */
  signal?: AbortSignal
  /** Milliseconds that logging in may take; 15 s by default. */
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
  /** Bytes of stdout, and of stderr, that are kept in memory at most; 64 MB by default. */
  most?: number
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
  /** It runs although the run was aborted: what ends a command or cleans up has to. Its timeout still ends it. */
  inSpiteOfAbort?: boolean
}

/** How a command ended. `code` is null when a signal ended it. */
export interface ExecResult {
  code: number | null
  signal: string | undefined
  stdout: Buffer
  stderr: Buffer
}

/** What we use of ssh2's channel of a command. */
export interface Channel extends Duplex {
  stderr: Readable
  close(): void
}

/** What we use of ssh2's client. */
export interface Client extends EventEmitter {
  exec(command: string, done: (error: Error | undefined, channel: Channel) => void): void
  destroy(): void
}
