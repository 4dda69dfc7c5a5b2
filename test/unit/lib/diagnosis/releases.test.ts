import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { releaseFailure, rules } from '../../../../lib/diagnosis/rules/releases.ts'
import type { Index } from '../../../../lib/diagnosis/snapshot.ts'
import { refOf, refText } from '../../../../lib/kubectl/kubectl.ts'
import { fluxObject, ready } from '../../flux-objects.ts'
import { indexOf, objectOf, shapeOf } from './snapshots.ts'

// Messages are those of helm-controller 1.6.4 and of helm.sh/helm/v4.

const judge = (index: Index) => rules.flatMap(rule => rule(index))
const release = (...conditions: string[]) =>
  fluxObject('HelmRelease', 'wekan', conditions, { namespace: 'oas-apps', status: { failures: 1 } })
const failed = (reason: string) =>
  release(
    `Ready=False UpgradeFailed: Helm upgrade failed for release oas-apps/wekan with chart wekan@11.7.0: ${reason}`,
  )

for (const [reason, rule, remedy, symptom] of [
  [
    "values don't meet the specifications of the schema(s) in the following chart(s):\nwekan:\n- at '/replicaCount': got string, want integer\n",
    'release-values-rejected',
    /correct the values/,
    undefined,
  ],
  [
    'execution error at (wekan/templates/x.yaml:1:3): no mail server',
    'release-values-rejected',
    /override/,
    undefined,
  ],
  [
    'chart requires kubeVersion: >=9.0.0 which is incompatible with Kubernetes v1.36.4',
    'release-kubernetes-too-old',
    /upgrade Kubernetes/,
    undefined,
  ],
  ['context deadline exceeded', 'release-timeout', /see its pods/, true],
  [
    'another operation (install/upgrade/rollback) is in progress',
    'release-locked',
    /Secret of the pending/,
    true,
  ],
  [
    'failed to create resource: services "x" is forbidden: exceeded quota: few, requested: count/services=1, used: count/services=5, limited: count/services=5',
    'quota-exceeded',
    /raise the ResourceQuota few in oas-apps/,
    true,
  ],
  [
    'unable to build kubernetes objects from release manifest: resource mapping not found for name: "x" namespace: "" from "": no matches for kind "ServiceMonitor" in version "monitoring.coreos.com/v1"',
    'kind-missing',
    /kube-prometheus-stack/,
    true,
  ],
  ['something new', 'release-failed', /see its pods/, undefined],
] as const)
  test(`${rule}: ${reason.slice(0, 30)}`, () => {
    const [finding, ...more] = judge(indexOf([failed(reason)]))
    assert.equal(more, [])
    assert.is(finding?.rule, rule)
    assert.match(finding!.remedy.text, remedy)
    assert.is(finding!.symptom, symptom)
    assert.is(finding!.remedy.action?.do, 'reconcile')
  })

test('the quota that refuses is told with what is wanted', () => {
  const [finding] = judge(
    indexOf([
      failed('x is forbidden: exceeded quota: few, requested: pods=1, used: pods=5, limited: pods=5'),
    ]),
  )
  assert.is(finding!.cause, 'the quota few refuses it: pods=1 are wanted, pods=5 is the limit')
  assert.equal(finding!.causedBy?.map(refText), ['ResourceQuota oas-apps/few'])
})

test('an action that was cut off has no cause to remove: it is tried again, or has to be', () => {
  const cut = failed(
    'Helm upgrade failed for release oas-apps/wekan with chart wekan@11.07.0: context canceled',
  )
  assert.equal(releaseFailure(cut)?.timing, 'retried')
  const stalled = { type: 'Stalled', status: 'True', reason: 'RetriesExceeded', message: 'Failed to upgrade' }
  const over = { ...cut, status: { ...cut.status, conditions: [...cut.status.conditions, stalled] } }
  const [finding] = judge(indexOf([over]))
  assert.equal([finding!.rule, finding!.timing], ['release-interrupted', 'final'])
  assert.match(finding!.remedy.text, 'no cause is left to remove: have it retried')
  assert.equal(finding!.remedy.action, { do: 'reconcile', ref: refOf(over), reset: true })
})

test('exhausted tries are given anew, with the reason that stands behind a rollback', () => {
  const stalled = 'Stalled=True RetriesExceeded: Failed to upgrade after 4 attempt(s)'
  const [slow] = judge(
    indexOf([release(stalled, 'Ready=False UpgradeFailed: Helm upgrade failed: context deadline exceeded')]),
  )
  assert.is(slow!.rule, 'release-retries-exhausted')
  assert.match(slow!.remedy.text, 'flux reconcile helmrelease wekan -n oas-apps --reset')
  const [rolled] = judge(
    indexOf([
      release(
        stalled,
        'Ready=False RollbackSucceeded: Helm rollback to previous release oas-apps/wekan.v1 with chart wekan@11.7.0 succeeded',
        'Released=False UpgradeFailed: Helm upgrade failed: Service "wekan" is invalid: spec.ports[0].port: Invalid value: 99999',
      ),
    ]),
  )
  assert.is(rolled!.rule, 'release-values-rejected')
  assert.match(rolled!.cause, '99999')
})

test('while Helm tries again its last failure is told', () => {
  const [finding] = judge(
    indexOf([
      release(
        'Ready=Unknown Progressing: x',
        "Released=False UpgradeFailed: values don't meet the specifications of the schema",
      ),
    ]),
  )
  assert.is(finding!.rule, 'release-values-rejected')
})

