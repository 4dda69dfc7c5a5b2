import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PROOF_MARK, WRONG_IN_BUCKET } from '../../../../lib/backup/objects.ts'
import { diagnose } from '../../../../lib/diagnosis/diagnose.ts'
import { backupsOfSchedule, periodOf } from '../../../../lib/diagnosis/rules/backups.ts'
import { isNeverDue } from '../../../../lib/diagnosis/rules/jobs.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { indexOf, objectOf, snapshotOf } from './snapshots.ts'
import {
  ago,
  claim,
  containerIs,
  deployment,
  event,
  judged,
  node,
  PLATFORM,
  platformWith,
  pod,
  RULES,
  replicaSet,
  told,
  unscheduled,
  volume,
} from './workload-objects.ts'

const unavailable = (message: string) => ({
  conditions: [
    { type: 'Available', status: 'False', reason: 'Reason', message, lastTransitionTime: ago(60) },
  ],
})
const api = objectOf('APIService', undefined, 'v1beta1.metrics.k8s.io', {
  spec: {
    group: 'metrics.k8s.io',
    version: 'v1beta1',
    service: { namespace: 'kube-system', name: 'metrics-server' },
  },
  status: unavailable('service/metrics-server in "kube-system" is not present'),
})

test('an API without a server is deleted only if it belonged to the platform and nothing installed claims it', () => {
  const action = (annotations: Record<string, string>) => {
    const [cause] = judged([...PLATFORM, { ...api, metadata: { ...api.metadata, annotations } }])
    assert.is(cause!.rule, 'api-unavailable')
    assert.match(cause!.remedy.command!, 'kubectl delete apiservice')
    return cause!.remedy.action?.do
  }
  const removed = { 'meta.helm.sh/release-name': 'removed' }
  assert.is(action({ ...removed, 'meta.helm.sh/release-namespace': 'oas' }), 'delete')
  // What a stranger has installed is told, and not touched.
  assert.is(action({}), undefined)
  assert.is(action({ ...removed, 'meta.helm.sh/release-namespace': 'strangers' }), undefined)
  const annotations = { 'meta.helm.sh/release-name': 'wekan', 'meta.helm.sh/release-namespace': 'oas-apps' }
  const [ours] = judged([...PLATFORM, { ...api, metadata: { ...api.metadata, annotations } }])
  assert.is(ours!.remedy.action, undefined)
})

test('an API whose Service has a broken pod is a symptom of that', () => {
  const service = { namespace: 'oas-apps', name: 'wekan' }
  const waiting = { reason: 'InvalidImageName', message: 'no' }
  const objects = platformWith(
    { ...api, spec: { service } },
    pod({ status: containerIs({ state: { waiting } }) }),
  )
  assert.equal(told(objects), ['image-name-invalid Pod oas-apps/wekan-5f-a'])
})

test('a webhook that fails open is a warning', () => {
  const webhooks = [
    { name: 'a', failurePolicy: 'Ignore', clientConfig: { service: { namespace: 'x', name: 'y' } } },
  ]
  const configuration = objectOf('MutatingWebhookConfiguration', undefined, 'a', {
    metadata: { creationTimestamp: ago(600) },
    webhooks,
  })
  assert.equal(
    judged([...PLATFORM, configuration]).map(({ rule, verdict }) => [rule, verdict]),
    [['webhook-without-endpoints', 'warning']],
  )
})

const going = (message: string) =>
  objectOf('Namespace', undefined, 'going', {
    metadata: { deletionTimestamp: ago(300) },
    status: {
      phase: 'Terminating',
      conditions: [{ type: 'NamespaceFinalizersRemaining', status: 'True', message }],
    },
  })

test('a namespace that does not go, by a finalizer or by an API that does not answer', () => {
  const [cause] = judged([
    ...PLATFORM,
    going('Some content in the namespace has finalizers remaining: a.example.org/b in 1 resource instances'),
  ])
  assert.is(cause!.rule, 'namespace-stuck-terminating')
  assert.match(cause!.cause, 'the finalizer a.example.org/b')
  const discovery = going(
    'Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: metrics.k8s.io/v1beta1: stale GroupVersion discovery: metrics.k8s.io/v1beta1',
  )
  assert.equal(told([...PLATFORM, discovery, api]), ['api-unavailable APIService v1beta1.metrics.k8s.io'])
})

test('a quota that is used up is a warning until it refuses something', () => {
  const quota = objectOf('ResourceQuota', 'oas-apps', 'few', {
    status: { hard: { 'limits.memory': '1Gi' }, used: { 'limits.memory': '1024Mi' } },
  })
  const [cause] = judged(platformWith(quota))
  assert.equal([cause!.rule, cause!.verdict], ['quota-exhausted', 'warning'])
  assert.match(cause!.cause, 'limits.memory 1024Mi of 1Gi')
  const forbidden = { hard: { 'services.nodeports': '0' }, used: { 'services.nodeports': '0' } }
  const none = objectOf('ResourceQuota', 'oas-apps', 'none', { status: forbidden })
  assert.equal(judged(platformWith(none)), [])
})

