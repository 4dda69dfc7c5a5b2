/**
 * Stand-ins for what kubelets do: Stages of kwok, each of which plays one trouble with the pods (or the node, or
 * the storage for backups) that carry its name in an annotation. Messages are those of the kubelet 1.36,
 * containerd 2 and Velero 1.18.
 */
import type { KubeObject } from '../../../lib/kubectl/kubectl.ts'

/** The annotation that names the Stage to be played. */
export const PLAY = 'faults.openappstack.net/play'

/** The annotations of a pod with which this trouble is played. */
export const played = (name: string) => ({ [PLAY]: name })

interface Expression {
  key: string
  operator: 'In' | 'NotIn' | 'Exists'
  values?: readonly string[]
}

/** An object is not (yet) as a Stage makes it. */
const not = (key: string, value: string): Expression => ({ key, operator: 'NotIn', values: [value] })

function stage(
  name: string,
  kind: { apiGroup: string; kind: string },
  expressions: readonly Expression[],
  next: object,
): KubeObject {
  return {
    apiVersion: 'kwok.x-k8s.io/v1alpha1',
    kind: 'Stage',
    metadata: { name: `fault-${name}` },
    spec: {
      resourceRef: kind,
      // It wins over the Stages by which everything becomes ready.
      weight: 100,
      selector: {
        matchExpressions: [
          { key: `.metadata.annotations["${PLAY}"]`, operator: 'In', values: [name] },
          { key: '.metadata.deletionTimestamp', operator: 'DoesNotExist' },
          ...expressions,
        ],
      },
      ...next,
    },
  }
}

const POD = { apiGroup: 'v1', kind: 'Pod' }
const PLACED: Expression = { key: '.spec.nodeName', operator: 'Exists' }

interface PodStage {
  /** The fields of each container's status. */
  container: string
  /** What does not match any more once the Stage was played. */
  until: Expression
  phase?: string
  /** The same for init containers; without it they have ended well. */
  init?: string
  event?: { type: string; reason: string; message: string }
}

const indent = (text: string) =>
  text
    .trim()
    .split('\n')
    .map(line => `  ${line}`)
    .join('\n')

function podStage(name: string, { container, until, phase = 'Pending', init, event }: PodStage): KubeObject {
  const conditions = ['Ready', 'ContainersReady']
    .map(
      type =>
        `- {type: ${type}, status: "False", reason: ContainersNotReady, lastTransitionTime: {{ $now | Quote }}}`,
    )
    .join('\n')
  const statuses = (field: string, text: string) =>
    `${field}Statuses:\n{{ range .spec.${field}s }}\n- name: {{ .name | Quote }}\n  image: {{ .image | Quote }}\n  imageID: ""\n${indent(text)}\n{{ end }}`
  const template = [
    '{{ $now := Now }}',
    'conditions:',
    conditions,
    statuses('container', container),
    statuses('initContainer', init ?? ENDED),
    `phase: ${phase}`,
    'startTime: {{ .metadata.creationTimestamp | Quote }}',
  ].join('\n')
  return stage(name, POD, [PLACED, until], {
    next: { statusTemplate: template, ...(event ? { event } : {}) },
  })
}

const ENDED = `
ready: true
restartCount: 0
state: {terminated: {exitCode: 0, reason: Completed, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}}`

const waiting = (reason: string, message: string) => `
ready: false
started: false
restartCount: 0
state: {waiting: {reason: ${reason}, message: ${JSON.stringify(message)}}}`

const crashed = (end: string, restarts = 5) => `
ready: false
started: false
restartCount: ${restarts}
lastState: {terminated: {${end}, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}}
state: {waiting: {reason: CrashLoopBackOff, message: "back-off 5m0s restarting failed container"}}`

const is = (reason: string, statuses = 'containerStatuses') =>
  not(`.status.${statuses}.[].state.waiting.reason`, reason)

const refused = (name: string, why: string) =>
  podStage(name, {
    container: waiting('ImagePullBackOff', `Back-off pulling image: ErrImagePull: ${why}`),
    until: is('ImagePullBackOff'),
  })

const resolving = 'failed to pull and unpack image: failed to resolve reference: '

