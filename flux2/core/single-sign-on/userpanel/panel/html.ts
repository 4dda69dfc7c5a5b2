/** Text that is HTML already. Everything else is escaped where it is put into a template. */
export class Html {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

type Part = Html | string | number | false | undefined | null | readonly Part[]

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/**
 * Characters that show nothing, or turn around what is written beside them: control and format characters, what is
 * unassigned or private, and what Unicode lets a font leave out (UAX 44, Default_Ignorable_Code_Point). A page shows
 * them as U+FFFD, and no new name has one.
 */
export const UNSEEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u
/** All of them but new lines and tabs, which texts of several lines have. */
const HIDDEN = new RegExp(`(?![\\t\\n\\r])${UNSEEN.source}`, 'gu')

/** A text as HTML: safe between tags and in quoted attributes. What could not be seen is shown as U+FFFD. */
export function escaped(text: string): string {
  return text.replace(HIDDEN, '\ufffd').replace(/[&<>"']/g, character => ENTITIES[character]!)
}

function textOf(part: Part): string {
  if (part === false || part === undefined || part === null) return ''
  if (part instanceof Html) return part.text
  if (Array.isArray(part)) return part.map(textOf).join('')
  return escaped(String(part))
}

/** A template of HTML. Parts are escaped unless they come from another template. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return new Html(strings.map((string, index) => string + textOf(parts[index])).join(''))
}
