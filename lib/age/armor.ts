/** The first and last line of an age file in its text form (https://age-encryption.org/v1, "ASCII armor"). */
const BEGIN = '-----BEGIN AGE ENCRYPTED FILE-----'
const END = '-----END AGE ENCRYPTED FILE-----'
/** Characters of whole lines, 64 and a newline each, that are decoded at once. */
const BLOCK = 65 * 1024
/** White space that may stand before the first line and after the last one. */
const MOST_SPACE = 1024

/** The binary form of an age file in either form. Memory stays at one block of the file. Throws for damaged armor. */
export async function* binaryOf(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let head: Buffer = Buffer.alloc(0)
  let isArmored: boolean | undefined
  const pieces = (async function* () {
    for await (const chunk of source) {
      if (isArmored !== undefined) {
        yield chunk
        continue
      }
      head = Buffer.concat([head, chunk])
      isArmored = looksArmored(head)
      if (isArmored !== undefined) yield head
    }
    // Too short to tell: then it is neither form.
    if (isArmored === undefined && head.length > 0) yield head
  })()
  const first = await pieces.next()
  if (first.done) return
  const all = (async function* () {
    yield first.value
    yield* pieces
  })()
  yield* isArmored ? decode(all) : all
}

/** Whether a file that begins with `head` is armored; undefined while that cannot be told. */
function looksArmored(head: Buffer): boolean | undefined {
  const text = head.toString('latin1').trimStart()
  if (text.length >= BEGIN.length || head.length > MOST_SPACE) return text.startsWith(BEGIN)
  return BEGIN.startsWith(text) ? undefined : false
}

/**
 * Decodes armor block by block: age-encryption decodes whole files only. Each block is a whole number of full lines,
 * so that a line of another length is found wherever it stands.
 */
async function* decode(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const { armor } = await import('age-encryption')
  let text = ''
  let begun = false
  for await (const chunk of source) {
    text += Buffer.from(chunk).toString('latin1').replaceAll('\r', '')
    if (!begun) {
      text = text.trimStart()
      if (!text.includes('\n') && text.length <= MOST_SPACE) continue
      if (!text.startsWith(`${BEGIN}\n`)) throw new Error('invalid header of its armor')
      text = text.slice(BEGIN.length + 1)
      begun = true
    }
    while (text.length > BLOCK + MOST_SPACE) {
      yield armor.decode(`${BEGIN}\n${text.slice(0, BLOCK)}${END}`)
      text = text.slice(BLOCK)
    }
  }
  yield armor.decode(begun ? `${BEGIN}\n${text}` : text)
}
