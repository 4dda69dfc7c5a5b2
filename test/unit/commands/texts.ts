import { nearest } from '../../../lib/script/flags.ts'
import { UNKNOWN } from './check.ts'
import { PROGRAMS } from './programs.ts'

/** A piece of shell in a file, and where it begins. */
export interface Piece {
  line: number
  shell: string
  /** From a fence of its own, so it has to be shell as a whole; not a name within a sentence. */
  block: boolean
}

/** Languages of fences that are no commands. */
const DATA = /^(yaml|json|text|toml|ini)$/
/** What the scripts begin their lines with: such a block is output. */
const OUTPUT = /^\s*[✓✗!?+=~-] /
const COMMAND = /^\s*(?:\$ |fix: (?=npx ))?((?:sudo )?npx tsx .*)$|^\s*\$ (.*)$/

/** Programs whose names are also words of messages: `k3s is not running on the server`. */
const NOUNS = ['flux', 'k3s', 'velero']

/** Whether a text in back quotes is meant as a command: its first word is a program that is known, or npx. */
function isCommand(text: string): boolean {
  const [first, second] = text.replace(/^sudo /, '').split(/[ ;]/)
  if (second === undefined || first === undefined) return false
  if (!NOUNS.includes(first)) return first === 'npx' || PROGRAMS.has(first)
  const verbs = [...PROGRAMS.keys()].flatMap(key => (key.startsWith(`${first} `) ? key.split(' ')[1]! : []))
  // A verb that is mistyped is near to one that is there, a message is not.
  return second.startsWith('-') || nearest(second, verbs) !== undefined
}

/**
 * The pieces of shell in a page: the fenced blocks that are no output, the commands shown in the output (behind
 * `$ `, or calls of scripts), and the commands in back quotes. A page shows output below "You should see".
 */
export function piecesOfPage(text: string): Piece[] {
  const pieces: Piece[] = []
  let section = ''
  let fence: { language: string; line: number; lines: string[] } | undefined
  for (const [at, line] of text.split('\n').entries()) {
    const mark = /^\s*```(\w*)/.exec(line)
    if (mark && fence) {
      const { language, line: first, lines } = fence
      fence = undefined
      if (DATA.test(language)) continue
      if (/should see/.test(section) || OUTPUT.test(lines[0] ?? ''))
        for (const [offset, output] of lines.entries()) {
          const [, script, other] = COMMAND.exec(output) ?? []
          const shell = (script ?? other)?.replace(/ {2,}.*$/, '')
          if (shell) pieces.push({ line: first + offset, shell, block: false })
        }
      else {
        pieces.push({ line: first, shell: lines.join('\n'), block: true })
        // A comment may tell another way: `# look now (or: flux reconcile …)`.
        for (const [offset, command] of lines.entries())
          for (const [, other] of command.matchAll(/# .*\(or: (.+?)\)/g))
            pieces.push({ line: first + offset, shell: other!, block: false })
      }
    } else if (mark) fence = { language: mark[1]!, line: at + 2, lines: [] }
    else if (fence) fence.lines.push(line)
    else {
      if (line.startsWith('## ')) section = line
      for (const [, code] of line.matchAll(/(?<!`)`([^`]+)`(?!`)/g)) {
        // A flag may be named without the value that it takes.
        const shell = code!.replaceAll('\\|', '|').replace(/( --?[a-z-]+)$/, '$1 …')
        if (isCommand(shell)) pieces.push({ line: at + 1, shell, block: false })
      }
    }
  }
  return pieces
}

/** Where a command that stands in a sentence ends. */
const END = /[,;:)`]?(?: \(| (?:and|or|to|then|on|from|says|lists|with its) |[,;:)`](?: |$)| {2,}|\.$|\. |$)/
const BEGIN =
  /(?<![\w./-])(?:sudo )?(?:npx tsx scripts\/|(?:kubectl|flux|helm|velero|systemctl|journalctl) (?=[a-z-]))/g

/**
 * The commands in the string literals of a program: the equivalents that its steps show, the fixes that its
 * errors tell, its examples. What a template puts in is UNKNOWN. Comments are left out.
 */
export function piecesOfSource(source: string): Piece[] {
  const pieces: Piece[] = []
  const code = source.replace(/^\s*(?:\/\/|\/?\*).*$/gm, '')
  for (const match of code.matchAll(/'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`/g)) {
    const literal = templateless(match[1] ?? match[2] ?? match[3]!)
    const line = code.slice(0, match.index).split('\n').length
    const lines = literal.split('\n')
    for (const [at, text] of lines.entries())
      for (const begin of text.matchAll(BEGIN)) {
        const rest = text.slice(begin.index)
        const ours = /^(sudo )?npx/.test(rest)
        // A literal that begins with a command consists of it, up to a comment; of a program for the server
        // only the first command of a line is looked at, since all else in it may be its own functions.
        const whole = begin.index === 0 && !ours && isCommand(rest)
        const end = lines.length > 1 ? / *[;|&>)\]]| {2,}/ : / {2,}|; or |$/
        const shell = rest.slice(0, rest.search(whole ? new RegExp(`${end.source}|$`) : END))
        if (whole || ours || (lines.length === 1 && isVerb(shell)))
          pieces.push({ line: line + at, shell: shell.replace(/ …$/, ''), block: false })
      }
  }
  return pieces
}

/** Whether a text within a sentence begins with a verb of a program that is known. */
function isVerb(text: string): boolean {
  return PROGRAMS.has(text.split(' ').slice(0, 2).join(' '))
}

/** A template with UNKNOWN for what is put in; what is glued to the end of a word may be nothing or further words. */
function templateless(literal: string): string {
  let text = literal.replaceAll("\\'", "'").replaceAll('\\n', '\n').replaceAll('\\\\', '\\')
  for (let at = text.indexOf('${'); at >= 0; at = text.indexOf('${', at + 1)) {
    let depth = 0
    let end = at + 1
    do {
      if (text[end] === '{') depth++
      if (text[end] === '}') depth--
      end++
    } while (depth > 0 && end < text.length)
    const glued = /[a-z]$/.test(text.slice(0, at)) && !/^[\w/.-]/.test(text.slice(end))
    text = `${text.slice(0, at)}${glued ? ' ' : UNKNOWN}${text.slice(end)}`
  }
  return text
}
