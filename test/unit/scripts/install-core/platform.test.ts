import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { completeConfig } from '../../../../lib/platform/config.ts'
import { clusterVariables } from '../../../../lib/platform/variables.ts'
import {
  gitRepository,
  namespaces,
  notifications,
  rootKustomization,
  settingsSecrets,
} from '../../../../scripts/install-core/platform.ts'

const config = completeConfig({ domain: 'a.org', git_url: 'https://g.org/x.git', git_branch: 'b' })

test('the variables are a Secret that Flux watches, with every variable in base64', () => {
  const secret = settingsSecrets(config)[0]!
  assert.equal([secret.metadata.namespace, secret.metadata.name], ['flux-system', 'oas-cluster-variables'])
  assert.is(secret.metadata.labels?.['reconcile.fluxcd.io/watch'], 'Enabled')
  assert.is(Buffer.from(secret.data.domain, 'base64').toString(), 'a.org')
  assert.is(secret.data.charts_mirror, '')
  assert.equal(Object.keys(secret.data), Object.keys(clusterVariables(config)))
})

test('Flux follows the configured repository and branch', () => {
  const { spec } = gitRepository(config)
  assert.equal([spec.url, spec.ref.branch], ['https://g.org/x.git', 'b'])
})

test('the root Kustomization applies from that repository, in a namespace that is created first', () => {
  const root = rootKustomization()
  const source = gitRepository(config)
  assert.equal(root.spec.sourceRef, { kind: source.kind, name: source.metadata.name })
  assert.is(root.metadata.namespace, source.metadata.namespace)
  assert.ok(namespaces().some(namespace => namespace.metadata.name === root.metadata.namespace))
})

test('Flux tells Alertmanager of failures where it has the controller for that', async () => {
  const deployment = (name: string) => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: 'flux-system' },
  })
  assert.equal(await notifications([deployment('helm-controller')]), [])
  const [kustomization] = await notifications([deployment('notification-controller')])
  assert.is(kustomization!.spec.path, './flux2/notifications')
})

test.run()
