import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ROOT } from '../../lib/script/files.ts'
import type { FlagSpecs } from '../../lib/script/flags.ts'
import { readSpecs } from '../../lib/script/script.ts'
import { GROUPS, type ScriptSpec } from '../../lib/script/spec.ts'

let known: Promise<Map<string, ScriptSpec<FlagSpecs>>> | undefined

/** What every script under scripts/ says of itself, by its name. The files are loaded as they are; none of them runs. */
export function scriptSpecs(): Promise<Map<string, ScriptSpec<FlagSpecs>>> {
  known ??= load() // a file is imported once in a process, and speaks then only
  return known
}

async function load(): Promise<Map<string, ScriptSpec<FlagSpecs>>> {
  const files = readdirSync(join(ROOT, 'scripts')).filter(file => file.endsWith('.ts'))
  const specs = await readSpecs(async () => {
    // With a query, since the script that runs just now cannot be imported once more without one.
    for (const file of files.sort()) await import(`${pathToFileURL(join(ROOT, 'scripts', file))}?spec`)
  })
  return new Map(specs.map(spec => [spec.name, spec]))
}

/** What a script does, on one line: its summary up to the first colon or semicolon. Pure. */
export function firstClause({ summary }: Pick<ScriptSpec<FlagSpecs>, 'summary'>): string {
  return (/^.*?(?=[;:] | \(exit|\.$|$)/s.exec(summary)?.[0] ?? summary).trim()
}

/** The scripts of each group, in the order of the README, each with its line. Pure. */
export function grouped(specs: Iterable<ScriptSpec<FlagSpecs>>) {
  const all = [...specs]
  return GROUPS.map(group => ({
    group,
    scripts: all
      .filter(spec => spec.group === group)
      .map(spec => ({ name: spec.name, does: firstClause(spec), page: `runbooks/${spec.name}.md` })),
  }))
}
