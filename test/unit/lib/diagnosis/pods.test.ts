import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { registryOf } from '../../../../lib/diagnosis/rules/images.ts'
import { quantity } from '../../../../lib/diagnosis/rules/quantity.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import {
  ago,
  containerIs,
  deployment,
  event,
  judged,
  node,
  PLATFORM,
  type PodFields,
  platformWith,
  pod,
  replicaSet,
  told,
  unscheduled,
  without,
} from './workload-objects.ts'

const POD = 'Pod oas-apps/wekan-5f-a'
/** The one cause that a pod like this is told as. */
function only(fields: PodFields, ...more: KubeObject[]) {
  const causes = judged(platformWith(pod(fields), ...more))
  assert.is(causes.length, 1, JSON.stringify(causes.map(({ rule, subject }) => [rule, subject])))
  return causes[0]!
}

test('a healthy platform gives nothing', () => {
  assert.equal(told(PLATFORM), [])
})

const terminated = (fields: object) => ({
  terminated: { startedAt: ago(70), finishedAt: ago(60), ...fields },
})
const backOff = {
  waiting: { reason: 'CrashLoopBackOff', message: 'back-off 5m0s restarting failed container=wekan' },
}

test('a crash loop tells exit code, restarts, and the log to read', () => {
  const { rule, cause, evidence, remedy } = only({
    status: containerIs({
      restartCount: 7,
      state: backOff,
      lastState: terminated({ exitCode: 1, reason: 'Error', message: 'no database\n' }),
    }),
  })
  assert.is(rule, 'pod-crash-looping')
  assert.is(cause, 'container wekan keeps crashing with exit code 1: no database')
  assert.equal(evidence, [
    'CrashLoopBackOff: back-off 5m0s restarting failed container=wekan',
    'ended with Error, exit code 1; 7 restarts, the last end 1 min ago',
    'no database',
  ])
  assert.is(remedy.command, 'npx tsx scripts/logs.ts oas-apps/wekan-5f-a --container wekan --previous')
})

test('one or two ends at the start are none', () => {
  const status = containerIs({ restartCount: 2, state: backOff, lastState: terminated({ exitCode: 1 }) })
  assert.equal(told(platformWith(pod({ status, age: 60 }))), [])
  assert.equal(told(platformWith(pod({ status, age: 600 }))), [`pod-crash-looping ${POD}`])
})

test('too little memory: while it is down broken, once it runs again a warning', () => {
  const lastState = terminated({ exitCode: 137, reason: 'OOMKilled' })
  const down = only({ status: containerIs({ restartCount: 4, state: backOff, lastState }) })
  assert.is(down.rule, 'pod-out-of-memory')
  assert.match(down.cause, 'its limit of 512Mi')
  assert.match(down.remedy.text, 'by an override: npx tsx scripts/override-app.ts wekan')
  const again = only({
    status: containerIs({
      ready: true,
      restartCount: 1,
      state: { running: { startedAt: ago(50) } },
      lastState,
    }),
  })
  assert.equal([again.rule, again.verdict], ['pod-out-of-memory', 'warning'])
  const unlimited = only({
    spec: { containers: [{ name: 'wekan' }] },
    status: containerIs({ restartCount: 4, state: backOff, lastState }),
  })
  assert.match(unlimited.cause, 'the server is out of memory')
})

test('a container that runs for a moment between its ends is broken all the same', () => {
  const { rule, verdict } = only({
    status: containerIs({
      ready: true,
      restartCount: 9,
      state: { running: { startedAt: ago(5) } },
      lastState: terminated({ exitCode: 1, reason: 'Error' }),
    }),
  })
  assert.equal([rule, verdict], ['pod-crash-looping', 'broken'])
})

test('a container killed by its liveness probe', () => {
  const status = containerIs({
    restartCount: 4,
    state: backOff,
    lastState: terminated({ exitCode: 137, reason: 'Error' }),
  })
  const killing = event(pod(), 'Killing', 'Container wekan failed liveness probe, will be restarted')
  assert.is(only({ status }, killing).rule, 'pod-liveness-failing')
})

