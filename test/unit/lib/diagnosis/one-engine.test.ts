/**
 * One set of broken objects through everything that judges: `diagnose`, `status`, `logs`, `report`, `test-cluster`, the
 * waits of `install-*` and of `upgrade-0.7`, and the wait for Flux. All of them name the same cause and the same remedy.
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Diagnosis, diagnose } from '../../../../lib/diagnosis/diagnose.ts'
import type { RootCause } from '../../../../lib/diagnosis/finding.ts'
import { RULES } from '../../../../lib/diagnosis/rules/index.ts'
import { Index } from '../../../../lib/diagnosis/snapshot.ts'
import { statusOf } from '../../../../lib/diagnosis/status.ts'
import { type KubeObject, refOf, refText } from '../../../../lib/kubectl/kubectl.ts'
import { logContainersOf } from '../../../../lib/logs/containers.ts'
import { obstaclesTo } from '../../../../lib/rollout/flux.ts'
import { obstacles, obstaclesOf } from '../../../../lib/rollout/obstacles.ts'
import { reasonText } from '../../../../scripts/logs/reasons.ts'
import { reportOf } from '../../../../scripts/report/facts.ts'
import { judgeObjects, objectChecks } from '../../../../scripts/test-cluster/objects.ts'
import { upgradeFacts } from '../../../../scripts/upgrade-0.7/facts.ts'
import { lasting, TRIES } from '../../../../scripts/upgrade-0.7/reconcile.ts'
import { conditionOf, controller, fluxObject, git, inventoryOf, ready, revision } from '../../flux-objects.ts'
import { objectOf, snapshotOf } from './snapshots.ts'

const EARLIER = '2026-03-01T11:30:00Z'
const ids = (...names: string[]) => names.map(name => `oas-apps_${name}_helm.toolkit.fluxcd.io_HelmRelease`)
const wekan = (condition: string, ...names: string[]) =>
  fluxObject('Kustomization', 'wekan', [condition], {
    spec: { path: './flux2/apps/wekan', sourceRef: { kind: 'GitRepository', name: 'openappstack' } },
    status: {
      lastAppliedRevision: revision,
      lastAttemptedRevision: revision,
      ...inventoryOf(...ids(...names)),
    },
  })
const release = (condition: string) =>
  fluxObject('HelmRelease', 'wekan', [condition], {
    namespace: 'oas-apps',
    spec: { timeout: '60m', chart: { spec: { sourceRef: { kind: 'HelmRepository', name: 'wekan' } } } },
  })
const installing = "Ready=Unknown Progressing: Running 'install' action with timeout of 60m0s"
const repository = (condition: string) =>
  fluxObject('HelmRepository', 'wekan', [condition], {
    namespace: 'oas-apps',
    spec: { url: 'https://charts.example.org' },
  })
const chart = fluxObject(
  'HelmChart',
  'oas-apps-wekan',
  ["Ready=False NoSourceArtifact: no artifact available for HelmRepository source 'wekan'"],
  { namespace: 'oas-apps', spec: { sourceRef: { kind: 'HelmRepository', name: 'wekan' } } },
)
const node = objectOf('Node', undefined, 'server', { status: { conditions: [conditionOf(ready)] } })
const flux = ['source-controller', 'kustomize-controller', 'helm-controller'].map(name =>
  controller(name, 1, 1),
)
const instance = { labels: { 'app.kubernetes.io/instance': 'wekan' }, creationTimestamp: EARLIER }
const set = objectOf('StatefulSet', 'oas-apps', 'wekan', {
  apiVersion: 'apps/v1',
  metadata: instance,
  spec: { replicas: 1 },
})
const pod = (status: object, spec: object = { nodeName: 'server' }) =>
  objectOf(
    'Pod',
    'oas-apps',
    'wekan-0',
    {
      metadata: instance,
      spec: { containers: [{ name: 'wekan', image: 'registry.example.org/wekan:6' }], ...spec },
      status: { phase: 'Pending', startTime: EARLIER, ...status },
    },
    set,
  )
const container = (reason: string, message: string) =>
  pod({ containerStatuses: [{ name: 'wekan', restartCount: 9, state: { waiting: { reason, message } } }] })
const unplaced = (message: string, volumes: object[] = []) =>
  pod({ conditions: [conditionOf(`PodScheduled=False Unschedulable: ${message}`)] }, { volumes })
const claim = objectOf('PersistentVolumeClaim', 'oas-apps', 'data', {
  metadata: { creationTimestamp: EARLIER, labels: instance.labels },
  spec: { storageClassName: 'fast' },
  status: { phase: 'Pending' },
})

/** What is broken, and the rule and subject that everything has to name. */
const CASES: readonly [what: string, objects: KubeObject[], rule: string, subject: string][] = [
  [
    'a source that cannot be fetched',
    [
      wekan(installing, 'wekan'),
      release("Ready=False SourceNotReady: HelmChart 'oas-apps/oas-apps-wekan' is not ready"),
      chart,
      repository('Ready=False Failed: failed to fetch https://charts.example.org/index.yaml : 404 Not Found'),
    ],
    'source-not-found',
    'HelmRepository oas-apps/wekan',
  ],
  [
    'a Kustomization that cannot be built',
    [
      wekan('Ready=False BuildFailed: kustomize build failed: accumulating resources', 'wekan'),
      release(ready),
    ],
    'kustomization-build-failed',
    'Kustomization flux-system/wekan',
  ],
  [
    'a release whose values are rejected',
    [
      wekan('Ready=False HealthCheckFailed: health check failed after 5m0s', 'wekan'),
      release('Ready=False InstallFailed: Helm install failed: execution error at (wekan/x.yaml:1:2): no'),
    ],
    'release-values-rejected',
    'HelmRelease oas-apps/wekan',
  ],
  ...(
    [
      ['CrashLoopBackOff', 'back-off 5m0s restarting failed container', 'pod-crash-looping'],
      ['ImagePullBackOff', 'toomanyrequests: You have reached your pull rate limit', 'image-rate-limited'],
      ['ImagePullBackOff', 'failed to pull: not found', 'image-not-found'],
      ['RunContainerError', 'exec: "/x": stat /x: no such file or directory', 'pod-cannot-start'],
    ] as const
  ).map(([reason, message, rule]): [string, KubeObject[], string, string] => [
    `a pod in ${reason}: ${message}`,
    [wekan(installing, 'wekan'), release(installing), set, container(reason, message)],
    rule,
    'Pod oas-apps/wekan-0',
  ]),
  [
    'a key that is missing in a ConfigMap of the user',
    [
      wekan(installing, 'wekan'),
      release(installing),
      set,
      objectOf('ConfigMap', 'oas-apps', 'mine'),
      container('CreateContainerConfigError', "couldn't find key url in ConfigMap oas-apps/mine"),
    ],
    'configmap-key-missing',
    'ConfigMap oas-apps/mine',
  ],
  [
    'a pod without a place',
    [
      wekan(installing, 'wekan'),
      release(installing),
      set,
      unplaced('0/1 nodes are available: 1 Insufficient memory.'),
    ],
    'pod-unschedulable-resources',
    'Pod oas-apps/wekan-0',
  ],
  [
    'a claim of a class that does not exist',
    [
      wekan(installing, 'wekan'),
      release(installing),
      set,
      claim,
      unplaced('pod has unbound immediate PersistentVolumeClaims', [
        { persistentVolumeClaim: { claimName: 'data' } },
      ]),
    ],
    'claim-class-missing',
    'PersistentVolumeClaim oas-apps/data',
  ],
]

