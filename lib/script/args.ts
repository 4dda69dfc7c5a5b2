import { throwAll, UsageError } from './errors.ts'
import { type FlagSpecs, suggestion } from './flags.ts'
import { inQuotes } from './printable.ts'
import type { ScriptSpec } from './spec.ts'

/** Throws what is wrong with the positional arguments, all at once. */
export function checkArgs(spec: ScriptSpec<FlagSpecs>, args: readonly string[]): void {
  const { min = 0, max = Number.POSITIVE_INFINITY, name = '', choices } = spec.args ?? { max: 0 }
  const usage = `usage: npx tsx scripts/${spec.name}.ts --help`
  if (args.length > max)
    throw new UsageError(
      `unexpected argument ${inQuotes(args[max]!)}`,
      max === 0 ? `it takes none; ${usage}` : usage,
    )
  if (args.length < min) throw new UsageError(`${name} is missing`, choices ? suggestion('', choices) : usage)
  throwAll(
    args
      .filter(arg => choices && !choices.includes(arg))
      .map(
        arg =>
          new UsageError(`unknown ${name.replace(/…$/, '')} ${inQuotes(arg)}`, suggestion(arg, choices!)),
      ),
  )
}
