import { posix } from 'node:path'
import type { BackupObjects } from '../../lib/backup/claim.ts'
import { type NewestProof, newestProof, unprovedData } from '../../lib/backup/guard.ts'
import type { BackupFlaw } from '../../lib/backup/judge.ts'
import { takesNamespace } from '../../lib/backup/objects.ts'
import { HELM_RELEASE } from '../../lib/flux/flux.ts'
import { apiVersionsOf } from '../../lib/flux/flux-versions.ts'
import { mountsClaim } from '../../lib/kubectl/claims.ts'
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
import type { ServerSurvey } from './survey.ts'

/** A persistent volume of the cluster, or a folder that looks like one while nobody can be asked. */
export interface Volume {
  name: string
  /** `namespace/name` of the claim. */
  claim: string
  /** Where it is: a folder on this server, or what else holds it. */
  place: string
  /** Bytes on this server; undefined for what is not on it. */
  size: number | undefined
  /** Whether the newest backup holds its data; undefined while nobody can be asked. */
  backedUp?: boolean
}

/** The newest backup of Velero that is worth something. */
export interface VeleroBackup {
  name: string
  completed: number
  /** Namespaces with data that it leaves out. */
  missing: string[]
  /** Claims whose data it holds, by uid. */
  claims: Set<string>
  /** What stands against relying on it: it is not proved, or too old, or lacks volumes. */
  wrong?: BackupFlaw[]
}

/** What the API server of a cluster tells. */
export interface ClusterSurvey {
  volumes: KubeObject[]
  claims: KubeObject[]
  releases: string[]
  /** Pods that run. */
  pods: number
  nodes: string[]
  backup: VeleroBackup | undefined
  /** The server's clock. */
  now: number
}

const isRunning = ({ status }: KubeObject) => status?.phase === 'Running'

