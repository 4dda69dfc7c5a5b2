import { CONDITIONS, LABELS, REF, SELECTOR, UNKNOWN } from './parts.ts'
import type { Fields, Shape } from './pick.ts'

const fluxStatus: Fields = {
  conditions: CONDITIONS,
  observedGeneration: 'number',
  lastHandledReconcileAt: 'text',
  lastAppliedRevision: 'text',
  lastAttemptedRevision: 'text',
  artifact: { revision: 'text', lastUpdateTime: 'text' },
}
const flux: Fields = { suspend: 'flag', interval: 'text', timeout: 'text', sourceRef: REF, dependsOn: [REF] }
const source: Fields = {
  ...flux,
  url: 'url',
  ref: { branch: 'text', tag: 'text', semver: 'text', commit: 'text', name: 'text' },
  secretRef: REF,
  type: 'text',
  chart: 'text',
  version: 'text',
  bucketName: 'text',
  endpoint: 'text',
}
const valuesFrom: Shape = [
  { kind: 'text', name: 'text', optional: 'flag', valuesKey: 'text', targetPath: 'text' },
]
const issuer: Fields = {
  spec: {
    acme: {
      server: 'url',
      email: 'text',
      caBundle: 'certificates',
      privateKeySecretRef: REF,
      solvers: [
        {
          selector: { dnsNames: ['text'], dnsZones: ['text'], matchLabels: LABELS },
          http01: { ingress: { class: 'text', ingressClassName: 'text', name: 'text' } },
          dns01: {},
        },
      ],
    },
    ca: { secretName: 'text' },
    selfSigned: {},
  },
  status: { conditions: CONDITIONS, acme: { uri: 'url' } },
}
const velero: Fields = {
  phase: 'text',
  message: 'message',
  failureReason: 'message',
  validationErrors: ['message'],
  errors: 'number',
  warnings: 'number',
  startTimestamp: 'text',
  completionTimestamp: 'text',
  expiration: 'text',
  lastBackup: 'text',
  lastValidationTime: 'text',
  snapshotID: 'text',
  hookStatus: { hooksAttempted: 'number', hooksFailed: 'number' },
  progress: { itemsBackedUp: 'number', totalItems: 'number', bytesDone: 'number', totalBytes: 'number' },
}
const volumeBackup: Fields = {
  spec: {
    pod: REF,
    volume: 'text',
    node: 'text',
    backupStorageLocation: 'text',
    sourceNamespace: 'text',
    sourcePVC: 'text',
  },
  status: velero,
}

/** Where requests are sent. */
const ROUTES: Shape = [{ route: [{ destination: { host: 'text', subset: 'text' } }] }]

