import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { APPS } from '../../../../lib/platform/apps.ts'
import { findChromium } from '../../../../scripts/test-cluster/browser/chromium.ts'
import { documentText } from '../../../../scripts/test-cluster/browser/onlyoffice.ts'
import { explained } from '../../../../scripts/test-cluster/browser/recorder.ts'
import { APP_PAGES, registeredApps } from '../../../../scripts/test-cluster/browser/tour.ts'
import { wordDocument } from '../../../browser/stand-ins/nextcloud.ts'

test('the text of a document; none of what is not one', () => {
  assert.is(documentText(wordDocument('a mark')), 'a mark')
  assert.is(documentText(wordDocument('')), '')
  assert.is(documentText(Buffer.from('word/document.xml')), '')
  const whole = wordDocument('a mark')
  for (let length = 0; length < whole.length; length++) documentText(whole.subarray(0, length))
  const damaged = Buffer.from(whole)
  damaged.fill(0xff, 47, 60)
  assert.type(documentText(damaged), 'string')
})

test('applications are those that are registered, at the address of their redirect URI', () => {
  const clients = [
    { client_id: 'wekan', redirect_uris: ['https://wekan.oas.example.org:8443/_oauth/oidc'] },
    { client_id: 'grafana', redirect_uris: ['not an address'] },
    { client_id: 'nextcloud', redirect_uris: ['https://files.oas.example.org/apps/user_oidc/code'] },
    { client_id: 'unknown', redirect_uris: ['https://x.example.org/'] },
    { client_id: 'wordpress' },
  ]
  const found = (only?: string) =>
    registeredApps(clients, only).map(({ app, origin }) => [app.client, origin])
  assert.equal(found(), [
    ['nextcloud', 'https://files.oas.example.org'],
    ['wekan', 'https://wekan.oas.example.org:8443'],
  ])
  assert.equal(found('wekan'), [['wekan', 'https://wekan.oas.example.org:8443']])
  assert.equal(found('rocketchat'), [])
})

test('a failure says what was waited for', () => {
  const timeout = new Error(
    "locator.click: Timeout 5000ms exceeded.\nCall log:\n  - waiting for getByRole('link', { name: 'Login' })\n  - more",
  )
  assert.equal(explained(timeout), {
    what: "does not show what it should: waiting for getByRole('link', { name: 'Login' })",
    seen: ['more'],
  })
  assert.equal(explained(new Error('page.goto: net::ERR_CONNECTION_REFUSED at https://x\nCall log:\n')), {
    what: 'page.goto: net::ERR_CONNECTION_REFUSED at https://x',
    seen: [],
  })
  assert.is(explained('').what, 'failed')
})

test('the browser is found in PATH; without one it is said how to get it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'oas-chromium-'))
  const file = join(folder, 'chromium')
  writeFileSync(file, '')
  assert.throws(() => findChromium(`${folder}:/nowhere`), /no Chromium was found/)
  chmodSync(file, 0o755)
  assert.is(findChromium(`/nowhere::${folder}`), file)
  rmSync(folder, { recursive: true })
})

test('every application has pages of its own, and its deeds have names of their own', () => {
  assert.equal(
    APP_PAGES.map(({ client }) => client),
    [
      ...APPS.filter(({ hosts }) => hosts({ domain: 'example.org' }).length > 0).map(({ name }) => name),
      'grafana',
    ],
    'APP_PAGES (scripts/test-cluster/browser/tour.ts) lacks an application',
  )
  const names = APP_PAGES.flatMap(({ client, deeds }) => deeds.map(({ name }) => `${client} ${name}`))
  assert.is(new Set(names).size, names.length)
})

test.run()
