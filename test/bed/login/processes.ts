import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PROCESS_MARK } from '../cluster/processes.ts'

/** The processes of a bed that end with it, each with its output in a log file. */
export class Processes {
  readonly #running = new Map<string, ChildProcess>()
  readonly #logs: string

  constructor(logs: string) {
    this.#logs = logs
  }

  start(name: string, [program = '', ...args]: readonly string[], env: Record<string, string> = {}): void {
    const log = openSync(join(this.#logs, `${name}.log`), 'a', 0o600)
    // Nothing of the user's environment: a proxy or a DSN would change what it does. But the mark of a sandbox, by
    // which `down` finds what a killed `up --login` leaves.
    const mark = process.env[PROCESS_MARK]
    const child = spawn(program, args, {
      env: { PATH: process.env.PATH, HOME: this.#logs, ...(mark && { [PROCESS_MARK]: mark }), ...env },
      stdio: ['ignore', log, log],
    })
    child.on('error', () => {}) // told by whoever waits for it, with its log
    closeSync(log)
    this.#running.set(name, child)
  }

  log(name: string): string {
    return readFileSync(join(this.#logs, `${name}.log`), 'utf8')
  }

  async stop(name: string): Promise<void> {
    const child = this.#running.get(name)
    this.#running.delete(name)
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise(resolve => child.once('exit', resolve))
    child.kill('SIGTERM')
    const late = setTimeout(() => child.kill('SIGKILL'), 10_000)
    await ended
    clearTimeout(late)
  }

  /** Ends all, the newest first. */
  async stopAll(): Promise<void> {
    for (const name of [...this.#running.keys()].reverse()) await this.stop(name)
  }

  /** The resident memory of a process in bytes. */
  memory(name: string): number {
    const status = readFileSync(`/proc/${this.#running.get(name)?.pid}/status`, 'utf8')
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
  }
}
