import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { UsageError } from '../../../../lib/script/errors.ts'
import { parsePlatformDomain, wantedOf } from '../../../../scripts/test-cluster/wanted.ts'

test('a domain, with a port where one is given', () => {
  assert.is(parsePlatformDomain(' OAS.example.org. '), 'oas.example.org')
  assert.is(parsePlatformDomain('oas.localhost:8443'), 'oas.localhost:8443')
  assert.is(parsePlatformDomain('münchen.example.org:443'), 'xn--mnchen-3ya.example.org:443')
})

test('everything else is wrong usage, and names what is expected', () => {
  const refused: [text: string, what: RegExp, fix: RegExp][] = [
    ['https://oas.example.org', /--fqdn: .* is the address of a page, not a host/, /give oas\.example\.org$/],
    ['https://oas.example.org:8443/login', /address of a page/, /give oas\.example\.org$/],
    ['oas.example.org:0', /"0" is not a valid port/, /from 1 to 65535/],
    ['oas.example.org:65536', /"65536" is not a valid port/, /DOMAIN:PORT/],
    ['oas.example.org:https', /"https" is not a valid port/, /DOMAIN:PORT/],
    ['oas.example.org:', /"" is not a valid port/, /DOMAIN:PORT/],
    ['oas.example.org/login', /is not a host name/, /: oas\.example\.org$/],
    ['oas.example.org:443/login', /is not a host name/, /: oas\.example\.org$/],
    ['user@oas.example.org', /is not a host name/, /: oas\.example\.org$/],
    ['203.0.113.7', /is an IP address/, /: oas\.example\.org$/],
    ['[2001:db8::7]:443', /is not a host name|is an IP address/, /: oas\.example\.org$/],
    ['*.oas.example.org', /is a wildcard/, /: oas\.example\.org$/],
    ['localhost', /is not a full host name/, /: oas\.example\.org$/],
    ['', /is not a host name/, /: oas\.example\.org$/],
    [`${'a'.repeat(300)}.org`, /is not a host name|not a full host name/, /: oas\.example\.org$/],
  ]
  for (const [text, what, fix] of refused)
    try {
      assert.unreachable(parsePlatformDomain(text))
    } catch (error) {
      assert.instance(error, UsageError, text)
      assert.match((error as UsageError).message, what)
      assert.match((error as UsageError).fix, fix)
    }
})

test('sections and applications that do not exist are refused', () => {
  assert.equal(wantedOf({ only: [], fqdn: 'oas.example.org' }).wanted, ['certs', 'login'])
  assert.equal(wantedOf({ only: ['certs, backup'], timeout: '2m' }).deadline, 120_000)
  assert.equal(wantedOf({ only: [], app: 'wekan' }).wanted, ['certs', 'app', 'login'])
  assert.throws(() => wantedOf({ only: ['host'], fqdn: 'oas.example.org' }), /"host": not with --fqdn/)
  assert.throws(() => wantedOf({ only: ['cert'] }), /"cert": unknown section/)
  assert.throws(() => wantedOf({ only: [], app: 'wiki' }), /"wiki": unknown application/)
})

test.run()
