import type { Fields, Shape } from './pick.ts'

/**
 * The parts of objects that facts hold, for the tables of kinds beside it. What is not here is not read: command lines, values of variables, hooks,
 * what probes send, options of volume drivers and annotations of others may all be secrets. A rule that needs another
 * field adds it here; that field must not be one that people write passwords into.
 */

/** What names another object. */
export const REF: Fields = { apiVersion: 'text', kind: 'text', name: 'text', namespace: 'text', uid: 'text' }
const NAMED: Shape = { name: 'text', key: 'text', optional: 'flag' }
/** Labels, and what selects by them. */
export const LABELS: Shape = { '*': 'text' }
/** Amounts by resource. */
export const AMOUNTS: Shape = { '*': 'scalar' }
/** A label selector. */
export const SELECTOR: Shape = {
  matchLabels: LABELS,
  matchExpressions: [{ key: 'text', operator: 'text', values: ['text'] }],
}
/** The conditions of a status. */
export const CONDITIONS: Shape = [
  {
    type: 'text',
    status: 'text',
    reason: 'text',
    message: 'message',
    observedGeneration: 'number',
    lastTransitionTime: 'text',
    lastUpdateTime: 'text',
    lastHeartbeatTime: 'text',
    lastProbeTime: 'text',
  },
]

/** What objects of other kinds say of themselves; of the Gateway API also for each parent, listener and ancestor. */
export const UNKNOWN: Fields = {
  phase: 'text',
  state: 'text',
  reason: 'message',
  phaseReason: 'message',
  message: 'message',
  errors: ['message'],
  // The steps of it that have not worked, of whatever field: `stuckIn` takes them out.
  stuck: [{ phase: 'text', message: 'message' }],
  error: { message: 'message' },
  health: { status: 'text', message: 'message' },
  robustness: 'text',
  jobName: 'text',
  nodeName: 'text',
  operation: 'text',
  replicas: 'number',
  instances: 'number',
  readyReplicas: 'number',
  readyInstances: 'number',
  readyToUse: 'flag',
  connectionState: { lastObservedState: 'text' },
  conditions: CONDITIONS,
  parents: [{ conditions: CONDITIONS }],
  listeners: [{ conditions: CONDITIONS }],
  ancestors: [{ conditions: CONDITIONS }],
}

/**
 * Annotations of the platform's own programs, and which hook of Helm something is; no value of others is kept. Of the
 * path that ingress-nginx rewrites to only the groups are left: `withDerived` sees to it.
 */
const ANNOTATIONS: Shape = Object.fromEntries(
  [
    'acme.cert-manager.io/http01-edit-in-place',
    'backup.velero.io/backup-volumes-excludes',
    'cert-manager.io/certificate-name',
    'cert-manager.io/certificate-revision',
    'cert-manager.io/cluster-issuer',
    'cert-manager.io/issuer',
    'cert-manager.io/issuer-kind',
    'cert-manager.io/issuer-name',
    'cert-manager.io/issue-temporary-certificate',
    'deployment.kubernetes.io/revision',
    'downscaler/original-replicas',
    'helm.sh/hook',
    'helm.sh/hook-weight',
    'helm.toolkit.fluxcd.io/driftDetection',
    'ingressclass.kubernetes.io/is-default-class',
    'kubectl.kubernetes.io/restartedAt',
    'kubernetes.io/ingress.class',
    'kubernetes.io/tls-acme',
    'kustomize.toolkit.fluxcd.io/prune',
    'kustomize.toolkit.fluxcd.io/reconcile',
    'meta.helm.sh/release-name',
    'meta.helm.sh/release-namespace',
    'nginx.ingress.kubernetes.io/canary',
    'nginx.ingress.kubernetes.io/rewrite-target',
    'openappstack.net/replicas-before-migration',
    'openappstack.net/replicas-before-restore',
    'openappstack.net/wrong-in-bucket',
    'pv.kubernetes.io/bind-completed',
    'reconcile.fluxcd.io/forceAt',
    'reconcile.fluxcd.io/requestedAt',
    'reconcile.fluxcd.io/resetAt',
    'storageclass.kubernetes.io/is-default-class',
    'traefik.ingress.kubernetes.io/router.entrypoints',
    'traefik.ingress.kubernetes.io/router.middlewares',
    'traefik.ingress.kubernetes.io/router.priority',
    'volume.kubernetes.io/selected-node',
    'volume.kubernetes.io/storage-provisioner',
  ].map(name => [name, 'text']),
)

/** Every object's metadata, without annotations of others. */
export const METADATA: Fields = {
  name: 'text',
  namespace: 'text',
  uid: 'text',
  resourceVersion: 'text',
  generation: 'number',
  creationTimestamp: 'text',
  deletionTimestamp: 'text',
  finalizers: ['text'],
  labels: LABELS,
  annotations: ANNOTATIONS,
  ownerReferences: [{ ...REF, controller: 'flag', blockOwnerDeletion: 'flag' }],
  managedFields: [{ subresource: 'text', time: 'text' }],
}

