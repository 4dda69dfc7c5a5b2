import type { Page } from 'playwright-core'
import { TEXTS } from '../../../flux2/core/single-sign-on/userpanel/panel/texts.ts'

/** The user panel: our own pages, with the texts that it shows them with. */
export const panel = {
  /** Enters a name and a password where the browser is asked for them. */
  async enter(page: Page, user: { username: string; password: string }): Promise<void> {
    await page.locator('[name=identifier]').fill(user.username)
    await page.getByLabel('Password').fill(user.password)
    await page.getByRole('button', { name: 'Sign in' }).click()
  },
  /** Waits for the list of applications. */
  async entered(page: Page): Promise<void> {
    await page.getByRole('heading', { name: TEXTS.dashboard.title }).waitFor()
  },
  /** Whether the panel offers the management of users. */
  async offersUsers(page: Page): Promise<boolean> {
    await page.getByRole('link', { name: TEXTS.nav.apps }).first().waitFor()
    return (await page.getByRole('link', { name: TEXTS.nav.users, exact: true }).count()) > 0
  },
  /** Waits for the page that refuses an application. */
  async refuses(page: Page, title: string): Promise<void> {
    await page.getByRole('heading', { name: TEXTS.refused.title(title) }).waitFor()
  },
  /** Logs out, and waits until the password is asked for again. */
  async logOut(page: Page): Promise<void> {
    await page.getByRole('button', { name: TEXTS.nav.logout }).click()
    await page.getByLabel('Password').waitFor()
  },
}
