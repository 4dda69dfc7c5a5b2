import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { diagnose } from '../../../../lib/diagnosis/diagnose.ts'
import { RULES } from '../../../../lib/diagnosis/rules/index.ts'
import { currentPods } from '../../../../lib/diagnosis/rules/workload-facts.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import {
  keepersOf,
  type Obstacle,
  obstacleOf,
  obstacles,
  Patience,
} from '../../../../lib/rollout/obstacles.ts'
import {
  conditionOf,
  controller,
  facts,
  fluxObject,
  git as gitAt,
  inventoryOf,
  kustomization as kustomizationNamed,
  type Parts,
  pod as podNamed,
  ready,
  release as releaseNamed,
  unready,
} from '../../flux-objects.ts'

/** What may end a wait for all of these objects. */
const causes = (parts: Partial<Parts>): Obstacle[] =>
  diagnose(facts({ sources: [], ...parts }).snapshot, RULES)
    .causes.filter(({ verdict }) => verdict === 'broken')
    .map(obstacleOf)
    .filter(({ grace }) => grace < Number.POSITIVE_INFINITY)
/** The one thing that may end it. */
function only(parts: Partial<Parts>) {
  const found = causes(parts)
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

test('a chart whose repository is still being fetched may wait, whatever waits for it; one that failed ends the wait', () => {
  const waiting = fluxObject(
    'HelmChart',
    'oas-loki',
    ['FetchFailed=True', 'Ready=False'].map(
      type => `${type} NoSourceArtifact: no artifact available for HelmRepository source 'grafana'`,
    ),
    { spec: { chart: 'loki', version: '18.11.0', sourceRef: { kind: 'HelmRepository', name: 'grafana' } } },
  )
  const fetching = fluxObject(
    'HelmRepository',
    'grafana',
    ['Reconciling=True Progressing: building artifact', 'Ready=Unknown Progressing: building artifact'],
    { spec: { url: 'http://127.0.0.1:40403/charts' } },
  )
  const told = (sources: KubeObject[]) =>
    diagnose(facts({ sources }).snapshot, RULES)
      .causes.flatMap(cause => [cause, ...cause.explains])
      .find(({ rule }) => rule === 'chart-waits-for-repository')!
  const passing = told([waiting, fetching])
  const unhealthy = { ...passing, rule: 'kustomization-unhealthy', timing: undefined }
  assert.is(obstacleOf({ ...passing, explains: [unhealthy] }).grace, 90)
  const lasting = told([waiting, repository('404 Not Found')])
  assert.is(obstacleOf({ ...lasting, explains: [unhealthy] }).grace, 30)
  assert.is(
    only({ sources: [waiting, repository('404 Not Found')] }).subject,
    'HelmRepository flux-system/grafana',
  )
})

for (const [what, source, fix] of [
  [
    'a branch that does not exist',
    git(`${checkout}unable to clone '${url}': couldn't find remote ref "refs/heads/mian"`),
    /^the branch "mian" is not in http.*git_branch/,
  ],
  [
    'a repository that wants credentials',
    git(`${checkout}unable to clone '${url}': authentication required: Unauthorized`),
    /requires credentials/,
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
    /requires credentials/,
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
  for (const [message, cause] of [
    [
      'kustomization path not found: stat /tmp/kustomization-1464362706/flux2/core: no such file or directory',
    ],
    [
      'unable to get source \'flux-system/openappstack\': GitRepository.source.toolkit.fluxcd.io "openappstack" not found',
      'its source flux-system/openappstack does not exist',
    ],
  ] as const)
    assert.is(only({ kustomizations: [kustomization(`ArtifactFailed: ${message}`)] }).cause, cause ?? message)
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
  const waits = fluxObject('HelmRelease', 'loki', ['Ready=Unknown Progressing: x'], {
    namespace: 'oas',
    spec: {
      chart: { spec: { sourceRef: { kind: 'HelmRepository', name: 'grafana', namespace: 'flux-system' } } },
    },
  })
  const found = causes({
    kustomizations: [
      {
        ...unhealthy,
        status: { ...unhealthy.status, ...inventoryOf('oas_loki_helm.toolkit.fluxcd.io_HelmRelease') },
      },
    ],
    helmReleases: [waits],
    sources: [
      repository(': 404 Not Found'),
      chart("no artifact available for HelmRepository source 'grafana'"),
    ],
  })
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

const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString()
const pod = (status: Record<string, unknown>, spec: Record<string, unknown> = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'loki-0', namespace: 'oas', creationTimestamp: minutesAgo(10) },
  spec: { nodeName: 'server', containers: [{ name: 'loki', image: 'grafana/lokki:3.7.6' }], ...spec },
  status: { phase: 'Pending', startTime: minutesAgo(10), ...status },
})
const waiting = (reason: string, message?: string, more = {}) =>
  pod({
    containerStatuses: [{ name: 'loki', restartCount: 3, state: { waiting: { reason, message } }, ...more }],
  })

for (const [reason, message, cause, fix] of [
  [
    'CrashLoopBackOff',
    'back-off 40s restarting failed container=loki',
    /^container loki /,
    /scripts\/logs\.ts oas\/loki-0 --container loki --previous/,
  ],
  [
    'ImagePullBackOff',
    'Back-off pulling image "grafana/lokki:3.7.6"',
    /image grafana\/lokki:3\.7\.6 cannot be pulled/,
    /name of the image/,
  ],
  [
    'ErrImagePull',
    'rpc error: code = NotFound desc = failed to pull: grafana/lokki:3.7.6: not found',
    /docker\.io has no image grafana\/lokki:3\.7\.6/,
    /the name or the tag of the image/,
  ],
  [
    'ErrImagePull',
    'toomanyrequests: You have reached your pull rate limit',
    /too many pulls/,
    /^wait: the limit passes by itself/,
  ],
  [
    'InvalidImageName',
    'Failed to apply default image tag "A:"',
    /"grafana\/lokki:3\.7\.6"/,
    /name of the image/,
  ],
  [
    'CreateContainerConfigError',
    "couldn't find key token in ConfigMap oas/x",
    /needs its key token/,
    /add the key/,
  ],
  [
    'RunContainerError',
    'exec: "/x": stat /x: no such file or directory',
    /stat \/x: no such file or directory/,
    /kubectl -n oas describe pod loki-0/,
  ],
] as const)
  test(`a container in ${reason} is named with its cause: ${message.slice(0, 20)}`, () => {
    const found = only({ pods: [waiting(reason, message)] })
    assert.match(
      found.subject,
      reason === 'CreateContainerConfigError' ? 'ConfigMap oas/x' : 'Pod oas/loki-0',
    )
    assert.match(found.cause, cause)
    assert.match(found.fix, fix)
    assert.match(found.fix, /; then run the same command again$/)
  })

test('a container that ran out of memory needs more of it', () => {
  const lastState = { terminated: { reason: 'OOMKilled', exitCode: 137 } }
  const { cause, fix } = only({ pods: [waiting('CrashLoopBackOff', undefined, { lastState })] })
  assert.match(cause, 'out of memory')
  assert.match(fix, 'more memory')
})

test('an init container counts as well', () => {
  const state = { waiting: { reason: 'CrashLoopBackOff' } }
  const initContainerStatuses = [{ name: 'wp-cli', restartCount: 3, state }]
  assert.match(only({ pods: [pod({ initContainerStatuses })] }).cause, 'container wp-cli')
})

test('a pod without a place is told by what the scheduler lacks', () => {
  const conditions = [
    conditionOf('PodScheduled=False Unschedulable: 0/1 nodes are available: 1 Insufficient memory.'),
  ]
  assert.match(only({ pods: [pod({ conditions }, { nodeName: undefined })] }).cause, 'enough memory')
})

test('pods that start, run or have ended are no cause', () => {
  const running = pod({
    phase: 'Running',
    containerStatuses: [{ name: 'x', ready: true, state: { running: {} }, restartCount: 9 }],
  })
  const conditions = [conditionOf('PodScheduled=True X: ')]
  assert.equal(
    causes({
      pods: [waiting('ContainerCreating'), waiting('PodInitializing'), running, pod({ conditions }), pod({})],
    }),
    [],
  )
})

test('Flux itself has to run', () => {
  assert.equal(
    causes({
      workloads: [controller('helm-controller', 1, 1), controller('source-controller', undefined, 1)],
    }),
    [],
  )
  const down = controller('helm-controller', 1)
  down.status.conditions = [conditionOf('Available=False MinimumReplicasUnavailable: x')]
  assert.match(only({ workloads: [down] }).cause, 'not running')
  assert.match(only({ workloads: [controller('helm-controller', 0)] }).cause, 'scaled to 0')
})

test('a controller that processes no requests is named, one that is busy with another object is not', () => {
  const requestedAt = minutesAgo(1)
  const asked = fluxObject('HelmRelease', 'x', ['Ready=True Succeeded: x'], {
    annotations: { 'reconcile.fluxcd.io/requestedAt': requestedAt },
  })
  const busy = (kind: 'HelmRelease' | 'Kustomization') => {
    const object = fluxObject(kind, 'busy', [
      'Reconciling=True Progressing: x',
      'Ready=Unknown Progressing: x',
    ])
    object.status.conditions[0].lastTransitionTime = requestedAt
    return object
  }
  assert.is(only({ helmReleases: [asked] }).subject, 'Deployment flux-system/helm-controller')
  assert.equal(causes({ helmReleases: [asked, busy('HelmRelease')] }), [])
  assert.is(causes({ helmReleases: [asked], kustomizations: [busy('Kustomization')] }).length, 1)
  asked.status.lastHandledReconcileAt = requestedAt
  assert.equal(causes({ helmReleases: [asked] }), [])
})

test('every cause is told, and what is healthy or on its way is no cause', () => {
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
    workloads: [controller('source-controller', 0)],
  })
  assert.equal(
    new Set(found.map(({ subject }) => subject.split(' ')[0])),
    new Set(['Deployment', 'HelmRepository', 'Pod', 'HelmRelease', 'Kustomization']),
  )
})

