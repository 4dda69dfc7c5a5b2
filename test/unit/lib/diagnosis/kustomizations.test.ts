import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { rules } from '../../../../lib/diagnosis/rules/kustomizations.ts'
import type { Index } from '../../../../lib/diagnosis/snapshot.ts'
import { refText } from '../../../../lib/kubectl/kubectl.ts'
import { redact } from '../../../../lib/script/redact.ts'
import { fluxObject, git, inventoryOf, ready } from '../../flux-objects.ts'
import { indexOf, NOW, objectOf, shapeOf } from './snapshots.ts'

// Messages are those of kustomize-controller 1.9.5 and of the API server.

const judge = (index: Index) => rules.flatMap(rule => rule(index))
const failed = (message: string, reason = 'ReconciliationFailed', name = 'wekan') =>
  fluxObject('Kustomization', name, [`Ready=False ${reason}: ${message}`], {
    spec: { path: './flux2/apps/wekan', sourceRef: { kind: 'GitRepository', name: 'openappstack' } },
  })
const source = git()

for (const [message, cause] of [
  [
    "post build failed for 'wekan': envsubst error: YAMLToJSON: yaml: line 8: did not find expected alphabetic or numeric character",
    'a value from Secret flux-system/oas-cluster-variables or Secret flux-system/oas-wekan-variables breaks the YAML of ./flux2/apps/wekan',
  ],
  [
    "post build failed for 'wekan': envsubst error: YAMLToJSON: yaml: unknown anchor 'hunter2hunter2' referenced",
    'a value from Secret flux-system/oas-cluster-variables or Secret flux-system/oas-wekan-variables breaks the YAML of ./flux2/apps/wekan',
  ],
  [
    'Secret/oas-apps/wekan-secrets dry-run failed: failed to create typed patch object (oas-apps/wekan-secrets; /v1, Kind=Secret): .stringData.OAUTH2_SECRET: expected string, got &value.valueUnstructured{Value:123456789}',
    'the value of .stringData.OAUTH2_SECRET comes from Secret flux-system/oas-cluster-variables or Secret flux-system/oas-wekan-variables, and YAML reads it as a number or another type',
  ],
] as const)
  test(`a substituted value that breaks YAML is at fault, not the repository: ${message.slice(0, 90)}`, () => {
    const kustomization = failed(message)
    const substituteFrom = ['oas-cluster-variables', 'oas-wekan-variables'].map(name => ({
      kind: 'Secret',
      name,
    }))
    kustomization.spec.postBuild = { substituteFrom }
    const index = indexOf([kustomization, source])
    const found = judge(index).find(({ rule }) => rule === 'kustomization-value-breaks-yaml')
    assert.is(found?.cause, cause)
    assert.match(found!.remedy.text, 'the repository is correct: set another value there')
    assert.not.match(redact(JSON.stringify(found)), /hunter2|123456789/)
  })

for (const [message, reason, rule, remedy, symptom] of [
  [
    'post build failed for \'/v1, Kind=ConfigMap/x\': variable substitution failed: variable not set (strict mode): "domian"',
    'BuildFailed',
    'kustomization-variable-missing',
    /install-core/,
    true,
  ],
  [
    "post build failed for 'x': substitute from 'Secret/oas-oauth-variables' error: secrets \"oas-oauth-variables\" not found",
    'BuildFailed',
    'kustomization-secret-missing',
    /install-app\.ts wekan/,
    true,
  ],
  [
    'kustomization path not found: stat /tmp/x/flux2/apps/wekan: no such file or directory',
    'ArtifactFailed',
    'kustomization-path-missing',
    /correct \.\/flux2\/apps\/wekan/,
    undefined,
  ],
  [
    'kustomize build failed: accumulating resources: MalformedYAMLError: yaml: line 2',
    'BuildFailed',
    'kustomization-build-failed',
    /correct \.\/flux2/,
    undefined,
  ],
  [
    'NetworkPolicy/oas-apps/x dry-run failed (Invalid): NetworkPolicy.networking.k8s.io "x" is invalid: spec.ports: Invalid value: 270170',
    'ReconciliationFailed',
    'kustomization-refused',
    /API server refuses/,
    undefined,
  ],
  [
    'ConfigMap/oas/x dry-run failed (Forbidden): configmaps "x" is forbidden: User "system:serviceaccount:shop:flux-source" cannot patch resource "configmaps" in API group "" in the namespace "oas"',
    'ReconciliationFailed',
    'own-source-refused',
    /everything belongs into namespace shop/,
    undefined,
  ],
  [
    'ClusterRole/x dry-run failed (Forbidden): clusterroles.rbac.authorization.k8s.io "x" is forbidden: User "system:serviceaccount:shop:flux-source" cannot patch resource "clusterroles" in API group "rbac.authorization.k8s.io" at the cluster scope',
    'ReconciliationFailed',
    'own-source-refused',
    /nothing outside was changed/,
    undefined,
  ],
  [
    "health check failed after 5m0s: timeout waiting for: [HelmRelease/oas/loki status: 'InProgress']",
    'HealthCheckFailed',
    'kustomization-unhealthy',
    /diagnose/,
    true,
  ],
  [
    'Source artifact not found, retrying in 5s',
    'ArtifactFailed',
    'kustomization-waits-for-source',
    /source/,
    true,
  ],
  [
    'ServiceMonitor/oas/loki dry-run failed: no matches for kind "ServiceMonitor" in version "monitoring.coreos.com/v1"',
    'ReconciliationFailed',
    'kind-missing',
    /HelmRelease oas\/kube-prometheus-stack/,
    true,
  ],
  [
    'ClusterIssuer/x dry-run failed (InternalError): Internal error occurred: failed calling webhook "webhook.cert-manager.io": failed to call webhook: Post "https://cert-manager-webhook.cert-manager.svc:443/validate?timeout=30s": dial tcp 10.43.1.2:443: connect: connection refused',
    'ReconciliationFailed',
    'webhook-down',
    /cert-manager-webhook/,
    true,
  ],
  [
    'Pod/oas-apps/x dry-run failed (Forbidden): pods "x" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2',
    'ReconciliationFailed',
    'quota-exceeded',
    /ResourceQuota small/,
    true,
  ],
] as const)
  test(`${rule} is told with its remedy`, () => {
    const [finding, ...more] = judge(indexOf([failed(message, reason), source]))
    assert.equal(more, [])
    assert.is(finding?.rule, rule)
    assert.match(finding!.remedy.text, remedy)
    assert.is(finding!.symptom, symptom)
  })

