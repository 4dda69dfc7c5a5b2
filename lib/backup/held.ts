/** What a backup holds, by the names that things had then. */
import type { KubeObject } from '../kubectl/kubectl.ts'

/** The copy of one claim in a backup. */
export interface Held {
  /** `namespace/name`, as it was at the time of the backup. */
  claim: string
  bytes: number
  /** The pod that it was read through, and what that calls the volume. */
  pod: string
  volume: string
}

/**
 * The claims of which a backup has data, by what Velero writes on its copies: on another server the claims have other
 * uids, so names count. Pure.
 */
export function heldBy(backup: string, volumeBackups: readonly KubeObject[]): Held[] {
  return volumeBackups
    .filter(
      ({ metadata, status }) =>
        metadata.labels?.['velero.io/backup-name'] === backup &&
        status?.phase === 'Completed' &&
        status.snapshotID &&
        metadata.annotations?.['velero.io/pvc-name'] !== undefined,
    )
    .map(({ metadata, spec, status }) => ({
      claim: `${spec?.pod?.namespace}/${metadata.annotations!['velero.io/pvc-name']}`,
      bytes: Number(status?.progress?.totalBytes) || 0,
      pod: String(spec?.pod?.name ?? ''),
      volume: String(spec?.volume ?? ''),
    }))
    .sort((a, b) => (a.claim < b.claim ? -1 : 1))
}
