import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Facts, findCauses } from '../../../../lib/diagnosis/causes.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { conditionOf, fluxObject } from '../../flux-objects.ts'

const none: Facts = { sources: [], kustomizations: [], helmReleases: [], pods: [], controllers: [], busy: [] }
const causes = (facts: Partial<Facts>) => findCauses({ ...none, ...facts })
/** The one cause of these facts. */
function only(facts: Partial<Facts>) {
  const found = causes(facts)
  assert.is(found.length, 1, JSON.stringify(found))
  return found[0]!
}

// Messages are those of source-controller 1.9.5, kustomize-controller 1.9.5, helm-controller 1.6.4 and the
// libraries below them (go-git, helm.sh/helm/v4, fluxcd/pkg).

const url = 'http://127.0.0.1:34033/openappstack.git'
const git = (message: string, reason = 'GitOperationFailed') =>
  fluxObject(
    'GitRepository',
    'openappstack',
    [`FetchFailed=True ${reason}: ${message}`, `Ready=False ${reason}: ${message}`],
    { spec: { url, ref: { branch: 'mian' } } },
  )
const checkout = 'failed to checkout and determine revision: '
const chart = (message: string, ready = 'Ready=False') =>
  fluxObject(
    'HelmChart',
    'oas-loki',
    [`FetchFailed=True ChartPullError: ${message}`, `${ready} ChartPullError: ${message}`],
    { spec: { chart: 'loki', version: '18.11.0', sourceRef: { kind: 'HelmRepository', name: 'grafana' } } },
  )
const repository = (message: string) =>
  fluxObject(
    'HelmRepository',
    'grafana',
    [`Ready=False Failed: failed to fetch Helm repository index: ${message}`],
    {
      spec: { url: 'http://127.0.0.1:40403/charts' },
    },
  )

for (const [what, source, fix] of [
  [
    'a branch that does not exist',
    git(`${checkout}unable to clone '${url}': couldn't find remote ref "refs/heads/mian"`),
    /^the branch "mian" is not in http.*git_branch/,
  ],
  [
    'a repository that wants credentials',
    git(`${checkout}unable to clone '${url}': authentication required: Unauthorized`),
    /wants credentials/,
  ],
  [
    'a repository that is not there',
    git(`${checkout}unable to clone: repository not found`),
    /nothing is served at http/,
  ],
  [
    'a Git server that does not listen',
    git(
      `${checkout}unable to clone '${url}': Get "${url}/info/refs?service=git-upload-pack": dial tcp 127.0.0.1:34033: connect: connection refused`,
    ),
    /cannot reach http/,
  ],
  [
    'a host without an address',
    git(`${checkout}unable to clone '${url}': Get "${url}": dial tcp: lookup git.invalid: no such host`),
    /cannot reach http/,
  ],
  [
    'a mirror that does not listen on a port like a status',
    repository(
      'failed to fetch http://127.0.0.1:40403/charts/index.yaml: Get "http://127.0.0.1:40403/charts/index.yaml": dial tcp 127.0.0.1:40403: connect: connection refused',
    ),
    /cannot reach http/,
  ],
  [
    'a mirror without an index',
    repository('failed to fetch http://m.example/index.yaml : 404 Not Found'),
    /nothing is served at http/,
  ],
  [
    'a mirror with a password',
    repository('failed to fetch http://m.example/index.yaml : 401 Unauthorized'),
    /wants credentials/,
  ],
  [
    'a chart version that is not offered',
    chart(
      "invalid chart reference: failed to get chart version for remote reference: no 'loki' chart with version matching '18.11.0' found",
    ),
    /^the repository grafana does not offer loki 18\.11\.0/,
  ],
  [
    'a chart that is not offered',
    chart('invalid chart reference: failed to get chart version for remote reference: no chart name found'),
    /^the repository grafana does not offer loki/,
  ],
  [
    'a chart that the index promises in vain',
    chart(
      'chart pull error: failed to download chart for remote reference: failed to fetch http://m.example/loki-18.11.0.tgz : 404 Not Found',
    ),
    /grafana/,
  ],
] as const)
  test(`${what} is named with its remedy`, () => {
    const cause = only({ sources: [source] })
    assert.match(cause.fix, fix)
    assert.not.match(cause.fix, 'undefined')
    assert.ok(cause.grace > 0 && cause.grace <= 5)
    assert.is(cause.cause, source.status.conditions.at(-1).message)
  })

test('while a fetch is retried the reason for it is still told', () => {
  const message = `${checkout}unable to clone '${url}': couldn't find remote ref "refs/heads/mian"`
  const source = git(message)
  source.status.conditions[1] = conditionOf('Ready=Unknown Progressing: reconciliation in progress')
  assert.match(only({ sources: [source] }).fix, 'git_branch')
})

