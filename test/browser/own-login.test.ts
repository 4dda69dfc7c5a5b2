/**
 * The single sign-on client of an own source, and what becomes of clients and grants when what they are for is removed:
 * on the real hydra, hydra-maester, kratos and panel behind an installed platform, with a real browser.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as oidc from 'openid-client'
import type { Browser } from 'playwright-core'
import * as assert from 'uvu/assert'
import { GIT_REPOSITORY } from '../../lib/flux/flux.ts'
import { until } from '../../lib/script/wait.ts'
import { layoutOf } from '../bed/cluster/layout.ts'
import { askSignOn } from '../bed/login/ask-sign-on.ts'
import { loopbackFetch } from '../bed/login/relying-party.ts'
import { Bed, type Outcome, runScript } from '../cluster/harness.ts'
import { pushManifests } from '../cluster/own-sources.ts'
import { suite } from '../suite.ts'
import { person, startBrowser } from './browser.ts'

const test = suite('own login')
const CALLBACK = 'https://shop.oas.localhost/oauth2/callback'
let bed: Bed
let browser: Browser
let url: string
const passwords = new Map<string, string>()

const run = async (script: string, ...args: string[]): Promise<Outcome> => {
  const outcome = await runScript(script, ['--cluster', 'sandbox', '--yes', ...args], { timeout: 600_000 })
  assert.is(outcome.code, 0, `${script} ${args.join(' ')}: ${outcome.stderr}`)
  return outcome
}
const clientIds = async () =>
  (await askSignOn<{ client_id: string }[]>(`${bed.login.hydraAdmin}/admin/clients?page_size=500`))
    .map(({ client_id }) => client_id)
    .sort()
/** Waits until hydra has a client, or does not. */
const registered = (id: string, wanted: boolean) =>
  until(
    async () => {
      const ids = await clientIds()
      return ids.includes(id) === wanted ? { done: undefined } : { last: ids.join() }
    },
    { deadline: 30_000, every: 300, describe: last => `hydra has ${last}` },
  )
const add = () =>
  run('add-source', 'shop', url, '--branch', 'own-shop', '--login', 'shop.oas.localhost', '--timeout', '90s')
async function createUser(name: string, ...grants: string[]): Promise<void> {
  const args = ['create', name, '--email', `${name}@example.org`, '--generate', '--json', '--yes']
  const outcome = await runScript('users', [...args, ...grants.flatMap(app => ['--grant', app])], {
    reveals: true,
  })
  assert.is(outcome.code, 0, outcome.stderr)
  passwords.set(name, JSON.parse(outcome.stdout).result.password)
}
const mayOpen = async (name: string) => (await run('users', 'show', name)).stdout

/** The application's own part of a login: its request, and the exchange of the code, by the Secret that it reads. */
async function relyingParty() {
  const secret = await bed.kubectl.get({ apiVersion: 'v1', kind: 'Secret', name: 'login', namespace: 'shop' })
  const value = (key: string) => Buffer.from(secret!.data[key], 'base64').toString()
  // The bed serves single sign-on below another domain than the one in the settings.
  assert.is(value('ISSUER'), 'https://sso.oas.example.org')
  const panel = new URL(bed.up.login!.panel)
  const ca = readFileSync(join(layoutOf('sandbox').state, 'login', 'ca.pem'), 'utf8')
  const password = value('CLIENT_SECRET')
  const configuration = await oidc.discovery(
    new URL(`https://${panel.host.replace('admin.', 'sso.')}`),
    value('CLIENT_ID'),
    password,
    oidc.ClientSecretPost(password),
    { [oidc.customFetch]: loopbackFetch(ca) },
  )
  return { configuration, password }
}

/** Logs somebody in to the application in a browser of his own: the claims about him, or the page that refuses him. */
async function logIn(name: string): Promise<oidc.UserInfoResponse | string> {
  const { configuration } = await relyingParty()
  const [state, nonce] = [oidc.randomState(), oidc.randomNonce()]
  const target = oidc.buildAuthorizationUrl(configuration, {
    redirect_uri: CALLBACK,
    scope: 'openid email profile',
    state,
    nonce,
  })
  const context = await person(browser)
  try {
    const page = await context.newPage()
    let back: string | undefined
    await page.route('https://shop.oas.localhost/**', route => {
      back = route.request().url()
      return route.fulfill({ contentType: 'text/html', body: '<main>came back</main>' })
    })
    await page.goto(target.href)
    await page.locator('[name=identifier]').fill(name)
    await page.getByLabel('Password').fill(passwords.get(name)!)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByText(/came back|You may not open/).waitFor()
    if (!back) return await page.locator('main').innerText()
    const checks = { expectedState: state, expectedNonce: nonce }
    const tokens = await oidc.authorizationCodeGrant(configuration, new URL(back), checks)
    return await oidc.fetchUserInfo(configuration, tokens.access_token, tokens.claims()!.sub)
  } finally {
    await context.close()
  }
}

