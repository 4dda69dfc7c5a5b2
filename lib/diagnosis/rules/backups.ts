/** Backups by Velero: where they go, whether they come to a good end, and whether there are any. */

import type { BackupObjects } from '../../backup/claim.ts'
import { type BackupFlaw, judgeBackup, wrongWith } from '../../backup/judge.ts'
import { PROOF_MARK, startOf, VELERO } from '../../backup/objects.ts'
import { type KubeObject, refOf } from '../../kubectl/kubectl.ts'
import { durationText } from '../../script/duration.ts'
import { each, type Finding, patching, type Rule } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { behindBackups, storageFix } from './backup-runs.ts'
import { refTo } from './failure.ts'
import { keysOf } from './given.ts'
import { since } from './workload-facts.ts'

/** Places for backups that cannot be used. */
const locations = each('BackupStorageLocation', (location, index) => {
  const { objectStorage, config, accessMode } = location.spec ?? {}
  if (location.status?.phase !== 'Unavailable')
    return accessMode === 'ReadOnly' && isWritten(location, index)
      ? {
          rule: 'backup-location-read-only',
          cause: 'backups should go to it, and it may only be read',
          evidence: ['spec.accessMode: ReadOnly'],
          text: 'set its accessMode to ReadWrite when the restore for which it was changed is over',
          command: `kubectl -n ${location.metadata.namespace} patch backupstoragelocation ${location.metadata.name} --type merge -p '{"spec":{"accessMode":"ReadWrite"}}'`,
        }
      : undefined
  const message = String(location.status?.message ?? '')
  const credentials = { kind: 'Secret', name: 'cloud-credentials' } as const
  const keys = keysOf(credentials, location.metadata.namespace, index) ?? []
  // Velero's pod reads /credentials/cloud: https://velero.io/docs/v1.18/locations/#create-a-storage-location-that-uses-unique-credentials
  if (
    /NoCredentialProviders|no EC2 IMDS role|failed to refresh cached credentials/.test(message) &&
    keys.length > 0 &&
    !keys.includes('cloud') &&
    !location.spec?.credential
  )
    return {
      rule: 'backup-location-unavailable',
      cause: `Secret cloud-credentials has no key cloud, which velero reads its credentials from: nothing is backed up`,
      evidence: [short(message), `it has ${keys.slice(0, 5).join(', ')}`],
      text: 'put the credentials under the key cloud in Secret cloud-credentials (values of the release: credentials.secretContents.cloud), then restart velero',
      command: `kubectl -n ${location.metadata.namespace} describe secret cloud-credentials`,
    }
  return {
    rule: 'backup-location-unavailable',
    cause: `the bucket ${objectStorage?.bucket} at ${config?.s3Url ?? 'the storage provider'} cannot be used: nothing is backed up`,
    evidence: message ? [short(message)] : [],
    text: `${storageFix(message) ?? 'check the address, the bucket and the credentials of the backup storage (backup_s3_… in .flux.env)'}; then run install-core again`,
    command: 'npx tsx scripts/preflight.ts --only backup',
  }
})

/** Whether backups go into a location: by a schedule, by one that was asked for, or as the default. */
function isWritten({ metadata, spec }: KubeObject, index: Index): boolean {
  const here = (location: unknown) =>
    location === metadata.name || (spec?.default === true && location === undefined)
  return (
    index.within('Schedule', metadata.namespace).some(each => here(each.spec?.template?.storageLocation)) ||
    index
      .within('Backup', metadata.namespace)
      .some(each => each.status?.phase === 'FailedValidation' && here(each.spec?.storageLocation))
  )
}

const FAILED = /^(Failed|PartiallyFailed|FailedValidation)$/

/** The backups of a schedule, the newest first. Pure. */
export function backupsOfSchedule({ metadata: { namespace, name } }: KubeObject, index: Index): KubeObject[] {
  return index
    .within('Backup', namespace)
    .filter(({ metadata }) => metadata.labels?.['velero.io/schedule-name'] === name)
    .sort((a, b) => startOf(b) - startOf(a))
}

/** Whether another schedule backs up all namespaces, so that one that is paused lacks nobody. */
const othersDo = ({ metadata }: KubeObject, index: Index) =>
  index
    .within('Schedule', metadata.namespace)
    .some(
      ({ spec, status }) =>
        !spec?.paused &&
        status?.phase !== 'FailedValidation' &&
        (spec?.template?.includedNamespaces ?? ['*']).includes('*'),
    )

