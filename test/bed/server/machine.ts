import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ExpectedError } from '../../../lib/script/errors.ts'
import { writeFileAtomic } from '../../../lib/script/files.ts'
import { until } from '../../../lib/script/wait.ts'
import { run } from '../build/shell.ts'
import { DEADLINE } from '../cluster/api.ts'
import type { Layout } from '../cluster/layout.ts'
import { runningProcesses, start, stop } from '../cluster/processes.ts'
import { changeAddress, inNetwork, netnsFile } from './machine-network.ts'

/** A user of a server besides root, who may use sudo. */
export interface MachineUser {
  name: string
  /** What sudo asks for; without one it asks for nothing. */
  password?: string
}

/** What a server is started with, `machine.json` in its folder. Read again at each boot. */
export interface MachineState {
  name: string
  number: number
  /** The bed's network namespace; with `-NUMBER`, the server's own and the name of its cgroups. */
  bed: string
  /** All addresses, the first one its own. */
  addresses: string[]
  /** Bytes; all of this machine's when there is none. */
  memory?: number
  /** The size of its disk, an ext4 of its own; a folder of this machine's disk when there is none. */
  disk?: string
  /** Paths of this machine that it sees read-only: path there → path here. */
  binds: Record<string, string>
}

/** Where the parts of a server lie. */
export function machineFolder(layout: Pick<Layout, 'state'>, name: string) {
  const folder = join(layout.state, 'servers', name)
  return {
    folder,
    file: join(folder, 'machine.json'),
    root: join(folder, 'root'),
    disk: join(folder, 'disk.img'),
    console: join(folder, 'console.log'),
  }
}

/** Reads a server's `machine.json`. */
export function readMachine(file: string): MachineState {
  return JSON.parse(readFileSync(file, 'utf8'))
}

/** A server: Debian with systemd in a container of systemd-nspawn. */
export class Machine {
  readonly name: string
  readonly address: string
  /** Its network namespace (/run/netns/NETNS). */
  readonly netns: string
  /** Its root folder, seen from here. */
  readonly root: string
  /** The private key that root (and the user) let in. */
  readonly keyFile: string
  /** Its host keys. */
  readonly knownHosts: string
  readonly #layout: Layout
  readonly #file: string
  readonly #bed: string

  constructor(layout: Layout, state: MachineState) {
    const { root, file } = machineFolder(layout, state.name)
    this.name = state.name
    this.address = state.addresses[0]!
    this.netns = `${state.bed}-${state.number}`
    this.root = root
    this.keyFile = join(layout.state, 'ssh', 'id_ed25519')
    this.knownHosts = join(layout.state, 'ssh', 'known_hosts')
    this.#layout = layout
    this.#file = file
    this.#bed = state.bed
  }

