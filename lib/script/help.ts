import type { FlagSpecs } from './flags.ts'
import { flagsOf, type ScriptSpec } from './spec.ts'

/** Columns of the help: the width of every terminal. */
const WIDTH = 80
/** The longest term that has its text on the same line. */
const TERM = 24

/** A text in lines of at most `width` characters, broken where `at` matches; `end` closes each line but the last. */
function broken(text: string, width: number, at = / /, end = ''): string[] {
  const lines: string[] = []
  for (const word of text.split(at)) {
    const line = lines.at(-1)
    if (line === undefined || line.length + 1 + word.length + end.length > width) lines.push(word)
    else lines[lines.length - 1] = `${line} ${word}`
  }
  return lines.map((line, i) => (i < lines.length - 1 ? line + end : line))
}

/** Terms and what they mean, in two columns; a longer term has a line of its own. */
function definitions(pairs: readonly (readonly [term: string, text: string])[]): string[] {
  const column = Math.min(TERM, Math.max(...pairs.map(([term]) => term.length))) + 4
  return pairs.flatMap(([term, text]) => {
    const [first = '', ...more] = broken(text, WIDTH - column).map(line =>
      line.padStart(line.length + column),
    )
    const label = `  ${term}`
    return label.length + 2 > column ? [label, first, ...more] : [label + first.slice(label.length), ...more]
  })
}

/** A command line, continued where a flag or the next program begins. */
const commandLines = (command: string) =>
  broken(command, WIDTH - 4, / (?=--\w|\| )/, ' \\').map((line, i) => `${i === 0 ? '  ' : '    '}${line}`)

/** The text of `--help`, in 80 columns. Pure. */
export function helpText(spec: ScriptSpec<FlagSpecs>): string {
  const args = spec.args ? ` ${spec.args.min ? spec.args.name : `[${spec.args.name}]`}` : ''
  const flags = Object.entries(flagsOf(spec)).map(([name, flag]) => {
    const value = flag.type === 'string' ? ` ${flag.value ?? 'VALUE'}` : ''
    return [`--${name}${value}`, flag.help] as const
  })
  return [
    ...broken(spec.summary, WIDTH),
    '',
    `Usage: npx tsx scripts/${spec.name}.ts [flags]${args}`,
    ...(spec.args ? ['', 'Arguments:', ...definitions([[spec.args.name, spec.args.help]])] : []),
    '',
    'Flags:',
    ...definitions([...flags, ['--help', 'show this help']]),
    '',
    'Examples:',
    ...spec.examples.flatMap(([command, what]) => [
      ...broken(what, WIDTH - 4).map(line => `  # ${line}`),
      ...commandLines(command),
    ]),
    '',
    'Exit codes: 0 done or healthy, 1 failed, 2 wrong usage, 3 findings, 4 refused,',
    '  75 locked, 130 interrupted',
    `Runbook page: runbooks/${spec.name}.md`,
  ].join('\n')
}