/** The fields of the kinds of Flux, cert-manager, hydra and Velero, besides their metadata. */
export const PLATFORM_KINDS: Readonly<Record<string, Fields>> = {
  GitRepository: { spec: source, status: fluxStatus },
  HelmRepository: { spec: source, status: fluxStatus },
  OCIRepository: { spec: source, status: fluxStatus },
  Bucket: { spec: source, status: fluxStatus },
  HelmChart: { spec: source, status: fluxStatus },
  Kustomization: {
    spec: {
      ...flux,
      path: 'text',
      serviceAccountName: 'text',
      prune: 'flag',
      wait: 'flag',
      force: 'flag',
      targetNamespace: 'text',
      retryInterval: 'text',
      postBuild: { substituteFrom: [{ kind: 'text', name: 'text', optional: 'flag' }] },
      healthChecks: [REF],
    },
    // Those of v1beta1 have a snapshot in place of an inventory.
    status: {
      ...fluxStatus,
      inventory: { entries: [{ id: 'text', v: 'text' }] },
      snapshot: { checksum: 'text' },
    },
  },
  HelmRelease: {
    spec: {
      ...flux,
      chart: { spec: { chart: 'text', version: 'text', sourceRef: REF } },
      chartRef: REF,
      releaseName: 'text',
      targetNamespace: 'text',
      storageNamespace: 'text',
      valuesFrom,
      install: { remediation: { retries: 'number' }, strategy: { name: 'text' } },
      upgrade: {
        force: 'flag',
        remediation: { retries: 'number', strategy: 'text' },
        strategy: { name: 'text' },
      },
    },
    status: {
      ...fluxStatus,
      failures: 'number',
      installFailures: 'number',
      upgradeFailures: 'number',
      helmChart: 'text',
      storageNamespace: 'text',
      history: [
        {
          name: 'text',
          namespace: 'text',
          version: 'number',
          chartName: 'text',
          chartVersion: 'text',
          status: 'text',
          firstDeployed: 'text',
          lastDeployed: 'text',
          deleted: 'text',
        },
      ],
    },
  },
  Certificate: {
    spec: {
      secretName: 'text',
      dnsNames: ['text'],
      commonName: 'text',
      issuerRef: REF,
      duration: 'text',
      renewBefore: 'text',
    },
    status: {
      conditions: CONDITIONS,
      revision: 'number',
      notBefore: 'text',
      notAfter: 'text',
      renewalTime: 'text',
      lastFailureTime: 'text',
      failedIssuanceAttempts: 'number',
      nextPrivateKeySecretName: 'text',
    },
  },
  CertificateRequest: {
    spec: { issuerRef: REF, isCA: 'flag' },
    status: { conditions: CONDITIONS, failureTime: 'text' },
  },
  Issuer: issuer,
  ClusterIssuer: issuer,
  Order: {
    spec: { dnsNames: ['text'], commonName: 'text', issuerRef: REF },
    status: { state: 'text', reason: 'message', failureTime: 'text', url: 'url' },
  },
  // A challenge's token and key are read by everybody over HTTP.
  Challenge: {
    spec: { dnsName: 'text', type: 'text', token: 'text', key: 'text', issuerRef: REF, wildcard: 'flag' },
    status: { state: 'text', reason: 'message', processing: 'flag', presented: 'flag' },
  },
  // Of the plugins for networks and meshes: whom they select, and where they lead.
  BGPPeer: { spec: { nodeSelector: 'text', peerSelector: 'text' }, status: UNKNOWN },
  IPPool: { spec: { nodeSelector: 'text' }, status: UNKNOWN },
  VirtualService: {
    spec: { hosts: ['text'], http: ROUTES, tcp: ROUTES, tls: ROUTES },
    status: UNKNOWN,
  },
  PeerAuthentication: { spec: { mtls: { mode: 'text' }, selector: SELECTOR }, status: UNKNOWN },
  DestinationRule: { spec: { host: 'text', subsets: [{ name: 'text' }] }, status: UNKNOWN },
  ServiceEntry: { spec: { hosts: ['text'] }, status: UNKNOWN },
  'Gateway.networking.istio.io': {
    spec: { selector: LABELS, servers: [{ hosts: ['text'], tls: { mode: 'text', credentialName: 'text' } }] },
    status: UNKNOWN,
  },
  ImageUpdateAutomation: { spec: { policySelector: SELECTOR, sourceRef: REF }, status: UNKNOWN },
  Gateway: { spec: { gatewayClassName: 'text' }, status: UNKNOWN },
  HTTPRoute: {
    spec: { parentRefs: [REF], rules: [{ backendRefs: [{ ...REF, port: 'number', weight: 'number' }] }] },
    status: UNKNOWN,
  },
  IngressRoute: {
    spec: {
      entryPoints: ['text'],
      routes: [{ services: [{ ...REF, port: 'scalar' }], middlewares: [REF] }],
      tls: { secretName: 'text' },
    },
  },
  OAuth2Client: {
    spec: {
      secretName: 'text',
      grantTypes: ['text'],
      scope: 'text',
      redirectUris: ['url'],
      clientName: 'text',
    },
    status: {
      conditions: CONDITIONS,
      observedGeneration: 'number',
      reconciliationError: { statusCode: 'text', description: 'message' },
    },
  },
  BackupStorageLocation: {
    spec: {
      provider: 'text',
      default: 'flag',
      accessMode: 'text',
      objectStorage: { bucket: 'text', prefix: 'text' },
      config: { s3Url: 'url', region: 'text' },
    },
    status: velero,
  },
  Backup: {
    spec: {
      storageLocation: 'text',
      ttl: 'text',
      includedNamespaces: ['text'],
      excludedNamespaces: ['text'],
      labelSelector: SELECTOR,
      orLabelSelectors: [SELECTOR],
      defaultVolumesToFsBackup: 'flag',
    },
    status: velero,
  },
  Schedule: {
    spec: { schedule: 'text', paused: 'flag', template: { storageLocation: 'text', ttl: 'text' } },
    status: velero,
  },
  BackupRepository: {
    spec: { volumeNamespace: 'text', backupStorageLocation: 'text', repositoryType: 'text' },
    status: {
      ...velero,
      recentMaintenance: [{ result: 'text', startTimestamp: 'text', message: 'message' }],
    },
  },
  Restore: { spec: { backupName: 'text' }, status: velero },
  PodVolumeBackup: volumeBackup,
  PodVolumeRestore: volumeBackup,
  DataUpload: volumeBackup,
  DataDownload: volumeBackup,
}
