import {
  AMOUNTS,
  CONDITIONS,
  CONTAINER_STATUSES,
  LABELS,
  NODE_TERMS,
  POD_SPEC,
  REF,
  RESOURCES,
  SELECTOR,
  TEMPLATE,
} from './parts.ts'
import type { Fields, Shape } from './pick.ts'

const workload: Fields = {
  spec: {
    replicas: 'number',
    paused: 'flag',
    selector: SELECTOR,
    template: TEMPLATE,
    serviceName: 'text',
    minReadySeconds: 'number',
    progressDeadlineSeconds: 'number',
    strategy: { type: 'text' },
    updateStrategy: { type: 'text', rollingUpdate: { partition: 'scalar' } },
    volumeClaimTemplates: [
      { metadata: { name: 'text' }, spec: { storageClassName: 'text', resources: RESOURCES } },
    ],
  },
  status: { conditions: CONDITIONS, '*': 'scalar' },
}
const jobSpec: Fields = {
  suspend: 'flag',
  managedBy: 'text',
  parallelism: 'number',
  completions: 'number',
  backoffLimit: 'number',
  activeDeadlineSeconds: 'number',
  ttlSecondsAfterFinished: 'number',
  template: TEMPLATE,
}
const backend: Shape = { service: { name: 'text', port: { name: 'text', number: 'number' } } }
const webhooks: Fields = {
  webhooks: [
    {
      name: 'text',
      failurePolicy: 'text',
      timeoutSeconds: 'number',
      clientConfig: { service: { ...REF, port: 'number' }, caBundle: 'certificates' },
    },
  ],
}
const policyPeers: Shape = [
  { podSelector: SELECTOR, namespaceSelector: SELECTOR, ipBlock: { cidr: 'text', except: ['text'] } },
]
const policyPorts: Shape = [{ port: 'scalar', endPort: 'number', protocol: 'text' }]

const BALANCED: Shape = {
  ingress: [{ ip: 'text', hostname: 'text', ports: [{ port: 'number', error: 'message' }] }],
}

