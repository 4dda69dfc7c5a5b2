import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { importableHash } from '../../../../lib/platform/old-accounts.ts'

test('hashes of other backends become what kratos imports', () => {
  const base64 = Buffer.alloc(32, 7).toString('base64')
  const hex = Buffer.alloc(32, 7).toString('hex')
  const bare = base64.replace(/=+$/, '')
  for (const [given, wanted] of [
    [`pbkdf2_sha256$260000$salt$${base64}`, `$pbkdf2-sha256$i=260000,l=32$c2FsdA$${bare}`],
    [`pbkdf2:sha256:150000$salt$${hex}`, `$pbkdf2-sha256$i=150000,l=32$c2FsdA$${bare}`],
    [`scrypt:32768:8:1$salt$${hex}`, `$scrypt$ln=32768,r=8,p=1$c2FsdA==$${base64}`],
    [`scrypt$16384$salt$8$1$${base64}`, `$scrypt$ln=16384,r=8,p=1$c2FsdA==$${base64}`],
    [
      `$pbkdf2-sha256$29000$c2FsdA$${bare.replaceAll('+', '.')}`,
      `$pbkdf2-sha256$i=29000,l=32$c2FsdA$${bare}`,
    ],
    [`$pbkdf2$131000$.v8$${bare}`, `$pbkdf2-sha1$i=131000,l=32$+v8$${bare}`],
    [`bcrypt$$2b$12$${'a'.repeat(53)}`, `$2b$12$${'a'.repeat(53)}`],
    ['argon2$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA', '$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA'],
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
    '!unusable-by-django',
    `bcrypt_sha256$$2b$12$${'a'.repeat(53)}`,
    'bcrypt$bcrypt$$2b$12$short',
    `scrypt$16384$$8$1$${base64}`,
    `$pbkdf2-sha256$29000$$${bare}`,
  ])
    assert.is(importableHash(none), undefined, none)
})

test('whatever stands in the column, the answer is soon there and one of kratos’ kinds', () => {
  fc.assert(
    fc.property(fc.string(), fc.nat(), (text, n) => {
      for (const given of [
        text,
        `pbkdf2:sha256:${n}$${text}$00`,
        `pbkdf2_sha256$${n}$${text}$AA==`,
        `$pbkdf2-sha256$${n}$${text}$AA`,
      ]) {
        const hash = importableHash(given)
        assert.ok(hash === undefined || /^\$(2[abzy]?|argon2id?|pbkdf2-sha\d+|scrypt)\$/.test(hash))
      }
    }),
  )
})

test.run()
