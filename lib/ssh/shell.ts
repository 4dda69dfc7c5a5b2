import { randomBytes } from 'node:crypto'
import { ExpectedError } from '../script/errors.ts'
import { asOneLine } from '../script/printable.ts'
import type { Connection } from './connection.ts'
import { again } from './errors.ts'
import { execute } from './exec.ts'

/** Milliseconds for a command that does nothing. */
const PATIENCE = 10_000
/** Bytes of its output. */
const MOST = 64 << 10
/** Characters of what it said that are told. */
const TOLD = 120

/**
 * Runs a command that says a word, and holds that it says this word alone: a shell that writes something of its own, a
 * forced command or a file system that hangs would spoil whatever is read from the server later. Returns what the shell
 * itself says on stderr, which is harmless, but no command's reason to fail: an unknown locale, for example. Throws an
 * ExpectedError that tells what came instead of the word.
 */
export async function checkShell(connection: Connection): Promise<Buffer> {
  const word = `oas-${randomBytes(8).toString('hex')}`
  const { stdout, stderr } = await execute(
    connection,
    { line: `echo ${word}`, title: 'echo' },
    {
      timeout: PATIENCE,
      most: MOST,
      fix: `log in by hand (ssh) and see what holds its shell up: ~/.bashrc, a full disk or a file system that hangs; ${again}`,
    },
  )
  const said = stdout.toString()
  if (said.trim() === word) return stderr
  const instead = asOneLine((said.trim() ? stdout : stderr).subarray(0, MOST).toString().trim())
  throw new ExpectedError(
    said.includes(word)
      ? `the shell of ${connection.name} writes text of its own before each command: ${instead.replace(word, '').slice(0, TOLD)}`
      : `${connection.name} does not run commands: it says ${instead.slice(0, TOLD) || 'nothing'}`,
    said.includes(word)
      ? `let ~/.bashrc and its kin on the server write on terminals alone (case $- in *i*), ${again}`
      : `check the login shell of the user on the server, and command= in its ~/.ssh/authorized_keys, ${again}`,
  )
}
