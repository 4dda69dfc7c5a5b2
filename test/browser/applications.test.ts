/**
 * The applications behind the panel, as stand-ins that send what their sources send (test/bed/login/stand-ins.ts): in
 * and out of each, by grants and labels, and a logout at the panel that ends a session inside an application.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { until } from '../../lib/script/wait.ts'
import { serveApplications } from '../bed/login/applications.ts'
import { askSignOn } from '../bed/login/ask-sign-on.ts'
import { LoginBed } from '../bed/login/bed.ts'
import { APPLICATIONS, type Application } from '../bed/login/stand-ins.ts'
import { suite } from '../suite.ts'
import { person, startBrowser } from './browser.ts'
import { PASSWORD } from './users.ts'

const building = { progress: (text: string) => console.error(text), waiting: () => {} }
const test = suite('applications')
const folder = mkdtempSync(join(tmpdir(), 'oas-login-'))
let bed: LoginBed
let browser: Browser

const at = (host: string, path = '/') => `https://${host}.${bed.domain}${path}`
const named = (id: string) => APPLICATIONS.find(({ clientId }) => clientId === id)!

const createUser = (username: string, metadata_admin: object) =>
  askSignOn(`${bed.kratosAdmin}/identities`, 'POST', {
    schema_id: 'default',
    traits: { username, email: `${username}@example.org`, name: username },
    metadata_admin: { subject: `subject-of-${username}`, ...metadata_admin },
    credentials: { password: { config: { password: PASSWORD } } },
  })

async function enter(page: Page, username: string): Promise<void> {
  await page.locator('[name=identifier]').fill(username)
  await page.getByLabel('Password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Sign in' }).click()
}
const open = async (page: Page, app: Application) => {
  await page.goto(at(app.host))
  await page.getByRole('link', { name: app.button }).click()
}
async function loggedIn(
  app: Application,
  username: string,
): Promise<{ context: BrowserContext; page: Page }> {
  const context = await person(browser)
  const page = await context.newPage()
  await open(page, app)
  await enter(page, username)
  return { context, page }
}

test.before(async () => {
  bed = await LoginBed.up(folder, building)
  await serveApplications(bed)
  await createUser('admin', { admin: true })
  await createUser('mia', {
    apps: Object.fromEntries(APPLICATIONS.map(({ clientId }) => [clientId, 'user'])),
  })
  await createUser('ben', { apps: {} })
  browser = await startBrowser()
})

test.after(async () => {
  await browser?.close()
  await bed?.down()
  rmSync(folder, { recursive: true, force: true })
})

for (const app of APPLICATIONS) {
  test(`${app.clientId}: in and out, as whom and as what, and not without a grant`, async () => {
    const { context, page } = await loggedIn(app, 'mia')
    const account = ['wekan', 'wordpress'].includes(app.clientId) ? 'subject-of-mia' : 'mia'
    assert.is(await page.locator('#account').textContent(), account)
    assert.is(await page.locator('#role').textContent(), 'user')
    await page.getByRole('link', { name: 'Log out' }).click()
    await page.getByRole('link', { name: app.button }).waitFor()
    assert.is(page.url(), at(app.host), 'the logout ends at the first page of the application')
    await page.getByRole('link', { name: app.button }).click()
    // Where the logout goes to hydra, somebody else may log in now; else the one of before is still signed in.
    if (app.logout) await enter(page, 'admin')
    await page.locator('#role').waitFor()
    const isAdmin = app.logout && app.clientId !== 'wordpress'
    assert.is(await page.locator('#role').textContent(), isAdmin ? 'administrator' : 'user')
    await context.close()

    const other = await loggedIn(app, 'ben')
    assert.match(await other.page.locator('main').innerText(), /You may not open/)
    await other.context.close()
  })
}

test('a logout at the panel ends the session in Nextcloud, too; in the others it remains, as the page says', async () => {
  const [nextcloud, wekan] = [named('nextcloud'), named('wekan')]
  const { context, page } = await loggedIn(nextcloud, 'mia')
  await page.locator('#account').waitFor()
  await open(page, wekan)
  await page.locator('#account').waitFor()
  const elsewhere = await loggedIn(nextcloud, 'mia')
  await elsewhere.page.locator('#account').waitFor()

  await page.goto(at('admin'))
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByLabel('Password').waitFor()
  await until(
    async () => {
      await page.goto(at(nextcloud.host))
      const isOut = await page.getByRole('link', { name: nextcloud.button }).isVisible()
      return isOut ? { done: true } : { last: undefined }
    },
    { deadline: 20_000, every: 200, describe: () => bed.processes.log('hydra').slice(-600) },
  )
  await page.goto(at(wekan.host))
  assert.is(await page.locator('#account').textContent(), 'subject-of-mia', 'Wekan takes no logout tokens')
  await elsewhere.page.goto(at(nextcloud.host))
  assert.is(await elsewhere.page.locator('#account').textContent(), 'mia', 'another browser stays logged in')
  await context.close()
  await elsewhere.context.close()
})

test('logout tokens of a stranger end nothing', async () => {
  const nextcloud = named('nextcloud')
  const { context, page } = await loggedIn(nextcloud, 'mia')
  await page.locator('#account').waitFor()
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const token = `${part({ alg: 'none' })}.${part({ sid: 'any', aud: 'nextcloud' })}.`
  const url = new URL(at(nextcloud.host, nextcloud.backChannel))
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const headers = { host: url.host, 'content-type': 'application/x-www-form-urlencoded' }
    const options = { ca: bed.ca, host: '127.0.0.1', servername: url.hostname, headers, method: 'POST' }
    httpsRequest({ ...options, port: url.port, path: url.pathname }, ({ statusCode }) => resolve(statusCode))
      .on('error', reject)
      .end(`logout_token=${token}`)
  })
  assert.is(status, 500)
  await page.goto(at(nextcloud.host))
  await page.locator('#account').waitFor()
  await context.close()
})

test('an application whose secret hydra does not know says invalid_client, and nobody gets in', async () => {
  const wekan = named('wekan')
  const url = `${bed.hydraAdmin}/clients/wekan`
  const client = await askSignOn<object>(url)
  await askSignOn(url, 'PUT', { ...client, client_secret: 'another-secret' })
  const { context, page } = await loggedIn(wekan, 'mia')
  assert.match(await page.locator('#error').innerText(), /Client authentication failed/)
  await context.close()
})

test.run()
