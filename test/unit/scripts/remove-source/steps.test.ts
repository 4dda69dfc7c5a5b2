import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import {
  refusePowerless,
  type SourceSurvey,
  sourceRemovalLines,
} from '../../../../scripts/remove-source/steps.ts'

const object = (kind: string, name: string, more: object = {}): KubeObject => ({
  apiVersion: 'v1',
  kind,
  metadata: { name, namespace: 'shop' },
  ...more,
})
const survey = (more: Partial<SourceSurvey>): SourceSurvey => ({
  name: 'shop',
  kustomization: undefined,
  repository: undefined,
  volumes: [],
  login: [],
  parts: [],
  ...more,
})
const data = object('PersistentVolumeClaim', 'data', {
  spec: { resources: { requests: { storage: '1Gi' } } },
})

test('what goes is named, and volumes stay unless they are meant', () => {
  const applied = {
    status: {
      inventory: {
        entries: [
          { id: 'shop_web_apps_Deployment', v: 'v1' },
          { id: 'shop_data__PersistentVolumeClaim', v: 'v1' },
        ],
      },
    },
  }
  const all = survey({
    kustomization: object('Kustomization', 'shop', applied),
    repository: object('GitRepository', 'shop'),
    login: [object('Secret', 'login')],
    parts: [object('Role', 'flux-source')],
    volumes: [data],
  })
  assert.equal(sourceRemovalLines(all, false), [
    'delete Kustomization shop/shop',
    'delete GitRepository shop/shop',
    'delete Secret shop/login',
    'delete Deployment shop/web',
    'delete its account, rights, limits and keys (1 object)',
    'keep Namespace shop with its volumes: data (1Gi)',
  ])
  assert.is(sourceRemovalLines(all, true).at(-1), 'delete Namespace shop with its data: data (1Gi)')
  assert.is(sourceRemovalLines(survey({}), false).at(-1), 'delete Namespace shop')
})

test('Flux is not told to remove what it has no right to remove', () => {
  const account = ['ServiceAccount', 'Role', 'RoleBinding'].map(kind => object(kind, 'flux-source'))
  const kustomization = object('Kustomization', 'shop')
  refusePowerless(survey({ kustomization, parts: account }))
  refusePowerless(survey({ parts: [] }))
  for (const lost of account) {
    const parts = account.filter(each => each !== lost)
    assert.throws(
      () => refusePowerless(survey({ kustomization, parts })),
      (error: Error) => error.message.startsWith(`${lost.kind} shop/flux-source does not exist`),
    )
  }
})

test('what a killed run has left is named, too', () => {
  assert.equal(sourceRemovalLines(survey({ volumes: [data], parts: [object('Secret', 'git')] }), false), [
    'delete its account, rights, limits and keys (1 object)',
    'keep Namespace shop with its volumes: data (1Gi)',
  ])
})

test.run()