/** The diagnosis of objects, and the one cause that it names. */
function diagnosed(objects: KubeObject[]): { index: Index; diagnosis: Diagnosis; cause: RootCause } {
  const sources = objects.some(({ kind }) => kind === 'GitRepository') ? [] : [git()]
  const snapshot = snapshotOf([node, ...flux, ...sources, ...objects], {
    groups: [fluxObject('Kustomization', 'x', []).apiVersion],
  })
  const index = new Index(snapshot)
  const diagnosis = diagnose(snapshot, RULES, { index })
  const causes = diagnosis.causes.filter(({ verdict }) => verdict === 'broken')
  assert.is(causes.length, 1, JSON.stringify(causes, undefined, 1))
  return { index, diagnosis, cause: causes[0]! }
}

for (const [what, objects, rule, subject] of CASES)
  test(`everything says the same of ${what}`, () => {
    const { index, diagnosis, cause } = diagnosed(objects)
    assert.equal([cause.rule, refText(cause.subject)], [rule, subject])
    const same = (told: { subject?: string; cause?: string; fix?: string } | undefined, where: string) => {
      assert.ok(told, where)
      assert.match([told.subject, told.cause].filter(Boolean).join(': '), cause.cause, where)
      assert.match(told.fix!, cause.remedy.text, where)
    }

    const waits = obstacles(index, ['wekan'])
    assert.is(waits.length, 1)
    assert.is(waits[0]!.subject, subject)
    assert.ok(waits[0]!.grace < 120, `it ends a wait: ${waits[0]!.grace}`)
    same(waits[0], 'install-app')
    const asked = new Map([[subject, { at: 0, times: TRIES }]])
    same(lasting(upgradeFacts(index), asked)[0], 'upgrade-0.7')

    const unready = statusOf(index, diagnosis)
      .flatMap(({ items }) => items)
      .filter(item => !item.ready)
    assert.ok(unready.length > 0)
    for (const item of unready) same(item, `status of ${item.kind}`)

    for (const each of index.all('Pod').flatMap(each => logContainersOf(each, false))) {
      const reason = reasonText(each, each.why!, [cause])
      same({ cause: reason, fix: reason }, 'logs')
    }

    const { causes: told, ready } = reportOf({
      cluster: 'oas',
      index,
      diagnosis,
      volumes: new Map(),
      users: undefined,
      drills: [],
      runs: [],
      gaps: [],
    })
    same(
      told.find(each => each.subject === subject),
      'report',
    )
    assert.is(
      ready.reduce((sum, section) => sum + section.all - section.ready, 0),
      unready.length,
      'as many are not ready in report as in status',
    )

    const checks = objectChecks(judgeObjects(index.snapshot))
    const failed = checks.filter(({ state }) => state === 'failed')
    assert.is(failed.length, 1, 'test-cluster fails what is at fault, and nothing that follows from it')
    same(
      { cause: `${failed[0]!.name}: ${failed[0]!.problem!.what}`, fix: failed[0]!.problem!.fix },
      'test-cluster',
    )
    assert.match(failed[0]!.name, subject)
    for (const { kind, namespace, name } of unready)
      assert.not.ok(
        checks.some(each => each.state === 'passed' && each.name === `${kind} ${namespace}/${name}`),
        'what is not ready does not pass',
      )
  })

