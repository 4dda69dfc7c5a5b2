import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fileTime } from '../../../../lib/script/timestamp.ts'

test('a time in the name of a file is in UTC, and has nothing in it that a shell or a file system takes', () => {
  const at = new Date('2026-01-02T04:04:05.678+01:00')
  assert.is(fileTime(at), '2026-01-02T03-04-05Z')
  assert.is(fileTime(at, { milliseconds: true }), '2026-01-02T03-04-05-678Z')
})

test('names sort by time', () => {
  const times = ['2025-12-31T23:59:59.999Z', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.001Z']
  const names = times.map(time => fileTime(new Date(time), { milliseconds: true }))
  assert.equal([...names].sort(), names)
})

test.run()
