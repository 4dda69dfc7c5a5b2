import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Kubectl, type KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { isUp, unreadyOfFlux } from '../../../../scripts/install-core/wait-for-flux.ts'
import { conditionOf, deployment, rolledOut } from '../../flux-objects.ts'
import { objectOf } from '../../lib/diagnosis/snapshots.ts'
import { kubeconfigFile, serve } from '../../transport.ts'

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
