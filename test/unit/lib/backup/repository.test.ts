import { createCipheriv, hkdfSync, randomBytes, scryptSync } from 'node:crypto'
import * as assert from 'uvu/assert'
import { opensRepository } from '../../../../lib/backup/repository.ts'
import { test } from '../../../suite.ts'

/** `kopia.repository` as kopia writes it (github.com/kopia/kopia repo/format); test/server/backup.test.ts asks kopia itself. */
function repository(password: string): Record<string, unknown> {
  const salt = randomBytes(32)
  const master = scryptSync(password, salt, 32, { N: 65536, r: 8, p: 1, maxmem: 128 * 1024 * 1024 })
  const key = (purpose: string) => Buffer.from(hkdfSync('sha256', master, salt, purpose, 32))
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key('AES'), nonce)
  cipher.setAAD(key('CHECKSUM'))
  const sealed = Buffer.concat([nonce, cipher.update('{"version":3}'), cipher.final(), cipher.getAuthTag()])
  return {
    tool: 'https://github.com/kopia/kopia',
    uniqueID: salt.toString('base64'),
    keyAlgo: 'scrypt-65536-8-1',
    encryption: 'AES256_GCM',
    encryptedBlockFormat: sealed.toString('base64'),
  }
}
const file = (content: unknown) => Buffer.from(JSON.stringify(content))

test('a repository is opened by its password and by no other', async () => {
  const made = repository('a password')
  assert.is(await opensRepository(file(made), 'a password'), 'opened')
  assert.is(await opensRepository(file(made), 'static-passw0rd'), 'refused')
  assert.is(
    await opensRepository(file({ ...made, keyAlgo: 'pbkdf2-sha256-600000' }), 'a password'),
    'unknown',
  )
})

test('what is not the file of a repository is damaged, not refused', async () => {
  const made = repository('a password')
  for (const wrong of [{}, { ...made, uniqueID: 'AA==' }, { ...made, encryptedBlockFormat: '' }, [], 1])
    await opensRepository(file(wrong), 'a password').then(
      () => assert.unreachable(JSON.stringify(wrong)),
      error => assert.instance(error, Error),
    )
  await opensRepository(Buffer.from('{'), 'a password').then(assert.unreachable, () => {})
})

test.run()
