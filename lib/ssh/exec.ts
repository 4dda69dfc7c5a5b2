import type { Readable, Writable } from 'node:stream'
import { ExpectedError, messageOf } from '../script/errors.ts'
import { sizeText } from '../script/size.ts'
import type { Connection } from './connection.ts'
import { again, secondsText } from './errors.ts'
import type { Channel, ExecOptions, ExecResult } from './types.ts'

/** More output than this in memory is a mistake: give `stdout` a place to go. */
const MOST_OUTPUT = 64 << 20
/** Milliseconds that a server has to confirm that a command was ended. */
const END_WITHIN = 3000

/** One command line to run; `kill` is for commands that may take long. */
export interface CommandRun {
  line: string
  /** What it is called in errors. */
  title: string
  /** What is sent before the input of the command itself. */
  before?: string
  /** Ends its processes on the server; the channel alone is closed without it. */
  kill?: () => Promise<void>
}

/** Runs a command line and returns how it ended, whatever that is. Throws when it could not be run to its end. */
export async function execute(
  connection: Connection,
  command: CommandRun,
  options: ExecOptions,
): Promise<ExecResult> {
  const { title } = command
  const signal = options.inSpiteOfAbort ? undefined : connection.options.signal
  const { channel, ending, closed } = await openChannel(connection, command, signal)

  return new Promise((resolve, reject) => {
    let given: Error | undefined
    let idleTimer: NodeJS.Timeout | undefined
    const timers: NodeJS.Timeout[] = []
    /** Ends the command from our side: its processes, and its streams. */
    const stop = (why: Error) => {
      if (given) return
      given = why
      // A server that is gone confirms nothing.
      timers.push(setTimeout(settle, END_WITHIN))
      const killed = command.kill?.() ?? Promise.resolve()
      killed.catch(error => connection.options.log.detail(messageOf(error))).finally(() => channel.close())
    }
    const settle = () => {
      for (const timer of [...timers, idleTimer]) clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      if (options.input && typeof options.input === 'object' && 'unpipe' in options.input)
        options.input.unpipe(channel)
      for (const output of outputs) output.end()
      if (given) reject(given)
      else if (ending.code === undefined) reject(connection.lostAt(title))
      else {
        const [stdout, stderr] = outputs.map(output => output.bytes()) as [Buffer, Buffer]
        resolve({ code: ending.code, signal: ending.signal, stdout, stderr })
      }
    }
    const onAbort = () => stop(signal?.reason)
    signal?.addEventListener('abort', onAbort)
    const late = (ms: number, what: string) =>
      stop(
        new ExpectedError(
          `\`${title}\` on ${connection.name} ${what} ${secondsText(ms)}, and was ended`,
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

    const { most = MOST_OUTPUT } = options
    const tooMuch = () =>
      stop(
        new ExpectedError(
          `\`${title}\` on ${connection.name} says more than ${sizeText(most)}`,
          options.fix ?? 'see on the server what it says, and write that to a file there',
        ),
      )
    const outputs = [
      collect(channel, { most, tooMuch, onText: options.onStdout, to: options.stdout }),
      collect(channel.stderr, { most, tooMuch, onText: options.onStderr, to: options.stderr }),
    ]
    for (const stream of [channel, channel.stderr]) stream.on('data', alive)
    for (const stream of [options.stdout, options.stderr]) stream?.once('error', stop)
    void closed.then(() => {
      if (channel.stderr.readableEnded) settle()
      else channel.stderr.once('end', settle)
    })

    if (command.before) channel.write(command.before)
    const { input } = options
    if (input === undefined || typeof input === 'string' || Buffer.isBuffer(input)) channel.end(input)
    else {
      input.once('error', stop)
      input.pipe(channel)
    }
  })
}

/** Starts the command; `ending` gets its exit code before `closed` resolves, unless the connection breaks. */
async function openChannel(
  connection: Connection,
  { line, title }: CommandRun,
  signal: AbortSignal | undefined,
) {
  signal?.throwIfAborted()
  const { client } = connection
  if (!client) throw connection.lostAt(title)
  const ending: { code?: number | null; signal?: string } = {}
  let closed: Promise<unknown> = Promise.resolve()
  const channel = await new Promise<Channel>((resolve, reject) => {
    const onAbort = () => reject(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    client.exec(line, (error, opened) => {
      signal?.removeEventListener('abort', onAbort)
      if (error) return reject(error)
      // At once: a quick program's end comes in the same packet, before anybody who awaits this goes on.
      opened.on('exit', (exitCode: number | null, signalName?: string) => {
        ending.code = exitCode
        ending.signal = signalName
      })
      closed = new Promise(done => opened.once('close', done))
      opened.on('error', () => {}) // 'close' follows and tells
      resolve(opened)
    })
  }).catch(error => {
    signal?.throwIfAborted()
    throw connection.isConnected
      ? new ExpectedError(
          `${connection.name} did not run \`${title}\`: ${messageOf(error)}`,
          'look at the log of sshd on the server (journalctl -u ssh); it may limit sessions or commands',
          { cause: error },
        )
      : connection.lostAt(title)
  })
  return { channel, ending, closed }
}

/** Collects a stream, hands it on as text, or pipes it to where it is to go. */
function collect(
  stream: Readable,
  options: { most: number; tooMuch: () => void; onText?: (text: string) => void; to?: Writable },
) {
  const { most, tooMuch, onText, to } = options
  const chunks: Buffer[] = []
  let size = 0
  const decoder = new TextDecoder()
  if (to) stream.pipe(to, { end: false })
  else
    stream.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > most) return tooMuch()
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
