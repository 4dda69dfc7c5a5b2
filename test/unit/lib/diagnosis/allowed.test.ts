/** What facts hold, against objects that have a secret in every field that people or programs write one into. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { factOf } from '../../../../lib/diagnosis/allowed/object.ts'
import { allowedPart } from '../../../../lib/diagnosis/allowed/pick.ts'
import { diagnose } from '../../../../lib/diagnosis/diagnose.ts'
import { RULES } from '../../../../lib/diagnosis/rules/index.ts'
import { parseSnapshot } from '../../../../lib/diagnosis/snapshot.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { objectOf, snapshotOf } from './snapshots.ts'

let planted = 0
const secret = () => `PLANTED-${planted++}`
const http = () => ({
  path: `/${secret()}?token=${secret()}`,
  host: secret(),
  port: 80,
  httpHeaders: [{ name: secret(), value: secret() }],
})
const handlers = () => [{ exec: { command: [secret()] } }, { httpGet: http() }]
const probe = () => ({
  ...handlers()[0],
  ...handlers()[1],
  grpc: { port: 1, service: secret() },
  periodSeconds: 5,
})
const container = (name: string) => ({
  name,
  image: 'docker.io/library/app:1',
  command: [secret()],
  args: [`--password=${secret()}`],
  workingDir: `/${secret()}`,
  env: [
    { name: 'A', value: secret() },
    { name: 'B', valueFrom: { secretKeyRef: { name: 'app', key: 'password' } } },
  ],
  envFrom: [{ prefix: secret(), secretRef: { name: 'app' } }],
  livenessProbe: probe(),
  readinessProbe: probe(),
  startupProbe: probe(),
  lifecycle: { postStart: handlers()[0], preStop: handlers()[1] },
  volumeMounts: [{ name: 'data', mountPath: `/${secret()}`, subPath: secret(), subPathExpr: secret() }],
  volumeDevices: [{ name: 'data', devicePath: secret() }],
  terminationMessagePath: secret(),
  securityContext: { seLinuxOptions: { user: secret() }, windowsOptions: { gmsaCredentialSpec: secret() } },
})
const podSpec = () => ({
  containers: [container('main')],
  initContainers: [container('init')],
  ephemeralContainers: [container('debug')],
  volumes: [
    { name: 'data', persistentVolumeClaim: { claimName: 'data' } },
    {
      name: 'flex',
      flexVolume: { driver: 'x', options: { password: secret() }, secretRef: { name: 'app' } },
    },
    { name: 'csi', csi: { driver: 'x', volumeAttributes: { token: secret() } } },
    { name: 'cephfs', cephfs: { user: secret(), secretFile: secret(), monitors: [secret()] } },
    { name: 'iscsi', iscsi: { targetPortal: secret(), iqn: secret() } },
    { name: 'git', gitRepo: { repository: `https://u:${secret()}@git.example.org/` } },
    { name: 'down', downwardAPI: { items: [{ path: secret() }] } },
    { name: 'secret', secret: { secretName: 'app', items: [{ key: 'password', path: secret() }] } },
  ],
  hostAliases: [{ ip: '127.0.0.1', hostnames: [secret()] }],
  dnsConfig: { searches: [secret()], options: [{ name: secret(), value: secret() }] },
  hostname: secret(),
  subdomain: secret(),
  overhead: { [secret()]: '1' },
  securityContext: { sysctls: [{ name: 'x', value: secret() }] },
})
const annotations = () => ({
  'kubectl.kubernetes.io/last-applied-configuration': secret(),
  'example.org/password': secret(),
  [secret()]: 'x',
})
const labels = { app: 'wekan' }
const envelope = () => ({
  annotations: annotations(),
  managedFields: [{ manager: secret() }],
  generateName: secret(),
  selfLink: secret(),
  labels,
})
const template = () => ({ metadata: { annotations: annotations(), labels }, spec: podSpec() })
const object = (kind: string, rest: object) =>
  objectOf(kind, 'oas', kind.toLowerCase(), { metadata: envelope() as never, ...rest })

const message = (text: string) => [{ type: 'Ready', status: 'False', reason: 'Failed', message: text }]
const objects = (): KubeObject[] => [
  object('Pod', {
    spec: podSpec(),
    status: {
      phase: 'Pending',
      conditions: message(`login with password=${secret()} failed`),
      containerStatuses: [
        {
          name: 'main',
          state: { waiting: { reason: 'X', message: `Get "https://u:${secret()}@host/": no` } },
          lastState: {
            terminated: {
              exitCode: 1,
              message: 'token: eyJhbGciOi123.eyJzdWIiOi123.sig and a8f3b2c9d4e5f6a7b8',
            },
          },
        },
      ],
    },
  }),
  ...['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'Job'].map(kind =>
    object(kind, { spec: { template: template() } }),
  ),
  object('CronJob', {
    spec: { jobTemplate: { metadata: { annotations: annotations() }, spec: { template: template() } } },
  }),
  object('Service', { spec: { sessionAffinityConfig: { x: secret() } } }),
  object('Ingress', {
    spec: {
      rules: [{ host: 'a', http: { paths: [{ path: '/', backend: { resource: { name: secret() } } }] } }],
    },
  }),
  object('HelmRelease', {
    spec: { values: { password: secret() }, postRenderers: [secret()], valuesFrom: [] },
  }),
  object('Kustomization', {
    spec: { postBuild: { substitute: { a: secret() } }, patches: [{ patch: secret() }] },
    status: {
      conditions: message(
        `post build failed: envsubst error: YAMLToJSON: yaml: unknown anchor '${secret()}' referenced`,
      ),
    },
  }),
  object('GitRepository', { spec: { url: `https://bot:${secret()}@git.example.org/x?key=${secret()}` } }),
  object('ConfigMap', { data: { a: secret() }, binaryData: { a: secret() } }),
  object('PersistentVolume', {
    spec: {
      csi: { driver: 'x', volumeAttributes: { k: secret() }, volumeHandle: secret() },
      flexVolume: { options: { p: secret() } },
    },
  }),
  object('StorageClass', { parameters: { password: secret() } }),
  object('ClusterIssuer', {
    spec: {
      acme: {
        externalAccountBinding: { keyID: secret() },
        solvers: [{ dns01: { webhook: { config: { key: secret() } } } }],
      },
    },
  }),
  object('OAuth2Client', { spec: { redirectUris: [`https://a/?x=${secret()}`], metadata: { x: secret() } } }),
  object('BackupStorageLocation', {
    spec: { config: { s3Url: `https://u:${secret()}@s3/`, customerKey: secret() } },
  }),
  object('MutatingWebhookConfiguration', {
    webhooks: [
      {
        name: 'w',
        clientConfig: { url: `https://x/?t=${secret()}`, caBundle: Buffer.from(secret()).toString('base64') },
      },
    ],
  }),
  object('SomethingNew', { spec: { token: secret() }, status: { secret: secret(), conditions: [] } }),
  object('Event', {
    involvedObject: { kind: 'Pod', namespace: 'oas', name: 'pod' },
    message: `Error: .stringData.A: expected string, got &value.valueUnstructured{Value:${secret()}}`,
    note: secret(),
    related: { name: secret() },
  }),
]

test('no field of an object takes a secret into the facts, and the rules judge what is left', () => {
  const facts = objects().map(factOf)
  assert.ok(planted > 200, String(planted))
  const text = JSON.stringify(facts)
  assert.equal(text.match(/PLANTED-\d+/g), null)
  assert.not.match(text, /eyJhbGci|a8f3b2c9d4e5f6a7b8/)
  assert.match(text, '"secretKeyRef":{"name":"app","key":"password"}')
  assert.match(text, '"periodSeconds":5')
  const { gaps } = diagnose(snapshotOf(facts), RULES)
  assert.equal(gaps, [])
})

test('a file with the same objects is read without them, too', () => {
  const file = JSON.stringify({ ...snapshotOf(objects()), more: secret() })
  assert.equal(JSON.stringify(parseSnapshot(file, 'file')).match(/PLANTED-\d+/g), null)
})

test('a field of another type than its own is not taken', () => {
  assert.is(allowedPart(5, 'text'), undefined)
  assert.is(allowedPart({}, 'message'), undefined)
  assert.is(allowedPart('5', 'number'), undefined)
  assert.is(allowedPart('true', 'flag'), undefined)
  assert.is(allowedPart({ 0: 'a' }, ['text']), undefined)
  assert.equal(allowedPart(['a', 5, null], ['text']), ['a'])
  assert.is(allowedPart([], { a: 'text' }), undefined)
  assert.equal(allowedPart(JSON.parse('{"__proto__": "x", "a": "b"}'), { '*': 'text' }), { a: 'b' })
})

/** Every kind with every field of another type, down to the third level. */
const HOSTILE: readonly unknown[] = [
  null,
  5,
  'x',
  true,
  [],
  [null],
  [[]],
  {},
  { x: null },
  '\x1b[2J',
  '2026-99-99',
]
test('objects whose fields are of any type are judged without a defect', () => {
  const hostile = objects().flatMap(({ kind, metadata, ...fields }) =>
    HOSTILE.map((value, i) => {
      const wrong = Object.fromEntries(
        Object.entries({ spec: {}, status: {}, webhooks: 1, endpoints: 1, involvedObject: 1, ...fields }).map(
          ([name, part]) => [
            name,
            i % 2 === 0 || typeof part !== 'object' || part === null
              ? value
              : Object.fromEntries(
                  [...Object.keys(part), 'conditions', 'containers', 'volumes', 'rules'].map(each => [
                    each,
                    value,
                  ]),
                ),
          ],
        ),
      )
      return {
        apiVersion: 'v1',
        kind,
        metadata: { ...metadata, name: `${kind}-${i}`, labels: value, annotations: value },
        ...wrong,
      }
    }),
  )
  const snapshot = parseSnapshot(JSON.stringify(snapshotOf(hostile as unknown as KubeObject[])), 'file')
  assert.equal(diagnose(snapshot, RULES).gaps, [])
})

test.run()
