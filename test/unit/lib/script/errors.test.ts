import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  codeOf,
  ExpectedError,
  ExpectedErrors,
  messageOf,
  throwAll,
  UsageError,
} from '../../../../lib/script/errors.ts'

const failure = new ExpectedError('a', 'b')
const usage = new UsageError('c', 'd')

test('an expected failure exits with 1, wrong usage with 2', () => {
  assert.is(failure.exitCode, 1)
  assert.is(usage.exitCode, 2)
  assert.is(new ExpectedError('a', 'b', { exitCode: 75 }).exitCode, 75)
})

test('throwAll throws nothing, the one, or all together', () => {
  throwAll([])
  assert.throws(
    () => throwAll([usage]),
    (e: unknown) => e === usage,
  )
  assert.throws(
    () => throwAll([failure, usage]),
    (e: unknown) => e instanceof ExpectedErrors && e.problems.length === 2 && e.exitCode === 2,
  )
})

test('codeOf looks into causes and aggregates', () => {
  const refused = Object.assign(new Error('x'), { code: 'ECONNREFUSED' })
  assert.is(codeOf(new Error('y', { cause: new Error('z', { cause: refused }) })), 'ECONNREFUSED')
  // net.connect to `localhost` fails with one error for each address.
  assert.is(codeOf(new AggregateError([refused, new Error('x')])), 'ECONNREFUSED')
  assert.is(codeOf(Object.assign(new Error('http'), { code: 404 })), undefined)
  assert.is(codeOf('ENOENT'), undefined)
})

test('messageOf takes whatever was thrown', () => {
  assert.is(messageOf(new Error('x')), 'x')
  assert.is(messageOf(undefined), 'undefined')
})

test.run()
