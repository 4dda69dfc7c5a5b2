/** An SSH server that means no good: what it sends is not what a server sends, too much of it, or nothing at all. */
import { createRequire } from 'node:module'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import type { Duplex, Writable } from 'node:stream'
import { HOSTILE } from './hostile-api.ts'

/** The part of ssh2 that serves; the copy that node-ssh uses, which has no types of its own. */
const ssh2 = createRequire(createRequire(import.meta.url).resolve('node-ssh'))('ssh2') as {
  Server: new (
    options: { hostKeys: string[]; greeting?: string; banner?: string },
    listener: (client: Connection) => void,
  ) => { injectSocket(socket: Socket): void }
}

interface Connection {
  on(event: 'authentication', listener: (login: { accept(): void }) => void): void
  on(event: 'session', listener: (accept: () => Session) => void): void
  on(event: 'error' | 'ready', listener: () => void): void
}
interface Session {
  on(
    event: 'exec',
    listener: (accept: () => Command, reject: () => void, info: { command: string }) => void,
  ): void
}
/** A command that the other side wants to be run. */
interface Command extends Duplex {
  stderr: Writable
  exit(code: number): void
}

/** What comes back when a server is told to run a command line; `line` is that line. */
type Runs = (command: Command, line: string) => void

/** Writes the same again and again, as fast as it is read. */
function endless(to: Writable & { destroyed: boolean }, text: string): void {
  const piece = Buffer.from(text.repeat(Math.ceil(32_768 / text.length)))
  const more = () => {
    while (!to.destroyed && to.write(piece));
    if (!to.destroyed) to.once('drain', more)
  }
  to.on('error', () => {})
  more()
}

const said = (command: Command, stdout: string, stderr: string, code: number) => {
  command.write(stdout)
  command.stderr.write(stderr)
  command.exit(code)
  command.end()
}

/**
 * Answers the questions of lib/server/reader.ts, all of them with this; other commands with the text alone. It is read
 * from the text of the command which questions there are.
 */
const answering =
  (text: string): Runs =>
  (command, line) => {
    const names = [...line.matchAll(/^ask (\S+) /gm)].map(match => match[1])
    const word = Buffer.from(`${text}\n0`).toString('base64')
    said(command, names.length > 0 ? `${names.map(name => `${name} ${word}\n`).join('')}end\n` : text, '', 0)
  }

/** Runs `echo WORD` as a shell does, by which lib/ssh/shell.ts knows that commands are run, and the others so. */
const afterEcho =
  (runs: Runs): Runs =>
  (command, line) => {
    const word = /^echo (oas-\w+)$/.exec(line)?.[1]
    if (word) said(command, `${word}\n`, '', 0)
    else runs(command, line)
  }

/** How servers run commands. */
const COMMANDS: Readonly<Record<string, Runs>> = {
  'a first command that never ends': () => {},
  'escapes from the first command on': command => said(command, HOSTILE, HOSTILE, 0),
  'a shell that writes first': (command, line) => said(command, `${HOSTILE}\n${line.slice(5)}\n`, '', 0),
  'output without end': afterEcho(command => endless(command, `${HOSTILE}\n`)),
  'errors without end': afterEcho(command => endless(command.stderr, `${HOSTILE}\n`)),
  'one line without end': afterEcho(command => endless(command, 'x')),
  'escapes for every answer': afterEcho(command => said(command, HOSTILE, HOSTILE, 0)),
  'escapes and exit code 1': afterEcho(command => said(command, HOSTILE, HOSTILE, 1)),
  'escapes in every fact': afterEcho(answering(HOSTILE)),
  'no exit code': afterEcho(command => command.end()),
}

/** Speaks SSH up to the commands, which it runs so. */
function speaking(hostKey: string, runs: Runs, letsIn: boolean): (socket: Socket) => void {
  const server = new ssh2.Server({ hostKeys: [hostKey], banner: HOSTILE }, client => {
    client.on('error', () => {})
    client.on('authentication', login => {
      if (letsIn) login.accept()
    })
    client.on('session', accept => {
      accept().on('exec', (take, _reject, { command }) => runs(take(), command))
    })
  })
  return socket => server.injectSocket(socket)
}

/** What a server does with a connection, by name; `hostKey` is its private key. */
export const SERVERS: Readonly<Record<string, (hostKey: string) => (socket: Socket) => void>> = {
  'a server that says nothing': () => () => {},
  'a greeting without end': () => socket => endless(socket, 'x'),
  'lines before the greeting without end': () => socket => endless(socket, `${HOSTILE}\r\n`),
  'a web server': () => socket => socket.end(`HTTP/1.1 400 ${HOSTILE}\r\n\r\n`),
  'a login that is never answered': key => speaking(key, () => {}, false),
  ...Object.fromEntries(
    Object.entries(COMMANDS).map(([name, runs]) => [name, (key: string) => speaking(key, runs, true)]),
  ),
}

/** Starts such a server on a free port of the loopback. */
export async function hostileSsh(
  take: (socket: Socket) => void,
): Promise<{ port: number; close: () => void }> {
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    take(socket)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  server.unref() // a test that fails half-way must not keep the suite from ending
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
