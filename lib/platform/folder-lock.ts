import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { codeOf, EXIT, ExpectedError } from '../script/errors.ts'
import { readIfExists } from '../script/files.ts'

/**
 * Takes the lock of a folder, for runs that have no cluster yet to hold a lock: a file
 * `.lock` with the pid of its holder. Returns the function that releases it. A stale lock is taken over.
 * Throws an ExpectedError with exit code 75 when another run holds it.
 */
export function lockFolder(folder: string): () => void {
  const file = join(folder, '.lock')
  for (let attempt = 0; attempt < 5; attempt++) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx', mode: 0o600 })
      return () => rmSync(file, { force: true })
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error
    }
    const holder = readIfExists(file)
    if (holder === undefined) continue // released in the meantime
    if (isAlive(holder)) throw locked(file, holder)
    removeStale(file)
  }
  throw locked(file, 'other runs')
}

/** Of two runs that find a stale lock only one removes it; a run that caught a fresh one puts it back. */
function removeStale(file: string): void {
  const aside = `${file}.${process.pid}`
  try {
    renameSync(file, aside)
    if (isAlive(readFileSync(aside, 'utf8'))) linkSync(aside, file)
  } catch (error) {
    if (!['ENOENT', 'EEXIST'].includes(codeOf(error) ?? '')) throw error
  } finally {
    rmSync(aside, { force: true })
  }
}

/** Whether the process of this pid runs. An empty file belongs to a process that is about to write it. */
function isAlive(pid: string): boolean {
  if (!/^[1-9]\d*$/.test(pid)) return pid === ''
  try {
    process.kill(Number(pid), 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

function locked(file: string, holder: string): ExpectedError {
  return new ExpectedError(
    `another run works on this folder (pid ${holder || 'not yet known'})`,
    `wait until it ends; if no such run exists, remove ${file}`,
    { exitCode: EXIT.locked },
  )
}