test('a source that is being fetched is waited for a while', () => {
  const told = (lastTransitionTime: string) => {
    const object = failed('Source artifact not found, retrying in 5s', 'ArtifactFailed')
    for (const each of object.status.conditions) each.lastTransitionTime = lastTransitionTime
    return judge(indexOf([object, source])).map(({ rule }) => rule)
  }
  assert.equal(told('2026-03-01T11:59:50Z'), [])
  assert.equal(told('2026-03-01T11:59:00Z'), ['kustomization-waits-for-source'])
})

test('what the API server waits for is named by the objects that it is about', () => {
  const refs = (message: string) =>
    (judge(indexOf([failed(message), source]))[0]!.causedBy ?? []).map(refText)
  assert.equal(
    refs(
      'failed calling webhook "x": failed to call webhook: Post "https://hook.test.svc:443/validate?timeout=30s": EOF',
    ),
    ['Service test/hook', 'Deployment test/hook'],
  )
  for (const message of [
    'no matches for kind "OAuth2Client" in version "hydra.ory.sh/v1alpha1"',
    'OAuth2Client/oas-apps/wekan not found: the server could not find the requested resource (patch oauth2clients.hydra.ory.sh wekan)',
  ])
    assert.equal(refs(message), ['HelmRelease oas/hydra'])
})

test('what passes by itself is told once it has lasted', () => {
  const young = failed('no matches for kind "X" in version "example.org/v1"')
  young.status.conditions[0].lastTransitionTime = '2026-03-01T11:59:50Z'
  assert.equal(judge(indexOf([young, source])), [])
})

const immutable = failed(
  'Job/oas-apps/setup dry-run failed (Invalid): Job.batch "setup" is invalid: spec.template: Invalid value: core.PodTemplateSpec{}: field is immutable',
)

test('what cannot be changed is deleted, and then tried again; a volume never', () => {
  const job = objectOf('Job', 'oas-apps', 'setup', { apiVersion: 'batch/v1' })
  const [first] = judge(indexOf([immutable, source, job]))
  assert.is(first!.rule, 'field-immutable')
  assert.match(first!.remedy.text, 'delete Job setup')
  assert.equal(first!.remedy.action, {
    do: 'delete',
    ref: { apiVersion: 'batch/v1', kind: 'Job', name: 'setup', namespace: 'oas-apps' },
    uid: job.metadata.uid,
  })
  const [second] = judge(indexOf([immutable, source, objectOf('Job', 'oas', 'other')]))
  assert.is(second!.rule, 'retry-due')
  assert.is(second!.remedy.action?.do, 'reconcile')

  const claim = failed(
    'PersistentVolumeClaim/oas-apps/data dry-run failed (Invalid): PersistentVolumeClaim "data" is invalid: spec: Forbidden: spec is immutable after creation',
  )
  const [data] = judge(indexOf([claim, source, objectOf('PersistentVolumeClaim', 'oas-apps', 'data')]))
  assert.is(data!.remedy.action, undefined)
  assert.match(data!.remedy.text, 'would delete its data')
})