test('an init container that fails, or never ends', () => {
  const spec = { initContainers: [{ name: 'wait' }], containers: [{ name: 'wekan' }] }
  const waits = containerIs({ state: { waiting: { reason: 'PodInitializing' } } }, { phase: 'Pending' })
  const failing = only({
    spec,
    status: {
      ...waits,
      initContainerStatuses: [
        {
          name: 'wait',
          restartCount: 5,
          state: backOff,
          lastState: terminated({ exitCode: 2, reason: 'Error' }),
        },
      ],
    },
  })
  assert.equal(
    [failing.rule, failing.cause],
    ['pod-init-failing', 'init container wait keeps crashing with exit code 2'],
  )
  const endless = only({
    spec,
    status: {
      ...waits,
      initContainerStatuses: [
        { name: 'wait', restartCount: 0, state: { running: { startedAt: ago(1200) } } },
      ],
    },
  })
  assert.is(endless.rule, 'pod-init-unfinished')
})

const pulling = 'Back-off pulling image "ghcr.io/wekan/wekan:v8": ErrImagePull: '
for (const [rule, message] of [
  [
    'image-not-found',
    'rpc error: code = NotFound desc = failed to resolve reference: ghcr.io/wekan/wekan:v8: not found',
  ],
  [
    'image-unauthorized',
    'pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed',
  ],
  [
    'image-unauthorized',
    'unexpected status from HEAD request to https://ghcr.io/v2/wekan/wekan/manifests/v8: 403 Forbidden',
  ],
  [
    'image-rate-limited',
    '429 Too Many Requests - Server message: toomanyrequests: You have reached your unauthenticated pull rate limit',
  ],
  [
    'image-registry-unreachable',
    'failed to do request: Head "https://ghcr.io/v2/": dial tcp: lookup ghcr.io: no such host',
  ],
  [
    'image-registry-unreachable',
    'failed to do request: Head "https://ghcr.io/v2/": net/http: TLS handshake timeout',
  ],
  [
    'image-registry-untrusted',
    'tls: failed to verify certificate: x509: certificate has expired or is not yet valid',
  ],
  ['image-disk-full', 'failed to extract layer: write /var/lib/rancher: no space left on device'],
  ['image-pull-failing', 'something new'],
] as const)
  test(`${rule}: ${message.slice(0, 50)}`, () => {
    const waiting = { reason: 'ImagePullBackOff', message: pulling + message }
    assert.is(only({ status: containerIs({ state: { waiting } }, { phase: 'Pending' }) }).rule, rule)
  })

test('an old back-off says nothing: its event does', () => {
  const waiting = { reason: 'ImagePullBackOff', message: 'Back-off pulling image "ghcr.io/wekan/wekan:v8"' }
  const failed = event(pod(), 'Failed', 'Failed to pull image "ghcr.io/wekan/wekan:v8": manifest unknown')
  assert.is(
    only({ status: containerIs({ state: { waiting } }, { phase: 'Pending' }) }, failed).rule,
    'image-not-found',
  )
})

test('the first refusal of an image may pass; a name that is none does not', () => {
  const status = (reason: string) => containerIs({ state: { waiting: { reason } } }, { phase: 'Pending' })
  assert.equal(told(platformWith(pod({ status: status('ErrImagePull'), age: 5 }))), [])
  assert.equal(told(platformWith(pod({ status: status('InvalidImageName'), age: 5 }))), [
    `image-name-invalid ${POD}`,
  ])
})

test('the registry of an image', () => {
  assert.equal(['wordpress:6', 'library/x', 'ghcr.io/a/b', 'localhost/a', 'host:5000/a'].map(registryOf), [
    'docker.io',
    'docker.io',
    'ghcr.io',
    'localhost',
    'host:5000',
  ])
})

const configError = (message: string) =>
  containerIs({ state: { waiting: { reason: 'CreateContainerConfigError', message } } }, { phase: 'Pending' })

test('a missing Secret is at fault, and not the pod that waits for it', () => {
  const objects = platformWith(pod({ status: configError('secret "oas-wekan" not found') }))
  const [cause, ...rest] = judged(objects, { secrets: [] })
  assert.equal(
    [cause!.rule, cause!.subject.kind, cause!.subject.name],
    ['secret-missing', 'Secret', 'oas-wekan'],
  )
  assert.equal(rest, [])
  assert.equal(
    cause!.explains.map(({ rule }) => rule).sort(),
    ['pod-waits-for-object', 'workload-unavailable'].slice(0, cause!.explains.length),
  )
  // It is there by now: the kubelet tries again soon.
  assert.equal(told(objects), [])
})

