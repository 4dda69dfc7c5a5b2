/** Attacks on single sign-on as it is deployed: over the ingress, on the real kratos and hydra, and in a browser. */
import { mkdtempSync, rmSync } from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { serveApplications } from '../bed/login/applications.ts'
import { LoginBed } from '../bed/login/bed.ts'
import { APPLICATIONS, type Application } from '../bed/login/stand-ins.ts'
import { suite } from '../suite.ts'
import { person, startBrowser } from './browser.ts'
import { type Account, PASSWORD, People, totp, words } from './users.ts'

const building = { progress: (text: string) => console.error(text), waiting: () => {} }
const test = suite('attacks')
const folder = mkdtempSync(join(tmpdir(), 'oas-attacks-'))
const [nextcloud, , wekan] = APPLICATIONS as [Application, Application, Application]
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

interface Got {
  status: number
  headers: IncomingHttpHeaders
  text: string
}

interface Asked {
  host?: string
  method?: string
  body?: string
  headers?: Record<string, string>
}

/** A program that attacks, at an address of its own on loopback, with the cookies that it is given. */
class Attacker {
  static #addresses = 0
  /** Cookies by host below the domain, and name. */
  readonly cookies = new Map<string, string>()
  readonly address: string

  constructor() {
    const number = ++Attacker.#addresses
    this.address = `127.0.${1 + (number >> 8)}.${number & 255}`
  }

  /** Sends a request to admin.DOMAIN, or to another host, as it is: nobody tidies its path. */
  ask(path: string, options: Asked = {}): Promise<Got> {
    const { method = 'GET', body, headers, host = 'admin' } = options
    const mine = [...this.cookies].filter(([name]) => name.startsWith(`${host} `))
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          host: '127.0.0.1',
          port: bed.ports.ingress,
          localAddress: this.address,
          ca: bed.ca,
          servername: `${host}.oas.localhost`,
          path,
          method,
          agent: false,
          headers: {
            host: `${host}.${bed.domain}`,
            cookie: mine.map(([name, value]) => `${name.slice(host.length + 1)}=${value}`).join('; '),
            ...headers,
          },
        },
        async answer => {
          for (const cookie of answer.headers['set-cookie'] ?? []) {
            const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
            this.cookies.set(`${host} ${name}`, value)
          }
          const pieces: Buffer[] = []
          for await (const piece of answer) pieces.push(piece)
          const text = Buffer.concat(pieces).toString()
          resolve({ status: answer.statusCode!, headers: answer.headers, text })
        },
      )
      sent.on('error', reject)
      sent.end(body)
    })
  }

  /** Follows redirects, also those of pages, from an address until one holds this text; returns that, unvisited. */
  async follow(from: string, until: string): Promise<string> {
    let url = new URL(from)
    for (let hops = 0; hops < 12; hops++) {
      if (url.href.includes(until)) return url.href
      const host = url.hostname.split('.')[0]!
      const { headers, text } = await this.ask(url.pathname + url.search, { host })
      const [, refresh] = /http-equiv="refresh" content="0;url=([^"]+)"/.exec(text) ?? []
      const next = headers.location ?? refresh?.replaceAll('&amp;', '&')
      if (!next) return `${url.href} stays: ${text.slice(0, 300)}`
      url = new URL(next, url)
    }
    return 'goes on for ever'
  }

  get hasSession(): boolean {
    return Boolean(this.cookies.get('admin ory_kratos_session'))
  }

  /** Logs in with the password of every user. */
  async logIn(identifier: string): Promise<void> {
    const { action, csrf_token } = await this.form()
    await this.send(action, { csrf_token, method: 'password', identifier, password: PASSWORD })
    assert.ok(this.hasSession)
  }

  /** Opens the login form; returns where it is sent, and its token. */
  async form(query = ''): Promise<{ action: string; csrf_token: string }> {
    const begun = await this.ask(`/self-service/login/browser${query}`)
    const to = new URL(begun.headers.location!)
    const page = await this.ask(to.pathname + to.search)
    const [, csrf = ''] = /name="csrf_token" value="([^"]+)"/.exec(page.text) ?? []
    const flow = to.searchParams.get('flow')!
    return { action: `/self-service/login?flow=${flow}`, csrf_token: csrf.replaceAll('&#x3D;', '=') }
  }

  send(path: string, fields: Record<string, string>, headers: Record<string, string> = {}) {
    const body = new URLSearchParams(fields).toString()
    return this.ask(path, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'text/html', ...headers },
    })
  }
}

