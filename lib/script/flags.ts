import { parseArgs } from 'node:util'
import leven from 'leven'
import { throwAll, UsageError } from './errors.ts'

/** One flag of a script. The key it is listed under is its long name. */
export interface FlagSpec {
  type: 'boolean' | 'string'
  /** What it does, for `--help`. */
  help: string
  /** The name of its value in `--help`; for type string. */
  value?: string
  /** The values that it takes, for completion in a shell; the script checks them. */
  choices?: readonly string[]
  /** May be given several times; its value is then a list. */
  multiple?: boolean
  /** Its name in the last version, which is still accepted but not shown in the help. */
  formerly?: string
}

/** The flags of a script by long name. */
export type FlagSpecs = Record<string, FlagSpec>

/** The values of parsed flags: boolean flags are false when absent, string flags undefined. */
export type FlagValues<F extends FlagSpecs> = {
  [K in keyof F]: F[K]['type'] extends 'boolean'
    ? boolean
    : F[K] extends { multiple: true }
      ? string[]
      : string | undefined
}

/** The word among `known` that is nearest to `word`, if it is near enough to be what was meant. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let least = Math.max(1, Math.floor(word.length / 3)) + 1
  const typed = word.toLowerCase()
  for (const candidate of known) {
    const distance =
      candidate.startsWith(typed) && word.length >= 3 ? 1 : leven(typed, candidate.toLowerCase())
    if (distance < least) {
      least = distance
      best = candidate
    }
  }
  return best
}

/** "did you mean …" for an unknown word, or the list of known words. */
export function suggestion(word: string, known: readonly string[]): string {
  const near = nearest(word, known)
  return near ? `did you mean ${near}?` : `expected one of: ${known.join(', ')}`
}

/**
 * The words of a flag that takes lists separated by commas, and may be repeated. Throws a UsageError that names all
 * that are not among the known ones; `why` says why not.
 */
export function listedWords<T extends string>(
  flag: string,
  lists: readonly string[],
  known: readonly T[],
  why: (word: string) => string,
): T[] {
  const words = lists.flatMap(list => list.split(',').map(word => word.trim()))
  const isKnown = (word: string): word is T => (known as readonly string[]).includes(word)
  throwAll(
    words
      .filter(word => !isKnown(word))
      .map(word => new UsageError(`${flag} ${JSON.stringify(word)}: ${why(word)}`, suggestion(word, known))),
  )
  return words.filter(isKnown)
}

/**
 * Parses a command line with node:util's parseArgs (which leaves `01` a string). Throws a UsageError that
 * names an unknown flag and the one that was probably meant, a missing value, or a value too many.
 */
export function parseFlags<F extends FlagSpecs>(
  argv: readonly string[],
  specs: F,
): { values: FlagValues<F>; positionals: string[] } {
  const names = Object.keys(specs).map(name => `--${name}`)
  const spellings = new Map(
    Object.entries(specs).flatMap(([name, { formerly }]) =>
      [name, formerly ?? name].map(spelling => [spelling, name] as const),
    ),
  )
  const { tokens, positionals } = parseArgs({
    args: [...argv],
    strict: false,
    tokens: true,
    allowPositionals: true,
    options: {
      ...Object.fromEntries(
        [...spellings].map(([spelling, name]) => [spelling, { type: specs[name]!.type }]),
      ),
      help: { type: 'boolean', short: 'h' },
    },
  })
  const values: Record<string, boolean | string | string[] | undefined> = {}
  for (const [name, spec] of Object.entries(specs))
    values[name] = spec.type === 'boolean' ? false : spec.multiple ? [] : undefined
  for (const token of tokens) {
    if (token.kind !== 'option') continue
    const name = spellings.get(token.name)
    if (name === undefined)
      throw new UsageError(`unknown flag ${token.rawName.slice(0, 80)}`, suggestion(token.rawName, names))
    const spec = specs[name]!
    if (spec.type === 'boolean') {
      if (token.value !== undefined)
        throw new UsageError(`${token.rawName} takes no value`, `write ${token.rawName} alone`)
      values[name] = true
      continue
    }
    // `--name --other`: parseArgs takes the next flag as a value; nobody means that.
    if (token.value === undefined || (!token.inlineValue && token.value.startsWith('--')))
      throw new UsageError(
        `${token.rawName} needs a value`,
        `write ${token.rawName} ${spec.value ?? 'VALUE'}, or ${token.rawName}=VALUE for one that begins with dashes`,
      )
    if (spec.multiple) (values[name] as string[]).push(token.value)
    else if (values[name] !== undefined)
      throw new UsageError(`${token.rawName} was given twice`, 'give it once')
    else values[name] = token.value
  }
  return { values: values as FlagValues<F>, positionals }
}
