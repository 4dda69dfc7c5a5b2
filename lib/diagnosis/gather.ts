import { X509Certificate } from 'node:crypto'
import { CURRENT_KINDS, type FluxKinds, servedKinds } from '../flux/flux-versions.ts'
import { notKubernetes } from '../kubectl/answer.ts'
import { explainApiError, type Kubectl, type KubeObject, type ListOptions } from '../kubectl/kubectl.ts'
import { holdsSettings } from '../platform/accounts.ts'
import {
  type CatalogueEntry,
  generatedKeysOf,
  isPublished,
  loadCatalogue,
  secretValues,
} from '../platform/secrets.ts'
import { variablesOf } from '../platform/variables.ts'
import { messageOf } from '../script/errors.ts'
import { secretFact } from './allowed/facts.ts'
import { allowedPart } from './allowed/pick.ts'
import { kindsOfOthers } from './kinds-of-others.ts'
import { readWords } from './last-lines.ts'
import { factLister, revisionToRead } from './lister.ts'
import { readOverrides } from './overrides.ts'
import { readSignOn, signOnAnswers } from './sign-on.ts'
import { readSignOnSettings } from './sign-on-settings.ts'
import type { CertificateFacts, Gap, SecretShape, Snapshot } from './snapshot.ts'

/** How the list of served APIs is called where it could not be read. */
const SERVED = 'the served APIs'

/** The kinds that a diagnosis reads besides those of Flux. A kind that is not served has no objects. */
const KINDS: readonly [apiVersion: string, kind: string, options?: ListOptions][] = [
  ['v1', 'Node'],
  ['v1', 'Namespace'],
  ['v1', 'Pod'],
  ['v1', 'Service'],
  ['v1', 'PersistentVolumeClaim'],
  ['v1', 'PersistentVolume'],
  ['v1', 'ConfigMap', { metadataOnly: true }],
  ['v1', 'ResourceQuota'],
  ['v1', 'LimitRange'],
  ['v1', 'Event'],
  ['apps/v1', 'Deployment'],
  ['apps/v1', 'ReplicaSet'],
  ['apps/v1', 'StatefulSet'],
  ['apps/v1', 'DaemonSet'],
  ['batch/v1', 'Job'],
  ['batch/v1', 'CronJob'],
  ['autoscaling/v2', 'HorizontalPodAutoscaler'],
  ['policy/v1', 'PodDisruptionBudget'],
  ['v1', 'ServiceAccount'],
  ['rbac.authorization.k8s.io/v1', 'Role', { metadataOnly: true }],
  ['rbac.authorization.k8s.io/v1', 'ClusterRole', { metadataOnly: true }],
  ['rbac.authorization.k8s.io/v1', 'RoleBinding'],
  ['rbac.authorization.k8s.io/v1', 'ClusterRoleBinding'],
  ['scheduling.k8s.io/v1', 'PriorityClass', { metadataOnly: true }],
  ['discovery.k8s.io/v1', 'EndpointSlice'],
  ['networking.k8s.io/v1', 'Ingress'],
  ['networking.k8s.io/v1', 'IngressClass'],
  ['networking.k8s.io/v1', 'NetworkPolicy'],
  ['storage.k8s.io/v1', 'StorageClass'],
  ['certificates.k8s.io/v1', 'CertificateSigningRequest'],
  ['admissionregistration.k8s.io/v1', 'ValidatingWebhookConfiguration'],
  ['admissionregistration.k8s.io/v1', 'MutatingWebhookConfiguration'],
  ['apiregistration.k8s.io/v1', 'APIService'],
  ['cert-manager.io/v1', 'Certificate'],
  ['cert-manager.io/v1', 'CertificateRequest'],
  ['cert-manager.io/v1', 'Issuer'],
  ['cert-manager.io/v1', 'ClusterIssuer'],
  ['acme.cert-manager.io/v1', 'Order'],
  ['acme.cert-manager.io/v1', 'Challenge'],
  ['hydra.ory.sh/v1alpha1', 'OAuth2Client'],
  ['source.toolkit.fluxcd.io/v1', 'OCIRepository'],
  ['source.toolkit.fluxcd.io/v1', 'Bucket'],
  ['traefik.io/v1alpha1', 'IngressRoute'],
  ['traefik.io/v1alpha1', 'Middleware', { metadataOnly: true }],
  ['velero.io/v1', 'BackupStorageLocation'],
  ['velero.io/v1', 'Backup'],
  ['velero.io/v1', 'Schedule'],
  ['velero.io/v1', 'BackupRepository'],
  ['velero.io/v1', 'PodVolumeBackup'],
  ['velero.io/v1', 'DeleteBackupRequest'],
  ['velero.io/v1', 'Restore'],
  ['velero.io/v1', 'PodVolumeRestore'],
]

/** The kinds that are read in any case. */
const OURS = [...KINDS.map(([, kind]) => kind), ...Object.values(CURRENT_KINDS).map(({ kind }) => kind)]

