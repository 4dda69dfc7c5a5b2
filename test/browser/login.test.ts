/** People log in: the panel as it is deployed, on real hydra, kratos and PostgreSQL, in a real browser. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { serveApplications } from '../bed/login/applications.ts'
import { LoginBed } from '../bed/login/bed.ts'
import { APPLICATIONS, type Application } from '../bed/login/stand-ins.ts'
import { suite } from '../suite.ts'
import { person, startBrowser } from './browser.ts'
import { PASSWORD, People, words } from './users.ts'

const building = { progress: (text: string) => console.error(text), waiting: () => {} }
const test = suite('login')
const folder = mkdtempSync(join(tmpdir(), 'oas-login-'))
/** Screenshots, for people to look at. */
const shots = process.env.OAS_SCREENSHOTS ?? join(folder, 'screenshots')
mkdirSync(shots, { recursive: true })
let bed: LoginBed
let browser: Browser
let people: People

test.before(async () => {
  bed = await LoginBed.up(folder, building)
  await serveApplications(bed)
  browser = await startBrowser()
  people = new People(bed, browser)
  await people.create('admin', { admin: true })
})

test.after(async () => {
  await browser?.close()
  await bed?.down()
  rmSync(folder, { recursive: true, force: true })
})

const [nextcloud, rocketchat, wekan] = APPLICATIONS as [Application, Application, Application]

test('an administrator logs in at the panel, sees every application, and enters each without a password', async () => {
  const { context, page } = await people.loggedIn('admin')
  const links = page.locator('.apps').getByRole('link')
  assert.equal(await links.allInnerTexts(), ['Grafana', 'Nextcloud', 'Rocket.Chat', 'Wekan', 'WordPress'])
  for (const app of APPLICATIONS) {
    await people.open(page, app)
    const role = app.clientId === 'wordpress' ? 'user' : 'administrator'
    assert.is(await page.locator('#role').textContent(), role, app.clientId)
  }
  await context.close()
})

test('an administrator creates a user, who logs in with a code, opens what was granted, and nothing else', async () => {
  const { context, page } = await people.loggedIn('admin')
  await page.getByRole('link', { name: 'Users' }).click()
  await page.getByRole('link', { name: 'Add a user' }).click()
  await page.getByLabel('User name').fill('berta')
  await page.getByLabel('Name', { exact: true }).fill('Berta <script>alert(1)</script>')
  await page.getByLabel('E-mail').fill('berta@example.org')
  await page.getByLabel('Nextcloud').selectOption('user')
  await page.getByLabel('Wekan').selectOption('administrator')
  await page.getByRole('button', { name: 'Create user' }).click()
  const [address = '', code = ''] = await page.locator('dd code').allInnerTexts()
  await context.close()

  const berta = await person(browser, { width: 390 })
  const phone = await berta.newPage()
  await phone.goto(address)
  await phone.getByRole('textbox').fill(code)
  await phone
    .getByRole('button', { name: /continue|submit|verify/i })
    .first()
    .click()
  await phone.getByRole('heading', { name: 'Settings' }).waitFor()
  const section = phone.getByRole('region', { name: 'Password' })
  await section.getByLabel('Password').fill(PASSWORD)
  await section.getByRole('button').click()
  await phone.getByText('Saved.').waitFor()
  assert.match(await phone.getByRole('region', { name: 'Name and e-mail' }).innerText(), 'User name: berta')

  await phone.goto(people.at('admin'))
  assert.equal(await phone.locator('.apps').getByRole('link').allInnerTexts(), ['Nextcloud', 'Wekan'])
  await people.open(phone, nextcloud)
  assert.is(await phone.locator('#account').textContent(), 'berta')
  assert.is(await phone.locator('#role').textContent(), 'user')
  await people.open(phone, wekan)
  assert.is(await phone.locator('#role').textContent(), 'administrator')
  await people.open(phone, rocketchat)
  assert.match(await words(phone), 'You may not open Rocket.Chat')
  assert.match(await words(phone), 'Ask the administrator')
  assert.match(bed.processes.log('panel'), '"event":"refused","application":"rocketchat","user":"berta"')
  await berta.close()
})

test('who comes from an application logs in once, and enters the next without a password', async () => {
  const context = await person(browser)
  const page = await context.newPage()
  await people.open(page, nextcloud)
  assert.match(await words(page), 'Log in to continue to Nextcloud.')
  await people.enter(page, 'berta')
  assert.is(await page.locator('#account').textContent(), 'berta')
  await people.open(page, wekan)
  assert.is(await page.locator('#role').textContent(), 'administrator')
  await context.close()
})