test('the wait for Flux says what the diagnosis says of a node that is not ready', () => {
  const down = objectOf('Node', undefined, 'server', {
    metadata: { creationTimestamp: EARLIER },
    status: {
      conditions: [
        {
          ...conditionOf('Ready=False KubeletNotReady: cni plugin not initialized'),
          lastTransitionTime: EARLIER,
        },
      ],
    },
    spec: { taints: [{ key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }] },
  })
  const deployment = controller('source-controller', 1)
  deployment.metadata.uid = 'source-controller'
  deployment.status.conditions = [conditionOf('Available=False MinimumReplicasUnavailable: x')]
  const waiting = objectOf(
    'Pod',
    'flux-system',
    'source-controller-1',
    {
      metadata: { creationTimestamp: EARLIER },
      status: {
        phase: 'Pending',
        conditions: [
          conditionOf(
            'PodScheduled=False Unschedulable: 0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.',
          ),
        ],
      },
    },
    deployment,
  )
  const others = flux.filter(({ metadata }) => metadata.name !== 'source-controller')
  const snapshot = snapshotOf([down, deployment, ...others, waiting], {
    unread: ['GitRepository', 'Kustomization', 'HelmRelease', 'Secret'],
  })
  const [cause] = diagnose(snapshot, RULES).causes
  assert.equal([cause!.rule, refText(cause!.subject)], ['node-network-failing', 'Node server'])
  const found = obstaclesTo(['source-controller'], snapshot)
  assert.equal(
    found.map(each => [each.subject, each.cause, each.fix.startsWith(cause!.remedy.text)]),
    [['Node server', cause!.cause, true]],
  )
  assert.is(found[0]!.grace <= 60, true)
})

test('add-source and change-ip say what the diagnosis says of an own source and of what a release lacks', () => {
  const own = (kind: 'GitRepository' | 'Kustomization', condition: string, spec: Record<string, unknown>) =>
    fluxObject(kind, 'shop', [condition], { namespace: 'shop', spec })
  const shop = [
    own('GitRepository', 'Ready=False GitOperationFailed: failed to clone: authentication required', {
      url: 'https://git.example.org/shop.git',
    }),
    own('Kustomization', 'Ready=False ArtifactFailed: Source artifact not found', {
      sourceRef: { kind: 'GitRepository', name: 'shop' },
    }),
  ]
  const { index, cause } = diagnosed([git(), ...shop])
  const told = [refText(cause.subject), cause.cause]
  assert.is(told[0], 'GitRepository shop/shop')
  assert.equal(
    obstacles(index, ['shop'], 'shop').map(found => [found.subject, found.cause]),
    [told],
  )
  assert.equal(obstacles(index, ['shop']), [], 'the platform has no Kustomization of this name')

  const [, objects] = CASES.find(([, , rule]) => rule === 'image-not-found')!
  const lacking = diagnosed(objects)
  const waiting = lacking.index.get('Kustomization', 'flux-system', 'wekan')!
  const [found, ...more] = obstaclesOf([refOf(waiting)], lacking.index.snapshot)
  assert.equal(more, [])
  assert.equal([found!.subject, found!.cause], [refText(lacking.cause.subject), lacking.cause.cause])
  assert.ok(found!.fix.startsWith(lacking.cause.remedy.text))
  const skipped = obstaclesOf([refOf(waiting)], lacking.index.snapshot, () => true)
  assert.equal(
    skipped.map(each => each.subject),
    [found!.subject],
    'it explains what waits, however little of it counts',
  )
})

test.run()
