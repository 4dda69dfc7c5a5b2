import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PROOF_MARK } from '../../../../lib/backup/objects.ts'
import { diagnose } from '../../../../lib/diagnosis/diagnose.ts'
import type { Ignored } from '../../../../lib/diagnosis/ignore.ts'
import { RULES } from '../../../../lib/diagnosis/rules/index.ts'
import { isNotReady, itemOf, statusOf } from '../../../../lib/diagnosis/status.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { conditionOf, fluxObject } from '../../flux-objects.ts'
import { indexOf, NOW, objectOf } from './snapshots.ts'

const object = (kind: string, name: string, rest: Record<string, unknown>): KubeObject => ({
  apiVersion: 'v1',
  kind,
  metadata: { name, namespace: 'oas' },
  ...rest,
})
const told = (item: ReturnType<typeof itemOf>) => `${item?.ready} ${item?.detail}`
const statusFor = (objects: readonly KubeObject[], ignored: readonly Ignored[] = []) => {
  const index = indexOf(objects)
  return statusOf(index, diagnose(index.snapshot, RULES, { index, ignored }))
}

test('a Flux object shows its revision when it is ready, else why not, in one line', () => {
  const ready = 'Ready=True Succeeded: stored artifact'
  const statuses = [
    ['GitRepository', { artifact: { revision: 'main@sha1:4f3c' } }, 'true main@sha1:4f3c'],
    ['Kustomization', { lastAppliedRevision: 'main@sha1:4f3c' }, 'true main@sha1:4f3c'],
    ['HelmRelease', { history: [{ chartVersion: '18.11.0' }, { chartVersion: '1' }] }, 'true 18.11.0'],
    ['HelmRelease', {}, 'true '],
  ] as const
  for (const [kind, status, expected] of statuses)
    assert.is(told(itemOf(fluxObject(kind, 'x', [ready], { status }))), expected)
  const failed = itemOf(
    fluxObject('HelmRelease', 'x', ['Ready=False X: first\nsecond'], { namespace: 'oas' }),
  )
  assert.equal(failed, { kind: 'HelmRelease', namespace: 'oas', name: 'x', ready: false, detail: 'first' })
})

test('a workload counts its pods', () => {
  const wants = (replicas: number | undefined, readyReplicas?: number) =>
    object('Deployment', 'loki', { spec: { replicas }, status: { readyReplicas } })
  assert.is(told(itemOf(wants(2, 2))), 'true 2/2')
  assert.is(told(itemOf(wants(undefined))), 'false 0/1')
  assert.is(told(itemOf(wants(0))), 'true 0/0')
  const daemon = object('DaemonSet', 'alloy', { status: { desiredNumberScheduled: 3, numberReady: 2 } })
  assert.is(told(itemOf(daemon)), 'false 2/3')
})

test('a workload tells the trouble of its own pods, and of no others', () => {
  const loki = object('StatefulSet', 'loki', { spec: { replicas: 1 } })
  loki.metadata.uid = 'loki'
  const pod = (name: string, reason: string, owner = 'loki') => {
    const made = object('Pod', name, {
      spec: { nodeName: 'a', containers: [{ name: 'loki', image: 'grafana/loki:1' }] },
      status: {
        phase: 'Pending',
        startTime: '2026-01-01T00:00:00Z',
        containerStatuses: [{ name: 'loki', restartCount: 5, state: { waiting: { reason } } }],
      },
    })
    made.metadata.ownerReferences = [
      { apiVersion: 'apps/v1', kind: 'StatefulSet', name: owner, uid: owner, controller: true },
    ]
    return made
  }
  const workloads = (...objects: KubeObject[]) =>
    statusFor([loki, ...objects]).find(({ title }) => title === 'Workloads')!.items
  const [crashing] = workloads(pod('loki-0', 'CrashLoopBackOff'))
  assert.is(crashing!.detail, '0/1')
  assert.match(crashing!.cause!, /^Pod oas\/loki-0: container loki/)
  assert.match(crashing!.fix!, 'logs.ts oas/loki-0 --container loki --previous')
  assert.is(workloads(pod('lokix-0', 'ErrImagePull', 'lokix'))[0]!.cause, undefined)
  assert.is(workloads(pod('loki-0', 'PodInitializing'))[0]!.cause, undefined)
})