test.before(async () => {
  bed = await Bed.startInstalled({ login: true, maester: true })
  const ours = await bed.kubectl.get({ ...GIT_REPOSITORY, name: 'openappstack', namespace: 'flux-system' })
  url = ours!.spec.url
  await runScript('users', ['reset-admin', '--yes'], { reveals: true })
  browser = await startBrowser()
})
test.after(async () => {
  await browser?.close()
  await bed?.stop()
})

test('add-source --login registers a client, by which people with a grant log in, and nobody else', async () => {
  const metadata = 'metadata: {name: own, namespace: shop}'
  pushManifests('own-shop', `apiVersion: v1\nkind: ConfigMap\n${metadata}\ndata: {a: b}\n`)
  const { stdout } = await add()
  assert.match(stdout, 'Secret shop/login has CLIENT_ID, CLIENT_SECRET and ISSUER')
  await registered('shop', true)
  await createUser('mia', 'wekan')
  assert.match(String(await logIn('mia')), 'You may not open shop')
  await run('users', 'grant', 'mia', 'shop')
  const claims = (await logIn('mia')) as oidc.UserInfoResponse
  assert.is(claims.preferred_username, 'mia')
  assert.is(claims.email, 'mia@example.org')
  const { password } = await relyingParty()
  assert.equal(bed.leaks([password, ...passwords.values()]), [])
  // Its repository has no address for it yet.
  const told = (await runScript('diagnose', [])).stdout
  assert.match(
    told,
    /OAuth2Client oas-apps\/shop[^\n]* redirects to shop\.oas\.localhost, which no Ingress serves/,
  )
  assert.match(told, 'add an Ingress for that host to the repository of shop')
})

test('the same command again keeps the client, and another address of it is taken over', async () => {
  const { password } = await relyingParty()
  const again = await add()
  assert.not.match(again.stderr, 'Namespace, rights')
  assert.is((await relyingParty()).password, password)
  assert.is(typeof (await logIn('mia')), 'object')
  await run('add-source', 'shop', url, '--branch', 'own-shop', '--login', 'shop.oas.localhost/elsewhere')
  await until(
    async () => {
      const client = await askSignOn<{ redirect_uris: string[] }>(
        `${bed.login.hydraAdmin}/admin/clients/shop`,
      )
      const [first = ''] = client.redirect_uris
      return first.endsWith('/elsewhere') ? { done: undefined } : { last: first }
    },
    { deadline: 30_000, describe: String },
  )
})

test('remove-source takes the client away from hydra, and the grants; a new source of that name has another secret', async () => {
  const { password } = await relyingParty()
  const { stderr } = await run('remove-source', 'shop')
  assert.match(stderr, 'revoke the grant for shop of mia')
  await registered('shop', false)
  await until(
    async () =>
      (await bed.kubectl.get({ apiVersion: 'v1', kind: 'Namespace', name: 'shop' }))
        ? { last: undefined }
        : { done: undefined },
    { deadline: 60_000, describe: () => 'namespace shop exists' },
  )
  await add()
  await registered('shop', true)
  assert.is.not((await relyingParty()).password, password)
  assert.match(String(await logIn('mia')), 'You may not open shop')
  await run('remove-source', 'shop')
})

test('uninstall-app takes the client away; grants stay with the data, and are revoked with it', async () => {
  await createUser('ben', 'wekan=admin')
  const before = await clientIds()
  assert.ok(before.includes('wekan'))
  const dry = await run('uninstall-app', 'wekan', '--dry-run')
  assert.match(dry.stderr, 'keep the grant for wekan of ben, mia: without the application it opens nothing')
  await run('uninstall-app', 'wekan')
  await registered('wekan', false)
  assert.match(await mayOpen('ben'), 'wekan=admin')
  await run('install-app', 'wekan', '--skip-backup')
  await registered('wekan', true)
  assert.equal(await clientIds(), before)
  const gone = await run('uninstall-app', 'wekan', '--delete-data', '--discard-data', '--confirm', 'wekan')
  assert.match(gone.stderr, 'Revoke its grants: 2 users')
  for (const name of ['ben', 'mia']) assert.not.match(await mayOpen(name), 'wekan')
})

test.run()
