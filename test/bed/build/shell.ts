import { ExpectedError } from '../../../lib/script/errors.ts'
import { runLocal } from '../../../lib/script/programs.ts'

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
  const { cwd, env, input, timeout = 120_000 } = options
  const output = await runLocal([program, ...args], { cwd, env, input, timeout })
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
