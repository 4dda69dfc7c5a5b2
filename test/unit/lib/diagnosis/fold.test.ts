import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Finding } from '../../../../lib/diagnosis/finding.ts'
import { fold } from '../../../../lib/diagnosis/fold.ts'
import { type KubeObject, refOf, refText } from '../../../../lib/kubectl/kubectl.ts'
import { indexOf, objectOf } from './snapshots.ts'

const finding = (object: KubeObject, more: Partial<Finding> = {}): Finding => ({
  rule: 'rule',
  verdict: 'broken',
  subject: refOf(object),
  cause: 'is wrong',
  evidence: [],
  remedy: { text: 'mend it' },
  ...more,
})
const symptom = (object: KubeObject, more: Partial<Finding> = {}) =>
  finding(object, { symptom: true, ...more })
/** What is told, as `subject <- what it explains`. */
const told = (findings: Finding[], objects: KubeObject[]) =>
  fold(findings, indexOf(objects)).map(
    ({ subject, explains }) =>
      `${refText(subject)} <- ${explains
        .map(each => refText(each.subject))
        .sort()
        .join(', ')}`,
  )

const release = objectOf('HelmRelease', 'oas-apps', 'wekan', {
  spec: {
    chart: { spec: { sourceRef: { kind: 'HelmRepository', name: 'wekan', namespace: 'flux-system' } } },
  },
})
const kustomization = objectOf('Kustomization', 'flux-system', 'wekan', {
  spec: { dependsOn: [{ name: 'core' }], sourceRef: { kind: 'GitRepository', name: 'openappstack' } },
  status: { inventory: { entries: [{ id: 'oas-apps_wekan_helm.toolkit.fluxcd.io_HelmRelease', v: 'v2' }] } },
})
const deployment = objectOf('Deployment', 'oas-apps', 'wekan', {
  metadata: {
    annotations: { 'meta.helm.sh/release-name': 'wekan', 'meta.helm.sh/release-namespace': 'oas-apps' },
  },
})
const replicas = objectOf('ReplicaSet', 'oas-apps', 'wekan-1', {}, deployment)
const pod = objectOf('Pod', 'oas-apps', 'wekan-1-a', { spec: { nodeName: 'oas' } }, replicas)
const node = objectOf('Node', undefined, 'oas')
const chain = [release, kustomization, deployment, replicas, pod, node]

test('symptoms are folded into the cause at the end of the chain', () => {
  assert.equal(told([symptom(kustomization), symptom(release), symptom(deployment), finding(pod)], chain), [
    'Pod oas-apps/wekan-1-a <- Deployment oas-apps/wekan, HelmRelease oas-apps/wekan, Kustomization flux-system/wekan',
  ])
})

test('a cause behind a symptom counts, and not the symptom', () => {
  assert.equal(told([symptom(release), symptom(pod), finding(node)], chain), [
    'Node oas <- HelmRelease oas-apps/wekan, Pod oas-apps/wekan-1-a',
  ])
})

test('without a cause the deepest symptom stands for all', () => {
  assert.equal(told([symptom(kustomization), symptom(release), symptom(pod)], chain), [
    'Pod oas-apps/wekan-1-a <- HelmRelease oas-apps/wekan, Kustomization flux-system/wekan',
  ])
})

test('what is wrong by itself is not folded, however deep something else is wrong', () => {
  assert.equal(told([finding(release), finding(pod)], chain), [
    'HelmRelease oas-apps/wekan <- ',
    'Pod oas-apps/wekan-1-a <- ',
  ])
})

test('two causes: a symptom belongs to the nearer one, and both are told', () => {
  assert.equal(told([symptom(release), finding(pod), finding(node)], chain), [
    'Pod oas-apps/wekan-1-a <- HelmRelease oas-apps/wekan',
    'Node oas <- ',
  ])
})

test('a symptom beside a cause of the same object belongs to that', () => {
  assert.equal(told([symptom(pod), finding(pod)], chain), [
    'Pod oas-apps/wekan-1-a <- Pod oas-apps/wekan-1-a',
  ])
})

test('a warning is nobody’s cause', () => {
  assert.equal(told([symptom(release), finding(pod, { verdict: 'warning' })], chain), [
    'HelmRelease oas-apps/wekan <- ',
    'Pod oas-apps/wekan-1-a <- ',
  ])
})

test('what a finding names beyond the objects’ fields is followed, also to what does not exist', () => {
  const absent = objectOf('Secret', 'flux-system', 'oas-wekan-variables')
  assert.equal(
    told([symptom(kustomization, { causedBy: [refOf(absent)] }), finding(absent)], [kustomization]),
    ['Secret flux-system/oas-wekan-variables <- Kustomization flux-system/wekan'],
  )
})

test('objects that wait for each other are told, and not folded away', () => {
  const [a, b] = ['a', 'b'].map(name =>
    objectOf('Kustomization', 'flux-system', name, {
      spec: { dependsOn: [{ name: name === 'a' ? 'b' : 'a' }] },
    }),
  ) as [KubeObject, KubeObject]
  assert.equal(told([symptom(a), symptom(b)], [a, b]), [
    'Kustomization flux-system/b <- Kustomization flux-system/a',
  ])
})

test('nothing is lost and nothing is told twice, whatever depends on what', () => {
  const names = ['a', 'b', 'c', 'd', 'e']
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom(...names), fc.constantFrom(...names)), { maxLength: 12 }),
      fc.uniqueArray(fc.constantFrom(...names)),
      fc.uniqueArray(fc.constantFrom(...names)),
      (edges, symptoms, causes) => {
        const objects = names.map(name =>
          objectOf('Kustomization', 'flux-system', name, {
            spec: { dependsOn: edges.filter(([from]) => from === name).map(([, to]) => ({ name: to })) },
          }),
        )
        const of = (name: string) => objects.find(({ metadata }) => metadata.name === name)!
        const findings = [
          ...symptoms.map(name => symptom(of(name))),
          ...causes.map(name => finding(of(name))),
        ]
        const roots = fold(findings, indexOf(objects))
        const seen = roots.flatMap(({ explains, ...root }) => [root, ...explains])
        assert.is(seen.length, findings.length)
        for (const each of findings)
          assert.is(
            seen.filter(one => one.subject === each.subject && one.symptom === each.symptom).length,
            1,
          )
        for (const name of causes) assert.ok(roots.some(root => root.subject.name === name && !root.symptom))
      },
    ),
  )
})

test.run()
