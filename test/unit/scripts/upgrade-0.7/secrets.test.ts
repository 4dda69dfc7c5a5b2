import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { writerOf } from '../../../../scripts/upgrade-0.7/secrets.ts'

test('who has written a key last is told, and nobody else', () => {
  const by = (manager: string, time: string, ...keys: string[]) => ({
    ...{ manager, time },
    fieldsV1: { 'f:data': { '.': {}, ...Object.fromEntries(keys.map(key => [`f:${key}`, {}])) } },
  })
  const managedFields = [
    by('helm-controller', '2026-03-01T00:00:00Z', 'a', 'b'),
    by('kubectl-edit', '2026-04-01T00:00:00Z', 'a'),
    by('somebody', '2026-05-01T00:00:00Z', 'c'),
    { manager: 'labels', time: '2026-06-01T00:00:00Z', fieldsV1: { 'f:metadata': {} } },
    {},
  ]
  const existing = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a', managedFields } }
  assert.is(writerOf(existing, ['a', 'b']), 'kubectl-edit at 2026-04-01T00:00:00Z')
  assert.is(writerOf(existing, ['b']), 'helm-controller at 2026-03-01T00:00:00Z')
  assert.is(writerOf(existing, ['gone']), undefined)
  assert.is(writerOf({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } }, ['a']), undefined)
})

test.run()
