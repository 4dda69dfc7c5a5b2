import { ExpectedError } from '../script/errors.ts'
import type { Chunks } from './age.ts'

/** A member of a tar archive. */
export interface Member {
  path: string
  mode: number
  size: number
  /** As the package tar names it: `File`, `Directory`, `SymbolicLink`, … */
  type: string
}

const BLOCK = 512
/** More than this for the name of one file is no name. */
const MOST_META = 1 << 20

/** The package tar, loaded when it is first needed. Only its headers are used: contents pass through in pieces. */
const load = () => import('tar')

const padding = (size: number) => Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK)

/** A file as a part of a tar archive. Throws an ExpectedError when its content is not as long as it said. */
export async function* tarFile(
  { path, mode, size }: Omit<Member, 'type'>,
  content: Chunks,
): AsyncGenerator<Uint8Array> {
  const { Header, Pax } = await load()
  const fields = { path, mode, size, uid: 0, gid: 0, mtime: new Date(0) }
  const header = new Header({ ...fields, type: 'File' })
  const block = Buffer.alloc(BLOCK)
  // It says whether the name is too long for the old form of a header.
  if (header.encode(block, 0)) yield new Pax({ path, size }).encode()
  yield block
  let left = size
  for await (const chunk of content) {
    left -= chunk.length
    if (left < 0) break
    yield chunk
  }
  if (left !== 0) throw new ExpectedError(`${path} changed while it was read`, 'run the same command again')
  yield padding(size)
}

/** What a tar archive ends with. */
export const tarEnd = (): Uint8Array => Buffer.alloc(2 * BLOCK)

/**
 * The members of a tar archive, one after the other, each with its content, which is to be read before the next
 * one is asked for; what is not read is passed over. Throws for what is no whole tar archive.
 */
export async function* tarMembers(
  chunks: Chunks,
): AsyncGenerator<{ member: Member; content: AsyncGenerator<Uint8Array> }> {
  const { Header, Pax } = await load()
  const bytes = new Bytes(chunks)
  let extended: ReturnType<typeof Pax.parse> | undefined
  for (;;) {
    const block = await bytes.take(BLOCK)
    const header = new Header(block)
    if (header.nullBlock) break
    if (!header.cksumValid) throw new Error('a header in it is damaged')
    if (/ExtendedHeader$/.test(header.type)) {
      const length = header.size ?? 0
      if (length > MOST_META) throw new Error('a name in it is too long')
      const text = (await bytes.take(length)).toString()
      await bytes.take(padding(length).length)
      if (header.type === 'ExtendedHeader') extended = Pax.parse(text, extended)
      continue
    }
    // Not left to Header: it would put the beginning of the short name before the long one.
    const size = extended?.size ?? header.size ?? 0
    const path = extended?.path ?? header.path ?? ''
    extended = undefined
    const content = bytes.pass(size)
    yield { member: { path, mode: header.mode ?? 0, size, type: header.type }, content }
    for await (const _ of content); // what was not read
    await bytes.take(padding(size).length)
  }
  // Behind its end there may be blocks of nothing only; all of it is read, so that a damage shows.
  await bytes.nothingLeft()
}

/** Reads a stream by numbers of bytes. */
class Bytes {
  readonly #source: AsyncIterator<Uint8Array> | Iterator<Uint8Array>
  #rest: Uint8Array = new Uint8Array()

  constructor(chunks: Chunks) {
    this.#source = Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]()
  }

  /** The next piece of at most `most` bytes; undefined at the end. */
  async #next(most: number): Promise<Uint8Array | undefined> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#source.next()
      if (done) return undefined
      this.#rest = value
    }
    const piece = this.#rest.subarray(0, most)
    this.#rest = this.#rest.subarray(piece.length)
    return piece
  }

  async *pass(size: number): AsyncGenerator<Uint8Array> {
    for (let left = size; left > 0; ) {
      const piece = await this.#next(left)
      if (!piece) throw new Error('it ends too early')
      left -= piece.length
      yield piece
    }
  }

  async take(size: number): Promise<Buffer> {
    const pieces: Uint8Array[] = []
    for await (const piece of this.pass(size)) pieces.push(piece)
    return Buffer.concat(pieces)
  }

  async nothingLeft(): Promise<void> {
    for (let piece = await this.#next(1 << 16); piece; piece = await this.#next(1 << 16))
      if (piece.some(byte => byte !== 0)) throw new Error('there is something behind its end')
  }
}