/** Schedules that are held, wrong, behind, or whose last backup has failed. */
const schedules = each('Schedule', (schedule, index) => {
  const { namespace, name } = schedule.metadata
  const backups = backupsOfSchedule(schedule, index)
  const location = schedule.spec?.template?.storageLocation
  const finding = (
    rule: string,
    cause: string,
    more: Pick<Finding, 'remedy'> & Partial<Finding>,
  ): Finding => ({ rule, verdict: 'warning', subject: refOf(schedule), cause, evidence: [], ...more })
  if (schedule.spec?.paused === true && othersDo(schedule, index)) return undefined
  if (schedule.spec?.paused === true)
    return [
      finding('backup-schedule-paused', 'is paused: nothing is backed up', {
        remedy: {
          text: 'resume the backups when the work is over',
          command: `velero schedule unpause ${name} -n ${namespace}`,
          action: patching(schedule, { spec: { paused: false } }, 'resume the backups'),
        },
      }),
    ]
  if (schedule.status?.phase === 'FailedValidation')
    return [
      finding('backup-schedule-invalid', 'is refused by Velero: nothing is backed up', {
        evidence: ((schedule.status.validationErrors ?? []) as string[]).map(error => short(error)),
        remedy: {
          text: 'correct the schedule',
          command: `kubectl -n ${namespace} describe schedule ${name}`,
        },
      }),
    ]
  const behind = {
    symptom: true as const,
    causedBy: [
      // Without a name it goes to the default one.
      ...index
        .within('BackupStorageLocation', namespace)
        .filter(({ metadata, spec }) => (location ? metadata.name === location : spec?.default !== false))
        .map(refOf),
      ...behindBackups(namespace, index),
    ],
  }
  const last = backups.find(({ status }) => FAILED.test(status?.phase ?? '') || status?.phase === 'Completed')
  if (last && FAILED.test(last.status?.phase ?? '')) return [lastFailed(last, finding, behind)]
  const wrong = last && !BLINDING.some(kind => index.blind(kind)) ? wrongOf(last, index) : []
  const isExpiry = ({ what }: BackupFlaw) => what.includes('has expired')
  if (last && !wrong.every(isExpiry)) return [notWhole(last, wrong, finding, behind)]
  const period = periodOf(String(schedule.spec?.schedule ?? ''))
  const done = backups.find(({ status }) => status?.phase === 'Completed')
  const age = done ? (index.now - startOf(done)) / 1000 : since(index, schedule.metadata.creationTimestamp)
  // Of one that has expired, being overdue tells more.
  if (period === undefined || age < period * 1.5)
    return last && wrong.length > 0 ? [notWhole(last, wrong, finding, behind)] : undefined
  return [
    finding(
      'backup-overdue',
      done ? `its last backup is ${durationText(age * 1000)} old` : 'it has never made a backup',
      {
        evidence: [`schedule ${schedule.spec?.schedule}`],
        remedy: { text: 'make one now, and see what it holds', command: 'npx tsx scripts/backup.ts' },
        ...behind,
        causedBy: [...behind.causedBy, refTo('Deployment', namespace, 'velero')],
      },
    ),
  ]
})

/**
 * Milliseconds after which a proof of a backup is too old, as the alert BackupNotProved has it (flux2/apps/velero). What
 * destroys data asks for a younger one (lib/backup/guard.ts).
 */
export const PROOF_LASTS = 8 * 86_400_000

/** The newest proof of a backup. A cluster without one may have a Velero of its own, of which nobody asks for proofs. */
const proofs = each('ConfigMap', ({ metadata }, index) => {
  if (metadata.namespace !== VELERO || metadata.name !== PROOF_MARK) return undefined
  const age = index.now - Date.parse(metadata.creationTimestamp ?? '')
  if (index.within('Schedule', VELERO).length === 0 || !(age > PROOF_LASTS)) return undefined
  return {
    rule: 'backup-not-proved',
    verdict: 'warning',
    cause: `the last proved backup is ${durationText(age)} old`,
    text: 'prove the newest backup',
    command: 'npx tsx scripts/backup.ts --verify latest',
    symptom: true, // of a place that takes no backups
    causedBy: [
      ...index.within('BackupStorageLocation', VELERO).map(refOf),
      ...behindBackups(VELERO, index),
      refTo('Deployment', VELERO, 'velero'),
    ],
  }
})

/** Without these kinds a backup cannot be judged. */
const BLINDING = ['PersistentVolumeClaim', 'PersistentVolume', 'Pod', 'PodVolumeBackup']

const objectsOf = (index: Index): BackupObjects => ({
  volumeBackups: index.all('PodVolumeBackup'),
  claims: index.all('PersistentVolumeClaim'),
  volumes: index.all('PersistentVolume'),
  pods: index.all('Pod'),
})

/** What is wrong with a backup that has come to an end. */
const wrongOf = (backup: KubeObject, index: Index): BackupFlaw[] =>
  wrongWith(judgeBackup(backup, objectsOf(index), index.now))

