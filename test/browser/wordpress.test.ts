/**
 * The real WordPress with the files of flux2/apps/wordpress, behind the real hydra, kratos and panel, in a browser. Its
 * plugin openid-connect-generic is in neither Debian nor npm: where OAS_WORDPRESS_PLUGIN does not name a folder with
 * it, a stand-in of it is used (test/bed/login/wordpress-plugin).
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { LoginBed } from '../bed/login/bed.ts'
import { WordPress } from '../bed/login/wordpress.ts'
import { suite } from '../suite.ts'
import { person, startBrowser } from './browser.ts'
import { People, words } from './users.ts'

const building = { progress: (text: string) => console.error(text), waiting: () => {} }
const test = suite('WordPress')
const folder = mkdtempSync(join(tmpdir(), 'oas-wordpress-'))
let bed: LoginBed
let wordpress: WordPress
let browser: Browser
let people: People

test.before(async () => {
  bed = await LoginBed.up(folder, building)
  wordpress = await WordPress.start(bed, folder)
  console.error(`the plugin is ${wordpress.isReal ? 'the real one' : 'a stand-in'}`)
  browser = await startBrowser()
  people = new People(bed, browser)
})
test.after(async () => {
  await browser?.close()
  await bed?.down()
  rmSync(folder, { recursive: true, force: true })
})

/** Opens the login page of WordPress in a browser of its own, and presses the button. */
async function opened(): Promise<Page> {
  const page = await (await person(browser)).newPage()
  await pressed(page)
  return page
}
async function pressed(page: Page): Promise<void> {
  await page.goto(people.at('www', '/wp-login.php'))
  await page.getByRole('link', { name: 'Login with OpenID Connect' }).click()
}
/** Waits until WordPress shows its administration to somebody. */
const greeted = (page: Page, name: string) =>
  page.locator('#wp-admin-bar-my-account').getByText(name).first().waitFor()
const accounts = (where: string) =>
  wordpress.sql(`SELECT user_login, user_email, meta_value FROM wordpress.wp_users
    JOIN wordpress.wp_usermeta ON user_id = ID AND meta_key = 'wp_capabilities' WHERE ${where}`)

test('in by the button, as a subscriber; out ends at the first page, and ends single sign-on, too', async () => {
  await people.create('mia', { apps: { wordpress: 'user' }, subject: 'subject-of-mia' })
  const page = await opened()
  await people.enter(page, 'mia')
  await greeted(page, 'mia')
  assert.match(await accounts("user_login = 'mia'"), /^mia\tmia@example\.org\t.*"subscriber"/)
  // What its own menu has: the link with a nonce.
  await page.goto((await page.locator('#wp-admin-bar-logout a').getAttribute('href'))!)
  await page.waitForURL(people.at('www'))
  await pressed(page)
  await page.locator('[name=identifier]').waitFor()
  await page.context().close()
})

test('whoever is logged in at the panel enters without a password; without a grant nobody does', async () => {
  const mia = await people.loggedIn('mia')
  await pressed(mia.page)
  await greeted(mia.page, 'mia')
  await mia.context.close()
  await people.create('ben', { apps: {} })
  const page = await opened()
  await people.enter(page, 'ben')
  await page.getByRole('heading', { name: /may not open/ }).waitFor()
  assert.match(await words(page), 'WordPress')
  assert.is(await accounts("user_login = 'ben'"), '')
  await page.context().close()
})

test('somebody who is created again, with the subject of before, has the account of before', async () => {
  const before = await wordpress.sql("SELECT ID FROM wordpress.wp_users WHERE user_login = 'mia'")
  const { id } = (await people.find('mia'))!
  await people.admin('DELETE', `${bed.kratosAdmin}/identities/${id}`)
  await people.create('mia', { apps: { wordpress: 'user' }, subject: 'subject-of-mia' })
  const page = await opened()
  await people.enter(page, 'mia')
  await greeted(page, 'mia')
  assert.is(await wordpress.sql("SELECT ID FROM wordpress.wp_users WHERE user_login LIKE 'mia%'"), before)
  await page.context().close()
})

test("nobody becomes an account of WordPress' own, whatever his name: the administrator stays who he is", async () => {
  await people.create('admin', { admin: true })
  const page = await opened()
  await people.enter(page, 'admin')
  await page.waitForURL(
    url => url.host.startsWith('www.') && !url.search.includes('openid-connect-authorize'),
  )
  assert.match(
    await accounts("user_login = 'admin'"),
    /^admin\twordpress-admin@example\.org\t.*"administrator"/,
  )
  assert.not.match(await accounts("user_login <> 'admin'"), '"administrator"')
  await page.context().close()
})

test('with certificates of the staging issuer WordPress logs in, and with those of nobody it does not', async () => {
  wordpress.trust(false)
  const refused = await opened()
  await people.enter(refused, 'mia')
  assert.match(await refused.locator('#login_error').innerText(), /cURL error 60/)
  await refused.context().close()
  wordpress.configure({ cluster_issuer: 'letsencrypt-staging' })
  const page = await opened()
  await people.enter(page, 'mia')
  await greeted(page, 'mia')
  await page.context().close()
})

test.run()
