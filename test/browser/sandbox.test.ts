/** What a newcomer does: `sandbox.ts up --login`, and a login in a real browser with what it prints. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { APPLICATIONS } from '../bed/login/stand-ins.ts'
import { type Outcome, runScript } from '../harness-script.ts'
import { suite } from '../suite.ts'
import { person, startBrowser } from './browser.ts'

const test = suite('sandbox with a login')
const folder = mkdtempSync(join(tmpdir(), 'oas-sandbox-'))

async function sandbox(...args: string[]): Promise<Outcome> {
  const outcome = await runScript('sandbox', args, { timeout: 1_200_000 })
  assert.is(outcome.code, 0, outcome.stderr)
  return outcome
}

test.before(() => {
  process.env.OAS_CLUSTERS_DIR = folder
})
test.after(async () => {
  await runScript('sandbox', ['reset', '--confirm', 'sandbox'], { timeout: 120_000 })
  rmSync(folder, { recursive: true, force: true })
})

test('up --login prints address, user, and the command for the password; with them a browser logs in', async () => {
  const { stderr, stdout } = await sandbox('up', '--worktree', '--login')
  const said = stderr + stdout
  const [, address = ''] = /log in at (https:\/\/admin\.oas\.localhost:\d+) as admin/.exec(said) ?? []
  const [, command = ''] = /npx tsx scripts\/secrets\.ts (--show \S+ --cluster sandbox)/.exec(said) ?? []
  assert.ok(address && command, said)
  const shown = await runScript('secrets', command.split(' '), { reveals: true })
  assert.is(shown.code, 0, shown.stderr)

  const browser = await startBrowser()
  try {
    const page = await (await person(browser)).newPage()
    await page.goto(address)
    await page.locator('[name=identifier]').fill('admin')
    await page.getByLabel('Password').fill(shown.stdout.trim())
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('heading', { name: 'Your applications' }).waitFor()
    const { port } = new URL(address)
    for (const { host, button } of APPLICATIONS) {
      await page.goto(`https://${host}.oas.localhost:${port}`)
      await page.getByRole('link', { name: button }).click()
      await page.locator('#role').waitFor()
    }
  } finally {
    await browser.close()
  }
  assert.match((await sandbox('status')).stdout, '12 of 12 work')
})

test('a second up changes nothing; down ends everything', async () => {
  assert.match((await sandbox('up', '--worktree')).stderr, 'everything runs already')
  assert.match((await sandbox('down')).stderr, /stopped .*login/)
})

test.run()
