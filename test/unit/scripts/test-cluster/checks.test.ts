import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Chalk } from 'chalk'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PROOF_MARK } from '../../../../lib/backup/objects.ts'
import type { HttpAnswer } from '../../../../lib/diagnosis/certificates/http-probe.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { ROOT } from '../../../../lib/script/files.ts'
import { registerSecret } from '../../../../lib/script/redact.ts'
import type { TestCheck } from '../../../../scripts/test-cluster/checks.ts'
import { loginClients } from '../../../../scripts/test-cluster/clients.ts'
import { answerProblem, certificateProblem, redirectProblem } from '../../../../scripts/test-cluster/hosts.ts'
import { authorisationProblem, discoveryProblem } from '../../../../scripts/test-cluster/login.ts'
import { backupTests, judgeObjects } from '../../../../scripts/test-cluster/objects.ts'
import { junitOf, nagiosLine, showChecks, xmlText } from '../../../../scripts/test-cluster/output.ts'
import { alertChecks, targetChecks } from '../../../../scripts/test-cluster/prometheus.ts'
import { findingChecks, unitChecks } from '../../../../scripts/test-cluster/server.ts'
import { snapshotOf } from '../../lib/diagnosis/snapshots.ts'

const HOST = 'files.oas.example.org'
const NOW = Date.parse('2026-06-01T00:00:00Z')
const answer = (status: number, headers: HttpAnswer['headers'] = {}): HttpAnswer => ({
  status,
  headers,
  body: '',
})
const bad = (checks: readonly TestCheck[]) =>
  checks.filter(({ state }) => state === 'failed').map(({ name, problem }) => `${name}: ${problem!.what}`)

test('a certificate is judged by what a browser would say, and by its end', () => {
  const of = (distrust: string | undefined, notAfter?: string) =>
    certificateProblem(HOST, { distrust, notAfter }, NOW)?.[0]
  assert.is(of(undefined, '2026-08-01T00:00:00Z'), undefined)
  assert.is(of(undefined), undefined)
  assert.is(of(undefined, '2026-06-04T00:00:00Z'), 'its certificate expires in 3 d and was not renewed')
  assert.is(of('CERT_HAS_EXPIRED'), 'its certificate has expired')
  const early = certificateProblem(HOST, { distrust: 'CERT_NOT_YET_VALID', notAfter: undefined }, NOW)
  assert.match(
    early?.[1] ?? '',
    /compare `date -u` here and on the server, then run npx tsx scripts\/cert-debug/,
  )
  assert.is(of('DEPTH_ZERO_SELF_SIGNED_CERT'), 'it is served with a self-signed certificate')
  assert.is(of('ERR_TLS_CERT_ALTNAME_INVALID'), 'it is served with a certificate for another host')
  assert.is(of('X'), 'no browser trusts its certificate (X)')
})

test('port 80 has to lead to https of the same host', () => {
  const of = (status: number, location?: string) => redirectProblem(HOST, answer(status, { location }))
  for (const status of [301, 302, 307, 308]) assert.is(of(status, `https://${HOST}/x`), undefined)
  for (const [status, location] of [
    [200, undefined],
    [301, '/x'],
    [301, `http://${HOST}/`],
    [301, 'https://elsewhere.example.org/'],
    [301, 'https://'],
    [404, undefined],
  ] as const)
    assert.match(of(status, location)![0], 'does not lead to https')
  assert.match(redirectProblem(HOST, 'connection refused')![1], 'preflight')
})

test('a backup has to be proved within 8 days, as the alert has it', () => {
  const made = (kind: string, name: string, days: number): KubeObject => ({
    apiVersion: kind === 'Schedule' ? 'velero.io/v1' : 'v1',
    kind,
    metadata: {
      namespace: 'velero',
      name,
      creationTimestamp: new Date(NOW - days * 86_400_000).toISOString(),
    },
  })
  const proof = (schedule: number, proved?: number) => {
    const marks = proved === undefined ? [] : [made('ConfigMap', PROOF_MARK, proved)]
    const judged = judgeObjects(
      snapshotOf([made('Schedule', 'nightly', schedule), ...marks], { takenAt: new Date(NOW).toISOString() }),
    )
    const found = backupTests(judged).find(({ name }) => name === 'last proved backup')!
    return [found.state, found.problem?.what ?? found.note]
  }
  assert.equal(proof(30, 3), ['passed', '3 d old'])
  assert.equal(proof(30, 9), ['failed', 'the last proved backup is 9 d old'])
  assert.equal(proof(9), ['failed', 'no backup was ever proved'])
  assert.is(proof(2)[0], 'skipped')
  const velero = readFileSync(join(ROOT, 'flux2/apps/velero/values.yaml'), 'utf8')
  assert.match(velero, 'configmap="oas-backup-proof"} > time() - 8 * 86400')
})

test('an answer that says that nothing is behind it', () => {
  for (const status of [200, 302, 401, 403]) assert.is(answerProblem(HOST, answer(status)), undefined)
  for (const status of [404, 500, 502, 503])
    assert.match(answerProblem(HOST, answer(status))![0], String(status))
})

