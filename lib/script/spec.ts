import type { FlagSpecs, FlagValues } from './flags.ts'
import type { Run } from './run.ts'

const commonFlags = {
  json: { type: 'boolean', help: 'print one JSON document on stdout; progress goes to stderr' },
  verbose: { type: 'boolean', help: 'print more, and the stack of an error' },
} satisfies FlagSpecs
const clusterFlags = {
  cluster: {
    type: 'string',
    value: 'NAME',
    help: 'the cluster folder in clusters/ (default: OAS_CLUSTER, or the only one)',
  },
} satisfies FlagSpecs
const changeFlags = {
  'dry-run': { type: 'boolean', help: 'print the plan and change nothing' },
  yes: { type: 'boolean', help: 'do not ask for confirmation' },
} satisfies FlagSpecs

/** The values that every run has; those of flags that a script does not take are false or undefined. */
export type CommonFlags = typeof commonFlags & typeof clusterFlags & typeof changeFlags

/** What a script is for, in the order of the README. */
export const GROUPS = ['set up', 'watch', 'repair', 'back up', 'upgrade', 'practise'] as const

/** What a script is, for `--help` and for the frame around it. */
export interface ScriptSpec<F extends FlagSpecs> {
  /** The file's name without `.ts`. */
  name: string
  /** Where the README and `help` list it. */
  group: (typeof GROUPS)[number]
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
  /** What it does. Modules that only a run needs are imported in here, so that `--help` does not wait for them. */
  run: (run: Run<F>) => Promise<void>
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
