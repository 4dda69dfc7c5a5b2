import { sizeText } from './size.ts'

/** Bytes of an answer that is a text for programs: an API's, a list's, an error's. */
const ANSWER = 8 << 20

/** The body of an answer was longer than it may be. */
export class BodyTooLarge extends Error {
  override name = 'BodyTooLarge'
}

/**
 * The body of an answer, of so many bytes at most: whoever answers could otherwise fill the memory. Throws a
 * BodyTooLarge beyond that, and what fetch throws when it breaks off.
 */
export async function bodyBytes(response: Response, most: number = ANSWER): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let size = 0
  // Leaving the loop cancels the rest.
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    if (size > most) throw new BodyTooLarge(`the answer is larger than ${sizeText(most)}`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** The same as text. */
export async function bodyText(response: Response, most?: number): Promise<string> {
  return (await bodyBytes(response, most)).toString('utf8')
}