test('a long message is cut', () => {
  assert.ok(only({ helmReleases: [release(`Ready=False X: ${'long '.repeat(1000)}`)] }).cause.length < 1000)
})

// Which of them count for a Kustomization.

const broken = (name: string, labels: Record<string, string> = {}) => {
  const made = podNamed(name, labels)
  const { spec, status } = waiting('InvalidImageName')
  return { ...made, spec, status }
}
/** A workload of a release, and its pod that does not start. */
const workloadOf = (name: string, kind = 'StatefulSet'): KubeObject => ({
  apiVersion: 'apps/v1',
  kind,
  metadata: { name, namespace: 'oas-apps', uid: name, labels: { 'app.kubernetes.io/instance': name } },
  spec: { replicas: 1 },
})
const ownedBy = (owner: string, made: KubeObject): KubeObject => ({
  ...made,
  metadata: {
    ...made.metadata,
    ownerReferences: [
      { apiVersion: 'apps/v1', kind: 'StatefulSet', name: owner, uid: owner, controller: true },
    ],
  },
})
const subjects = (names: string[], parts: Partial<Parts>) =>
  obstacles(facts(parts), names)
    .filter(({ grace }) => grace < Number.POSITIVE_INFINITY)
    .map(({ subject }) => subject.replace(/^.*\//, ''))
    .sort()

test('only what a Kustomization depends on keeps it waiting, all the way down', () => {
  const names = ['infrastructure', 'core', 'wekan', 'nextcloud']
  const parts: Partial<Parts> = {
    kustomizations: [
      // Dependants first: one pass over the list does not find the whole chain.
      kustomizationNamed('infrastructure', [], unready),
      kustomizationNamed('core', ['infrastructure'], unready),
      kustomizationNamed('wekan', ['core'], ready, 'oas-apps_mongo_apps_StatefulSet'),
      kustomizationNamed('nextcloud', ['core']),
    ],
    helmReleases: names.map(name => releaseNamed(name, 'Ready=Unknown Progressing: x')),
    workloads: ['wekan', 'core', 'mongo', 'nextcloud'].map(name => workloadOf(name)),
    pods: [
      ownedBy('wekan', broken('wekan-1')),
      broken('core-1', { 'app.kubernetes.io/instance': 'core' }),
      ownedBy('mongo', broken('mongo-0')),
      ownedBy('nextcloud', broken('nextcloud-1')),
      broken('stray'),
    ],
  }
  // The Kustomizations that are broken by themselves stand beside the pods.
  assert.equal(
    subjects(['wekan'], parts).filter(name => /\d$/.test(name)),
    ['core-1', 'mongo-0', 'wekan-1'],
  )
  // What is wrong in a dependency that is ready keeps nobody waiting.
  const healthy = {
    ...parts,
    kustomizations: [kustomizationNamed('core'), kustomizationNamed('wekan', ['core'])],
  }
  assert.equal(subjects(['wekan'], healthy), ['wekan-1'])
})

test('a failure in a dependency is given time', () => {
  const core = kustomizationNamed('core', [], 'Ready=False BuildFailed: kustomize build failed')
  const found = (names: string[]) =>
    obstacles(
      facts({
        kustomizations: [core, kustomizationNamed('wekan', ['core'], 'Ready=False DependencyNotReady: x')],
        helmReleases: [releaseNamed('core'), releaseNamed('wekan')],
      }),
      names,
    ).map(({ subject, grace }) => `${subject} ${grace}`)
  assert.equal(found(['core']), ['Kustomization flux-system/core 4'])
  assert.equal(found(['wekan']), ['Kustomization flux-system/core 10'])
})

test('what a new commit is about to change tells nothing', () => {
  const progressing = kustomizationNamed('wekan', [], 'Ready=Unknown Progressing: x')
  const parts = (attempted: string): Partial<Parts> => ({
    kustomizations: [{ ...progressing, status: { ...progressing.status, lastAttemptedRevision: attempted } }],
    helmReleases: [releaseNamed('wekan', 'Ready=False ValuesError: x')],
    workloads: [workloadOf('wekan')],
    sources: [gitAt('main@sha1:new')],
    pods: [ownedBy('wekan', broken('wekan-1'))],
  })
  assert.equal(subjects(['wekan'], parts('main@sha1:old')), [])
  assert.equal(subjects(['wekan'], parts('main@sha1:new')), ['wekan', 'wekan-1'])
})

test('pods of a release that was requested to reconcile a moment ago do not count', () => {
  const now = new Date().toISOString()
  const earlier = minutesAgo(1)
  const pods = (requestedAt: string, lastHandledReconcileAt: string) => {
    const asked = releaseNamed('wekan')
    asked.metadata.annotations = { 'reconcile.fluxcd.io/requestedAt': requestedAt }
    asked.status = { ...asked.status, lastHandledReconcileAt }
    return subjects(['wekan'], {
      kustomizations: [kustomizationNamed('wekan')],
      helmReleases: [asked],
      workloads: [workloadOf('wekan')],
      pods: [ownedBy('wekan', broken('wekan-1'))],
    }).filter(name => name === 'wekan-1').length
  }
  assert.is(pods(now, earlier), 0)
  assert.is(pods(now, now), 1)
  // Helm may wait for a failing pod for half an hour.
  assert.is(pods(earlier, ''), 1)
  assert.is(pods('by hand', ''), 1)
})

test('pods of an old ReplicaSet, and pods that are going, do not count', () => {
  const set = (uid: string, revision: string, deployment = 'd'): KubeObject => ({
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: uid,
      uid,
      annotations: { 'deployment.kubernetes.io/revision': revision },
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'Deployment', name: deployment, uid: deployment, controller: true },
      ],
    },
  })
  const of = (name: string, owner?: string, deletionTimestamp?: string): KubeObject => {
    const made = podNamed(name, {})
    const ownerReferences = owner
      ? [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: owner, uid: owner, controller: true }]
      : undefined
    return { ...made, metadata: { ...made.metadata, ownerReferences, deletionTimestamp } }
  }
  const pods = [
    of('old', 'nine'),
    of('new', 'ten'),
    of('other', 'single'),
    of('alone'),
    of('going', 'ten', 'now'),
  ]
  const kept = currentPods(pods, [set('nine', '9'), set('ten', '10'), set('single', '1', 'e')])
  assert.equal(
    kept.map(each => each.metadata.name),
    ['new', 'other', 'alone'],
  )
})

