/** Velero by its API: a backup is created and waited for, with progress. */
import { releaseSelectors } from '../flux/release-labels.ts'
import type { Kubectl, KubeObject, Ref } from '../kubectl/kubectl.ts'
import { ExpectedError } from '../script/errors.ts'
import type { Log } from '../script/log.ts'
import { sizeText } from '../script/size.ts'
import { until } from '../script/wait.ts'
import { isUnderWay, isUnfinished, isUnstarted, startOf, VELERO } from './objects.ts'

/** The API of Velero. */
export const VELERO_API = 'velero.io/v1'
/** The label of backups and restores that our scripts have made, with the script's name. */
export const MADE_BY = 'openappstack.net/made-by'
/** Milliseconds without any change after which something hangs. */
const STILL = 15 * 60_000
/** Milliseconds between two looks at how far the volumes are. */
const PROGRESS = 1000
/** Milliseconds in which Velero starts what it has not started: it does one thing at a time, so another may run. */
const UNSTARTED = 3 * 60_000

/** Refers to an object of Velero. */
export function veleroRef(
  kind: 'Backup' | 'Restore' | 'DeleteBackupRequest' | 'BackupStorageLocation' | 'Schedule',
  name: string,
): Ref {
  return { apiVersion: VELERO_API, kind, namespace: VELERO, name }
}

/** Velero's label of what it has restored, and of its copies: the name of the Restore. */
export const RESTORED_BY = 'velero.io/restore-name'

/** The backups of the cluster, the newest first; with `labelSelector` only some of them. */
export async function newestBackups(kubectl: Kubectl, labelSelector?: string): Promise<KubeObject[]> {
  const backups = await kubectl.list(VELERO_API, 'Backup', { namespace: VELERO, labelSelector })
  return backups.sort((a, b) => startOf(b) - startOf(a))
}

/** A backup as Velero takes it: of everything, or of the objects of some releases. Pure. */
export function backupObject(
  name: string,
  options: { madeBy: string; ttl: string; releases?: readonly string[]; namespaces?: readonly string[] },
): KubeObject {
  const { madeBy, ttl, releases, namespaces } = options
  return {
    apiVersion: VELERO_API,
    kind: 'Backup',
    metadata: { namespace: VELERO, name, labels: { [MADE_BY]: madeBy } },
    spec: {
      ttl,
      storageLocation: 'default',
      snapshotVolumes: false,
      defaultVolumesToFsBackup: true,
      ...(releases
        ? { includedNamespaces: [...(namespaces ?? [])], orLabelSelectors: releaseSelectors(releases) }
        : { excludedNamespaces: [VELERO] }),
    },
  }
}

/**
 * Waits until Velero has ended its work on a backup or a restore, however. Returns the object as it is then. Throws
 * when it is gone, when the deadline passes, when Velero does not start it within three minutes although it is not
 * working on another one, and when nothing has moved for 15 minutes.
 */
export async function untilEnded(
  kubectl: Kubectl,
  ref: Ref,
  options: { deadline: number; log: Pick<Log, 'progress'>; signal: AbortSignal },
): Promise<KubeObject> {
  const copies = ref.kind === 'Backup' ? 'PodVolumeBackup' : 'PodVolumeRestore'
  const labelSelector = `velero.io/${ref.kind.toLowerCase()}-name=${ref.name}`
  let [moved, seen] = [performance.now(), '']
  let listed = Number.NEGATIVE_INFINITY
  return until<string, KubeObject>(
    async () => {
      const object = await kubectl.get(ref)
      if (!object)
        throw new ExpectedError(`${ref.kind} ${ref.name} was deleted meanwhile`, 'run the same command again')
      if (!isUnfinished(object)) return { done: object }
      if (performance.now() - listed < PROGRESS) return { last: seen }
      listed = performance.now()
      const volumes = await kubectl.list(VELERO_API, copies, { namespace: VELERO, labelSelector })
      const isNew = isUnstarted(object)
      const before = isNew ? await anotherUnder(kubectl, ref) : undefined
      const text = before ? `${ref.name}: waits for ${before}` : veleroProgress(object, volumes)
      const still = performance.now() - moved
      if (before || text !== seen) [moved, seen] = [performance.now(), text]
      else if (isNew && still > UNSTARTED)
        throw new ExpectedError(
          `${ref.kind} ${ref.name}: Velero has not started it for 3 minutes`,
          'see why Velero does not run: npx tsx scripts/logs.ts velero; then run the same command again, which continues it',
        )
      else if (still > STILL)
        throw new ExpectedError(
          `${ref.kind} ${ref.name}: nothing has moved for 15 minutes; last seen: ${text}`,
          'see whether velero and node-agent run (npx tsx scripts/diagnose.ts), then run the same command again: it goes on waiting',
        )
      options.log.progress(text)
      return { last: text }
    },
    {
      deadline: options.deadline,
      every: 250,
      patience: 120_000,
      describe: last => last ?? 'nothing',
      signal: options.signal,
    },
  )
}

/** The name of another backup or restore that Velero is working on; undefined when there is none. */
async function anotherUnder(kubectl: Kubectl, { kind, name }: Ref): Promise<string | undefined> {
  const all = await kubectl.list(VELERO_API, kind, { namespace: VELERO })
  return all.find(other => other.metadata.name !== name && isUnderWay(other))?.metadata.name
}

/** How far a backup or a restore is. Pure. */
export function veleroProgress({ status, metadata }: KubeObject, volumes: readonly KubeObject[]): string {
  const { phase = 'New', progress = {} } = status ?? {}
  const items = progress.totalItems
    ? `, ${progress.itemsBackedUp ?? progress.itemsRestored ?? 0} of ${progress.totalItems} objects`
    : ''
  const ended = volumes.filter(({ status }) => /^(Completed|Failed|Canceled)$/.test(status?.phase ?? ''))
  const sum = (field: 'bytesDone' | 'totalBytes') =>
    volumes.reduce((bytes, { status }) => bytes + (Number(status?.progress?.[field]) || 0), 0)
  const copied =
    volumes.length > 0
      ? `, ${ended.length} of ${volumes.length} volumes, ${sizeText(sum('bytesDone'))} of ${sizeText(sum('totalBytes'))}`
      : ''
  return `${metadata.name}: ${phase}${items}${copied}`
}
