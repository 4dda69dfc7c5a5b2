/** The first line of an age file in its text form (https://age-encryption.org/v1, "ASCII armor"). */
const BEGIN = '-----BEGIN AGE ENCRYPTED FILE-----'
const END = '-----END AGE ENCRYPTED FILE-----'
/** Characters of a full line of base64. */
const LINE = 64
/** White space that may stand before the first line; more of it is no age file. */
const MOST_SPACE = 1024

/** What an age file is made of, binary whatever its form was. Memory stays at one chunk of the input. */
export async function* binaryOf(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let head: Buffer = Buffer.alloc(0)
  let isArmored: boolean | undefined
  const armor = new Armor()
  for await (const chunk of source) {
    if (isArmored === true) yield armor.decode(Buffer.from(chunk))
    else if (isArmored === false) yield chunk
    else {
      head = Buffer.concat([head, chunk])
      isArmored = looksArmored(head)
      if (isArmored !== undefined) yield isArmored ? armor.decode(head) : head
    }
  }
  if (isArmored) armor.end()
  else if (isArmored === undefined && head.length > 0) yield head // so short that it is neither
}

/** Whether a file that begins so is armored; undefined while that cannot be told. */
function looksArmored(head: Buffer): boolean | undefined {
  const text = head.toString('latin1').trimStart()
  if (text.length >= BEGIN.length || head.length > MOST_SPACE) return text.startsWith(BEGIN)
  return BEGIN.startsWith(text) ? undefined : false
}

/** Decodes armor line by line, as strictly as its definition wants it: every line full but the last one. */
class Armor {
  #rest = ''
  #state: 'before' | 'inside' | 'short line' | 'after' = 'before'

  decode(chunk: Buffer): Buffer {
    const lines = (this.#rest + chunk.toString('latin1')).split('\n')
    this.#rest = lines.pop() ?? ''
    if (this.#rest.length > MOST_SPACE) throw new Error('a line of its armor is too long')
    return Buffer.concat(lines.map(line => this.#line(line.replace(/\r$/, ''))))
  }

  /** Throws unless the last line was there. */
  end(): void {
    this.#line(this.#rest.trimEnd())
    if (this.#state !== 'after') throw new Error('the end of its armor is missing')
  }

  #line(line: string): Buffer {
    const nothing = Buffer.alloc(0)
    if (this.#state === 'before' || this.#state === 'after') {
      if (this.#state === 'before' && line.trim() === BEGIN) this.#state = 'inside'
      else if (line.trim() !== '') throw new Error('there is text around its armor')
      return nothing
    }
    if (line === END) {
      this.#state = 'after'
      return nothing
    }
    if (this.#state === 'short line' || line.length === 0 || line.length > LINE || line.length % 4 !== 0)
      throw new Error('a line of its armor has the wrong length')
    const bytes = Buffer.from(line, 'base64')
    // Buffer skips what is no base64; what was skipped is missing when it is encoded again.
    if (bytes.toString('base64') !== line) throw new Error('a line of its armor is no base64')
    if (line.length < LINE || line.endsWith('=')) this.#state = 'short line'
    return bytes
  }
}
