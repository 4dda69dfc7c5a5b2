import { inventory } from '../flux/flux.ts'
import { type KubeObject, type Ref, refOf } from '../kubectl/kubectl.ts'
import type { Index } from './snapshot.ts'

/** How an object is told apart in a snapshot: its kind, namespace and name. */
export function keyOf({ kind, namespace, name }: Ref): string {
  return `${kind} ${namespace ?? ''}/${name}`
}

const ref = (kind: string, namespace: string | undefined, name: string | undefined): Ref[] =>
  name ? [{ apiVersion: '', kind, namespace, name }] : []

/** The controller of Flux that works on a kind. */
export function controllerOf(kind: string): string | undefined {
  if (['GitRepository', 'HelmRepository', 'HelmChart', 'OCIRepository', 'Bucket'].includes(kind))
    return 'source-controller'
  return { Kustomization: 'kustomize-controller', HelmRelease: 'helm-controller' }[kind]
}

/**
 * What an object needs to become ready, as far as the objects themselves name it: the edges along which a
 * symptom is led back to its cause. Pure.
 */
export function dependenciesOf(object: KubeObject, index: Index): Ref[] {
  const { namespace } = object.metadata
  const controller = controllerOf(object.kind)
  const owned = index.ownedBy(object).map(refOf)
  const common = controller ? ref('Deployment', 'flux-system', controller) : []
  switch (object.kind) {
    case 'HelmChart':
      return [...common, ...sourceRef(object.spec?.sourceRef, namespace)]
    case 'Kustomization':
      return [
        ...common,
        ...sourceRef(object.spec?.sourceRef, namespace),
        ...dependsOn(object),
        ...((object.spec?.postBuild?.substituteFrom ?? []) as { kind: string; name: string }[]).flatMap(
          ({ kind, name }) => ref(kind, namespace, name),
        ),
        ...inventory(object).map(entry => ({
          apiVersion: '',
          kind: entry.kind,
          namespace: entry.namespace || undefined,
          name: entry.name,
        })),
      ]
    case 'HelmRelease':
      return [
        ...common,
        ...ref('HelmChart', chartNamespace(object), `${namespace}-${object.metadata.name}`),
        ...dependsOn(object),
        ...((object.spec?.valuesFrom ?? []) as { kind: string; name: string }[]).flatMap(({ kind, name }) =>
          ref(kind, namespace, name),
        ),
        ...installedBy(object, index),
      ]
    case 'Deployment':
    case 'StatefulSet':
    case 'DaemonSet':
    case 'ReplicaSet':
    case 'Job':
      return owned
    case 'Pod':
      return [...ref('Node', undefined, object.spec?.nodeName), ...neededByPod(object)]
    case 'PersistentVolumeClaim':
      return [
        ...ref('PersistentVolume', undefined, object.spec?.volumeName),
        ...ref('StorageClass', undefined, object.spec?.storageClassName),
      ]
    case 'Ingress':
      return [
        ...((object.spec?.tls ?? []) as { secretName?: string }[]).flatMap(({ secretName }) => [
          ...ref('Secret', namespace, secretName),
          ...index
            .all('Certificate')
            .filter(each => each.metadata.namespace === namespace && each.spec?.secretName === secretName)
            .map(refOf),
        ]),
        ...backendsOf(object).flatMap(({ name }) => ref('Service', namespace, name)),
      ]
    case 'Service':
      return index
        .within('Pod', namespace)
        .filter(({ metadata }) => leadsTo(object, metadata.labels))
        .map(refOf)
    case 'Certificate':
      return [...owned, ...issuerRef(object), ...ref('Deployment', 'cert-manager', 'cert-manager')]
    case 'CertificateRequest':
    case 'Order':
      return [...owned, ...issuerRef(object)]
    case 'Challenge':
      return [...ref('Host', undefined, object.spec?.dnsName), ...issuerRef(object)]
    default:
      return []
  }
}

/**
 * Everything that objects depend on, themselves included. `stops` says of which objects found on the way the
 * dependencies do not count, and may name those that do. Pure.
 */
export function reach(
  starts: readonly Ref[],
  index: Index,
  stops: (object: KubeObject) => boolean | readonly Ref[] = () => false,
): Ref[] {
  const found = new Map<string, Ref>()
  const open = [...starts]
  for (let ref = open.shift(); ref; ref = open.shift()) {
    if (found.has(keyOf(ref))) continue
    found.set(keyOf(ref), ref)
    const object = index.find(ref)
    const stop = object === undefined || stops(object)
    if (object && stop !== true) open.push(...(stop === false ? dependenciesOf(object, index) : stop))
  }
  return [...found.values()]
}

