import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Kubectl, type KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { isUp, obstaclesTo, unreadyOfFlux } from '../../../../lib/rollout/flux.ts'
import { conditionOf } from '../../flux-objects.ts'
import { kubeconfigFile, serve } from '../../transport.ts'
import { objectOf, snapshotOf } from '../diagnosis/snapshots.ts'

const rolledOut = { observedGeneration: 2, replicas: 1, updatedReplicas: 1, readyReplicas: 1 }
const deployment = (status?: object, spec: object = { replicas: 1 }): KubeObject =>
  objectOf('Deployment', 'flux-system', 'kustomize-controller', {
    apiVersion: 'apps/v1',
    metadata: { generation: 2 },
    spec,
    status,
  })

test('a Deployment is up when all of its pods are ready and of the version that was applied last', () => {
  assert.ok(isUp(deployment(rolledOut)))
  assert.ok(isUp(deployment(rolledOut, {})))
  assert.ok(isUp(deployment({ observedGeneration: 2 }, { replicas: 0 })))
  const three = { observedGeneration: 3, replicas: 3, updatedReplicas: 3, readyReplicas: 3 }
  assert.ok(isUp(deployment(three, { replicas: 3 })))
})

test('ready pods of the version before do not make it up', () => {
  // Nobody has taken notice of the change yet.
  assert.not.ok(isUp(deployment({ ...rolledOut, observedGeneration: 1 })))
  // The new pod does not exist yet, does not start beside the old one, or the old one is not gone yet.
  assert.not.ok(isUp(deployment({ ...rolledOut, updatedReplicas: undefined })))
  assert.not.ok(isUp(deployment({ ...rolledOut, replicas: 2 })))
  assert.not.ok(isUp(deployment({ ...rolledOut, replicas: 2, readyReplicas: 2 })))
  assert.not.ok(isUp(deployment({ ...rolledOut, readyReplicas: undefined })))
  assert.not.ok(isUp(deployment(rolledOut, { replicas: 2 })))
  assert.not.ok(isUp(deployment()))
  assert.not.ok(isUp(undefined))
})

test('a CRD is up once it is established', () => {
  const crd = (status: object) =>
    objectOf('CustomResourceDefinition', undefined, 'kustomizations.kustomize.toolkit.fluxcd.io', { status })
  assert.ok(isUp(crd({ conditions: [conditionOf('Established=True InitialNamesAccepted: x')] })))
  assert.not.ok(isUp(crd({ conditions: [conditionOf('Established=False Installing: x')] })))
  assert.not.ok(isUp(crd({})))
})

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

test('what of a manifest of Flux is not up is asked of the cluster, and nothing but CRDs and Deployments', async () => {
  const states: Record<string, KubeObject> = {
    up: deployment(rolledOut),
    starting: deployment({ ...rolledOut, replicas: 2 }),
  }
  const { url, close } = await serve((request, response) => {
    const path = new URL(request.url!, 'http://x').pathname
    const found =
      path === '/apis/apps/v1'
        ? {
            kind: 'APIResourceList',
            resources: [{ name: 'deployments', kind: 'Deployment', namespaced: true, verbs: ['get'] }],
          }
        : states[/\/deployments\/(.*)$/.exec(path)?.[1] ?? '']
    const missing = { kind: 'Status', code: 404, reason: 'NotFound', message: 'not found' }
    response
      .writeHead(found ? 200 : 404, { 'content-type': 'application/json' })
      .end(JSON.stringify(found ?? missing))
  })
  const kubectl = await Kubectl.connect(kubeconfigFile({ server: url }))
  const named = (name: string) => ({ ...deployment(), metadata: { name, namespace: 'flux-system' } })
  const manifest = [
    objectOf('Namespace', undefined, 'flux-system'),
    ...['up', 'starting', 'missing'].map(named),
  ]
  assert.equal(await unreadyOfFlux(kubectl, manifest), ['starting', 'missing'])
  close()
})

test.run()
