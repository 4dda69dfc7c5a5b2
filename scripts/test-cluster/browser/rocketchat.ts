/**
 * Rocket.Chat 8.6, with the labels of RocketChat/Rocket.Chat, packages/web-ui-registration/src/LoginServicesButton.tsx,
 * apps/meteor/tests/e2e/page-objects/fragments/{composer,navbar}.ts; the text of the button is ours
 * (flux2/apps/rocketchat/values.yaml).
 */
import type { AppPage, Deed } from './app-page.ts'

const message: Deed = {
  name: 'a message is kept',
  async act({ page, origin, user, mark }) {
    // To oneself: it disturbs nobody.
    await page.goto(`${origin}/direct/${user}`)
    const composer = page.getByRole('group', { name: 'Message composer' })
    await composer.getByRole('textbox').fill(mark)
    await composer.getByRole('button', { name: 'Send' }).click()
    const messages = page.getByRole('list', { name: 'Message list' })
    await messages.getByText(mark).waitFor()
    await page.reload()
    await messages.getByText(mark).waitFor()
  },
}

/** Rocket.Chat. Whether somebody administers it, single sign-on does not tell it. */
export const rocketchat: AppPage = {
  client: 'rocketchat',
  title: 'Rocket.Chat',
  async signIn({ page, origin }) {
    await page.goto(`${origin}/home`)
    await page.getByRole('button', { name: 'Login with OpenAppStack' }).click()
  },
  async entered({ page }) {
    await page.getByRole('group', { name: 'Workspace and user preferences' }).waitFor()
  },
  deeds: [message],
}