/** `Completed` is Velero's word; it says nothing of volumes that were left out. */
function notWhole(
  backup: KubeObject,
  wrong: readonly BackupFlaw[],
  finding: (rule: string, cause: string, more: Pick<Finding, 'remedy'> & Partial<Finding>) => Finding,
  behind: Partial<Finding>,
): Finding {
  const { name } = backup.metadata
  const problems = `${wrong.length} ${wrong.length === 1 ? 'problem' : 'problems'}`
  return finding('backup-incomplete', `its last backup ${name} is Completed, but not whole: ${problems}`, {
    evidence: wrong.slice(0, 5).map(({ what }) => short(what)),
    remedy: { text: wrong[0]!.fix, command: 'npx tsx scripts/backup.ts --verify latest' },
    causedBy: behind.causedBy,
  })
}

/** What Velero says of a failure, behind a colon. */
function whyFailed({ status }: KubeObject): string {
  const [first] = [status?.failureReason, ...(status?.validationErrors ?? [])].filter(Boolean)
  return first ? `: ${short(String(first), 200)}` : ''
}

function lastFailed(
  backup: KubeObject,
  finding: (rule: string, cause: string, more: Pick<Finding, 'remedy'> & Partial<Finding>) => Finding,
  behind: Partial<Finding>,
): Finding {
  const { name, namespace } = backup.metadata
  const { phase, failureReason, validationErrors = [], errors, hookStatus } = backup.status
  const why = whyFailed(backup)
  const hooks = Number(hookStatus?.hooksFailed ?? 0)
  const words = [failureReason, ...validationErrors].filter(Boolean).map(String)
  const evidence = [
    `${phase}${errors ? `, ${errors} errors` : ''}${hooks > 0 ? `, ${hooks} of its hooks failed` : ''}`,
    ...words.map(text => short(text)),
  ]
  return finding('backup-failed', `its last backup ${name} has failed${why}`, {
    evidence,
    remedy: {
      text:
        storageFix(words.join('; ')) ??
        (hooks > 0
          ? 'correct the command of its hook (annotations pre.hook.… and post.hook.backup.velero.io of the pods), then make a backup now'
          : 'read its log, correct what it names, then make a backup now'),
      command: `velero backup logs ${name} -n ${namespace}`,
    },
    ...behind,
  })
}

/** Backups that were asked for by hand and have failed, as long as no later one has succeeded. */
const byHand = each('Backup', (backup, index) => {
  const { namespace, name, labels } = backup.metadata
  const schedule = labels?.['velero.io/schedule-name']
  if ((schedule && index.get('Schedule', namespace, schedule)) || !FAILED.test(backup.status?.phase ?? ''))
    return undefined
  const newer = index
    .within('Backup', namespace)
    .some(other => startOf(other) > startOf(backup) && other.status?.phase === 'Completed')
  if (newer || (index.now - startOf(backup)) / 1000 > 7 * 86_400) return undefined
  const location = backup.spec?.storageLocation
  return [
    {
      ...lastFailed(
        backup,
        (rule, cause, more) => ({
          rule,
          verdict: 'warning',
          subject: refOf(backup),
          cause,
          evidence: [],
          ...more,
        }),
        {
          symptom: true,
          causedBy: [
            ...(location ? [refTo('BackupStorageLocation', namespace, location)] : []),
            ...behindBackups(namespace, index).filter(ref => ref.name !== name),
          ],
        },
      ),
      cause: `has failed${whyFailed(backup)}`,
    },
  ]
})

/**
 * Seconds from one run of a cron expression to the next, at most; undefined for anything else. Close enough to
 * tell that runs are missing. Pure.
 */
export function periodOf(schedule: string): number | undefined {
  const [hour, day] = [3600, 86_400]
  const named: Record<string, number> = {
    hourly: hour,
    daily: day,
    midnight: day,
    weekly: 7 * day,
    monthly: 31 * day,
    yearly: 366 * day,
    annually: 366 * day,
  }
  const word = /^@(\w+)$/.exec(schedule)?.[1]
  if (word) return named[word]
  const every = /^@every (?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(schedule)
  if (every)
    return Number(every[1] ?? 0) * hour + Number(every[2] ?? 0) * 60 + Number(every[3] ?? 0) || undefined
  const fields = schedule
    .replace(/^(CRON_)?TZ=\S+\s+/, '')
    .trim()
    .split(/\s+/)
  if (fields.length !== 5) return undefined
  const [, hours = '', ofMonth = '', ofYear = '', ofWeek = ''] = fields
  const any = (field: string) => field === '*' || field === '?'
  if (!any(ofYear)) return 366 * day
  if (!any(ofMonth)) return 31 * day
  if (!any(ofWeek)) return 7 * day
  if (any(hours)) return hour
  const step = /^\*\/(\d+)$/.exec(hours)?.[1]
  return step ? Number(step) * hour : day
}

export const rules: Rule[] = [locations, schedules, byHand, proofs]
