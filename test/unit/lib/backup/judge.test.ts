import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { BackupObjects } from '../../../../lib/backup/claim.ts'
import { coverage, judgeBackup, wrongWith } from '../../../../lib/backup/judge.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'

const NOW = Date.parse('2026-03-01T03:00:00Z')

const object = (kind: string, namespace: string | undefined, name: string, rest: object = {}): KubeObject => {
  const { metadata, ...more } = rest as { metadata?: object }
  return {
    apiVersion: 'v1',
    kind,
    metadata: {
      name,
      namespace,
      uid: `uid-${name}`,
      creationTimestamp: '2026-01-01T00:00:00Z',
      ...metadata,
    },
    ...more,
  }
}
const backup = (status: object = {}, spec: object = {}): KubeObject =>
  object('Backup', 'velero', 'nightly-1', {
    spec: { defaultVolumesToFsBackup: true, excludedNamespaces: ['velero'], ...spec },
    status: {
      phase: 'Completed',
      startTimestamp: '2026-03-01T02:30:00Z',
      completionTimestamp: '2026-03-01T02:40:00Z',
      expiration: '2026-03-31T02:30:00Z',
      ...status,
    },
  })
const claim = (name = 'data', rest: object = {}) =>
  object('PersistentVolumeClaim', 'oas-apps', name, {
    spec: { volumeName: `pv-${name}` },
    status: { phase: 'Bound' },
    ...rest,
  })
const volume = (name = 'data', spec: object = { local: { path: '/x' } }) =>
  object('PersistentVolume', undefined, `pv-${name}`, { spec })
const pod = (name = 'data', rest: { metadata?: object; spec?: object; status?: object } = {}) =>
  object('Pod', 'oas-apps', `pod-${name}`, {
    metadata: rest.metadata,
    spec: {
      nodeName: 'node',
      volumes: [{ name: 'storage', persistentVolumeClaim: { claimName: name } }],
      containers: [{ name: 'app', volumeMounts: [{ name: 'storage' }] }],
      ...rest.spec,
    },
    status: { phase: 'Running', ...rest.status },
  })
const agent = object('Pod', 'velero', 'node-agent-x', {
  metadata: { labels: { role: 'node-agent' } },
  spec: { nodeName: 'node' },
  status: { phase: 'Running' },
})
const copy = (status: object = {}, name = 'data', of = 'nightly-1') =>
  object('PodVolumeBackup', 'velero', `${of}-${name}`, {
    metadata: { labels: { 'velero.io/backup-name': of, 'velero.io/pvc-uid': `uid-${name}` } },
    status: {
      phase: 'Completed',
      snapshotID: 'abc',
      progress: { totalBytes: 4096, bytesDone: 4096 },
      ...status,
    },
  })
/** A cluster with one claim that a pod uses, and nothing of it in the backup. */
const cluster = (more: Partial<BackupObjects> = {}): BackupObjects => ({
  volumeBackups: [],
  claims: [claim()],
  volumes: [volume()],
  pods: [pod(), agent],
  ...more,
})
const judged = (objects: BackupObjects, of = backup()) => judgeBackup(of, objects, NOW)
/** What is said of the one claim. */
const reason = (more: Partial<BackupObjects>, of = backup()) => {
  const { claims, proved } = judged(cluster(more), of)
  assert.is(
    proved,
    claims.every(({ state }) => state !== 'missing'),
  )
  return `${claims[0]?.state}: ${claims[0]?.reason ?? ''}`
}

test('a backup with a whole copy of every claim is proved', () => {
  const verdict = judged(cluster({ volumeBackups: [copy()] }))
  assert.is(verdict.proved, true)
  assert.equal(verdict.flaws, [])
  assert.equal(verdict.claims, [
    {
      claim: 'oas-apps/data',
      state: 'captured',
      volume: 'local',
      pods: ['pod-data (Running)'],
      bytes: 4096,
      snapshot: 'abc',
    },
  ])
  assert.equal(wrongWith(verdict), [])
})

