/** Mail to users: a forgotten password on a platform that sends mail, with a real mail server. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import * as assert from 'uvu/assert'
import type { Identity } from '../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import { until } from '../../lib/script/wait.ts'
import { freePort } from '../bed/cluster/ports.ts'
import { LoginBed } from '../bed/login/bed.ts'
import { suite } from '../suite.ts'
import { person, startBrowser } from './browser.ts'
import { People, words } from './users.ts'

const building = { progress: (text: string) => console.error(text), waiting: () => {} }
const test = suite('mail')
const folder = mkdtempSync(join(tmpdir(), 'oas-mail-'))
let bed: LoginBed
let browser: Browser

test.before(async () => {
  bed = await LoginBed.up(folder, building, await freePort())
  const response = await fetch(`${bed.kratosAdmin}/identities`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      schema_id: 'default',
      traits: { username: 'mia', email: 'mia@example.org' },
      metadata_admin: { apps: {} },
    }),
  })
  assert.ok(response.ok, await response.text())
  browser = await startBrowser()
})

test.after(async () => {
  await browser?.close()
  await bed?.down()
  rmSync(folder, { recursive: true, force: true })
})

test('whoever forgot the password gets a code by mail, sets another, and logs in', async () => {
  const context = await person(browser)
  const page = await context.newPage()
  await page.goto(`https://admin.${bed.domain}/`)
  await page.getByRole('link', { name: 'Forgot' }).click()
  await page.locator('[name=email]').fill('mia@example.org')
  await page.locator('main').getByRole('button').first().click()
  const code = await until<string, string>(
    async () => {
      const mails = bed.mail!.received()
      const [, found] = /^\s*(\d{6})\s*$/m.exec(mails) ?? []
      return found ? { done: found } : { last: mails }
    },
    {
      deadline: 60_000,
      every: 200,
      describe: last => `${last}\n${bed.processes.log('kratos').slice(-2000)}`,
    },
  )
  assert.match(bed.mail!.received(), /^To: mia@example\.org/m)
  assert.match(bed.mail!.received(), /^From: .*oas@oas\.localhost/m)
  await page.locator('[name=code]').fill(code)
  await page.locator('main').getByRole('button').first().click()
  const section = page.getByRole('region', { name: 'Password' })
  await section.getByLabel('Password').fill('correct horse battery')
  await section.getByRole('button').click()
  await page.getByText('Saved.').waitFor()
  await context.close()

  const again = await person(browser)
  const login = await again.newPage()
  await login.goto(`https://admin.${bed.domain}/`)
  await login.locator('[name=identifier]').fill('mia')
  await login.getByLabel('Password').fill('correct horse battery')
  await login.getByRole('button', { name: 'Sign in' }).click()
  await login.getByRole('heading', { name: 'Your applications' }).waitFor()
  await again.close()
})

test('a new address is confirmed by the link of the mail that is sent to it', async () => {
  const people = new People(bed, browser)
  const { context, page } = await people.loggedIn('mia')
  await page.goto(people.at('admin', '/settings'))
  const section = page.getByRole('region', { name: 'Name and e-mail' })
  await section.locator('[name="traits.email"]').fill('mia.new@example.org')
  await section.getByRole('button').click()
  await page.getByText('Saved.').waitFor()
  const link = await until<string, string>(
    async () => {
      const mails = bed
        .mail!.received()
        .replace(/=\r?\n/g, '')
        .replaceAll('=3D', '=')
      const [found] = /https:[^\s"<>]+\/self-service\/verification\?[^\s"<>]+/.exec(mails) ?? []
      return found ? { done: found } : { last: mails }
    },
    { deadline: 60_000, every: 200, describe: last => `${last}` },
  )
  const verified = async () => {
    const { verifiable_addresses } = (await people.find('mia')) as never as Identity
    return verifiable_addresses?.map(({ value, verified }) => `${value} ${verified}`).join()
  }
  assert.is(await verified(), 'mia.new@example.org false')
  await page.goto(link.replaceAll('&amp;', '&'))
  await page
    .getByRole('button', { name: /continue|submit|verify/i })
    .first()
    .click()
  await page.getByRole('link', { name: 'Back to your applications' }).waitFor()
  assert.match(await words(page), 'successfully verified')
  assert.is(await verified(), 'mia.new@example.org true')
  await context.close()
})

test.run()
