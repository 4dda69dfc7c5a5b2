/** A small healthy platform, its objects shaped as the API server of the bed gives them, and ways to damage it. */
import { diagnose } from '../../../../lib/diagnosis/diagnose.ts'
import type { Finding, RootCause, Rule } from '../../../../lib/diagnosis/finding.ts'
import { rules as backups } from '../../../../lib/diagnosis/rules/backups.ts'
import { rules as claims } from '../../../../lib/diagnosis/rules/claims.ts'
import { rules as cluster } from '../../../../lib/diagnosis/rules/cluster.ts'
import { rules as containers } from '../../../../lib/diagnosis/rules/containers.ts'
import { rules as creation } from '../../../../lib/diagnosis/rules/creation.ts'
import { rules as ingressBackends } from '../../../../lib/diagnosis/rules/ingress-backends.ts'
import { rules as needs } from '../../../../lib/diagnosis/rules/needs.ts'
import { rules as nodes } from '../../../../lib/diagnosis/rules/nodes.ts'
import { rules as podRules } from '../../../../lib/diagnosis/rules/pods.ts'
import { rules as services } from '../../../../lib/diagnosis/rules/services.ts'
import { rules as volumes } from '../../../../lib/diagnosis/rules/volumes.ts'
import { rules as workloads } from '../../../../lib/diagnosis/rules/workloads.ts'
import type { Snapshot } from '../../../../lib/diagnosis/snapshot.ts'
import { type KubeObject, refText } from '../../../../lib/kubectl/kubectl.ts'
import { indexOf, NOW, objectOf, snapshotOf } from './snapshots.ts'

/** The rules on Kubernetes' layers. */
export const RULES: readonly Rule[] = [
  ...nodes,
  ...cluster,
  ...claims,
  ...volumes,
  ...needs,
  ...containers,
  ...podRules,
  ...creation,
  ...workloads,
  ...services,
  ...ingressBackends,
  ...backups,
]

/** The time so many seconds ago. */
export const ago = (seconds: number): string => new Date(Date.parse(NOW) - seconds * 1000).toISOString()

const HOUR = 3600
const True = (type: string, more: object = {}) => ({
  type,
  status: 'True',
  lastTransitionTime: ago(HOUR),
  ...more,
})

/** The only node. */
export const node = (conditions: object[] = [True('Ready')], spec: object = {}): KubeObject =>
  objectOf('Node', undefined, 'server', {
    metadata: { labels: { 'kubernetes.io/hostname': 'server' }, creationTimestamp: ago(9 * HOUR) },
    spec,
    status: { conditions, allocatable: { cpu: '6', memory: '12Gi', pods: '110' } },
  })

const release = objectOf('HelmRelease', 'oas-apps', 'wekan', {
  spec: {
    valuesFrom: [
      { kind: 'ConfigMap', name: 'oas-wekan-values' },
      { kind: 'ConfigMap', name: 'oas-wekan-override', optional: true },
    ],
  },
})
const labels = { 'helm.toolkit.fluxcd.io/name': 'wekan', 'helm.toolkit.fluxcd.io/namespace': 'oas-apps' }
const template = { metadata: { labels: { app: 'wekan' } } }

/** wekan's Deployment. */
export const deployment = (spec: object = {}, status: object = {}): KubeObject =>
  objectOf('Deployment', 'oas-apps', 'wekan', {
    apiVersion: 'apps/v1',
    metadata: { labels, creationTimestamp: ago(HOUR) },
    spec: { replicas: 1, template, ...spec },
    status: {
      availableReplicas: 1,
      updatedReplicas: 1,
      conditions: [
        True('Available', { lastUpdateTime: ago(HOUR) }),
        True('Progressing', { lastUpdateTime: ago(HOUR), reason: 'NewReplicaSetAvailable' }),
      ],
      ...status,
    },
  })

/** Its ReplicaSet. */
export const replicaSet = (status: object = {}): KubeObject =>
  objectOf(
    'ReplicaSet',
    'oas-apps',
    'wekan-5f',
    {
      metadata: { annotations: { 'deployment.kubernetes.io/revision': '1' }, creationTimestamp: ago(HOUR) },
      spec: { replicas: 1 },
      status,
    },
    deployment(),
  )

