import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { obstaclesTo } from '../../../../lib/rollout/flux.ts'
import { conditionOf, deployment, rolledOut } from '../../flux-objects.ts'
import { objectOf, snapshotOf } from '../diagnosis/snapshots.ts'

test('a new pod of Flux that does not start is told, although the old one is ready', () => {
  const set = (revision: string) =>
    objectOf(
      'ReplicaSet',
      'flux-system',
      `kustomize-controller-${revision}`,
      { apiVersion: 'apps/v1', metadata: { annotations: { 'deployment.kubernetes.io/revision': revision } } },
      deployment(),
    )
  const pod = (name: string, owner: KubeObject, state: object, ready = false) =>
    objectOf(
      'Pod',
      'flux-system',
      name,
      {
        metadata: { creationTimestamp: '2026-03-01T11:30:00Z' },
        spec: { nodeName: 'server', containers: [{ name: 'manager', image: 'registry.invalid/flux:v2' }] },
        status: { phase: 'Pending', containerStatuses: [{ name: 'manager', ready, state }] },
      },
      owner,
    )
  const message = 'Back-off pulling image "registry.invalid/flux:v2": not found'
  const snapshot = snapshotOf([
    objectOf('Node', undefined, 'server', {
      status: { conditions: [conditionOf('Ready=True KubeletReady: x')] },
    }),
    deployment({ ...rolledOut, replicas: 2 }),
    set('1'),
    set('2'),
    pod('old', set('1'), { running: {} }, true),
    pod('new', set('2'), { waiting: { reason: 'ImagePullBackOff', message } }),
  ])
  const [found, ...others] = obstaclesTo(['kustomize-controller'], snapshot)
  assert.is(found?.subject, 'Pod flux-system/new')
  assert.match(found!.cause, 'registry.invalid/flux:v2')
  assert.ok(found!.grace <= 60)
  assert.equal(others, [])
  assert.equal(obstaclesTo(['helm-controller'], snapshot), [])
})

test.run()