/** The seconds that an answer asks to wait for; 0 when what was sent was tried. */
const waitIn = ({ headers }: Got) => Number(/[?&]wait=(\d+)/.exec(headers.location ?? '')?.[1] ?? 0)

/** Whether a wait is over that began so many milliseconds ago, after so many attempts of which some were free: 2, 4, 8 … seconds. */
const isOver = (since: number, attempts: number, free: number) =>
  attempts >= free && performance.now() - since >= 1000 * 2 ** (attempts - free + 1)

/** Guesses, and waits as it is told to, until the next wait outlasts what a test does then. Returns the free guesses. */
async function guess(attempt: (i: number) => Promise<Got>): Promise<number> {
  let free = 0
  let last = 0
  for (let i = 0; ; i++) {
    const before = last
    last = performance.now()
    const wait = waitIn(await attempt(i))
    if (wait === 0 && free === i && !isOver(before, i, 5)) free++
    if (wait >= 16) return free
    await new Promise(resolve => setTimeout(resolve, wait * 1000))
  }
}

test('after five guesses no spelling, form, cookie or address gets the right password tried at once', async () => {
  await people.create('victim', { apps: {} })
  const names = [
    ...['victim', 'VICTIM', ' victim', 'victim\u00a0', '\u3000victim', 'victim\t', 'victim@example.org'],
    ...[
      'Victim@Example.org',
      'vic\u200btim',
      'victim\u200d',
      '\uff56\uff49\uff43\uff54\uff49\uff4d',
      'v\u0131ctim',
    ],
  ]
  const free = await guess(async i => {
    const attacker = new Attacker()
    const { action, csrf_token } = await attacker.form()
    const password = `wrong password ${i}`
    return attacker.send(action, { csrf_token, method: 'password', identifier: 'victim', password })
  })
  assert.is(free, 5)
  const secret = encodeURIComponent(PASSWORD)
  const named = (identifier: string) => `method=password&identifier=${identifier}&password=${secret}`
  const multipart = ['method=password', 'identifier=victim', `password=${PASSWORD}`]
    .map(field => field.split('='))
    .map(([name, value]) => `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`)
  const json = { method: 'password', identifier: 'victim', password: PASSWORD }
  const variants: [string, string, Record<string, string>?][] = [
    ...names.map((name): [string, string] => [name, named(encodeURIComponent(name))]),
    ['JSON', JSON.stringify(json), { 'content-type': 'application/json' }],
    ['multipart', `${multipart.join('')}--b--\r\n`, { 'content-type': 'multipart/form-data; boundary=b' }],
    ['the field twice', `${named('nobody')}&identifier=victim`],
    ['the older field', `method=password&password_identifier=victim&password=${secret}`],
    ['both fields', `${named('')}&password_identifier=victim`],
    ['a forged address', named('victim'), { 'x-forwarded-for': '198.51.100.1', 'x-real-ip': '198.51.100.1' }],
    ['an invented session', named('victim'), { cookie: 'ory_kratos_session=invented' }],
  ]
  await Promise.all(
    variants.map(async ([name, body, headers]) => {
      const attacker = new Attacker()
      const { action, csrf_token } = await attacker.form()
      await attacker.ask(action, {
        method: 'POST',
        body: headers?.['content-type'] ? body : `${body}&csrf_token=${encodeURIComponent(csrf_token)}`,
        headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      })
      assert.not(attacker.hasSession, name)
    }),
  )
})

