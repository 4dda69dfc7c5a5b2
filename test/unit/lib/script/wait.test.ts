import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ExpectedError, TransientError } from '../../../../lib/script/errors.ts'
import { sleep, until } from '../../../../lib/script/wait.ts'
import { expectedFrom } from '../../helpers.ts'

const describe = (last: unknown) => `state ${last}`

test('until looks again and again, and resolves with what is done', async () => {
  let looks = 0
  const done = await until(async () => (++looks < 3 ? { last: looks } : { done: 'value' }), {
    deadline: 1000,
    every: 1,
    describe,
  })
  assert.is(done, 'value')
  assert.is(looks, 3)
})

test('at the deadline it tells the last state, and has looked once more at the very end', async () => {
  let looks = 0
  const started = performance.now()
  const error = await expectedFrom(() =>
    until(async () => ({ last: ++looks }), { deadline: 120, every: 100, describe, fix: 'do this' }),
  )
  const took = performance.now() - started
  assert.ok(took >= 119 && took < 10_000, `${took} ms`)
  assert.match(error.message, `last seen: state ${looks}`)
  assert.ok(looks >= 2)
  assert.is(error.fix, 'do this')
})

test('what to do at the deadline may depend on the last state', async () => {
  const error = await expectedFrom(() =>
    until(async () => ({ last: 'full' }), { deadline: 0, describe, fix: last => `empty what is ${last}` }),
  )
  assert.is(error.fix, 'empty what is full')
})

test('done at the last look counts, even when the deadline has passed meanwhile', async () => {
  const work = async () => {
    await sleep(30)
    return { done: 1 }
  }
  assert.is(await until(work, { deadline: 0, describe }), 1)
})

test('what a look throws ends the wait at once', async () => {
  const started = performance.now()
  const terminal = new ExpectedError('never', 'x')
  const error = await expectedFrom(() =>
    until(() => Promise.reject(terminal), { deadline: 60_000, describe }),
  )
  assert.is(error, terminal)
  assert.ok(performance.now() - started < 10_000)
})

test('an abort ends the pause between two looks with its reason', async () => {
  const abort = new AbortController()
  const reason = new ExpectedError('interrupted', 'again')
  setTimeout(() => abort.abort(reason), 20)
  const started = performance.now()
  const error = await expectedFrom(() =>
    until(async () => ({ last: 1 }), { deadline: 60_000, every: 30_000, describe, signal: abort.signal }),
  )
  assert.is(error, reason)
  assert.ok(performance.now() - started < 10_000)
})

test('an aborted wait does not look at all', async () => {
  let looks = 0
  const reason = new ExpectedError('interrupted', 'again')
  const signal = AbortSignal.abort(reason)
  const look = async () => ({ last: ++looks })
  assert.is(await expectedFrom(() => until(look, { deadline: 10, describe, signal })), reason)
  assert.is(looks, 0)
  assert.is(await expectedFrom(() => sleep(60_000, signal)), reason)
})

test('a sleep that is over listens no longer', async () => {
  const { signal } = new AbortController()
  let listening = 0
  const add = signal.addEventListener.bind(signal)
  const remove = signal.removeEventListener.bind(signal)
  signal.addEventListener = ((...args: Parameters<typeof add>) => {
    listening++
    add(...args)
  }) as typeof signal.addEventListener
  signal.removeEventListener = ((...args: Parameters<typeof remove>) => {
    listening--
    remove(...args)
  }) as typeof signal.removeEventListener
  await sleep(1, signal)
  assert.is(listening, 0)
})

test('what may pass by itself is waited out as long as its patience lasts, counted from the last answer', async () => {
  const answers: (Error | 'waiting' | 'done')[] = []
  const away = new TransientError('away', 'wait')
  const look = async () => {
    const answer = answers.shift() ?? away
    if (answer instanceof Error) throw answer
    return answer === 'done' ? { done: answer } : { last: answer }
  }
  answers.push(away, 'waiting', away, away, 'done')
  assert.is(await until(look, { deadline: 20_000, every: 20, patience: 5000, describe }), 'done')

  answers.push('waiting', away, away, away, away, away, away)
  const started = performance.now()
  assert.is(
    await expectedFrom(() => until(look, { deadline: 5000, every: 20, patience: 100, describe })),
    away,
  )
  assert.ok(performance.now() - started >= 100)

  assert.is(await expectedFrom(() => until(look, { deadline: 5000, every: 20, describe })), away)
  const final = new ExpectedError('refused', 'correct it')
  answers.push(final)
  assert.is(
    await expectedFrom(() => until(look, { deadline: 20_000, every: 20, patience: 5000, describe })),
    final,
  )
})

test.run()
