import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Kubectl } from '../../../../lib/kubectl/kubectl.ts'
import {
  checkClock,
  checkKubernetes,
  checkRights,
  clusterChecks,
} from '../../../../lib/preflight/preflight.ts'
import { expectedFrom } from '../../helpers.ts'
import { kubeconfigFile, serve } from '../../transport.ts'

/** Runs `check` against a server that tells this version and is so many seconds ahead. */
async function against<T>(
  { version = 'v1.36.4', ahead = 0, allowed = (_resource: string) => true },
  check: (kubectl: Kubectl) => Promise<T>,
): Promise<T> {
  const { url, close } = await serve((request, response) => {
    response.setHeader('date', new Date(Date.now() + ahead * 1000).toUTCString())
    let body = ''
    request.on('data', chunk => {
      body += chunk
    })
    request.on('end', () => {
      if (request.url === '/version') return response.end(JSON.stringify({ gitVersion: version }))
      const { resource } = JSON.parse(body).spec.resourceAttributes
      return response.end(JSON.stringify({ status: { allowed: allowed(resource) } }))
    })
  })
  const kubectl = await Kubectl.connect(kubeconfigFile({ server: url }))
  try {
    return await check(kubectl)
  } finally {
    kubectl.client.close()
    close()
  }
}

test('transport: clocks that agree within two minutes are fine', async () => {
  for (const ahead of [0, 115, -115]) await against({ ahead }, checkClock)
})

test('transport: a clock that is wrong is told with the direction', async () => {
  const behind = await expectedFrom(() => against({ ahead: 600 }, checkClock))
  assert.is(behind.message, "this machine's clock is 10 minutes behind the cluster's")
  const ahead = await expectedFrom(() => against({ ahead: -3600 }, checkClock))
  assert.is(ahead.message, "this machine's clock is 60 minutes ahead of the cluster's")
  assert.match(ahead.fix, 'date -u')
})

test('transport: Kubernetes has to be new enough for Flux', async () => {
  for (const version of ['v1.33.0', 'v1.35.2+k3s1', 'v1.36.4', 'v2.0.0'])
    await against({ version }, checkKubernetes)
  for (const version of ['v1.32.9+k3s1', 'v1.9.0', 'unknown', ''])
    assert.match((await expectedFrom(() => against({ version }, checkKubernetes))).message, '1.33.0 or newer')
})

test('transport: all missing rights are told at once', async () => {
  const rights = [
    ['create', '', 'namespaces'],
    ['create', '', 'secrets', 'flux-system'],
    ['update', 'coordination.k8s.io', 'leases', 'kube-system'],
  ] as const
  await against({}, kubectl => checkRights(kubectl, rights))
  const allowed = (resource: string) => resource === 'namespaces'
  const error = await expectedFrom(() => against({ allowed }, kubectl => checkRights(kubectl, rights)))
  assert.is(
    error.message,
    "Forbidden: the kubeconfig's user may not create secrets in flux-system, update leases.coordination.k8s.io in kube-system",
  )
})

test('transport: who may not take the lock is told before the plan', async () => {
  const missing = await expectedFrom(() =>
    against({ allowed: resource => resource !== 'leases' }, async kubectl => {
      for (const check of await clusterChecks(kubectl, [['create', '', 'namespaces']])) await check()
    }),
  )
  assert.match(missing.message, 'may not update leases.coordination.k8s.io in kube-system')
  assert.not.match(missing.message, 'namespaces')
})

test.run()
