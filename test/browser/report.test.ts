/** The pages of report, test-cluster and status in a real browser: whole, quiet, and for everybody. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import * as assert from 'uvu/assert'
import { reportHtml } from '../../scripts/report/pages.ts'
import { statusPage } from '../../scripts/status/page.ts'
import { testPage } from '../../scripts/test-cluster/output.ts'
import { suite } from '../suite.ts'
import { HOSTILE, SAMPLE } from '../unit/scripts/report/sample.ts'
import { startBrowser } from './browser.ts'

const test = suite('pages')
const folder = mkdtempSync(join(tmpdir(), 'oas-pages-'))
let browser: Browser

const item = { kind: 'Pod', namespace: 'oas', name: HOSTILE, detail: HOSTILE }
const PAGES: Record<string, string> = {
  report: reportHtml(SAMPLE, { at: SAMPLE.madeAt, changes: [HOSTILE] }),
  status: statusPage(HOSTILE, [
    {
      title: 'Workloads',
      items: [
        { ...item, ready: false, cause: HOSTILE, fix: HOSTILE },
        { ...item, ready: true },
      ],
    },
  ]),
  test: testPage(
    [
      {
        section: 'app',
        name: HOSTILE,
        state: 'failed',
        problem: { what: HOSTILE, fix: HOSTILE, seen: [HOSTILE] },
      },
      { section: 'certs', name: HOSTILE, state: 'passed', note: HOSTILE },
    ],
    { name: HOSTILE, seconds: 1 },
  ),
}

test.before(async () => {
  browser = await startBrowser()
})
test.after(async () => {
  await browser?.close()
  rmSync(folder, { recursive: true, force: true })
})

for (const [name, html] of Object.entries(PAGES))
  test(`${name}: axe finds nothing at phone and desktop width, and it asks nobody for anything`, async () => {
    const file = join(folder, `${name}.html`)
    writeFileSync(file, html)
    const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
    for (const [width, dark] of [
      [390, false],
      [390, true],
      [1200, false],
      [1200, true],
    ] as const) {
      const context = await browser.newContext({
        viewport: { width, height: 900 },
        colorScheme: dark ? 'dark' : 'light',
        bypassCSP: true, // for axe
      })
      const page = await context.newPage()
      const asked: string[] = []
      page.on('request', request => asked.push(request.url()))
      page.on('dialog', () => asked.push('a script of a hostile name ran'))
      await page.goto(`file://${file}`)
      const violations = await page.evaluate(
        `${axe}; axe.run().then(({ violations }) => violations.map(v => v.id + ': ' + v.nodes.map(n => n.target).join()))`,
      )
      assert.equal(violations, [], `${width} ${dark ? 'dark' : 'light'}`)
      assert.equal(asked, [`file://${file}`])
      assert.is(
        await page.evaluate('document.documentElement.scrollWidth'),
        width,
        'it is wider than the screen',
      )
      assert.is(await page.locator('script, img').count(), 0)
      if (process.env.OAS_SCREENSHOTS)
        await page.screenshot({
          path: join(process.env.OAS_SCREENSHOTS, `${name}-${width}${dark ? '-dark' : ''}.png`),
          fullPage: true,
        })
      await context.close()
    }
  })

test('it is read without JavaScript', async () => {
  const context = await browser.newContext({ javaScriptEnabled: false })
  const page = await context.newPage()
  await page.goto(`file://${join(folder, 'report.html')}`)
  assert.match(await page.locator('main').innerText(), 'wekan.oas.example.org')
  await context.close()
})

test.run()