test('a chart whose repository is not fetched yet is no cause', () => {
  const message = "no artifact available for HelmRepository source 'grafana'"
  for (const ready of ['Ready=False', 'Ready=Unknown'])
    assert.equal(causes({ sources: [chart(message, ready)] }), [], ready)
})

test('what is suspended is told with the command that resumes it', () => {
  const suspended = { spec: { suspend: true } }
  const facts = {
    sources: [fluxObject('GitRepository', 'openappstack', [], suspended)],
    helmReleases: [fluxObject('HelmRelease', 'loki', [], { ...suspended, namespace: 'oas' })],
    kustomizations: [fluxObject('Kustomization', 'core', [], suspended)],
  }
  assert.equal(
    causes(facts).map(({ fix }) => /flux resume .*? -n [\w-]+/.exec(fix)?.[0]),
    [
      'flux resume source git openappstack -n flux-system',
      'flux resume helmrelease loki -n oas',
      'flux resume kustomization core -n flux-system',
    ],
  )
})

const kustomization = (ready: string) =>
  fluxObject('Kustomization', 'core', [`Ready=False ${ready}`], { spec: { path: './flux2/core' } })

test('an undefined variable is named', () => {
  const cause = only({
    kustomizations: [
      kustomization(
        'BuildFailed: post build failed for \'/v1, Kind=ConfigMap/oas-loki-values\': variable substitution failed: variable not set (strict mode): "domian"',
      ),
    ],
  })
  // biome-ignore lint/suspicious/noTemplateCurlyInString: that is how it is written in the manifest
  assert.is(cause.cause, 'the variable ${domian} is used in ./flux2/core and defined nowhere')
  assert.match(cause.fix, 'install-core')
})

test('a missing Secret of variables is named', () => {
  const cause = only({
    kustomizations: [
      kustomization(
        "BuildFailed: post build failed for '/v1, Kind=Namespace/oas': substitute from 'Secret/oas-oauth-variables' error: secrets \"oas-oauth-variables\" not found",
      ),
    ],
  })
  assert.match(cause.fix, 'it creates oas-oauth-variables')
})

test('a path that is not in the repository, or a missing source, is the Kustomization’s own matter', () => {
  for (const message of [
    'kustomization path not found: stat /tmp/kustomization-1464362706/flux2/core: no such file or directory',
    'unable to get source \'flux-system/openappstack\': GitRepository.source.toolkit.fluxcd.io "openappstack" not found',
  ])
    assert.is(only({ kustomizations: [kustomization(`ArtifactFailed: ${message}`)] }).cause, message)
  for (const message of [
    'Source artifact not found, retrying in 5s',
    'Source is not ready, artifact not found, retrying in 5s',
  ])
    assert.equal(causes({ kustomizations: [kustomization(`ArtifactFailed: ${message}`)] }), [])
})

test('what the API server refuses counts soon, what passes by itself does not', () => {
  const invalid =
    'ReconciliationFailed: Deployment/oas/x dry-run failed (Invalid): spec.replicas: Invalid value: -1'
  assert.ok(only({ kustomizations: [kustomization(invalid)] }).grace <= 5)
  for (const message of [
    'ReconciliationFailed: ClusterIssuer/letsencrypt-staging dry-run failed (InternalError): Internal error occurred: failed calling webhook "webhook.cert-manager.io": failed to call webhook: Post "https://cert-manager-webhook.cert-manager.svc:443/validate?timeout=30s": dial tcp 10.43.1.2:443: connect: connection refused',
    'ReconciliationFailed: ServiceMonitor/oas/loki dry-run failed: no matches for kind "ServiceMonitor" in version "monitoring.coreos.com/v1"',
  ])
    assert.ok(only({ kustomizations: [kustomization(message)] }).grace >= 30, message)
})

const unhealthy = kustomization(
  "HealthCheckFailed: health check failed after 5m0s: timeout waiting for: [HelmRelease/oas/loki status: 'InProgress']",
)

test('a failed health check counts only when nothing below it has failed', () => {
  assert.match(only({ kustomizations: [unhealthy] }).fix, 'scripts/diagnose.ts')
  const found = causes({ kustomizations: [unhealthy], sources: [repository(': 404 Not Found')] })
  assert.equal(
    found.map(cause => cause.subject),
    ['HelmRepository flux-system/grafana'],
  )
})

const release = (...conditions: string[]) =>
  fluxObject('HelmRelease', 'loki', conditions, {
    namespace: 'oas',
    status: { failures: 1, installFailures: 1 },
  })
