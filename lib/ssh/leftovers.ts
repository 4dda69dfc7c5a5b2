import { ExpectedError } from '../script/errors.ts'
import type { Log } from '../script/log.ts'
import { sleep } from '../script/wait.ts'
import { again } from './errors.ts'
import type { Ssh } from './ssh.ts'

/** Processes of one command that nobody waits for any more. */
export interface Leftover {
  /** The mark in the environment of its processes. */
  mark: string
  pids: number[]
  /** The command line of the first of them. */
  command: string
  /** How long it has been running. */
  seconds: number
}

/** Lists the processes of changing runs: not its own, and not those in containers, which are other servers' affair. */
const LIST = `
here=$(readlink /proc/self/ns/pid)
for file in $(grep -lsz '^OAS_RUN=change-' /proc/[0-9]*/environ); do
  folder=\${file%/environ}
  [ "$(readlink "$folder/ns/pid")" = "$here" ] || continue
  mark=$(grep -zm1 -ao '^OAS_RUN=change-[0-9a-f]*$' "$file" 2>/dev/null | tr -d '\\0')
  command=$(tr '\\0\\n\\t' '   ' < "$folder/cmdline" 2>/dev/null | cut -c 1-80)
  seconds=$(ps -o etimes= -p "\${folder#/proc/}")
  [ -n "$mark" ] && [ -n "$seconds" ] && [ "$mark" != "OAS_RUN=$OAS_RUN" ] || continue
  printf '%s\\t%s\\t%s\\t%s\\n' "\${mark#OAS_RUN=}" "\${folder#/proc/}" "$seconds" "$command"
done
exit 0
`

/** Sends the signal $1 to the processes with these marks. */
const SIGNAL = `
signal=$1
shift
for mark in "$@"; do
  for file in $(grep -lsz "^OAS_RUN=$mark$" /proc/[0-9]*/environ); do
    process=\${file#/proc/}
    kill "-$signal" "\${process%/environ}" 2>/dev/null
  done
done
exit 0
`

/** The result of LIST by command, each told by its oldest process. Pure. */
function parseLeftovers(text: string): Leftover[] {
  const lines = text.split('\n').filter(Boolean)
  const processes = lines.map(line => {
    const [mark = '', pid, seconds, command = ''] = line.split('\t')
    return { mark, pid: Number(pid), seconds: Number(seconds), command: command.trim() }
  })
  const found = new Map<string, Leftover>()
  for (const { mark, pid, seconds, command } of processes.sort((a, b) => a.pid - b.pid)) {
    const known = found.get(mark)
    if (known) known.pids.push(pid)
    else found.set(mark, { mark, pids: [pid], seconds, command })
  }
  return [...found.values()]
}

/**
 * What commands of changing runs left on the server: of a run that was killed, or before a connection was
 * lost. Only who holds the lock of the server may ask: then no other changing run is alive. What this
 * process waits for on any of its connections is not among them, nor is what read-only scripts run.
 */
export async function leftovers(ssh: Ssh, options: { sudo?: boolean } = {}): Promise<Leftover[]> {
  const { sudo = true } = options
  const before = new Set(ssh.running) // one that ends meanwhile is not a leftover either
  const text = await ssh.sh(LIST, [], { sudo, title: 'looking for what an earlier run left behind' })
  return parseLeftovers(text).filter(({ mark }) => !before.has(mark) && !ssh.running.has(mark))
}

/**
 * Waits up to `wait` milliseconds until what earlier commands left has come to its end by itself, which is the
 * safest way out of a half-done step; then ends it. Returns what it found at first. Throws an ExpectedError
 * when something cannot be ended.
 */
export async function endLeftovers(
  ssh: Ssh,
  options: {
    wait: number
    log: Pick<Log, 'progress' | 'warn'>
    signal?: AbortSignal
    /** Milliseconds that each of the two ways to end a process gets. */
    patience?: number
  },
): Promise<Leftover[]> {
  const { wait, log, signal, patience = 5000 } = options
  const inWords = (left: Leftover[]) =>
    left.map(({ command, pids }) => `${command} (process ${pids.join(', ')})`).join('; ')
  const leftAfter = async (ms: number) => {
    const end = performance.now() + ms
    for (;;) {
      const left = await leftovers(ssh)
      if (left.length === 0 || performance.now() >= end) return left
      log.progress(`waiting for what an earlier run left on ${ssh.name}: ${inWords(left)}`)
      await sleep(Math.min(1000, ms), signal)
    }
  }
  const first = await leftovers(ssh)
  let left = first.length > 0 ? await leftAfter(wait) : []
  for (const name of ['TERM', 'KILL']) {
    if (left.length === 0) return first
    log.warn(`ending what an earlier run left on ${ssh.name}: ${inWords(left)}`)
    await ssh.sh(SIGNAL, [name, ...left.map(({ mark }) => mark)], { sudo: true })
    left = await leftAfter(patience)
  }
  if (left.length > 0)
    throw new ExpectedError(
      `an earlier run left processes on ${ssh.name} that do not end: ${inWords(left)}`,
      `look at them there (they may wait for a disk), or reboot the server; ${again}`,
    )
  return first
}
