/** Words after which a command begins, and which are none themselves. */
const RESERVED = new Set(['{', '}', '!', 'if', 'then', 'else', 'elif', 'fi', 'while', 'until', 'do', 'done'])

/**
 * The simple commands of a piece of shell, each as its words without quotes, in the order in which they stand.
 * Nothing is expanded or run: `$NAME` stays as it is written, a substitution becomes `$()`, and the commands
 * within it are listed too. Redirections, assignments and reserved words are left out. It knows what command
 * lines in pages are made of; whether the text is shell at all is for `bash -n` to say. Pure.
 */
export function commandsOf(text: string): string[][] {
  const found: string[][] = []
  const heredocs: string[] = []
  let at = 0

  /** Where the next `character` is, or the end of the text. */
  const next = (character: string, from: number) => {
    const found = text.indexOf(character, from)
    return found < 0 ? text.length : found
  }

  /** Reads `$(…)`, `<(…)` or a back quote's content from its first character on, past its end. */
  function inner(): void {
    let depth = 1
    const from = at
    while (at < text.length && depth > 0) {
      if (text[at] === '\\') at++
      else if (text[at] === "'") at = next("'", at + 1)
      else if (text[at] === '(') depth++
      else if (text[at] === ')') depth--
      at++
    }
    found.push(...commandsOf(text.slice(from, at - 1)))
  }

  /** Reads what stands at a `$`, and gives what it adds to its word. */
  function dollar(): string {
    if (text[at + 1] === '(') {
      at += 2
      inner()
      return '$()'
    }
    at++
    if (text[at] !== '{') return '$'
    const end = next('}', at) + 1
    const name = text.slice(at, end)
    at = end
    return `$${name}`
  }

  function doubleQuoted(): string {
    let word = ''
    for (at++; at < text.length && text[at] !== '"'; ) {
      if (text[at] === '$') word += dollar()
      else {
        if (text[at] === '\\') at++
        word += text[at++] ?? ''
      }
    }
    at++
    return word
  }

  /** The word that begins here, without its quotes. */
  function word(): string {
    let read = ''
    while (at < text.length && !/[\s;|&()<>]/.test(text[at]!)) {
      const character = text[at]!
      if (character === "'") {
        const end = next("'", at + 1)
        read += text.slice(at + 1, end)
        at = end + 1
      } else if (character === '"') read += doubleQuoted()
      else if (character === '$') read += dollar()
      else if (character === '\\') {
        read += text[at + 1] === '\n' ? '' : (text[at + 1] ?? '')
        at += 2
      } else {
        read += character
        at++
      }
    }
    return read
  }

  /** Passes over the bodies of the here-documents that were begun in the line that ends here. */
  function bodies(): void {
    for (const end of heredocs.splice(0)) {
      const body = new RegExp(`^([\\s\\S]*?)^\\s*${end}$`, 'm').exec(text.slice(at))
      for (const [, substituted] of body?.[1]?.matchAll(/\$\(((?:[^()]|\([^()]*\))*)\)/g) ?? [])
        found.push(...commandsOf(substituted!))
      at += body?.[0].length ?? 0
    }
  }

  let words: string[] = []
  const end = () => {
    while (words[0] && (RESERVED.has(words[0]) || /^\w+\+?=/.test(words[0]))) words.shift()
    if (words.length > 0 && words[0] !== 'for') found.push(words)
    words = []
  }
  while (at < text.length) {
    const rest = text.slice(at)
    const blank = /^(?:[ \t]|\\\n)+/.exec(rest)
    const redirection = /^\d*(?:<<-?(?!<)|<<<|>>|>&|&>|<(?!\()|>(?!\())/.exec(rest)
    if (blank) at += blank[0].length
    else if (rest[0] === '#') at += rest.search(/\n|$/)
    else if (/^[<>]\(/.test(rest)) {
      const glued = at > 0 && /\S/.test(text[at - 1]!) && words.length > 0
      at += 2
      inner()
      words.push(`${glued ? words.pop() : ''}/dev/fd/63`)
    } else if (redirection) {
      at += redirection[0].length
      at += /^[ \t]*/.exec(text.slice(at))![0].length
      const target = word()
      if (/<<-?$/.test(redirection[0])) heredocs.push(target)
    } else if (/^\(\)/.test(rest)) {
      // A function's definition: its body is read as the commands that it consists of.
      at += 2
      words = [`${words.pop()}()`]
      end()
    } else if (/[\s;|&()]/.test(rest[0]!)) {
      at++
      end()
      if (rest[0] === '\n') bodies()
    } else words.push(word())
  }
  end()
  return found
}
