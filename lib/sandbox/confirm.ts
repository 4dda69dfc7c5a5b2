import { EXIT, ExpectedError } from '../errors.ts'
import { askText } from '../prompt.ts'
import type { SandboxRun } from './flags.ts'

/**
 * Shows what `reset` removes, and has the name typed. False for --dry-run; throws (exit code 4) for another name.
 */
export async function confirmReset(run: SandboxRun, name: string, plan: readonly string[]): Promise<boolean> {
  if (run.flags['dry-run']) return await run.agree(plan, '')
  for (const line of plan) run.log.info(line)
  const typed =
    run.flags.confirm ??
    (await askText({ message: `Type ${name} to remove everything in it:`, flag: `--confirm ${name}` }))
  if (typed === name) return true
  throw new ExpectedError(
    `${JSON.stringify(typed)} is not the name of this sandbox; nothing was removed`,
    `give --confirm ${name} when you are sure`,
    { exitCode: EXIT.refused },
  )
}
