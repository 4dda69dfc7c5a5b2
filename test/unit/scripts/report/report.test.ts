import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { htmlText } from '../../../../lib/script/html.ts'
import { changesSince } from '../../../../scripts/report/facts.ts'
import { reportHtml, reportMarkdown } from '../../../../scripts/report/pages.ts'
import { earlierReport, readDrills } from '../../../../scripts/report/read.ts'
import { expectedFrom, temporaryFolder } from '../../helpers.ts'
import { SAMPLE } from './sample.ts'

test('what strangers wrote stays text in a page', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 80 }), text => {
      assert.not.match(htmlText(text), /[<>"']|&(?!(amp|lt|gt|quot|#39);)/)
    }),
    { numRuns: 50 },
  )
  const page = reportHtml(SAMPLE)
  for (const [tag] of page.matchAll(/<\/?[a-z][^>]*>/g))
    assert.not.match(tag, /^<\/?(script|img|iframe|link rel="(?!icon)|object|a )|onerror|https?:/)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal obeys
  assert.not.match(page, /[\x00-\x08\x0b-\x1f\u202e]/)
})

test('a page asks nobody for anything, and has no secret', () => {
  const page = reportHtml(SAMPLE)
  assert.not.match(page, /(src|href)="(?!data:)/)
  assert.not.match(page, /url\(|@import/)
  assert.not.match(page, 'hunter2')
  assert.match(page, "default-src 'none'")
})

test('the page and its Markdown tell everything that the report has', () => {
  for (const text of [reportHtml(SAMPLE), reportMarkdown(SAMPLE)])
    for (const part of [
      'lacks wekan',
      'npx tsx scripts/install-app.ts wekan',
      '17 of 19, 1 ignored',
      '2027-01-31',
      '2026-06-08, 6 days left',
      'not issued',
      '11.7.0, 11.11.0 is wanted',
      '14 complete, 1 failed',
      '12 users, 11 active, 2 administrators',
      'change-ip',
    ])
      assert.ok(text.includes(part) || text.includes(part.replaceAll('_', '\\_')), `${part} is missing`)
})

test('two reports are compared', () => {
  assert.equal(changesSince(SAMPLE, SAMPLE), [])
  const later = {
    ...SAMPLE,
    kubernetes: 'v1.37.0',
    causes: SAMPLE.causes.slice(1),
    certificates: SAMPLE.certificates.map(each => ({ ...each, notAfter: '2026-09-01T00:00:00Z' })),
    volumes: SAMPLE.volumes.map(({ used, ...each }) => ({ ...each, used: used && used + 5e8 })),
    releases: [
      { name: 'oas/loki', chart: 'loki', wanted: '7.1.0', installed: '7.1.0' },
      { name: 'oas/new', chart: 'new', wanted: '1.0.0', installed: '' },
    ],
    users: { ...SAMPLE.users!, all: 13 },
  }
  assert.equal(changesSince(SAMPLE, later), [
    'gone: Secret flux-system/oas-oauth-variables: lacks wekan_oauth_client_secret',
    'release oas/loki: 7.0.0 → 7.1.0',
    'release oas/new is new: not installed yet',
    'release oas-apps/wekan is gone',
    'certificate oas/sso-tls was renewed: until 2026-09-01',
    'certificate oas/wekan-tls was renewed: until 2026-09-01',
    'certificate oas-apps/files-tls was renewed: until 2026-09-01',
    'volume oas-apps/nextcloud: +500 MB',
    'volume oas/prometheus: +500 MB',
    'users: 12 → 13',
    'Kubernetes: v1.36.4+k3s1 → v1.37.0',
  ])
})

test('an earlier report is read back, and nothing else is taken for one', async () => {
  const folder = temporaryFolder()
  const file = join(folder, 'r.json')
  writeFileSync(file, JSON.stringify(SAMPLE))
  assert.equal(earlierReport(file), JSON.parse(JSON.stringify(SAMPLE)))
  for (const text of ['', 'null', '{}', '[]', '{"version":1}', '{"version":2,"causes":[]}']) {
    writeFileSync(file, text)
    assert.match((await expectedFrom(() => earlierReport(file))).fix, 'report')
  }
  for (const list of ['causes', 'releases', 'certificates', 'volumes'] as const)
    for (const item of [null, 5, [], {}, { name: 5, subject: null }]) {
      writeFileSync(file, JSON.stringify({ ...SAMPLE, [list]: [...SAMPLE[list], item] }))
      assert.match((await expectedFrom(() => earlierReport(file))).message, 'is not a report')
    }
  assert.match((await expectedFrom(() => earlierReport(join(folder, 'none')))).message, 'cannot be read')
})

test('drills of the journal: the newest first; what is not one is passed over', () => {
  const journal = temporaryFolder()
  const write = (name: string, document: unknown) =>
    writeFileSync(join(journal, name), typeof document === 'string' ? document : JSON.stringify(document))
  const drill = (day: string) => ({
    version: 1,
    cluster: 'oas',
    backup: 'nightly',
    madeAt: `2026-05-${day}T00:00:00.000Z`,
    rto: 60_000,
    rpo: 3_600_000,
    results: [
      { app: 'wekan', milliseconds: 60_000, claims: [], warnings: 0 },
      { app: 'nextcloud', milliseconds: 60_000, claims: [], warnings: 0, differences: ['rows are gone'] },
    ],
  })
  assert.equal(readDrills(join(journal, 'none')), [])
  for (const day of ['01', '02', '03', '04', '05', '06'])
    write(`2026-05-${day}T00-00-00Z-drill-nightly.json`, drill(day))
  write('2026-05-07T00-00-00Z-drill-nightly.json', '{"version": 1, "res')
  write('2026-05-08T00-00-00Z-proof-nightly.json', drill('08'))
  write('2026-05-09T00-00-00Z-drill-nightly.json', { ...drill('09'), madeAt: 'never' })
  const found = readDrills(journal)
  assert.equal(
    found.map(({ at }) => at.slice(0, 10)),
    ['2026-05-06', '2026-05-05', '2026-05-04', '2026-05-03', '2026-05-02'],
  )
  assert.equal(found[0], {
    at: '2026-05-06T00:00:00.000Z',
    backup: 'nightly',
    rto: 60_000,
    rpo: 3_600_000,
    apps: ['wekan', 'nextcloud (failed)'],
  })
})

test('a report without a drill says that nobody knows whether backups can be restored', () => {
  const without = { ...SAMPLE, backups: { ...SAMPLE.backups, drilled: undefined }, drills: [] }
  assert.match(reportHtml(without), 'No restore of everything has been tried')
  assert.match(reportHtml(SAMPLE), '1 h 30 min')
  assert.equal(changesSince(without, SAMPLE), ['a restore was tried: 2026-05-20'])
})

test('certificates and backups have the colour of their findings, in the tile as in the table', () => {
  const [, late] = SAMPLE.certificates
  const colours = (verdict: 'broken' | 'warning' | undefined) => {
    const page = reportHtml({
      ...SAMPLE,
      certificates: [{ ...late!, verdict }],
      backups: { ...SAMPLE.backups, newest: '2026-05-01T00:00:00Z', verdict },
    })
    const classOf = (text: string) => new RegExp(`class="(\\w+)">${text}`).exec(page)?.[1]
    return [classOf('in 6 days'), classOf('2026-06-08'), classOf('31 d')]
  }
  assert.equal(colours('broken'), ['bad', 'bad', 'bad'])
  assert.equal(colours('warning'), ['warn', 'warn', 'warn'])
  assert.equal(colours(undefined), ['good', 'good', 'good'])
})

test('a page says that nothing is broken only where the cluster was read', () => {
  const page = (unread: number) => reportHtml({ ...SAMPLE, causes: [], unread })
  assert.match(page(0), 'Nothing is broken.')
  assert.not.match(page(3), /nothing is broken<|>Nothing is broken/)
  assert.match(page(3), 'some facts are missing')
})

test.run()
