import { UsageError } from './errors.ts'

/** What every shell takes as one plain word. `=`, `~`, `{` and their kin are not in it: they mean something. */
const plain = /^[\w@%+:,./-]+$/

/**
 * One argument as a word of a POSIX shell, so that the shell hands on exactly this text: in single quotes,
 * where nothing has a meaning. A backslash is taken out of the quotes too, since fish reads one inside of
 * them; so the word is the same for sh, bash, zsh and fish, whatever the login shell is.
 * Throws a UsageError for what no argument can hold: NUL, and text that has no UTF-8 form.
 */
export function quote(argument: string): string {
  return plain.test(argument) ? argument : quoteAlways(argument)
}

function quoteAlways(argument: string): string {
  if (argument.includes('\0'))
    throw new UsageError(
      `the argument ${JSON.stringify(argument)} holds a NUL character`,
      'no program can be given one: use a file or stdin',
    )
  if (!argument.isWellFormed())
    throw new UsageError(
      `the argument ${JSON.stringify(argument)} is not valid Unicode`,
      'it has no UTF-8 form: correct it, or use a file or stdin',
    )
  return `'${argument.replaceAll(/['\\]/g, "'\\$&'")}'`
}

/** A program and its arguments as one command line. The program is always quoted: `if` or `time` is no word of the shell then. */
export function commandLine([program, ...args]: readonly [string, ...string[]]): string {
  return [quoteAlways(program), ...args.map(quote)].join(' ')
}
