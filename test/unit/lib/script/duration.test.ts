import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { duration, durationText, timeoutOf } from '../../../../lib/script/duration.ts'
import { UsageError } from '../../../../lib/script/errors.ts'
import { expectedFrom } from '../../helpers.ts'

const HOUR = 3_600_000

test('a duration has units, or is a number of minutes', async () => {
  for (const [text, expected] of [
    ['30m', HOUR / 2],
    ['2h', 2 * HOUR],
    ['3d', 72 * HOUR],
    ['1h30m', 1.5 * HOUR],
    ['90s', 90_000],
    ['5', HOUR / 12],
    ['0.5', 30_000],
  ] as const)
    assert.is(duration('--since', text), expected)
  for (const text of ['', 'h', '-1h', '1.5h', '1 h', '1w', '0m', '0', '1H', '٣d', '2h ', '1h5', '999999d']) {
    const error = await expectedFrom(() => duration('--since', text))
    assert.instance(error, UsageError)
    assert.match(error.message, '--since')
  }
})

test('a duration in words', () => {
  assert.equal([-5, 40_000, HOUR / 2, HOUR, 1.5 * HOUR, 25 * HOUR, 72 * HOUR].map(durationText), [
    '0 s',
    '40 s',
    '30 min',
    '1 h',
    '1 h 30 min',
    '1 d 1 h',
    '3 d',
  ])
})

test('--timeout takes a duration', () => {
  assert.is(timeoutOf(undefined, 30), HOUR / 2)
  assert.is(timeoutOf('0.5', 30), 30_000)
  assert.is(timeoutOf('1440', 30), 24 * HOUR)
  assert.is(timeoutOf('90s', 30), 90_000)
  assert.is(timeoutOf('24h', 30), 24 * HOUR)
})

for (const value of ['', '0', '-1', '1e3', '0x10', ' 5', '5w', 'NaN', 'Infinity', '1441', '25h', '1.', '٣'])
  test(`--timeout ${JSON.stringify(value)} is refused`, async () => {
    const error = await expectedFrom(() => timeoutOf(value, 30))
    assert.is(error.exitCode, 2)
    assert.match(error.message, JSON.stringify(value))
  })

test.run()