const backup = (name: string, phase: string, hours: number, more: object = {}) =>
  objectOf('Backup', 'velero', name, {
    metadata: { labels: { 'velero.io/schedule-name': 'nightly' }, creationTimestamp: ago(hours * 3600) },
    status: { phase, startTimestamp: ago(hours * 3600), ...more },
  })
const oldSchedule = (more: object = {}) => {
  const found = PLATFORM.find(({ kind }) => kind === 'Schedule')!
  return {
    ...found,
    metadata: { ...found.metadata, creationTimestamp: ago(999 * 3600) },
    spec: { ...found.spec, ...more },
  }
}

test('backups: failed, overdue, never made, paused, and the storage that is gone', () => {
  const rules = (...objects: KubeObject[]) =>
    judged(platformWith(...objects)).map(({ rule, verdict }) => `${rule} ${verdict}`)
  assert.equal(rules(oldSchedule(), backup('a', 'Completed', 20)), [])
  assert.equal(
    rules(oldSchedule(), backup('a', 'Completed', 30), backup('b', 'PartiallyFailed', 6, { errors: 2 })),
    ['backup-failed warning'],
  )
  assert.equal(rules(oldSchedule(), backup('b', 'PartiallyFailed', 30), backup('a', 'Completed', 6)), [])
  assert.equal(rules(oldSchedule(), backup('a', 'Completed', 72)), ['backup-overdue warning'])
  assert.equal(rules(oldSchedule()), ['backup-overdue warning'])
  const expired = { expiration: ago(3600) }
  assert.equal(rules(oldSchedule(), backup('a', 'Completed', 20, expired)), ['backup-incomplete warning'])
  assert.equal(rules(oldSchedule(), backup('a', 'Completed', 72, expired)), ['backup-overdue warning'])
  assert.equal(rules(oldSchedule({ paused: true })), ['backup-schedule-paused warning'])
  const message =
    'rpc error: code = Unknown desc = api error NoSuchBucket: The specified bucket does not exist'
  const location = objectOf('BackupStorageLocation', 'velero', 'default', {
    spec: { objectStorage: { bucket: 'b' } },
    status: { phase: 'Unavailable', message },
  })
  assert.equal(rules(location, oldSchedule(), backup('b', 'Failed', 6)), [
    'backup-location-unavailable broken',
  ])
})

test('a backup whose files were found damaged is not whole, until they are proved again', () => {
  const good = backup('a', 'Completed', 6)
  const annotations = { [WRONG_IN_BUCKET]: 'a.tar.gz in the bucket is damaged' }
  const damaged = { ...good, metadata: { ...good.metadata, annotations } }
  const [cause, ...more] = judged(platformWith(oldSchedule(), damaged))
  assert.equal([cause!.rule, more], ['backup-incomplete', []])
  assert.match(cause!.evidence.join(), 'backup a was found damaged: a.tar.gz in the bucket is damaged')
})

test('the backups of a schedule are its own, the newest first', () => {
  const other = { metadata: { labels: { 'velero.io/schedule-name': 'weekly' } } }
  const elsewhere = { metadata: { namespace: 'shop', labels: { 'velero.io/schedule-name': 'nightly' } } }
  const index = indexOf([
    backup('old', 'Completed', 30),
    objectOf('Backup', 'velero', 'others', other),
    objectOf('Backup', 'shop', 'theirs', elsewhere),
    backup('new', 'Completed', 6),
  ])
  const schedule = objectOf('Schedule', 'velero', 'nightly')
  assert.equal(
    backupsOfSchedule(schedule, index).map(({ metadata }) => metadata.name),
    ['new', 'old'],
  )
})

test('a proof of a backup is told when it is older than 8 days; where there is none, nobody asks for proofs', () => {
  const proof = (days: number) =>
    objectOf('ConfigMap', 'velero', PROOF_MARK, { metadata: { creationTimestamp: ago(days * 86_400) } })
  const rules = (...objects: KubeObject[]) =>
    judged(objects).map(({ rule, verdict, explains }) => [
      `${rule} ${verdict}`,
      ...explains.map(each => each.rule),
    ])
  const none = PLATFORM.filter(({ kind }) => kind !== 'Schedule')
  const good = [...none, oldSchedule(), backup('a', 'Completed', 20)]
  assert.equal([rules(...good), rules(...good, proof(7)), rules(...none, proof(9))], [[], [], []])
  assert.equal(rules(...good, proof(9)), [['backup-not-proved warning']])
  // What keeps backups from being made is the cause.
  const location = objectOf('BackupStorageLocation', 'velero', 'default', {
    status: { phase: 'Unavailable' },
  })
  assert.equal(rules(...good, location, proof(9)), [
    ['backup-location-unavailable broken', 'backup-not-proved'],
  ])
})

test('how often a schedule runs', () => {
  assert.equal(
    [
      '30 2 * * *',
      '0 * * * *',
      '0 */6 * * *',
      '0 3 * * 0',
      '0 3 1 * *',
      '@daily',
      '@every 12h',
      'CRON_TZ=UTC 0 3 * * *',
      'x',
    ].map(periodOf),
    [86_400, 3600, 21_600, 604_800, 2_678_400, 86_400, 43_200, 86_400, undefined],
  )
})

