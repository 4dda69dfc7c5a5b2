/**
 * The files of Nextcloud 34, with the labels of nextcloud/server, tests/playwright/support/sections/FilesListPage.ts and
 * CopyMoveDialogPage.ts, apps/files/src/actions, and of nextcloud-libraries/nextcloud-upload 1.11.1,
 * lib/vue/components/UploadPicker.vue.
 */
import { readFile } from 'node:fs/promises'
import type { Locator, Page } from 'playwright-core'
import type { Visit } from './app-page.ts'

/** The row of a file in the list. */
export const fileRow = (page: Page, name: string): Locator =>
  page.locator(`[data-cy-files-list-row-name=${JSON.stringify(name)}]`)

/** The button of the menu "New"; an empty folder has a second one. */
const newButton = (page: Page) => page.getByRole('button', { name: 'New', exact: true }).first()

/** Opens the list of a person's files. */
export async function openFiles({ page, origin }: Visit): Promise<void> {
  await page.goto(`${origin}/apps/files`)
  await newButton(page).waitFor()
}

/** Chooses an entry of the menu "New", and gives the new thing a name. */
export async function createFile(page: Page, entry: string, name: string): Promise<void> {
  await newButton(page).click()
  await page.getByRole('menuitem', { name: entry }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('textbox').fill(name)
  await dialog.getByRole('button', { name: 'Create' }).click()
}

/** Chooses an entry of the menu of a file. */
export async function chooseAction(page: Page, name: string, action: string | RegExp): Promise<void> {
  // Forced: the sticky head of the list may lie above it.
  await fileRow(page, name).getByRole('button', { name: 'Actions' }).click({ force: true })
  await page.getByRole('menuitem', { name: action }).click()
}

/** Downloads a file of the list that is open. */
export async function downloaded(page: Page, name: string): Promise<Buffer> {
  const [download] = await Promise.all([page.waitForEvent('download'), chooseAction(page, name, 'Download')])
  return readFile(await download.path())
}
