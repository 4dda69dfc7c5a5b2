/** Faults in the layers of Kubernetes: pods, workloads, volumes, nodes, the cluster. */

import { type KubeObject, type Ref, refText } from '../../../lib/kubectl/kubectl.ts'
import { ROOT } from '../../../lib/script/files.ts'
import { until } from '../../../lib/script/wait.ts'
import { readObjects } from '../../bed/build/data.ts'
import type { ApartFault, Expected, Fault } from '../fault-suite.ts'
import type { Bed } from '../harness.ts'
import { type Added, added, both, edited, misled, overriding, ref } from './courses.ts'
import { diskPressure, noDiskPressure, PLAY, played, STAGES } from './kubelets.ts'

/** The namespace of what the tests add to the platform. */
const NAMESPACE = 'faults'

/** What the faults need: the Stages, and a namespace of their own. */
export async function prepare(bed: Bed): Promise<void> {
  for (const each of [...STAGES, diskPressure, noDiskPressure]) await bed.kubectl.apply(each)
  await makeNamespace(bed, NAMESPACE)
}

/** Makes a namespace, with the account that every pod needs. */
async function makeNamespace(bed: Bed, name: string): Promise<void> {
  await bed.kubectl.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  await appears(bed, ref('v1', 'ServiceAccount', 'default', name))
}

function appears(bed: Bed, wanted: Ref): Promise<true> {
  return until<string, true>(
    async () => ((await bed.kubectl.get(wanted)) ? { done: true } : { last: 'absent' }),
    { deadline: 180_000, every: 100, describe: last => last ?? '' },
  )
}

interface Shop {
  name?: string
  kind?: 'Deployment' | 'StatefulSet'
  namespace?: string
  /** The Stage that plays its kubelet. */
  play?: string
  /** Fields of the PodSpec. */
  pod?: object
  container?: object
}

/** A workload of one pod. */
function shop(options: Shop = {}): KubeObject {
  const { name = 'shop', kind = 'Deployment', namespace = NAMESPACE, play, pod, container } = options
  const labels = { app: name }
  return {
    apiVersion: 'apps/v1',
    kind,
    metadata: { name, namespace },
    spec: {
      replicas: 1,
      ...(kind === 'StatefulSet' ? { serviceName: name } : {}),
      selector: { matchLabels: labels },
      template: {
        metadata: { labels, ...(play ? { annotations: played(play) } : {}) },
        spec: {
          terminationGracePeriodSeconds: 0,
          containers: [{ name: 'app', image: 'docker.io/library/shop:2', ...container }],
          ...pod,
        },
      },
    },
  }
}

/** A claim for the shop. */
function claim(spec: object = {}): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: 'shop-data', namespace: NAMESPACE },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...spec },
  }
}

/** The shop with a volume. */
const storing = (): KubeObject =>
  shop({ pod: { volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'shop-data' } }] } })

const POD = /^Pod faults\/shop-/
const WEKAN = /^Pod oas-apps\/wekan-/
const NODE = ref('v1', 'Node', 'sandbox')
const diagnose = { script: 'diagnose' } as const

/** A pod that its kubelet has trouble with. */
const kubelet = (name: string, play: string, rule: string, remedy?: RegExp): Fault & Added => ({
  name,
  layer: 'pod',
  ...added(shop({ play })),
  expect: { rule, subject: POD, ...(remedy ? { remedy } : {}) },
})

/** The same with wekan, through all layers above. */
const wekan = (name: string, values: string, rule: string, remedy: RegExp): Fault => ({
  name,
  layer: 'pod',
  ...overriding('wekan', values),
  expect: { rule, subject: WEKAN, remedy },
})

const playing = (play: string) => `podAnnotations: {${PLAY}: ${play}}\n`

