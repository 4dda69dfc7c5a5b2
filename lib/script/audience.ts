import { closeSync, openSync } from 'node:fs'
import { isatty } from 'node:tty'
import { codeOf, EXIT } from './errors.ts'

const STREAMS = [0, 1, 2]

/**
 * Lets a run outlive its readers. `… | head` closes a pipe (EPIPE), a closed window its terminal (EIO): a run that
 * changes something continues without output; a run that only shows something (`mayEnd`) ends, as interrupted: it
 * does not know yet whether all is healthy.
 */
export function outliveAudience(mayEnd: boolean): void {
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', error => {
      if (!['EPIPE', 'EIO', 'ECONNRESET'].includes(codeOf(error) ?? '')) throw error
      if (mayEnd && stream === process.stdout) process.exit(EXIT.interrupted)
    })
  const terminals = STREAMS.filter(fd => isatty(fd))
  process.on('exit', () => releaseLost(terminals))
}

/**
 * Puts /dev/null in the place of terminals that are gone. At its end Node restores the settings of the terminals it
 * was started on, and dies of SIGSEGV when one is gone (ResetStdio in its src/node.cc); it leaves other files alone.
 */
function releaseLost(terminals: readonly number[]): void {
  for (const fd of terminals.filter(fd => !isatty(fd)))
    try {
      closeSync(fd)
      openSync('/dev/null', 'r+') // takes the lowest free number
    } catch {
      // It was closed already.
    }
}
