import type { ProcessOutput } from 'zx'
import { ExpectedError } from '../../../lib/script/errors.ts'

/** zx, loaded when it is first needed, and without what ZX_* variables of the environment would change in it. */
async function loadZx() {
  for (const name of Object.keys(process.env)) if (name.startsWith('ZX_')) delete process.env[name]
  return (await import('zx')).$
}

/** How a local program is run. */
export interface RunOptions {
  cwd?: string
  env?: Record<string, string | undefined>
  /** Milliseconds; the program is killed when they are over. */
  timeout?: number
  input?: string
  /** What to do when the program is missing or fails. */
  fix?: string
}

/**
 * Runs a local program with its arguments as a list (no shell ever sees them) and returns its stdout without
 * the last newline. Throws an ExpectedError with the last line of stderr when it cannot be started, fails or
 * takes too long. Secrets never go into `args`: they are visible to everybody on the machine.
 */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const $ = await loadZx()
  const output: ProcessOutput = await $({
    nothrow: true,
    quiet: true,
    verbose: false,
    cwd: options.cwd,
    env: options.env ? { ...process.env, ...options.env } : process.env,
    timeout: options.timeout ?? 120_000,
    input: options.input ?? '',
  })`${[program, ...args]}`
  if (output.ok) return output.stdout.replace(/\n$/, '')
  const command = [program, ...args.slice(0, 3)].join(' ')
  const reason =
    output.exitCode === 127
      ? `${program} is not installed`
      : output.signal
        ? `ended by ${output.signal}`
        : output.stderr.trim().split('\n').at(-1) || `exit code ${output.exitCode}`
  throw new ExpectedError(
    `\`${command}\` failed: ${reason}`,
    options.fix ??
      (output.exitCode === 127 ? `install ${program} and run this again` : 'see the message above'),
    { cause: output },
  )
}
