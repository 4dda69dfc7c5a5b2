import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Facts } from '../../lib/causes.ts'
import { relevantFacts } from '../../lib/facts.ts'
import type { KubeObject } from '../../lib/kubectl.ts'
import { causeError, notInOrder, progressLine } from '../../lib/rollout.ts'
import { fluxObject, inventoryOf } from './flux-objects.ts'

const revision = 'main@sha1:4f3c'
const ready = 'Ready=True ReconciliationSucceeded: x'
const unready = 'Ready=False InstallFailed: Helm install failed\nmore'
const git = (at = revision) =>
  fluxObject('GitRepository', 'openappstack', [ready], { status: { artifact: { revision: at } } })
const release = (name: string, condition = ready) =>
  fluxObject('HelmRelease', name, [condition], {
    namespace: 'oas-apps',
    spec: { chart: { spec: { chart: name, sourceRef: { kind: 'HelmRepository', name: `${name}-charts` } } } },
  })
const kustomization = (name: string, dependsOn: string[] = [], condition = ready, ...ids: string[]) =>
  fluxObject('Kustomization', name, [condition], {
    spec: {
      sourceRef: { kind: 'GitRepository', name: 'openappstack' },
      dependsOn: dependsOn.map(each => ({ name: each })),
    },
    status: {
      lastAppliedRevision: revision,
      ...inventoryOf(`oas-apps_${name}_helm.toolkit.fluxcd.io_HelmRelease`, ...ids),
    },
  })
const pod = (name: string, labels: Record<string, string>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'oas-apps', labels },
})
const facts = (more: Partial<Facts>): Facts => ({
  sources: [git()],
  kustomizations: [],
  helmReleases: [],
  pods: [],
  controllers: [],
  busy: [],
  ...more,
})
const order = (more: Partial<Facts>) =>
  notInOrder(
    'wekan',
    facts({ kustomizations: [kustomization('wekan')], helmReleases: [release('wekan')], ...more }),
  )

test('a Kustomization is in order when it and its releases are ready at the fetched revision', () => {
  assert.is(order({}), undefined)
  // A source that is gone says nothing about the revision.
  assert.is(order({ sources: [] }), undefined)
})

test('whatever is missing or not ready is said in one line', () => {
  assert.is(order({ kustomizations: [] }), 'is not there')
  assert.is(order({ helmReleases: [] }), 'lacks HelmRelease oas-apps/wekan')
  assert.is(
    order({ helmReleases: [release('wekan', unready)] }),
    'waits for HelmRelease wekan: Helm install failed',
  )
  assert.is(
    order({
      kustomizations: [kustomization('wekan', [], 'Ready=False BuildFailed: kustomize build failed\nx')],
    }),
    'is not ready (BuildFailed): kustomize build failed',
  )
  assert.is(order({ sources: [git('main@sha1:5e5e')] }), 'is not at main@sha1:5e5e yet')
  const elsewhere = { ...release('wekan'), metadata: { ...release('wekan').metadata, namespace: 'oas' } }
  assert.match(order({ helmReleases: [elsewhere] })!, 'lacks HelmRelease')
})

test('only what a Kustomization depends on is relevant for it, all the way down', () => {
  const all = facts({
    kustomizations: [
      // Dependants first: one pass over the list does not find the whole chain.
      kustomization('infrastructure', [], unready),
      kustomization('core', ['infrastructure'], unready),
      kustomization('wekan', ['core'], ready, 'oas-apps_mongo_apps_StatefulSet'),
      kustomization('nextcloud', ['core']),
    ],
    helmReleases: ['infrastructure', 'core', 'wekan', 'nextcloud'].map(name => release(name)),
    sources: [
      git(),
      ...['wekan', 'nextcloud'].flatMap(name => [
        fluxObject('HelmRepository', `${name}-charts`, []),
        fluxObject('HelmChart', `oas-apps-${name}`, []),
      ]),
    ],
    pods: [
      pod('wekan-1', { 'app.kubernetes.io/instance': 'wekan' }),
      pod('core-1', { release: 'core' }),
      pod('mongo-0', {}),
      pod('nextcloud-1', { 'app.kubernetes.io/instance': 'nextcloud' }),
      pod('stray', {}),
    ],
    controllers: [pod('source-controller', {})],
  })
  const found = relevantFacts(['wekan'], all)
  const names = (objects: KubeObject[]) => objects.map(object => object.metadata.name)
  assert.equal(names(found.kustomizations), ['infrastructure', 'core', 'wekan'])
  assert.equal(names(found.helmReleases), ['infrastructure', 'core', 'wekan'])
  assert.equal(names(found.sources), ['openappstack', 'wekan-charts', 'oas-apps-wekan'])
  assert.equal(names(found.pods), ['wekan-1', 'core-1', 'mongo-0'])
  assert.equal(names(found.controllers), ['source-controller'])
  // What is wrong in a dependency that is ready keeps nobody waiting.
  const healthy = { ...all, kustomizations: [kustomization('core'), kustomization('wekan', ['core'])] }
  assert.equal(names(relevantFacts(['wekan'], healthy).kustomizations), ['wekan'])
})

test('the progress is one line: how many are ready, and which are waited for', () => {
  const all = facts({
    kustomizations: [kustomization('wekan', [], 'Ready=Unknown Progressing: x'), kustomization('nextcloud')],
    helmReleases: [release('wekan', 'Ready=Unknown Progressing: x'), release('nextcloud')],
  })
  assert.is(
    progressLine(['wekan', 'nextcloud'], all),
    'Kustomizations 1/2 · HelmReleases 1/2 · waiting for wekan',
  )
  assert.is(progressLine(['nextcloud'], all), 'Kustomizations 1/1 · HelmReleases 1/1')
  assert.is(progressLine(['absent'], all), 'Kustomizations 0/1 · HelmReleases 0/0')
})

test('a cause becomes an error in two lines', () => {
  const error = causeError({ subject: 'Pod a/b', cause: 'is broken', fix: 'mend it', grace: 0 })
  assert.equal([error.message, error.fix], ['Pod a/b: is broken', 'mend it'])
})

test.run()
