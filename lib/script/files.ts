import { randomBytes } from 'node:crypto'
import {
  accessSync,
  chmodSync,
  constants,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { codeOf, UsageError } from './errors.ts'

/** The folder of this checkout. */
export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

/**
 * Writes a file whole or not at all: to a temporary neighbour first, which is then renamed.
 * The mode defaults to 0600, since most of what we write is somebody's configuration.
 */
export function writeFileAtomic(path: string, data: string | Uint8Array, mode = 0o600): void {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`
  try {
    writeFileSync(temporary, data, { mode, flag: 'wx', flush: true })
    chmodSync(temporary, mode) // the umask may have taken bits away
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
}

/**
 * Checks before a long run that its result can be written to `path`, the value of `flag`. Throws a UsageError when the
 * folder does not exist or may not be written, and when a folder is in the place of the file.
 */
export function checkOutputPath(flag: string, path: string): void {
  const folder = dirname(resolve(path))
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory())
    throw new UsageError(`the folder ${folder} does not exist`, `create it, or give another ${flag}`)
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory())
    throw new UsageError(`${path} is a folder`, `give a file with ${flag}`)
  try {
    accessSync(folder, constants.W_OK)
  } catch {
    throw new UsageError(`the folder ${folder} is not writable`, `give another ${flag}`)
  }
}

/** Creates a folder that only its owner can enter (0700), with its parents. Tightens an existing one. */
export function privateFolder(path: string): string {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  chmodSync(path, 0o700)
  return path
}

/** The text of a file, or undefined if it does not exist. Any other failure is thrown. */
export function readIfExists(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}
