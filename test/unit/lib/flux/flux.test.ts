import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { inventory, standing } from '../../../../lib/flux/flux.ts'
import { conditionOf, fluxObject, inventoryOf } from '../../flux-objects.ts'

const applied = 'Ready=True ReconciliationSucceeded: Applied revision: main@sha1:4f3c'
const broken = 'Ready=False BuildFailed: kustomize build failed: accumulating resources'
const state = (...args: Parameters<typeof fluxObject>) => standing(fluxObject(...args)).state
const requestedAt = (at: string) => ({ 'reconcile.fluxcd.io/requestedAt': at })

test('ready, failed, suspended, or not looked at yet', () => {
  assert.equal(standing(fluxObject('Kustomization', 'core', [applied])), {
    state: 'ready',
    reason: 'ReconciliationSucceeded',
    message: 'Applied revision: main@sha1:4f3c',
  })
  assert.equal(standing(fluxObject('Kustomization', 'core', [broken])), {
    state: 'failed',
    reason: 'BuildFailed',
    message: 'kustomize build failed: accumulating resources',
  })
  assert.is(state('Kustomization', 'core', [broken], { spec: { suspend: true } }), 'suspended')
  assert.is(state('Kustomization', 'core', []), 'waiting')
  const { status: _none, ...fresh } = fluxObject('Kustomization', 'core', [])
  assert.is(standing(fresh as ReturnType<typeof fluxObject>).state, 'waiting')
})

test('what is still under way is waited for', () => {
  for (const ready of [
    'Ready=Unknown Progressing: Reconciliation in progress',
    "Ready=False DependencyNotReady: dependency 'flux-system/infrastructure' is not ready",
    'Ready=False HealthCheckCanceled: New reconciliation triggered by GitRepository/flux-system/openappstack',
  ])
    assert.is(state('Kustomization', 'core', [ready]), 'waiting', ready)
  const chart = "Reconciling=True ProgressingWithRetry: building artifact: pulled 'loki' chart"
  assert.is(state('HelmChart', 'oas-loki', [chart, 'Ready=Unknown Progressing: x']), 'waiting')
})

test('success counts for the generation that it was observed at', () => {
  const old = { generation: 2, status: { observedGeneration: 1, conditions: [conditionOf(applied, 1)] } }
  assert.is(state('Kustomization', 'core', [], old), 'waiting')
  // conditions.Set raises a condition's generation in the middle of a reconciliation (helm-controller, state.go).
  const ahead = { generation: 2, status: { observedGeneration: 1, conditions: [conditionOf(applied, 2)] } }
  assert.is(state('HelmRelease', 'loki', [], ahead), 'waiting')
})

test('a failure counts though the status never reaches its generation', () => {
  // kustomize-controller's finalizeStatus raises status.observedGeneration on success alone.
  const git =
    "Ready=False GitOperationFailed: failed to checkout and determine revision: unable to clone: couldn't find remote ref"
  const once = { generation: 2, status: { observedGeneration: 1, conditions: [conditionOf(git, 2)] } }
  assert.is(state('GitRepository', 'openappstack', [], once), 'failed')
  const never = { generation: 3, status: { observedGeneration: -1, conditions: [conditionOf(broken, 3)] } }
  assert.is(state('Kustomization', 'core', [], never), 'failed')
})

test('a failure of an older generation is past', () => {
  for (const observedGeneration of [-1, 1]) {
    const status = { observedGeneration, conditions: [conditionOf(broken, 1)] }
    assert.is(state('Kustomization', 'core', [], { generation: 2, status }), 'waiting')
  }
})

test('a requested reconciliation has to be handled before anything counts', () => {
  for (const ready of [applied, broken]) {
    const asked = { annotations: requestedAt('2026-01-02T00:00:02Z') }
    assert.is(state('Kustomization', 'core', [ready], asked), 'waiting')
    const before = { ...asked, status: { lastHandledReconcileAt: '2026-01-02T00:00:01Z' } }
    assert.is(state('Kustomization', 'core', [ready], before), 'waiting')
  }
  const handled = {
    annotations: requestedAt('2026-01-02T00:00:02Z'),
    status: { lastHandledReconcileAt: '2026-01-02T00:00:02Z' },
  }
  assert.is(state('Kustomization', 'core', [applied], handled), 'ready')
  assert.is(state('Kustomization', 'core', [broken], handled), 'failed')
})

test('a stalled object has failed whatever Ready says, and tells what exhausted its retries', () => {
  const failure = 'Helm install failed for release oas/loki with chart loki@18.11.0: timed out'
  const conditions = [
    'Stalled=True RetriesExceeded: Failed to install after 4 attempt(s)',
    `Ready=False InstallFailed: ${failure}`,
  ]
  assert.equal(standing(fluxObject('HelmRelease', 'loki', conditions)), {
    state: 'failed',
    reason: 'RetriesExceeded',
    message: failure,
  })
  const unknown = ['Stalled=True RetriesExceeded: x', 'Ready=Unknown Progressing: y']
  assert.is(state('HelmRelease', 'loki', unknown), 'failed')
  const reset = { annotations: requestedAt('2026-01-02T00:00:02Z') }
  assert.is(state('HelmRelease', 'loki', conditions, reset), 'waiting')
  assert.is(state('HelmRelease', 'loki', ['Stalled=False X: ', applied]), 'ready')
})

test('an inventory id is taken apart as cli-utils does', () => {
  const ids = [
    'oas_loki_helm.toolkit.fluxcd.io_HelmRelease',
    '_oas__Namespace',
    '_letsencrypt-production_cert-manager.io_ClusterIssuer',
    '_system__controller__x_rbac.authorization.k8s.io_ClusterRole',
  ]
  const kustomization = fluxObject('Kustomization', 'core', [], { status: inventoryOf(...ids) })
  assert.equal(
    inventory(kustomization).map(entry => [
      entry.namespace,
      entry.name,
      entry.group,
      entry.kind,
      entry.version,
    ]),
    [
      ['oas', 'loki', 'helm.toolkit.fluxcd.io', 'HelmRelease', 'v2'],
      ['', 'oas', '', 'Namespace', 'v2'],
      ['', 'letsencrypt-production', 'cert-manager.io', 'ClusterIssuer', 'v2'],
      ['', 'system:controller:x', 'rbac.authorization.k8s.io', 'ClusterRole', 'v2'],
    ],
  )
  assert.equal(inventory(fluxObject('Kustomization', 'core', [])), [])
})

test.run()
