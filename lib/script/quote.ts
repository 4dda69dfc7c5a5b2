import { UsageError } from './errors.ts'

/** What every shell takes as one plain word. `=`, `~`, `{` and their kin are not in it: they mean something. */
const plain = /^[\w@%+:,./-]+$/

/**
 * One argument as a word of a POSIX shell, so that the shell passes exactly this text: in single quotes,
 * where no character is special. A backslash is taken out of the quotes too, since fish reads one inside of
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
      'an argument cannot hold one: use a file or stdin',
    )
  if (!argument.isWellFormed())
    throw new UsageError(
      `the argument ${JSON.stringify(argument)} is not valid Unicode`,
      'it has no UTF-8 form: correct it, or use a file or stdin',
    )
  return `'${argument.replaceAll(/['\\]/g, "'\\$&'")}'`
}

/** A program and its arguments as one command line. The program is always quoted: the shell then does not take `if` or `time` as its own word. */
export function commandLine([program, ...args]: readonly [string, ...string[]]): string {
  return [quoteAlways(program), ...args.map(quote)].join(' ')
}
