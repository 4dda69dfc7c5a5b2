import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { factOf } from '../../../../lib/diagnosis/allowed/object.ts'
import { withoutCredentials } from '../../../../lib/diagnosis/allowed/pick.ts'
import { secretShape } from '../../../../lib/diagnosis/gather.ts'
import { parseSnapshot } from '../../../../lib/diagnosis/snapshot.ts'
import { short } from '../../../../lib/diagnosis/text.ts'
import { certificate } from '../../certificates.ts'
import { indexOf, objectOf, snapshotOf } from './snapshots.ts'

const b64 = (text: string) => Buffer.from(text).toString('base64')
const SECRET = 'correct-horse-battery'

test('values, command lines, environments and managed fields are not kept', () => {
  const container = {
    name: 'app',
    image: 'app:1',
    command: ['sh', '-c', SECRET],
    args: [`--password=${SECRET}`],
    env: [
      { name: 'PASSWORD', value: SECRET },
      { name: 'TOKEN', valueFrom: { secretKeyRef: { name: 'app', key: 'token' } } },
    ],
  }
  const spec = { containers: [container], initContainers: [container] }
  const last = {
    'kubectl.kubernetes.io/last-applied-configuration': SECRET,
    'kubernetes.io/tls-acme': 'true',
  }
  const objects = [
    objectOf('Pod', 'oas', 'a', { metadata: { managedFields: [SECRET], annotations: last }, spec }),
    objectOf('Deployment', 'oas', 'b', { spec: { template: { spec } } }),
    objectOf('CronJob', 'oas', 'c', { spec: { jobTemplate: { spec: { template: { spec } } } } }),
    objectOf('HelmRelease', 'oas', 'd', { spec: { values: { password: SECRET } } }),
    objectOf('Kustomization', 'oas', 'e', { spec: { postBuild: { substitute: { password: SECRET } } } }),
    objectOf('GitRepository', 'oas', 'f', { spec: { url: `https://bot:${SECRET}@git.example.org/x` } }),
  ].map(factOf)
  const text = JSON.stringify(objects)
  assert.not.match(text, SECRET)
  assert.match(text, '"secretKeyRef":{"name":"app","key":"token"}')
  assert.match(text, '"kubernetes.io/tls-acme":"true"')
  assert.match(text, 'https://***@git.example.org/x')
})

test('of a Secret names and sizes are kept, and what is public of a certificate', async () => {
  const { cert, key } = await certificate(-1, 10)
  const shape = secretShape(
    objectOf('Secret', 'oas', 'tls', {
      metadata: {
        annotations: { 'kubectl.kubernetes.io/last-applied-configuration': b64(SECRET) },
        managedFields: [
          { time: '2026-11-28T10:00:00Z', fieldsV1: { 'f:data': { 'f:password': {} } } },
          { time: '2026-11-28T09:00:00Z', fieldsV1: { 'f:data': {} } },
          { time: '2026-11-28T11:00:00Z', fieldsV1: { 'f:metadata': {} } },
        ],
      },
      type: 'kubernetes.io/tls',
      data: { 'tls.crt': b64(cert), 'tls.key': b64(key), password: b64(`${SECRET}\n`), empty: '' },
    }),
  )
  assert.equal(shape.keys.password, SECRET.length + 1)
  assert.equal(shape.keys.empty, 0)
  assert.equal(shape.newline, ['password'])
  assert.is(shape.changed, '2026-11-28T10:00:00Z')
  assert.ok(shape.certificate && 'notAfter' in shape.certificate)
  const text = JSON.stringify(shape)
  assert.not.match(text, SECRET)
  assert.not.match(text, b64(SECRET).slice(0, 12))
  assert.not.match(text, 'PRIVATE')
})

test('a certificate that is none is told as such', () => {
  const of = (value: string) =>
    secretShape(objectOf('Secret', 'oas', 'tls', { data: { 'tls.crt': value } })).certificate
  assert.equal(of(b64('nonsense')), { error: 'is not a certificate' })
  assert.equal(of(''), { error: 'is empty' })
})

test('credentials in URLs are never shown', () => {
  assert.is(
    withoutCredentials('unable to clone https://a:b@host/x: no'),
    'unable to clone https://***@host/x: no',
  )
  assert.is(withoutCredentials('mail admin@example.org'), 'mail admin@example.org')
  assert.is(short(`cannot read https://token@host/${'x'.repeat(400)}`).length, 303)
  // Both ends are kept: the reason is at the end.
  const long = short(`unable to clone: ${'x'.repeat(400)}: ssh: knownhosts: key mismatch`)
  assert.match(long, /^unable to clone: x+ … x*: ssh: knownhosts: key mismatch$/)
  assert.not.match(short('cannot read https://token@host/'), 'token')
})

test('of a message the part that says something is shown', () => {
  assert.is(short('one\ntwo'), 'one')
  assert.is(
    short("values don't meet the schema:\n- replicaCount: wrong\n"),
    "values don't meet the schema: - replicaCount: wrong",
  )
  assert.is(short(''), '')
})

test('objects, owned ones, events and secrets are found', () => {
  const set = objectOf('ReplicaSet', 'oas', 'a')
  const pod = objectOf('Pod', 'oas', 'a-1', {}, set)
  const event = (name: string, lastTimestamp: string) =>
    objectOf('Event', 'oas', name, {
      lastTimestamp,
      involvedObject: { kind: 'Pod', namespace: 'oas', name: 'a-1' },
    })
  const index = indexOf([
    set,
    pod,
    event('old', '2026-03-01T10:00:00Z'),
    event('new', '2026-03-01T11:00:00Z'),
  ])
  assert.equal(index.ownedBy(set), [pod])
  assert.equal(
    index.events(pod).map(({ metadata }) => metadata.name),
    ['new', 'old'],
  )
  assert.is(index.get('Pod', 'oas', 'a-1'), pod)
  assert.is(index.get('Pod', 'other', 'a-1'), undefined)
  assert.equal(index.all('Event'), [])
})

test('a file that is not a snapshot is refused', () => {
  const good = snapshotOf([objectOf('Pod', 'oas', 'a')])
  assert.equal(parseSnapshot(JSON.stringify(good), 'file'), good)
  for (const [bad, why] of [
    ['', 'is not JSON'],
    ['{', 'is not JSON'],
    ['null', 'is not a snapshot'],
    ['[]', 'is not a snapshot'],
    ['{"version":2}', 'version 2'],
    [JSON.stringify({ ...good, takenAt: 'today' }), 'damaged'],
    [JSON.stringify({ ...good, objects: [{}] }), 'damaged'],
    [JSON.stringify({ ...good, objects: [null] }), 'damaged'],
    [JSON.stringify({ ...good, secrets: 'none' }), 'damaged'],
  ] as const)
    assert.throws(
      () => parseSnapshot(bad, 'facts.json'),
      (error: Error) => error.message.includes(why),
    )
})

test('any JSON is either a snapshot or refused in two lines', () => {
  fc.assert(
    fc.property(fc.json(), text => {
      try {
        parseSnapshot(text, 'file')
      } catch (error) {
        assert.is((error as Error).name, 'ExpectedError')
      }
    }),
  )
})

test.run()
