import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { restrictionIn } from '../../../../scripts/restrict-access/override.ts'
import { accessPlan, accessRows, refuseOtherPlan, remarks } from '../../../../scripts/restrict-access/plan.ts'
import { hostObjects, restrictedHosts, trialObjects } from '../../../../scripts/restrict-access/routes.ts'
import { ownRanges, restrictableHosts } from '../../../../scripts/restrict-access/survey.ts'

const survey = {
  texts: ['', '', ''],
  secret: undefined,
  hosts: [],
  installed: undefined,
  served: ['files.example.org', 'wekan.example.org'],
  plain: [],
  own: ['198.51.100.7/32', '10.42.0.0/24'],
}
const config = { domain: 'example.org', ip_address: '198.51.100.7' }

test('a plan names whom it lets in, always the cluster itself; the second run has none', () => {
  const { lines, text } = accessPlan(survey, { given: ['203.0.113.0/24'], proxies: [], hosts: [] })
  assert.match(lines[0]!, 'every host: let in only 203.0.113.0/24, 198.51.100.7/32, 10.42.0.0/24')
  const written = { ...survey, texts: ['', '', text] }
  const same = { given: ['203.0.113.0/24'], proxies: [], hosts: [] }
  assert.equal(accessPlan(written, same).lines, [
    'wait until Flux has given the ingress what a run before has written',
  ])
  assert.match(remarks(written)[0]!, 'does not have yet')
  const now = { ...written, installed: restrictionIn([text]) }
  assert.equal(accessPlan(now, { given: ['203.0.113.0/24'], proxies: [], hosts: [] }).lines, [])
  assert.match(accessRows(now)[0]![1]!, '203.0.113.0/24')
  const next = accessPlan(now, { given: ['192.0.2.0/24'], proxies: [], hosts: [] })
  assert.ok(next.lines.includes('every host: no longer 203.0.113.0/24'))
  assert.is(accessPlan(now, { given: [], proxies: [], hosts: [] }).text, '')
})

test('one host: objects of its own, read back, taken back', () => {
  const hosts = ['files.example.org']
  const plan = accessPlan(survey, { given: ['203.0.113.0/24'], proxies: [], hosts })
  const now = { ...survey, hosts: restrictedHosts(plan.objects) }
  assert.equal(now.hosts[0]?.host, 'files.example.org')
  assert.equal(accessPlan(now, { given: ['203.0.113.0/24'], proxies: [], hosts }).lines, [])
  assert.is(accessPlan(now, { given: ['192.0.2.0/24'], proxies: [], hosts }).objectsBefore.length, 2)
  assert.equal(accessPlan(now, { given: [], proxies: [], hosts }).lines, [
    'files.example.org: let everybody in',
  ])
})

test('a plan is not carried out on what somebody has changed since it was shown', () => {
  const everything = { given: ['203.0.113.0/24'], proxies: [], hosts: [] }
  const shown = accessPlan(survey, everything)
  const override = { ...survey, texts: ['', '', 'replicas: 2\n'] }
  assert.throws(() => refuseOtherPlan(shown, accessPlan(override, everything)), /changed meanwhile/)
  const below = { ...survey, texts: ['', 'extraObjects: [{kind: Middleware, metadata: {name: x}}]\n', ''] }
  assert.throws(() => refuseOtherPlan(shown, accessPlan(below, everything)), /changed meanwhile/)
  // Flux may have installed meanwhile what a killed run has written.
  const written = { ...survey, texts: ['', '', shown.text] }
  const installed = { ...written, installed: restrictionIn(written.texts) }
  refuseOtherPlan(accessPlan(written, everything), accessPlan(installed, everything))
  // One host: its own ranges count, not what restricts everything.
  const one = { ...everything, hosts: ['files.example.org'] }
  refuseOtherPlan(accessPlan(survey, one), accessPlan(override, one))
  const other = { ...survey, hosts: restrictedHosts(hostObjects('files.example.org', ['192.0.2.0/24'])) }
  assert.throws(
    () => refuseOtherPlan(accessPlan(survey, one), accessPlan(other, one)),
    /changed meanwhile; nothing was written/,
  )
})

test('half a host, of a run that was killed: nobody is told that it is restricted, and the next run completes it', () => {
  const [host, given] = ['files.example.org', ['203.0.113.0/24']]
  const [middleware, route] = hostObjects(host, [...given, ...survey.own])
  const [other] = hostObjects(host, ['192.0.2.0/24'])
  const cases = [
    [[middleware!], 'everybody', 0],
    [[route!], [...given, ...survey.own].join(', '), 2],
    [[other!, route!], [...given, ...survey.own].join(', '), 2],
  ] as const
  for (const [objects, shown, before] of cases) {
    const now = { ...survey, hosts: restrictedHosts(objects) }
    assert.equal(accessRows(now)[1], [host, shown])
    assert.match(remarks(now)[0]!, 'a run was killed')
    const plan = accessPlan(now, { given, proxies: [], hosts: [host] })
    assert.is(plan.objects.length, 2)
    assert.is(plan.objectsBefore.length, before)
    assert.is(accessPlan(now, { given: [], proxies: [], hosts: [host] }).objects.length, 2)
  }
})

test('the route of a host takes those outside of every range', () => {
  const [, route] = hostObjects('a.example.org', ['203.0.113.0/24', '::1/128'])
  assert.is(
    route!.spec.routes[0].match,
    'Host(`a.example.org`) && !ClientIP(`203.0.113.0/24`) && !ClientIP(`::1/128`)',
  )
  assert.equal(route!.spec.entryPoints, ['websecure'])
  for (const object of trialObjects('x', { given: ['::1/128'], all: ['::1/128'], hosts: ['a.example.org'] }))
    assert.is(object.metadata.labels?.['openappstack.net/restrict-access'], 'trial')
})

test('names of hosts and applications', () => {
  assert.equal(restrictableHosts('nextcloud', config, survey.served), ['files.example.org'])
  assert.equal(restrictableHosts('wekan.example.org', config, survey.served), ['wekan.example.org'])
  assert.throws(() => restrictableHosts('rocketchat', config, survey.served), /not installed/)
  assert.throws(
    () => restrictableHosts('velero', config, survey.served),
    ({ message, fix }: { message: string; fix: string }) =>
      message === 'velero has no address' && /nextcloud/.test(fix) && !/velero|rocketchat/.test(fix),
  )
  assert.throws(() => restrictableHosts('wekn', config, survey.served), /does not serve "wekn"/)
  assert.throws(() => restrictableHosts('a`) || Host(`b', config, survey.served), /does not serve/)
  assert.throws(() => restrictableHosts('../../etc', config, survey.served), /does not serve/)
})

test('the addresses of the cluster itself', () => {
  const node = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'n' },
    spec: { podCIDRs: ['10.42.0.0/24', 'fd00:42::/64'] },
    status: {
      addresses: [
        { type: 'InternalIP', address: '198.51.100.7' },
        { type: 'Hostname', address: 'n' },
      ],
    },
  }
  assert.equal(ownRanges([node], '198.51.100.7'), ['198.51.100.7/32', '10.42.0.0/24', 'fd00:42::/64'])
})

test('what somebody who trusts the ranges has to know', () => {
  const told = remarks({
    ...survey,
    plain: ['old.example.org'],
    texts: ['', '', 'controller: {config: {whitelist-source-range: 1.2.3.4/24}}'],
  })
  assert.match(told[0]!, 'which Traefik does not read: run this with --allow 1.2.3.4/24')
  assert.match(told[1]!, 'old.example.org: without TLS')
})

test.run()
