import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { checkArgs } from '../../../lib/script/args.ts'
import { ExpectedErrors } from '../../../lib/script/errors.ts'
import { ROOT } from '../../../lib/script/files.ts'
import { type FlagSpecs, parseFlags, suggestion } from '../../../lib/script/flags.ts'
import { flagsOf, type ScriptSpec } from '../../../lib/script/spec.ts'
import { type Flag, PROGRAMS, WRAPPERS } from './programs.ts'
import { isResource } from './resources.ts'
import { commandsOf } from './shell.ts'

/** Stands for a piece of a command that is known at run time only. */
export const UNKNOWN = '$X'
/** A word that the reader replaces: NAME, APP…, or one that leaves something out. */
const PLACEHOLDER = /^[A-Z][A-Z0-9_-]*…?$|…/
/** Verbs of kubectl whose first argument is a kind of object, or KIND/NAME. */
const OF_RESOURCES = /^kubectl (get|describe|delete|annotate|label|patch|edit|scale|wait|rollout \w+)$/

/** What a piece of shell is judged by. */
export interface Known {
  /** The scripts by name. */
  scripts: ReadonlyMap<string, ScriptSpec<FlagSpecs>>
  /** Functions that the same page defines. */
  functions?: ReadonlySet<string>
}

/** What is wrong with the commands in a piece of shell, each with the command; empty when all is well. Pure. */
export function problemsOf(text: string, known: Known): string[] {
  const commands = commandsOf(text)
  const functions = new Set(known.functions)
  for (const [word] of commands) if (word?.endsWith('()')) functions.add(word.slice(0, -2))
  return commands
    .filter(([word]) => !word!.endsWith('()') && !functions.has(word!) && word !== '…')
    .flatMap(words =>
      [...problemsOfWords(words, { ...known, functions }), ...filesMissing(words)].map(
        problem => `${words.join(' ')}: ${problem}`,
      ),
    )
}

/** Files of the checkout that a command names and that are not there. */
function filesMissing(words: readonly string[]): string[] {
  return words
    .filter(word => /^(flux2|install|lib|runbooks|test)\/[\w./-]+$/.test(word))
    .filter(word => !existsSync(join(ROOT, word)))
    .map(word => `there is no ${word}`)
}

