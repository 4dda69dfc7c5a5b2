/**
 * ONLYOFFICE Docs 9.3 in Nextcloud, with the labels of ONLYOFFICE/onlyoffice-nextcloud 10, lib/AppInfo/Application.php
 * ("New document") and appinfo/routes.php (/apps/onlyoffice/ID); of the editor what owncloud/web finds in it: the frame
 * `frameEditor`, the canvas `#id_viewer_overlay` (tests/e2e/support/objects/app-files/resource/actions.ts).
 */
import { inflateRawSync } from 'node:zlib'
import type { Page } from 'playwright-core'
import { until } from '../../../lib/script/wait.ts'
import type { Deed, Visit } from './app-page.ts'
import { chooseAction, createFile, downloaded, fileRow, openFiles } from './files.ts'

/** Milliseconds in which an editor opens, and in which its server hands a closed document back. */
const OPENS = 90_000
/** Bytes of a document that are read. */
const MOST = 10_000_000

/** The text of a Word document (ECMA-376: a ZIP file with word/document.xml); empty for anything else. Pure. */
export function documentText(file: Buffer): string {
  const name = Buffer.from('word/document.xml')
  // Of the central directory, from the end: it knows the sizes, which the header before the data may not.
  const entry = file.lastIndexOf(name) - 46
  if (entry < 0 || file.readUInt32LE(entry) !== 0x02014b50) return ''
  const local = file.readUInt32LE(entry + 42)
  if (local + 30 > file.length) return ''
  const start = local + 30 + file.readUInt16LE(local + 26) + file.readUInt16LE(local + 28)
  const data = file.subarray(start, start + file.readUInt32LE(entry + 20))
  try {
    const isPacked = file.readUInt16LE(entry + 10) === 8
    const xml = isPacked ? inflateRawSync(data, { maxOutputLength: MOST }) : data
    return xml.toString().replaceAll(/<[^<>]*>/g, '')
  } catch {
    return ''
  }
}

/** Opens a document of the list in the editor, and returns its paper. */
async function openDocument(visit: Visit, name: string): Promise<ReturnType<Page['locator']>> {
  const { page, origin } = visit
  await openFiles(visit)
  const id = await fileRow(page, name).getAttribute('data-cy-files-list-row-fileid')
  await page.goto(`${origin}/apps/onlyoffice/${id}`)
  const paper = page.frameLocator('iframe[name="frameEditor"]').locator('#id_viewer_overlay')
  await paper.waitFor({ timeout: OPENS })
  return paper
}

/** A document is created, written into, saved, found in the files with its text, and opened again. */
export const officeDeed: Deed = {
  name: 'a document is edited, saved and opened again',
  async act(visit) {
    const { page, mark } = visit
    const name = `${mark}.docx`
    await openFiles(visit)
    const created = page.waitForResponse(answer => answer.url().includes('/api/v1/templates/create'))
    await createFile(page, 'New document', name)
    await created
    const paper = await openDocument(visit, name)
    // Files opens a new document by itself, too, maybe in another tab: only one editor saves what is typed here.
    for (const other of page.context().pages()) if (other !== page) await other.close()
    await paper.click()
    await page.keyboard.type(mark)
    await page.keyboard.press('Control+s')
    await openFiles(visit) // closes the editor: its server then hands the document back
    await until<string, true>(
      async () => {
        const text = documentText(await downloaded(page, name))
        return text.includes(mark) ? { done: true } : { last: `${text.length} characters` }
      },
      {
        deadline: OPENS,
        every: 3000,
        describe: last => `the saved document lacks what was typed into it (it has ${last ?? 'no text'})`,
        fix: 'run npx tsx scripts/app-debug.ts nextcloud',
      },
    )
    await openDocument(visit, name)
    await openFiles(visit)
    await chooseAction(page, name, /^Delete/)
    await fileRow(page, name).waitFor({ state: 'detached' })
  },
}
