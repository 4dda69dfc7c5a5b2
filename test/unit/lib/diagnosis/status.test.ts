import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { certificateItem, fluxItem, volumeItem, workloadItem } from '../../../../lib/diagnosis/status.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { conditionOf, fluxObject } from '../../flux-objects.ts'

const object = (kind: string, name: string, rest: Record<string, unknown>): KubeObject => ({
  apiVersion: 'v1',
  kind,
  metadata: { name, namespace: 'oas' },
  ...rest,
})
const told = ({ ready, detail }: { ready: boolean; detail: string }) => `${ready} ${detail}`

test('a Flux object shows its revision when it is ready, else why not, in one line', () => {
  const ready = 'Ready=True Succeeded: stored artifact'
  const statuses = [
    ['GitRepository', { artifact: { revision: 'main@sha1:4f3c' } }, 'true main@sha1:4f3c'],
    ['Kustomization', { lastAppliedRevision: 'main@sha1:4f3c' }, 'true main@sha1:4f3c'],
    ['HelmRelease', { history: [{ chartVersion: '18.11.0' }, { chartVersion: '1' }] }, 'true 18.11.0'],
    ['HelmRelease', {}, 'true '],
  ] as const
  for (const [kind, status, expected] of statuses)
    assert.is(told(fluxItem(fluxObject(kind, 'x', [ready], { status }))), expected)
  const failed = fluxItem(
    fluxObject('HelmRelease', 'x', ['Ready=False X: first\nsecond'], { namespace: 'oas' }),
  )
  assert.equal(failed, { kind: 'HelmRelease', namespace: 'oas', name: 'x', ready: false, detail: 'first' })
})

test('a workload counts its pods and tells the trouble of one', () => {
  const pod = (name: string, reason: string) =>
    object('Pod', name, { status: { containerStatuses: [{ state: { waiting: { reason } } }] } })
  const wants = (replicas: number | undefined, readyReplicas?: number) =>
    object('Deployment', 'loki', { spec: { replicas }, status: { readyReplicas } })
  const other = { ...pod('loki-1', 'ErrImagePull'), metadata: { name: 'loki-1', namespace: 'oas-apps' } }
  assert.is(told(workloadItem(wants(2, 2), [])), 'true 2/2')
  assert.is(told(workloadItem(wants(undefined), [])), 'false 0/1')
  assert.is(told(workloadItem(wants(0), [])), 'true 0/0')
  assert.is(told(workloadItem(wants(1), [pod('loki-1', 'CrashLoopBackOff')])), 'false 0/1 CrashLoopBackOff')
  assert.is(
    told(workloadItem(wants(1), [pod('lokix', 'ErrImagePull'), other, pod('loki-2', 'PodInitializing')])),
    'false 0/1',
  )
  const daemon = object('DaemonSet', 'alloy', { status: { desiredNumberScheduled: 3, numberReady: 2 } })
  assert.is(told(workloadItem(daemon, [])), 'false 2/3')
})

test('a volume claim is ready when it is bound', () => {
  const spec = { storageClassName: 'local-path', resources: { requests: { storage: '8Gi' } } }
  const bound = { phase: 'Bound', capacity: { storage: '10Gi' } }
  assert.is(
    told(volumeItem(object('PersistentVolumeClaim', 'x', { spec, status: bound }))),
    'true 10Gi local-path',
  )
  assert.is(
    told(volumeItem(object('PersistentVolumeClaim', 'x', { spec, status: { phase: 'Pending' } }))),
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
    told(certificateItem(object('Certificate', 'x', { spec, status: issued }))),
    'true a.org b.org until 2026-04-02',
  )
  assert.is(
    told(certificateItem(object('Certificate', 'x', { spec, status: failed }))),
    'false a.org b.org Issuing certificate as Secret does not exist',
  )
  assert.match(certificateItem(object('Certificate', 'x', { spec })).detail, 'not issued yet')
})

test.run()
