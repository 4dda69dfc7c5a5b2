import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  continueCommand,
  restoreToDo,
  safetyBackup,
  standText,
  wayBack,
} from '../../../../scripts/restore/state.ts'
import { expectedFrom } from '../../helpers.ts'

const none = { 'skip-safety': false, 'accept-unproved': false }

test('what was accepted at the beginning counts until the end: no later run backs up what is removed', () => {
  const flags = { 'skip-safety': true, 'accept-unproved': true }
  const begun = restoreToDo(undefined, { app: 'core', backup: 'b', flags })
  assert.equal(begun, { app: 'core', backup: 'b', safety: 'none', unproved: 'yes' })
  const command = 'npx tsx scripts/restore.ts b --app core --accept-unproved --skip-safety'
  assert.is(continueCommand(begun), command)
  assert.equal(restoreToDo(begun, { app: 'core', backup: 'b', flags: none }), begun)
  assert.is(safetyBackup(begun), undefined)
  assert.not.match(standText(begun), /in backup/)
  assert.match(wayBack(begun), /restore another backup/)
})

test('a safety backup that is proved is kept, whatever a later run says', () => {
  const unfinished = { app: 'wekan', backup: 'b', safety: 's' }
  const flags = { ...none, 'skip-safety': true }
  assert.equal(restoreToDo(unfinished, { app: 'wekan', backup: 'b', flags }), unfinished)
  assert.is(continueCommand(unfinished), 'npx tsx scripts/restore.ts b --app wekan')
  assert.equal(restoreToDo(undefined, { app: 'wekan', backup: 'b', flags: none }), {
    app: 'wekan',
    backup: 'b',
  })
})

test('the way back to the safety backup takes the place of an unfinished restore', () => {
  const unfinished = { app: 'wekan', backup: 'b', safety: 's', restore: 'b-1' }
  const asked = { app: 'wekan', backup: 's', flags: none }
  const back = { app: 'wekan', backup: 's', safety: 'none', replaces: 'b-1' }
  assert.equal(restoreToDo(unfinished, asked), back)
  // Once its data is loaded people may have worked with it: that is backed up, unless it is declined.
  const loaded = { ...unfinished, loaded: 'yes' as const }
  assert.equal(restoreToDo(loaded, asked), { app: 'wekan', backup: 's', replaces: 'b-1' })
  assert.equal(restoreToDo(loaded, { ...asked, flags: { ...none, 'skip-safety': true } }), back)
})

test('while a restore is unfinished no other begins; the refusal names the three ways on', async () => {
  const unfinished = { app: 'wekan', backup: 'b', safety: 's' }
  for (const asked of [
    { app: 'wekan', backup: 'c' },
    { app: 'core', backup: 'b' },
    { app: 'core', backup: 's' },
  ]) {
    const error = await expectedFrom(() => restoreToDo(unfinished, { ...asked, flags: none }))
    assert.is(error.exitCode, 4)
    assert.match(
      error.fix,
      /finish it: \S+ tsx \S+restore\.ts b --app wekan; or go back: .*\.ts s --app wekan;/,
    )
    assert.match(error.fix, /or give it up: npx tsx scripts\/restore\.ts b --app wekan --abandon$/)
  }
})

test('an interrupted restore says where it stands', () => {
  const at = (more: object) => standText({ app: 'wekan', backup: 'old', ...more })
  assert.match(at({}), /wekan may be suspended in Flux and stopped; the volumes stay on the server/)
  assert.match(at({ safety: 's' }), /stopped, and what it had is in backup s; the volumes stay/)
  assert.match(at({ safety: 's', restore: 'r' }), /being restored from old \(Restore r\)/)
  assert.match(at({ safety: 's', restore: 'r', loaded: 'yes' }), /wekan has the data of old/)
})

test('the way back names the safety backup, where there is one', () => {
  assert.match(wayBack({ app: 'wekan', backup: 'a', safety: 'b' }), /restore\.ts b --app wekan/)
  assert.match(wayBack({ app: 'wekan', backup: 'a' }), /restore another backup/)
})

test.run()
