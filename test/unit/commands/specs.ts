import { readdirSync } from 'node:fs'
import { register } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ROOT } from '../../../lib/script/files.ts'
import type { FlagSpecs } from '../../../lib/script/flags.ts'
import type { ScriptSpec } from '../../../lib/script/spec.ts'

const specs: ScriptSpec<FlagSpecs>[] = []
declare global {
  var takeSpec: ((spec: ScriptSpec<FlagSpecs>) => void) | undefined
}

/**
 * What every script under scripts/ says of itself, by its name. The files are loaded as they are; only the frame
 * that would run them is replaced by one that keeps what they hand to it.
 */
export async function scriptSpecs(): Promise<Map<string, ScriptSpec<FlagSpecs>>> {
  globalThis.takeSpec = spec => specs.push(spec)
  const frame = 'data:text/javascript,export const script = spec => globalThis.takeSpec(spec)'
  const hook = `export const resolve = (specifier, context, next) =>
    specifier.endsWith('/lib/script/script.ts') && context.parentURL?.endsWith('?spec')
      ? { url: ${JSON.stringify(frame)}, shortCircuit: true }
      : next(specifier, context)`
  register(`data:text/javascript,${encodeURIComponent(hook)}`)
  for (const file of readdirSync(join(ROOT, 'scripts')).filter(file => file.endsWith('.ts')))
    await import(`${pathToFileURL(join(ROOT, 'scripts', file))}?spec`)
  delete globalThis.takeSpec
  return new Map(specs.map(spec => [spec.name, spec]))
}
