import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { commandLine, quote } from '../../../../lib/script/quote.ts'
import { expectedFrom } from '../../helpers.ts'

const text = fc
  .oneof(
    fc.string({ unit: 'binary', maxLength: 12 }),
    fc
      .array(fc.constantFrom("'", '"', '\\', '`', '$(id)', '\n', ' ', '-', '!', '~', '*', '='), {
        maxLength: 8,
      })
      .map(a => a.join('')),
  )
  .filter(value => !value.includes('\0') && value.isWellFormed())

for (const shell of ['sh', 'bash'])
  test(`${shell} hands on exactly what was quoted`, () => {
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 4 }), args => {
        const { stdout } = spawnSync(shell, ['-c', commandLine(['printf', '%s\\0', ...args])])
        assert.equal(stdout, Buffer.from(args.map(arg => `${arg}\0`).join('')))
      }),
      { numRuns: 150 },
    )
  })

test('plain words stay readable, everything else is in quotes', () => {
  for (const word of ['/etc/k3s.yaml', '-rf', 'a_b.c', 'user@host:22', '100%', '+x'])
    assert.is(quote(word), word)
  assert.is(quote(''), "''")
  assert.is(quote("it's"), "'it'\\''s'")
  assert.is(quote('a\\b'), "'a'\\\\'b'")
  for (const word of ['~', 'a=b', '{a,b}', '*', '!', '#', 'a b', '$x', 'ß'])
    assert.is(quote(word), `'${word}'`)
})

test('the program itself is always quoted, so that it is no word of the shell', () => {
  assert.is(commandLine(['if', 'then']), "'if' then")
})

test('NUL and lone surrogates are refused as wrong usage', async () => {
  for (const bad of ['\0', 'a\0b', '\ud83d', 'x\udc00']) {
    const error = await expectedFrom(() => quote(bad))
    assert.is(error.exitCode, 2)
    assert.not.match(error.message, '\0')
  }
})

test.run()
