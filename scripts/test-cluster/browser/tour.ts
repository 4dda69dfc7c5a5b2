import type { Browser } from 'playwright-core'
import type { Services } from '../../../flux2/core/single-sign-on/userpanel/panel/accounts.ts'
import { fileTime } from '../../../lib/script/timestamp.ts'
import { skippedCheck, type TestCheck } from '../checks.ts'
import type { AppPage, Visit } from './app-page.ts'
import { grafana } from './grafana.ts'
import { nextcloud } from './nextcloud.ts'
import { panel } from './panel.ts'
import { createTestPeople, type TestPerson, withdrawGrants } from './people.ts'
import { Recorder } from './recorder.ts'
import { rocketchat } from './rocketchat.ts'
import { wekan } from './wekan.ts'
import { wordpress } from './wordpress.ts'

/** Every application that people can be followed into. */
export const APP_PAGES: readonly AppPage[] = [nextcloud, rocketchat, wekan, wordpress, grafana]

/** How the platform is reached, and where failures are kept. */
export interface Tour {
  /** The domain, with a port where it is not 443. */
  domain: string
  services: Services
  browser: Browser
  /** Only this application. */
  app?: string
  /** The issuer is one that no browser trusts. */
  isStaging: boolean
  /** A folder for screenshots and traces. */
  folder: string
  signal: AbortSignal
  /** Is told what is done next. */
  progress(text: string): void
  /** Milliseconds that an element may take to appear. */
  patience: number
}

/** An application that is registered at single sign-on, and its address. */
export interface RegisteredApp {
  app: AppPage
  origin: string
}

/** The applications that are registered and have pages here, each at the address of its redirect URI. Pure. */
export function registeredApps(
  clients: readonly { client_id: string; redirect_uris?: readonly string[] }[],
  only: string | undefined,
): RegisteredApp[] {
  return APP_PAGES.filter(({ client }) => only === undefined || only === client).flatMap(app => {
    const uri = clients.find(({ client_id }) => client_id === app.client)?.redirect_uris?.[0]
    return uri && URL.canParse(uri) ? [{ app, origin: new URL(uri).origin }] : []
  })
}

const LOGIN = 'run npx tsx scripts/logs.ts logins --since 10m'
const debug = ({ client }: AppPage) =>
  `check the screenshot, then run npx tsx scripts/app-debug.ts ${client === 'grafana' ? 'kube-prometheus-stack' : client}`

/**
 * Follows an administrator and an ordinary user through the panel and every registered application, in a real browser.
 * Both are created for it; the caller removes them. Throws only the signal's reason and what keeps it from beginning.
 */
export async function tour(options: Tour): Promise<TestCheck[]> {
  const apps = registeredApps(await options.services.hydra.clients(), options.app)
  if (apps.length === 0) return [skippedCheck('browser', 'applications', 'none is registered')]
  const clients = apps.map(({ app }) => app.client)
  const people = await createTestPeople(options.services, options.domain, clients)
  const mark = `test-cluster ${fileTime(new Date())}`
  const checks = await Promise.all([
    follow(options, people.administrator, apps, { mark, deeds: false }),
    follow(options, people.user, apps, { mark, deeds: true }),
  ])
  await withdrawGrants(options.services, people.user)
  return [...checks.flat(), ...(await refusals(options, people.user, apps))]
}

/** A person's own browser, logged in at the panel; without a visit when that fails. */
async function logIn(
  options: Tour,
  person: TestPerson,
  name: string,
): Promise<{ recorder: Recorder; visit?: Omit<Visit, 'origin' | 'mark'> }> {
  const { browser, domain, signal } = options
  const context = await browser.newContext({
    ignoreHTTPSErrors: options.isStaging,
    locale: 'en-US',
    viewport: { width: 1280, height: 900 },
  })
  context.setDefaultTimeout(options.patience)
  const page = await context.newPage()
  const recorder = new Recorder(page, options.folder, options.progress)
  const entered = await recorder.check(name, LOGIN, signal, async () => {
    await page.goto(`https://admin.${domain}/`)
    await panel.enter(page, person)
    await panel.entered(page)
  })
  if (!entered) return { recorder }
  await recorder.trace()
  return { recorder, visit: { page, user: person.username } }
}

/** What a person does: log in, enter each application, with `deeds` work in it, and log out. */
async function follow(
  options: Tour,
  person: TestPerson,
  apps: readonly RegisteredApp[],
  { mark, deeds }: { mark: string; deeds: boolean },
): Promise<TestCheck[]> {
  const { domain, signal } = options
  const who = person.part
  const { recorder, visit } = await logIn(options, person, `${who}: log in at the panel`)
  if (!visit)
    return [...recorder.checks, skippedCheck('browser', `${who}: applications`, 'the login does not work')]
  const { page } = visit
  const isAdmin = who === 'administrator'
  await recorder.check(`${who}: rights at the panel`, LOGIN, signal, async () => {
    if ((await panel.offersUsers(page)) !== isAdmin)
      throw new Error(
        isAdmin ? 'does not offer the users to an administrator' : 'offers the users to everybody',
      )
  })
  for (const { app, origin } of apps) {
    const fix = debug(app)
    const at = { ...visit, origin, mark }
    const name = `${app.client}: ${who} enters by single sign-on`
    const isIn = await recorder.check(name, fix, signal, async () => {
      await app.signIn(at)
      await app.entered(at)
    })
    if (!isIn) continue
    const { isAdmin: administers } = app
    if (administers)
      await recorder.check(`${app.client}: rights of the ${who}`, fix, signal, async () => {
        if ((await administers(at)) !== isAdmin)
          throw new Error(
            isAdmin
              ? 'the label "Admin" gives no rights of an administrator'
              : 'a user without the label "Admin" has the rights of an administrator',
          )
      })
    if (!deeds) continue
    for (const deed of app.deeds)
      await recorder.check(`${app.client}: ${deed.name}`, fix, signal, () => deed.act(at))
  }
  await recorder.check(`${who}: log out`, LOGIN, signal, async () => {
    await page.goto(`https://admin.${domain}/`)
    await panel.logOut(page)
    await page.goto(`https://admin.${domain}/`)
    await page.getByLabel('Password').waitFor()
  })
  return recorder.checks
}

/** Somebody without a grant is refused by every application. */
async function refusals(
  options: Tour,
  person: TestPerson,
  apps: readonly RegisteredApp[],
): Promise<TestCheck[]> {
  const { recorder, visit } = await logIn(options, person, 'without a grant: log in at the panel')
  if (!visit) return recorder.checks
  for (const { app, origin } of apps)
    await recorder.check(`${app.client}: refused without a grant`, LOGIN, options.signal, async () => {
      await app.signIn({ ...visit, origin, mark: '' })
      await panel.refuses(visit.page, app.title)
    })
  return recorder.checks
}
