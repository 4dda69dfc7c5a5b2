import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  fingerprint,
  hostKeyAlgorithms,
  judgeHostKey,
  keyType,
  knownHostsLine,
  knownName,
  parseKnownHosts,
} from '../../../../lib/ssh/known-hosts.ts'

// Made by ssh-keygen, and so are the fingerprint and the hashed name.
const ed25519 = 'AAAAC3NzaC1lZDI1NTE5AAAAIABmJJSXx1r25fIWOvF24PmfSY64nQnLBYwEh5EP6It1'
const ecdsa =
  'AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGzS6LJLt4yicxSGVQ8GicUDQyfNXd+ej0Jpz/Pj6Bov9LKLCnnSxd4A4+XEOz2IIV9R+K3MZdT6sm3GYtOLXSA='
const shown = 'SHA256:XyggZq3Qlz42qsjcmzrLE3Afeli4HF9fSGaoHbao23g'
const hashed = '|1|bTMfngz3iZjYwBZ8MkPbXSYsXRQ=|B32QiNTgPrCLLDLFZhcPtKKnSO8='

const key = Buffer.from(ed25519, 'base64')
const other = Buffer.from(key)
other[other.length - 1]! ^= 1
const entry = (hosts: string, marker = '') => `${marker}${marker && ' '}${hosts} ssh-ed25519 ${ed25519}`
/** The state that these lines give to a host with our key. */
const state = (lines: string[], host: string, port = 22, shownKey = key) =>
  judgeHostKey(parseKnownHosts(lines.join('\n'), 'kh'), host, port, shownKey).state

test('the type and fingerprint of a key are those of ssh-keygen', () => {
  assert.is(keyType(key), 'ssh-ed25519')
  assert.is(keyType(Buffer.from(ecdsa, 'base64')), 'ecdsa-sha2-nistp256')
  assert.is(fingerprint(key), shown)
  assert.is(keyType(Buffer.from('AAAA', 'base64')), undefined)
})

test('lines that are none are passed over, and the others keep their number', () => {
  const text = [
    '# comment',
    '',
    '   ',
    'host',
    'host ssh-ed25519',
    `host ssh-rsa ${ed25519}`,
    'host ssh-ed25519 !!!!',
    `@unknown host ssh-ed25519 ${ed25519}`,
    'host 1024 37 1234567890',
    `  ${entry('host')} with a comment \r`,
  ].join('\n')
  assert.equal(
    parseKnownHosts(text, 'f').map(({ at, hosts }) => [at, hosts]),
    [['f:10', 'host']],
  )
})

test('names match by pattern, case and negation; ports by brackets', () => {
  assert.is(state([entry('a.org,10.0.0.1')], '10.0.0.1'), 'known')
  assert.is(state([entry('A.org')], 'a.ORG'), 'known')
  assert.is(state([entry('*.org,!b.org')], 'a.org'), 'known')
  assert.is(state([entry('*.org,!b.org')], 'b.org'), 'unknown')
  assert.is(state([entry('?.org')], 'ab.org'), 'unknown')
  assert.is(state([entry('[a.org]:2222')], 'a.org', 2222), 'known')
  assert.is(state([entry('[a.org]:2222')], 'a.org'), 'unknown')
  assert.is(state([entry('[a.org]:22*')], 'a.org', 2222), 'known')
  assert.is(state([entry('::1')], '::1'), 'known')
  assert.is(knownName('A.org', 22), 'a.org')
  assert.is(knownName('::1', 2222), '[::1]:2222')
})

test('a name without its port vouches for a key, and accuses none', () => {
  assert.is(state([entry('a.org')], 'a.org', 2222), 'known')
  assert.is(state([entry('a.org')], 'a.org', 2222, other), 'unknown')
})

test('hashed names match, also those that we write', () => {
  assert.is(state([entry(hashed)], '10.0.0.1', 2222), 'known')
  assert.is(state([entry(hashed)], '10.0.0.1'), 'unknown')
  assert.is(state([entry('|2|AAAA|AAAA')], 'a'), 'unknown')
  assert.is(state([entry('|1|')], 'a'), 'unknown')
  const line = knownHostsLine('a.org', 22, key, true)
  assert.match(line, /^\|1\|\S+\|\S+ ssh-ed25519 \S+\n$/)
  assert.not.match(line, 'a.org')
  assert.is(state([line], 'a.org'), 'known')
  assert.is(state([knownHostsLine('a.org', 2222, key, false)], 'a.org', 2222), 'known')
})

test('another key is a change, also of another type; one line that fits is enough', () => {
  const [verdict] = [judgeHostKey(parseKnownHosts(`\n${entry('a')}`, 'kh'), 'a', 22, other)]
  assert.equal(verdict, { state: 'changed', at: 'kh:2' })
  assert.is(state([`a ecdsa-sha2-nistp256 ${ecdsa}`], 'a'), 'changed')
  assert.is(state([`a ssh-ed25519 ${other.toString('base64')}`, entry('a')], 'a'), 'known')
})

test('a revoked key is refused whatever else stands there; certificates do not count', () => {
  assert.is(state([entry('a'), entry('*', '@revoked')], 'a'), 'revoked')
  assert.is(state([entry('[a]:2222'), entry('a', '@revoked')], 'a', 2222), 'revoked')
  assert.is(state([entry('a'), entry('b', '@revoked')], 'a'), 'known')
  assert.is(state([entry('a', '@revoked')], 'a', 22, other), 'unknown')
  const verdict = judgeHostKey(parseKnownHosts(entry('*.org', '@cert-authority'), 'kh'), 'a.org', 22, key)
  assert.equal(verdict, { state: 'unknown', authorities: ['kh:1'] })
})

test('the algorithms of known keys come first, RSA with SHA-1 never', () => {
  const entries = parseKnownHosts(`a ecdsa-sha2-nistp256 ${ecdsa}\n`, 'kh')
  assert.is(hostKeyAlgorithms(entries, 'a', 22)[0], 'ecdsa-sha2-nistp256')
  assert.is(hostKeyAlgorithms(entries, 'b', 22)[0], 'ssh-ed25519')
  assert.not.ok(hostKeyAlgorithms([], 'a', 22).includes('ssh-rsa'))
})

test('no file makes the parser throw or slow', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (text, host) => {
      judgeHostKey(parseKnownHosts(text, 'kh'), host, 22, key)
    }),
  )
  const started = performance.now()
  assert.is(state([entry(`${'*a'.repeat(200)}b`)], 'a'.repeat(2000)), 'unknown')
  assert.ok(performance.now() - started < 10_000)
})

test.run()
