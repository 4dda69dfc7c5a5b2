import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ExpectedErrors } from '../../../../lib/script/errors.ts'
import { importableHash } from '../../../../scripts/users/hash.ts'
import { importPlan } from '../../../../scripts/users/import.ts'
import { peopleOf } from '../../../../scripts/users/people.ts'

test('hashes of other backends become what kratos imports', () => {
  const base64 = Buffer.alloc(32, 7).toString('base64')
  const hex = Buffer.alloc(32, 7).toString('hex')
  const bare = base64.replace(/=+$/, '')
  for (const [given, wanted] of [
    [`pbkdf2_sha256$260000$salt$${base64}`, `$pbkdf2-sha256$i=260000,l=32$c2FsdA$${bare}`],
    [`pbkdf2:sha256:150000$salt$${hex}`, `$pbkdf2-sha256$i=150000,l=32$c2FsdA$${bare}`],
    [`scrypt:32768:8:1$salt$${hex}`, `$scrypt$ln=32768,r=8,p=1$c2FsdA==$${base64}`],
  ])
    assert.is(importableHash(given!), wanted)
  for (const kept of [`$2b$12$${'a'.repeat(53)}`, '$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA'])
    assert.is(importableHash(kept), kept)
  for (const none of [
    '',
    '!',
    'md5$salt$00',
    'pbkdf2_sha256$x$salt$AA==',
    'pbkdf2:sha256:1$$00',
    '$2b$12$short',
  ])
    assert.is(importableHash(none), undefined, none)
})

test('whatever stands in the column, the answer is soon there and one of kratos’ kinds', () => {
  fc.assert(
    fc.property(fc.string(), fc.nat(), (text, n) => {
      for (const given of [text, `pbkdf2:sha256:${n}$${text}$00`, `pbkdf2_sha256$${n}$${text}$AA==`]) {
        const hash = importableHash(given)
        assert.ok(hash === undefined || /^\$(2[abzy]?|argon2id?|pbkdf2-sha\d+|scrypt)\$/.test(hash))
      }
    }),
  )
})

test('an import tells of a password of before without showing it, and names a hash that cannot be taken', () => {
  const bcrypt = `$2b$12$${'a'.repeat(53)}`
  const file = (hash: string) => `username,email,password_hash\nmia,mia@example.org,${hash}\n`
  const [{ line, action } = assert.unreachable() as never] = importPlan(
    peopleOf(file(bcrypt), []),
    [],
  ).actions
  assert.match(line, 'with the password of before')
  assert.not.match(line, bcrypt)
  assert.ok(action.does === 'create' && action.hash === bcrypt)
  try {
    peopleOf(file('plain-text-secret'), [])
    assert.unreachable()
  } catch (error) {
    const text = error instanceof ExpectedErrors ? error.problems.map(String).join() : String(error)
    assert.match(text, 'line 2: the password_hash of mia')
    assert.not.match(text, 'plain-text-secret')
  }
})

test.run()