test('no other way leads to kratos: flows for programs, doubled slashes, encoded paths, whoami, hooks', async () => {
  const attacker = new Attacker()
  for (const path of [
    '/self-service/login/api',
    '/self-service//login/api',
    '//self-service/login/api',
    '/self-service/./login/api',
    '/self-service/%6cogin/api',
    '/self-service%2flogin%2fapi',
    '/self-service/login/browser/../api',
    '/self-service/login/flows?id=00000000-0000-4000-8000-000000000000',
    '/self-service/registration/browser',
    '/self-service/logout/browser',
    '/self-service/logout?token=x',
    '/self-service/recovery/api',
    '/self-service/errors?id=stub:500',
    '/sessions/whoami',
    '/sessions',
    '/schemas',
    '/admin/identities',
    '/hooks/settings',
    '/hooks/password',
    '/health/../hooks/settings',
  ])
    for (const method of ['GET', 'POST']) {
      const { status, text } = await attacker.ask(path, { method })
      assert.is(status, 404, `${method} ${path}`)
      assert.match(text, 'This page does not exist', path)
    }
})

test('forty guesses at once: kratos is asked for five of them', async () => {
  await people.create('crowd', { apps: {} })
  const attackers = await Promise.all(
    Array.from({ length: 40 }, async () => {
      const attacker = new Attacker()
      return { attacker, form: await attacker.form() }
    }),
  )
  const began = performance.now()
  const answers = await Promise.all(
    attackers.map(({ attacker, form: { action, csrf_token } }, i) =>
      attacker.send(action, {
        ...{
          csrf_token,
          method: 'password',
          identifier: 'crowd',
          password: i === 39 ? PASSWORD : `wrong ${i}`,
        },
      }),
    ),
  )
  const passed = answers.filter(answer => waitIn(answer) === 0).length
  // On a busy machine they do not come at once.
  const slow = isOver(began, passed - 1, 5)
  assert.ok(passed === 5 || (passed > 5 && slow), `${passed} passed`)
})

test('one address that tries many names waits, whatever it claims to be', async () => {
  const attacker = new Attacker()
  let passed = 0
  let last = 0
  for (let i = 0; i < 24; i++) {
    const { action, csrf_token } = await attacker.form()
    const before = last
    last = performance.now()
    const answer = await attacker.send(
      action,
      { csrf_token, method: 'password', identifier: `somebody-${i}`, password: 'a common password' },
      { 'x-forwarded-for': `198.51.100.${i}` },
    )
    if (waitIn(answer) === 0 && !isOver(before, passed, 20)) passed++
  }
  assert.is(passed, 20)
})

test('codes of a second factor are counted through new sessions, new flows and right passwords', async () => {
  await people.create('dora', { apps: { wekan: 'user' } })
  const dora = await people.loggedIn('dora')
  const { secret, codes } = await people.addSecondFactor(dora.page)
  assert.is(codes.length, 12)
  await dora.context.close()

  /** Logs in with the password, and sends one code in a flow of its own. */
  const tryCode = async (fields: Record<string, string>) => {
    const attacker = new Attacker()
    await attacker.logIn('dora')
    for (const path of ['/', '/settings', '/users'])
      assert.match((await attacker.ask(path)).headers.location ?? '', 'aal=aal2', path)
    const second = await attacker.form('?aal=aal2')
    return {
      attacker,
      answer: await attacker.send(second.action, { csrf_token: second.csrf_token, ...fields }),
    }
  }
  const guesses: Record<string, string>[] = [
    { method: 'totp', totp_code: '000000' },
    { method: 'lookup_secret', lookup_secret: 'guess' },
  ]
  assert.is(await guess(async i => (await tryCode(guesses[i % 2]!)).answer), 5)
  const { attacker, answer } = await tryCode({ method: 'totp', totp_code: totp(secret) })
  const wait = waitIn(answer)
  assert.ok(wait > 0)
  assert.match((await attacker.ask('/')).headers.location ?? '', 'aal=aal2')

  // Its owner waits, and gets in: with the app, and with a recovery code.
  const context = await person(browser)
  const page = await context.newPage()
  await people.open(page, wekan)
  await people.enter(page, 'dora')
  await page.getByRole('heading', { name: 'Second step' }).waitFor()
  await page.waitForTimeout(wait * 1000)
  await page.locator('[name=totp_code]').fill(totp(secret))
  await page.locator('button[value=totp]').click()
  await page.locator('#account').waitFor()
  await context.close()
  const other = await person(browser)
  const again = await other.newPage()
  await again.goto(people.at('admin'))
  await people.enter(again, 'dora')
  await again.locator('[name=lookup_secret]').fill(codes[0]!)
  await again.locator('button[value=lookup_secret]').click()
  await again.getByRole('heading', { name: 'Your applications' }).waitFor()
  await other.close()
})