  /** Whether it runs, which it does also while it reboots; false after a poweroff. */
  running(): boolean {
    return runningProcesses(this.#layout).some(({ name }) => name === this.name)
  }

  /** Starts it, unless it runs. It starts itself again when it reboots, and ends at a poweroff. */
  powerOn(): void {
    if (this.running()) return
    start(
      this.#layout,
      {
        name: this.name,
        program: process.execPath,
        args: [
          '--import',
          import.meta.resolve('tsx'),
          join(import.meta.dirname, 'machine-supervisor.ts'),
          this.#file,
        ],
        health: '',
        ports: [],
      },
      '',
    )
  }

  /** Pulls the plug. */
  async kill(): Promise<void> {
    await stop(this.#layout, [this.name])
  }

  /** Pulls the plug, and starts it again. */
  async reset(): Promise<void> {
    await this.kill()
    this.powerOn()
  }

  /** Shuts it down as `poweroff` does. It is killed when that takes too long. */
  async powerOff(): Promise<void> {
    await this.exec(['systemctl', 'poweroff']).catch(() => {}) // the answer may get lost
    await until<void, boolean>(async () => (this.running() ? { last: undefined } : { done: true }), {
      deadline: 30_000,
      every: 100,
      describe: () => 'it still runs',
    }).catch(() => this.kill())
  }

  /**
   * Runs a command in it as root, not over ssh: its network may be cut. Returns stdout without the last newline;
   * rejects unless the command ends with 0.
   */
  async exec(
    command: readonly string[],
    options: { input?: string; timeout?: number } = {},
  ): Promise<string> {
    const init = this.#init()
    if (init === undefined) throw new ExpectedError(`${this.name} is off`, 'start it with `up --server`')
    return await run(
      'nsenter',
      [
        ...[`--target=${init}`, '--mount', '--uts', '--ipc', '--net', '--pid', '--root', '--wd=/', '--'],
        ...['env', '-i', 'HOME=/root', 'LANG=C.UTF-8', PATH, ...command],
      ],
      options,
    )
  }

  /** Writes a file in it, and creates its folder. */
  async write(path: string, text: string, mode = 0o644): Promise<void> {
    await this.exec(['mkdir', '-p', dirname(path)])
    await this.exec(['sh', '-c', 'cat >"$1" && chmod "$2" "$1"', 'sh', path, mode.toString(8)], {
      input: text,
    })
  }

  /** Which boot this is (/proc/sys/kernel/random/boot_id); undefined while it is off. */
  async bootId(): Promise<string | undefined> {
    return await this.exec(['cat', '/proc/sys/kernel/random/boot_id']).catch(() => undefined)
  }

  /** Resolves with the boot's id when it lets in by ssh; with `after`, when that is another boot than this one. */
  async waitForBoot(options: { after?: string; deadline?: number } = {}): Promise<string> {
    return await until<string, string>(
      async () => {
        try {
          const boot = await this.#ssh(['cat', '/proc/sys/kernel/random/boot_id'])
          return boot === options.after ? { last: 'it has not rebooted' } : { done: boot }
        } catch (error) {
          if (!this.running())
            throw new ExpectedError(
              `${this.name} has stopped`,
              `read ${machineFolder(this.#layout, this.name).console} and ${join(this.#layout.logs, `${this.name}.log`)}`,
            )
          return { last: error instanceof Error ? error.message : String(error) }
        }
      },
      {
        deadline: options.deadline ?? DEADLINE,
        every: 50,
        describe: last => `${this.name}: ${last}`,
        fix: `read ${machineFolder(this.#layout, this.name).console}`,
      },
    )
  }

  /** Gives it one more address, also after its next boots. */
  async addAddress(address: string): Promise<void> {
    this.#changeAddresses(addresses => [...addresses, address])
    await changeAddress(this.netns, 'add', address)
  }

  /** Takes an address away from it. */
  async removeAddress(address: string): Promise<void> {
    this.#changeAddresses(addresses => addresses.filter(each => each !== address))
    await changeAddress(this.netns, 'del', address)
  }

  #changeAddresses(change: (addresses: string[]) => string[]): void {
    const state = readMachine(this.#file)
    state.addresses = change(state.addresses)
    writeFileAtomic(this.#file, JSON.stringify(state))
  }

  async #ssh(command: readonly string[]): Promise<string> {
    const [address] = readMachine(this.#file).addresses
    return await inNetwork(
      this.#bed,
      'ssh',
      [
        ...['-F', 'none', '-i', this.keyFile, '-o', `UserKnownHostsFile=${this.knownHosts}`],
        ...['-o', 'BatchMode=yes', '-o', 'IdentitiesOnly=yes', '-o', 'StrictHostKeyChecking=yes'],
        // It is known by its first address, and may have another one now.
        ...['-o', `HostKeyAlias=${this.address}`, '-o', 'ConnectTimeout=10', `root@${address}`],
        ...command,
      ],
      { timeout: 30_000 },
    )
  }

  /** Its process 1, as it is called here: the one in its network whose next process namespace calls it 1. */
  #init(): number | undefined {
    const network = statSync(netnsFile(this.netns), { throwIfNoEntry: false })
    if (!network) return undefined
    for (const entry of readdirSync('/proc')) {
      if (!/^\d+$/.test(entry)) continue
      try {
        if (statSync(`/proc/${entry}/ns/net`).ino !== network.ino) continue
        const pids = /^NSpid:\s+(.*)$/m.exec(readFileSync(`/proc/${entry}/status`, 'utf8'))?.[1]?.split('\t')
        if (pids?.length === 2 && pids[1] === '1') return Number(entry)
      } catch {
        // Ended while we looked.
      }
    }
    return undefined
  }
}

const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
