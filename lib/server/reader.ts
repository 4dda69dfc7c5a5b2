import { ExpectedError } from '../script/errors.ts'
import { commandLine } from '../script/quote.ts'
import type { ExecOptions, Ssh } from '../ssh/ssh.ts'

/** What a program of a server wrote to its stdout, and its exit code: 127 where it is not installed. */
export interface Answer {
  text: string
  /** The same as it came: a file may hold bytes that are not text. */
  bytes: Buffer
  code: number
}

/** Something to learn from a server: the program that tells it, and what its answer means. */
export interface Fact<T> {
  command: readonly [string, ...string[]]
  parse: (answer: Answer) => T
}

/** NamedFacts by their names. */
export type NamedFacts = Record<string, Fact<unknown>>

/** The values of facts, by the same names. */
export type ValuesOf<F extends NamedFacts> = { [K in keyof F]: F[K] extends Fact<infer T> ? T : never }

/** The fact that a program tells. */
export function program<T>(command: Fact<T>['command'], parse: (answer: Answer) => T): Fact<T> {
  return { command, parse }
}

/** The fact that a POSIX shell script tells; its arguments are `$1`, `$2`, … */
export function shell<T>(script: string, args: readonly string[], parse: (answer: Answer) => T): Fact<T> {
  return { command: ['sh', '-c', script, 'sh', ...args], parse }
}

/** The same fact with another meaning. */
export function mapped<T, U>({ command, parse }: Fact<T>, change: (value: T) => U): Fact<U> {
  return { command, parse: answer => change(parse(answer)) }
}

/** The lines of an answer that are not empty. */
export function linesOf({ text }: Answer): string[] {
  return text.split('\n').filter(Boolean)
}

/** A whole number of units; undefined for any other text, like `max` or `-`. Pure. */
export function wholeNumber(text: string | undefined, unit = 1): number | undefined {
  return text !== undefined && /^\s*\d+\s*$/.test(text) ? Number(text) * unit : undefined
}

/**
 * The exit code stands behind the output, and both are one word of base64: whatever a program says, it cannot pass
 * for another fact. sbin is not in the PATH of everybody who logs in.
 */
const HEAD = `LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin
export LC_ALL PATH
ask() {
  printf '%s ' "$1"
  shift
  { "$@" 2>/dev/null </dev/null; printf '\\n%s' "$?"; } | base64 -w0
  echo
}
`

/** The script that asks for facts. Pure. */
export function scriptFor(facts: NamedFacts): string {
  const asks = Object.entries(facts).map(([name, { command }]) => `ask ${name} ${commandLine(command)}\n`)
  return `${HEAD}${asks.join('')}echo end\n`
}

/** The values of facts in what `scriptFor` printed. Pure; throws an ExpectedError for an answer that is incomplete. */
export function parseFacts<F extends NamedFacts>(facts: F, said: string): ValuesOf<F> {
  const words = new Map(said.split('\n').map(line => line.split(' ') as [string, string | undefined]))
  const incomplete = () =>
    new ExpectedError(
      'the server did not answer all questions about it',
      'it needs a POSIX shell and coreutils with base64; then run the same command again',
    )
  if (!words.has('end')) throw incomplete()
  const values = Object.entries(facts).map(([name, { parse }]) => {
    const word = words.get(name)
    if (word === undefined) throw incomplete()
    return [name, parse(answerOf(Buffer.from(word, 'base64')))]
  })
  return Object.fromEntries(values)
}

function answerOf(all: Buffer): Answer {
  const end = all.lastIndexOf('\n')
  const bytes = all.subarray(0, Math.max(0, end))
  return { bytes, text: bytes.toString(), code: wholeNumber(all.subarray(end + 1).toString()) ?? 1 }
}

/** Asks a server for facts in one round trip. Changes nothing there. */
export async function readFacts<F extends NamedFacts>(
  ssh: Ssh,
  facts: F,
  options: ExecOptions & { title: string },
): Promise<ValuesOf<F>> {
  return parseFacts(facts, await ssh.sh(scriptFor(facts), [], options))
}
