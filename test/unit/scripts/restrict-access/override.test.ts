import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { load } from 'js-yaml'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { ROOT } from '../../../../lib/script/files.ts'
import { oldRanges, restrictionIn, withRestriction } from '../../../../scripts/restrict-access/override.ts'

const BASE = 'ports: {websecure: {http: {middlewares: [oas-hsts@kubernetescrd]}}}\n'
const read = (name: string) => load(readFileSync(join(ROOT, name), 'utf8')) as KubeObject
const wanted = { ranges: ['203.0.113.0/24', '2001:db8::/48'], proxies: [] }

test('a restriction is written beside what the platform says, and goes without a trace', () => {
  const text = withRestriction([BASE, '', ''], wanted)
  assert.equal((load(text) as KubeObject).ports.websecure.http.middlewares, [
    'oas-hsts@kubernetescrd',
    'oas-source-ranges@kubernetescrd',
  ])
  assert.equal(restrictionIn([BASE, '', text]), wanted)
  assert.is(withRestriction([BASE, '', text], wanted), text)
  assert.is(withRestriction([BASE, '', text], undefined), '')
})

test('what else an override says stays, with its comments', () => {
  const mine =
    '# ours\ndeployment:\n  replicas: 2 # two\nextraObjects:\n  - {kind: Middleware, metadata: {name: other}}\n'
  const text = withRestriction([BASE, '', mine], wanted)
  assert.match(text, '# ours')
  assert.match(text, 'replicas: 2 # two')
  assert.is((load(text) as KubeObject).extraObjects.length, 2)
  assert.equal(load(withRestriction([BASE, '', text], undefined)), load(mine))
})

test('lists of the ConfigMap stay in force: Helm replaces lists', () => {
  const map =
    'extraObjects: [{kind: ConfigMap, metadata: {name: mine}}]\nports: {websecure: {forwardedHeaders: {trustedIPs: [10.9.9.9/32]}}}\n'
  const text = withRestriction([BASE, map, ''], { ranges: ['203.0.113.0/24'], proxies: ['192.0.2.1/32'] })
  const values = load(text) as KubeObject
  assert.equal(
    values.extraObjects.map((each: KubeObject) => each.metadata.name),
    ['mine', 'source-ranges'],
  )
  assert.equal(values.ports.websecure.forwardedHeaders.trustedIPs, ['10.9.9.9/32', '192.0.2.1/32'])
  assert.equal(values.ports.web.forwardedHeaders.trustedIPs, ['192.0.2.1/32'])
  assert.equal(values.extraObjects[1].spec.ipAllowList.ipStrategy.excludedIPs, ['192.0.2.1/32'])
  assert.is(withRestriction([BASE, map, text], undefined), '')
})

test('the override in install/ is understood, against the values of the platform', () => {
  const base = read('flux2/infrastructure/ingress/values.yaml').data['values.yaml']
  const docs = read('install/overrides/oas-nginx-override.yaml').stringData['values.yaml']
  assert.equal(restrictionIn([base, '', docs])?.ranges, ['203.0.113.0/24', '198.51.100.7/32', '10.42.0.0/16'])
  assert.is(withRestriction([base, '', docs], undefined), '')
})

test('the override of the docs of 0.7 is shown, and replaced', () => {
  const docs = 'controller:\n  config:\n    whitelist-source-range: 1.2.3.4/24, 10.0.0.0/8\n'
  assert.equal(oldRanges([BASE, '', docs]), ['1.2.3.4/24', '10.0.0.0/8'])
  assert.is(restrictionIn([BASE, '', docs]), undefined)
  assert.not.match(withRestriction([BASE, '', docs], wanted), 'controller')
})

test('values that cannot be edited are one error', () => {
  for (const text of [
    '- a',
    'a: 1\na: 2\n',
    'a: [',
    '\u0000',
    'ports: {websecure: {http: {middlewares: x}}}',
    'extraObjects: {a: 1}',
    'ports: x',
  ])
    assert.throws(() => withRestriction([BASE, '', text], wanted), /secret\/oas-nginx-override/, text)
})

test.run()