test('targets and alerts, and answers that make no sense', () => {
  assert.equal(bad(targetChecks({ activeTargets: [{ health: 'up' }] })), [])
  assert.equal(bad(targetChecks({})), ['targets: Prometheus has no target'])
  const down = { health: 'down', labels: { job: 'a', instance: 'b' }, lastError: 'refused' }
  assert.equal(bad(targetChecks({ activeTargets: [down, { health: 'up' }] })), [
    'target a b: is down: refused',
  ])
  const watchdog = { labels: { alertname: 'Watchdog' }, state: 'firing' }
  assert.equal(bad(alertChecks({ alerts: [watchdog] })), [])
  assert.equal(bad(alertChecks({ alerts: [{ labels: { alertname: 'X' }, state: 'pending' }, watchdog] })), [])
  assert.equal(bad(alertChecks({ alerts: [watchdog, { labels: { alertname: 'X' }, state: 'firing' }] })), [
    'alert X: fires',
  ])
  assert.is(bad(alertChecks({ alerts: 'none' } as unknown as object)).length, 1)
})

test('the server: its service, pending updates, and what preflight found', () => {
  const units = new Map([['k3s.service', 'active']])
  assert.equal(bad(unitChecks({ units, updates: [], reboot: false }, 'v1.36.4+k3s1')), [])
  assert.equal(
    bad(unitChecks({ units: new Map([['k3s.service', 'failed']]), updates: ['libc6'], reboot: true }, 'v1')),
    ['k3s: k3s is failed', 'updates: 1 package has an update: libc6', 'reboot: an update waits for a reboot'],
  )
  assert.equal(bad(unitChecks({ units: new Map(), updates: [], reboot: false }, undefined)), [
    'k3s: k3s is not installed',
  ])
  assert.equal(bad(findingChecks([])), [])
  const finding = { severity: 'error' as const, what: 'the disk is full: 1 % free', fix: 'free some' }
  const advice = { severity: 'warning' as const, what: 'the server swaps', fix: 'switch it off' }
  assert.equal(bad(findingChecks([advice, finding])), ['the disk is full: the disk is full: 1 % free'])
  const [passed, ...more] = findingChecks([advice])
  assert.equal([passed!.state, passed!.note, more], ['passed', 'the server swaps', []])
})

test('what is wrong with a server is said once', () => {
  const lines: string[] = []
  const finding = { severity: 'error' as const, what: 'the disk is full: 1 % free', fix: 'free some' }
  const log = { colour: new Chalk({ level: 0 }), printLine: (line = '') => lines.push(line) }
  showChecks(findingChecks([finding]), log, false)
  assert.equal(lines.slice(1), ['  ✗ the disk is full: 1 % free', '      fix: free some'])
})

test('every application with single sign-on has its client, with the address that it sends', () => {
  const clients = loginClients({ domain: 'oas.example.org', wordpress_domain: 'www.example.org' })
  for (const app of ['grafana', 'nextcloud', 'rocketchat', 'wekan'])
    assert.ok(
      clients.some(client => client.app === app),
      app,
    )
  for (const { clientId, redirectUri, secret } of clients) {
    assert.match(redirectUri, /^https:\/\/[\w.]+\.example\.org\//)
    assert.match(clientId, /^\w+$/)
    assert.ok(secret.name)
  }
  const without = loginClients({ domain: 'oas.example.org' })
  assert.not.ok(without.some(({ redirectUri }) => redirectUri.includes('undefined')))
})

test('discovery and authorisation: what is wrong is named', () => {
  const base = 'https://sso.oas.example.org'
  const good = { issuer: `${base}/`, authorization_endpoint: 'a', token_endpoint: 'b', jwks_uri: 'c' }
  assert.is(discoveryProblem(base, 200, JSON.stringify(good)), undefined)
  assert.match(discoveryProblem(base, 502, '')![0], 'answers 502')
  assert.match(discoveryProblem(base, 200, '<html>')![0], 'not JSON')
  assert.match(discoveryProblem(base, 200, 'null')![0], 'issuer')
  assert.match(discoveryProblem(base, 200, JSON.stringify({ ...good, issuer: 'https://x' }))![0], 'https://x')
  assert.match(discoveryProblem(base, 200, JSON.stringify({ ...good, jwks_uri: '' }))![0], 'lacks jwks_uri')
  const [client] = loginClients({ domain: 'oas.example.org' })
  const of = (location: string) => authorisationProblem('oas.example.org', client!, 302, location)
  assert.is(of('https://admin.oas.example.org/login?login_challenge=1'), undefined)
  assert.match(
    of('https://admin.oas.example.org/error?error=invalid_request&error_description=uri')![0],
    'uri',
  )
  assert.match(of('')![0], 'in place of the login page')
})

test('a secret is not told in XML, escaped neither', () => {
  const secret = 'hunter<2&"xyz'
  registerSecret(secret)
  assert.is(xmlText(`login with ${secret} failed`), 'login with *** failed')
})

test('what strangers wrote stays text in XML and on the line for monitoring', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), text => {
      const xml = xmlText(text)
      assert.not.match(xml, /[<>"']|&(?!(amp|lt|gt|quot|#39);)/)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: XML 1.0 does not allow them
      assert.not.match(xml, /[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/)
      const checks: TestCheck[] = [
        { section: 'app', name: text, state: 'failed', problem: { what: text, fix: text, seen: [text] } },
        { section: 'app', name: text, state: 'unknown', problem: { what: text, fix: text, seen: [] } },
        { section: 'backup', name: 'x', state: 'skipped', note: text },
      ]
      const line = nagiosLine(checks, 1)
      assert.is(line.split('|').length, 2)
      assert.is(line.split('\n').length, 1)
      assert.match(junitOf(checks, { name: text, seconds: 1 }), /tests="3" failures="1" errors="1"/)
    }),
    { numRuns: 50 },
  )
})

test.run()
