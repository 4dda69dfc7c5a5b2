import { generateKeyPairSync, sign } from 'node:crypto'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkLogoutToken } from '../../bed/login/logout-token.ts'

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
const keys = [{ ...publicKey.export({ format: 'jwk' }), kid: 'one' }]
const issuer = 'https://sso.example.org'
const events = { 'http://schemas.openid.net/event/backchannel-logout': {} }
const claims = { iss: issuer, aud: ['nextcloud'], sid: 'a-session', events }

function token(body: object, { kid = 'one', alg = 'RS256', key = privateKey } = {}): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${part({ kid, alg })}.${part(body)}`
  return `${signed}.${sign('RSA-SHA256', Buffer.from(signed), key).toString('base64url')}`
}
const check = (text: string) => checkLogoutToken(text, { keys, issuer, clientId: 'nextcloud' })

test('a token of hydra names the session that ends', () => {
  assert.equal(check(token(claims)), { sid: 'a-session' })
  assert.equal(check(token({ ...claims, aud: 'nextcloud' })), { sid: 'a-session' })
})

test('whatever else comes ends nothing', () => {
  for (const [text, why] of [
    [token(claims, { key: stranger }), /signature/],
    [token(claims, { kid: 'two' }), /nobody who is known/],
    [token(claims, { alg: 'none' }), /nobody who is known/],
    [token({ ...claims, aud: ['wekan'] }), /somebody else/],
    [token({ ...claims, iss: 'https://evil.example.org' }), /another issuer/],
    [token({ ...claims, events: {} }), /not one for a logout/],
    [token({ ...claims, events: null }), /not one for a logout/],
    [token({ ...claims, nonce: 'n' }), /no session/],
    [token({ ...claims, sid: undefined }), /no session/],
  ] as const)
    assert.throws(() => check(text), why)
  assert.throws(() => check('not a token'))
})

test.run()