test('logging out at an application ends the login here, too; at the panel it does for every application', async () => {
  const context = await person(browser)
  const page = await context.newPage()
  await people.open(page, nextcloud)
  await people.enter(page, 'berta')
  await page.getByRole('link', { name: 'Log out' }).click()
  await page.getByRole('link', { name: nextcloud.button }).waitFor()
  assert.is(new URL(page.url()).hostname, 'files.oas.localhost')
  await page.goto(people.at('admin'))
  await page.getByLabel('Password').waitFor()

  await people.enter(page, 'berta')
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByLabel('Password').waitFor()
  await people.open(page, wekan)
  await page.getByLabel('Password').waitFor()
  await context.close()
})

test('a link of a stranger logs nobody out without a question', async () => {
  const { context, page } = await people.loggedIn('berta')
  await people.open(page, wekan)
  await page.locator('#role').waitFor()
  await page.goto(people.at('sso', '/oauth2/sessions/logout'))
  assert.match(await words(page), 'Do you want to log out')
  await page.goto(people.at('admin'))
  await page.getByRole('heading', { name: 'Your applications' }).waitFor()
  await context.close()
})

test('nobody changes a user name, by the form or past it', async () => {
  const { context, page } = await people.loggedIn('berta')
  await page.getByRole('link', { name: 'Settings' }).click()
  const section = page.getByRole('region', { name: 'Name and e-mail' })
  await section.locator('[name="traits.username"]').evaluate(field => field.setAttribute('value', 'admin2'))
  await section.getByRole('button').click()
  assert.match(await words(page), 'Your user name cannot be changed')
  const identity = (await people.find('berta'))!
  assert.is(identity.traits.username, 'berta')
  assert.is(await people.find('admin2'), undefined)
  await context.close()
})

