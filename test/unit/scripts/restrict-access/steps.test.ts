import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ApiError } from '../../../../lib/kubectl/api-error.ts'
import type { KubeClient } from '../../../../lib/kubectl/kube-client.ts'
import { Kubectl, type KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { takeBackOverride, writeOverride } from '../../../../scripts/restrict-access/steps.ts'
import { expectedFrom } from '../../helpers.ts'

const SECRET = { apiVersion: 'v1', kind: 'Secret', name: 'oas-nginx-override', namespace: 'oas' }
const encoded = (text: string) => Buffer.from(text).toString('base64')

/** An API server with this Secret, or none, which checks versions as the real one does. */
class Store {
  #version = 1
  #secret: KubeObject | undefined
  readonly kubectl = new Kubectl({
    server: 'https://x',
    request: async ({ method = 'GET', path, body }: Parameters<KubeClient['request']>[0]) => {
      if (path === '/api/v1') return { resources: [{ name: 'secrets', kind: 'Secret', namespaced: true }] }
      const sent = body as KubeObject | undefined
      if (method === 'POST') return this.write(sent!.data['values.yaml'])
      if (!this.#secret) throw new ApiError(404, { reason: 'NotFound' })
      const wanted = sent?.metadata ?? sent?.preconditions
      if (wanted?.resourceVersion && wanted.resourceVersion !== this.#secret.metadata.resourceVersion)
        throw new ApiError(409, { reason: 'Conflict', message: 'the object has been modified' })
      if (method === 'PATCH') return this.write(sent!.data['values.yaml'])
      if (method === 'DELETE') this.#secret = undefined
      return structuredClone(this.#secret)
    },
  } as unknown as KubeClient)

  write(text: string): KubeObject {
    this.#version++
    const metadata = { name: SECRET.name, namespace: 'oas', uid: 'u', resourceVersion: `${this.#version}` }
    this.#secret = { apiVersion: 'v1', kind: 'Secret', metadata, data: { 'values.yaml': text } }
    return structuredClone(this.#secret)
  }

  /** What the override says; undefined where there is none. */
  get text(): string | undefined {
    return this.#secret && Buffer.from(this.#secret.data['values.yaml'], 'base64').toString()
  }
}

test('an override that somebody has changed since it was read is neither written, nor deleted', async () => {
  for (const ours of ['ours: 1\n', '']) {
    const store = new Store()
    const before = store.write(encoded('theirs: 1\n'))
    store.write(encoded('theirs: 2\n'))
    const error = await expectedFrom(() => writeOverride(store.kubectl, before, ours))
    assert.match(error.message, 'the object has been modified')
    assert.is(store.text, 'theirs: 2\n')
    const now = await store.kubectl.get(SECRET)
    await writeOverride(store.kubectl, now, ours)
    assert.is(store.text, ours === '' ? undefined : ours)
  }
})

test('a change is taken back, and nothing but that change', async () => {
  const change = { text: 'ours: 1\n', textBefore: 'theirs: 1\n' }
  const store = new Store()
  store.write(encoded(change.text))
  await takeBackOverride(store.kubectl, change)
  assert.is(store.text, change.textBefore)
  await takeBackOverride(store.kubectl, change)
  assert.is(store.text, change.textBefore)
  store.write(encoded('ours: 1\ntheirs: 2\n'))
  const error = await expectedFrom(() => takeBackOverride(store.kubectl, change))
  assert.match(error.message, 'is not as this run writes it, and stays as it is')
  assert.is(store.text, 'ours: 1\ntheirs: 2\n')
  store.write(encoded(change.text))
  await takeBackOverride(store.kubectl, { ...change, textBefore: '' })
  assert.is(store.text, undefined)
})

test.run()
