import { randomBytes } from 'node:crypto'
import { asOneLine, printable } from './printable.ts'
import { redact } from './redact.ts'

/** The styles that a line may have. */
const STYLES = ['bold', 'dim', 'green', 'red', 'yellow'] as const
type Style = (typeof STYLES)[number]

/** Gives a text a style. */
export type Colours = Readonly<Record<Style, (text: string) => string>>

/**
 * What people read while a script works. Progress goes to stderr, results go to stdout: so that
 * `status > file` and `--json | jq` hold nothing but the result. Every line is redacted, and its
 * control characters are neutralised: all text from elsewhere reaches the terminal through here.
 */
export interface Log {
  /** Styles of parts of a line. */
  readonly colour: Colours
  info(text: string): void
  /** A bold line. */
  heading(text: string): void
  /** A dim line. */
  dim(text: string): void
  ok(text: string): void
  warn(text: string): void
  error(text: string): void
  /** Only with `--verbose`. */
  detail(text: string): void
  /** A line that replaces itself on a terminal; elsewhere it is printed only when the text changes. */
  progress(text: string): void
  /**
   * A part of the result, to stdout, of one line or several; silent with `--json`. Text from elsewhere in it is on one
   * line already, as in a table: further lines could pass for ours.
   */
  print(text: string): void
  /** The same on one line, whatever text from elsewhere is in it. */
  printLine(text: string): void
  /** Clears the screen when stdout is a terminal. */
  clearScreen(): void
}

/** Characters of a line of progress: a server's error may be as long as its answer. */
const LONGEST = 4000
const cutLine = (text: string) => {
  const line = asOneLine(text)
  return line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line
}

/** Marks where a style begins and ends until the line is written. It is random, so that text from elsewhere cannot set a style. */
const MARK = `\0${randomBytes(8).toString('hex')}`
const colours = Object.fromEntries(
  STYLES.map(style => [style, (text: string) => `${MARK}${style}:${text}${MARK}:`]),
) as Colours

function colourLevel(stream: NodeJS.WriteStream): 0 | 1 {
  // https://no-color.org: any non-empty value switches colour off.
  if (process.env.NO_COLOR) return 0
  if (process.env.FORCE_COLOR && process.env.FORCE_COLOR !== '0') return 1
  return stream.isTTY ? 1 : 0
}

/** Warns once of each text, on the log of this process: for what has none at hand. Silent before there is one. */
export let warnOnce = (_text: string): void => {}

function onceEach(write: (text: string) => void): (text: string) => void {
  const written = new Set<string>()
  return text => {
    if (!written.has(text)) write(text)
    written.add(text)
  }
}

/** Makes the log of a script. chalk is loaded here, so that `--help` need not wait for it. */
export async function createLog(options: { verbose: boolean; json: boolean }): Promise<Log> {
  const { Chalk } = await import('chalk')
  const err = new Chalk({ level: colourLevel(process.stderr) })
  const out = new Chalk({ level: colourLevel(process.stdout) })
  const live = process.stderr.isTTY === true && process.env.TERM !== 'dumb'

  /** The text as it is written: without secrets, with its styles, and neutral in all of its parts. */
  const shown = (text: string, chalk: typeof err, neutral: (part: string) => string) =>
    redact(text)
      .split(MARK)
      .map((piece, i) => {
        const style = STYLES.find(name => i > 0 && piece.startsWith(`${name}:`))
        const part = neutral(i > 0 ? piece.slice(piece.indexOf(':') + 1) : piece)
        return style && part ? chalk[style](part) : part
      })
      .join('')

  let current = ''
  const clear = () => {
    if (live && current) process.stderr.write('\r\x1b[2K')
    current = ''
  }
  const line = (text: string) => {
    clear()
    process.stderr.write(`${shown(text, err, cutLine)}\n`)
  }
  const result = (text: string, neutral: (part: string) => string) => {
    if (options.json) return
    clear()
    process.stdout.write(`${shown(text, out, neutral)}\n`)
  }
  warnOnce = onceEach(text => line(`${colours.yellow('!')} ${text}`))
  return {
    colour: colours,
    heading: text => line(colours.bold(text)),
    dim: text => line(colours.dim(text)),
    info: line,
    ok: text => line(`${colours.green('✓')} ${text}`),
    warn: text => line(`${colours.yellow('!')} ${text}`),
    error: text => line(`${colours.red('✗')} ${text}`),
    detail: text => {
      if (options.verbose) line(colours.dim(text))
    },
    progress: text => {
      if (text === current) return
      if (!live) {
        current = text
        process.stderr.write(`${cutLine(redact(text))}\n`)
        return
      }
      clear()
      current = text
      const row = asOneLine(redact(text))
      process.stderr.write(row.slice(0, Math.max(20, (process.stderr.columns ?? 80) - 1)))
    },
    print: text => result(text, printable),
    printLine: text => result(text, asOneLine),
    clearScreen: () => {
      if (!options.json && process.stdout.isTTY) process.stdout.write('\x1b[2J\x1b[H')
    },
  }
}