test('wrong password, disabled user, expired form, forged and replayed challenges: words, never a stack or JSON', async () => {
  const context = await person(browser)
  const page = await context.newPage()
  await page.goto(people.at('admin'))
  await people.enter(page, 'berta', 'a wrong password')
  await page.getByRole('alert').waitFor()
  const shown = async (path: string, text: RegExp | string, host = 'admin') => {
    await page.goto(people.at(host, path))
    assert.match(await words(page), text)
    assert.not.match(await page.content(), /\bat \S+\.ts|\{"/)
  }
  await shown('/login?login_challenge=forged', 'This page has expired')
  await shown('/consent?consent_challenge=forged', 'This page has expired')
  await shown('/consent', 'This page has expired')
  await shown('/logout?logout_challenge=forged', 'This page has expired')
  await shown('/nothing', 'does not exist')
  await shown('/error?error=invalid_request&error_description=<script>', 'not allowed')
  await shown('/oauth2/auth?client_id=unknown&response_type=code', 'not allowed', 'sso')
  await shown(
    '/oauth2/auth?client_id=wekan&response_type=code&state=12345678&redirect_uri=https://evil.example',
    'not allowed',
    'sso',
  )
  await shown('/login?flow=00000000-0000-4000-8000-000000000000', '')
  await page.getByLabel('Password').waitFor()
  await shown('/users', '')
  await page.getByLabel('Password').waitFor()

  // A login that was answered already: the back button and a second tab bring people there.
  const visited: string[] = []
  page.on('request', request => visited.push(request.url()))
  await people.open(page, wekan)
  await people.enter(page, 'berta')
  await page.locator('#role').waitFor()
  const used = (part: string) => visited.find(url => url.includes(part))!
  for (const part of [
    '/login?login_challenge=',
    '/consent?consent_challenge=',
    'login_verifier=',
    'consent_verifier=',
  ]) {
    await page.goto(used(part))
    await page.waitForLoadState('networkidle')
    assert.not.match(await page.content(), /\{"|stack/, part)
  }
  await shown('/users', 'Only administrators')
  await context.close()
})

test('a form of another session, and one sent twice, are refused in words', async () => {
  const one = await people.loggedIn('admin')
  const other = await people.loggedIn('admin')
  await one.page.goto(people.at('admin', '/users/new'))
  const stolen = await one.page.locator('main [name=token]').inputValue()
  await other.page.goto(people.at('admin', '/users/new'))
  await other.page
    .locator('main [name=token]')
    .evaluate((field, token) => field.setAttribute('value', token), stolen)
  await other.page.getByLabel('User name').fill('mallory')
  await other.page.getByLabel('E-mail').fill('mallory@example.org')
  await other.page.getByRole('button', { name: 'Create user' }).click()
  assert.match(await words(other.page), 'The form has expired')
  assert.is(await people.find('mallory'), undefined)
  await one.page.getByLabel('User name').fill('berta')
  await one.page.getByLabel('E-mail').fill('another@example.org')
  await one.page.getByRole('button', { name: 'Create user' }).click()
  assert.match(await words(one.page), 'is taken')
  await one.context.close()
  await other.context.close()
})

test('a grant that is withdrawn, a disabled and a deleted user: no access from the next login on', async () => {
  const { context, page } = await people.loggedIn('admin')
  const berta = await people.loggedIn('berta')
  const toBerta = async () => {
    await page.goto(people.at('admin', '/users?q=berta'))
    await page.getByRole('link', { name: 'berta' }).click()
  }
  await toBerta()
  await page.getByLabel('Wekan').selectOption('no access')
  await page.getByRole('button', { name: 'Save' }).click()
  assert.match(await words(page), 'Saved.')
  await people.open(berta.page, wekan)
  assert.match(await words(berta.page), 'You may not open Wekan')

  await toBerta()
  await page.getByRole('button', { name: 'Disable' }).click()
  await page.getByText('Disabled: this person').waitFor()
  await people.open(berta.page, nextcloud)
  await people.enter(berta.page, 'berta')
  assert.match(await words(berta.page), 'This account is disabled.')
  await page.getByRole('button', { name: 'Enable' }).click()

  await page.getByLabel('Type berta to confirm').fill('bertha')
  await page.getByRole('button', { name: 'Delete' }).click()
  assert.match(await words(page), 'not the name of this user')
  await page.getByLabel('Type berta to confirm').fill('berta')
  await page.getByRole('button', { name: 'Delete' }).click()
  await page.getByRole('heading', { name: 'Users' }).waitFor()
  await page.goto(people.at('admin', '/users/new'))
  await page.getByLabel('User name').fill('berta')
  await page.getByLabel('E-mail').fill('new@example.org')
  await page.getByRole('button', { name: 'Create user' }).click()
  assert.match(await words(page), 'stay reserved')
  await people.open(berta.page, nextcloud)
  await people.enter(berta.page, 'berta')
  assert.match(await words(berta.page), 'credentials are invalid')

  await toBerta()
  await page.getByLabel('E-mail').fill('berta@example.org')
  await page.getByRole('button', { name: 'Restore' }).click()
  await page.getByText('Restored, still without a password').waitFor()
  const restored = (await people.find('berta'))!
  assert.equal(restored.metadata_admin.apps, {})
  await context.close()
  await berta.context.close()
})

test('the last administrator can neither be disabled nor lose the label, and nobody does it to themselves', async () => {
  const { context, page } = await people.loggedIn('admin')
  await page.goto(people.at('admin', '/users?q=admin'))
  await page.getByRole('link', { name: 'admin', exact: true }).click()
  await page.getByRole('button', { name: 'Disable' }).click()
  assert.match(await words(page), 'your own account')
  await page.getByRole('checkbox', { name: /Admin:/ }).uncheck()
  await page.getByRole('button', { name: 'Save' }).click()
  assert.match(await words(page), 'your own account')
  await context.close()
})

test('who guesses passwords waits; the right one works when the wait is over', async () => {
  await people.create('carla', { apps: {} })
  const context = await person(browser)
  const page = await context.newPage()
  await page.goto(people.at('admin'))
  for (let i = 0; i < 5; i++) {
    await people.enter(page, 'carla', `wrong password ${i}`)
    await page.getByRole('alert').waitFor()
  }
  await people.enter(page, 'carla')
  const text = await page.getByRole('alert').innerText()
  assert.match(text, /Wait \d+ seconds/)
  await page.waitForTimeout(1000 * Number(/\d+/.exec(text)![0]))
  await people.enter(page, 'carla')
  await page.getByRole('heading', { name: 'Your applications' }).waitFor()
  assert.match(await words(page), 'No application is open to you yet')
  await context.close()
})

test('every page passes axe, at the width of a phone and of a desktop, light and dark', async () => {
  const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
  const wrong: string[] = []
  for (const options of [{ width: 390 }, { width: 1200, dark: true }]) {
    const look = async (page: Page, name: string) => {
      const violations = await page.evaluate(
        `${axe}; axe.run().then(({ violations }) => violations.map(v => v.id + ': ' + v.nodes.map(n => n.target).join()))`,
      )
      const wide = await page.evaluate('document.documentElement.scrollWidth > innerWidth')
      wrong.push(...(violations as string[]).map(each => `${options.width} ${name}: ${each}`))
      if (wide) wrong.push(`${options.width} ${name}: is wider than the window`)
      await page.screenshot({ path: join(shots, `${options.width}-${name}.png`), fullPage: true })
    }
    const context = await person(browser, options)
    const page = await context.newPage()
    const visit = async (path: string, name: string) => {
      await page.goto(people.at('admin', path))
      await look(page, name)
    }
    const show = async (button: string, name: string) => {
      await page.getByRole('button', { name: button }).click()
      await page.waitForLoadState()
      await look(page, name)
    }
    await visit('/login', 'login')
    const flow = new URL(page.url()).searchParams.get('flow')
    await visit(`/login?flow=${flow}&wait=30`, 'login-wait')
    await visit('/login', 'login')
    await people.enter(page, `nobody-${options.width}`, 'wrong')
    await page.getByRole('alert').waitFor()
    await look(page, 'login-wrong')
    await visit('/recovery', 'recovery')
    await visit('/nothing', 'nothing')
    await visit('/error?error=x', 'error')

    const name = `otto-${options.width}`
    const { id } = await people.create(name, { apps: {} }, 'Otto von Langenscheidt-Rübezahl')
    const otto = await people.loggedIn(name, options)
    await look(otto.page, 'no-applications')
    await otto.page.goto(people.at('admin', '/settings'))
    await look(otto.page, 'settings')
    const { codes } = await people.addSecondFactor(otto.page)
    await otto.page.getByRole('button', { name: /reveal/i }).click()
    await otto.page.getByText(codes[0]!).waitFor()
    await look(otto.page, 'settings-codes')
    await people.open(otto.page, wekan)
    await otto.page.getByRole('heading', { name: 'You may not open' }).waitFor()
    await look(otto.page, 'refused')
    await otto.page.goto(people.at('sso', '/oauth2/sessions/logout'))
    await otto.page.getByRole('heading', { name: 'Log out' }).waitFor()
    await look(otto.page, 'logout')
    await otto.context.close()
    const half = await person(browser, options)
    const step = await half.newPage()
    await step.goto(people.at('admin'))
    await people.enter(step, name)
    await step.getByRole('heading', { name: 'Second step' }).waitFor()
    await look(step, 'second-step')
    await half.close()

    await page.goto(people.at('admin'))
    await people.enter(page, 'admin')
    await page.getByRole('heading', { name: 'Your applications' }).waitFor()
    for (const [path, title] of [
      ['/', 'dashboard'],
      ['/users', 'users'],
      ['/users/new', 'user-new'],
      [`/users/${id}`, 'user'],
    ] as const)
      await visit(path, title)
    await page.goto(people.at('admin', '/users/new'))
    await page.getByLabel('User name').fill('root')
    await page.getByLabel('E-mail').fill('root@example.org')
    await show('Create user', 'user-refused')
    await page.goto(people.at('admin', `/users/${id}`))
    await show('Remove the second factor', 'user-saved')
    await show('Create a one-time code', 'handover')
    await page.goto(people.at('admin', `/users/${id}`))
    await show('Generate a new password', 'handover-password')
    await page.goto(people.at('admin', `/users/${id}`))
    await page.getByLabel(`Type ${name} to confirm`).fill(name)
    await page.getByRole('button', { name: 'Delete' }).click()
    await page.getByRole('heading', { name: 'Users' }).waitFor()
    await visit(`/users/${id}`, 'user-deleted')
    await context.close()
  }
  assert.equal(wrong, [])
})

test('a page takes less than 100 ms of server time', async () => {
  const times: number[] = []
  for (let i = 0; i < 20; i++) {
    const started = performance.now()
    const url = `http://127.0.0.1:${bed.ports.panel}/self-service/login/browser`
    assert.is((await fetch(url, { redirect: 'manual' })).status, 303)
    times.push(performance.now() - started)
  }
  const middle = times.sort((a, b) => a - b)[10]!
  assert.ok(middle < 100, `${middle} ms`)
})

test.run()
