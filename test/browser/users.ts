/** What the browser tests do with the users of a bed. */
import { createHmac } from 'node:crypto'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { askSignOn } from '../bed/login/ask-sign-on.ts'
import type { LoginBed } from '../bed/login/bed.ts'
import type { Application } from '../bed/login/stand-ins.ts'
import { person } from './browser.ts'

/** The password of every user of the tests. */
export const PASSWORD = 'correct horse battery'

/** An identity of kratos' admin API, as the tests read it. */
export interface Account {
  id: string
  traits: Record<string, string>
  // biome-ignore lint/suspicious/noExplicitAny: whatever the panel keeps there
  metadata_admin: any
}

/** What a page says, without its markup. */
export const words = (page: Page) => page.locator('main').innerText()

/** The code that an authenticator app shows for a secret (RFC 6238: SHA-1, 30 seconds, six digits). */
export function totp(secret: string, at = Date.now()): string {
  const bits = [...secret.replace(/=+$/, '')]
    .map(character => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(character).toString(2).padStart(5, '0'))
    .join('')
  const key = Buffer.from(bits.match(/.{8}/g)!.map(byte => Number.parseInt(byte, 2)))
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(Math.floor(at / 30_000)))
  const digest = createHmac('sha1', key).update(counter).digest()
  const number = digest.readUInt32BE(digest.at(-1)! & 15) & 0x7fffffff
  return String(number % 1_000_000).padStart(6, '0')
}

/** The users of a bed, and browsers in which they are logged in. */
export class People {
  readonly #bed: LoginBed
  readonly #browser: Browser

  constructor(bed: LoginBed, browser: Browser) {
    this.#bed = bed
    this.#browser = browser
  }

  /** The address of a host of the platform. */
  at(host: string, path = '/'): string {
    return `https://${host}.${this.#bed.domain}${path}`
  }

  /** Asks an admin API. Fails for what is not a success. */
  // biome-ignore lint/suspicious/noExplicitAny: answers have any shape
  async admin(method: string, url: string, body?: unknown): Promise<any> {
    return askSignOn(url, method, body)
  }

  /** A user of the admin API, as the Job of the first user creates one. */
  create(username: string, metadata_admin: object, name = username): Promise<Account> {
    return this.admin('POST', `${this.#bed.kratosAdmin}/identities`, {
      schema_id: 'default',
      traits: { username, email: `${username}@example.org`, name },
      metadata_admin,
      credentials: { password: { config: { password: PASSWORD } } },
    })
  }

  /** The user of this name; undefined when there is none. */
  async find(username: string): Promise<Account | undefined> {
    const query = new URLSearchParams({ credentials_identifier: username })
    return (await this.admin('GET', `${this.#bed.kratosAdmin}/identities?${query}`))[0]
  }

  /** Types a name and a password into the login page that is shown. */
  async enter(page: Page, username: string, password = PASSWORD): Promise<void> {
    await page.locator('[name=identifier]').fill(username)
    await page.getByLabel('Password').fill(password)
    await page.getByRole('button', { name: 'Sign in' }).click()
  }

  /** A browser of its own, in which somebody is logged in at the panel. */
  async loggedIn(
    username: string,
    options: { width?: number; dark?: boolean; password?: string } = {},
  ): Promise<{ context: BrowserContext; page: Page }> {
    const context = await person(this.#browser, options)
    const page = await context.newPage()
    await page.goto(this.at('admin'))
    await this.enter(page, username, options.password)
    await page.getByRole('heading', { name: 'Your applications' }).waitFor()
    return { context, page }
  }

  /** Opens an application and presses its button. */
  async open(page: Page, app: Application): Promise<void> {
    await page.goto(this.at(app.host))
    await page.getByRole('link', { name: app.button }).click()
  }

  /** Gives somebody an authenticator app, and recovery codes. */
  async addSecondFactor(page: Page): Promise<{ secret: string; codes: string[] }> {
    await page.goto(this.at('admin', '/settings'))
    const app = page.getByRole('region', { name: 'Second factor' })
    const secret = (await app.locator('code').first().innerText()).trim()
    await app.getByRole('textbox').fill(totp(secret))
    await app.getByRole('button').first().click()
    await page.getByText('Saved.').waitFor()
    const recovery = page.getByRole('region', { name: 'Recovery codes' })
    await recovery.getByRole('button').first().click()
    const codes = await recovery.locator('.codes code').allInnerTexts()
    await recovery.getByRole('button', { name: /confirm/i }).click()
    await page.getByText('Saved.').waitFor()
    return { secret, codes }
  }
}