const pods: Fault[] = [
  wekan(
    'An application keeps crashing',
    playing('crash'),
    'pod-crash-looping',
    /scripts\/logs\.ts oas-apps\/wekan-\S+ --container wekan --previous/,
  ),
  wekan(
    'An application needs more memory than its limit',
    `${playing('out-of-memory')}resources: {limits: {memory: 300Mi}}\n`,
    'pod-out-of-memory',
    /memory limit by an override: npx tsx scripts\/override-app\.ts wekan/,
  ),
  wekan(
    'The registry of an image cannot be reached',
    'image: {repository: registry.invalid/wekan}\n',
    'image-registry-unreachable',
    /https:\/\/registry\.invalid\/v2\//,
  ),
  wekan(
    'No node has enough CPU for the request of an application',
    'resources: {requests: {cpu: "500"}}\n',
    'pod-unschedulable-resources',
    /lower what the pod requests by an override/,
  ),
  wekan(
    'An init container fails',
    playing('init-crash'),
    'pod-init-failing',
    /--container volume-permissions/,
  ),
  kubelet('An image does not exist', 'image-absent', 'image-not-found', /tag of the image/),
  kubelet('An image needs credentials', 'image-private', 'image-unauthorized', /pull secret/),
  kubelet('The registry refuses pulls: rate limit', 'image-limited', 'image-rate-limited', /wait/),
  kubelet('The certificate of a registry is not trusted', 'image-untrusted', 'image-registry-untrusted'),
  kubelet('The name of an image is not valid', 'image-name', 'image-name-invalid'),
  kubelet(
    'The command of a container does not exist',
    'not-startable',
    'pod-cannot-start',
    /correct its command/,
  ),
  kubelet('A container runs as root although that is forbidden', 'root', 'pod-cannot-start', /runAsUser/),
  kubelet('A container fails its liveness probe', 'liveness', 'pod-liveness-failing', /probe more time/),
  kubelet(
    'A container was killed for its memory use, and runs again',
    'killed-once',
    'pod-out-of-memory',
    /memory/,
  ),
  kubelet(
    'The host path that a pod mounts is not a directory',
    'no-mount',
    'pod-mount-failed',
    /describe pod/,
  ),
  {
    name: 'The network of a node does not accept pods',
    layer: 'node',
    ...added(shop({ play: 'no-sandbox' })),
    expect: { rule: 'node-network-failing', subject: /^Node sandbox$/, remedy: /restart k3s/ },
  },
  {
    name: 'A Secret that a pod needs is missing',
    layer: 'Secret',
    ...added(
      shop({
        play: 'no-secret',
        container: {
          env: [
            { name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'shop-password', key: 'password' } } },
          ],
        },
      }),
    ),
    expect: { rule: 'secret-missing', subject: /^Secret faults\/shop-password$/, remedy: /create it/ },
  },
  {
    name: 'A ConfigMap lacks a key that a pod needs',
    layer: 'ConfigMap',
    ...added(
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'shop-settings', namespace: NAMESPACE },
        data: {},
      },
      shop({ play: 'no-key' }),
    ),
    expect: {
      rule: 'configmap-key-missing',
      subject: /^ConfigMap faults\/shop-settings$/,
      remedy: /add the key/,
    },
  },
  {
    name: 'A pod requires a node that does not exist',
    layer: 'pod',
    ...added(shop({ pod: { nodeSelector: { disk: 'ssd' } } })),
    expect: { rule: 'pod-unschedulable-affinity', subject: POD, remedy: /label the node/ },
  },
  {
    name: 'Pods that were evicted from a full node are left behind',
    layer: 'pod',
    ...added({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'evicted', namespace: 'oas-apps', annotations: played('evicted') },
      spec: { containers: [{ name: 'app', image: 'shop' }] },
    }),
    expect: { rule: 'evicted-pods-left', subject: /^Namespace oas-apps$/, remedy: /delete-evicted-pods/ },
    fix: diagnose,
  },
  {
    name: 'A finalizer blocks the deletion of a pod',
    layer: 'pod',
    async seed(bed) {
      const pod = ref('v1', 'Pod', 'kept', NAMESPACE)
      await bed.kubectl.create({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: {
          name: 'kept',
          namespace: NAMESPACE,
          finalizers: ['faults.openappstack.net/keep'],
        } as object as KubeObject['metadata'],
        spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'app', image: 'shop' }] },
      })
      await bed.kubectl.delete(pod)
    },
    async heal(bed) {
      await bed.kubectl.patch(ref('v1', 'Pod', 'kept', NAMESPACE), { metadata: { finalizers: null } })
    },
    expect: { rule: 'pod-stuck-terminating', subject: /^Pod faults\/kept$/, remedy: /finalizer/ },
  },
]

const wekanDeployment = ref('apps/v1', 'Deployment', 'wekan', 'oas-apps')
const wekanIngress = ref('networking.k8s.io/v1', 'Ingress', 'wekan', 'oas-apps')

