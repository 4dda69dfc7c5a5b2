import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { run } from '../../bed/build/shell.ts'
import { expectedFrom } from '../helpers.ts'

test('arguments reach the program as they are, and no shell', async () => {
  const args = ['a b', '$HOME', '`id`', ';exit 3', '*', '', '"', "'"]
  assert.is(await run('printf', ['<%s>', ...args]), args.map(arg => `<${arg}>`).join(''))
})

test('input, folder and environment are handed on', async () => {
  assert.is(await run('cat', [], { input: 'in\n\n' }), 'in\n')
  assert.is(await run('pwd', [], { cwd: '/' }), '/')
  assert.is(await run('printenv', ['OAS_UNIT'], { env: { OAS_UNIT: 'x' } }), 'x')
})

test('ZX_ variables of the environment change nothing', async () => {
  process.env.ZX_PREFIX = 'echo hijacked;'
  assert.is(await run('echo', ['x']), 'x')
})

test('a failure tells the last line of stderr, without the arguments at the end', async () => {
  const error = await expectedFrom(() => run('ls', ['-d', '--', '/none-1', '/none-2'], { fix: 'do this' }))
  assert.match(error.message, /^`ls -d -- \/none-1` failed: .*\/none-2.*No such file/)
  assert.is(error.fix, 'do this')
  assert.match((await expectedFrom(() => run('sh', ['-c', 'exit 7']))).message, 'exit code 7')
})

test('a missing program is named with what to do', async () => {
  const error = await expectedFrom(() => run('no-such-program', ['x']))
  assert.match(error.message, 'no-such-program is not installed')
  assert.match(error.fix, 'install no-such-program')
})

test('a program that hangs is ended', async () => {
  const started = performance.now()
  const error = await expectedFrom(() => run('sleep', ['60'], { timeout: 200 }))
  assert.match(error.message, /ended by SIG/)
  assert.ok(performance.now() - started < 30_000)
})

test.run()
