import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { codeOf } from '../../lib/script/errors.ts'
import { ROOT } from '../../lib/script/files.ts'
import { sleep } from '../../lib/script/wait.ts'
import { freePort } from '../bed/cluster/ports.ts'
import { scriptArgs } from '../compiled.ts'

/**
 * What the tests of SSH share: Debian's real sshd on loopback with host keys and a configuration of its own, a
 * home folder for our side, and real users. What is missing ends the tests with what to install.
 */
const SSHD = '/usr/sbin/sshd'

const processes = new Set<ChildProcess>()
const folders: string[] = []
const users: string[] = []

/** Ends and removes everything; also when a test file dies. */
export function cleanUp(): void {
  for (const child of processes) child.kill('SIGKILL')
  processes.clear()
  for (const user of users.splice(0)) {
    // Sessions of a user keep it from being removed.
    const { stdout } = spawnSync('pgrep', ['-u', user], { encoding: 'utf8' })
    for (const pid of stdout.split('\n').filter(Boolean)) kill(Number(pid))
    spawnSync('userdel', ['--force', '--remove', user])
    rmSync(`/etc/sudoers.d/${user}`, { force: true })
  }
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
}
process.on('exit', cleanUp)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1))

/** Kills a process, unless it has ended meanwhile. */
function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error
  }
}

function need(program: string, debian: string): void {
  if (existsSync(program) || spawnSync('which', [program]).status === 0) return
  throw new Error(`${program} is missing: apt-get install ${debian}`)
}

/** Runs a local program that must succeed; returns what it says. */
export function local(program: string, args: string[], options: { input?: string } = {}): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', ...options })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr || stdout}`)
  return stdout
}

/** A folder that is gone when the tests end. It can be entered by the users of the tests. */
export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'oas-host-'))
  chmodSync(path, 0o755)
  folders.push(path)
  return path
}

/** A home for our side, HOME of this process from now on: no key, no known server, and no agent. */
export function newHome(): string {
  const home = folder()
  mkdirSync(join(home, '.ssh'), { mode: 0o700 })
  process.env.HOME = home
  delete process.env.SSH_AUTH_SOCK
  return home
}

/** Makes a key pair and returns the private key's file. */
export function newKey(file: string, options: { type?: string; passphrase?: string } = {}): string {
  need('ssh-keygen', 'openssh-client')
  local('ssh-keygen', ['-q', '-t', options.type ?? 'ed25519', '-N', options.passphrase ?? '', '-f', file])
  return file
}

/** A user of this machine, for logging in as somebody who is not root. */
export function newUser(options: { password?: string; sudoers?: string } = {}): string {
  if (process.getuid?.() !== 0)
    throw new Error(
      'the tests of sudo make a user for a while: run them as root (in a container or a virtual machine)',
    )
  need('/usr/bin/sudo', 'sudo')
  const name = `oas-test-${process.pid}-${users.length}`
  local('useradd', ['--create-home', '--shell', '/bin/bash', name])
  users.push(name)
  // sshd takes an account without any password (!) for a locked one; * is none that anybody could type.
  if (options.password) local('chpasswd', [], { input: `${name}:${options.password}\n` })
  else local('usermod', ['--password', '*', name])
  if (options.sudoers)
    writeFileSync(`/etc/sudoers.d/${name}`, `${name} ${options.sudoers}\n`, { mode: 0o440 })
  return name
}

/** A real sshd. */
export class Sshd {
  readonly folder = folder()
  readonly hostKey: string
  port = 0
  #child: ChildProcess | undefined
  #config: string
  #alone: boolean
  #within: readonly string[]

  private constructor(config: string, hostKeyType: string, alone: boolean, within: readonly string[]) {
    need(SSHD, 'openssh-server')
    this.#config = config
    this.#alone = alone
    this.#within = within
    this.hostKey = newKey(join(this.folder, 'host_key'), { type: hostKeyType })
  }

  /**
   * Starts one that lets in whoever has a key in `authorise`. With `alone` it and its sessions see no processes
   * of this machine but their own. `within` is a command that runs it, given as its last arguments.
   */
  static async start(
    options: { config?: string; hostKeyType?: string; alone?: boolean; within?: readonly string[] } = {},
  ): Promise<Sshd> {
    const { config = '', hostKeyType = 'ed25519', alone = false, within = [] } = options
    const sshd = new Sshd(config, hostKeyType, alone, within)
    sshd.port = await freePort()
    await sshd.up()
    return sshd
  }

