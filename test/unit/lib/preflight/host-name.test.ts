import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseConnectTo, parseHostName } from '../../../../lib/preflight/host-name.ts'
import { UsageError } from '../../../../lib/script/errors.ts'

test('a host name is taken as objects hold it', () => {
  assert.is(parseHostName('chat.oas.example.org'), 'chat.oas.example.org')
  assert.is(parseHostName(' Chat.OAS.example.org. '), 'chat.oas.example.org')
  assert.is(parseHostName('münchen.example.org'), 'xn--mnchen-3ya.example.org')
  assert.is(parseHostName('xn--mnchen-3ya.example.org'), 'xn--mnchen-3ya.example.org')
})

for (const [text, problem] of [
  ['https://chat.oas.example.org/login', /is the address of a page/],
  ['javascript://x', /is the address of a page/],
  ['203.0.113.7', /is an IP address/],
  ['2001:db8::7', /is an IP address/],
  ['[2001:db8::7]', /is an IP address/],
  ['0x7f.1', /not a host name/],
  ['*.example.org', /is a wildcard/],
  ['chat', /not a full host name/],
  ['', /not a host name/],
  ['a b.example.org', /not a host name/],
  ['chat.example.org:443', /not a host name/],
  ['chat.example.org/x', /not a host name/],
  ['me@chat.example.org', /not a host name/],
  ['chat.example.org\nHost: other', /not a host name/],
  ['-x.example.org', /not a full host name/],
  ['chat..example.org', /not a full host name|not a host name/],
  [`${'a'.repeat(64)}.example.org`, /not a full host name|not a host name/],
  [`${'a.'.repeat(130)}org`, /not a host name/],
  ['chat.example.org%00', /not a host name/],
] as const)
  test(`refused: ${JSON.stringify(text.slice(0, 40))}`, () => {
    assert.throws(
      () => parseHostName(text),
      (error: unknown) => error instanceof UsageError && problem.test(error.message) && error.fix !== '',
    )
  })

test('whatever is given, it is a plain host name or refused in two lines', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.domain(), fc.webUrl(), fc.ipV6()), text => {
      try {
        return /^[a-z\d.-]{3,253}$/.test(parseHostName(text))
      } catch (error) {
        return error instanceof UsageError && !/[\n\r]/.test(error.message)
      }
    }),
  )
})

test('where to connect to is an address, with ports', () => {
  assert.equal(parseConnectTo('203.0.113.7'), { address: '203.0.113.7', http: 80, https: 443 })
  assert.equal(parseConnectTo('127.0.0.1:8080'), { address: '127.0.0.1', http: 8080, https: 443 })
  assert.equal(parseConnectTo('127.0.0.1:8080:8443'), { address: '127.0.0.1', http: 8080, https: 8443 })
  assert.equal(parseConnectTo('[2001:db8::7]:81:444'), { address: '2001:db8::7', http: 81, https: 444 })
  assert.equal(parseConnectTo('2001:db8::7'), { address: '2001:db8::7', http: 80, https: 443 })
})

for (const text of [
  '',
  'localhost',
  '203.0.113.7:0',
  '203.0.113.7:80:443:1',
  '203.0.113.777',
  '1.2.3.4:99999',
  '[::1',
  ':80',
])
  test(`no address to connect to: ${JSON.stringify(text)}`, () => {
    assert.throws(
      () => parseConnectTo(text),
      (error: unknown) => error instanceof UsageError && error.message.includes('--connect-to'),
    )
  })

test.run()
