import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { refusedToSource, rules } from '../../../../lib/diagnosis/rules/own-sources.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { refText } from '../../../../lib/kubectl/kubectl.ts'
import { readSourceFlags } from '../../../../scripts/add-source/flags.ts'
import { completed } from '../../../../scripts/add-source/kept.ts'
import { sourceObjects } from '../../../../scripts/add-source/objects.ts'
import { indexOf, objectOf } from './snapshots.ts'

/** What add-source creates, without the object that `without` names, and with the others changed. */
function told(without = '', change: (objects: KubeObject[]) => KubeObject[] = all => all): string[] {
  const objects = sourceObjects(
    completed(readSourceFlags(['shop', 'https://git.example.org/shop.git'], {}), {}),
    { podRanges: [], domain: 'example.org' },
    { deployKey: undefined, clientSecret: undefined },
  ).filter(({ kind }) => kind !== without)
  const index = indexOf(change(objects))
  return rules
    .flatMap(rule => rule(index))
    .map(each => `${each.rule} ${refText(each.subject)}: ${each.cause}`)
}

test('what add-source creates is told of by no rule', () => {
  assert.equal(told(), [])
})

test('limits that are missing are told, once the source is there', () => {
  assert.equal(told('NetworkPolicy'), [
    'own-source-incomplete Kustomization shop/shop: NetworkPolicy shop/own-source does not exist, so that its pods reach those of the platform',
  ])
  assert.match(told('ResourceQuota')[0]!, 'may use all memory and storage')
  // remove-source keeps a namespace with volumes, without its quota.
  assert.equal(
    told('ResourceQuota', all => all.filter(({ kind }) => kind !== 'Kustomization')),
    [],
  )
})

test('an account or rights that somebody has removed are told, and what Flux says then points there', () => {
  for (const kind of ['ServiceAccount', 'Role', 'RoleBinding'])
    assert.match(told(kind)[0]!, new RegExp(`${kind} shop/flux-source does not exist, so that Flux`))
  const refused = (resource: string, group: string, namespace: string) =>
    refusedToSource(
      `User "system:serviceaccount:shop:flux-source" cannot patch resource "${resource}" in API group "${group}" in the namespace "${namespace}"`,
    )
  assert.match(refused('deployments', 'apps', 'shop')!.fix, 'npx tsx scripts/add-source.ts shop')
  for (const [resource, group, namespace] of [
    ['deployments', 'apps', 'oas'],
    ['networkpolicies', 'networking.k8s.io', 'shop'],
    ['deployments', '', 'shop'],
  ] as const)
    assert.is(refused(resource, group, namespace)?.rule, 'own-source-refused', `${resource} ${namespace}`)
})

test('a namespace that lets in pods of every kind is told', () => {
  const labelled = (level: string | undefined) =>
    told('', all =>
      all.map(object =>
        object.kind === 'Namespace'
          ? {
              ...object,
              metadata: {
                ...object.metadata,
                labels: { ...object.metadata.labels, 'pod-security.kubernetes.io/enforce': level as string },
              },
            }
          : object,
      ),
    )
  for (const level of [undefined, 'privileged'])
    assert.match(labelled(level)[0]!, /^own-source-unconfined .*may take over the server/)
  assert.equal(labelled('restricted'), [])
})

test('a source that Flux applies with all its rights is told', () => {
  const found = told('', all =>
    all.map(object =>
      object.kind === 'Kustomization'
        ? { ...object, spec: { ...object.spec, serviceAccountName: undefined } }
        : object,
    ),
  )
  assert.is(found.length, 1)
  assert.match(found[0]!, /^own-source-unbound .*may write everywhere in the cluster/)
})

test('a binding that gives it more rights is told, and none of somebody else', () => {
  const binding = (kind: string, namespace: string | undefined, account: string) =>
    objectOf(kind, namespace, 'more', {
      roleRef: { kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ kind: 'ServiceAccount', name: account, namespace: 'shop' }],
    })
  for (const [kind, namespace] of [
    ['ClusterRoleBinding', undefined],
    ['RoleBinding', 'oas'],
  ] as const)
    assert.match(
      told('', all => [...all, binding(kind, namespace, 'flux-source')])[0]!,
      /^own-source-bound .*more rights than add-source does: those of ClusterRole cluster-admin/,
    )
  assert.equal(
    told('', all => [...all, binding('ClusterRoleBinding', undefined, 'default')]),
    [],
  )
})

test('an Ingress for a host of somebody else is told, and one for a host of its own is not', () => {
  const ingress = (namespace: string, host: string) =>
    objectOf('Ingress', namespace, 'web', { spec: { rules: [{ host, http: { paths: [{ path: '/x' }] } }] } })
  const serving = (host: string) =>
    told('', all => [...all, ingress('oas-apps', 'files.example.org'), ingress('shop', host)])
  assert.match(
    serving('files.example.org')[0]!,
    /^own-source-host Ingress shop\/web: .* serves files\.example\.org, the host of Ingress oas-apps\/web/,
  )
  assert.equal(serving('shop.example.org'), [])
})

test.run()