const failing: KubeObject = {
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: { name: 'shop-import', namespace: NAMESPACE },
  spec: {
    backoffLimit: 0,
    template: {
      metadata: { annotations: played('job-end') },
      spec: { restartPolicy: 'Never', containers: [{ name: 'import', image: 'shop' }] },
    },
  },
}

const workloads: Fault[] = [
  {
    name: 'An application was scaled to 0',
    layer: 'workload',
    ...edited(wekanDeployment, { spec: { replicas: 0 } }, { spec: { replicas: 1 } }),
    expect: {
      rule: 'workload-scaled-to-zero',
      subject: /^Deployment oas-apps\/wekan$/,
      remedy: /flux reconcile helmrelease wekan -n oas-apps --force/,
    },
    fix: diagnose,
  },
  {
    name: 'The rollout of an application was paused',
    layer: 'workload',
    ...edited(wekanDeployment, { spec: { paused: true } }, { spec: { paused: null } }),
    expect: { rule: 'workload-paused', subject: /^Deployment oas-apps\/wekan$/, remedy: /rollout resume/ },
    fix: diagnose,
  },
  {
    name: 'A corrected StatefulSet waits for its broken pod',
    layer: 'workload',
    async seed(bed) {
      await bed.kubectl.apply(shop({ kind: 'StatefulSet', namespace: 'oas-apps', play: 'image-absent' }))
      await appears(bed, ref('v1', 'Pod', 'shop-0', 'oas-apps'))
      // The administrator corrects it; a merge patch takes the annotation away.
      const set = ref('apps/v1', 'StatefulSet', 'shop', 'oas-apps')
      await until<string, true>(
        async () => {
          const pod = await bed.kubectl.get(ref('v1', 'Pod', 'shop-0', 'oas-apps'))
          const waits = pod?.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'ImagePullBackOff'
          return waits ? { done: true } : { last: JSON.stringify(pod?.status) }
        },
        { deadline: 180_000, every: 100, describe: last => last ?? '' },
      )
      await bed.kubectl.patch(set, { spec: { template: { metadata: { annotations: { [PLAY]: null } } } } })
    },
    async heal(bed) {
      await bed.kubectl.delete(ref('apps/v1', 'StatefulSet', 'shop', 'oas-apps'))
    },
    expect: { rule: 'pod-of-old-revision', subject: /^Pod oas-apps\/shop-0$/, remedy: /delete pod shop-0/ },
    fix: diagnose,
  },
  {
    name: 'A Job has failed too often',
    layer: 'workload',
    ...added(failing),
    expect: { rule: 'job-failed', subject: /^Job faults\/shop-import$/, remedy: /logs job\/shop-import/ },
  },
  {
    name: 'Pods use a ServiceAccount that does not exist',
    layer: 'workload',
    ...added(shop({ pod: { serviceAccountName: 'shopkeeper' } })),
    expect: { rule: 'service-account-missing', subject: /^ServiceAccount faults\/shopkeeper$/ },
  },
  {
    name: 'A quota has no room for a pod',
    layer: 'namespace',
    ...added(
      {
        apiVersion: 'v1',
        kind: 'ResourceQuota',
        metadata: { name: 'few', namespace: NAMESPACE },
        spec: { hard: { pods: '0' } },
      },
      shop(),
    ),
    expect: {
      rule: 'quota-exhausted',
      subject: /^ResourceQuota faults\/few$/,
      remedy: /edit resourcequota few/,
    },
  },
  {
    name: 'A quota requires limits that a pod does not set',
    layer: 'namespace',
    ...added(
      {
        apiVersion: 'v1',
        kind: 'ResourceQuota',
        metadata: { name: 'memory', namespace: NAMESPACE },
        spec: { hard: { 'limits.memory': '1Gi' } },
      },
      shop(),
    ),
    expect: { rule: 'pods-refused-by-quota', subject: /^Deployment faults\/shop$/, remedy: /LimitRange/ },
  },
  {
    name: 'The pod security of a namespace rejects a pod',
    layer: 'namespace',
    ...both(
      edited(
        ref('v1', 'Namespace', NAMESPACE),
        { metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } } },
        { metadata: { labels: { 'pod-security.kubernetes.io/enforce': null } } },
      ),
      added(shop()),
    ),
    expect: {
      rule: 'pods-refused-by-pod-security',
      subject: /^Deployment faults\/shop$/,
      remedy: /security context/,
    },
  },
  {
    name: 'The Service of an application selects no pod',
    layer: 'service',
    ...edited(
      ref('v1', 'Service', 'wekan', 'oas-apps'),
      { spec: { selector: { component: 'wekam' } } },
      { spec: { selector: { component: 'wekan' } } },
    ),
    expect: {
      rule: 'service-selects-nothing',
      subject: /^Service oas-apps\/wekan$/,
      remedy: /correct its selector/,
    },
  },
  {
    name: 'An Ingress names a Service that does not exist',
    layer: 'ingress',
    ...misled(wekanIngress, backend => ({ ...backend, name: 'wekam' })),
    expect: {
      rule: 'ingress-service-missing',
      subject: /^Ingress oas-apps\/wekan$/,
      remedy: /name of the Service/,
    },
  },
  {
    name: 'An Ingress names a port that its Service does not have',
    layer: 'ingress',
    ...misled(wekanIngress, backend => ({ ...backend, port: { number: 8089 } })),
    expect: {
      rule: 'ingress-port-missing',
      subject: /^Ingress oas-apps\/wekan$/,
      remedy: /correct the port/,
    },
  },
  {
    name: 'An Ingress has a class that no controller serves',
    layer: 'ingress',
    ...edited(wekanIngress, { spec: { ingressClassName: 'nginz' } }, { spec: { ingressClassName: 'nginx' } }),
    expect: { rule: 'ingress-class-missing', subject: /^Ingress oas-apps\/wekan$/, remedy: /there is nginx/ },
  },
]