const named = (name: string, dependsOn: string[], condition = ready) =>
  fluxObject('Kustomization', name, [condition], {
    spec: { dependsOn: dependsOn.map(each => ({ name: each })) },
  })
const waits = "Ready=False DependencyNotReady: dependency 'flux-system/core' is not ready"

test('a circle of dependencies is told once, with all its members', () => {
  const found = judge(
    indexOf([
      named('a', ['b'], waits),
      named('b', ['c'], waits),
      named('c', ['a'], waits),
      named('d', ['a'], waits),
    ]),
  )
  assert.equal(
    found.filter(({ rule }) => rule === 'dependency-circle').map(({ cause }) => cause),
    ['waits for itself: a → b → c → a'],
  )
  assert.equal(
    found.filter(({ symptom }) => symptom).map(({ subject }) => subject.name),
    ['b', 'c', 'd'],
  )
})

test('who waits for what will not come is a symptom; who waits for what is on its way is none', () => {
  const on = named('core', [], 'Ready=Unknown Progressing: x')
  on.status.conditions[0].lastTransitionTime = NOW
  assert.equal(judge(indexOf([named('wekan', ['core'], waits), on])), [])
  const broken = named('core', [], 'Ready=False BuildFailed: kustomize build failed')
  const found = judge(indexOf([named('deep', ['wekan'], waits), named('wekan', ['core'], waits), broken]))
  assert.equal(
    found.map(({ rule, subject }) => `${subject.name} ${rule}`),
    ['core kustomization-build-failed', 'deep dependency-not-ready', 'wekan dependency-not-ready'],
  )
  assert.is(judge(indexOf([named('wekan', ['nowhere'], waits)]))[0]!.rule, 'dependency-missing')
})

test('what Flux has applied and somebody has deleted is named', () => {
  const object = fluxObject('Kustomization', 'wekan', [ready], {
    status: inventoryOf(
      'oas-apps_wekan_helm.toolkit.fluxcd.io_HelmRelease',
      'oas-apps_values__ConfigMap',
      'oas-apps_env__Secret',
      'oas-apps_wekan_hydra.ory.sh_OAuth2Client',
      'oas-apps_x_example.org_Unknown',
    ),
  })
  const there = { secrets: [shapeOf('oas-apps', 'env', { a: 1 })] }
  const found = judge(indexOf([object, objectOf('ConfigMap', 'oas-apps', 'values')], there))
  assert.equal(
    found.map(({ subject }) => refText(subject)),
    ['HelmRelease oas-apps/wekan', 'OAuth2Client oas-apps/wekan'],
  )
  assert.is(found[0]!.subject.apiVersion, 'helm.toolkit.fluxcd.io/v2')
  const gaps = ['HelmRelease', 'ConfigMap', 'Secret', 'OAuth2Client'].map(what => ({
    what,
    why: 'Forbidden',
  }))
  assert.equal(judge(indexOf([object], { gaps })), [])
  object.metadata.deletionTimestamp = '2026-03-01T11:00:00Z'
  assert.equal(judge(indexOf([object])), [])
})

test('while Flux cannot apply, what is missing is not told beside the reason', () => {
  const told = (state: string) => {
    const object = fluxObject('Kustomization', 'wekan', [state], {
      status: inventoryOf('oas-apps_wekan_hydra.ory.sh_OAuth2Client'),
    })
    return judge(indexOf([object])).some(({ rule }) => rule === 'applied-object-missing')
  }
  const noKind = 'no matches for kind "OAuth2Client" in version "hydra.ory.sh/v1alpha1"'
  assert.not(told(`Ready=False ReconciliationFailed: ${noKind}`))
  assert.ok(told('Ready=False HealthCheckFailed: timeout waiting for: [OAuth2Client]'))
  assert.ok(told(ready))
})

test('a Kustomization that has long not looked at what is fetched is told', () => {
  const fetched = git()
  fetched.status.artifact.lastUpdateTime = '2026-03-01T11:50:00Z'
  const at = (lastAttemptedRevision: string) =>
    fluxObject('Kustomization', 'wekan', [ready], {
      spec: { sourceRef: { kind: 'GitRepository', name: 'openappstack' } },
      status: { lastAttemptedRevision },
    })
  const [finding] = judge(indexOf([fetched, at('main@sha1:old')]))
  assert.is(finding!.rule, 'kustomization-behind')
  assert.match(finding!.cause, 'for 10 minutes')
  assert.equal(judge(indexOf([fetched, at(fetched.status.artifact.revision)])), [])
  fetched.status.artifact.lastUpdateTime = '2026-03-01T11:59:30Z'
  assert.equal(judge(indexOf([fetched, at('main@sha1:old')])), [])
})

test.run()