for (const [name, more, expected, of] of [
  [
    'hostPath',
    { volumes: [volume('data', { hostPath: { path: '/x' } })] },
    /^missing: it is a hostPath volume/,
  ],
  ['no pod', { pods: [agent] }, /^missing: no pod uses it/],
  [
    'pending',
    { pods: [pod('data', { status: { phase: 'Pending' } }), agent] },
    /^missing: its pod .* is Pending/,
  ],
  [
    'failed pod',
    { pods: [pod('data', { status: { phase: 'Failed' } }), agent] },
    /^missing: its pod .* is Failed/,
  ],
  ['node-agent down', { pods: [pod()] }, /^missing: node-agent does not run on node node/],
  [
    'not mounted',
    { pods: [pod('data', { spec: { containers: [{ name: 'a' }] } }), agent] },
    /^missing: no container/,
  ],
  [
    'copy failed',
    { volumeBackups: [copy({ phase: 'Failed', message: 'S3 is full' })] },
    /has failed: S3 is full$/,
  ],
  ['copy canceled', { volumeBackups: [copy({ phase: 'Canceled' })] }, /^missing: copying it has failed/],
  ['copy runs', { volumeBackups: [copy({ phase: 'InProgress' })] }, /^missing: it is still being copied/],
  [
    'half',
    { volumeBackups: [copy({ progress: { totalBytes: 4096, bytesDone: 1 } })] },
    /^missing: only 1 B of/,
  ],
  ['another backup has it', { volumeBackups: [copy({}, 'data', 'other')] }, /^missing: Velero has no copy/],
  ['another claim has the name', { volumeBackups: [copy({}, 'old')] }, /^missing: Velero has no copy/],
  [
    'no namespace',
    {},
    /^missing: the backup leaves out the namespace oas-apps/,
    { excludedNamespaces: ['oas-apps'] },
  ],
  ['other namespaces', {}, /^missing: the backup leaves out/, { includedNamespaces: ['oas'] }],
  ['opt-in', {}, /^missing: the backup copies no volumes/, { defaultVolumesToFsBackup: false }],
  ['silence', {}, /^missing: Velero has no copy of it/],
] as const)
  test(`a claim is missing: ${name}`, () => {
    assert.match(reason(more, backup({}, of)), expected)
    const [wrong] = wrongWith(judged(cluster(more), backup({}, of)))
    assert.match(wrong!.what, /^backup nightly-1 does not have the data of oas-apps\/data: /)
    assert.ok(wrong!.fix)
  })

test('what is left out on purpose is told with its reason, and is not missing', () => {
  const annotations = { 'backup.velero.io/backup-volumes-excludes': 'other, storage' }
  assert.match(
    reason({ pods: [pod('data', { metadata: { annotations } }), agent] }),
    /^excluded: .* annotation of pod/,
  )
  const labels = { 'velero.io/exclude-from-backup': 'true' }
  assert.match(reason({ pods: [pod('data', { metadata: { labels } }), agent] }), /^excluded: Pod/)
  assert.match(
    reason({ claims: [claim('data', { metadata: { labels } })] }),
    /^excluded: PersistentVolumeClaim data/,
  )
  // One of two pods that share it does not exclude it.
  const other = pod('data', { metadata: { name: 'second', annotations } })
  assert.match(reason({ pods: [pod(), other, agent] }), /^missing: Velero has no copy/)
})

test('an empty copy is none when the volume was not empty before', () => {
  const empty = copy({ snapshotID: '', message: 'volume was empty so no snapshot was taken', progress: {} })
  const { claims, proved } = judged(cluster({ volumeBackups: [empty] }))
  assert.is(proved, true)
  assert.is(claims[0]?.empty, true)
  assert.match(
    reason({ volumeBackups: [empty, copy({}, 'data', 'nightly-0')] }),
    /^missing: Velero found it empty, and it was not empty at an earlier backup/,
  )
})

test('a claim that came later is not missing, one that is not bound has no data', () => {
  const metadata = { creationTimestamp: '2026-03-01T02:50:00Z' }
  assert.match(reason({ claims: [claim('data', { metadata })] }), /^later: /)
  assert.equal(judged(cluster({ claims: [claim('data', { status: { phase: 'Pending' } })] })).claims, [])
})

test('a backup whose application was restored since tells what it has of each claim', () => {
  const restored = claim('data', { metadata: { uid: 'new', creationTimestamp: '2026-03-01T02:50:00Z' } })
  const earlier = copy()
  earlier.metadata.annotations = { 'velero.io/pvc-name': 'data' }
  earlier.spec = { pod: { namespace: 'oas-apps', name: 'pod-data' }, volume: 'storage' }
  const verdict = judged(cluster({ claims: [restored], volumeBackups: [earlier] }))
  assert.match(verdict.claims[0]!.reason ?? '', /, which has .+ of the claim that had its name then$/)
  assert.type(verdict.claims[0]!.earlier, 'number')
  const none = judged(cluster({ claims: [restored] }))
  assert.type(none.claims[0]!.earlier, 'undefined')
  assert.is(coverage(verdict), '0 of 1 volumes; 1 created later, 1 of them in it as they were before')
})

