import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ApiError } from '../../../../lib/kubectl/api-error.ts'
import type { Kubectl, KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { findInCluster } from '../../../../scripts/change-ip/cluster.ts'
import { expectedFrom } from '../../helpers.ts'

const CONFIG_MAPS = { name: 'configmaps', kind: 'ConfigMap', verbs: ['get', 'list'] }

/** A Kubectl that gets these answers by path, and these pages of every list. */
const kubectl = (answers: Record<string, unknown>, page: (i: number) => KubeObject[] | undefined) =>
  ({
    call: async ({ path }: { path: string }) => {
      if (!(path in answers)) throw new ApiError(403, { message: 'User "ann" cannot get' })
      return answers[path]
    },
    async *pages() {
      for (let i = 0, items = page(i); items; items = page(++i)) yield items
    },
  }) as unknown as Kubectl
const configMap = (name: string, data: object): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { namespace: 'oas', name },
  data,
})

test('fields with the address are found by what the server serves, whatever else it tells', async () => {
  const answers = {
    '/apis': { groups: [{}, null, 7, { preferredVersion: { groupVersion: 'x/v1' } }] },
    '/apis/x/v1': { resources: 'none' },
    '/api/v1': {
      resources: [
        null,
        { name: 'bindings', kind: 'Binding', verbs: ['create'] },
        { name: 'pods/status', kind: 'Pod', verbs: ['list'] },
        { name: 'x', kind: 5, verbs: 'list' },
        CONFIG_MAPS,
      ],
    },
  }
  const page = (i: number) => (i === 0 ? [configMap('a', { x: '10.0.0.1' }), configMap('b', {})] : undefined)
  assert.equal(await findInCluster(kubectl(answers, page), '10.0.0.1'), ['ConfigMap oas/a: data.x'])
  const error = await expectedFrom(() => findInCluster(kubectl({}, page), '10.0.0.1'))
  assert.match(error.message, /^looking for 10\.0\.0\.1: User "ann" cannot get/)
})

test('neither objects without end nor fields without number take the memory', async () => {
  const answers = { '/apis': {}, '/api/v1': { resources: [CONFIG_MAPS] } }
  const fields = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`f${i}`, '10.0.0.1']))
  const found = await findInCluster(
    kubectl(answers, i => (i < 10 ? [configMap(`${i}`, fields)] : undefined)),
    '10.0.0.1',
  )
  assert.is(found.length, 201)
  assert.is(found.at(-1), '49800 more fields of objects')

  const page = Array.from({ length: 500 }, (_, i) => configMap(`${i}`, {}))
  const error = await expectedFrom(() =>
    findInCluster(
      kubectl(answers, () => page),
      '10.0.0.1',
    ),
  )
  assert.match(error.message, 'the cluster has more than 120000 objects')

  let deep: object = { x: '10.0.0.1' }
  for (let i = 0; i < 100_000; i++) deep = { deep }
  const one = kubectl(answers, i => (i === 0 ? [configMap('a', deep)] : undefined))
  assert.equal(await findInCluster(one, '10.0.0.1'), [])
})

test.run()
