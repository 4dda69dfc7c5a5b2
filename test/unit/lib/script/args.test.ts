import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkArgs } from '../../../../lib/script/args.ts'
import type { FlagSpecs } from '../../../../lib/script/flags.ts'
import type { ScriptSpec } from '../../../../lib/script/spec.ts'
import { expectedFrom } from '../../helpers.ts'

const spec = {
  name: 'uninstall-app',
  args: { name: 'APP', help: '', choices: ['wekan', 'nextcloud'], min: 1, max: 1 },
} as unknown as ScriptSpec<FlagSpecs>
const refused = (...args: string[]) => expectedFrom(() => checkArgs(spec, args))

test('a missing argument is told with what it may be', async () => {
  const { message, fix } = await refused()
  assert.is(message, 'APP is missing')
  assert.is(fix, 'expected one of: wekan, nextcloud')
})

test('an argument that nobody knows is one short line, whatever it is', async () => {
  assert.is((await refused('WeKan')).fix, 'did you mean wekan?')
  for (const name of ['../wekan', '--flag', '"; id', "a'b", 'a\nb', '\u001b[2J', 'x'.repeat(100_000)]) {
    const { message } = await refused(name)
    assert.match(message, /^unknown APP "/)
    assert.ok(message.length < 200)
    assert.not.match(message, /\p{Cc}/u)
  }
  assert.ok((await refused('wekan', 'x'.repeat(100_000))).message.length < 200)
})

test.run()
