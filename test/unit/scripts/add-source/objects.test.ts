import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isOfOwnSource } from '../../../../lib/flux/own-sources.ts'
import { readSourceFlags } from '../../../../scripts/add-source/flags.ts'
import { completed } from '../../../../scripts/add-source/kept.ts'
import { sourceObjects } from '../../../../scripts/add-source/objects.ts'

const URL_ = 'https://git.example.org/shop.git'
const wanted = completed(readSourceFlags(['shop', URL_], { login: 'shop.example.org' }), {})
const objects = sourceObjects(
  wanted,
  { podRanges: ['10.42.0.0/24', 'fd00::/64'], domain: 'example.org' },
  { deployKey: undefined, clientSecret: 'x' },
)
const of = (kind: string) => objects.filter(object => object.kind === kind)

test('everything is in the namespace of the source, but its client; and all of it is labelled', () => {
  const elsewhere = objects.filter(({ metadata }) => metadata.namespace !== 'shop')
  assert.equal(
    elsewhere.map(({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name}`),
    ['Namespace undefined/shop', 'Secret oas-apps/shop-login', 'OAuth2Client oas-apps/shop'],
  )
  assert.ok(objects.every(isOfOwnSource))
})

test('Flux acts as an account that may write nothing by which a controller would act for it', () => {
  assert.is(of('Kustomization')[0]!.spec.serviceAccountName, 'flux-source')
  assert.is(of('ClusterRoleBinding').length, 0)
  const rules = of('Role')[0]!.rules as { apiGroups: string[]; resources: string[]; verbs: string[] }[]
  const groups = rules.flatMap(({ apiGroups }) => apiGroups)
  for (const group of [
    '*',
    'rbac.authorization.k8s.io',
    'kustomize.toolkit.fluxcd.io',
    'helm.toolkit.fluxcd.io',
    'source.toolkit.fluxcd.io',
    'traefik.io',
    'hydra.ory.sh',
  ])
    assert.not.ok(groups.includes(group), group)
  const words = rules.flatMap(({ resources, verbs }) => [...resources, ...verbs])
  for (const word of [
    '*',
    'networkpolicies',
    'resourcequotas',
    'limitranges',
    'impersonate',
    'bind',
    'escalate',
    'namespaces',
  ])
    assert.not.ok(words.includes(word), word)
})

test('pods reach the internet, and neither the pods of others nor what a provider tells a server of itself', () => {
  const blocks = of('NetworkPolicy')[0]!.spec.egress[2].to
  assert.equal(blocks, [
    { ipBlock: { cidr: '0.0.0.0/0', except: ['10.42.0.0/24', '169.254.0.0/16'] } },
    { ipBlock: { cidr: '::/0', except: ['fd00::/64', 'fe80::/10'] } },
  ])
})

test.run()