test('the coverage of a backup counts what is left out only when there is such', () => {
  assert.is(coverage(judged(cluster({ volumeBackups: [copy()] }))), '1 of 1 volumes')
})

for (const [name, status, expected] of [
  ['never started', { phase: undefined }, /is not finished \(New, for 30 min/],
  ['running', { phase: 'InProgress' }, /is not finished \(InProgress/],
  [
    'failed',
    { phase: 'Failed', failureReason: 'the bucket is gone' },
    /has failed \(Failed\): the bucket is gone/,
  ],
  ['refused', { phase: 'FailedValidation', validationErrors: ['Unavailable status'] }, /Unavailable status/],
  ['in part', { phase: 'PartiallyFailed' }, /has failed in part/],
  ['deleting', { phase: 'Deleting' }, /is being deleted/],
  ['unknown phase', { phase: 'Perhaps' }, /has failed \(Perhaps\)/],
  ['errors', { errors: 2 }, /has 2 errors/],
  [
    'hooks',
    { hookStatus: { hooksAttempted: 3, hooksFailed: 1 } },
    /1 of 3 hooks failed: a database has no new dump/,
  ],
  ['expired', { expiration: '2026-02-28T00:00:00Z' }, /has expired/],
  ['clock', { startTimestamp: '2026-03-02T00:00:00Z' }, /was started in the future/],
] as const)
  test(`a backup is not proved: ${name}`, () => {
    const verdict = judged(cluster({ volumeBackups: [copy()] }), backup(status))
    assert.is(verdict.proved, false)
    assert.match(verdict.flaws.map(({ what }) => what).join(), expected)
  })

test('one application: the other claims are not asked for, and a selection by labels is no flaw', () => {
  const two = cluster({
    claims: [claim(), claim('other')],
    volumes: [volume(), volume('other')],
    pods: [pod(), pod('other'), agent],
    volumeBackups: [copy()],
  })
  const some = backup({}, { labelSelector: { matchLabels: { app: 'data' } } })
  assert.is(judgeBackup(some, two, NOW).proved, false)
  const verdict = judgeBackup(some, two, NOW, ({ metadata }) => metadata.name === 'data')
  assert.is(verdict.proved, true)
  assert.is(verdict.claims.length, 1)
})

test('a backup of an application without any claim is not proved; of the whole one nothing is asked for it', () => {
  const ofApp = backup({}, { orLabelSelectors: [{ matchLabels: { release: 'data' } }] })
  const verdict = judgeBackup(ofApp, cluster({ volumeBackups: [copy()] }), NOW, () => false)
  assert.is(verdict.proved, false)
  assert.match(wrongWith(verdict)[0]!.what, /holds nothing: the application has no bound claim/)
  const whole = judgeBackup(backup(), cluster({ volumeBackups: [copy()] }), NOW, () => false)
  assert.is(whole.proved, true)
})

test('200 volumes are judged in far less than a second', () => {
  const names = Array.from({ length: 200 }, (_, i) => `claim-${i}`)
  const many: BackupObjects = {
    claims: names.map(name => claim(name)),
    volumes: names.map(name => volume(name)),
    pods: [...names.map(name => pod(name)), agent],
    // A month of nights.
    volumeBackups: names.flatMap(name =>
      Array.from({ length: 30 }, (_, i) => copy({}, name, `nightly-${i}`)),
    ),
  }
  const began = performance.now()
  assert.is(judged(many).proved, true)
  assert.ok(performance.now() - began < 1000)
})

test('whatever the objects are, nothing throws, and a claim without a whole copy is never captured', () => {
  const phase = fc.constantFrom('Completed', 'Failed', 'InProgress', 'Canceled', 'New', undefined)
  const some = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: undefined })
  fc.assert(
    fc.property(
      fc.array(fc.record({ phase, snapshotID: some(fc.constantFrom('', 'abc')), done: some(fc.nat(9)) })),
      fc.constantFrom('Running', 'Pending', undefined),
      fc.boolean(),
      (copies, podPhase, hasVolume) => {
        const volumeBackups = copies.map(({ done, ...status }) =>
          copy({ ...status, progress: { totalBytes: 9, bytesDone: done } }),
        )
        const [verdict] = judged({
          claims: [claim()],
          volumes: hasVolume ? [volume()] : [],
          pods: [pod('data', { status: { phase: podPhase } })],
          volumeBackups,
        }).claims
        const whole = copies.some(each => each.phase === 'Completed')
        if (!whole) assert.is.not(verdict!.state, 'captured')
      },
    ),
  )
})

test.run()
