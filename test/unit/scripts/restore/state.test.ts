import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Kubectl, Ref } from '../../../../lib/kubectl/kubectl.ts'
import {
  abandonRestore,
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

test('a way back that has not come to its own Restore still knows the one that Velero works on', () => {
  const unfinished = { app: 'wekan', backup: 'b', safety: 's', replaces: 'a-1' }
  assert.is(restoreToDo(unfinished, { app: 'wekan', backup: 's', flags: none }).replaces, 'a-1')
})

test('giving up a restore ends its Restore and the one whose place it takes, and tells of both', async () => {
  for (const own of [{}, { restore: 's-1' }]) {
    const data = { app: 'wekan', backup: 's', safety: 'none', replaces: 'b-1', ...own }
    const ended: string[] = []
    let planned: readonly string[] = []
    const kubectl = {
      client: { clockOffset: 0, request: async () => ({ metadata: {} }) }, // the lock
      get: async ({ kind, name }: Ref) => {
        if (kind === 'Restore') ended.push(name)
        return kind === 'ConfigMap' ? { data } : undefined
      },
      delete: async () => true,
    } as unknown as Kubectl
    const cleanups: (() => unknown)[] = []
    const run = {
      log: { warn: () => undefined },
      onEnd: (work: () => unknown) => cleanups.push(work),
      agreeByName: async (plan: readonly string[]) => {
        planned = plan
        return true
      },
      step: async (_name: string, _byHand: string, work: () => Promise<unknown>) => work(),
      next: () => undefined,
    } as unknown as Parameters<typeof abandonRestore>[0]
    await abandonRestore(run, kubectl, { app: 'wekan', backup: 's', confirm: undefined })
    for (const work of cleanups) await work()
    const restores = [...Object.values(own), 'b-1']
    assert.equal(ended, restores)
    const lines = restores.map(name => `have Velero end Restore ${name}`)
    assert.equal(planned.slice(0, restores.length), lines)
    assert.match(planned[restores.length]!, 'forget the restore of wekan from s')
  }
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