const DEFAULT_CLASS = 'storageclass.kubernetes.io/is-default-class'
const localPath = ref('storage.k8s.io/v1', 'StorageClass', 'local-path')
const provisioner = ref('apps/v1', 'Deployment', 'local-path-provisioner', 'oas')
const provisioning = readObjects(`${ROOT}/test/bed/stages/volume.yaml`).find(
  ({ metadata }) => metadata.name === 'pvc-provision',
)!

const volumes: Fault[] = [
  {
    name: 'A pod names a claim that does not exist',
    layer: 'volume',
    ...added(storing()),
    expect: {
      rule: 'claim-missing',
      subject: /^PersistentVolumeClaim faults\/shop-data$/,
      remedy: /name of the claim/,
    },
  },
  {
    name: 'A claim names a StorageClass that does not exist',
    layer: 'volume',
    ...added(claim({ storageClassName: 'ceph' }), storing()),
    expect: {
      rule: 'claim-class-missing',
      subject: /^PersistentVolumeClaim faults\/shop-data$/,
      remedy: /there is local-path/,
    },
  },
  {
    name: 'There is no default StorageClass any more',
    layer: 'volume',
    ...both(
      edited(
        localPath,
        { metadata: { annotations: { [DEFAULT_CLASS]: null } } },
        { metadata: { annotations: { [DEFAULT_CLASS]: 'true' } } },
      ),
      added(claim(), storing()),
    ),
    expect: {
      rule: 'claim-without-class',
      subject: /^PersistentVolumeClaim faults\/shop-data$/,
      remedy: /make local-path the default class/,
    },
    fix: diagnose,
  },
  {
    name: 'The volume provisioner is scaled to 0',
    layer: 'volume',
    ...both(
      {
        async seed(bed) {
          await bed.kubectl.patch(provisioner, { spec: { replicas: 0 } })
          // The Stage that plays it ends with it.
          await bed.kubectl.delete(ref(provisioning.apiVersion, 'Stage', 'pvc-provision'))
        },
        async heal(bed) {
          await bed.kubectl.patch(provisioner, { spec: { replicas: 1 } })
          await bed.kubectl.apply(provisioning)
        },
      },
      added(claim({ storageClassName: 'local-path' }), storing()),
    ),
    expect: {
      rule: 'workload-scaled-to-zero',
      subject: /^Deployment oas\/local-path-provisioner$/,
      remedy: /flux reconcile helmrelease local-path-provisioner/,
    },
    fix: {
      ...diagnose,
      after: async bed => {
        await bed.kubectl.apply(provisioning)
      },
    },
  },
  {
    name: 'Two StorageClasses are the default',
    layer: 'volume',
    ...added({
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      metadata: {
        name: 'second',
        annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' },
      },
      provisioner: 'example.org/second',
    } as KubeObject),
    expect: {
      rule: 'two-default-classes',
      subject: /^StorageClass second$/,
      remedy: /remove the annotation from the others/,
    },
  },
  {
    name: 'A volume is on a node that was removed',
    layer: 'volume',
    ...added(
      {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name: 'shop-data' },
        spec: {
          accessModes: ['ReadWriteOnce'],
          capacity: { storage: '1Gi' },
          storageClassName: 'local-path',
          persistentVolumeReclaimPolicy: 'Delete',
          claimRef: { name: 'shop-data', namespace: NAMESPACE },
          local: { path: '/var/lib/OpenAppStack/local-storage/shop' },
          nodeAffinity: {
            required: {
              nodeSelectorTerms: [
                { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: ['former'] }] },
              ],
            },
          },
        },
      },
      claim({ storageClassName: 'local-path', volumeName: 'shop-data' }),
      storing(),
    ),
    expect: {
      rule: 'volume-node-missing',
      subject: /^PersistentVolume shop-data$/,
      remedy: /bring that node back/,
    },
  },
]