test('a missing key of a Secret and of a ConfigMap, a missing ConfigMap', () => {
  const secrets = [{ namespace: 'oas-apps', name: 'oas-wekan', type: 'Opaque', keys: {} }]
  const key = platformWith(
    pod({ status: configError("couldn't find key secret in Secret oas-apps/oas-wekan") }),
  )
  assert.equal(told(key, { secrets }), ['secret-key-missing Secret oas-apps/oas-wekan'])
  const setting = platformWith(
    pod({ status: configError("couldn't find key a in ConfigMap oas-apps/settings") }),
  )
  assert.equal(told(setting), ['configmap-key-missing ConfigMap oas-apps/settings'])
  const absent = without(
    platformWith(pod({ status: configError('configmap "settings" not found') })),
    'ConfigMap',
    'settings',
  )
  assert.equal(told(absent), ['configmap-missing ConfigMap oas-apps/settings'])
  assert.equal(told(absent, { gaps: [{ what: 'ConfigMap', why: 'Forbidden' }] }), [])
})

test('a TLS secret that a Certificate makes is only its symptom', () => {
  const certificate: KubeObject = {
    apiVersion: 'cert-manager.io/v1',
    kind: 'Certificate',
    metadata: { name: 'wekan', namespace: 'oas-apps' },
    spec: { secretName: 'oas-wekan' },
  }
  const objects = platformWith(pod({ status: configError('secret "oas-wekan" not found') }), certificate)
  const [cause] = judged(objects, { secrets: [] })
  assert.is(cause!.symptom, true)
  assert.equal(
    cause!.causedBy?.map(({ kind }) => kind),
    ['Certificate'],
  )
})

test('a container that cannot be started', () => {
  const message = 'container has runAsNonRoot and image will run as root'
  assert.is(only({ status: configError(message) }).rule, 'pod-cannot-start')
})

test('failing probes count once they last, and name what the kubelet saw', () => {
  const status = containerIs({ state: { running: { startedAt: ago(400) } } })
  const unhealthy = event(
    pod(),
    'Unhealthy',
    'Readiness probe failed: HTTP probe failed with statuscode: 503',
    { count: 9 },
  )
  const { rule, cause, evidence } = only({ status }, unhealthy)
  assert.is(rule, 'pod-not-ready')
  assert.is(
    cause,
    'container wekan runs, but its readiness probe fails: HTTP probe failed with statuscode: 503',
  )
  assert.match(evidence.join(), '9 times')
  const starting = containerIs({ state: { running: { startedAt: ago(40) } } })
  assert.equal(told(platformWith(pod({ status: starting, age: 45 }), unhealthy)), [])
})

test('pods of one workload with one trouble are one cause', () => {
  const status = containerIs({ restartCount: 7, state: backOff, lastState: terminated({ exitCode: 1 }) })
  const causes = judged(platformWith(pod({ status }), pod({ status, name: 'wekan-5f-b' })))
  assert.is(causes.length, 1)
  assert.ok(causes[0]!.explains.some(({ subject }) => subject.name === 'wekan-5f-b'))
})

test('pods of an old ReplicaSet do not count', () => {
  const status = containerIs({ restartCount: 7, state: backOff, lastState: terminated({ exitCode: 1 }) })
  const newer = replicaSet()
  const next = {
    ...newer,
    metadata: {
      ...newer.metadata,
      name: 'wekan-60',
      uid: 'next',
      annotations: { 'deployment.kubernetes.io/revision': '2' },
    },
  }
  assert.equal(told(platformWith(pod({ status }), next)), [])
})

// Messages of kube-scheduler 1.36.4, seen in the bed.
const tail =
  ' no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.'
for (const [rule, message] of [
  ['pod-unschedulable-resources', '0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.'],
  ['pod-unschedulable-resources', '0/1 nodes are available: 1 Too many pods.'],
  [
    'pod-unschedulable-affinity',
    "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
  ],
  ['pod-unschedulable-affinity', "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules."],
  ['pod-unschedulable-taint', '0/1 nodes are available: 1 node(s) had untolerated taint(s).'],
  ['pod-unschedulable', '0/1 nodes are available: 1 something new.'],
] as const)
  test(`${rule}: ${message.slice(27)}`, () => {
    const found = only({ spec: { nodeName: undefined }, status: unscheduled(message + tail) })
    assert.is(found.rule, rule)
    if (/cpu/.test(message)) assert.match(found.evidence[0]!, 'cpu: 50m requested, 6000m free')
  })

