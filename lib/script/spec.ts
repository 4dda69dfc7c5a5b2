import { throwAll, UsageError } from './errors.ts'
import { type FlagSpecs, type FlagValues, suggestion } from './flags.ts'
import { table } from './log.ts'
import type { Run } from './run.ts'

const commonFlags = {
  json: { type: 'boolean', help: 'print one JSON document on stdout; progress goes to stderr' },
  verbose: { type: 'boolean', help: 'say more, and show the stack of an error' },
} satisfies FlagSpecs
const clusterFlags = {
  cluster: {
    type: 'string',
    value: 'NAME',
    help: 'the cluster folder in clusters/ (or OAS_CLUSTER; the only one is taken)',
  },
} satisfies FlagSpecs
const changeFlags = {
  'dry-run': { type: 'boolean', help: 'print the plan and change nothing' },
  yes: { type: 'boolean', help: 'do not ask for confirmation' },
} satisfies FlagSpecs

/** The values that every run has; those of flags that a script does not take are false or undefined. */
export type CommonFlags = typeof commonFlags & typeof clusterFlags & typeof changeFlags

/** What a script is, for `--help` and for the frame round it. */
export interface ScriptSpec<F extends FlagSpecs> {
  /** The file's name without `.ts`. */
  name: string
  /** One sentence. */
  summary: string
  /** Positional arguments, if it takes any; `choices` are checked, with a suggestion for a typing error. */
  args?: { name: string; help: string; min?: number; max?: number; choices?: readonly string[] }
  flags: F
  /** Real command lines, each with what it does. */
  examples: readonly (readonly [command: string, what: string])[]
  /** Which cluster it works on; `new` allows a name that has no folder yet. */
  cluster: 'none' | 'existing' | 'new'
  /** Whether a run with these flags works on no cluster after all: on a file, say. */
  offline?: (flags: FlagValues<F>) => boolean
  /** Whether it changes anything: then it has --dry-run, --yes and a journal. */
  changes: boolean
  run: (run: Run<F>) => Promise<void>
}

/** The text of `--help`. */
export function helpText(spec: ScriptSpec<FlagSpecs>): string {
  const args = spec.args ? ` ${spec.args.min ? spec.args.name : `[${spec.args.name}]`}` : ''
  const flags = Object.entries(flagsOf(spec)).map(([name, flag]) => [
    `  --${name}${flag.type === 'string' ? ` ${flag.value ?? 'VALUE'}` : ''}`,
    flag.help,
  ])
  return [
    spec.summary,
    '',
    `Usage: npx tsx scripts/${spec.name}.ts [flags]${args}`,
    ...(spec.args ? ['', 'Arguments:', `  ${spec.args.name}  ${spec.args.help}`] : []),
    '',
    'Flags:',
    table([...flags, ['  --help', 'show this']]),
    '',
    'Examples:',
    ...spec.examples.flatMap(([command, what]) => [`  # ${what}`, `  ${command}`]),
    '',
    `Exit codes: 0 done or healthy, 1 failed, 2 wrong usage, 3 findings, 4 refused, 75 locked, 130 interrupted`,
    `Runbook page: runbooks/${spec.name}.md`,
  ].join('\n')
}

/** All flags of a script: its own and those of the frame. */
export function flagsOf(spec: ScriptSpec<FlagSpecs>): FlagSpecs {
  return {
    ...spec.flags,
    ...(spec.cluster === 'none' ? {} : clusterFlags),
    ...(spec.changes ? changeFlags : {}),
    ...commonFlags,
  }
}

/** Throws what is wrong with the positional arguments, all at once. */
export function checkArgs(spec: ScriptSpec<FlagSpecs>, args: readonly string[]): void {
  const { min = 0, max = Number.POSITIVE_INFINITY, name = '', choices } = spec.args ?? { max: 0 }
  const usage = `usage: npx tsx scripts/${spec.name}.ts --help`
  if (args.length > max)
    throw new UsageError(
      `unexpected argument ${JSON.stringify(args[max])}`,
      max === 0 ? `it takes none; ${usage}` : usage,
    )
  if (args.length < min) throw new UsageError(`${name} is missing`, usage)
  throwAll(
    args
      .filter(arg => choices && !choices.includes(arg))
      .map(
        arg =>
          new UsageError(
            `unknown ${name.replace(/…$/, '')} ${JSON.stringify(arg)}`,
            suggestion(arg, choices!),
          ),
      ),
  )
}
