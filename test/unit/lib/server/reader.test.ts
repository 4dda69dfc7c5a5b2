import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { ExpectedError } from '../../../../lib/script/errors.ts'
import { entrySizes, existing, fileText, firstLine, recordedTools } from '../../../../lib/server/facts.ts'
import {
  type Answer,
  type NamedFacts,
  parseFacts,
  program,
  scriptFor,
  shell,
  type ValuesOf,
} from '../../../../lib/server/reader.ts'
import { test } from '../../../suite.ts'
import { expectedFrom, temporaryFolder } from '../../helpers.ts'
import { said } from './said.ts'

/** The values of facts, as the shell of this machine answers. */
function ask<F extends NamedFacts>(facts: F): ValuesOf<F> {
  return parseFacts(facts, execFileSync('sh', ['-c', scriptFor(facts)], { encoding: 'utf8' }))
}
const whole = (answer: Answer) => answer

test('arguments, outputs and exit codes come back as they are, whatever is in them', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 60 }).map(text => text.replaceAll('\0', '')),
      fc.integer({ min: 0, max: 255 }),
      (text, code) => {
        const hostile = `${text}\nend\nsecond ${Buffer.from('x\n0').toString('base64')}\n`
        const facts = {
          first: shell('printf "%s" "$1"; exit "$2"', [hostile, String(code)], whole),
          second: program(['printf', '%s', '\\0'], whole),
        }
        const { first, second } = ask(facts)
        assert.equal([first.text, first.code], [hostile, code])
        assert.equal([second.text, second.code], ['\\0', 0])
      },
    ),
    { numRuns: 30 },
  )
})

test("bytes that are no text arrive; stderr and stdin are nobody else's", () => {
  const { bytes, input } = ask({
    bytes: shell("printf '\\377\\000\\n'; echo no >&2", [], whole),
    input: shell('cat', [], whole),
  })
  assert.equal([...bytes.bytes], [0xff, 0, 10])
  assert.equal([input.text, input.code], ['', 0])
})

test('a program that is missing has exit code 127, and the others are asked all the same', () => {
  const { none, next } = ask({ none: program(['no-such-program'], whole), next: firstLine('echo', 'x') })
  assert.equal([none.code, none.text, next], [127, '', 'x'])
})

test('files, paths and folders', () => {
  const folder = temporaryFolder()
  const file = join(folder, 'a\tb\nc')
  writeFileSync(file, 'text\n\n')
  const { text, absent, paths, entries, gone } = ask({
    text: fileText(file),
    absent: fileText(join(folder, 'absent')),
    paths: existing([folder, join(folder, 'absent')]),
    entries: entrySizes(folder),
    gone: entrySizes(join(folder, 'absent')),
  })
  assert.equal([text, absent, paths], ['text\n\n', undefined, [folder]])
  assert.equal([entries.isComplete, entries.entries.map(({ name }) => name)], [true, ['a\tb\nc']])
  assert.equal(gone, { entries: [], isComplete: false })
})

test('an answer that was cut off is refused', async () => {
  const facts = { a: firstLine('true'), b: firstLine('true') }
  const answer = said(facts, { a: 'x', b: 'y' })
  for (const cut of [answer.slice(0, -10), answer.replace(/^a .*$/m, ''), ''])
    assert.match((await expectedFrom(() => parseFacts(facts, cut))).message, 'did not answer all questions')
})

test('whatever a server prints, it is parsed or refused', () => {
  const facts = { a: firstLine('true'), b: fileText('/x') }
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), text => {
      try {
        parseFacts(facts, `a ${text}\nb ${text}\nend\n`)
      } catch (error) {
        assert.instance(error, ExpectedError)
      }
    }),
  )
})

test('a record of tools that is missing or damaged names none', () => {
  for (const bad of [undefined, '', 'not json', 'null', '[]', '{"paths": 3}', '{"paths": {"includes": 1}}'])
    assert.equal(recordedTools(bad), [], bad)
  assert.equal(recordedTools('{"paths": ["/usr/local/bin/helm", 3]}'), ['/usr/local/bin/helm'])
})

test.run()
