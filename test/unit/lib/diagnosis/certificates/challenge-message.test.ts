import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type ChallengeProblem,
  parseReason,
} from '../../../../../lib/diagnosis/certificates/challenge-message.ts'
import { challengeTexts } from '../../../../../lib/diagnosis/certificates/challenge-texts.ts'

const KEY = 'http://chat.oas.example.org/.well-known/acme-challenge/tzvaM1vwgq4pXq1Q89R7iz'
const WAITING = 'Waiting for HTTP-01 challenge propagation: '
const GET = `failed to perform self check GET request '${KEY}': `
const ACME = 'Error accepting authorization: acme: authorization error for chat.oas.example.org: '

/** Messages as cert-manager, Let's Encrypt and pebble write them. */
const messages: readonly (readonly [message: string, problem: ChallengeProblem, status?: number])[] = [
  [`${WAITING}wrong status code '503', expected '200'`, 'no-backend', 503],
  [`${WAITING}wrong status code '502', expected '200'`, 'no-backend', 502],
  [`${WAITING}wrong status code '404', expected '200'`, 'not-found', 404],
  [`${WAITING}wrong status code '401', expected '200'`, 'forbidden', 401],
  [`${WAITING}wrong status code '302', expected '200'`, 'redirect', 302],
  [`${WAITING}wrong status code '500', expected '200'`, 'wrong-status', 500],
  [`${WAITING}did not get expected response "abc.def" when querying endpoint`, 'wrong-answer'],
  [`${WAITING}${GET}Get "${KEY}": dial tcp 203.0.113.7:80: connect: connection refused`, 'refused'],
  [`${WAITING}${GET}Get "${KEY}": dial tcp 203.0.113.7:80: i/o timeout`, 'timeout'],
  [
    `${WAITING}${GET}Get "${KEY}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
    'timeout',
  ],
  [
    `${WAITING}${GET}Get "${KEY}": dial tcp: lookup chat.oas.example.org on 10.43.0.10:53: no such host`,
    'no-such-host',
  ],
  [
    `${WAITING}${GET}Get "${KEY}": dial tcp: lookup chat.oas.example.org on 10.43.0.10:53: server misbehaving`,
    'dns-fails',
  ],
  [`${WAITING}${GET}Get "${KEY}": dial tcp 203.0.113.7:80: connect: no route to host`, 'unreachable'],
  [`${WAITING}${GET}Get "${KEY}": EOF`, 'unreachable'],
  [
    `${WAITING}${GET}Get "https://chat.oas.example.org/x": dial tcp 203.0.113.7:443: connect: connection refused`,
    'redirect',
  ],
  [`${WAITING}${GET}Get "/x": stopped after 10 redirects`, 'redirect'],
  [
    `${ACME}403 urn:ietf:params:acme:error:unauthorized: 203.0.113.7: Invalid response from ${KEY}: 404`,
    'not-found',
    404,
  ],
  [
    `${ACME}403 urn:ietf:params:acme:error:unauthorized: 203.0.113.7: Invalid response from ${KEY} [203.0.113.7]: 503`,
    'no-backend',
    503,
  ],
  [
    `${ACME}403 urn:ietf:params:acme:error:unauthorized: Non-200 status code from HTTP: ${KEY} returned 503`,
    'no-backend',
    503,
  ],
  [
    `${ACME}403 urn:ietf:params:acme:error:unauthorized: The key authorization file from the server did not match this challenge`,
    'wrong-answer',
  ],
  [
    `${ACME}400 urn:ietf:params:acme:error:connection: 203.0.113.7: Fetching ${KEY}: Connection refused`,
    'refused',
  ],
  [
    `${ACME}400 urn:ietf:params:acme:error:connection: 203.0.113.7: Fetching ${KEY}: Timeout during connect (likely firewall problem)`,
    'timeout',
  ],
  [
    `${ACME}400 urn:ietf:params:acme:error:connection: 203.0.113.7: Fetching https://chat.oas.example.org/x: Connection refused`,
    'redirect',
  ],
  [
    `${ACME}400 urn:ietf:params:acme:error:dns: DNS problem: NXDOMAIN looking up A for chat.oas.example.org - check that a DNS record exists for this domain`,
    'no-such-host',
  ],
  [
    `${ACME}400 urn:ietf:params:acme:error:dns: DNS problem: SERVFAIL looking up A for chat.oas.example.org - the domain's nameservers may be malfunctioning`,
    'dns-fails',
  ],
  [
    `${ACME}400 urn:ietf:params:acme:error:dns: no valid A records found for chat.oas.example.org; no valid AAAA records found for chat.oas.example.org`,
    'no-such-host',
  ],
  [`${ACME}403 urn:ietf:params:acme:error:caa: CAA record for chat.oas.example.org prevents issuance`, 'caa'],
  [
    'Failed to create Order: 400 urn:ietf:params:acme:error:rejectedIdentifier: Cannot issue for "blocked.example.org": The ACME server refuses to issue a certificate for this domain name, because it is forbidden by policy',
    'name-rejected',
  ],
  [
    'Failed to create Order: 429 urn:ietf:params:acme:error:rateLimited: too many failed authorizations (5) for "chat.oas.example.org" in the last 1h0m0s, retry after 2026-11-22 18:00:00 UTC: see https://letsencrypt.org/docs/rate-limits/',
    'rate-limited',
  ],
  [
    'pods "cm-acme-http-solver-x" is forbidden: exceeded quota: few, requested: pods=1, used: pods=9, limited: pods=9',
    'not-presented',
  ],
  ['', 'unknown'],
]

for (const [message, problem, status] of messages)
  test(`${problem}: ${message.slice(-90)}`, () => {
    const parsed = parseReason(message)
    assert.is(parsed.problem, problem)
    assert.is(parsed.status, status)
  })

test('when an authority takes the next request is read from its refusal', () => {
  const refusal = 'urn:ietf:params:acme:error:rateLimited: too many certificates (5) already issued'
  assert.is(
    parseReason(`429 ${refusal}, retry after 2026-11-23 04:05:06 UTC: see …`).retryAfter,
    '2026-11-23T04:05:06.000Z',
  )
  assert.is(parseReason(`429 ${refusal}`).retryAfter, undefined)
  assert.is(parseReason(`429 ${refusal}, retry after 2026-99-99 99:99:99 UTC`).retryAfter, undefined)
})

test('any text has a problem that can be told', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string(), fc.boolean(), (text, host, isOver) => {
      const { problem, status } = parseReason(text)
      const { cause, text: advice } = challengeTexts(problem, host, status, isOver)
      return cause.length > 0 && advice.length > 0 && !cause.includes('undefined')
    }),
  )
})

test.run()