const isLoggedIn = async (page: Page) => {
  await page.goto(people.at('admin'))
  return (await page.getByRole('heading').first().innerText()) === 'Your applications'
}

test("another person's login, consent or logout, opened in a browser, changes nothing there", async () => {
  await people.create('mallory', { apps: { nextcloud: 'user' } })
  await people.create('erna', { apps: { nextcloud: 'user', wekan: 'user' } })
  const erna = await people.loggedIn('erna')
  await people.open(erna.page, nextcloud)
  await erna.page.locator('#account').waitFor()
  const opened = async (url: string) => {
    await erna.page.goto(url)
    await erna.page.waitForLoadState('networkidle')
    assert.not.match(await erna.page.content(), /\{"|\bat \S+\.ts/, url)
  }

  const mallory = new Attacker()
  const start = people.at(nextcloud.host, '/login')
  await opened(await mallory.follow(start, '/login?login_challenge='))
  await mallory.logIn('mallory')
  const consent = await mallory.follow(start, '/consent?consent_challenge=')
  await opened(consent)
  assert.match(await words(erna.page), 'This page has expired')
  // Nothing was answered for mallory, who goes on, as himself.
  await mallory.follow(consent, 'the end')
  assert.match((await mallory.ask('/', { host: nextcloud.host })).text, '>mallory<')

  const logout = await mallory.follow(people.at(nextcloud.host, '/logout'), '/oauth2/sessions/logout')
  assert.match(logout, 'id_token_hint=')
  await opened(logout)
  assert.ok(await isLoggedIn(erna.page))
  await people.open(erna.page, wekan)
  await erna.page.locator('#account').waitFor()
  await erna.context.close()
})

const consents = (subject: string) =>
  people.admin('GET', `${bed.hydraAdmin}/oauth2/auth/sessions/consent?subject=${encodeURIComponent(subject)}`)

async function setPassword(page: Page, password: string): Promise<void> {
  await page.goto(people.at('admin', '/settings'))
  const section = page.getByRole('region', { name: 'Password' })
  await section.getByLabel('Password').fill(password)
  await section.getByRole('button').click()
  await page.getByText('Saved.').waitFor()
}

test('a new password ends all other sessions and tokens, and keeps the browser in which it was set', async () => {
  const { id } = await people.create('frida', { apps: { wekan: 'user' } })
  const [one, other] = [await people.loggedIn('frida'), await people.loggedIn('frida')]
  await people.open(other.page, wekan)
  await other.page.locator('#account').waitFor()
  assert.is((await consents(id)).length, 1)
  await setPassword(one.page, 'another battery staple')
  assert.ok(await isLoggedIn(one.page))
  assert.not(await isLoggedIn(other.page))
  assert.equal(await consents(id), [])

  // An administrator's generated password, and disabling, end them all.
  const admin = await people.loggedIn('admin')
  await admin.page.goto(people.at('admin', `/users/${id}`))
  await admin.page.getByRole('button', { name: 'Generate a new password' }).click()
  const password = await admin.page.locator('dd code').innerText()
  assert.not(await isLoggedIn(one.page))
  await people.enter(one.page, 'frida', password)
  await one.page.getByRole('heading', { name: 'Your applications' }).waitFor()

  // A one-time code leaves the session until it is used; then it ends.
  await admin.page.goto(people.at('admin', `/users/${id}`))
  await admin.page.getByRole('button', { name: 'Create a one-time code' }).click()
  const [address = '', code = ''] = await admin.page.locator('dd code').allInnerTexts()
  assert.ok(await isLoggedIn(one.page))
  const fresh = await person(browser)
  const page = await fresh.newPage()
  await page.goto(address)
  await page.getByRole('textbox').fill(code)
  await page.locator('main').getByRole('button').first().click()
  await page.getByRole('heading', { name: 'Settings' }).waitFor()
  assert.not(await isLoggedIn(one.page))
  await setPassword(page, PASSWORD)
  await admin.page.goto(people.at('admin', `/users/${id}`))
  await admin.page.getByRole('button', { name: 'Disable' }).click()
  await admin.page.getByText('Disabled: this person').waitFor()
  assert.not(await isLoggedIn(page))
  for (const context of [one.context, other.context, admin.context, fresh]) await context.close()
})

test('"abc" becomes nobody\'s password: not in the settings, past them, after a code, nor by an administrator', async () => {
  await people.create('kurt', { apps: {} })
  const kurt = await people.loggedIn('kurt')
  const admin = await people.loggedIn('admin')
  const { id } = (await people.find('kurt'))!
  await admin.page.goto(people.at('admin', `/users/${id}`))
  await admin.page.getByRole('button', { name: 'Create a one-time code' }).click()
  const [address = '', code = ''] = await admin.page.locator('dd code').allInnerTexts()
  const fresh = await person(browser)
  const recovered = await fresh.newPage()
  await recovered.goto(address)
  await recovered.getByRole('textbox').fill(code)
  await recovered.locator('main').getByRole('button').first().click()
  // The code has ended the session of before.
  await kurt.page.goto(people.at('admin'))
  await people.enter(kurt.page, 'kurt')
  await kurt.page.getByRole('heading', { name: 'Your applications' }).waitFor()
  for (const page of [kurt.page, recovered])
    for (const [password, why] of [
      ['abc', /at least 10 characters/],
      ['kurt@example.org', /too similar/],
    ] as const) {
      await page.goto(people.at('admin', '/settings'))
      const section = page.getByRole('region', { name: 'Password' })
      const field = section.getByLabel('Password')
      // Past what the browser checks, too.
      await field.evaluate(input => input.removeAttribute('minlength'))
      await field.fill(password)
      await section.getByRole('button').click()
      await page.getByText(why).first().waitFor()
    }
  // Past the form: what a program sends in its place, with fields that it does not have.
  const attacker = new Attacker()
  await attacker.logIn('kurt')
  const begun = await attacker.ask('/self-service/settings/browser')
  const to = new URL(begun.headers.location!)
  const { text } = await attacker.ask(to.pathname + to.search)
  const [, csrf = ''] = /name="csrf_token" value="([^"]+)"/.exec(text) ?? []
  const flow = `/self-service/settings?flow=${to.searchParams.get('flow')}`
  const fields = { csrf_token: csrf.replaceAll('&#x3D;', '='), method: 'password', password: 'abc' }
  await attacker.send(flow, fields)
  await admin.page.goto(people.at('admin', '/users/new'))
  await admin.page.getByLabel('User name').fill('lars')
  await admin.page.getByLabel('E-mail').fill('lars@example.org')
  await admin.page.locator('[name=start][value=password]').check()
  const form = admin.page.locator('main form')
  await form.evaluate(form => form.insertAdjacentHTML('beforeend', '<input name="password" value="abc">'))
  await admin.page.getByRole('button', { name: 'Create user' }).click()
  const generated = await admin.page.locator('dd code').last().innerText()
  assert.ok(generated.length >= 20)
  for (const name of ['kurt', 'lars']) {
    const guesser = new Attacker()
    const { action, csrf_token } = await guesser.form()
    await guesser.send(action, { csrf_token, method: 'password', identifier: name, password: 'abc' })
    assert.not(guesser.hasSession, name)
  }
  await new Attacker().logIn('kurt')
  for (const context of [kurt.context, admin.context, fresh]) await context.close()
})

