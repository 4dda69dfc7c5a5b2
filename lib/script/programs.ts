import type { StdioOptions } from 'node:child_process'
import type { ProcessOutput } from 'zx'

/** zx, loaded when it is first needed, and without what ZX_* variables of the environment would change in it. */
async function loadZx() {
  for (const name of Object.keys(process.env)) if (name.startsWith('ZX_')) delete process.env[name]
  return import('zx')
}

/** How a local program is run. */
interface LocalOptions {
  cwd?: string
  env?: Record<string, string | undefined>
  /** Milliseconds; the program is killed when they are over. 0 for a program that a person ends. */
  timeout: number
}

/** A local program with its arguments: no shell ever interprets them. Secrets never go into arguments: everybody sees them. */
export type LocalCommand = readonly [string, ...string[]]

/**
 * Runs a local program and returns how it ended, with its output: zx' ProcessOutput, whose `ok` says whether it
 * succeeded. `input` is its stdin.
 */
export async function runLocal(command: LocalCommand, options: LocalOptions & { input?: string }) {
  return start(command, { ...options, input: options.input ?? '' })
}

/**
 * Runs a local program on the terminal of this process, or with its output on our stderr, and returns how it ended.
 * Undefined when the program is not installed.
 */
export async function showLocal(
  command: LocalCommand,
  options: LocalOptions & { on: 'terminal' | 'stderr' },
) {
  const { which } = await loadZx()
  if (!(await which(command[0], { nothrow: true }))) return undefined
  const { on, ...rest } = options
  return start(command, {
    ...rest,
    stdio: on === 'terminal' ? 'inherit' : ['ignore', process.stderr, process.stderr],
  })
}

async function start(
  command: LocalCommand,
  options: LocalOptions & { input?: string; stdio?: StdioOptions },
): Promise<ProcessOutput> {
  const { $ } = await loadZx()
  // A bash whose stdin is a socket, as Node's pipes are, reads ~/.bashrc unless it is below another shell: a job of
  // cron or systemd has no SHLVL (run_startup_files in bash' shell.c).
  const env = { ...process.env, ...options.env, SHLVL: '1' }
  return $({ ...options, env, nothrow: true, quiet: true, verbose: false })`${command}`
}