/** The stand-ins for kubelets. */
export const STAGES: readonly KubeObject[] = [
  podStage('crash', {
    container: crashed('exitCode: 1, reason: Error, message: "cannot reach the database"'),
    until: is('CrashLoopBackOff'),
    phase: 'Running',
  }),
  podStage('out-of-memory', {
    container: crashed('exitCode: 137, reason: OOMKilled'),
    until: is('CrashLoopBackOff'),
    phase: 'Running',
  }),
  podStage('not-startable', {
    container: crashed(
      'exitCode: 128, reason: StartError, message: "failed to create containerd task: OCI runtime create failed: exec: \\"shopd\\": executable file not found in $PATH"',
    ),
    until: is('CrashLoopBackOff'),
    phase: 'Running',
  }),
  podStage('liveness', {
    container: crashed('exitCode: 137, reason: Error'),
    until: is('CrashLoopBackOff'),
    phase: 'Running',
    event: {
      type: 'Normal',
      reason: 'Killing',
      message: 'Container app failed liveness probe, will be restarted',
    },
  }),
  podStage('init-crash', {
    container: waiting('PodInitializing', ''),
    init: crashed('exitCode: 2, reason: Error'),
    until: is('CrashLoopBackOff', 'initContainerStatuses'),
  }),
  podStage('killed-once', {
    container: `
ready: true
started: true
restartCount: 2
lastState: {terminated: {exitCode: 137, reason: OOMKilled, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}}
state: {running: {startedAt: {{ $now | Quote }}}}`,
    until: not('.status.containerStatuses.[].restartCount', '2'),
    phase: 'Running',
  }),
  refused(
    'image-absent',
    `rpc error: code = NotFound desc = ${resolving}docker.io/library/shop:2: not found`,
  ),
  refused(
    'image-private',
    `rpc error: code = Unknown desc = ${resolving}pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed`,
  ),
  refused(
    'image-limited',
    `rpc error: code = Unknown desc = ${resolving}unexpected status from HEAD request: 429 Too Many Requests - Server message: toomanyrequests: You have reached your unauthenticated pull rate limit`,
  ),
  refused(
    'image-untrusted',
    `rpc error: code = Unknown desc = ${resolving}failed to do request: tls: failed to verify certificate: x509: certificate signed by unknown authority`,
  ),
  podStage('image-name', {
    container: waiting(
      'InvalidImageName',
      'Failed to apply default image tag "Shop:": couldn\'t parse image name "Shop:": invalid reference format',
    ),
    until: is('InvalidImageName'),
  }),
  podStage('no-secret', {
    container: waiting('CreateContainerConfigError', 'secret "shop-password" not found'),
    until: is('CreateContainerConfigError'),
  }),
  podStage('no-key', {
    container: waiting(
      'CreateContainerConfigError',
      "couldn't find key currency in ConfigMap faults/shop-settings",
    ),
    until: is('CreateContainerConfigError'),
  }),
  podStage('root', {
    container: waiting('CreateContainerConfigError', 'container has runAsNonRoot and image will run as root'),
    until: is('CreateContainerConfigError'),
  }),
  podStage('no-mount', {
    container: waiting('ContainerCreating', ''),
    until: is('ContainerCreating'),
    event: {
      type: 'Warning',
      reason: 'FailedMount',
      message:
        'MountVolume.SetUp failed for volume "photos" : hostPath type check failed: /srv/photos is not a directory',
    },
  }),
  podStage('no-sandbox', {
    container: waiting('ContainerCreating', ''),
    until: is('ContainerCreating'),
    event: {
      type: 'Warning',
      reason: 'FailedCreatePodSandBox',
      message:
        'Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox: plugin type="flannel" failed (add): failed to load flannel \'subnet.env\' file: open /run/flannel/subnet.env: no such file or directory',
    },
  }),
  stage('evicted', POD, [PLACED, not('.status.phase', 'Failed')], {
    next: {
      statusTemplate:
        'phase: Failed\nreason: Evicted\nmessage: "The node was low on resource: ephemeral-storage. Threshold quantity: 10, available: 5. "',
    },
  }),
  stage('job-end', POD, [PLACED, not('.status.phase', 'Failed')], {
    next: {
      statusTemplate: `
phase: Failed
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: false
  restartCount: 0
  state: {terminated: {exitCode: 3, reason: Error, startedAt: {{ Now | Quote }}, finishedAt: {{ Now | Quote }}}}
{{ end }}`,
    },
  }),
  stage(
    'unavailable',
    { apiGroup: 'velero.io/v1', kind: 'BackupStorageLocation' },
    [not('.status.phase', 'Unavailable')],
    {
      steps: [
        {
          patch: {
            root: 'status',
            template:
              'phase: Unavailable\nmessage: "BackupStorageLocation \\"default\\" is unavailable: rpc error: code = Unknown desc = api error NoSuchBucket: The specified bucket does not exist"',
          },
        },
      ],
    },
  ),
]

const PRESSURE = '.status.conditions.[] | select( .type == "DiskPressure" ) | .status'

/** What a node's kubelet says under pressure; kwok's own Stage only plays when a node is not ready. */
export const diskPressure: KubeObject = stage(
  'disk-pressure',
  { apiGroup: 'v1', kind: 'Node' },
  [not(PRESSURE, 'True')],
  { next: { statusTemplate: pressure('True', 'KubeletHasDiskPressure', 'kubelet has disk pressure') } },
)

/** The same when there is room again. */
export const noDiskPressure: KubeObject = stage(
  'disk-room',
  { apiGroup: 'v1', kind: 'Node' },
  [not(PRESSURE, 'False')],
  { next: { statusTemplate: pressure('False', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure') } },
)

function pressure(status: string, reason: string, message: string): string {
  return `conditions:
- {type: DiskPressure, status: "${status}", reason: ${reason}, message: ${message}, lastTransitionTime: {{ Now | Quote }}, lastHeartbeatTime: {{ Now | Quote }}}`
}
