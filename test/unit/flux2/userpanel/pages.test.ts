import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { applications } from '../../../../flux2/core/single-sign-on/userpanel/panel/dashboard.ts'
import { form } from '../../../../flux2/core/single-sign-on/userpanel/panel/forms.ts'
import { html } from '../../../../flux2/core/single-sign-on/userpanel/panel/html.ts'
import {
  formToken,
  isOwnForm,
  networkOf,
} from '../../../../flux2/core/single-sign-on/userpanel/panel/http.ts'
import { Hydra } from '../../../../flux2/core/single-sign-on/userpanel/panel/hydra.ts'
import type { Flow } from '../../../../flux2/core/single-sign-on/userpanel/panel/kratos.ts'
import { nextToken } from '../../../../flux2/core/single-sign-on/userpanel/panel/upstream.ts'

test('whatever is put into a page stays text', () => {
  fc.assert(
    fc.property(fc.string(), text => {
      const { text: page } = html`<p title="${text}">${[text, false, undefined]}</p>`
      assert.not.match(page.slice(10, -4).replace('">', ''), /[<>"']/)
    }),
  )
  assert.is(html`${html`<b>${'<'}</b>`}`.text, '<b>&lt;</b>')
})

const node = (group: string, attributes: object, label = '') => ({
  type: 'input' as const,
  group,
  attributes,
  messages: [],
  meta: { label: { id: 1, text: label, type: 'info' as const } },
})
const flow = (...nodes: ReturnType<typeof node>[]): Flow => ({
  id: 'f',
  ui: { action: 'https://x/y', method: 'post', nodes },
})

test('a form has the nodes of its groups, the hidden ones of all, and a label for each field', () => {
  const shown = form(
    flow(
      node('default', { name: 'csrf_token', type: 'hidden', value: 't' }),
      node('password', { name: 'password', type: 'password', value: 'typed', required: true }, 'Password'),
      node('password', { name: 'method', type: 'submit', value: 'password' }, 'Log in'),
      node('totp', { name: 'totp_code', type: 'text' }, 'Code'),
    ),
    { groups: ['password'] },
  )!.text
  assert.match(shown, 'name="csrf_token" value="t"')
  assert.match(shown, '<label for="password-password">Password</label>')
  assert.match(shown, '<button name="method" value="password">Log in</button>')
  assert.not.match(shown, /totp|typed/)
})

test('a group without a button is no form', () => {
  assert.is(form(flow(node('totp', { name: 'totp_code', type: 'text' })), { groups: ['totp'] }), undefined)
})

test('the token of a form belongs to one session', () => {
  assert.ok(isOwnForm('secret', 'a', formToken('secret', 'a')))
  for (const token of [formToken('secret', 'b'), formToken('other', 'a'), '', null])
    assert.not(isOwnForm('secret', 'a', token))
})

test('the next page is the one that kratos names', () => {
  const link =
    '<http://k/admin/identities?page_size=2&page_token=first>; rel="first",<http://k/admin/identities?page_size=2&page_token=a%2Fb>; rel="next"'
  assert.is(nextToken(link), 'a/b')
  assert.is(nextToken(''), undefined)
  assert.is(nextToken('<http://k/x?page_token=first>; rel="first"'), undefined)
})

test('every page of clients is read, and a list without an end is left', async () => {
  const page = (next?: string) => ({
    data: [{ client_id: `after ${next}` }],
    link: next ? `<http://h/admin/clients?page_token=${next}>; rel="next"` : '',
  })
  const asked: string[] = []
  const pages = new Hydra((async (path: string) => {
    asked.push(new URLSearchParams(path.split('?')[1]).get('page_token') ?? 'first')
    return page({ first: 'b', b: 'c' }[asked.at(-1)!])
  }) as never)
  assert.is((await pages.clients()).length, 3)
  assert.equal(asked, ['first', 'b', 'c'])
  const endless = new Hydra((async () => page('again')) as never)
  assert.is((await endless.clients()).length, 40)
})

test('an application is opened at its own address, else at its redirect; other schemes are left out', () => {
  const list = applications([
    { client_id: 'b', client_name: 'Zeta', redirect_uris: ['https://b.example.org/deep/path?x=1'] },
    { client_id: 'a', client_name: 'Alpha', client_uri: 'https://a.example.org/start' },
    { client_id: 'c', client_uri: 'javascript:alert(1)', redirect_uris: ['com.example:/x'] },
  ])
  assert.equal(
    list.map(({ name, uri }) => [name, uri]),
    [
      ['Alpha', 'https://a.example.org/start'],
      ['Zeta', 'https://b.example.org/'],
    ],
  )
})

test('what nobody sees is shown as a sign, and new lines stay', () => {
  for (const character of [
    '\u202e',
    '\u2066',
    '\u200b',
    '\u200f',
    '\ufeff',
    '\u0000',
    '\u001b',
    '\u0085',
    '\u00ad',
    '\u3164',
    '\ue000',
    '\ud800',
  ])
    assert.is(html`<b>${`a${character}b`}</b>`.text, '<b>a\ufffdb</b>', character.charCodeAt(0).toString(16))
  assert.is(html`${'Zoë 王 אב\n\t'}`.text, 'Zoë 王 אב\n\t')
})

test('whoever has an IPv6 address has the network around it', () => {
  const cases: [string, string][] = [
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:DB8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::ffff:192.0.2.7', '::ffff:192.0.2.7'],
    ['192.0.2.7', '192.0.2.7'],
    ['nonsense', 'nonsense'],
  ]
  for (const [address, network] of cases) assert.is(networkOf(address), network)
})

test.run()