const webhook: KubeObject = {
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'ValidatingWebhookConfiguration',
  metadata: { name: 'former-policy' },
  webhooks: [
    {
      name: 'pods.former-policy.example.org',
      admissionReviewVersions: ['v1'],
      sideEffects: 'None',
      timeoutSeconds: 2,
      clientConfig: { service: { namespace: 'former-policy', name: 'policy' } },
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': NAMESPACE } },
      rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
    },
  ],
}

const api: KubeObject = {
  apiVersion: 'apiregistration.k8s.io/v1',
  kind: 'APIService',
  metadata: { name: 'v1.former.example.org' },
  spec: {
    group: 'former.example.org',
    version: 'v1',
    groupPriorityMinimum: 100,
    versionPriority: 100,
    insecureSkipTLSVerify: true,
    service: { namespace: 'former', name: 'api' },
  },
}

const taint = { key: 'example.org/upgrade', value: 'yes', effect: 'NoSchedule' }

const cluster: Fault[] = [
  {
    name: 'A node was cordoned, and a pod is pending',
    layer: 'node',
    ...both(
      edited(NODE, { spec: { unschedulable: true } }, { spec: { unschedulable: null } }),
      added(shop()),
    ),
    expect: { rule: 'node-cordoned', subject: /^Node sandbox$/, remedy: /kubectl uncordon sandbox/ },
    fix: diagnose,
  },
  {
    name: 'A node has a taint that no pod tolerates',
    layer: 'node',
    ...both(edited(NODE, { spec: { taints: [taint] } }, { spec: { taints: null } }), added(shop())),
    expect: {
      rule: 'pod-unschedulable-taint',
      subject: POD,
      remedy: /kubectl taint node sandbox example\.org\/upgrade:NoSchedule-/,
    },
  },
  {
    name: 'The disk of a node is full',
    layer: 'node',
    ...edited(
      NODE,
      { metadata: { annotations: played('disk-pressure') } },
      { metadata: { annotations: played('disk-room') } },
    ),
    expect: { rule: 'node-disk-pressure', subject: /^Node sandbox$/, remedy: /make room/ },
  },
  {
    name: 'A webhook without a server rejects pods',
    layer: 'cluster',
    ...added(webhook, shop()),
    expect: {
      rule: 'webhook-without-endpoints',
      subject: /^ValidatingWebhookConfiguration former-policy$/,
      remedy: /delete the configuration/,
    },
  },
  {
    name: 'A registered API has no server',
    layer: 'cluster',
    ...added(api),
    expect: {
      rule: 'api-unavailable',
      subject: /^APIService v1\.former\.example\.org$/,
      remedy: /delete apiservice/,
    },
  },
  {
    name: 'A finalizer blocks the deletion of a namespace',
    layer: 'namespace',
    async seed(bed) {
      await bed.kubectl.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'going' } })
      await bed.kubectl.create({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: {
          name: 'kept',
          namespace: 'going',
          finalizers: ['faults.openappstack.net/keep'],
        } as object as KubeObject['metadata'],
      })
      await bed.kubectl.delete(ref('v1', 'Namespace', 'going'))
    },
    async heal(bed) {
      await bed.kubectl.patch(ref('v1', 'ConfigMap', 'kept', 'going'), { metadata: { finalizers: null } })
    },
    expect: { rule: 'namespace-stuck-terminating', subject: /^Namespace going$/, remedy: /finalizer/ },
  },
  {
    name: 'The scheduler does not work',
    layer: 'cluster',
    ...both(
      {
        seed: bed => bed.signal('kube-scheduler', 'SIGSTOP'),
        heal: bed => bed.signal('kube-scheduler', 'SIGCONT'),
      },
      added(shop()),
    ),
    expect: { rule: 'scheduler-silent', subject: POD, remedy: /restart k3s/ },
  },
  {
    name: 'The bucket for backups does not exist',
    layer: 'backup',
    ...edited(
      ref('velero.io/v1', 'BackupStorageLocation', 'default', 'velero'),
      { metadata: { annotations: played('unavailable') } },
      { metadata: { annotations: { [PLAY]: null } } },
    ),
    expect: {
      rule: 'backup-location-unavailable',
      subject: /^BackupStorageLocation velero\/default$/,
      remedy: /--only backup/,
    },
  },
  {
    name: 'Two places for backups are the default',
    layer: 'backup',
    ...added({
      apiVersion: 'velero.io/v1',
      kind: 'BackupStorageLocation',
      metadata: { name: 'second', namespace: 'velero' },
      spec: { provider: 'aws', default: true, objectStorage: { bucket: 'second' } },
    }),
    expect: {
      rule: 'two-default-classes',
      subject: /^BackupStorageLocation velero\/second$/,
      remedy: /spec\.default of the others to false/,
    },
  },
  {
    name: 'The backups were paused',
    layer: 'backup',
    ...edited(
      ref('velero.io/v1', 'Schedule', 'velero-nightly', 'velero'),
      { spec: { paused: true } },
      { spec: { paused: false } },
    ),
    expect: {
      rule: 'backup-schedule-paused',
      subject: /^Schedule velero\/velero-nightly$/,
      remedy: /resume the backups/,
    },
    fix: diagnose,
  },
]

