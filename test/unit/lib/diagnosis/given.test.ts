/** What is told of values without them, and what a container is given by ConfigMaps and Secrets. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { factOf } from '../../../../lib/diagnosis/allowed/object.ts'
import { nearestKey } from '../../../../lib/diagnosis/rules/given.ts'
import { fitsExpression } from '../../../../lib/diagnosis/rules/network-selectors.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'

const object = (kind: string, rest: object = {}): KubeObject => ({
  apiVersion: 'v1',
  kind,
  metadata: { name: 'a', namespace: 'shop' },
  ...rest,
})

test('of a ConfigMap the keys are kept, by its data or by its managedFields, and no value', () => {
  const managedFields = [
    { fieldsV1: { 'f:data': { '.': {}, 'f:MODE': {} }, 'f:binaryData': { 'f:logo.png': {} } } },
    { fieldsV1: { 'f:data': { 'f:MODE': {}, 'f:level': {} } } },
    null,
  ]
  const managed = { ...object('ConfigMap'), metadata: { name: 'a', managedFields } }
  const facts = factOf(managed)
  assert.equal(facts.keys, ['MODE', 'logo.png', 'level'])
  assert.equal(factOf(facts).keys, facts.keys)
  const full = factOf(object('ConfigMap', { data: { MODE: 'hunter2' } }))
  assert.equal(full.keys, ['MODE'])
  assert.not.match(JSON.stringify(full), /hunter2/)
  // Without either they are not known, which is not the same as none.
  assert.is(factOf(object('ConfigMap')).keys, undefined)
})

test('of a variable that is set twice it is kept that the first does not count, and no value', () => {
  const env = [
    { name: 'HOST', value: 'one' },
    { name: 'SAME', value: 'three' },
    { name: 'SAME', value: 'three' },
    { name: 'HOST', value: 'two' },
  ]
  const { spec } = factOf(object('Pod', { spec: { containers: [{ name: 'web', env }] } }))
  const kept = [{ name: 'HOST', shadowed: true }, { name: 'SAME' }, { name: 'SAME' }, { name: 'HOST' }]
  assert.equal(spec.containers[0].env, kept)
})

test('of the path that an Ingress rewrites to the groups are kept', () => {
  const name = 'nginx.ingress.kubernetes.io/rewrite-target'
  const metadata = { name: 'a', annotations: { [name]: '/hooks/hunter2/$1/$2' } }
  assert.equal(factOf({ ...object('Ingress'), metadata }).metadata.annotations, { [name]: '$1$2' })
})

test('a key resembles one in other letters, a part of it, and one with a mistake', () => {
  assert.is(nearestKey(['CACHE_TTL'], ['other', 'cache-ttl']), 'cache-ttl')
  assert.is(nearestKey(['APP_MODE'], ['MODE', 'LEVEL']), 'MODE')
  assert.is(nearestKey(['DATABASE_DSN'], ['DATABASE_URL']), 'DATABASE_URL')
  assert.is(nearestKey(['nginx.conf'], ['custom-values.yaml']), undefined)
})

test('expressions of Calico fit labels as far as they are known', () => {
  const labels = { 'node-role.kubernetes.io/control-plane': '', zone: 'a' }
  const cases: [string, boolean | undefined][] = [
    ['all()', true],
    ['has(node-role.kubernetes.io/control-plane)', true],
    ['!has(zone)', false],
    ["zone == 'b'", false],
    ['zone != "b" && has(zone)', true],
    ["has(rack) || zone in {'a', 'b'}", true],
    ["zone not in {'a'}", false],
    ["zone starts with 'a'", undefined],
    ["has(rack) && zone starts with 'a'", false],
  ]
  for (const [expression, expected] of cases)
    assert.is(fitsExpression(expression, labels), expected, expression)
})

test.run()
