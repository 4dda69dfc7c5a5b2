import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import {
  ago,
  claim,
  event,
  judged,
  PLATFORM,
  platformWith,
  pod,
  provisioner,
  storageClass,
  told,
  unscheduled,
  volume,
  without,
} from './workload-objects.ts'

const CLAIM = 'PersistentVolumeClaim oas-apps/wekan-data'
const message = '0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found'
const waiting = pod({ spec: { nodeName: undefined }, status: unscheduled(message) })
const pending = (spec: object, metadata: object = {}) =>
  claim({ volumeName: undefined, ...spec }, { phase: 'Pending', capacity: undefined }, metadata)
/** The platform with a claim that is not bound and the pod that waits for it. */
const unbound = (spec: object, metadata?: object, ...more: KubeObject[]) =>
  without(platformWith(pending(spec, metadata), waiting, ...more), 'PersistentVolume', 'pvc-1')

test('a claim that does not exist is the cause of its pod', () => {
  const objects = without(platformWith(waiting), 'PersistentVolumeClaim', 'wekan-data')
  const [cause, ...rest] = judged(without(objects, 'PersistentVolume', 'pvc-1'))
  assert.is(rest.length, 0)
  assert.equal([cause!.rule, cause!.subject.name], ['claim-missing', 'wekan-data'])
  assert.ok(cause!.explains.some(({ subject }) => subject.kind === 'Pod'))
})

test('a class that does not exist, none that is the default, and a volume made by hand', () => {
  assert.equal(told(unbound({ storageClassName: 'ceph' })), [`claim-class-missing ${CLAIM}`])
  assert.equal(told(unbound({ storageClassName: '' })), [`claim-without-volume ${CLAIM}`])
  const [cause] = judged(unbound({ storageClassName: undefined }, {}, storageClass({})))
  assert.is(cause!.rule, 'claim-without-class')
  assert.is(cause!.remedy.action?.do, 'patch')
})

const selected = { annotations: { 'volume.kubernetes.io/selected-node': 'server' } }
test('what makes the volumes is at fault when it does not run', () => {
  assert.equal(told(unbound({}, selected, provisioner(0))), [
    'workload-scaled-to-zero Deployment oas/local-path-provisioner',
  ])
  const absent = without(unbound({}, selected), 'Deployment', 'local-path-provisioner')
  const [cause] = judged(absent)
  assert.match(cause!.cause, 'the provisioner rancher.io/local-path is not installed')
  const failed = event(
    pending({}),
    'ProvisioningFailed',
    'failed to provision volume: create process timeout',
  )
  assert.equal(told(unbound({}, selected, failed)), [`claim-not-provisioned ${CLAIM}`])
})

test('a claim that waits for its first pod is none, and neither is a new one', () => {
  assert.equal(told(without(platformWith(pending({})), 'PersistentVolume', 'pvc-1')), [])
  assert.equal(
    told(
      without(
        platformWith(pending({ storageClassName: 'ceph' }, { creationTimestamp: ago(3) })),
        'PersistentVolume',
        'pvc-1',
      ),
    ),
    [],
  )
})

test('a lost volume', () => {
  assert.equal(told(without(platformWith(claim({}, { phase: 'Lost' })), 'PersistentVolume', 'pvc-1')), [
    `claim-lost ${CLAIM}`,
  ])
})

test('a claim that goes with its pod is a warning', () => {
  const [cause] = judged(platformWith(claim({}, {}, { deletionTimestamp: ago(600) })))
  assert.equal([cause!.rule, cause!.verdict], ['claim-being-deleted', 'warning'])
  assert.match(cause!.cause, 'as soon as Pod oas-apps/wekan-5f-a ends')
})

test('a claim that has not grown', () => {
  const [cause] = judged(platformWith(claim({ resources: { requests: { storage: '2Gi' } } })))
  assert.equal([cause!.rule, cause!.verdict], ['claim-resize-pending', 'warning'])
  assert.match(cause!.cause, 'enlarged to 2Gi, and still has 1Gi')
})

test('volumes that nobody uses, and those on a node that is gone', () => {
  const rules = (status: object) =>
    judged(platformWith(volume(status))).map(({ rule, verdict }) => [rule, verdict])
  assert.equal(rules({ phase: 'Released' }), [['volume-released', 'warning']])
  assert.equal(rules({ phase: 'Released', lastPhaseTransitionTime: ago(5) }), [])
  assert.equal(rules({ phase: 'Failed', message: 'unable to remove' }), [['volume-failed', 'warning']])
  const affinity = "0/1 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity."
  const elsewhere = pod({ spec: { nodeName: undefined }, status: unscheduled(affinity) })
  const [cause, ...rest] = judged(platformWith(volume({}, ['former']), elsewhere))
  assert.is(rest.length, 0)
  assert.is(cause!.rule, 'volume-node-missing')
})

test('what could not be read proves nothing', () => {
  const gap = (what: string) => ({ gaps: [{ what, why: 'Forbidden' }] })
  const objects = without(platformWith(waiting), 'PersistentVolumeClaim', 'wekan-data')
  assert.not.ok(told(objects, gap('PersistentVolumeClaim')).some(text => text.startsWith('claim')))
  assert.not.ok(
    told(unbound({ storageClassName: 'ceph' }), gap('StorageClass')).some(text =>
      text.startsWith('claim-class'),
    ),
  )
  assert.equal(told(PLATFORM, gap('Node')), [])
})

test.run()