test('values that are missing, and a chart that is not ready, lead to their own findings', () => {
  const [values] = judge(
    indexOf([
      release(
        'Ready=False ValuesError: could not resolve ConfigMap chart values reference: configmaps "x" not found',
      ),
    ]),
  )
  assert.is(values!.rule, 'release-values-missing')
  assert.is(values!.symptom, true)
  const [chart] = judge(
    indexOf([
      release("Ready=False SourceNotReady: HelmChart 'flux-system/x' is not ready: no chart name found"),
    ]),
  )
  assert.is(chart!.rule, 'release-waits-for-chart')
  assert.is(chart!.symptom, true)
})

const b64enc =
  'template: single-sign-on/templates/secret-oauth2-clients.yaml:9:55: executing "single-sign-on/templates/secret-oauth2-clients.yaml" at <b64enc>: invalid value; expected string'

test('the docs’ known issue: b64enc of an empty generated secret', () => {
  const object = failed(b64enc)
  object.metadata.labels = {
    'kustomize.toolkit.fluxcd.io/name': 'core',
    'kustomize.toolkit.fluxcd.io/namespace': 'flux-system',
  }
  const core = fluxObject('Kustomization', 'core', [ready], {
    spec: { postBuild: { substituteFrom: [{ kind: 'Secret', name: 'oas-oauth-variables' }] } },
  })
  const catalogue = [{ namespace: 'flux-system', name: 'oas-oauth-variables', app: 'core', keys: ['a', 'b'] }]
  const seen = (keys: Record<string, number>) =>
    judge(
      indexOf([object, core], { catalogue, secrets: [shapeOf('flux-system', 'oas-oauth-variables', keys)] }),
    )[0]!
  assert.equal(seen({ a: 32, b: 0 }).causedBy?.map(refText), ['Secret flux-system/oas-oauth-variables'])
  assert.is(seen({ a: 32, b: 0 }).symptom, true)
  assert.is(seen({ a: 32, b: 32 }).symptom, undefined, 'then it is a matter of the values')
})

const immutable = failed(
  'cannot patch "wekan" with kind Deployment: Deployment.apps "wekan" is invalid: spec.selector: Invalid value: {}: field is immutable',
)

test('what cannot be changed is deleted, then the release tries again', () => {
  const deployment = objectOf('Deployment', 'oas-apps', 'wekan', { apiVersion: 'apps/v1' })
  const [first] = judge(indexOf([immutable, deployment]))
  assert.is(first!.rule, 'field-immutable')
  assert.is(first!.remedy.action?.do, 'delete')
  const [second] = judge(indexOf([immutable, objectOf('Deployment', 'oas', 'other')]))
  assert.is(second!.rule, 'retry-due')
  assert.is(second!.remedy.action?.do === 'reconcile' && second!.remedy.action.reset, true)
})

const running = "Ready=Unknown Progressing: Running 'upgrade' action with timeout of 15m0s"
const left = (created: string) => ({
  secrets: [
    {
      ...shapeOf('oas-apps', 'sh.helm.release.v1.wekan.v2', {}),
      labels: { owner: 'helm', status: 'pending-upgrade', name: 'wekan', version: '2' },
      uid: 'u',
      created,
    },
  ],
})

test('a revision that is pending, and nobody works on it', () => {
  const object = release(running)
  object.spec.timeout = '10m'
  object.status.conditions[0].lastTransitionTime = '2026-03-01T11:51:00Z'
  assert.equal(judge(indexOf([object], left('2026-03-01T11:51:00Z'))), [], 'Helm may be at work')
  const [finding] = judge(indexOf([object], left('2026-03-01T11:40:00Z'))).filter(
    each => each.rule === 'release-pending',
  )
  assert.match(finding!.cause, 'revision 2 has been pending-upgrade for 20 min')
  assert.is(finding!.remedy.action?.do, 'reconcile')

  const idle = judge(indexOf([release(ready)], left('2026-03-01T11:58:00Z')))
  assert.is(idle[0]!.rule, 'release-pending')
  assert.equal(judge(indexOf([release(ready)], left('2026-03-01T11:59:30Z'))), [])
})

test('Flux before 2.2 does not unlock a release: its pending revision is deleted', () => {
  const old = { ...release(ready), apiVersion: 'helm.toolkit.fluxcd.io/v2beta1' }
  const action = judge(indexOf([old], left('2026-03-01T11:50:00Z')))[0]!.remedy.action
  assert.is(action?.do === 'delete' && action.uid, 'u')
})

test('a release that waits for pods which do not start is a symptom of them', () => {
  const pod = objectOf('Pod', 'oas-apps', 'wekan-0', {
    metadata: { labels: { 'app.kubernetes.io/instance': 'wekan' } },
    status: { containerStatuses: [{ name: 'x', state: { waiting: { reason: 'CrashLoopBackOff' } } }] },
  })
  const object = release(running)
  object.status.failures = 0
  object.status.conditions[0].lastTransitionTime = '2026-03-01T11:59:00Z'
  assert.equal(judge(indexOf([object])), [])
  const [finding] = judge(indexOf([object, pod]))
  assert.is(finding!.rule, 'release-waits-for-pods')
  assert.is(finding!.symptom, true)
})

test('what is ready, on its way or suspended is no finding', () => {
  const suspended = failed('x')
  suspended.spec.suspend = true
  assert.equal(judge(indexOf([release(ready), suspended, fluxObject('HelmRelease', 'new', [])])), [])
})

test.run()
