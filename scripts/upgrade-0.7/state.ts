import { renameSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import { privateFolder, readIfExists, writeFileAtomic } from '../../lib/script/files.ts'
import { fileTime } from '../../lib/script/timestamp.ts'
import { isSecretName, type SecretName, secretNameOf } from '../../lib/secret-backup/secret-backup.ts'

/** A Secret that Helm owned, and by which release. */
export interface Ownership extends SecretName {
  release: string
  releaseNamespace: string
}

/** What an upgrade must remember, since the cluster forgets it: where the backup is, and what was before. */
export interface UpgradeState {
  format: 'openappstack-upgrade-0.7/1'
  cluster: string
  /** The branch that is upgraded to. */
  target: string
  /** The folder of the backup, relative to the cluster's. */
  backup: string
  /** The branch before; absent when the upgrade was started by hand. */
  before?: string
  /** Whose the Secrets were, for the way back. */
  owned: Ownership[]
  /** The folder with what the cluster had beyond the backup when the rollback started, relative as well. */
  added?: string
  /**
   * The file with the users of 0.6, relative as well; without it nobody is carried over. `refused`: the names of those
   * whose hash kratos does not accept. Absent until that is known.
   */
  users?: { file?: string; refused?: string[] }
  startedAt: string
  finishedAt?: string
}

type ClusterPlace = Pick<Cluster, 'name' | 'folder'>

const folderOf = ({ folder }: ClusterPlace) => join(folder, 'upgrade-0.7')

/** The file that remembers an upgrade. */
export function stateFile(cluster: ClusterPlace): string {
  return join(folderOf(cluster), 'state.json')
}

/** The folder of an upgrade's backup. */
export function backupOf(cluster: ClusterPlace, state: UpgradeState): string {
  return resolve(cluster.folder, state.backup)
}

/** What the upgrade of this cluster has written down; undefined without one. Throws when it is damaged. */
export function readUpgradeState(cluster: ClusterPlace): UpgradeState | undefined {
  const file = stateFile(cluster)
  const text = readIfExists(file)
  if (text === undefined) return undefined
  let state: UpgradeState | undefined
  try {
    state = JSON.parse(text)
  } catch {
    // Told below, like anything else that we have not written.
  }
  const isOwnership = (each: unknown) =>
    isSecretName(each) && 'release' in (each as object) && 'releaseNamespace' in (each as object)
  if (
    state?.format !== 'openappstack-upgrade-0.7/1' ||
    [state.cluster, state.target, state.backup, state.startedAt].some(value => typeof value !== 'string') ||
    !['undefined', 'string'].includes(typeof state.added) ||
    !['undefined', 'object'].includes(typeof state.users) ||
    !['undefined', 'string'].includes(typeof state.users?.file) ||
    !Array.isArray(state.users?.refused ?? []) ||
    !Array.isArray(state.owned) ||
    !state.owned.every(isOwnership)
  )
    throw new ExpectedError(
      `${file} is damaged: it does not say where the backup is`,
      `move it away and go on with the backup that is in ${join(cluster.folder, 'secrets-backup')}: npx tsx scripts/upgrade-0.7.ts --backup DIR`,
    )
  if (state.cluster !== cluster.name)
    throw new ExpectedError(
      `${file} is of the cluster ${state.cluster}, not of ${cluster.name}`,
      'was the folder copied? Move that file away if it does not belong here',
    )
  return state
}

/** Writes it down, 0600 in 0700, whole or not at all. Returns it as it was written. */
export function writeUpgradeState(
  cluster: ClusterPlace,
  state: Omit<UpgradeState, 'format' | 'cluster'>,
): UpgradeState {
  privateFolder(folderOf(cluster))
  const written: UpgradeState = {
    format: 'openappstack-upgrade-0.7/1',
    ...state,
    cluster: cluster.name,
    backup: relative(cluster.folder, resolve(cluster.folder, state.backup)),
  }
  writeFileAtomic(stateFile(cluster), `${JSON.stringify(written, null, 2)}\n`)
  return written
}

/** Puts it aside after a rollback, so that the next upgrade starts from the beginning. Returns the file that it is in now. */
export function closeState(cluster: ClusterPlace, at: Date): string {
  const to = join(folderOf(cluster), `rolled-back-${fileTime(at, { milliseconds: true })}.json`)
  renameSync(stateFile(cluster), to)
  return to
}

/** Which of these Secrets Helm owns, by the label and annotations that it gives them. Pure. */
export function ownershipOf(secrets: readonly KubeObject[]): Ownership[] {
  return secrets.flatMap(secret => {
    const { labels, annotations } = secret.metadata
    const release = annotations?.['meta.helm.sh/release-name']
    const releaseNamespace = annotations?.['meta.helm.sh/release-namespace']
    if (labels?.['app.kubernetes.io/managed-by'] !== 'Helm' || !release || !releaseNamespace) return []
    return [{ ...secretNameOf(secret), release, releaseNamespace }]
  })
}

/**
 * The metadata by which Helm takes over an existing object, instead of refusing to install
 * (https://helm.sh/docs/topics/advanced/, checkOwnership in Helm's pkg/action/validate.go). Pure.
 */
export function helmMetadata({ release, releaseNamespace }: Ownership) {
  return {
    labels: { 'app.kubernetes.io/managed-by': 'Helm' },
    annotations: {
      'meta.helm.sh/release-name': release,
      'meta.helm.sh/release-namespace': releaseNamespace,
    },
  }
}
