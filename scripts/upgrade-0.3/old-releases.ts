import { mountsClaim, podsUsing } from '../../lib/kubectl/claims.ts'
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
import { commandLine } from '../../lib/script/quote.ts'

/** The releases that the docs ("Upgrading to 0.3.0") remove, since Flux installs their successors. */
export const OLD_RELEASES = [
  'oas-test-cert-manager',
  'oas-test-local-storage',
  'oas-test-prometheus',
  'oas-test-proxy',
  'oas-test-files',
] as const

/** The namespaces with the volumes that remain. */
export const OLD_NAMESPACES = ['oas', 'oas-apps'] as const

/** A release that Helm has stored in the cluster. */
export interface StoredRelease {
  name: string
  /** Helm 2 is the one with Tiller. */
  helm: 2 | 3
  /** Where it is stored; Helm 2 keeps all in the namespace of Tiller. */
  namespace: string
  /** The newest revision, and its status as Helm writes it. */
  revision: number
  status: string
}

/**
 * The releases behind Helm's stored objects, each by its newest revision. Tiller labels them OWNER, NAME, VERSION
 * and STATUS; Helm 3 in small letters. Pure.
 */
export function releasesIn(objects: readonly KubeObject[]): StoredRelease[] {
  const newest = new Map<string, StoredRelease>()
  for (const { metadata } of objects) {
    const labels = metadata.labels ?? {}
    const helm = labels.OWNER === 'TILLER' ? 2 : labels.owner === 'helm' ? 3 : undefined
    const name = helm === 2 ? labels.NAME : labels.name
    if (!helm || !name) continue
    const [revision, status] = helm === 2 ? [labels.VERSION, labels.STATUS] : [labels.version, labels.status]
    const release = {
      name,
      helm,
      namespace: metadata.namespace ?? '',
      revision: Number(revision) || 0,
      status: status ?? '?',
    } as const
    const key = `${helm} ${release.namespace} ${name}`
    if ((newest.get(key)?.revision ?? -1) < release.revision) newest.set(key, release)
  }
  return [...newest.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.helm - b.helm))
}

/** Reads what Helm 2 (in the namespace of Tiller) and Helm 3 (everywhere) have stored. Changes nothing. */
export async function readReleases(kubectl: Kubectl): Promise<StoredRelease[]> {
  // Tiller's default is ConfigMaps, and Helm 3's Secrets; both can be configured to use the other.
  const lists = await Promise.all(
    ['ConfigMap', 'Secret'].flatMap(kind => [
      kubectl.list('v1', kind, {
        namespace: 'kube-system',
        labelSelector: 'OWNER=TILLER',
        metadataOnly: true,
      }),
      kubectl.list('v1', kind, { labelSelector: 'owner=helm', metadataOnly: true }),
    ]),
  )
  return releasesIn(lists.flat())
}

/**
 * The commands that remove releases, with the Helm that created them. A release that Helm 2 calls DELETED still holds
 * its name until it is purged. Pure.
 */
export function removeCommands(releases: readonly StoredRelease[]): string[] {
  const word = (...words: [string, ...string[]]) => commandLine(words).replace(/^'helm'/, 'helm')
  const two = releases.filter(({ helm }) => helm === 2).map(({ name }) => name)
  return [
    ...(two.length > 0 ? [word('helm', 'delete', '--purge', ...two)] : []),
    ...releases
      .filter(({ helm }) => helm === 3)
      .map(({ name, namespace }) => word('helm', 'uninstall', '-n', namespace, name)),
  ]
}

/** A remaining claim. */
export interface OldClaim {
  namespace: string
  name: string
  uid: string
  /** What it asked for, or got. */
  size: string
  phase: string
  /** Milliseconds since it was created. */
  age: number
  /** Its volume, the place of its data, and whether the data survives its deletion. */
  volume?: string
  place?: string
  isKept: boolean
  /** The pods that use it: they must be removed first. */
  pods: string[]
}

/** Claims with what belongs to them. Pure. */
export function oldClaims(
  objects: { claims: readonly KubeObject[]; volumes: readonly KubeObject[]; pods: readonly KubeObject[] },
  now: number,
): OldClaim[] {
  const volumes = new Map(objects.volumes.map(volume => [volume.metadata.name, volume]))
  return objects.claims
    .map(({ metadata, spec, status }): OldClaim => {
      const volume = volumes.get(spec.volumeName ?? '')
      const claim = `${metadata.namespace}/${metadata.name}`
      return {
        namespace: metadata.namespace ?? '',
        name: metadata.name,
        uid: metadata.uid ?? '',
        size: status?.capacity?.storage ?? spec.resources?.requests?.storage ?? '?',
        phase: metadata.deletionTimestamp ? 'Terminating' : (status?.phase ?? '?'),
        age: Math.max(0, now - Date.parse(metadata.creationTimestamp ?? '')) || 0,
        volume: volume?.metadata.name,
        place: volume?.spec.hostPath?.path ?? volume?.spec.local?.path,
        isKept: volume?.spec.persistentVolumeReclaimPolicy === 'Retain',
        pods: podsUsing(objects.pods, new Set([claim]))
          .map(pod => pod.metadata.name)
          .sort(),
      }
    })
    .sort((a, b) => (claimName(a) < claimName(b) ? -1 : 1))
}

/** `namespace/name` of a claim. */
export const claimName = ({ namespace, name }: Pick<OldClaim, 'namespace' | 'name'>) => `${namespace}/${name}`

/** Reads the claims in the namespaces of before 0.3. Changes nothing. */
export async function readOldClaims(kubectl: Kubectl): Promise<OldClaim[]> {
  const [volumes, ...rest] = await Promise.all([
    kubectl.list('v1', 'PersistentVolume'),
    ...OLD_NAMESPACES.flatMap(namespace => [
      kubectl.list('v1', 'PersistentVolumeClaim', { namespace }),
      kubectl.list('v1', 'Pod', { namespace }, mountsClaim),
    ]),
  ])
  const [claims, pods] = [0, 1].map(part => rest.filter((_, i) => i % 2 === part).flat()) as [
    KubeObject[],
    KubeObject[],
  ]
  return oldClaims({ claims, volumes, pods }, Date.now() + kubectl.client.clockOffset)
}
