import type { ChalkInstance } from 'chalk'
import { redact } from './redact.ts'

/**
 * What people read while a script works. Progress goes to stderr, results go to stdout: so that
 * `status > file` and `--json | jq` hold nothing but the result. Every line is redacted.
 */
export interface Log {
  /** Colours for stdout, for `print`; those of progress are the log's own matter. */
  readonly colour: ChalkInstance
  info(text: string): void
  /** A line that stands out. */
  heading(text: string): void
  /** A line that stands back. */
  dim(text: string): void
  ok(text: string): void
  warn(text: string): void
  error(text: string): void
  /** Only with `--verbose`. */
  detail(text: string): void
  /** A line that replaces itself on a terminal; elsewhere it is printed only when the text changes. */
  progress(text: string): void
  /** A part of the result, to stdout; silent with `--json`. */
  print(text: string): void
}

function colourLevel(stream: NodeJS.WriteStream): 0 | 1 {
  // https://no-color.org: any non-empty value switches colour off.
  if (process.env.NO_COLOR) return 0
  if (process.env.FORCE_COLOR && process.env.FORCE_COLOR !== '0') return 1
  return stream.isTTY ? 1 : 0
}

/** Makes the log of a script. chalk is loaded here, so that `--help` need not wait for it. */
export async function createLog(options: { verbose: boolean; json: boolean }): Promise<Log> {
  const { Chalk } = await import('chalk')
  const colour = new Chalk({ level: colourLevel(process.stderr) })
  const live = process.stderr.isTTY === true && process.env.TERM !== 'dumb'
  let current = ''
  const clear = () => {
    if (live && current) process.stderr.write('\r\x1b[2K')
    current = ''
  }
  const line = (text: string) => {
    clear()
    process.stderr.write(`${redact(text)}\n`)
  }
  return {
    colour: new Chalk({ level: colourLevel(process.stdout) }),
    heading: text => line(colour.bold(text)),
    dim: text => line(colour.dim(text)),
    info: line,
    ok: text => line(`${colour.green('✓')} ${text}`),
    warn: text => line(`${colour.yellow('!')} ${text}`),
    error: text => line(`${colour.red('✗')} ${text}`),
    detail: text => {
      if (options.verbose) line(colour.dim(text))
    },
    progress: text => {
      if (text === current) return
      if (!live) {
        current = text
        process.stderr.write(`${redact(text)}\n`)
        return
      }
      clear()
      current = text
      process.stderr.write(redact(text).slice(0, Math.max(20, (process.stderr.columns ?? 80) - 1)))
    },
    print: text => {
      if (options.json) return
      clear()
      process.stdout.write(`${redact(text)}\n`)
    },
  }
}

/** Rows as aligned columns; the first row is the heading. Two spaces between columns, none at line ends. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows)
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length)
    })
  return rows
    .map(row =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
