import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, existsSync, openSync, readdirSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { ExpectedError } from '../../../lib/script/errors.ts'
import { privateFolder, ROOT, writeFileAtomic } from '../../../lib/script/files.ts'
import { sleep } from '../../../lib/script/wait.ts'
import type { Layout } from './layout.ts'
import type { Ports, ProcessSpec } from './spec.ts'

/**
 * Every process of a sandbox carries this variable: the sandbox's state folder, then the process's name and
 * the digest of what it was started with. By it, and not by a recorded pid, we know what is ours: a recycled pid does not have it, and a process that
 * was started by a killed `up` does.
 */
export const PROCESS_MARK = 'OAS_SANDBOX_PROCESS'

/** A running process of the sandbox. */
export interface Running {
  name: string
  pid: number
  /** What it was started with, see `processDigest`. */
  digest: string
  /** Resident memory in bytes. */
  memory: number
}

/**
 * The running processes of the sandbox with this state folder. Reads /proc, so it needs Linux. A process that
 * one of them has started itself inherits the mark, and is left out while its parent lives.
 */
export function runningProcesses(layout: Layout): Running[] {
  const prefix = `${PROCESS_MARK}=${layout.state}:`
  const found: (Running & { parent: number })[] = []
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    try {
      const environment = readFileSync(`/proc/${entry}/environ`, 'utf8').split('\0')
      const mark = environment.find(line => line.startsWith(prefix))
      if (!mark) continue
      const status = readFileSync(`/proc/${entry}/status`, 'utf8')
      const resident = /^VmRSS:\s+(\d+) kB$/m.exec(status)
      if (!resident) continue // a zombie
      const [name = '', digest = ''] = mark.slice(prefix.length).split(':')
      found.push({
        name,
        digest,
        pid: Number(entry),
        parent: Number(/^PPid:\s+(\d+)$/m.exec(status)?.[1]),
        memory: Number(resident[1]) * 1024,
      })
    } catch {
      // Ended while we looked, or somebody else's.
    }
  }
  const pids = new Set(found.map(({ pid }) => pid))
  return found.filter(({ parent }) => !pids.has(parent)).map(({ parent: _, ...running }) => running)
}

/**
 * Of all that a process is started with: its command line and files, the ports of the others and the CA. A running
 * process with another digest has to be restarted.
 */
export function processDigest(spec: ProcessSpec, setting: { ports: Partial<Ports>; ca: string }): string {
  return createHash('sha256')
    .update(JSON.stringify([spec, setting]))
    .digest('hex')
    .slice(0, 16)
}

/** The file that a process writes to. */
export function logFile(layout: Layout, name: string): string {
  return join(layout.logs, `${name}.log`)
}

/**
 * Under tests, which have a sandbox each, Go's programs collect less often: it takes a quarter off the processor time
 * of kube-apiserver, for 400 MiB more.
 */
const COLLECTING: Record<string, string> = process.env.OAS_TESTS ? { GOGC: '400', GOMEMLIMIT: '1GiB' } : {}

/** Starts a process that outlives us, with its output in a new log file. The one before is kept as `.old`. */
export function start(layout: Layout, spec: ProcessSpec, digest: string): void {
  const path = logFile(layout, spec.name)
  if (existsSync(path)) renameSync(path, `${path}.old`)
  const log = openSync(path, 'a', 0o600)
  const home = privateFolder(join(layout.temporary, spec.name))
  for (const [file, text] of Object.entries(spec.files ?? {})) writeFileAtomic(file, text)
  try {
    spawn(spec.program, spec.args, {
      detached: true,
      stdio: ['ignore', log, log],
      // Node finds tsx from the checkout only.
      cwd: spec.program === process.execPath ? ROOT : home,
      // Nothing of the user's environment: a proxy, a KUBECONFIG or a HELM_* would change what it does.
      env: {
        PATH: process.env.PATH,
        HOME: home,
        TMPDIR: home,
        ...COLLECTING,
        ...spec.env,
        [PROCESS_MARK]: `${layout.state}:${spec.name}:${digest}`,
      },
    })
      .on('error', () => {}) // told by `processFailure` when the process is missing
      .unref()
  } finally {
    closeSync(log)
  }
}

/** Why a process does not work: its log file and the last thing in it that looks like an error. */
export function processFailure(layout: Layout, spec: ProcessSpec, what: string): ExpectedError {
  const path = logFile(layout, spec.name)
  const line = existsSync(path) ? lastErrorLine(readFileSync(path, 'utf8').slice(-200_000)) : undefined
  return new ExpectedError(
    `${spec.name} ${what}${line ? `: ${line}` : ''}`,
    `read ${path}, then run \`npx tsx scripts/sandbox.ts up\` again${sandboxFlag(layout)}`,
  )
}

/** ` --name NAME`, for a hint, where the sandbox has another name than the usual one. */
export function sandboxFlag(layout: Layout): string {
  return layout.cluster.name === 'sandbox' ? '' : ` (with --name ${layout.cluster.name})`
}

/** The last line of a log that reports an error, or else its last line. */
export function lastErrorLine(log: string): string | undefined {
  const lines = log
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '')
  const error =
    /^[EF]\d{4} |"level":"(error|fatal|panic)"|\b(ERROR|FATAL|panic:|[Ee]rror:|failed|unable to)\b/
  return (lines.findLast(line => error.test(line)) ?? lines.at(-1))?.slice(0, 400)
}

/** How long a process may take to end before it is killed. */
const PATIENCE = 10_000

/** Stops the processes, and waits until they have ended: then their ports are free. */
export async function stop(layout: Layout, names: readonly string[], patience = PATIENCE): Promise<string[]> {
  const ours = () => runningProcesses(layout).filter(({ name }) => names.includes(name))
  const stopped = ours()
  signalAll(stopped, 'SIGTERM')
  const end = performance.now() + patience
  for (let left = stopped; left.length > 0; left = ours()) {
    if (performance.now() > end) signalAll(left, 'SIGKILL')
    if (performance.now() > end + patience)
      throw new ExpectedError(
        `${left.map(({ name, pid }) => `${name} (process ${pid})`).join(', ')} cannot be stopped`,
        'restart the machine: it hangs in the kernel',
      )
    await sleep(50)
  }
  return stopped.map(({ name }) => name)
}

function signalAll(processes: readonly Running[], signal: NodeJS.Signals): void {
  for (const { pid } of processes) {
    try {
      process.kill(pid, signal)
    } catch {
      // It has ended by itself.
    }
  }
}