const failedInstall = (reason: string) =>
  `Helm install failed for release oas/loki with chart loki@18.11.0: ${reason}`

for (const reason of [
  "values don't meet the specifications of the schema(s) in the following chart(s):\nloki:\n- at '/replicas': got string, want integer\n",
  'execution error at (loki/templates/validate.yaml:31:4): You must provide a schema_config',
  'failed to create resource: Deployment.apps "loki" is invalid: spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is \'Recreate\'',
  'template: loki/templates/x.yaml:1:3: executing "x" at <.Values.a.b>: nil pointer evaluating interface {}.b',
])
  test(`values that a chart rejects end the wait at once: ${reason.slice(0, 30)}`, () => {
    for (const conditions of [
      [
        `Released=False InstallFailed: ${failedInstall(reason)}`,
        `Ready=False InstallFailed: ${failedInstall(reason)}`,
      ],
      [
        `Released=False InstallFailed: ${failedInstall(reason)}`,
        "Ready=Unknown Progressing: Running 'install' action",
      ],
      [
        'Stalled=True RetriesExceeded: Failed to install after 4 attempt(s)',
        `Ready=False InstallFailed: ${failedInstall(reason)}`,
      ],
    ]) {
      const cause = only({ helmReleases: [release(...conditions)] })
      assert.is(cause.grace, 0)
      assert.match(cause.fix, 'correct the values')
      assert.match(cause.cause, reason.split('\n').filter(Boolean).at(-1)!.slice(0, 60))
    }
  })

test('a failure from before the release was given new tries is past', () => {
  const message = failedInstall(
    "values don't meet the specifications of the schema(s) in the following chart(s):",
  )
  const reset = release(`Released=False InstallFailed: ${message}`, 'Ready=Unknown Progressing: x')
  reset.status.failures = 0
  reset.status.installFailures = 0
  assert.equal(causes({ helmReleases: [reset] }), [])
})

test('a release that needs what another one brings is given time', () => {
  const message = failedInstall(
    'unable to build kubernetes objects from release manifest: resource mapping not found for name: "loki" namespace: "oas" from "": no matches for kind "ServiceMonitor" in version "monitoring.coreos.com/v1"\nensure CRDs are installed first',
  )
  for (const ready of [`Ready=False InstallFailed: ${message}`, 'Ready=Unknown Progressing: x'])
    for (const { grace } of causes({
      helmReleases: [release(`Released=False InstallFailed: ${message}`, ready)],
    }))
      assert.ok(grace >= 30, ready)
})

test('exhausted retries are told with their reason and the command that gives new ones', () => {
  const cause = only({
    helmReleases: [
      release(
        'Stalled=True RetriesExceeded: Failed to install after 4 attempt(s)',
        `Ready=False InstallFailed: ${failedInstall('timed out waiting for the condition')}`,
      ),
    ],
  })
  assert.is(cause.grace, 0)
  assert.match(cause.cause, 'timed out waiting')
  assert.match(cause.fix, 'flux reconcile helmrelease loki -n oas --reset')
})

test('a failed install that will be tried again is given time', () => {
  const cause = only({
    helmReleases: [release(`Ready=False InstallFailed: ${failedInstall('context deadline exceeded')}`)],
  })
  assert.ok(cause.grace >= 30)
})

test('missing values are named', () => {
  const message =
    "could not resolve Secret chart values reference 'oas/oas-loki-values' with key 'values.yaml': secrets \"oas-loki-values\" not found"
  assert.is(only({ helmReleases: [release(`Ready=False ValuesError: ${message}`)] }).cause, message)
})

test('a release that waits for its chart is no cause of its own', () => {
  for (const ready of [
    "Ready=False SourceNotReady: HelmChart 'flux-system/oas-loki' is not ready: no chart name found",
    'Ready=False ArtifactFailed: Source not ready: artifact not found. Retrying in 5s',
    "Ready=False DependencyNotReady: dependency 'oas/single-sign-on-database' is not ready",
  ])
    assert.equal(causes({ helmReleases: [release(ready)] }), [], ready)
})

const pod = (status: Record<string, unknown>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'loki-0', namespace: 'oas' },
  status,
})
const waiting = (reason: string, message?: string, more = {}) =>
  pod({
    containerStatuses: [{ name: 'loki', restartCount: 3, state: { waiting: { reason, message } }, ...more }],
  })

