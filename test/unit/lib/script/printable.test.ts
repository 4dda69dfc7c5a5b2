import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  asOneLine,
  markdownCode,
  markdownText,
  printable,
  printableJson,
} from '../../../../lib/script/printable.ts'

test('what a terminal would obey is shown, colours are dropped', () => {
  assert.is(printable('\x1b[31mred\x1b[0m\ttab ü €'), 'red\ttab ü €')
  assert.is(printable('\x1b]0;title\x07\x1b[2J\r\x9b2J\x00'), '\\x1b]0;title\\x07\\x1b[2J\\x0d\\x9b2J\\x00')
})

test('fuzz: nothing that a terminal would obey is left', () => {
  const hostile = fc.array(
    fc.constantFrom(
      '\x1b',
      '[31m',
      '[',
      '3',
      '1',
      'm',
      '\x9b',
      'x',
      '\r',
      '\x7f',
      '\u202e',
      '\u2069',
      '\ud800',
    ),
  )
  fc.assert(
    fc.property(hostile, parts => {
      assert.ok([...printable(parts.join(''))].every(character => character >= ' ' && character < '\x7f'))
    }),
  )
})

test('text that would be read in another order shows its controls', () => {
  assert.is(printable('a\u202eb\u2066c\u200fd\u2028'), 'a\\u202eb\\u2066c\\u200fd\\u2028')
  assert.is(printable('half \ud83d, whole 😀'), 'half \\ud83d, whole 😀')
})

test('further lines become part of the first one, which keeps its indentation', () => {
  assert.is(asOneLine('  a\n✓ all is well\r\n\n  b\n'), '  a ✓ all is well b')
  assert.is(asOneLine('  a  '), '  a  ')
})

test('JSON keeps its values, and has nothing that a terminal obeys', () => {
  const value = { '\x9bk': ['\x1b]52;c;AA\x07', '\x7f\x85\u202e\n'] }
  const text = printableJson(JSON.stringify(value, null, 2))
  assert.equal(JSON.parse(text), value)
  assert.ok(/^[\n\x20-\x7e]*$/.test(text), text)
})

test('what others wrote is text in Markdown: no link, image, HTML or code that ends early', () => {
  assert.is(
    markdownText('![x](http://a/) <img src=x> `a`\n# head'),
    '!\\[x\\](http://a/) \\<img src=x> \\`a\\` # head',
  )
  assert.is(markdownCode('plain'), '`plain`')
  assert.is(markdownCode('a ``b`` c\nd'), '``` a ``b`` c d ```')
})

test.run()
