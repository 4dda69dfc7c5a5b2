import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { currentPods, relevantFacts } from '../../../../lib/diagnosis/facts.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { facts, fluxObject, git, kustomization, pod, ready, release, unready } from '../../flux-objects.ts'

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

test('what a new commit is about to change tells nothing', () => {
  const waiting = kustomization('wekan', [], 'Ready=Unknown Progressing: x')
  const all = (attempted: string) =>
    facts({
      kustomizations: [{ ...waiting, status: { ...waiting.status, lastAttemptedRevision: attempted } }],
      helmReleases: [release('wekan', unready)],
      sources: [git('main@sha1:new')],
      pods: [pod('wekan-1', { 'app.kubernetes.io/instance': 'wekan' })],
    })
  const old = relevantFacts(['wekan'], all('main@sha1:old'))
  assert.equal([old.helmReleases, old.pods], [[], []])
  const now = relevantFacts(['wekan'], all('main@sha1:new'))
  assert.equal([now.helmReleases.length, now.pods.length], [1, 1])
})

test('pods of a release that was asked to look again a moment ago do not count', () => {
  const now = new Date().toISOString()
  const earlier = new Date(Date.now() - 60_000).toISOString()
  const asked = (requestedAt: string, handledAt: string) => ({
    ...release('wekan'),
    metadata: {
      ...release('wekan').metadata,
      annotations: { 'reconcile.fluxcd.io/requestedAt': requestedAt },
    },
    status: { lastHandledReconcileAt: handledAt },
  })
  const pods = (requestedAt: string, handledAt: string) =>
    relevantFacts(
      ['wekan'],
      facts({
        kustomizations: [kustomization('wekan')],
        helmReleases: [asked(requestedAt, handledAt)],
        pods: [pod('wekan-1', { 'app.kubernetes.io/instance': 'wekan' })],
      }),
    ).pods.length
  assert.is(pods(now, earlier), 0)
  assert.is(pods(now, now), 1)
  // Helm may wait for a failing pod for half an hour.
  assert.is(pods(earlier, ''), 1)
  assert.is(pods('by hand', ''), 1)
})

test('pods of an old ReplicaSet, and pods that are going, do not count', () => {
  const set = (uid: string, revision: string, deployment = 'd'): KubeObject => ({
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: uid,
      uid,
      annotations: { 'deployment.kubernetes.io/revision': revision },
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'Deployment', name: deployment, uid: deployment, controller: true },
      ],
    },
  })
  const of = (name: string, owner?: string, deletionTimestamp?: string): KubeObject => {
    const made = pod(name, {})
    const ownerReferences = owner
      ? [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: owner, uid: owner, controller: true }]
      : undefined
    return { ...made, metadata: { ...made.metadata, ownerReferences, deletionTimestamp } }
  }
  const pods = [
    of('old', 'nine'),
    of('new', 'ten'),
    of('other', 'single'),
    of('alone'),
    of('going', 'ten', 'now'),
  ]
  const kept = currentPods(pods, [set('nine', '9'), set('ten', '10'), set('single', '1', 'e')])
  assert.equal(
    kept.map(each => each.metadata.name),
    ['new', 'other', 'alone'],
  )
})

test.run()
