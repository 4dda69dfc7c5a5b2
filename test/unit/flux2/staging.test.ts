/** With `cluster_issuer=letsencrypt-staging` alone, applications accept the certificate of the single sign-on. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { load, loadAll } from 'js-yaml'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../../lib/kubectl/kubectl.ts'
import { ROOT } from '../../../lib/script/files.ts'
import { substituted } from '../../bed/login/values.ts'

/** The objects of an application's file, as Flux applies them with this issuer. */
const objectsWith = (file: string, cluster_issuer: string) => {
  const text = readFileSync(join(ROOT, 'flux2/apps', file), 'utf8')
  const variables = { domain: 'oas.example.org', admin_email: 'admin@example.org', cluster_issuer }
  return loadAll(substituted(text, variables)) as KubeObject[]
}
const named = (objects: readonly KubeObject[], name: string) =>
  objects.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === name)
const STAGING = 'letsencrypt-staging'
const PRODUCTION = 'letsencrypt-production'

test('Rocket.Chat: Node checks certificates, but with staging', () => {
  const rejects = (issuer: string) => {
    const objects = objectsWith('rocketchat/values.yaml', issuer)
    const values = load(named(objects, 'oas-rocketchat-values')!.data['values.yaml']) as {
      extraEnv: {
        name: string
        valueFrom?: { configMapKeyRef: { name: string; key: string; optional: boolean } }
      }[]
    }
    const { name, key, optional } = values.extraEnv.find(
      ({ name }) => name === 'NODE_TLS_REJECT_UNAUTHORIZED',
    )!.valueFrom!.configMapKeyRef
    assert.ok(optional)
    return named(objects, name)!.data[key]
  }
  assert.is(rejects(STAGING), '0')
  assert.is(rejects(PRODUCTION), undefined)
})

test('Wekan: the ConfigMap of the staging issuer exists, and no other', () => {
  const given = (issuer: string) => {
    const objects = objectsWith('wekan/values.yaml', issuer)
    const values = load(named(objects, 'oas-wekan-values')!.data['values.yaml']) as { extraEnvFrom: string }
    const name = /configMapRef:\s+name: (\S+)\s+optional: true/.exec(values.extraEnvFrom)![1]!
    return named(objects, name)?.data
  }
  assert.equal(given(STAGING), { NODE_TLS_REJECT_UNAUTHORIZED: '0' })
  assert.is(given(PRODUCTION), undefined)
})

test('WordPress: the plugin is loaded, and compares with the issuer', () => {
  const file = (issuer: string) => {
    const [setup] = objectsWith('wordpress/setup.yaml', issuer)
    assert.match(setup!.stringData['setup.sh'], 'require "/setup/staging.php"')
    return setup!.stringData['staging.php'] as string
  }
  assert.match(file(STAGING), "if ('letsencrypt-staging' === 'letsencrypt-staging')")
  assert.match(file(PRODUCTION), "if ('letsencrypt-production' === 'letsencrypt-staging')")
  assert.match(file(STAGING), "'https://sso.oas.example.org/'")
})

test.run()