test('a volume claim is ready when it is bound', () => {
  const spec = { storageClassName: 'local-path', resources: { requests: { storage: '8Gi' } } }
  const bound = { phase: 'Bound', capacity: { storage: '10Gi' } }
  assert.is(
    told(itemOf(object('PersistentVolumeClaim', 'x', { spec, status: bound }))),
    'true 10Gi local-path',
  )
  assert.is(
    told(itemOf(object('PersistentVolumeClaim', 'x', { spec, status: { phase: 'Pending' } }))),
    'false Pending',
  )
})

test('a certificate tells its hosts and until when it is valid, or why it is not', () => {
  const spec = { dnsNames: ['a.org', 'b.org'] }
  const issued = {
    notAfter: '2026-04-02T03:04:05Z',
    conditions: [conditionOf('Ready=True Ready: up to date')],
  }
  const failed = {
    conditions: [conditionOf('Ready=False DoesNotExist: Issuing certificate as Secret does not exist')],
  }
  assert.is(
    told(itemOf(object('Certificate', 'x', { spec, status: issued }))),
    'true a.org b.org until 2026-04-02',
  )
  assert.is(
    told(itemOf(object('Certificate', 'x', { spec, status: failed }))),
    'false a.org b.org Issuing certificate as Secret does not exist',
  )
  assert.match(itemOf(object('Certificate', 'x', { spec }))!.detail, 'not issued yet')
})

test('the repositories of own sources are on the screen, too', () => {
  const own = (kind: 'GitRepository' | 'Kustomization') =>
    fluxObject(kind, 'shop', ['Ready=True Succeeded: applied'], { namespace: 'shop' })
  const sections = statusFor([own('GitRepository'), own('Kustomization')])
  const of = (title: string) =>
    sections.find(each => each.title === title)?.items.map(({ namespace, name }) => `${namespace}/${name}`)
  assert.equal([of('Sources'), of('Kustomizations')], [['shop/shop'], ['shop/shop']])
})

test('what is not ready by an ignored finding needs nobody, and says until when and why', () => {
  const ignore = (rule: string): Ignored => ({ rule, reason: 'is being moved', until: '2026-12-31' })
  const open = (objects: KubeObject[], ...rules: string[]) =>
    statusFor(objects, rules.map(ignore))
      .flatMap(({ items }) => items)
      .filter(isNotReady)
      .map(({ name }) => name)
  const schedule = objectOf('Schedule', 'velero', 'nightly', { spec: { paused: true } })
  assert.equal(open([schedule]), ['nightly'])
  assert.equal(open([schedule], 'backup-schedule-paused'), [])
  const release = fluxObject('HelmRelease', 'wekan', ['Ready=True X: x'], {
    namespace: 'oas-apps',
    spec: { suspend: true },
  })
  assert.equal(open([release]), ['wekan'])
  assert.equal(open([release], 'release-suspended'), [])
  assert.equal(open([release], 'backup-schedule-paused'), ['wekan'])
  const [item] = statusFor([release], [ignore('release-suspended')]).flatMap(({ items }) => items)
  assert.equal([item!.ready, item!.ignored], [false, 'until 2026-12-31: is being moved'])
})

test('a proof of a backup that is too old is on the screen as the diagnosis tells it', () => {
  const made = (days: number) => ({
    creationTimestamp: new Date(Date.parse(NOW) - days * 86_400_000).toISOString(),
  })
  const schedule = objectOf('Schedule', 'velero', 'nightly', { metadata: made(30) })
  const open = (days: number) =>
    statusFor([schedule, objectOf('ConfigMap', 'velero', PROOF_MARK, { metadata: made(days) })])
      .flatMap(({ items }) => items)
      .filter(isNotReady)
      .map(({ name, cause }) => `${name}: ${cause}`)
  assert.equal([open(7), open(9)], [[], [`${PROOF_MARK}: the last proved backup is 9 d old`]])
})

test.run()
