/** A file by its path. */
export interface NamedText {
  path: string
  text: string
}

/**
 * The command that systemd starts, with the file that gives it: the last `ExecStart=` of the unit and its drop-ins
 * (systemd.service(5)). Its words are those after the program and its subcommand. Pure.
 */
export function lastCommand(units: readonly NamedText[]): { path: string; command: string; words: string[] } {
  let last = { path: '', line: '' }
  for (const { path, text } of units)
    for (const [, line = ''] of text.matchAll(/^[ \t]*ExecStart[ \t]*=((?:.*\\\r?\n)*.*)$/gm))
      last = { path, line }
  const [, ...words] = wordsOf(last.line.replace(/^\s*[-@:+!]+/, ''))
  const command = words[0] !== undefined && !words[0].startsWith('-') ? words.shift()! : ''
  return { path: last.path, command, words }
}

/**
 * The variables that a unit gives its service: those of `Environment=`, then those of its environment files, which win
 * (systemd.exec(5)). Pure.
 */
export function serviceVariables(
  units: readonly NamedText[],
  environments: readonly NamedText[],
): Record<string, string> {
  let variables: Record<string, string> = {}
  for (const { text } of units)
    for (const [, line = ''] of text.matchAll(/^[ \t]*Environment[ \t]*=((?:.*\\\r?\n)*.*)$/gm)) {
      const words = wordsOf(line)
      if (words.length === 0) variables = {}
      for (const word of words) {
        const at = word.indexOf('=')
        if (at > 0) variables[word.slice(0, at)] = word.slice(at + 1)
      }
    }
  for (const { text } of environments)
    for (const line of text.split('\n')) {
      const [, name, value = ''] = /^\s*([A-Za-z_]\w*)\s*=(.*)$/.exec(line) ?? []
      if (name) variables[name] = wordsOf(value.trim()).join(' ')
    }
  return variables
}

/** Splits a command line of systemd into its words: quotes, and backslashes before a line end. Pure. */
export function wordsOf(line: string): string[] {
  const words: string[] = []
  let word: string | undefined
  for (const [, single, double, escaped, plain] of line
    .replaceAll(/\\\r?\n/g, ' ')
    .matchAll(/'([^']*)'|"((?:[^"\\]|\\[\s\S])*)"|\\([\s\S])|([^\s'"\\]+)|\s+/g)) {
    const part = single ?? double?.replaceAll(/\\([\s\S])/g, '$1') ?? escaped ?? plain
    if (part !== undefined) word = (word ?? '') + part
    else if (word !== undefined) {
      words.push(word)
      word = undefined
    }
  }
  return word === undefined ? words : [...words, word]
}
