import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { UsageError } from '../../../../lib/script/errors.ts'
import {
  askConfirm,
  askSecret,
  askSelect,
  askSeveral,
  askText,
  interactive,
} from '../../../../lib/script/prompt.ts'
import { expectedFrom } from '../../helpers.ts'

const question = { message: 'Which domain?', flag: '--set domain=VALUE' }
const questions = {
  askText: () => askText({ ...question, default: 'x' }),
  askSecret: () => askSecret(question),
  askConfirm: () => askConfirm(question),
  askSelect: () => askSelect({ ...question, choices: ['a', 'b'] }),
  askSeveral: () => askSeveral({ ...question, choices: [{ value: 'a', name: 'A' }] }),
}

/** With both ends called terminals or not: whether somebody is there is decided by nothing else than this and CI. */
async function withTerminal(stdin: boolean, stderr: boolean, ci: string, work: () => unknown) {
  const before = [process.stdin.isTTY, process.stderr.isTTY, process.env.CI] as const
  process.stdin.isTTY = stdin
  process.stderr.isTTY = stderr
  process.env.CI = ci
  try {
    await work()
  } finally {
    process.stdin.isTTY = before[0]
    process.stderr.isTTY = before[1]
    if (before[2] === undefined) delete process.env.CI
    else process.env.CI = before[2]
  }
}

for (const [name, ask] of Object.entries(questions))
  test(`${name} without a terminal fails at once and names the flag`, () =>
    withTerminal(false, false, '', async () => {
      const error = await expectedFrom(ask)
      assert.instance(error, UsageError)
      assert.match(error.message, 'Which domain?')
      assert.is(error.fix, 'give --set domain=VALUE')
    }))

test('somebody is there only when both ends are a terminal, and CI is nobody', async () => {
  for (const [stdin, stderr, ci, expected] of [
    [true, true, '', true],
    [false, true, '', false],
    [true, false, '', false],
    [true, true, 'true', false],
  ] as const)
    await withTerminal(stdin, stderr, ci, () => assert.is(interactive(), expected))
})

test.run()
