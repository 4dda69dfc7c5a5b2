/**
 * Runs test files in this process, one after the other: what many of them load is loaded once.
 *
 * Usage: node --import tsx test/files.ts FILE…   (a single one runs by itself, too: node --import tsx FILE)
 */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

// What `uvu/run` does: with these variables uvu keeps the tests until `exec`, by file.
const shared = globalThis as { UVU_DEFER?: number; UVU_INDEX?: number; UVU_QUEUE?: unknown[][] }
shared.UVU_DEFER = 1
const { exec } = await import('uvu')
// Taken out, since there are test files that have arguments of their own.
for (const [i, file] of process.argv.splice(2).entries()) {
  shared.UVU_INDEX = i
  shared.UVU_QUEUE![i] = [file]
  await import(pathToFileURL(resolve(file)).href)
}
await exec()
