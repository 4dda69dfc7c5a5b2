import { randomBytes } from 'node:crypto'
import { createWriteStream, existsSync, openSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { tarOf } from '../../lib/age/tar.ts'
import { UsageError } from '../../lib/script/errors.ts'
import { checkOutputPath } from '../../lib/script/files.ts'
import type { BundleFile } from './bundle.ts'

/** Milliseconds after which no run uses a temporary file any more. */
const ABANDONED = 3_600_000

/** Throws a UsageError when a bundle cannot be written there. */
export function checkOutput(file: string): void {
  if (existsSync(file)) throw new UsageError(`${file} already exists`, 'give another name with --output')
  checkOutputPath('--output', file)
}

/**
 * Writes files as a .tar.gz (0600), in a folder of its own name: whole or not at all. Leftovers of a killed run
 * are removed.
 */
export async function writeBundle(
  file: string,
  files: readonly BundleFile[],
  signal: AbortSignal,
): Promise<number> {
  const folder = basename(file).replace(/\.(tar\.gz|tgz)$/, '')
  const temporary = join(dirname(file), `.${basename(file)}.${randomBytes(4).toString('hex')}.bundle.tmp`)
  for (const name of readdirSync(dirname(file))) {
    const left = join(dirname(file), name)
    if (/^\..*\.bundle\.tmp$/.test(name) && Date.now() - statSync(left).mtimeMs > ABANDONED) rmSync(left)
  }
  try {
    await pipeline(
      Readable.from(archive(folder, files)),
      createGzip(),
      // Opened here: a stream that opens it itself may do so after its removal below.
      createWriteStream(temporary, { fd: openSync(temporary, 'wx', 0o600), flush: true }),
      { signal },
    )
    const { size } = statSync(temporary)
    renameSync(temporary, file)
    return size
  } catch (error) {
    rmSync(temporary, { force: true })
    throw signal.aborted ? signal.reason : error
  }
}

function archive(folder: string, files: readonly BundleFile[]): AsyncGenerator<Uint8Array> {
  return tarOf(
    files.map(({ path, text }) => {
      const data = Buffer.from(text)
      return { path: `${folder}/${path}`, mode: 0o600, size: data.length, content: [data] }
    }),
  )
}
