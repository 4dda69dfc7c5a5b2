import { codeOf, ExpectedError, messageOf, UsageError } from '../script/errors.ts'
import { binaryOf } from './armor.ts'

/** To whom something is encrypted. The format allows recipients or one passphrase, never both. */
export type Recipients = { recipients: readonly string[] } | { passphrase: string }

/** What may open an age file; which of it is needed, the file says. */
export interface AgeKeys {
  /** `AGE-SECRET-KEY-1…` */
  identities: readonly string[]
  /** Called only for a file that is encrypted with a passphrase. */
  passphrase: () => Promise<string>
}

/** Bytes in pieces: a Node stream, a web stream, or a list of buffers. */
export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/** The first line of every age file (https://age-encryption.org/v1). */
const VERSION = 'age-encryption.org/v1\n'
/** A passphrase is the only stanza of its header (same place, "The scrypt recipient type"). */
const SCRYPT = `${VERSION}-> scrypt `

/** age-encryption, loaded when it is first needed. */
const load = () => import('age-encryption')

/**
 * Encrypts to recipients or with a passphrase, piece by piece, in the binary form that the program `age` reads.
 * Throws a UsageError for a recipient that is not valid.
 */
export async function* encryptTo(to: Recipients, plain: Chunks): AsyncGenerator<Uint8Array> {
  const { Encrypter } = await load()
  const encrypter = new Encrypter()
  if ('passphrase' in to) encrypter.setPassphrase(to.passphrase)
  else {
    // Without a recipient nobody could ever read it.
    if (to.recipients.length === 0)
      throw new UsageError('there is nobody to encrypt to', 'give --recipient AGE1…, or --passphrase')
    for (const recipient of to.recipients) encrypter.addRecipient(recipient)
  }
  yield* await encrypter.encrypt(ReadableStream.from(plain) as ReadableStream<Uint8Array>)
}

/**
 * Decrypts an age file, binary or armored, piece by piece. `name` is what errors call it. Every piece that comes
 * out is what was encrypted; that none is missing at the end is known only when it ends without an error, so
 * nothing that was made of it may be used before. Throws an ExpectedError for a key that does not fit, for a
 * file that age did not encrypt, and for one that was cut off or changed.
 */
export async function* decryptWith(keys: AgeKeys, file: Chunks, name: string): AsyncGenerator<Uint8Array> {
  const { Decrypter } = await load()
  const decrypter = new Decrypter()
  let byPassphrase = false
  try {
    const { head, all } = await peek(binaryOf(file), SCRYPT.length)
    if (!head.startsWith(VERSION))
      throw new ExpectedError(`${name} is not an age file`, 'give a file that age or this toolkit encrypted')
    byPassphrase = head === SCRYPT
    if (byPassphrase) decrypter.addPassphrase(await keys.passphrase())
    else if (keys.identities.length === 0)
      throw new UsageError(
        `${name} is encrypted to recipients, and there is no identity to open it with`,
        'give --identity FILE: the file with AGE-SECRET-KEY-1… in it',
      )
    else for (const identity of keys.identities) decrypter.addIdentity(identity)
    yield* await decrypter.decrypt(ReadableStream.from(all) as ReadableStream<Uint8Array>)
  } catch (error) {
    // What reading the file throws has a code or is told in two lines already; the rest is said of its content.
    if (error instanceof ExpectedError || codeOf(error) !== undefined) throw error
    throw explain(error, name, byPassphrase)
  }
}

function explain(error: unknown, name: string, byPassphrase: boolean): ExpectedError {
  const message = messageOf(error)
  if (!/no identity matched/.test(message))
    return new ExpectedError(
      `${name} cannot be decrypted: it was cut off or changed (${message})`,
      'take another copy of it: no part of this one can be trusted',
      { cause: error },
    )
  return byPassphrase
    ? new ExpectedError(
        `the passphrase does not open ${name}`,
        'give the one that it was encrypted with; OAS_AGE_PASSPHRASE goes before being asked',
        { cause: error },
      )
    : new ExpectedError(
        `none of the identities opens ${name}: it is encrypted to others`,
        'give --identity FILE with the identity of one of its recipients',
        { cause: error },
      )
}

/** The first `length` bytes as text, and everything from the beginning. */
async function peek(source: AsyncGenerator<Uint8Array>, length: number) {
  const first: Uint8Array[] = []
  let size = 0
  while (size < length) {
    const { done, value } = await source.next()
    if (done) break
    first.push(value)
    size += value.length
  }
  async function* all(): AsyncGenerator<Uint8Array> {
    yield* first
    yield* source
  }
  return { head: Buffer.concat(first).toString('latin1', 0, length), all: all() }
}

/** All of a stream in memory: for what is known to be small. */
export async function allOf(chunks: Chunks): Promise<Buffer> {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(chunk)
  return Buffer.concat(all)
}