test('a schedule is never due when its months do not have its days', () => {
  for (const never of ['0 3 31 2 *', '0 3 30,31 2 *', '0 3 31 4,6 *']) assert.ok(isNeverDue(never), never)
  for (const due of ['0 3 29 2 *', '0 3 31 2 1', '0 3 31 * *', '0 3 31 1,2 *', '@daily', '0 3 */31 2 *', ''])
    assert.not.ok(isNeverDue(due), due)
})

/** A platform on which many rules have something to look at. */
const DAMAGED: readonly KubeObject[] = [
  ...platformWith(
    node([{ type: 'Ready', status: 'False', message: 'x', lastTransitionTime: ago(90) }], {
      unschedulable: true,
      taints: [{ key: 'a', effect: 'NoSchedule' }],
    }),
    deployment({ replicas: 0, paused: true }, { availableReplicas: 0 }),
    replicaSet({
      conditions: [
        { type: 'ReplicaFailure', status: 'True', message: 'exceeded quota: few, requested: pods=1' },
      ],
    }),
    pod({
      status: containerIs({
        restartCount: 5,
        state: { waiting: { reason: 'CrashLoopBackOff', message: 'm' } },
        lastState: { terminated: { exitCode: 137, reason: 'OOMKilled', finishedAt: ago(9) } },
      }),
    }),
    pod({
      name: 'p',
      spec: { nodeName: undefined },
      status: unscheduled('0/1 nodes are available: 1 Insufficient cpu.'),
    }),
    pod({
      name: 'i',
      status: containerIs({ state: { waiting: { reason: 'ImagePullBackOff', message: 'm: not found' } } }),
    }),
    pod({
      name: 'c',
      status: containerIs(
        { state: { waiting: { reason: 'CreateContainerConfigError', message: 'secret "a" not found' } } },
        { phase: 'Pending' },
      ),
    }),
    pod({
      name: 'e',
      status: { phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: memory.' },
    }),
    pod({ name: 't', metadata: { deletionTimestamp: ago(900), finalizers: ['a/b'] } }),
    pod({ name: 'u', status: containerIs({ state: { running: { startedAt: ago(900) } } }) }),
    claim({ volumeName: undefined, storageClassName: 'x' }, { phase: 'Pending' }),
    volume({ phase: 'Released' }),
  ),
  event(pod({ name: 'u' }), 'Unhealthy', 'Readiness probe failed: x', { count: 9 }),
  event(
    pod({ name: 'c' }),
    'FailedMount',
    'MountVolume.SetUp failed for volume "pvc-1" : path "/x" does not exist',
  ),
  api,
  going('Some content in the namespace has finalizers remaining: a in 1'),
  backup('b', 'Failed', 6, { failureReason: 'x', validationErrors: ['y'] }),
  objectOf('Job', 'oas', 'j', {
    status: { conditions: [{ type: 'Failed', status: 'True', reason: 'x', message: 'y' }] },
  }),
  objectOf('ValidatingWebhookConfiguration', undefined, 'w', {
    webhooks: [{ name: 'w', clientConfig: { service: { namespace: 'x', name: 'y' } } }],
  }),
]

/** A place in an object: the keys that lead to it. Kind and name are always there: without them it is not a snapshot. */
function placesOf(value: unknown, path: readonly (string | number)[] = []): (string | number)[][] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, child]) => {
    const here = [...path, key]
    const kept = ['kind', 'metadata', 'metadata.name'].includes(here.join('.'))
    return [...(kept ? [] : [here]), ...placesOf(child, here)]
  })
}

function removed<T>(object: T, path: readonly (string | number)[]): T {
  const copy = structuredClone(object)
  // biome-ignore lint/suspicious/noExplicitAny: any object
  let at: any = copy
  for (const key of path.slice(0, -1)) {
    at = at?.[key]
    if (typeof at !== 'object' || at === null) return copy
  }
  const last = path.at(-1)!
  if (Array.isArray(at)) at.splice(Number(last), 1)
  else delete at[last]
  return copy
}

test('every rule that can be hit tells something of the damaged platform', () => {
  assert.ok(judged(DAMAGED).length > 10)
})

test('no rule throws, whatever fields an object lacks', () => {
  const places = DAMAGED.flatMap((object, i) => placesOf(object).map(path => ({ i, path })))
  const check = (missing: readonly { i: number; path: (string | number)[] }[]) => {
    const objects = [...DAMAGED]
    for (const { i, path } of missing) objects[i] = removed(objects[i]!, path)
    assert.equal(diagnose(snapshotOf(objects), RULES).gaps, [])
  }
  // Each field alone, then several at once.
  for (const place of places) check([place])
  fc.assert(fc.property(fc.array(fc.constantFrom(...places), { minLength: 2, maxLength: 12 }), check), {
    numRuns: 200,
  })
})

test.run()
