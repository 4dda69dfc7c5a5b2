import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { appChainOf, concernsApp } from '../../../../lib/diagnosis/app-chain.ts'
import type { RootCause } from '../../../../lib/diagnosis/finding.ts'
import { type KubeObject, refOf } from '../../../../lib/kubectl/kubectl.ts'
import { chainRows, chainText } from '../../../../scripts/app-debug/chain.ts'
import { fluxObject, git, inventoryOf, ready, release } from '../../flux-objects.ts'
import { indexOf, objectOf } from '../../lib/diagnosis/snapshots.ts'

const owned = (name: string) => ({
  'kustomize.toolkit.fluxcd.io/name': name,
  'kustomize.toolkit.fluxcd.io/namespace': 'flux-system',
})
const labelled = (object: KubeObject, labels: Record<string, string>) => {
  object.metadata.labels = labels
  return object
}
const wekan = labelled(release('wekan'), owned('wekan'))
const loki = labelled(fluxObject('HelmRelease', 'loki', [ready], { namespace: 'oas' }), owned('core'))
const kustomization = (name: string, dependsOn: string[], state: string, ...ids: string[]) =>
  fluxObject('Kustomization', name, [state], {
    spec: {
      sourceRef: { kind: 'GitRepository', name: 'openappstack' },
      dependsOn: dependsOn.map(each => ({ name: each })),
    },
    status: inventoryOf(...ids),
  })
const app = kustomization('wekan', ['core'], ready, 'oas-apps_wekan_helm.toolkit.fluxcd.io_HelmRelease')
const core = (state = ready) =>
  kustomization('core', [], state, 'oas_loki_helm.toolkit.fluxcd.io_HelmRelease')
const instance = { metadata: { labels: { 'app.kubernetes.io/instance': 'wekan' } } }
const deployment = objectOf('Deployment', 'oas-apps', 'wekan', {
  ...instance,
  spec: { replicas: 1 },
  status: { readyReplicas: 1 },
})
const pod = objectOf('Pod', 'oas-apps', 'wekan-0', {
  ...instance,
  spec: { nodeName: 'node1', volumes: [{ secret: { secretName: 'env' } }] },
  status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
})
const node = objectOf('Node', undefined, 'node1', {
  status: { conditions: [{ type: 'Ready', status: 'True' }], nodeInfo: { kubeletVersion: 'v1.36.4' } },
})
const objects = [git(), app, core(), wekan, loki, deployment, pod, node]
const index = indexOf(objects)
const shown = (name: string, seen = index, causes: RootCause[] = []) =>
  chainRows(appChainOf(name, seen), seen, causes).map(row => row.slice(0, 3).join(' '))
const cause = (object: KubeObject, explains: KubeObject[] = [], verdict: 'broken' | 'warning' = 'broken') => {
  const found = (of: KubeObject) => ({
    rule: 'r',
    verdict,
    subject: refOf(of),
    cause: 'is wrong',
    evidence: [],
    remedy: { text: 'x' },
  })
  return { ...found(object), explains: explains.map(found) }
}

test('an application is shown from the repository down to the node', () => {
  assert.equal(shown('wekan'), [
    '✓ GitRepository flux-system/openappstack',
    '✓ Kustomization flux-system/core',
    '✓ Kustomization flux-system/wekan',
    '✓ HelmRelease oas-apps/wekan',
    '✓ Deployment oas-apps/wekan',
    '✓ Pod oas-apps/wekan-0',
    '✓ Node node1',
  ])
  assert.equal(chainText(undefined, index, [])[0], '✓ wekan')
})

test('of what it waits for only the part that is not ready is followed', () => {
  const waiting = indexOf([
    ...objects.filter(({ metadata }) => metadata.name !== 'core'),
    core('Ready=False X: x'),
  ])
  assert.ok(shown('wekan', waiting).includes('✓ HelmRelease oas/loki'))
  assert.not.ok(shown('wekan').includes('✓ HelmRelease oas/loki'))
})

test('a release is shown with the Kustomization and the source above it', () => {
  assert.equal(shown('loki'), [
    '✓ GitRepository flux-system/openappstack',
    '✓ Kustomization flux-system/core',
    '✓ HelmRelease oas/loki',
  ])
})

test('the cause, its symptoms and warnings are marked; a Secret is shown when it is the cause', () => {
  const secret = objectOf('Secret', 'oas-apps', 'env')
  assert.equal(
    shown('wekan', index, [cause(secret, [pod, wekan]), cause(node, [], 'warning')]).filter(
      row => !row.startsWith('✓'),
    ),
    ['✗ HelmRelease oas-apps/wekan', '✗ Secret oas-apps/env', '✗ Pod oas-apps/wekan-0', '! Node node1'].sort(
      (a, b) => order(a) - order(b),
    ),
  )
  const [row] = chainRows(appChainOf('wekan', index), index, [cause(wekan)]).filter(([mark]) => mark === '✗')
  assert.match(row!.at(-1)!, '← the cause')
})
const order = (row: string) => ['HelmRelease', 'Secret', 'Pod', 'Node'].findIndex(kind => row.includes(kind))

test('a DaemonSet whose pods are not ready is not marked as healthy', () => {
  const daemon = (numberReady: number) =>
    objectOf('DaemonSet', 'oas-apps', 'agent', {
      ...instance,
      status: { desiredNumberScheduled: 1, numberReady },
    })
  const row = (ready: number) =>
    shown('wekan', indexOf([...objects, daemon(ready)])).find(each => each.includes('DaemonSet'))
  assert.equal([row(0), row(1)], ['… DaemonSet oas-apps/agent', '✓ DaemonSet oas-apps/agent'])
})

test('a cause concernsApp an application when it or what it explains lies in its chain', () => {
  const chain = appChainOf('wekan', index)
  assert.ok(concernsApp(cause(pod), chain))
  assert.ok(concernsApp(cause(objectOf('Service', 'x', 'hook'), [wekan]), chain))
  assert.not.ok(concernsApp(cause(loki), chain))
})

test('a name that is not known is refused with a suggestion', () => {
  assert.throws(() => appChainOf('wekn', index), /there is no application/)
  assert.throws(() => appChainOf('nextcloud', index), /nextcloud is not installed/)
})

test.run()