/** The fields of Kubernetes' own kinds, besides their metadata. */
export const KUBERNETES_KINDS: Readonly<Record<string, Fields>> = {
  Pod: {
    spec: POD_SPEC,
    status: {
      phase: 'text',
      reason: 'text',
      message: 'message',
      startTime: 'text',
      nominatedNodeName: 'text',
      qosClass: 'text',
      podIP: 'text',
      conditions: CONDITIONS,
      initContainerStatuses: CONTAINER_STATUSES,
      containerStatuses: CONTAINER_STATUSES,
    },
  },
  Deployment: workload,
  ReplicaSet: workload,
  StatefulSet: workload,
  DaemonSet: workload,
  Job: { spec: jobSpec, status: { conditions: CONDITIONS, '*': 'scalar' } },
  CronJob: {
    spec: {
      schedule: 'text',
      timeZone: 'text',
      suspend: 'flag',
      concurrencyPolicy: 'text',
      startingDeadlineSeconds: 'number',
      jobTemplate: { spec: jobSpec },
    },
    status: { active: [REF], lastScheduleTime: 'text', lastSuccessfulTime: 'text' },
  },
  HorizontalPodAutoscaler: {
    spec: {
      scaleTargetRef: REF,
      minReplicas: 'number',
      maxReplicas: 'number',
      metrics: [
        { type: 'text', resource: { name: 'text', target: { type: 'text', averageUtilization: 'number' } } },
      ],
    },
    status: { conditions: CONDITIONS, currentReplicas: 'number', desiredReplicas: 'number' },
  },
  PodDisruptionBudget: {
    spec: { minAvailable: 'scalar', maxUnavailable: 'scalar', selector: SELECTOR },
    status: { conditions: CONDITIONS, '*': 'scalar' },
  },
  PriorityClass: { value: 'number', globalDefault: 'flag', preemptionPolicy: 'text' },
  Node: {
    spec: {
      unschedulable: 'flag',
      taints: [{ key: 'text', value: 'text', effect: 'text', timeAdded: 'text' }],
    },
    status: {
      conditions: CONDITIONS,
      capacity: AMOUNTS,
      allocatable: AMOUNTS,
      addresses: [{ type: 'text', address: 'text' }],
      nodeInfo: {
        kubeletVersion: 'text',
        containerRuntimeVersion: 'text',
        kernelVersion: 'text',
        osImage: 'text',
        architecture: 'text',
      },
      volumesAttached: [{ name: 'text' }],
      volumesInUse: ['text'],
    },
  },
  // The names of its keys alone: `withDerived` takes them from where its fields are listed.
  ConfigMap: { keys: ['text'] },
  Namespace: { status: { phase: 'text', conditions: CONDITIONS } },
  ServiceAccount: { imagePullSecrets: [{ name: 'text' }], secrets: [{ name: 'text' }] },
  RoleBinding: { roleRef: REF, subjects: [REF] },
  ClusterRoleBinding: { roleRef: REF, subjects: [REF] },
  ResourceQuota: { spec: { hard: AMOUNTS }, status: { hard: AMOUNTS, used: AMOUNTS } },
  LimitRange: {
    spec: {
      limits: [{ type: 'text', default: AMOUNTS, defaultRequest: AMOUNTS, max: AMOUNTS, min: AMOUNTS }],
    },
  },
  Service: {
    spec: {
      type: 'text',
      selector: LABELS,
      clusterIP: 'text',
      externalName: 'text',
      externalIPs: ['text'],
      externalTrafficPolicy: 'text',
      internalTrafficPolicy: 'text',
      loadBalancerIP: 'text',
      ports: [
        {
          name: 'text',
          port: 'number',
          targetPort: 'scalar',
          nodePort: 'number',
          protocol: 'text',
          appProtocol: 'text',
        },
      ],
    },
    status: { conditions: CONDITIONS, loadBalancer: BALANCED },
  },
  EndpointSlice: {
    addressType: 'text',
    ports: [{ name: 'text', port: 'number', protocol: 'text' }],
    endpoints: [
      {
        addresses: ['text'],
        conditions: { ready: 'flag', serving: 'flag', terminating: 'flag' },
        nodeName: 'text',
        targetRef: REF,
      },
    ],
  },
  Ingress: {
    spec: {
      ingressClassName: 'text',
      defaultBackend: backend,
      tls: [{ hosts: ['text'], secretName: 'text' }],
      rules: [{ host: 'text', http: { paths: [{ path: 'text', pathType: 'text', backend }] } }],
    },
    status: { loadBalancer: BALANCED },
  },
  IngressClass: { spec: { controller: 'text' } },
  NetworkPolicy: {
    spec: {
      podSelector: SELECTOR,
      policyTypes: ['text'],
      ingress: [{ from: policyPeers, ports: policyPorts }],
      egress: [{ to: policyPeers, ports: policyPorts }],
    },
  },
  PersistentVolumeClaim: {
    spec: {
      accessModes: ['text'],
      resources: RESOURCES,
      storageClassName: 'text',
      volumeName: 'text',
      volumeMode: 'text',
      selector: SELECTOR,
    },
    status: { phase: 'text', capacity: AMOUNTS, conditions: CONDITIONS },
  },
  PersistentVolume: {
    spec: {
      accessModes: ['text'],
      capacity: AMOUNTS,
      claimRef: REF,
      storageClassName: 'text',
      persistentVolumeReclaimPolicy: 'text',
      volumeMode: 'text',
      local: { path: 'text' },
      hostPath: { path: 'text', type: 'text' },
      csi: { driver: 'text' },
      nodeAffinity: { required: { nodeSelectorTerms: NODE_TERMS } },
    },
    status: { phase: 'text', reason: 'text', message: 'message', lastPhaseTransitionTime: 'text' },
  },
  StorageClass: {
    provisioner: 'text',
    reclaimPolicy: 'text',
    volumeBindingMode: 'text',
    allowVolumeExpansion: 'flag',
  },
  CertificateSigningRequest: {
    spec: { signerName: 'text', username: 'text' },
    status: { conditions: CONDITIONS },
  },
  VolumeAttachment: {
    spec: { attacher: 'text', nodeName: 'text', source: { persistentVolumeName: 'text' } },
    status: { attached: 'flag', attachError: { message: 'message', time: 'text' } },
  },
  Event: {
    involvedObject: { ...REF, fieldPath: 'text' },
    type: 'text',
    reason: 'text',
    message: 'message',
    action: 'text',
    count: 'number',
    firstTimestamp: 'text',
    lastTimestamp: 'text',
    eventTime: 'text',
    series: { count: 'number', lastObservedTime: 'text' },
    source: { component: 'text', host: 'text' },
    reportingComponent: 'text',
  },
  ValidatingWebhookConfiguration: webhooks,
  MutatingWebhookConfiguration: webhooks,
  APIService: { spec: { group: 'text', version: 'text', service: REF }, status: { conditions: CONDITIONS } },
}