/** Asks the API server; backups may be `maxAge` milliseconds old. Changes nothing. */
export async function surveyCluster(kubectl: Kubectl, maxAge: number): Promise<ClusterSurvey> {
  const [volumes, claims, releases, pods, nodes, backups, saved, proof] = await Promise.all([
    kubectl.list('v1', 'PersistentVolume'),
    kubectl.list('v1', 'PersistentVolumeClaim'),
    helmReleases(kubectl),
    kubectl.list('v1', 'Pod', {}, pod => isRunning(pod) || mountsClaim(pod)),
    kubectl.list('v1', 'Node'),
    kubectl.list('velero.io/v1', 'Backup'),
    kubectl.list('velero.io/v1', 'PodVolumeBackup'),
    newestProof(kubectl),
  ])
  const now = Date.now() + kubectl.client.clockOffset
  const namespaces = new Set(claims.map(({ metadata }) => metadata.namespace!))
  const backup = newestBackup(backups, saved, namespaces, now)
  const objects = { volumeBackups: saved, claims, volumes, pods }
  return {
    volumes,
    claims,
    releases: releases.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`).sort(),
    pods: pods.filter(isRunning).length,
    nodes: nodes.map(({ metadata }) => metadata.name),
    backup: backup && { ...backup, wrong: notProved(backup.name, proof, objects, { now, maxAge }) },
    now,
  }
}

/** What stands against relying on the newest backup: it has to be the one that was proved last, with all data. Pure. */
export function notProved(
  name: string,
  proof: NewestProof,
  ...judged: [objects: BackupObjects, age: { now: number; maxAge: number }]
): BackupFlaw[] {
  if (name === proof.name)
    return unprovedData(proof, ...judged).map(({ message, fix }) => ({ what: message, fix }))
  const newest = proof.name ? `; the newest proof is of ${proof.name}` : ''
  return [
    {
      what: `backup ${name} is not proved${newest}`,
      fix: `prove it: npx tsx scripts/backup.ts --verify ${name}`,
    },
  ]
}

/** The releases by the newest API that is served: a cluster of 0.7 has an older Flux. */
async function helmReleases(kubectl: Kubectl): Promise<KubeObject[]> {
  for (const version of apiVersionsOf(HELM_RELEASE)) {
    const found = await kubectl.list(version, HELM_RELEASE.kind)
    if (found.length > 0) return found
  }
  return []
}

/**
 * The newest backup that is complete and not expired; one that includes all of these namespaces wins over a newer
 * one that does not. Pure.
 */
export function newestBackup(
  backups: readonly KubeObject[],
  saved: readonly KubeObject[],
  namespaces: ReadonlySet<string>,
  now: number,
): VeleroBackup | undefined {
  const candidates = backups
    .filter(({ status }) => status?.phase === 'Completed' && !(Date.parse(status.expiration) <= now))
    .map(backup => ({
      name: backup.metadata.name,
      completed: Date.parse(backup.status.completionTimestamp) || 0,
      missing: [...namespaces].filter(namespace => !takesNamespace(backup, namespace)).sort(),
      claims: new Set(
        saved
          .filter(
            ({ metadata, status }) =>
              metadata.labels?.['velero.io/backup-name'] === backup.metadata.name &&
              status?.phase === 'Completed',
          )
          .map(({ metadata }) => metadata.labels?.['velero.io/pvc-uid'] ?? ''),
      ),
    }))
    .sort((a, b) => b.completed - a.completed)
  return candidates.find(({ missing }) => missing.length === 0) ?? candidates[0]
}

/** The path of a volume that is a folder of a node. */
function folderOf({ spec }: KubeObject): string | undefined {
  const path: string | undefined = spec?.hostPath?.path ?? spec?.local?.path
  return path === undefined ? undefined : posix.normalize(path).replace(/(?<=.)\/$/, '')
}

/** The folders of volumes below these trees, on whatever node, that were not found on the server yet. Pure. */
export function otherPlaces(
  { folders }: Pick<ServerSurvey, 'folders'>,
  volumes: readonly KubeObject[],
  trees: readonly string[],
): string[] {
  const found = new Set(folders.map(({ place }) => place))
  return volumes
    .flatMap(volume => folderOf(volume) ?? [])
    .filter(path => !found.has(path) && trees.some(tree => `${path}/`.startsWith(`${tree}/`)))
}

/**
 * The volumes with their sizes: as the API server tells, else as the folders on the server look. `measured` has the
 * sizes of volumes in other folders that a purge removes. Pure.
 */
export function volumesOf(
  { folders }: Pick<ServerSurvey, 'folders'>,
  cluster: Pick<ClusterSurvey, 'volumes' | 'claims' | 'backup'> | undefined,
  measured: ReadonlyMap<string, number>,
): Volume[] {
  const left = new Map(folders.map(folder => [folder.place, folder]))
  const uids = new Map(
    cluster?.claims.map(({ metadata }) => [`${metadata.namespace}/${metadata.name}`, metadata.uid]),
  )
  const known = (cluster?.volumes ?? []).map((volume): Volume => {
    const { metadata, spec } = volume
    const path = folderOf(volume)
    const size = path === undefined ? undefined : (left.get(path)?.size ?? measured.get(path))
    if (path !== undefined) left.delete(path)
    const claim = spec?.claimRef ? `${spec.claimRef.namespace}/${spec.claimRef.name}` : ''
    return {
      name: metadata.name,
      claim,
      place: path ?? spec?.nfs?.server ?? spec?.csi?.driver ?? 'elsewhere',
      size,
      backedUp: cluster?.backup?.claims.has(uids.get(claim) ?? '-') ?? false,
    }
  })
  const unknown = [...left.values()].map(({ place, name: folder, size }): Volume => {
    // The provisioner names folders pvc-UID_NAMESPACE_CLAIM; neither of the two may hold an underscore.
    const [, namespace, name] = /^pvc-[0-9a-f-]{36}_([^_]+)_([^_]+)$/.exec(folder) ?? []
    return {
      name: folder,
      claim: name ? `${namespace}/${name}` : '',
      place,
      size,
      backedUp: cluster ? false : undefined,
    }
  })
  return [...known, ...unknown].sort((a, b) => (b.size ?? 0) - (a.size ?? 0))
}
