import type { FlagSpecs } from './flags.ts'
import { helpText } from './help.ts'
import type { ScriptSpec } from './spec.ts'

/** Takes the specification of a script file that is only read. */
let reader: ((spec: ScriptSpec<FlagSpecs>) => void) | undefined

/**
 * What script files say of themselves: `load` imports them, and none of them runs meanwhile. Throws what an import
 * throws.
 */
export async function readSpecs(load: () => Promise<unknown>): Promise<ScriptSpec<FlagSpecs>[]> {
  const specs: ScriptSpec<FlagSpecs>[] = []
  reader = spec => specs.push(spec)
  try {
    await load()
  } finally {
    reader = undefined
  }
  return specs
}

/**
 * A script: shows its help, or runs it and ends the process with the exit code of the design's table. A file under
 * scripts/ is one call of this. The frame of a run is loaded only for a run, so that `--help` does not wait for it.
 */
export async function script<const F extends FlagSpecs>(spec: ScriptSpec<F>): Promise<never> {
  if (reader) return reader(spec as unknown as ScriptSpec<FlagSpecs>) as never
  const argv = process.argv.slice(2)
  // Arguments after `--` belong to another program.
  const own = argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv
  if (own.includes('--help') || own.includes('-h')) {
    process.stdout.write(`${helpText(spec as unknown as ScriptSpec<FlagSpecs>)}\n`)
    process.exit(0)
  }
  const { runScript } = await import('./frame.ts')
  return runScript(spec, argv, own)
}