test('an obstacle ends a wait once it has lasted as long as it may', () => {
  const obstacle = (grace: number) => ({ subject: 'Pod a/b', cause: 'is broken', fix: 'repair it', grace })
  assert.is(new Patience().exhausted([obstacle(0)])?.grace, 0)
  assert.is(new Patience(20).exhausted([obstacle(0)])?.grace, 0)
  assert.is(new Patience().exhausted([obstacle(60), obstacle(Number.POSITIVE_INFINITY)]), undefined)
  const impatient = new Patience()
  assert.is(impatient.exhausted([obstacle(0.001)]), undefined)
  const end = performance.now() + 5
  while (performance.now() < end);
  assert.is(impatient.exhausted([obstacle(0.001)])?.grace, 0.001)
  // What was gone meanwhile starts again.
  impatient.exhausted([])
  assert.is(impatient.exhausted([obstacle(0.001)]), undefined)
})

test('of what is to go its finalizer is told, or the controller of Flux that does not run; no pod beside it', () => {
  const kustomization = fluxObject('Kustomization', 'loki', [ready])
  Object.assign(kustomization.metadata, {
    deletionTimestamp: new Date(Date.now() - 600_000).toISOString(),
    finalizers: ['finalizers.fluxcd.io'],
  })
  const kept = (...workloads: KubeObject[]) => {
    const { snapshot } = facts({ kustomizations: [kustomization], helmReleases: [failing], workloads })
    return keepersOf([kustomization, failing], snapshot).map(({ subject }) => subject)
  }
  const failing = release(`Ready=False InstallFailed: ${failedInstall('execution error at (x)')}`)
  assert.equal(kept(), ['Kustomization flux-system/loki'])
  assert.equal(kept(controller('kustomize-controller', 0)), ['Deployment flux-system/kustomize-controller'])

  const client: KubeObject = {
    apiVersion: 'hydra.ory.sh/v1alpha1',
    kind: 'OAuth2Client',
    metadata: { name: 'x' },
  }
  Object.assign(client.metadata, {
    deletionTimestamp: new Date(Date.now() - 20_000).toISOString(),
    finalizers: ['finalizer.ory.hydra.sh'],
  })
  const [young] = keepersOf([client], facts({ workloads: [client] }).snapshot)
  assert.match(young!.cause, 'nothing has removed its finalizer finalizer.ory.hydra.sh')
})

test.run()
