import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { diffSecret } from '../../../../lib/secret-backup/diff.ts'
import { changedAt, diffText, fingerprints } from '../../../../scripts/restore-secrets/diff.ts'
import { anySecret, base64 } from '../../secrets.ts'

test('a comparison never shows a value, and its fingerprints cannot be guessed', () => {
  fc.assert(
    fc.property(anySecret, anySecret, (one, other) => {
      const text = diffText(diffSecret(one, other), fingerprints()).join('\n')
      for (const value of [...Object.values(one.data), ...Object.values(other.data)] as string[])
        if (value.length > 12) assert.not.ok(text.includes(value))
    }),
  )
  const [print, another] = [fingerprints(), fingerprints()]
  const value = base64('x'.repeat(32))
  assert.match(print(value), /^32 bytes #[0-9a-f]{8}$/)
  assert.is(print(value), print(value))
  assert.is.not(print(value), another(value))
  assert.is.not(print(value), print(base64('y'.repeat(32))))
  assert.equal([print(undefined), print(''), print(base64('x')).slice(0, 7)], ['none', 'empty', '1 byte '])
})

test('the time of the last change is told', () => {
  const metadata = {
    name: 'a',
    creationTimestamp: '2026-01-01T00:00:00Z',
    managedFields: [{ time: '2026-03-01T00:00:00Z' }, {}, { time: '2026-02-01T00:00:00Z' }],
  }
  assert.is(changedAt({ apiVersion: 'v1', kind: 'Secret', metadata }), '2026-03-01T00:00:00Z')
  assert.is(changedAt({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } }), undefined)
})

test.run()