test('two administrators edit one user: the second is told, and overwrites nothing', async () => {
  const { id } = await people.create('gerda', { apps: {} })
  await people.create('second', { admin: true, apps: {} })
  const [one, other] = [await people.loggedIn('admin'), await people.loggedIn('second')]
  for (const { page } of [one, other]) await page.goto(people.at('admin', `/users/${id}`))
  await one.page.getByLabel('Wekan').selectOption('user')
  await one.page.getByRole('button', { name: 'Save' }).click()
  await one.page.getByText('Saved.').waitFor()
  await other.page.getByLabel('Nextcloud').selectOption('administrator')
  await other.page.getByRole('button', { name: 'Save' }).click()
  assert.match(await words(other.page), 'Somebody else has changed this user')
  assert.is(await other.page.getByLabel('Wekan').inputValue(), 'user')
  const apps = async () => ((await people.find('gerda')) as Account).metadata_admin.apps
  assert.equal(await apps(), { wekan: 'user' })
  await other.page.getByLabel('Nextcloud').selectOption('administrator')
  await other.page.getByRole('button', { name: 'Save' }).click()
  await other.page.getByText('Saved.').waitFor()
  assert.equal(await apps(), { wekan: 'user', nextcloud: 'admin' })
  await one.context.close()
  await other.context.close()
})