const atOnce: Fault[] = [
  {
    name: 'An application crashes, and a claim is missing',
    layer: 'several',
    ...both(added(shop({ name: 'bank', play: 'crash' })), added(storing())),
    expect: [
      { rule: 'pod-crash-looping', subject: /^Pod faults\/bank-/ },
      { rule: 'claim-missing', subject: /^PersistentVolumeClaim faults\/shop-data$/ },
    ],
  },
  {
    name: 'Wekan is scaled to 0, and an image does not exist',
    layer: 'several',
    ...both(
      edited(wekanDeployment, { spec: { replicas: 0 } }, { spec: { replicas: 1 } }),
      added(shop({ play: 'image-absent' })),
    ),
    expect: [
      { rule: 'workload-scaled-to-zero', subject: /^Deployment oas-apps\/wekan$/ },
      { rule: 'image-not-found', subject: POD },
    ],
  },
]

/** The faults, in the order of the table. */
export const faults: readonly Fault[] = [...pods, ...workloads, ...volumes, ...cluster, ...atOnce]

const isAdded = (fault: Fault): fault is Fault & Added =>
  'objects' in fault &&
  (fault.objects as KubeObject[]).every(({ metadata }) => metadata.namespace === NAMESPACE)

/** Those that are nothing but objects in one namespace, each in a namespace of its own: they are there all at once. */
export const apart: readonly ApartFault[] = faults
  .filter(isAdded)
  .filter(({ fix }) => !fix)
  .map((fault, i) => inNamespace(fault, `${NAMESPACE}-${i + 1}`))

/** The others: one at a time. */
export const alone: readonly Fault[] = faults.filter(({ name }) => !apart.some(each => each.name === name))

function inNamespace(fault: Fault & Added, namespace: string): ApartFault {
  const { rule, subject, remedy } = fault.expect as Expected
  const { seed, heal } = added(
    ...fault.objects.map(object => ({ ...object, metadata: { ...object.metadata, namespace } })),
  )
  const pattern = new RegExp(subject.source.replace(`${NAMESPACE}\\/`, `${namespace}\\/`))
  return {
    ...fault,
    async seed(bed) {
      await makeNamespace(bed, namespace)
      await seed(bed)
    },
    heal,
    expect: { rule, subject: pattern, remedy },
    concerns: ({ subject, explains }) =>
      pattern.test(refText(subject)) ||
      [{ subject }, ...explains].some(each => each.subject.namespace === namespace),
  }
}