function problemsOfWords(words: readonly string[], known: Known): string[] {
  const name = words[0]!.replace(/^\/usr(\/local)?\/s?bin\//, '')
  if (name === 'npx' && words[1] === 'tsx' && words[2] !== undefined) return ofScript(words.slice(2), known)
  if (name === 'npx' || name === UNKNOWN || name.startsWith('$')) return []
  const inner = innerCommand(name, words)
  if (inner) return Array.isArray(inner) ? problemsOfWords(inner, known) : problemsOf(inner, known)
  if (!PROGRAMS.has(name) && ![...PROGRAMS.keys()].some(command => command.startsWith(`${name} `)))
    return /^(sh|bash|ssh)$/.test(name) ? [] : [`${name} is not among the programs that are known`]
  return ofProgram([name, ...words.slice(1)])
}

/** The command that another one runs, as its words or as a piece of shell. */
function innerCommand(name: string, words: readonly string[]): string[] | string | undefined {
  if (name === 'sh' || name === 'bash') return words[words.indexOf('-c') + 1 || words.length]
  if (name === 'ssh') {
    let at = 1
    while (words[at]?.startsWith('-')) at += /^-[ipoFlJ]$/.test(words[at]!) ? 2 : 1
    return words.slice(at + 1).join(' ') || undefined
  }
  const valued = WRAPPERS[name]
  if (!valued) return undefined
  let at = 1
  while (words[at]?.startsWith('-') || (name === 'env' && words[at]?.includes('='))) {
    // `-n2` has its value with it.
    at += valued.includes(words[at]!) ? 2 : 1
  }
  if (name === 'timeout') at++
  return at < words.length ? words.slice(at) : undefined
}

/** The flags of a script by the names that they have now: a page that teaches an older name is behind. */
function currentFlags(spec: ScriptSpec<FlagSpecs>): FlagSpecs {
  return Object.fromEntries(
    Object.entries(flagsOf(spec)).map(([name, flag]) => [name, { ...flag, formerly: undefined }]),
  )
}

/** A call of one of the scripts, judged by the code that judges it when it runs. */
function ofScript(words: readonly string[], known: Known): string[] {
  // A program of the tests, which takes no flags of ours.
  if (/^test\/[\w/-]+\.ts$/.test(words[0]!) && existsSync(join(ROOT, words[0]!))) return []
  const name = /^scripts\/(.+)\.ts$/.exec(words[0]!)?.[1]
  if (!name) return words[0] === '…' || words[0]!.includes(UNKNOWN) ? [] : [`${words[0]} is no script`]
  if (name === UNKNOWN) return []
  const spec = known.scripts.get(name)
  if (!spec) return [`there is no script ${name}: ${suggestion(name, [...known.scripts.keys()])}`]
  try {
    const { positionals } = parseFlags(
      words.slice(1).filter(word => !/^(…|--help|-h)$/.test(word)),
      currentFlags(spec),
    )
    // What is known at run time may be one word, several or none: only what is written is judged.
    const open = positionals.includes(UNKNOWN)
    const judged = open ? { ...spec, args: spec.args && { ...spec.args, min: 0 } } : spec
    checkArgs(
      judged,
      positionals
        .filter(word => word !== UNKNOWN)
        .map(word => (spec.args?.choices && PLACEHOLDER.test(word) ? spec.args.choices[0]! : word)),
    )
    const end = words.indexOf('--')
    return name === 'ssh' && end > 0 ? problemsOfWords(words.slice(end + 1), known) : []
  } catch (error) {
    const problems = error instanceof ExpectedErrors ? error.problems : [error as Error]
    return problems.map(problem => problem.message)
  }
}

/** A call of another program: its verbs and flags against the table. */
function ofProgram(words: readonly string[]): string[] {
  const problems: string[] = []
  let command = words[0]!
  const flags = new Map(PROGRAMS.get(command))
  const verbs = () => [...PROGRAMS.keys()].filter(key => key.startsWith(`${command} `))
  const positionals: string[] = []
  // A flag may stand before the verb that knows it, so the verbs come first.
  const rest = words.slice(1, words.includes('--') ? words.indexOf('--') : undefined)
  const isValue = (at: number) => {
    const before = rest[at - 1]
    return before !== undefined && takesNext(before, flags)
  }
  rest.forEach((word, at) => {
    if (word.startsWith('-') || isValue(at)) return
    if (positionals.length === 0 && verbs().length > 0) {
      const next = `${command} ${word}`
      if (PROGRAMS.has(next)) {
        command = next
        for (const [flag, kind] of PROGRAMS.get(next)!) flags.set(flag, kind)
        return
      }
      const open = PLACEHOLDER.test(word) || word.startsWith('$')
      // `kubectl apply view-last-applied` is a verb, and so is `kubectl apply` alone.
      const needed = (PROGRAMS.get(command)?.size ?? 0) === 0 || command === words[0]
      if (!open && needed) problems.push(`${command} has no ${word}`)
    }
    positionals.push(word)
  })
  // Without its verb nobody knows the flags.
  if (problems.length > 0) return problems
  for (let at = 0; at < rest.length; at++) {
    const word = rest[at]!
    if (!/^-./.test(word) || /^-\d+$/.test(word) || isValue(at) || PLACEHOLDER.test(word)) continue
    problems.push(...ofFlag(word, rest[at + 1], flags, command))
  }
  if (OF_RESOURCES.test(command) && positionals[0] && !words.some(word => /^(-f|-k|--filename)$/.test(word)))
    for (const kind of positionals[0].split(','))
      if (!PLACEHOLDER.test(kind) && !kind.startsWith('$') && !isResource(kind.split('/')[0]!))
        problems.push(`${kind} is no kind of object that is known`)
  return problems
}

/** Whether the word behind this flag is its value. */
function takesNext(word: string, flags: ReadonlyMap<string, Flag>): boolean {
  if (!word.startsWith('-') || word.includes('=')) return false
  if (word.startsWith('--') || flags.has(word)) return flags.get(word) === 'value'
  const letters = [...word.slice(1)]
  const first = letters.findIndex(letter => flags.get(`-${letter}`) === 'value')
  return first === letters.length - 1 && first >= 0
}

function ofFlag(
  word: string,
  next: string | undefined,
  flags: ReadonlyMap<string, Flag>,
  command: string,
): string[] {
  const [name, value] = word.split(/=(.*)/s, 2) as [string, string | undefined]
  const unknown = (flag: string) => [`${command} has no flag ${flag}`]
  const noValue = (flag: string) => [`${flag} of ${command} needs a value`]
  const kind = flags.get(name)
  if (kind === 'none')
    return value === undefined || /^(true|false)$/.test(value) ? [] : [`${name} takes no value`]
  if (kind !== undefined)
    return kind === 'value' && value === undefined && next === undefined ? noValue(name) : []
  if (name.startsWith('--')) return unknown(name)
  const letters = [...word.slice(1)]
  for (const [at, letter] of letters.entries()) {
    const flag = flags.get(`-${letter}`)
    if (flag === undefined) return unknown(`-${letter}`)
    // What follows it in the same word is its value.
    if (flag === 'value') return at === letters.length - 1 && next === undefined ? noValue(`-${letter}`) : []
    if (flag === 'optional') return []
  }
  return []
}
