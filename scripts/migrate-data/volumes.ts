import { posix } from 'node:path'
import { mountsClaim, podsByClaim } from '../../lib/kubectl/claims.ts'
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
import { UsageError } from '../../lib/script/errors.ts'

/** A persistent volume that is a folder on a server, with the owner of its data. */
export interface FolderVolume {
  /** The name of its folder. */
  folder: string
  /** Its path on the server; absent when only the name is known. */
  path?: string
  namespace?: string
  claim?: string
  /** The requested size, as Kubernetes writes it: `2Gi`. */
  size?: string
  node?: string
  /** The names of the application in labels. */
  apps: string[]
  /** The pods that use it, or used it. */
  pods: string[]
}

/** The volumes of a cluster, as a file keeps them after its removal. */
export interface VolumeMap {
  version: 1
  /** The uid of the namespace kube-system, which no two clusters share. */
  cluster: string
  madeAt: string
  volumes: FolderVolume[]
  /** Claims whose data is not a folder: not bound yet, or on storage of another kind. */
  others: { claim: string; why: string }[]
}

/** The objects that describe the volumes of a cluster. */
export interface VolumeObjects {
  claims: readonly KubeObject[]
  volumes: readonly KubeObject[]
  pods: readonly KubeObject[]
}

/** A pvc-UID, with the namespace and the claim since local-path-provisioner 0.0.13. No part holds an underscore. */
const FOLDER = /^pvc-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:_([a-z0-9.-]+)_([a-z0-9.-]+))?$/

const LABELS = [
  'app.kubernetes.io/name',
  'app.kubernetes.io/instance',
  'app',
  'release',
  'app.kubernetes.io/part-of',
]

/** `namespace/claim` of a volume, or the name of its folder if these are unknown. */
export function volumeName({
  namespace,
  claim,
  folder,
}: Pick<FolderVolume, 'namespace' | 'claim' | 'folder'>): string {
  return claim === undefined ? folder : `${namespace}/${claim}`
}

/** Whether a folder belongs to local-path-provisioner. */
export function isVolumeFolder(name: string): boolean {
  return FOLDER.test(name)
}

/** The volume by the name of its folder. Pure. */
export function volumeOfFolder(name: string): FolderVolume {
  const [, namespace, claim] = FOLDER.exec(name) ?? []
  return { folder: name, ...(claim ? { namespace, claim } : {}), apps: [], pods: [] }
}

/**
 * The volumes of a cluster that are folders. Volumes without a claim are included: their data may be
 * the only copy. Pure.
 */
export function volumesOfCluster({
  claims,
  volumes,
  pods,
}: VolumeObjects): Pick<VolumeMap, 'volumes' | 'others'> {
  const found: FolderVolume[] = []
  const others: VolumeMap['others'] = []
  const byName = new Map(claims.map(claim => [`${claim.metadata.namespace}/${claim.metadata.name}`, claim]))
  const bound = new Set<string>()
  const using = podsByClaim(pods)
  for (const { spec } of volumes) {
    const ref = spec.claimRef
    if (!ref) continue
    const name = `${ref.namespace}/${ref.name}`
    const claim = byName.get(name)
    const isCurrent = claim === undefined || !ref.uid || claim.metadata.uid === ref.uid
    if (claim && isCurrent) bound.add(name)
    const path: string | undefined = spec.hostPath?.path ?? spec.local?.path
    if (path === undefined) {
      others.push({ claim: name, why: `it is not a folder, but ${kindOfStorage(spec)}` })
      continue
    }
    const users = isCurrent ? (using.get(name) ?? []) : []
    const labels = [claim, ...users].map(object => object?.metadata.labels ?? {})
    const node = nodeOf(spec)
    found.push({
      folder: posix.basename(path),
      path: posix.normalize(path).replace(/(?<=.)\/$/, ''),
      namespace: ref.namespace,
      claim: ref.name,
      ...(spec.capacity?.storage ? { size: spec.capacity.storage } : {}),
      ...(node ? { node } : {}),
      apps: [...new Set(labels.flatMap(all => LABELS.flatMap(label => all[label] ?? [])))].sort(),
      pods: users.map(({ metadata }) => metadata.name).sort(),
    })
  }
  for (const [name, { status }] of byName)
    if (!bound.has(name))
      others.push({ claim: name, why: `it is ${status?.phase ?? 'not bound'}: it has no volume yet` })
  const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
  return {
    volumes: found.sort((a, b) => order(volumeName(a) + a.folder, volumeName(b) + b.folder)),
    others: others.sort((a, b) => order(a.claim, b.claim)),
  }
}

