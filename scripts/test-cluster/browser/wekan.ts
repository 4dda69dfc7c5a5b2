/**
 * Wekan 11.07, with the labels of wekan/wekan v11.07.0: imports/i18n/data/en.i18n.json, client/components/users/
 * userHeader.jade, boards/{boardsList,boardHeader}.jade, swimlanes/swimlanes.jade, lists/listBody.jade; `#at-oidc` is
 * the button of single sign-on, whose text an administrator may change (client/components/main/layouts.js).
 */
import type { Page } from 'playwright-core'
import { type AppPage, type Deed, isShown } from './app-page.ts'

/** The board of this test: private, and used again by the next run. */
const BOARD = 'test-cluster'
const menu = (page: Page) => page.getByTitle('Member Settings')

async function openBoard(page: Page, origin: string): Promise<void> {
  await page.goto(`${origin}/`)
  // Boards that nobody has sorted are under "Remaining"; "Starred" is shown first.
  await page.getByText('Remaining').first().click()
  const board = page.locator('.js-board').filter({ hasText: BOARD }).first()
  if (await isShown(board)) {
    await board.getByRole('link').first().click()
    return
  }
  await page.getByTitle('Add Board').click()
  await page.getByLabel('Title').fill(BOARD)
  await page.getByRole('button', { name: 'Create' }).click()
}

const card: Deed = {
  name: 'a card is kept',
  async act({ page, origin, mark }) {
    await openBoard(page, origin)
    const addCard = page.getByTitle('Add Card to Bottom of List').first()
    if (!(await isShown(addCard))) {
      await page.getByTitle('Add List').first().click()
      await page.getByPlaceholder('Add List').fill('cards')
      await page.getByRole('button', { name: 'Save' }).click()
    }
    await addCard.click()
    const composer = page.locator('.js-inlined-form')
    await composer.getByRole('textbox').fill(mark)
    await composer.getByRole('button', { name: 'Add' }).click()
    await page.locator('.js-minicard').getByText(mark).waitFor()
    await page.reload()
    await page.locator('.js-minicard').getByText(mark).waitFor()
  },
}

/** Wekan. */
export const wekan: AppPage = {
  client: 'wekan',
  title: 'Wekan',
  async signIn({ page, origin }) {
    await page.goto(`${origin}/sign-in`)
    await page.locator('#at-oidc').click()
  },
  async entered({ page }) {
    await menu(page).waitFor()
  },
  async isAdmin({ page }) {
    await menu(page).click()
    await page.getByText('Log Out').waitFor()
    const isAdmin = await page.getByText('Admin Panel').isVisible()
    await menu(page).click()
    return isAdmin
  },
  deeds: [card],
}
