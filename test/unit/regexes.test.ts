/**
 * Every regular expression of the tree, against long texts that are made from its own parts: what comes from outside
 * must not be able to hang a script. A pattern that tries each start and each length again takes seconds here.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT } from '../../lib/script/files.ts'

const files = ['lib', 'scripts'].flatMap(folder =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts'))
    .map(file => join(folder, file)),
)

/** What may stand before a division; after anything else a slash begins a pattern. */
const OPERAND = /[\w$)\]}]$/
const KEYWORD = /\b(return|typeof|case|in|of|await|yield|throw|else|do)$/

/** Every pattern literal of a text in TypeScript, with its line; strings, templates and comments are passed over. */
function patternsOf(text: string): { line: number; source: string; flags: string }[] {
  const found: { line: number; source: string; flags: string }[] = []
  const templates: number[] = [] // how deep in braces each open `${` is
  let braces = 0
  let before = ''
  for (let at = 0; at < text.length; ) {
    const rest = text.slice(at, at + 2)
    const part =
      rest === '//'
        ? /\/\/.*/y
        : rest === '/*'
          ? /\/\*[\s\S]*?\*\//y
          : text[at] === "'" || text[at] === '"'
            ? /(['"])(?:\\[\s\S]|(?!\1)[^\\])*\1/y
            : text[at] === '`' || (text[at] === '}' && templates.at(-1) === braces)
              ? /[`}](?:\\[\s\S]|\$(?!\{)|[^\\`$])*(?:`|\$\{)/y
              : text[at] === '/' && (!OPERAND.test(before) || KEYWORD.test(before))
                ? /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[a-z]*/y
                : /[\w$]+|\s+|[\s\S]/y
    part.lastIndex = at
    const token = part.exec(text)?.[0] ?? text[at]!
    if (token.startsWith('`') || (token.startsWith('}') && templates.at(-1) === braces)) {
      if (token.startsWith('}')) templates.pop()
      if (token.endsWith('${')) templates.push(braces)
    } else if (token === '{') braces++
    else if (token === '}') braces--
    else if (token.length > 1 && token.startsWith('/') && rest !== '//' && rest !== '/*') {
      const end = token.lastIndexOf('/')
      const line = text.slice(0, at).split('\n').length
      found.push({ line, source: token.slice(1, end), flags: token.slice(end + 1) })
    }
    if (rest !== '//' && rest !== '/*' && token.trim() !== '')
      before = `${before.slice(-10)}${/^\w/.test(token) ? ' ' : ''}${token.slice(-12)}`
    at += token.length
  }
  return found
}

test('patterns are found, and nothing else', () => {
  const text =
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is what a program has
    'const a = b / c / d // no /x/\nreturn /[/]\\//g.test(`${/in/.exec(x)} /no/`) && "/no/" /* /no/ */ ? x[0] / 2 : /y/u'
  assert.equal(
    patternsOf(text).map(({ line, source, flags }) => `${line} ${source} ${flags}`),
    ['2 [/]\\/ g', '2 in ', '2 y u'],
  )
})

const LENGTH = 20_000
/** Milliseconds of the processor: twenty thousand characters take less than one when they are looked at once, and hundreds when each start is. */
const PATIENCE = 60

/** What texts are made from: single characters of every class, and the words of the pattern. */
function unitsOf(source: string): string[] {
  const words = source.replaceAll(/\\[dwsbDWSB]|[\\^$.*+?()[\]{}|]/g, ' ').match(/[^\s]+/g) ?? []
  return [
    ...new Set([
      ...'a0A _-./:"\'=,\\n\t\n@(){}[]<>%$',
      ...words.map(word => word.slice(0, 30)),
      words.join(''),
    ]),
  ].filter(unit => unit !== '')
}

/** The unit on which a pattern takes too long; three tries, since the process has other threads, too. */
function slowUnit(source: string, flags: string): string | undefined {
  const pattern = new RegExp(source, flags.replaceAll(/[gy]/g, ''))
  const all = new RegExp(source, `${flags.replaceAll(/[gy]/g, '')}g`)
  const units = unitsOf(source)
  const takes = (text: string) => {
    const started = process.cpuUsage()
    if (flags.includes('g')) text.replaceAll(all, '')
    else pattern.test(text)
    return process.cpuUsage(started).user / 1000
  }
  return units.find(unit => {
    const body = unit.repeat(LENGTH / unit.length)
    const texts = [
      body,
      `${body}\0`,
      `${units.at(-1)}${body}\0`,
      ...(unit.length > 1 ? [] : [`\0${body}\0${body}\0`]),
    ]
    return texts.some(text => takes(text) > PATIENCE && takes(text) > PATIENCE && takes(text) > PATIENCE)
  })
}

for (const file of files) {
  const patterns = patternsOf(readFileSync(join(ROOT, file), 'utf8'))
  if (patterns.length === 0) continue
  test(`the patterns of ${file} are linear`, () => {
    const slow = patterns.flatMap(({ line, source, flags }) => {
      const unit = slowUnit(source, flags)
      return unit === undefined ? [] : [`line ${line}: /${source}/${flags} on ${JSON.stringify(unit)}`]
    })
    assert.equal(slow, [])
  })
}

test.run()