/** The node that a volume of local-path-provisioner is bound to. */
// biome-ignore lint/suspicious/noExplicitAny: as KubeObject
function nodeOf(spec: any): string | undefined {
  const terms = spec.nodeAffinity?.required?.nodeSelectorTerms ?? []
  return terms[0]?.matchExpressions?.find((each: { key: string }) => each.key === 'kubernetes.io/hostname')
    ?.values?.[0]
}

function kindOfStorage(spec: Record<string, unknown>): string {
  const known = [
    'nfs',
    'csi',
    'cinder',
    'rbd',
    'cephfs',
    'glusterfs',
    'iscsi',
    'awsElasticBlockStore',
    'gcePersistentDisk',
  ]
  return known.find(kind => spec[kind] !== undefined) ?? 'storage of another kind'
}

/** Reads the volumes of a cluster. Reads only core v1, which every Kubernetes serves. Changes nothing. */
export async function readVolumes(kubectl: Kubectl): Promise<VolumeMap> {
  const [system, claims, volumes, pods] = await Promise.all([
    kubectl.get({ apiVersion: 'v1', kind: 'Namespace', name: 'kube-system' }),
    kubectl.list('v1', 'PersistentVolumeClaim'),
    kubectl.list('v1', 'PersistentVolume'),
    kubectl.list('v1', 'Pod', {}, mountsClaim),
  ])
  const madeAt = new Date(Date.now() + kubectl.client.clockOffset).toISOString()
  return {
    version: 1,
    cluster: system?.metadata.uid ?? '',
    madeAt,
    ...volumesOfCluster({ claims, volumes, pods }),
  }
}

/** A map as the text of a file. */
export function mapText(map: VolumeMap): string {
  return `${JSON.stringify(map, null, 2)}\n`
}

/** Reads the text of a map's file. Throws a UsageError for anything else: paths in it are used on a server. */
export function parseMap(text: string, file: string): VolumeMap {
  const wrong = (what: string) =>
    new UsageError(`${file} is not a map of volumes: ${what}`, 'give a file that --output has written')
  let map: VolumeMap
  try {
    map = JSON.parse(text)
  } catch {
    throw wrong('it is not JSON')
  }
  if (map?.version !== 1 || !Array.isArray(map.volumes)) throw wrong('it has no version 1, or no volumes')
  const isText = (value: unknown) => value === undefined || typeof value === 'string'
  const isTexts = (value: unknown) => Array.isArray(value) && value.every(each => typeof each === 'string')
  for (const volume of map.volumes) {
    const { folder, path, namespace, claim, size, node, apps, pods } = volume ?? {}
    const isWhole =
      typeof folder === 'string' &&
      [path, namespace, claim, size, node].every(isText) &&
      [apps, pods].every(isTexts) &&
      (namespace === undefined) === (claim === undefined)
    if (!isWhole) throw wrong('a volume in it is incomplete')
    if (folder === '' || folder === '.' || folder === '..' || /[/\0\n]/.test(folder))
      throw wrong(`${JSON.stringify(folder)} is not the name of a folder`)
  }
  return {
    ...map,
    cluster: String(map.cluster ?? ''),
    madeAt: String(map.madeAt ?? ''),
    others: map.others ?? [],
  }
}