test('a taint that somebody has put on the node is taken away by its command', () => {
  const fields = {
    spec: { nodeName: undefined },
    status: unscheduled('0/1 nodes are available: 1 node(s) had untolerated taint(s).'),
  }
  const taints = [{ key: 'example.org/upgrade', value: 'yes', effect: 'NoSchedule' }]
  const [first] = judged(platformWith(pod(fields), node(undefined, { taints })))
  assert.match(first!.remedy.command!, / example\.org\/upgrade:NoSchedule-$/)
})

test('what the node has in the way is told of the node', () => {
  const fields = {
    spec: { nodeName: undefined },
    status: unscheduled('0/1 nodes are available: 1 node(s) were unschedulable.'),
  }
  const cordoned = only(fields, node(undefined, { unschedulable: true }))
  assert.equal(
    [cordoned.rule, cordoned.verdict, cordoned.remedy.action?.do],
    ['node-cordoned', 'broken', 'patch'],
  )
})

test('nobody has looked for a node', () => {
  const status = { phase: 'Pending', conditions: [], containerStatuses: undefined, startTime: undefined }
  const fields = { spec: { nodeName: undefined }, status, age: 60 }
  assert.is(only(fields).rule, 'scheduler-silent')
  assert.equal(told(platformWith(pod({ ...fields, age: 5 }))), [])
})

const creating = containerIs({ state: { waiting: { reason: 'ContainerCreating' } } }, { phase: 'Pending' })
test('what a kubelet cannot mount, and a network that is not set up', () => {
  const mount = (message: string) => event(pod(), 'FailedMount', message)
  assert.is(
    only(
      { status: creating },
      mount('MountVolume.SetUp failed for volume "x" : hostPath type check failed: /x is not a directory'),
    ).rule,
    'pod-mount-failed',
  )
  const folder = only(
    { status: creating },
    mount(
      'MountVolume.NewMounter initialization failed for volume "pvc-1" : path "/var/lib/OpenAppStack/local-storage/pvc-1" does not exist',
    ),
  )
  assert.equal([folder.rule, folder.subject.kind], ['volume-folder-missing', 'PersistentVolume'])
  const sandbox = event(
    pod(),
    'FailedCreatePodSandBox',
    'Failed to create pod sandbox: rpc error: plugin type="flannel" failed (add): open /run/flannel/subnet.env: no such file',
  )
  const network = only({ status: creating }, sandbox)
  assert.equal([network.rule, network.subject.kind], ['node-network-failing', 'Node'])
})

test('a pod that does not end, by a finalizer or by a node that is away', () => {
  const deleted = { deletionTimestamp: ago(300) }
  const kept = only({ metadata: { ...deleted, finalizers: ['a/b'] } })
  assert.is(kept.rule, 'pod-stuck-terminating')
  assert.match(kept.cause, 'its finalizer a/b')
  const silent = node([
    { type: 'Ready', status: 'Unknown', reason: 'NodeStatusUnknown', lastTransitionTime: ago(400) },
  ])
  assert.is(only({ metadata: deleted }, silent).rule, 'node-silent')
  assert.equal(told(platformWith(pod({ metadata: { deletionTimestamp: ago(5) } }))), [])
})

test('evicted pods are counted, and deleted by our script', () => {
  const evicted = (name: string) =>
    pod({
      name,
      status: {
        phase: 'Failed',
        reason: 'Evicted',
        message: 'The node was low on resource: memory. Threshold',
      },
    })
  const [cause, ...rest] = judged(platformWith(evicted('e1'), evicted('e2')))
  assert.is(rest.length, 0)
  assert.equal(
    [cause!.rule, cause!.verdict, cause!.cause],
    ['evicted-pods-left', 'warning', '2 evicted pods are left behind'],
  )
  assert.equal(cause!.remedy.action, {
    do: 'script',
    script: 'delete-evicted-pods',
    args: ['--namespace', 'oas-apps'],
  })
})

test('the release and its Deployment are led to the pod', () => {
  const status = containerIs({ restartCount: 7, state: backOff, lastState: terminated({ exitCode: 1 }) })
  const [cause] = judged(platformWith(pod({ status }), deployment({}, { availableReplicas: 0 })))
  assert.equal(
    cause!.explains.map(({ rule }) => rule),
    ['workload-unavailable'],
  )
})

test('quantities', () => {
  assert.equal(['500m', '2', '1Gi', '1k', '1e3', '', undefined, 'x'].map(quantity), [
    0.5,
    2,
    2 ** 30,
    1000,
    1000,
    0,
    0,
    0,
  ])
})

test.run()
