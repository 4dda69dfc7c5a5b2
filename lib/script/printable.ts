// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const COLOUR = /\x1b\[[\d;]{0,20}m/g

/**
 * Characters that a terminal obeys or that change the order of what is read: C0 except tab and newline, DEL, C1,
 * the bidirectional controls (UAX #9), the line and paragraph separators, and halves of surrogate pairs.
 */
const CONTROL =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|\p{Surrogate}/gu

/** A character as an escape that shows its code: `\x1b`, `\u202e`. */
function escaped(character: string): string {
  const code = character.charCodeAt(0).toString(16)
  return code.length > 2 ? `\\u${code.padStart(4, '0')}` : `\\x${code.padStart(2, '0')}`
}

/**
 * A text that a terminal shows and does not obey: whoever can write into a log, an event or a condition could
 * otherwise write the clipboard, move the cursor or rename the window. Newlines and tabs stay. Pure.
 */
export function printable(text: string): string {
  return text.replaceAll(COLOUR, '').replaceAll('\r\n', '\n').replaceAll(CONTROL, escaped)
}

/** The same on one line, its indentation kept: further lines could pass for lines of ours. Pure. */
export function asOneLine(text: string): string {
  const [first = '', ...more] = printable(text).split('\n')
  if (more.length === 0) return first
  return [first.trimEnd(), ...more.map(line => line.trim()).filter(Boolean)].join(' ')
}

/** As much of what somebody has typed as a message can hold, quoted on one line. Pure. */
export const inQuotes = (text: string): string => JSON.stringify(text.slice(0, 80))

/** A foreign text as a part of Markdown: on one line, without a link, an image or HTML that a viewer would act on. Pure. */
export function markdownText(text: string): string {
  return asOneLine(text).replaceAll(/[\\`<[\]|]/g, '\\$&')
}

/** A foreign text as a code span of Markdown, on one line. Its fence is longer than any run of backticks in it. Pure. */
export function markdownCode(text: string): string {
  const line = asOneLine(text)
  const longest = Math.max(0, ...(line.match(/`+/g) ?? []).map(run => run.length))
  if (longest === 0) return `\`${line}\``
  const fence = '`'.repeat(longest + 1)
  return `${fence} ${line} ${fence}`
}

/** JSON without a character that a terminal obeys; it reads back as the same value. Pure. */
export function printableJson(json: string): string {
  return json.replaceAll(CONTROL, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