/** What is known besides the cluster. */
export interface GatherOptions {
  config?: Snapshot['config']
}

/**
 * The kinds that a wait reads beside those of Flux, several times in ten seconds: they say whether something has
 * failed. Why is asked of everything, once it has (lib/rollout/obstacles.ts).
 */
const WATCHED: typeof KINDS = [
  ...KINDS.filter(([, kind]) =>
    /^(Node|Pod|Deployment|ReplicaSet|StatefulSet|DaemonSet|Job|PersistentVolumeClaim)$/.test(kind),
  ),
  ['v1', 'Event', { fieldSelector: 'type=Warning' }],
]

/** Everything else that a diagnosis reads: a wait does not know it. */
const UNWATCHED = [
  ...KINDS.map(([, kind]) => kind).filter(kind => !WATCHED.some(([, watched]) => watched === kind)),
  'Secret',
]

/**
 * What a wait looks at: few kinds, at the versions of Flux that are known already. Throws what the API server
 * answers otherwise, a TransientError where that may pass.
 */
export async function gatherWatched(
  kubectl: Kubectl,
  flux: Partial<FluxKinds> = CURRENT_KINDS,
): Promise<Snapshot> {
  const served = Object.values(flux)
  const list = factLister(kubectl)
  const found = await Promise.all([
    ...served.map(({ apiVersion, kind }) => list(apiVersion, kind)),
    ...WATCHED.map(([apiVersion, kind, options]) => list(apiVersion, kind, options)),
  ])
  const absent = Object.values(CURRENT_KINDS).filter(({ kind }) => !served.some(each => each.kind === kind))
  return {
    ...origin(kubectl),
    groups: served.map(({ apiVersion }) => apiVersion),
    objects: found.flat(),
    secrets: [],
    gaps: [],
    unread: [...UNWATCHED, ...absent.map(({ kind }) => kind)],
  }
}

/** Where and when a snapshot is taken. */
function origin({ client }: Kubectl) {
  return {
    version: 1 as const,
    takenAt: new Date(Date.now() + client.clockOffset).toISOString(),
    server: client.server,
    clockOffset: Math.round(client.clockOffset / 1000),
  }
}

/**
 * Reads everything that a diagnosis needs: once, as of one moment, in parallel, in pages, and only reading. What
 * cannot be read becomes a gap, with the reason. Throws an ExpectedError when nothing at all could be read.
 */
export async function gather(kubectl: Kubectl, options: GatherOptions = {}): Promise<Snapshot> {
  const gaps: Gap[] = []
  const failures: unknown[] = []
  let readings = 0
  async function read<T>(what: string, work: () => Promise<T>, otherwise: T): Promise<T> {
    readings++
    try {
      return await work()
    } catch (error) {
      failures.push(error)
      gaps.push({ what, why: messageOf(error) })
      return otherwise
    }
  }
  const revision = await revisionToRead(kubectl)
  const taken = origin(kubectl)
  const facts = factLister(kubectl, revision)
  const list = (apiVersion: string, kind: string, options?: ListOptions) =>
    read(kind, () => facts(apiVersion, kind, options), [])

  const ours = KINDS.map(([apiVersion, kind, options]) => list(apiVersion, kind, options))
  const others = ours[KINDS.findIndex(([, kind]) => kind === 'APIService')]!.then(apis =>
    kindsOfOthers(kubectl, apis, OURS),
  )
    // No rule needs what others have brought: where it cannot be read, nothing is missing.
    .then(kinds => Promise.all(kinds.map(([apiVersion, kind]) => facts(apiVersion, kind).catch(() => []))))
    .catch(() => [])
  const groups = read(SERVED, () => servedGroups(kubectl), [])
  const signOn = signOnAnswers(kubectl)
  const signOnSettings = readSignOnSettings(kubectl)
  const catalogue = await loadCatalogue()
  const [kubernetes, flux, secrets, pending, foreign, ...kinds] = await Promise.all([
    read<string | undefined>('the version', () => kubectl.serverVersion(), undefined),
    read<FluxKinds | undefined>('the APIs of Flux', () => fluxKinds(kubectl, groups), undefined).then(
      served =>
        Promise.all(Object.values(served ?? {}).map(({ apiVersion, kind }) => list(apiVersion, kind))),
    ),
    read('Secret', () => secretShapes(facts, catalogue), []),
    read('Helm’s releases', async () => {
      const labelSelector = 'owner=helm,status in (pending-install,pending-upgrade,pending-rollback)'
      return facts('v1', 'Secret', { labelSelector, metadataOnly: true }, secret =>
        secretShape({ ...secret, type: 'helm.sh/release.v1' }),
      )
    }, []),
    others,
    ...ours,
  ])
  if (failures.length === readings) throw failures[0]
  const objects = [...flux, ...kinds, ...foreign].flat()
  const [words, answers, overrides] = await Promise.all([
    readWords(kubectl, objects),
    signOn.then(found => readSignOn(kubectl, found)),
    read('the overrides', () => readOverrides(kubectl, objects, secrets), []),
  ])
  return {
    ...taken,
    kubernetes,
    groups: await groups,
    objects,
    ...words,
    signOn: answers,
    signOnSettings: await signOnSettings,
    overrides,
    secrets: [...secrets, ...pending],
    catalogue: catalogue.map(entry => ({
      namespace: entry.namespace,
      name: entry.name,
      app: entry.app,
      keys: generatedKeysOf(entry),
    })),
    config: options.config,
    gaps: gaps.sort((a, b) => a.what.localeCompare(b.what)),
  }
}