  /** Lets the owner of a key in as any user. */
  authorise(key: string): void {
    appendFileSync(join(this.folder, 'authorized_keys'), readFileSync(`${key}.pub`), { mode: 0o644 })
  }

  /** Starts it again at the same address, with this configuration in addition. */
  async up(config = this.#config): Promise<void> {
    if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 })
    const file = join(this.folder, 'sshd_config')
    writeFileSync(
      file,
      [
        `Port ${this.port}`,
        'ListenAddress 127.0.0.1',
        `HostKey ${this.hostKey}`,
        `AuthorizedKeysFile ${join(this.folder, 'authorized_keys')}`,
        `PidFile none`,
        'StrictModes no',
        'UsePAM no',
        'PasswordAuthentication no',
        'KbdInteractiveAuthentication no',
        'PermitRootLogin prohibit-password',
        'MaxStartups 100',
        config,
        // A user of this machine, not of the test: its ~/.bashrc is left out (run_startup_files in bash' shell.c).
        `Match User ${me}`,
        'SetEnv SHLVL=1',
        '',
      ].join('\n'),
    )
    const [program, ...args] = [
      ...this.#within,
      ...(this.#alone ? ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'] : []),
      ...[SSHD, '-D', '-e', '-f', file],
    ]
    this.#child = spawn(program!, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true })
    processes.add(this.#child)
    let log = ''
    this.#child.stderr!.on('data', chunk => {
      log += chunk
    })
    for (let i = 0; i < 1200 && !/Server listening/.test(log); i++) {
      if (this.#child.exitCode !== null) throw new Error(`sshd does not start: ${log}`)
      await sleep(50)
    }
  }

  /** The process that was started, in the namespaces that `within` has made. */
  get pid(): number {
    return this.#child!.pid!
  }

  /** The pids of its sessions; that of a user who is not root consists of two processes. */
  sessions(): number[] {
    const sshdsOf = (pid: number) => {
      const { stdout } = spawnSync('pgrep', ['-x', 'sshd', '-P', String(pid)], { encoding: 'utf8' })
      return stdout.trim().split('\n').filter(Boolean).map(Number)
    }
    const listener = this.#alone ? sshdsOf(this.#child!.pid!) : [this.#child!.pid!]
    const sessions = listener.flatMap(sshdsOf)
    return [...sessions, ...sessions.flatMap(sshdsOf)]
  }

  /** Kills the sessions, as a server does that loses its power; the listener stays. */
  killSessions(): void {
    for (const pid of this.sessions()) kill(pid)
  }

  /** Kills it with all sessions. */
  async down(): Promise<void> {
    this.killSessions()
    const child = this.#child!
    const ended = new Promise(resolve => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
    processes.delete(child)
  }
}

/** An ssh-agent with these keys; returns its socket. */
export async function agent(...keys: string[]): Promise<string> {
  const socket = join(folder(), 'agent')
  const child = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' })
  processes.add(child)
  for (let i = 0; i < 3000 && !existsSync(socket); i++) await sleep(20)
  for (const key of keys) {
    const { status, stderr } = spawnSync('ssh-add', ['-q', key], {
      encoding: 'utf8',
      env: { ...process.env, SSH_AUTH_SOCK: socket },
    })
    if (status !== 0) throw new Error(`ssh-add: ${stderr}`)
  }
  return socket
}

/** Runs a script as a process, without a terminal unless one is asked for, and waits for its end, for five minutes at most. */
export async function runScript(
  name: string,
  args: readonly string[],
  options: { env?: Record<string, string>; input?: string | Buffer } = {},
): Promise<{ code: number | null; out: Buffer; err: string }> {
  const child = spawn(process.execPath, [...scriptArgs(name), ...args], {
    cwd: ROOT,
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined, ...options.env },
    timeout: 300_000,
    killSignal: 'SIGKILL',
  })
  processes.add(child)
  const out: Buffer[] = []
  let err = ''
  child.stdout.on('data', chunk => out.push(chunk))
  child.stderr.on('data', chunk => {
    err += chunk
  })
  child.stdin.on('error', () => {})
  child.stdin.end(options.input)
  const code = await new Promise<number | null>(resolve => child.once('close', resolve))
  processes.delete(child)
  return { code, out: Buffer.concat(out), err }
}

/** The user who runs the tests. */
export const me = userInfo().username