/** The namespace in which helm-controller keeps the HelmChart of a release: that of its source. */
function chartNamespace(release: KubeObject): string | undefined {
  return release.spec?.chart?.spec?.sourceRef?.namespace ?? release.metadata.namespace
}

function sourceRef(
  source: { kind?: string; name?: string; namespace?: string } | undefined,
  namespace: string | undefined,
): Ref[] {
  return source?.kind ? ref(source.kind, source.namespace ?? namespace, source.name) : []
}

function dependsOn(object: KubeObject): Ref[] {
  return ((object.spec?.dependsOn ?? []) as { name: string; namespace?: string }[]).flatMap(other =>
    ref(object.kind, other.namespace ?? object.metadata.namespace, other.name),
  )
}

function issuerRef(object: KubeObject): Ref[] {
  const { kind = 'Issuer', name } = object.spec?.issuerRef ?? {}
  return ref(kind, kind === 'ClusterIssuer' ? undefined : object.metadata.namespace, name)
}

/** The workloads, claims and ingresses that a release has installed, by the annotations that Helm gives them. */
function installedBy(release: KubeObject, index: Index): Ref[] {
  const name = release.spec?.releaseName ?? release.metadata.name
  const target = release.spec?.targetNamespace ?? release.metadata.namespace
  return INSTALLED.flatMap(kind => index.all(kind))
    .filter(({ metadata }) => {
      const { annotations, labels } = metadata
      return (
        (annotations?.['meta.helm.sh/release-name'] === name &&
          annotations?.['meta.helm.sh/release-namespace'] === target) ||
        (metadata.namespace === target && labels?.['app.kubernetes.io/instance'] === name)
      )
    })
    .map(refOf)
}
const INSTALLED = ['Deployment', 'StatefulSet', 'DaemonSet', 'Job', 'Pod', 'PersistentVolumeClaim', 'Ingress']

/** What a pod cannot start without: claims, Secrets and ConfigMaps that are not optional. */
function neededByPod(pod: KubeObject): Ref[] {
  const { namespace } = pod.metadata
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])]
  return [
    ...(pod.spec?.volumes ?? []).flatMap((volume: Volume) => [
      ...ref('PersistentVolumeClaim', namespace, volume.persistentVolumeClaim?.claimName),
      ...ref('Secret', namespace, volume.secret?.secretName),
      ...ref('ConfigMap', namespace, volume.configMap?.name),
    ]),
    ...containers.flatMap((container: Container) => [
      ...(container.env ?? []).flatMap(({ valueFrom }) => [
        ...ref('Secret', namespace, valueFrom?.secretKeyRef?.name),
        ...ref('ConfigMap', namespace, valueFrom?.configMapKeyRef?.name),
      ]),
      ...(container.envFrom ?? []).flatMap(from => [
        ...ref('Secret', namespace, from.secretRef?.name),
        ...ref('ConfigMap', namespace, from.configMapRef?.name),
      ]),
    ]),
  ]
}

interface Named {
  name?: string
}
interface Volume {
  persistentVolumeClaim?: { claimName?: string }
  secret?: { secretName?: string }
  configMap?: Named
}
interface Container {
  env?: { valueFrom?: { secretKeyRef?: Named; configMapKeyRef?: Named } }[]
  envFrom?: { secretRef?: Named; configMapRef?: Named }[]
}

/** Whether a Service sends its requests to pods of these labels. Pure. */
export function leadsTo({ spec }: KubeObject, labels: Record<string, string> = {}): boolean {
  const wanted = Object.entries((spec?.selector ?? {}) as Record<string, string>)
  return wanted.length > 0 && wanted.every(([label, value]) => labels[label] === value)
}

/** A Service to which an Ingress sends requests. */
export interface Backend {
  name?: string
  port?: { name?: string; number?: number }
}

/** The Services to which an Ingress sends requests. Pure. */
export function backendsOf({ spec }: KubeObject): Backend[] {
  const rules = (spec?.rules ?? []) as { http?: { paths?: { backend?: { service?: Backend } }[] } }[]
  return [
    ...rules.flatMap(rule => (rule?.http?.paths ?? []).map(path => path?.backend?.service)),
    spec?.defaultBackend?.service,
  ].filter(service => service !== undefined)
}
