/** The backups that exist: listed with what each holds, found by name, deleted. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { AppParts } from '../../lib/backup/back-up.ts'
import type { BackupObjects } from '../../lib/backup/claim.ts'
import { judgeBackup } from '../../lib/backup/judge.ts'
import { startOf, VELERO } from '../../lib/backup/objects.ts'
import { MADE_BY, newestBackups, veleroRef } from '../../lib/backup/velero.ts'
import { periodOf } from '../../lib/diagnosis/rules/backups.ts'
import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { duration, durationText } from '../../lib/script/duration.ts'
import { ExpectedError, UsageError } from '../../lib/script/errors.ts'
import { sleep, until } from '../../lib/script/wait.ts'

const SCHEDULE = 'velero.io/schedule-name'

/** How long a backup is kept, as Velero takes it. Throws a UsageError for anything but a time of an hour or more. */
export function keptFor(flag: string | undefined): string {
  if (flag === undefined) return '720h'
  const time = duration('--keep', flag)
  if (time < 3_600_000) throw new UsageError('--keep is less than an hour', 'give 24h or more')
  return `${Math.round(time / 60_000)}m`
}

/**
 * All backups, the newest first, judged against the volumes that the cluster, or an application of it, has now. One of an
 * application alone is not judged against the others: it is told as such, in the row and by `isPart`.
 */
export async function listBackups(
  kubectl: Kubectl,
  objects: BackupObjects,
  now: number,
  parts?: Pick<AppParts, 'owns'>,
): Promise<{ name: string; proved: boolean; isPart: boolean; row: string[] }[]> {
  return (await newestBackups(kubectl)).map(backup => {
    const isPart = !parts && (backup.spec?.labelSelector ?? backup.spec?.orLabelSelectors) !== undefined
    const only = isPart ? () => true : parts?.owns
    const { name, phase, claims, flaws, proved: isWhole, expiresAt } = judgeBackup(backup, objects, now, only)
    const wanted = claims.filter(({ state }) => state === 'captured' || state === 'missing')
    const captured = wanted.filter(({ state }) => state === 'captured').length
    const age = durationText(Math.max(0, now - startOf(backup)))
    const proved = isPart ? flaws.length === 0 && captured > 0 : isWhole
    const state = `${captured} of ${isPart ? 'one application' : wanted.length}${proved ? '' : ' ✗'}`
    return { name, proved, isPart, row: [name, phase, age, state, expiresAt ?? ''] }
  })
}

/**
 * The name of a backup; for `latest` the newest one of a schedule. Throws an ExpectedError when there is none, and when
 * its schedule makes no more of them: an old backup that is whole is not a good night.
 */
export async function backupNamed(kubectl: Kubectl, wanted: string, now: number): Promise<string> {
  if (wanted !== 'latest') return wanted
  const newest = (await newestBackups(kubectl)).find(({ metadata }) => metadata.labels?.[SCHEDULE])
  if (!newest)
    throw new ExpectedError(
      'no schedule has made a backup yet',
      'make one now: npx tsx scripts/backup.ts; see why with npx tsx scripts/diagnose.ts',
    )
  const name = newest.metadata.labels![SCHEDULE]!
  const schedule = await kubectl.get(veleroRef('Schedule', name))
  if (!schedule)
    throw new ExpectedError(
      `the schedule ${name} does not exist any more: nothing is backed up`,
      'have Helm create it again: flux reconcile helmrelease velero -n velero --force',
    )
  if (schedule.spec?.paused === true)
    throw new ExpectedError(
      `the schedule ${name} is paused: nothing is backed up`,
      `go on with it: kubectl -n ${VELERO} patch schedule ${name} --type merge -p '{"spec":{"paused":false}}'`,
    )
  const age = now - startOf(newest)
  if (age > 1500 * (periodOf(String(schedule.spec?.schedule ?? '')) ?? Number.POSITIVE_INFINITY))
    throw new ExpectedError(
      `the newest backup of the schedule ${name} is ${durationText(age)} old`,
      'make one now: npx tsx scripts/backup.ts; see why with npx tsx scripts/diagnose.ts',
    )
  return newest.metadata.name
}

/** Deletes a backup as Velero does, with its files in the bucket, and waits for that. Returns a note. */
export async function deleteBackup(kubectl: Kubectl, name: string, signal: AbortSignal): Promise<string> {
  const backup = await kubectl.get(veleroRef('Backup', name))
  if (!backup) return 'unchanged'
  const request = `${name}-${Math.floor(Date.now() / 1000)}`
  await kubectl.create({
    ...veleroRef('DeleteBackupRequest', request),
    metadata: {
      namespace: VELERO,
      name: request,
      labels: {
        'velero.io/backup-name': name,
        'velero.io/backup-uid': backup.metadata.uid ?? '',
        [MADE_BY]: 'backup',
      },
    },
    spec: { backupName: name },
  })
  await sleep(500, signal)
  return until<string, string>(
    async () => {
      const [left, asked] = await Promise.all([
        kubectl.get(veleroRef('Backup', name)),
        kubectl.get(veleroRef('DeleteBackupRequest', request)),
      ])
      const errors: string[] = asked?.status?.errors ?? []
      if (left && errors.length > 0)
        throw new ExpectedError(
          `Velero could not delete ${name}: ${errors.join('; ')}`,
          'correct what it says',
        )
      return left ? { last: left.status?.phase ?? 'New' } : { done: 'gone from the cluster and the bucket' }
    },
    {
      deadline: 600_000,
      patience: 60_000,
      describe: last => `backup ${name} is ${last}`,
      fix: 'see whether velero runs (npx tsx scripts/diagnose.ts)',
      signal,
    },
  )
}

/** What is not in the bucket, and what to run for it: the folder of the cluster with the password of the backups. */
export function unsaved(cluster: Cluster): string[] {
  const last = statSync(join(cluster.folder, 'backups', 'last.json'), { throwIfNoEntry: false })
  const week = 7 * 86_400_000
  return last && Date.now() - last.mtimeMs < week
    ? []
    : [
        'npx tsx scripts/backup-cluster-dir.ts --remember   # without its password nobody can read the backup: keep the folder, too',
      ]
}
