/**
 * Browsers in which somebody has logged in before. Attempts from there are counted by the browser and no longer with
 * everybody's: whoever keeps guessing from elsewhere does not keep an account's owner waiting
 * (https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies).
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

const NAME = 'oas_known'
/** Seconds: 90 days. */
const AGE = 90 * 24 * 3600

const seal = (secret: string, account: string, browser: string) =>
  createHmac('sha256', secret).update(`known ${account} ${browser}`).digest('base64url')

/** The cookie of a browser in which an account's owner has just logged in. */
export function knownCookie(secret: string, account: string): string {
  const browser = randomBytes(12).toString('base64url')
  const value = `${browser}.${seal(secret, account, browser)}`
  return `${NAME}=${value}; Path=/self-service/login; Max-Age=${AGE}; Secure; HttpOnly; SameSite=Lax`
}

/** The browser, when its cookies say that this account's owner has logged in there; undefined for any other. */
export function knownBrowser(secret: string, account: string, cookie: string): string | undefined {
  const prefix = `${NAME}=`
  const value = cookie
    .split('; ')
    .find(each => each.startsWith(prefix))
    ?.slice(prefix.length)
  const [browser = '', mac = ''] = value?.split('.') ?? []
  const expected = Buffer.from(seal(secret, account, browser))
  const given = Buffer.from(mac)
  return given.length === expected.length && timingSafeEqual(given, expected) ? browser : undefined
}