for (const [reason, message, fix] of [
  [
    'CrashLoopBackOff',
    'back-off 40s restarting failed container=loki',
    /kubectl logs -n oas loki-0.* --previous/,
  ],
  ['ImagePullBackOff', 'Back-off pulling image "grafana/lokki:3.7.6"', /name of the image/],
  ['ErrImagePull', 'rpc error: code = NotFound', /name of the image/],
  ['InvalidImageName', 'Failed to apply default image tag "A:"', /name of the image/],
  ['CreateContainerConfigError', "couldn't find key token in Secret oas/x", /install-core/],
  [
    'RunContainerError',
    'exec: "/x": stat /x: no such file or directory',
    /kubectl describe pod -n oas loki-0/,
  ],
] as const)
  test(`a container in ${reason} is named with its message`, () => {
    const cause = only({ pods: [waiting(reason, message)] })
    assert.is(cause.subject, 'Pod oas/loki-0')
    assert.is(cause.cause, `container loki is in ${reason}: ${message}`)
    assert.match(cause.fix, fix)
  })

test('a container that ran out of memory needs more of it', () => {
  const lastState = { terminated: { reason: 'OOMKilled', exitCode: 137 } }
  const cause = only({ pods: [waiting('CrashLoopBackOff', undefined, { lastState })] })
  assert.match(cause.cause, 'ended with OOMKilled, exit code 137, 3 restarts')
  assert.match(cause.fix, 'more memory')
})

test('an init container counts as well', () => {
  const state = { waiting: { reason: 'CrashLoopBackOff' } }
  assert.match(
    only({ pods: [pod({ initContainerStatuses: [{ name: 'wp-cli', state }] })] }).cause,
    'container wp-cli',
  )
})

test('a pod without a place is told by the scheduler’s words', () => {
  const conditions = [
    conditionOf('PodScheduled=False Unschedulable: 0/1 nodes are available: 1 Insufficient memory.'),
  ]
  assert.match(only({ pods: [pod({ conditions })] }).cause, '1 Insufficient memory')
})

test('pods that start, run or have ended are no cause', () => {
  const running = pod({ containerStatuses: [{ name: 'x', state: { running: {} }, restartCount: 9 }] })
  const conditions = [conditionOf('PodScheduled=True X: ')]
  assert.equal(
    causes({
      pods: [waiting('ContainerCreating'), waiting('PodInitializing'), running, pod({ conditions }), pod({})],
    }),
    [],
  )
})

const controller = (replicas: number | undefined, readyReplicas?: number): KubeObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'helm-controller', namespace: 'flux-system' },
  spec: { replicas },
  status: { readyReplicas },
})

test('Flux itself has to run', () => {
  assert.equal(causes({ controllers: [controller(1, 1), controller(undefined, 1)] }), [])
  assert.match(only({ controllers: [controller(1)] }).cause, 'not running')
  assert.match(only({ controllers: [controller(0)] }).cause, 'scaled down to 0')
})

test('a controller that looks at nothing is named, one that is busy with another object is not', () => {
  const asked = fluxObject('HelmRelease', 'x', ['Ready=True Succeeded: x'], {
    annotations: { 'reconcile.fluxcd.io/requestedAt': 'now' },
  })
  assert.match(only({ helmReleases: [asked] }).cause, 'helm-controller has not looked at it')
  assert.equal(causes({ helmReleases: [asked], busy: ['HelmRelease'] }), [])
  assert.is(causes({ helmReleases: [asked], busy: ['Kustomization'] }).length, 1)
  asked.status.lastHandledReconcileAt = 'now'
  assert.equal(causes({ helmReleases: [asked] }), [])
})

test('what is deeper comes first, and what is healthy or on its way is no cause', () => {
  const ready = 'Ready=True Succeeded: x'
  assert.equal(
    causes({
      sources: [fluxObject('GitRepository', 'x', [ready])],
      kustomizations: [fluxObject('Kustomization', 'x', [ready]), fluxObject('Kustomization', 'y', [])],
      helmReleases: [fluxObject('HelmRelease', 'x', [ready]), release('Ready=Unknown Progressing: x')],
    }),
    [],
  )
  const found = causes({
    kustomizations: [kustomization('BuildFailed: kustomize build failed')],
    helmReleases: [release('Ready=False ValuesError: x')],
    pods: [waiting('InvalidImageName')],
    sources: [repository('x')],
    controllers: [controller(1)],
  })
  assert.equal(
    found.map(cause => cause.subject.split(' ')[0]),
    ['Deployment', 'HelmRepository', 'Pod', 'HelmRelease', 'Kustomization'],
  )
})

test('a long message is cut', () => {
  assert.ok(only({ helmReleases: [release(`Ready=False X: ${'long '.repeat(1000)}`)] }).cause.length < 1000)
})

test.run()
