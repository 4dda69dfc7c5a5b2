import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Kubectl, KubeObject, Ref } from '../../../../lib/kubectl/kubectl.ts'
import { startWriters, stoppedWith, stopWriters, writersOf } from '../../../../scripts/restore/writers.ts'

const namespace = 'oas-apps'
const parts = { app: 'shop', releases: ['shop', 'shop-db'], namespaces: [namespace], owns: () => true }
const DUMPS = { 'pre.hook.backup.velero.io/command': '["sh", "-c", "mariadb-dump --all-databases"]' }

function workload(
  name: string,
  options: { release?: string; kind?: string; template?: object; annotations?: object; spec?: object } = {},
): KubeObject {
  const { release = name, kind = 'Deployment', template = {}, annotations = {}, spec = {} } = options
  return {
    apiVersion: 'apps/v1',
    kind,
    metadata: { namespace, name, labels: { 'app.kubernetes.io/instance': release }, annotations },
    spec: { replicas: 2, selector: { matchLabels: { app: name } }, template, ...spec },
  } as KubeObject
}
const database = (name: string, release?: string) =>
  workload(name, { release, kind: 'StatefulSet', template: { metadata: { annotations: DUMPS } } })
const release = (name: string, ...needed: string[]): KubeObject => ({
  apiVersion: 'helm.toolkit.fluxcd.io/v2',
  kind: 'HelmRelease',
  metadata: { namespace, name },
  spec: { dependsOn: needed.map(each => ({ name: each })) },
})
const names = (objects: readonly KubeObject[]) => objects.map(({ metadata }) => metadata.name)

test('who writes: the others of the release of a database, and of a release that depends on it; not what depends on these', () => {
  const inOne = [database('board-db', 'board'), workload('board')]
  const apart = [database('sso-db'), workload('hydra'), workload('kratos'), workload('grafana')]
  const releases = [
    release('board'),
    release('hydra', 'sso-db'),
    release('kratos', 'sso-db'),
    release('grafana', 'hydra'),
  ]
  const { databases, writers } = writersOf([...inOne, ...apart, workload('alone')], releases)
  assert.equal(names(databases), ['board-db', 'sso-db'])
  assert.equal(names(writers), ['board', 'hydra', 'kratos'])
  assert.equal(writersOf([workload('files')], [release('files')]).writers, [])
})

/** A cluster of these objects, whose pods end as soon as their workload has no replicas. */
function cluster(objects: KubeObject[]): { kubectl: Kubectl; patched: string[] } {
  const patched: string[] = []
  const isOf = (pod: KubeObject) =>
    objects.find(({ spec }) => spec?.selector?.matchLabels.app === pod.metadata.labels?.app)
  const kubectl = {
    list: async (_: string, kind: string, options: { namespace: string }) =>
      objects.filter(
        each =>
          each.kind === kind &&
          each.metadata.namespace === options.namespace &&
          (kind !== 'Pod' || isOf(each)?.spec?.replicas > 0),
      ),
    get: async ({ kind, name }: Ref) =>
      objects.find(each => each.kind === kind && each.metadata.name === name),
    patch: async (
      { kind, name }: Ref,
      { metadata, spec }: { metadata: KubeObject['metadata']; spec: object },
    ) => {
      const found = objects.find(each => each.kind === kind && each.metadata.name === name)!
      for (const [key, value] of Object.entries(metadata.annotations ?? {}))
        if (value === null) delete found.metadata.annotations![key]
        else found.metadata.annotations![key] = value
      Object.assign(found.spec, spec)
      patched.push(name)
    },
  }
  return { kubectl: kubectl as unknown as Kubectl, patched }
}
const pod = (app: string, claim?: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { namespace, name: `${app}-0`, labels: { app } },
  spec: { volumes: claim ? [{ name: 'data', persistentVolumeClaim: { claimName: claim } }] : [] },
  status: { phase: 'Running' },
})

test('they are stopped and started again with their replicas, twice as well; of other applications nothing is', async () => {
  const shop = workload('shop')
  const { kubectl, patched } = cluster([
    ...[shop, database('shop-db'), release('shop', 'shop-db'), release('shop-db')],
    ...[workload('other', { release: 'other' }), database('other-db', 'other'), release('other')],
    ...[pod('shop', 'shop-files'), pod('shop-db', 'data-shop-db-0'), pod('other-db', 'data-other-db-0')],
  ])
  const claims = new Set([`${namespace}/shop-files`, `${namespace}/data-shop-db-0`])
  for (const _ of ['first', 'after it was killed']) {
    const found = await stopWriters(kubectl, parts, claims, AbortSignal.timeout(5000))
    assert.equal([...found], [`${namespace}/data-shop-db-0`])
    assert.is(shop.spec.replicas, 0)
  }
  await startWriters(kubectl, parts)
  await startWriters(kubectl, parts)
  assert.equal([shop.spec.replicas, shop.metadata.annotations], [2, {}])
  assert.equal([...new Set(patched)], ['shop'])
})

test('a database without a pod is waited for: its dump is not left out', async () => {
  const { kubectl } = cluster([workload('shop'), database('shop-db'), release('shop', 'shop-db')])
  const signal = AbortSignal.timeout(1500)
  const ended = await stopWriters(kubectl, parts, new Set(), signal).then(
    () => 'ended',
    () => 'aborted',
  )
  assert.is(ended, 'aborted')
})

test('what is stopped is found by its template, as it has no pods', async () => {
  const annotations = { 'openappstack.net/replicas-before-restore': '1' }
  const mounting = (claimName: string) => ({
    spec: { volumes: [{ name: 'data', persistentVolumeClaim: { claimName } }] },
  })
  const { kubectl } = cluster([
    workload('files', { release: 'shop', annotations, template: mounting('shop-files') }),
    workload('running', { release: 'shop', template: mounting('shop-files') }),
    workload('elsewhere', { release: 'shop', annotations, template: mounting('others') }),
    workload('rows', {
      ...{ release: 'shop', kind: 'StatefulSet', annotations },
      spec: { volumeClaimTemplates: [{ metadata: { name: 'data' } }] },
    }),
  ])
  const claims = new Set([`${namespace}/shop-files`, `${namespace}/data-rows-0`])
  assert.equal(
    (await stoppedWith(kubectl, parts, claims)).map(({ name }) => name),
    ['files', 'rows'],
  )
})

test.run()
