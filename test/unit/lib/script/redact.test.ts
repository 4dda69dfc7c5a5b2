import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { redact, redactedJson, registerSecret } from '../../../../lib/script/redact.ts'

test('hides a value in each of the forms it travels in', () => {
  const value = 'p&s "q"/ü+tail'
  registerSecret(value)
  const forms = [
    value,
    Buffer.from(value).toString('base64'),
    encodeURIComponent(value),
    JSON.stringify({ value }).slice(10, -2),
  ]
  for (const form of forms) assert.is(redact(`<${form}|${form}>`), '<***|***>', form)
})

test('leaves nothing of overlapping values, whichever was registered first', () => {
  registerSecret('overlap-one')
  registerSecret('overlap-one-and-longer')
  assert.is(redact('x overlap-one-and-longer y overlap-one z'), 'x *** y *** z')
  registerSecret('headhead-middle')
  registerSecret('middle-tailtail')
  assert.is(redact('<headhead-middle-tailtail>'), '<***>')
  registerSecret('outer-within-outer')
  registerSecret('within')
  assert.is(redact('<outer-within-outer>'), '<***>')
})

test('takes a value literally, not as a pattern', () => {
  registerSecret('a.c$&(x)*')
  assert.is(redact('a.c$&(x)* abc$&'), '*** abc$&')
})

test('does not blank out common short words', () => {
  registerSecret('true')
  registerSecret('')
  assert.is(redact('true: 587'), 'true: 587')
})

test('no registered value survives, and no value is refused', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 12, unit: 'binary' }), fc.string(), (value, around) => {
      registerSecret(value)
      assert.not.ok(redact(`${around}${value}${around}`).includes(value))
    }),
    { numRuns: 200 },
  )
  registerSecret('lone surrogate \ud800')
})

test('JSON stays JSON, whatever the values look like', () => {
  registerSecret('7654321')
  registerSecret('say "json"')
  const document = { seconds: 0.7654321, nested: [{ text: 'pin 7654321, say "json"' }], none: undefined }
  assert.equal(JSON.parse(redactedJson(document)), {
    seconds: 0.7654321,
    nested: [{ text: 'pin ***, ***' }],
  })
})

test.run()