const TERMINATED: Shape = {
  exitCode: 'number',
  signal: 'number',
  reason: 'text',
  message: 'message',
  startedAt: 'text',
  finishedAt: 'text',
}
const STATE: Shape = {
  waiting: { reason: 'text', message: 'message' },
  running: { startedAt: 'text' },
  terminated: TERMINATED,
}
/** How containers are. */
export const CONTAINER_STATUSES: Shape = [
  {
    name: 'text',
    image: 'text',
    imageID: 'text',
    ready: 'flag',
    started: 'flag',
    restartCount: 'number',
    state: STATE,
    lastState: STATE,
  },
]
/** When a probe asks, and what kind of question it is; never what it sends or runs. */
const PROBE: Shape = {
  initialDelaySeconds: 'number',
  periodSeconds: 'number',
  timeoutSeconds: 'number',
  failureThreshold: 'number',
  successThreshold: 'number',
  httpGet: { port: 'scalar', scheme: 'text', path: 'path' },
  exec: {},
  tcpSocket: { port: 'scalar' },
  grpc: { port: 'scalar' },
}
/** What is requested, and the limits. */
export const RESOURCES: Shape = { requests: AMOUNTS, limits: AMOUNTS }
const CONTAINERS: Shape = [
  {
    name: 'text',
    image: 'text',
    imagePullPolicy: 'text',
    restartPolicy: 'text',
    resources: RESOURCES,
    ports: [{ name: 'text', containerPort: 'number', hostPort: 'number', protocol: 'text' }],
    env: [{ name: 'text', valueFrom: { secretKeyRef: NAMED, configMapKeyRef: NAMED }, shadowed: 'flag' }],
    envFrom: [{ secretRef: NAMED, configMapRef: NAMED }],
    volumeMounts: [{ name: 'text', readOnly: 'flag', mountPath: 'folder', subPath: 'file' }],
    livenessProbe: PROBE,
    readinessProbe: PROBE,
    startupProbe: PROBE,
    securityContext: {
      runAsNonRoot: 'flag',
      runAsUser: 'number',
      privileged: 'flag',
      readOnlyRootFilesystem: 'flag',
    },
  },
]
const FILES: Shape = { name: 'text', secretName: 'text', optional: 'flag', items: [{ key: 'text' }] }
/** Terms that select nodes. */
export const NODE_TERMS: Shape = [
  {
    matchExpressions: [{ key: 'text', operator: 'text', values: ['text'] }],
    matchFields: [{ key: 'text', operator: 'text', values: ['text'] }],
  },
]
const POD_TERM: Shape = {
  labelSelector: SELECTOR,
  namespaces: ['text'],
  namespaceSelector: SELECTOR,
  topologyKey: 'text',
}
const POD_AFFINITY: Shape = {
  requiredDuringSchedulingIgnoredDuringExecution: [POD_TERM],
  preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 'number', podAffinityTerm: POD_TERM }],
}

/** The part of a pod's spec that says where and of what it runs. */
export const POD_SPEC: Shape = {
  nodeName: 'text',
  nodeSelector: LABELS,
  affinity: {
    nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: NODE_TERMS } },
    podAffinity: POD_AFFINITY,
    podAntiAffinity: POD_AFFINITY,
  },
  topologySpreadConstraints: [
    { maxSkew: 'number', topologyKey: 'text', whenUnsatisfiable: 'text', labelSelector: SELECTOR },
  ],
  tolerations: [
    { key: 'text', operator: 'text', value: 'text', effect: 'text', tolerationSeconds: 'number' },
  ],
  schedulerName: 'text',
  schedulingGates: [{ name: 'text' }],
  readinessGates: [{ conditionType: 'text' }],
  serviceAccountName: 'text',
  automountServiceAccountToken: 'flag',
  priority: 'number',
  priorityClassName: 'text',
  preemptionPolicy: 'text',
  runtimeClassName: 'text',
  restartPolicy: 'text',
  dnsPolicy: 'text',
  dnsConfig: { nameservers: ['text'] },
  hostNetwork: 'flag',
  terminationGracePeriodSeconds: 'number',
  activeDeadlineSeconds: 'number',
  imagePullSecrets: [{ name: 'text' }],
  securityContext: { runAsNonRoot: 'flag', runAsUser: 'number', fsGroup: 'number' },
  volumes: [
    {
      name: 'text',
      secret: FILES,
      configMap: FILES,
      projected: { sources: [{ secret: FILES, configMap: FILES }] },
      persistentVolumeClaim: { claimName: 'text', readOnly: 'flag' },
      hostPath: { path: 'text', type: 'text' },
      emptyDir: { medium: 'text', sizeLimit: 'scalar' },
      image: { reference: 'text' },
    },
  ],
  initContainers: CONTAINERS,
  containers: CONTAINERS,
}
/** What pods are made from. */
export const TEMPLATE: Shape = { metadata: { labels: LABELS }, spec: POD_SPEC }