test('a name cannot disguise itself in the list of users', async () => {
  const disguised = 'Administrator \u202enimda\u202c\u200b'
  await people.create('henny', { apps: {} }, disguised)
  const admin = await people.loggedIn('admin')
  await admin.page.goto(people.at('admin', '/users?q=henny'))
  const shown = await admin.page.locator('tbody tr').innerText()
  assert.match(shown, 'Administrator \ufffdnimda\ufffd\ufffd')
  await admin.context.close()
  const henny = await people.loggedIn('henny')
  await henny.page.goto(people.at('admin', '/settings'))
  const section = henny.page.getByRole('region', { name: 'Name and e-mail' })
  await section.locator('[name="traits.name"]').fill('Henny \u2066\u202e')
  await section.getByRole('button').click()
  assert.match(await words(henny.page), 'characters that cannot be seen')
  await section.locator('[name="traits.name"]').fill('Henny Müller')
  await section.getByRole('button').click()
  await henny.page.getByText('Saved.').waitFor()
  await henny.context.close()
})

test('applications are told whether an address was confirmed: by an administrator, not by typing it', async () => {
  const { id } = await people.create('ida', { apps: { wekan: 'user' } })
  const { context, page } = await people.loggedIn('ida')
  const told = async () => {
    await context.clearCookies({ domain: 'wekan.oas.localhost' })
    await people.open(page, wekan)
    return page.locator('#verified').textContent()
  }
  assert.is(await told(), 'false')
  const admin = await people.loggedIn('admin')
  await admin.page.goto(people.at('admin', `/users/${id}`))
  await admin.page.getByLabel('E-mail').fill('ida.new@example.org')
  await admin.page.getByRole('button', { name: 'Save' }).click()
  await admin.page.getByText('Saved.').waitFor()
  assert.is(await told(), 'true')
  await page.goto(people.at('admin', '/settings'))
  const section = page.getByRole('region', { name: 'Name and e-mail' })
  await section.locator('[name="traits.email"]').fill('ceo@example.org')
  await section.getByRole('button').click()
  await page.getByText('Saved.').waitFor()
  assert.is(await told(), 'false')

  await admin.page.goto(people.at('admin', '/users/new'))
  await admin.page.getByLabel('User name').fill('jana')
  await admin.page.getByLabel('E-mail').fill('jana@example.org')
  await admin.page.getByLabel('Wekan').selectOption('user')
  await admin.page.getByLabel('with a generated password').check()
  await admin.page.getByRole('button', { name: 'Create user' }).click()
  const password = await admin.page.locator('dd code').innerText()
  const jana = await people.loggedIn('jana', { password })
  await people.open(jana.page, wekan)
  assert.is(await jana.page.locator('#verified').textContent(), 'true')

  // A grant that is withdrawn takes the tokens along.
  const { id: janas, metadata_admin } = (await people.find('jana')) as Account
  assert.is((await consents(metadata_admin.subject)).length, 1)
  await admin.page.goto(people.at('admin', `/users/${janas}`))
  await admin.page.getByLabel('Wekan').selectOption('no access')
  await admin.page.getByRole('button', { name: 'Save' }).click()
  await admin.page.getByText('Saved.').waitFor()
  assert.equal(await consents(metadata_admin.subject), [])
  for (const each of [context, admin.context, jana.context]) await each.close()
})

