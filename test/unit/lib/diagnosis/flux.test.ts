import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { rules } from '../../../../lib/diagnosis/rules/flux.ts'
import type { Snapshot } from '../../../../lib/diagnosis/snapshot.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { fluxObject, ready } from '../../flux-objects.ts'
import { indexOf, objectOf } from './snapshots.ts'

const groups = ['source.toolkit.fluxcd.io/v1', 'helm.toolkit.fluxcd.io/v2']
const judge = (objects: KubeObject[], more: Partial<Snapshot> = {}) => {
  const index = indexOf(objects, { groups, ...more })
  return rules.flatMap(rule => rule(index))
}
const controller = (name: string, replicas = 1, readyReplicas = replicas) =>
  objectOf('Deployment', 'flux-system', `${name}-controller`, {
    spec: { replicas },
    status: {
      readyReplicas,
      conditions: [{ type: 'Available', status: 'False', lastTransitionTime: '2026-03-01T11:50:00Z' }],
    },
  })
const all = ['source', 'kustomize', 'helm'].map(name => controller(name))

test('a cluster that knows no kind of Flux is told as one without it', () => {
  assert.is(judge([], { groups: ['apps/v1'] })[0]!.rule, 'flux-not-installed')
  const gaps = [{ what: 'the served APIs', why: 'timeout' }]
  assert.equal(judge([], { groups: [], gaps }), [])
})

test('controllers that are scaled down, not running or gone', () => {
  assert.equal(judge(all), [])
  const found = judge([controller('source', 0), controller('kustomize', 1, 0)])
  assert.equal(
    found.map(({ rule, subject, symptom, remedy }) => [rule, subject.name, symptom, remedy.action?.do]),
    [
      ['flux-controller-down', 'source-controller', undefined, 'patch'],
      ['flux-controller-down', 'kustomize-controller', true, undefined],
      ['flux-controller-missing', 'helm-controller', undefined, 'script'],
    ],
  )
  assert.equal(judge([], { gaps: [{ what: 'Deployment', why: 'Forbidden' }] }), [])
})

test('controllers that come one after another while Flux is installed are waited for', () => {
  const source = controller('source')
  source.metadata.creationTimestamp = '2026-03-01T11:59:50Z'
  assert.equal(judge([source]), [])
})

const asked = (at: string, conditions = [ready]) =>
  fluxObject('HelmRelease', 'wekan', conditions, {
    annotations: { 'reconcile.fluxcd.io/requestedAt': at },
  })

test('a controller that looks at nothing is told, one that is busy is not', () => {
  const [finding] = judge([...all, asked('2026-03-01T11:58:00Z')])
  assert.is(finding!.rule, 'flux-controller-silent')
  assert.is(finding!.subject.name, 'helm-controller')
  assert.equal(judge([...all, asked('2026-03-01T11:59:50Z')]), [])
  const busy = fluxObject('HelmRelease', 'x', ['Reconciling=True Progressing: x'])
  busy.status.conditions[0].lastTransitionTime = '2026-03-01T11:59:00Z'
  assert.equal(judge([...all, asked('2026-03-01T11:58:00Z'), busy]), [])
  busy.status.conditions[0].lastTransitionTime = '2026-03-01T10:00:00Z' // killed since
  assert.is(judge([...all, asked('2026-03-01T11:58:00Z'), busy]).length, 1)
})

test('what is suspended is a warning while it works, and broken when it does not', () => {
  const suspended = (kind: 'HelmRelease' | 'Kustomization' | 'GitRepository', condition: string) =>
    fluxObject(kind, 'x', [condition], { spec: { suspend: true } })
  const found = judge([
    ...all,
    suspended('GitRepository', ready),
    suspended('Kustomization', ready),
    suspended('HelmRelease', 'Ready=False InstallFailed: x'),
  ])
  assert.equal(
    found.map(({ rule, verdict, remedy }) => [rule, verdict, remedy.command]),
    [
      ['source-suspended', 'warning', 'flux resume source git x -n flux-system'],
      ['kustomization-suspended', 'warning', 'flux resume kustomization x -n flux-system'],
      ['release-suspended', 'broken', 'flux resume helmrelease x -n flux-system'],
    ],
  )
})

test('a finalizer that holds a deleted object: that of a stranger soon, our own after minutes', () => {
  const dying = (deletionTimestamp: string, ...finalizers: string[]) => {
    const object = fluxObject('HelmRelease', 'x', [ready])
    Object.assign(object.metadata, { deletionTimestamp, finalizers, resourceVersion: '7' })
    return judge([...all, object])
  }
  const own = 'finalizers.fluxcd.io'
  assert.equal(dying('2026-03-01T11:57:00Z', own), [])
  const [slow] = dying('2026-03-01T11:50:00Z', own)
  assert.is(slow!.remedy.action, undefined)
  assert.is(slow!.symptom, true)
  const [held] = dying('2026-03-01T11:59:00Z', own, 'example.org/hold')
  const action = held!.remedy.action
  assert.equal(action?.do === 'patch' && action.patch, {
    metadata: { resourceVersion: '7', finalizers: [own] },
  })
})

test.run()