/**
 * The Secrets without their values, except the releases that Helm keeps in Secrets: those are large. The values
 * of generated secrets and of the configuration are registered, so that no message shows one.
 */
function secretShapes(
  list: ReturnType<typeof factLister>,
  catalogue: readonly CatalogueEntry[],
): Promise<SecretShape[]> {
  const generated = new Set(catalogue.map(({ namespace, name }) => `${namespace}/${name}`))
  return list('v1', 'Secret', { fieldSelector: 'type!=helm.sh/release.v1' }, secret => {
    if (generated.has(`${secret.metadata.namespace}/${secret.metadata.name}`)) secretValues(secret)
    if (holdsSettings(secret.metadata)) variablesOf(secret)
    return secretShape(secret)
  })
}

/** The versions of Flux's kinds; none when Flux is not installed at all, which is a finding and no gap. */
async function fluxKinds(
  kubectl: Kubectl,
  groups: Promise<readonly string[]>,
): Promise<FluxKinds | undefined> {
  try {
    return await servedKinds(kubectl)
  } catch (error) {
    const served = await groups
    if (served.length > 0 && !served.some(group => group.includes('.toolkit.fluxcd.io/'))) return undefined
    throw error
  }
}

interface ServedGroup {
  versions?: { groupVersion?: string }[]
}

/** The group versions that the API server serves; a group whose own server is down is not among them. */
async function servedGroups(kubectl: Kubectl): Promise<string[]> {
  try {
    const { groups } = await kubectl.call<{ groups: unknown }>({ path: '/apis' })
    const versions = allowedPart(groups, [{ versions: [{ groupVersion: 'text' }] }]) as
      | ServedGroup[]
      | undefined
    if (versions === undefined) throw notKubernetes(kubectl.client.server, 'no list of groups at /apis')
    return versions.flatMap(group => (group.versions ?? []).flatMap(({ groupVersion }) => groupVersion ?? []))
  } catch (error) {
    throw explainApiError(error, 'asking what is served')
  }
}

/** When the values of a Secret were set last, by what is noted of each manager of its fields. */
function dataChanged({ metadata }: KubeObject): string | undefined {
  const managers = Array.isArray(metadata.managedFields) ? metadata.managedFields : []
  const times = managers.flatMap(each => (each?.fieldsV1?.['f:data'] ? [String(each.time)] : []))
  return times.sort().at(-1)
}

/** What a Secret has, without its values. Pure. */
export function secretShape(secret: KubeObject): SecretShape {
  const { metadata, type, data } = secret
  const values = Object.entries((data ?? {}) as Record<string, unknown>).map(
    ([name, value]) => [name, Buffer.from(String(value), 'base64')] as const,
  )
  const newline = values.flatMap(([name, value]) => (value.at(-1) === 0x0a ? [name] : []))
  const published = values.flatMap(([name, value]) =>
    isPublished(metadata, name, value.toString()) ? [name] : [],
  )
  const certificate = values.find(([name]) => name === 'tls.crt')?.[1]
  const pem = /^(tls|ca)\.(crt|key)$/
  return secretFact({
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    uid: metadata.uid,
    created: metadata.creationTimestamp,
    changed: dataChanged(secret),
    type: type ?? '',
    labels: metadata.labels,
    annotations: metadata.annotations,
    keys: Object.fromEntries(values.map(([name, value]) => [name, value.length])),
    newline: newline.filter(name => !pem.test(name)), // PEM ends with one
    ...(published.length > 0 ? { published } : {}),
    certificate: certificate && certificateFacts(certificate),
  })
}

/** The public part of a certificate in PEM or DER, or why it cannot be read. Pure. */
export function certificateFacts(certificate: Buffer): CertificateFacts | { error: string } {
  if (certificate.length === 0) return { error: 'is empty' }
  try {
    const parsed = new X509Certificate(certificate)
    return {
      subject: parsed.subject?.replaceAll('\n', ', ') ?? '',
      issuer: parsed.issuer?.replaceAll('\n', ', ') ?? '',
      dnsNames: [...(parsed.subjectAltName ?? '').matchAll(/DNS:([^,\s]+)/g)].map(match => match[1]!),
      notBefore: new Date(parsed.validFrom).toISOString(),
      notAfter: new Date(parsed.validTo).toISOString(),
      fingerprint: parsed.fingerprint256.replaceAll(':', '').toLowerCase(),
    }
  } catch {
    return { error: 'is not a certificate' }
  }
}
