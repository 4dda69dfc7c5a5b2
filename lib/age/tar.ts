import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Headers } from 'tar-stream'
import { ExpectedError } from '../script/errors.ts'
import type { Chunks } from './age.ts'

/** A member of a tar archive. */
export interface Member {
  path: string
  mode: number
  size: number
  /** As tar-stream names it: `file`, `directory`, `symlink`, … */
  type: Headers['type']
}

/** A file to write to a tar archive. `size` is the number of bytes that `content` has. */
export interface TarFile extends Omit<Member, 'type'> {
  content: Chunks
}

/** Bytes of the two empty blocks at the end of an archive. */
const END = 1024

/** tar-stream, loaded when it is first needed. */
const load = () => import('tar-stream')

/**
 * The bytes of a tar archive of these files. Memory stays at one piece of a file. Throws an ExpectedError for a
 * file whose content is not as long as its size.
 */
export async function* tarOf(files: AsyncIterable<TarFile> | Iterable<TarFile>): AsyncGenerator<Uint8Array> {
  const { pack } = await load()
  const archive = pack()
  const write = async () => {
    for await (const { path, mode, size, content } of files) {
      const entry = archive.entry({ name: path, mode, size, uid: 0, gid: 0, mtime: new Date(0) })
      await pipeline(exactly(size, content, path), entry)
    }
    archive.finalize()
  }
  // Whoever reads the archive gets the error.
  write().catch(error => archive.destroy(error))
  yield* archive as AsyncIterable<Uint8Array>
}

async function* exactly(size: number, content: Chunks, path: string): AsyncGenerator<Uint8Array> {
  let left = size
  for await (const chunk of content) {
    left -= chunk.length
    if (left < 0) break
    yield chunk
  }
  if (left !== 0) throw new ExpectedError(`${path} changed while it was read`, 'run the same command again')
}

/**
 * The members of a tar archive, one after the other, each with its content, which has to be read before the next
 * member is asked for; what is not read is skipped. Throws for an archive that is damaged or cut off.
 */
export async function* tarMembers(
  chunks: Chunks,
): AsyncGenerator<{ member: Member; content: AsyncIterable<Uint8Array> }> {
  const { extract } = await load()
  const archive = extract()
  const reading = pipeline(Readable.from(whole(chunks), { objectMode: false }), archive)
  reading.catch(() => {}) // the loop below throws it
  for await (const entry of archive) {
    const { name, mode = 0, size = 0, type } = entry.header
    yield { member: { path: name, mode, size, type }, content: entry }
    entry.resume()
  }
  await reading
}

/** The pieces of an archive. Throws at their end unless these are two empty blocks, with which every tar archive ends. */
async function* whole(chunks: Chunks): AsyncGenerator<Uint8Array> {
  let tail: Uint8Array = new Uint8Array()
  for await (const chunk of chunks) {
    yield chunk
    tail = (chunk.length < END ? Buffer.concat([tail, chunk]) : chunk).subarray(-END)
  }
  if (tail.length < END || tail.some(byte => byte !== 0)) throw new Error('it ends too early')
}
