import { createPublicKey, type JsonWebKey, verify } from 'node:crypto'

/** The event that makes a token one for a logout (OpenID Connect Back-Channel Logout 1.0, 2.4). */
const EVENT = 'http://schemas.openid.net/event/backchannel-logout'

/**
 * What a logout token says, checked as user_oidc v8.10 does it (nextcloud/user_oidc, lib/Controller/LoginController.php,
 * backChannelLogout): signature, audience, event, no nonce, the session. Throws with what is wrong.
 */
export function checkLogoutToken(
  token: string,
  { keys, issuer, clientId }: { keys: readonly object[]; issuer: string; clientId: string },
): { sid: string } {
  const [head = '', body = '', signature = ''] = token.split('.')
  const part = (text: string) =>
    JSON.parse(Buffer.from(text, 'base64url').toString()) as Record<string, unknown>
  const { kid, alg } = part(head)
  const key = keys.find(each => (each as { kid?: string }).kid === kid)
  if (!key || alg !== 'RS256') throw new Error('the logout token is signed by nobody who is known')
  const signed = Buffer.from(`${head}.${body}`)
  const isOurs = verify(
    'RSA-SHA256',
    signed,
    createPublicKey({ key: key as JsonWebKey, format: 'jwk' }),
    Buffer.from(signature, 'base64url'),
  )
  if (!isOurs) throw new Error('the signature of the logout token does not fit')
  const { aud, events, iss, nonce, sid } = part(body)
  if (![aud].flat().includes(clientId)) throw new Error('the logout token is for somebody else')
  if (iss !== issuer) throw new Error('the logout token is of another issuer')
  if (typeof events !== 'object' || events === null || !(EVENT in events))
    throw new Error('the token is not one for a logout')
  if (nonce !== undefined || typeof sid !== 'string') throw new Error('the logout token names no session')
  return { sid }
}