const container = {
  name: 'wekan',
  image: 'ghcr.io/wekan/wekan:v8',
  resources: { limits: { memory: '512Mi' }, requests: { cpu: '50m', memory: '128Mi' } },
  env: [{ name: 'SECRET', valueFrom: { secretKeyRef: { name: 'oas-wekan', key: 'secret' } } }],
  envFrom: [{ configMapRef: { name: 'settings' } }],
}

/** What a pod of wekan may have of its own. */
export interface PodFields {
  status?: object
  spec?: object
  metadata?: object
  /** Seconds since it was made. */
  age?: number
  name?: string
}

/** The pod of wekan. */
export const pod = ({
  status,
  spec,
  metadata,
  age = HOUR,
  name = 'wekan-5f-a',
}: PodFields = {}): KubeObject =>
  objectOf(
    'Pod',
    'oas-apps',
    name,
    {
      metadata: { labels: { app: 'wekan' }, creationTimestamp: ago(age), ...metadata },
      spec: {
        nodeName: 'server',
        containers: [container],
        volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'wekan-data' } }],
        ...spec,
      },
      status: {
        phase: 'Running',
        startTime: ago(age),
        conditions: [True('PodScheduled', { lastTransitionTime: ago(age) }), True('Ready')],
        containerStatuses: [
          {
            name: 'wekan',
            ready: true,
            restartCount: 0,
            state: { running: { startedAt: ago(age) } },
            lastState: {},
          },
        ],
        ...status,
      },
    },
    replicaSet(),
  )

/** The status of a pod whose container is as told. */
export const containerIs = (status: object, more: object = {}) => ({
  containerStatuses: [
    {
      name: 'wekan',
      image: container.image,
      ready: false,
      restartCount: 0,
      state: {},
      lastState: {},
      ...status,
    },
  ],
  ...more,
})

/** The status of a pod that no node was found for. */
export const unscheduled = (message: string) => ({
  phase: 'Pending',
  startTime: undefined,
  containerStatuses: undefined,
  conditions: [
    { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message, lastTransitionTime: ago(60) },
  ],
})

/** An event about an object. */
export const event = (about: KubeObject, reason: string, message: string, more: object = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Event',
  metadata: {
    name: `${about.metadata.name}.${reason}`,
    namespace: about.metadata.namespace,
    creationTimestamp: ago(120),
  },
  involvedObject: {
    kind: about.kind,
    namespace: about.metadata.namespace,
    name: about.metadata.name,
  },
  reason,
  message,
  count: 1,
  lastTimestamp: ago(30),
  ...more,
})

/** The claim of wekan. */
export const claim = (spec: object = {}, status: object = {}, metadata: object = {}): KubeObject =>
  objectOf('PersistentVolumeClaim', 'oas-apps', 'wekan-data', {
    metadata: { creationTimestamp: ago(HOUR), ...metadata },
    spec: {
      storageClassName: 'local-path',
      volumeName: 'pvc-1',
      resources: { requests: { storage: '1Gi' } },
      ...spec,
    },
    status: { phase: 'Bound', capacity: { storage: '1Gi' }, ...status },
  })

/** The volume of wekan. */
export const volume = (status: object = {}, values: readonly string[] = ['server']): KubeObject =>
  objectOf('PersistentVolume', undefined, 'pvc-1', {
    metadata: { creationTimestamp: ago(HOUR) },
    spec: {
      claimRef: { namespace: 'oas-apps', name: 'wekan-data' },
      persistentVolumeReclaimPolicy: 'Delete',
      local: { path: '/var/lib/OpenAppStack/local-storage/pvc-1' },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [
            { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values }] },
          ],
        },
      },
    },
    status: { phase: 'Bound', lastPhaseTransitionTime: ago(HOUR), ...status },
  })

/** The default StorageClass. */
export const storageClass = (
  annotations: object = { 'storageclass.kubernetes.io/is-default-class': 'true' },
) =>
  objectOf('StorageClass', undefined, 'local-path', {
    metadata: { annotations },
    provisioner: 'rancher.io/local-path',
    volumeBindingMode: 'WaitForFirstConsumer',
  })