test('HEAD and unknown methods are answered in words', async () => {
  const attacker = new Attacker()
  assert.is((await attacker.ask('/login', { method: 'HEAD' })).status, 303)
  assert.is((await attacker.ask('/style.css', { method: 'HEAD' })).status, 200)
  for (const method of ['PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    const { status, text } = await attacker.ask('/self-service/login', { method })
    assert.is(status, 405, method)
    assert.match(text, 'does not take such a request')
  }
})

test('two tabs, a double click, an ended session and the back button: words', async () => {
  await people.create('karin', { apps: { nextcloud: 'user', wekan: 'user' } })
  const context = await person(browser)
  const [tab, other] = [await context.newPage(), await context.newPage()]
  await people.open(tab, wekan)
  await people.open(other, nextcloud)
  await people.enter(tab, 'karin')
  await tab.locator('#account').waitFor()
  const calm = async (page: Page) => {
    await page.waitForLoadState('networkidle')
    assert.not.match(await page.content(), /\{"|\bat \S+\.ts|stack/)
  }
  await people.enter(other, 'karin')
  await calm(other)
  await tab.goBack()
  await calm(tab)
  await context.close()

  const admin = await people.loggedIn('admin')
  await admin.page.goto(people.at('admin', '/users/new'))
  await admin.page.getByLabel('User name').fill('lena')
  await admin.page.getByLabel('E-mail').fill('lena@example.org')
  await admin.page.getByRole('button', { name: 'Create user' }).dblclick()
  await calm(admin.page)
  assert.ok(await people.find('lena'))

  await admin.page.goto(people.at('admin', '/users/new'))
  await admin.page.getByLabel('User name').fill('nina')
  await admin.page.getByLabel('E-mail').fill('nina@example.org')
  await people.admin('DELETE', `${bed.kratosAdmin}/identities/${(await people.find('admin'))!.id}/sessions`)
  await admin.page.getByRole('button', { name: 'Create user' }).click()
  await admin.page.getByLabel('Password').waitFor()
  assert.is(await people.find('nina'), undefined)
  await people.enter(admin.page, 'admin')
  await admin.page.getByRole('heading', { name: 'Add a user' }).waitFor()
  await admin.page.getByRole('button', { name: 'Log out' }).click()
  await admin.page.getByLabel('Password').waitFor()
  await admin.page.goBack()
  await calm(admin.page)
  assert.is(await admin.page.getByRole('link', { name: 'Users' }).count(), 0)
  await admin.context.close()
})

test.run()
