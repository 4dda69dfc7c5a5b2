import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { objectOf } from './snapshots.ts'
import {
  ago,
  containerIs,
  deployment,
  event,
  judged,
  PLATFORM,
  platformWith,
  pod,
  replicaSet,
  told,
  without,
} from './workload-objects.ts'

const WEKAN = 'Deployment oas-apps/wekan'
const failure = (message: string) =>
  replicaSet({ conditions: [{ type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate', message }] })
/** wekan without a pod, since the API server has refused it with this message. */
const refused = (message: string, ...more: KubeObject[]) =>
  without(
    platformWith(failure(message), deployment({}, { availableReplicas: 0 }), ...more),
    'Pod',
    'wekan-5f-a',
  )

// Messages of kube-controller-manager 1.36.4, seen in the bed.
for (const [title, message] of [
  [
    `pods-refused-by-quota ${WEKAN}`,
    'pods "wekan-5f-x" is forbidden: failed quota: few: must specify limits.memory for: a',
  ],
  [
    'service-account-missing ServiceAccount oas-apps/nobody',
    'pods "wekan-5f-" is forbidden: error looking up service account oas-apps/nobody: serviceaccount "nobody" not found',
  ],
  [
    'quota-exhausted ResourceQuota oas-apps/few',
    'pods "wekan-5f-x" is forbidden: exceeded quota: few, requested: pods=1, used: pods=3, limited: pods=3',
  ],
  [
    `pods-refused-by-pod-security ${WEKAN}`,
    'pods "wekan-5f-x" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false',
  ],
  [
    `pods-refused ${WEKAN}`,
    'admission webhook "policy.example.org" denied the request: no image of that registry',
  ],
  [`pods-refused ${WEKAN}`, 'Pod "wekan-5f-x" is invalid: spec.containers[0].ports: Invalid value: 0'],
] as const)
  test(`${title}: ${message.slice(0, 60)}`, () => {
    assert.equal(told(refused(message))[0], title)
  })

const webhook = objectOf('ValidatingWebhookConfiguration', undefined, 'policy', {
  metadata: { creationTimestamp: ago(600) },
  webhooks: [
    { name: 'pods.policy.example.org', clientConfig: { service: { namespace: 'policy', name: 'webhook' } } },
  ],
})

test('a webhook that does not answer is the cause of the pods that it keeps from being made', () => {
  const message =
    'Internal error occurred: failed calling webhook "pods.policy.example.org": failed to call webhook: Post "https://webhook.policy.svc:443/?timeout=2s": service "webhook" not found'
  const [cause] = judged(refused(message, webhook))
  assert.equal([cause!.rule, cause!.subject.name], ['webhook-without-endpoints', 'policy'])
  assert.equal(cause!.explains.map(({ rule }) => rule).includes('pods-refused-by-webhook'), true)
  assert.match(cause!.remedy.command!, 'kubectl delete')
  assert.is(cause!.remedy.action, undefined, 'a stranger’s configuration is not touched')
})

for (const [title, seconds, expected] of [
  ['whose only pod is being replaced is silent', 10, []],
  ['that has had no pod for long is told', 600, ['workload-unavailable DaemonSet velero/agent']],
] as const)
  test(`a DaemonSet ${title}: its status has no date, but a time of writing`, () => {
    const agent = objectOf('DaemonSet', 'velero', 'agent', {
      metadata: {
        creationTimestamp: ago(86_400),
        managedFields: [{ subresource: 'status', time: ago(seconds) }],
      },
      status: { desiredNumberScheduled: 1, currentNumberScheduled: 0, numberAvailable: 0 },
    })
    assert.equal(told(platformWith(agent)), expected)
  })

test('a refusal of which an event tells counts until a pod was made', () => {
  const set = objectOf('StatefulSet', 'oas', 'db', {
    spec: { replicas: 1 },
    status: { availableReplicas: 0 },
  })
  const message =
    'Create Pod db-0 in StatefulSet db failed error: pods "db-0" is forbidden: failed quota: q: must specify limits.memory for: a'
  const failed = event(set, 'FailedCreate', message, { count: 12 })
  assert.ok(told([...PLATFORM, set, failed]).includes('pods-refused-by-quota StatefulSet oas/db'))
  const made = event(set, 'SuccessfulCreate', 'created', { lastTimestamp: ago(5) })
  assert.not.ok(told([...PLATFORM, set, failed, made]).some(text => text.startsWith('pods-refused')))
})

test('a Deployment that is starting is none; one that has no pods for long is', () => {
  const starting = deployment(
    {},
    { availableReplicas: 0, conditions: [{ type: 'Available', status: 'False', lastUpdateTime: ago(60) }] },
  )
  assert.equal(told(platformWith(starting)), [])
  const late = deployment(
    {},
    { availableReplicas: 0, conditions: [{ type: 'Available', status: 'False', lastUpdateTime: ago(900) }] },
  )
  assert.equal(told(platformWith(late)), [`workload-unavailable ${WEKAN}`])
})

test('a rollout that is over its time is led to the new pod', () => {
  const stuck = deployment(
    {},
    {
      conditions: [
        {
          type: 'Progressing',
          status: 'False',
          reason: 'ProgressDeadlineExceeded',
          message: 'has timed out progressing.',
        },
      ],
    },
  )
  const waiting = { reason: 'InvalidImageName', message: 'no' }
  const [cause, ...rest] = judged(platformWith(stuck, pod({ status: containerIs({ state: { waiting } }) })))
  assert.is(rest.length, 0)
  assert.is(cause!.rule, 'image-name-invalid')
  assert.match(cause!.explains.map(({ cause: text }) => text).join(), 'the old ones still run')
})

test('what was scaled to 0 is brought back by its release; a migration or a restore says so; cert-manager is told elsewhere', () => {
  const [cause] = judged(
    without(platformWith(deployment({ replicas: 0 }, { availableReplicas: 0 })), 'Pod', 'wekan-5f-a'),
  )
  assert.equal([cause!.rule, cause!.subject.name], ['workload-scaled-to-zero', 'wekan'])
  assert.equal(
    cause!.remedy.action?.do === 'reconcile' && [cause!.remedy.action.ref.kind, cause!.remedy.action.force],
    ['HelmRelease', true],
  )
  const noted = deployment({ replicas: 0 }, { availableReplicas: 0 })
  for (const work of ['migration', 'restore']) {
    noted.metadata.annotations = { [`openappstack.net/replicas-before-${work}`]: '1' }
    const [stopped] = judged(platformWith(noted))
    assert.match(stopped!.remedy.text, `an unfinished ${work}`)
    assert.is(stopped!.remedy.action, undefined)
  }
  const webhooks = objectOf('Deployment', 'cert-manager', 'cert-manager', { spec: { replicas: 0 } })
  assert.equal(told([...PLATFORM, webhooks]), [])
  const own = objectOf('Deployment', 'somebody', 'own', { spec: { replicas: 0 } })
  assert.equal(told([...PLATFORM, own]), [])
})

test('DNS of the cluster', () => {
  const dns = objectOf('Deployment', 'kube-system', 'coredns', {
    metadata: { creationTimestamp: ago(9999) },
    spec: { replicas: 1 },
    status: { availableReplicas: 0 },
  })
  assert.equal(told([...PLATFORM, dns]), ['cluster-dns-down Deployment kube-system/coredns'])
})

test('a paused rollout', () => {
  const [cause] = judged(platformWith(deployment({ paused: true })))
  assert.equal(
    [cause!.rule, cause!.verdict, cause!.remedy.action?.do],
    ['workload-paused', 'warning', 'patch'],
  )
})

test('a corrected StatefulSet whose broken pod is in the way', () => {
  const set = objectOf('StatefulSet', 'oas-apps', 'db', {
    spec: { replicas: 1 },
    status: { availableReplicas: 0, currentRevision: 'db-1', updateRevision: 'db-2' },
  })
  const waiting = { reason: 'InvalidImageName', message: 'no' }
  const old = pod({
    name: 'db-0',
    status: containerIs({ state: { waiting } }),
    metadata: { labels: { 'controller-revision-hash': 'db-1' } },
  })
  old.metadata.ownerReferences = [
    { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'db', uid: set.metadata.uid!, controller: true },
  ]
  const [cause, ...rest] = judged([...PLATFORM, set, old])
  assert.is(rest.length, 0)
  assert.equal([cause!.rule, cause!.remedy.action?.do], ['pod-of-old-revision', 'delete'])
})

const job = (more: object = {}): KubeObject =>
  objectOf('Job', 'oas', 'import', {
    metadata: { creationTimestamp: ago(900), ...more },
    status: {
      conditions: [
        {
          type: 'Failed',
          status: 'True',
          reason: 'BackoffLimitExceeded',
          message: 'Job has reached the specified backoff limit',
        },
      ],
    },
  })

test('a failed Job tells how its pods have ended; one of a CronJob is no news after the next', () => {
  const ended = objectOf(
    'Pod',
    'oas',
    'import-x',
    {
      status: {
        phase: 'Failed',
        containerStatuses: [{ name: 'import', state: { terminated: { exitCode: 3, reason: 'Error' } } }],
      },
    },
    job(),
  )
  const [cause] = judged([...PLATFORM, job(), ended])
  assert.equal([cause!.rule, cause!.verdict], ['job-failed', 'broken'])
  assert.match(cause!.evidence.join(), 'container import ended with Error, exit code 3')
  const ownerReferences = [{ apiVersion: 'batch/v1', kind: 'CronJob', name: 'c', uid: 'cron' }]
  const next = objectOf('Job', 'oas', 'next', { metadata: { creationTimestamp: ago(60), ownerReferences } })
  assert.equal(
    judged([...PLATFORM, job({ ownerReferences })]).map(({ verdict }) => verdict),
    ['warning'],
  )
  assert.equal(told([...PLATFORM, job({ ownerReferences }), next]), [])
})

const service = PLATFORM.find(({ kind }) => kind === 'Service')!
const ingress = PLATFORM.find(({ kind }) => kind === 'Ingress')!
const withoutSlices = (objects: readonly KubeObject[]) =>
  objects.filter(({ kind }) => kind !== 'EndpointSlice')

test('a Service that selects nothing, or whose pods are broken', () => {
  const misled = { ...service, spec: { ...service.spec, selector: { app: 'wekam' } } }
  const [cause] = judged(withoutSlices(platformWith(misled)))
  assert.equal([cause!.rule, cause!.verdict], ['service-selects-nothing', 'broken'])
  const unused = without(withoutSlices(platformWith(misled)), 'Ingress', 'wekan')
  assert.equal(
    judged(unused).map(({ verdict }) => verdict),
    ['warning'],
  )
  const waiting = { reason: 'InvalidImageName', message: 'no' }
  const broken = withoutSlices(platformWith(pod({ status: containerIs({ state: { waiting } }) })))
  const [image, ...rest] = judged(broken)
  assert.is(rest.length, 0)
  assert.ok(image!.explains.some(({ rule }) => rule === 'service-without-endpoints'))
})

test('an Ingress that leads nowhere', () => {
  assert.equal(told(without(PLATFORM, 'Service', 'wekan')), [
    'ingress-service-missing Ingress oas-apps/wekan',
  ])
  assert.equal(told(without(PLATFORM, 'IngressClass', 'nginx')), [
    'ingress-class-missing Ingress oas-apps/wekan',
  ])
  const rules = [{ http: { paths: [{ backend: { service: { name: 'wekan', port: { name: 'https' } } } }] } }]
  assert.equal(told(platformWith({ ...ingress, spec: { ...ingress.spec, rules } })), [
    'ingress-port-missing Ingress oas-apps/wekan',
  ])
})

test('the Ingress of a challenge has a class; its Service is removed first', () => {
  const labels = { 'acme.cert-manager.io/http01-solver': 'true' }
  const solver = { ...ingress, metadata: { ...ingress.metadata, labels } }
  assert.equal(told(platformWith(solver).filter(({ kind }) => kind !== 'Service')), [])
  assert.equal(told(platformWith({ ...solver, spec: { ...ingress.spec, ingressClassName: 'none' } })), [
    'ingress-class-missing Ingress oas-apps/wekan',
  ])
})

test('a Service that gets no address', () => {
  const outside = { ...service, spec: { ...service.spec, type: 'LoadBalancer' } }
  assert.equal(told(platformWith(outside)), ['service-without-address Service oas-apps/wekan'])
  const status = { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } }
  assert.equal(told(platformWith({ ...outside, status })), [])
})

test.run()