/** What makes its volumes. */
export const provisioner = (replicas = 1): KubeObject =>
  objectOf('Deployment', 'oas', 'local-path-provisioner', {
    metadata: {
      creationTimestamp: ago(HOUR),
      labels: { 'helm.toolkit.fluxcd.io/name': 'lpp', 'helm.toolkit.fluxcd.io/namespace': 'oas' },
    },
    spec: { replicas },
    status: { availableReplicas: replicas },
  })

const service = objectOf('Service', 'oas-apps', 'wekan', {
  metadata: { creationTimestamp: ago(HOUR) },
  spec: {
    type: 'ClusterIP',
    clusterIP: '10.43.0.7',
    selector: { app: 'wekan' },
    ports: [{ name: 'http', port: 8080 }],
  },
})
const slice = objectOf('EndpointSlice', 'oas-apps', 'wekan-x', {
  metadata: { labels: { 'kubernetes.io/service-name': 'wekan' } },
  endpoints: [{ addresses: ['10.42.0.7'], conditions: { ready: true } }],
})
const ingress = objectOf('Ingress', 'oas-apps', 'wekan', {
  spec: {
    ingressClassName: 'nginx',
    rules: [
      {
        host: 'wekan.example.org',
        http: { paths: [{ backend: { service: { name: 'wekan', port: { number: 8080 } } } }] },
      },
    ],
  },
})
const schedule = objectOf('Schedule', 'velero', 'nightly', {
  metadata: { creationTimestamp: ago(9 * HOUR) },
  spec: { schedule: '30 2 * * *', template: { storageLocation: 'default' } },
  status: { phase: 'Enabled' },
})
const others = [
  objectOf('ConfigMap', 'oas-apps', 'settings'),
  objectOf('IngressClass', undefined, 'nginx'),
  objectOf('Namespace', undefined, 'oas-apps', { status: { phase: 'Active' } }),
  objectOf('BackupStorageLocation', 'velero', 'default', { status: { phase: 'Available' } }),
  objectOf('HelmRelease', 'oas', 'lpp'),
  objectOf('ResourceQuota', 'oas-apps', 'few', { status: { hard: { pods: '1k' }, used: { pods: '3' } } }),
  objectOf('APIService', undefined, 'v1.apps', { status: { conditions: [True('Available')] } }),
]

/** All of it. */
export const PLATFORM: readonly KubeObject[] = [
  node(),
  release,
  deployment(),
  replicaSet(),
  pod(),
  claim(),
  volume(),
  storageClass(),
  provisioner(),
  service,
  slice,
  ingress,
  schedule,
  ...others,
]

const MORE = { secrets: [{ namespace: 'oas-apps', name: 'oas-wekan', type: 'Opaque', keys: { secret: 32 } }] }

/** The platform with these objects in the place of those with the same name, or beside them. */
export function platformWith(...changed: readonly KubeObject[]): KubeObject[] {
  const key = (object: KubeObject) => `${object.kind} ${object.metadata.namespace}/${object.metadata.name}`
  const keys = new Set(changed.map(key))
  return [...PLATFORM.filter(object => !keys.has(key(object))), ...changed]
}

/** The platform without an object. */
export const without = (objects: readonly KubeObject[], kind: string, name: string): KubeObject[] =>
  objects.filter(object => object.kind !== kind || object.metadata.name !== name)

/** What the rules tell of these objects, folded. */
export function judged(objects: readonly KubeObject[], more: Partial<Snapshot> = {}): RootCause[] {
  const { causes, gaps } = diagnose(snapshotOf(objects, { ...MORE, ...more }), RULES)
  if (gaps.length > (more.gaps?.length ?? 0)) throw new Error(JSON.stringify(gaps))
  return causes
}

/** The same in short: `rule Kind namespace/name` of each cause. */
export const told = (objects: readonly KubeObject[], more: Partial<Snapshot> = {}): string[] =>
  judged(objects, more).map(({ rule, subject }) => `${rule} ${refText(subject)}`)

/** The findings of some rules, unfolded. */
export const findings = (rules: readonly Rule[], objects: readonly KubeObject[]): Finding[] =>
  rules.flatMap(rule => rule(indexOf(objects, MORE)))
