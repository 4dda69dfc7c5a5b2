/**
 * Whether a backup of Velero holds the data of a cluster, by the objects that the API server has. Velero's own word
 * is not enough: a backup is `Completed` although it has left out volumes that no pod mounts, those of pods that do
 * not run, and hostPath volumes (velero v1.18, pkg/podvolume/backupper.go). One judgement for `backup`, `restore`,
 * `status`, `diagnose` and `purge`.
 */

import type { KubeObject } from '../kubectl/kubectl.ts'
import { podsByClaim } from '../kubectl/volumes.ts'
import { durationText } from '../script/duration.ts'
import { ExpectedError, throwAll } from '../script/errors.ts'
import { sizeText } from '../script/size.ts'
import { heldBy } from './held.ts'

/** The namespace of Velero. */
export const VELERO = 'velero'
/** The ConfigMap whose age is that of the newest proof of a backup; recreated with each one. */
export const PROOF_MARK = 'oas-backup-proof'
/** The same of the newest restore drill. */
export const DRILL_MARK = 'oas-restore-drill'
/** The annotation of a pod that names the volumes that Velero leaves out. */
const EXCLUDES = 'backup.velero.io/backup-volumes-excludes'
/** The label of what Velero leaves out. */
const EXCLUDED = 'velero.io/exclude-from-backup'
/**
 * The annotation of a backup with what was wrong with it in the bucket when it was proved last: `status` and `diagnose`
 * do not ask the bucket, and must not call good what is known to be damaged.
 */
export const WRONG_IN_BUCKET = 'openappstack.net/wrong-in-bucket'
/** How Velero says that it has found nothing in a volume (pkg/podvolume, v1.18). */
const NOTHING = /volume was empty/

/** The objects of a judgement: the lists of a whole cluster. */
export interface BackupObjects {
  volumeBackups: readonly KubeObject[]
  claims: readonly KubeObject[]
  volumes: readonly KubeObject[]
  pods: readonly KubeObject[]
}

/**
 * The data of one claim. `captured`: the backup has it. `excluded`: left out on purpose. `later`: the claim came after
 * the backup. `missing`: anything else.
 */
export interface ClaimVerdict {
  /** `namespace/name`. */
  claim: string
  state: 'captured' | 'excluded' | 'later' | 'missing'
  /** Why, unless it is captured. */
  reason?: string
  fix?: string
  /** What kind of volume it is: `local`, `hostPath`, `csi`, … */
  volume: string
  /** The pods that mount it, with their phases. */
  pods: string[]
  bytes?: number
  snapshot?: string
  /** Velero has found nothing in it. */
  empty?: boolean
  /** Of one that came later: how many bytes the backup has of the claim that had its name then. */
  earlier?: number
}

/** Something that is wrong with a backup as a whole, and what to do about it. */
export interface BackupFlaw {
  what: string
  fix: string
}

/** What a backup is worth. */
export interface BackupVerdict {
  name: string
  phase: string
  /** ISO 8601, when it was started: data written later is not in it. */
  startedAt?: string
  completedAt?: string
  expiresAt?: string
  warnings: number
  claims: ClaimVerdict[]
  flaws: BackupFlaw[]
  /** Whether nothing is missing and nothing is wrong. */
  proved: boolean
}

const PHASES = {
  waiting: /^(New|Queued|ReadyToStart)?$/,
  running: /^(InProgress|WaitingForPluginOperations(PartiallyFailed)?|Finalizing(PartiallyFailed)?)$/,
  failed: /^(Failed|PartiallyFailed|FailedValidation)$/,
}

/** Whether Velero has not started with a backup or a restore: it does one thing at a time. Pure. */
export function isUnstarted({ status }: KubeObject): boolean {
  return PHASES.waiting.test(status?.phase ?? '')
}

/** Whether Velero works on a backup or a restore at the moment. Pure. */
export function isUnderWay({ status }: KubeObject): boolean {
  return PHASES.running.test(status?.phase ?? '')
}

/** Whether Velero has not ended with a backup or a restore. Pure. */
export function isUnfinished(object: KubeObject): boolean {
  return isUnstarted(object) || isUnderWay(object)
}

/** When a backup was started, in milliseconds; 0 for an unknown time. Pure. */
export function startOf({ status, metadata }: KubeObject): number {
  return Date.parse(status?.startTimestamp ?? metadata.creationTimestamp ?? '') || 0
}

/** Whether a backup takes everything of a namespace. One with a label selector takes only some of it. Pure. */
export function takesNamespace({ spec }: KubeObject, namespace: string): boolean {
  const included: string[] = spec?.includedNamespaces ?? []
  const excluded: string[] = spec?.excludedNamespaces ?? []
  const some = spec?.labelSelector ?? spec?.orLabelSelectors
  return (
    !some &&
    !excluded.includes(namespace) &&
    !excluded.includes('*') &&
    (included.length === 0 || included.includes('*') || included.includes(namespace))
  )
}

const AGAIN = 'correct the cause, then run `npx tsx scripts/backup.ts`'

/** What is wrong with a backup as a whole. Pure. */
function flawsOf(backup: KubeObject, now: number): BackupFlaw[] {
  const { status = {}, spec = {}, metadata } = backup
  const phase: string = status.phase ?? 'New'
  const reasons = [status.failureReason, ...(status.validationErrors ?? [])].filter(Boolean).map(String)
  const why = reasons.length > 0 ? `: ${reasons.join('; ')}` : ''
  const flaws: BackupFlaw[] = []
  if (metadata.deletionTimestamp || phase === 'Deleting')
    flaws.push({ what: 'is being deleted', fix: 'take another backup' })
  else if (isUnfinished(backup))
    flaws.push({
      what: `is not finished (${phase}, for ${durationText(Math.max(0, now - startOf(backup)))})`,
      fix: 'wait for its end; when nothing moves, see `npx tsx scripts/diagnose.ts`',
    })
  else if (phase !== 'Completed')
    flaws.push({
      what: `${phase === 'PartiallyFailed' ? 'has failed in part' : `has failed (${phase})`}${why}`,
      // One that was refused before it began has no log.
      fix: `${phase === 'FailedValidation' ? 'see why with `npx tsx scripts/diagnose.ts`' : `read its log (velero backup logs ${metadata.name})`}, ${AGAIN}`,
    })
  else if ((status.errors ?? 0) > 0)
    flaws.push({ what: `has ${status.errors} errors`, fix: `read its log, ${AGAIN}` })
  const failed = status.hookStatus?.hooksFailed ?? 0
  if (failed > 0)
    flaws.push({
      what: `${failed} of ${status.hookStatus?.hooksAttempted ?? failed} hooks failed: a database has no new dump in it`,
      fix: `read what the hook says (velero backup logs ${metadata.name}), ${AGAIN}`,
    })
  const expires = Date.parse(status.expiration ?? '')
  if (expires <= now) flaws.push({ what: `has expired on ${status.expiration}`, fix: 'take a newer backup' })
  const damaged = metadata.annotations?.[WRONG_IN_BUCKET]
  if (damaged !== undefined)
    flaws.push({
      what: `was found damaged: ${damaged}`,
      fix: `check it again when the cause is corrected: npx tsx scripts/backup.ts --verify ${metadata.name}`,
    })
  if (startOf(backup) > now + 5 * 60_000)
    flaws.push({
      what: `was started in the future (${status.startTimestamp ?? metadata.creationTimestamp})`,
      fix: "correct the server's clock (timedatectl), then take another backup",
    })
  if (spec.labelSelector ?? spec.orLabelSelectors)
    flaws.push({ what: 'takes only objects with certain labels', fix: 'take a backup of everything' })
  return flaws
}

/**
 * Judges a backup of a whole cluster, or with `only` the claims that this is true for: then a selection of objects by
 * labels is not a flaw. `now` is the clock of the cluster. Pure.
 */
export function judgeBackup(
  backup: KubeObject,
  objects: BackupObjects,
  now: number,
  only?: (claim: KubeObject) => boolean,
): BackupVerdict {
  const { status = {}, metadata } = backup
  const copies = new Map<string, KubeObject[]>()
  for (const copy of objects.volumeBackups) {
    const { labels } = copy.metadata
    if (labels?.['velero.io/backup-name'] !== metadata.name) continue
    const uid = labels['velero.io/pvc-uid'] ?? ''
    copies.set(uid, [...(copies.get(uid) ?? []), copy])
  }
  const look = lookup(metadata.name, objects)
  const claims = objects.claims
    .filter(({ status }) => status?.phase === 'Bound')
    .filter(claim => only?.(claim) ?? true)
    .map(claim => judgeClaim(claim, copies.get(claim.metadata.uid ?? '-') ?? [], backup, look))
    .sort((a, b) => (a.claim < b.claim ? -1 : 1))
  const flaws = flawsOf(backup, now).filter(({ what }) => !only || !what.startsWith('takes only objects'))
  return {
    name: metadata.name,
    phase: status.phase ?? 'New',
    startedAt: status.startTimestamp,
    completedAt: status.completionTimestamp,
    expiresAt: status.expiration,
    warnings: status.warnings ?? 0,
    claims,
    flaws,
    proved: flaws.length === 0 && claims.every(({ state }) => state !== 'missing'),
  }
}

/** What the claims are judged with for a backup, found once. */
function lookup(backup: string, { pods, volumes, volumeBackups }: BackupObjects) {
  const agents = pods.filter(
    ({ metadata: { namespace, labels } }) =>
      namespace === VELERO && (labels?.role === 'node-agent' || labels?.name === 'node-agent'),
  )
  /** Claims of which some backup has got data, by uid. */
  const filled = new Set(
    volumeBackups
      .filter(({ status }) => status?.phase === 'Completed' && (status.progress?.totalBytes ?? 0) > 0)
      .map(({ metadata }) => metadata.labels?.['velero.io/pvc-uid']),
  )
  return {
    users: podsByClaim(pods),
    filled,
    /** The bytes that the backup has of a claim, by `namespace/name`. */
    held: new Map(heldBy(backup, volumeBackups).map(({ claim, bytes }) => [claim, bytes])),
    volumes: new Map(volumes.map(volume => [volume.metadata.name, volume])),
    agents: new Set(
      agents.filter(({ status }) => status?.phase === 'Running').map(({ spec }) => spec?.nodeName as string),
    ),
  }
}

const KINDS = ['local', 'hostPath', 'csi', 'nfs', 'iscsi', 'rbd', 'cephfs', 'cinder']

function judgeClaim(
  claim: KubeObject,
  copies: readonly KubeObject[],
  backup: KubeObject,
  look: ReturnType<typeof lookup>,
): ClaimVerdict {
  const { namespace = '', name, uid, labels } = claim.metadata
  const place = `${namespace}/${name}`
  const users = look.users.get(place) ?? []
  const volume = look.volumes.get(claim.spec?.volumeName ?? '')
  const kind = KINDS.find(each => volume?.spec?.[each] !== undefined) ?? 'other'
  const verdict = (state: ClaimVerdict['state'], more: Partial<ClaimVerdict>): ClaimVerdict => ({
    claim: place,
    state,
    volume: kind,
    pods: users.map(pod => `${pod.metadata.name} (${pod.status?.phase ?? 'unknown'})`),
    ...more,
  })
  const missing = (reason: string, fix: string) => verdict('missing', { reason, fix })

  const done = copies.find(({ status }) => status?.phase === 'Completed')
  if (done) {
    const { snapshotID, message = '', progress = {} } = done.status
    const { totalBytes = 0, bytesDone = totalBytes } = progress
    if (!snapshotID || NOTHING.test(message))
      return look.filled.has(uid)
        ? missing(
            'Velero found it empty, and it was not empty at an earlier backup',
            `check the volume of the claim ${place} on the server: its data may be gone`,
          )
        : verdict('captured', { bytes: 0, empty: true })
    if (bytesDone < totalBytes)
      return missing(`only ${sizeText(bytesDone)} of ${sizeText(totalBytes)} were copied`, AGAIN)
    return verdict('captured', { bytes: totalBytes, snapshot: snapshotID })
  }
  const copy = copies[0]
  if (copy) {
    const { phase = 'New', message } = copy.status ?? {}
    const said = message ? `: ${message}` : ''
    return /^(Failed|Canceled|Canceling)$/.test(phase)
      ? missing(`copying it has failed${said}`, AGAIN)
      : missing(`it is still being copied (${phase})${said}`, 'wait for the end of the backup')
  }
  const left = [claim, ...users].find(({ metadata }) => metadata.labels?.[EXCLUDED] === 'true')
  if (labels?.[EXCLUDED] === 'true' || left)
    return verdict('excluded', { reason: `${left!.kind} ${left!.metadata.name} has the label ${EXCLUDED}` })
  const purposely = users.find(pod => excludedVolumes(pod).has(volumeOf(pod, name)))
  if (purposely && users.every(pod => excludedVolumes(pod).has(volumeOf(pod, name))))
    return verdict('excluded', { reason: `left out by the annotation of pod ${purposely.metadata.name}` })
  if (Date.parse(claim.metadata.creationTimestamp ?? '') > startOf(backup)) {
    const earlier = look.held.get(place)
    const has =
      earlier === undefined ? '' : `, which has ${sizeText(earlier)} of the claim that had its name then`
    return verdict('later', { reason: `it was created after the backup was started${has}`, earlier })
  }
  if (namespace && !takesNamespace({ ...backup, spec: withoutSelectors(backup.spec) }, namespace))
    return missing(`the backup leaves out the namespace ${namespace}`, 'take a backup of everything')
  if (kind === 'hostPath') {
    const [, folder = '/', last = ''] =
      /^(.*)\/([^/]+)\/?$/.exec(String(volume?.spec?.hostPath?.path ?? '')) ?? []
    return missing(
      'it is a hostPath volume, which Velero does not back up',
      `create a claim on the storage class local-path, and copy the data: npx tsx scripts/migrate-data.ts --old-folder ${folder || '/'} --match ${last}=${namespace}/NEW ("Volumes that cannot be backed up" in runbooks/backup.md)`,
    )
  }
  if (users.length === 0)
    return missing(
      'no pod uses it, and Velero reads volumes of running pods only',
      `start its application, or delete the claim when nobody needs the data (kubectl -n ${namespace} delete pvc ${name})`,
    )
  const idle = users.find(({ status }) => status?.phase !== 'Running')
  if (idle && users.every(({ status }) => status?.phase !== 'Running'))
    return missing(
      `its pod ${idle.metadata.name} is ${idle.status?.phase ?? 'of an unknown phase'}, not Running`,
      'see why with `npx tsx scripts/diagnose.ts`, then take another backup',
    )
  const running = users.find(({ status }) => status?.phase === 'Running')!
  if (!mounts(running, name))
    return missing(`no container of pod ${running.metadata.name} mounts it`, 'mount it, or delete the claim')
  const node: string = running.spec?.nodeName ?? ''
  if (!look.agents.has(node))
    return missing(
      `node-agent does not run on node ${node}, and it reads the volumes there`,
      'see why with `npx tsx scripts/diagnose.ts`, then take another backup',
    )
  if (backup.spec?.defaultVolumesToFsBackup !== true)
    return missing('the backup copies no volumes unless a pod asks for it', 'run `npx tsx scripts/backup.ts`')
  return missing(
    'Velero has no copy of it',
    `read why (velero backup logs ${backup.metadata.name}), ${AGAIN}`,
  )
}

/** A selection by labels says nothing about a namespace. */
const withoutSelectors = (spec: KubeObject['spec']) => ({
  ...spec,
  labelSelector: undefined,
  orLabelSelectors: undefined,
})

/** The name that a pod gives to the volume of a claim. */
function volumeOf(pod: KubeObject, claim: string): string | undefined {
  return (pod.spec?.volumes ?? []).find(
    (volume: { persistentVolumeClaim?: { claimName?: string } }) =>
      volume.persistentVolumeClaim?.claimName === claim,
  )?.name
}

function excludedVolumes({ metadata }: KubeObject): Set<string | undefined> {
  return new Set((metadata.annotations?.[EXCLUDES] ?? '').split(',').map(name => name.trim()))
}

function mounts(pod: KubeObject, claim: string): boolean {
  const volume = volumeOf(pod, claim)
  const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])]
  return containers.some((container: { volumeMounts?: { name: string }[] }) =>
    (container.volumeMounts ?? []).some(({ name }) => name === volume),
  )
}

/** Whether a backup has the data of a claim, or of the one that had its name then: it may have been restored since. Pure. */
export const hasData = ({ state, earlier }: ClaimVerdict): boolean =>
  state === 'captured' || earlier !== undefined

/** How many of the claims of today a backup has, and why it does not have the others, for people. Pure. */
export function coverage({ claims }: Pick<BackupVerdict, 'claims'>): string {
  const count = (state: ClaimVerdict['state']) => claims.filter(claim => claim.state === state).length
  const [excluded, later] = [count('excluded'), count('later')]
  const earlier = claims.filter(claim => claim.earlier !== undefined).length
  return [
    `${count('captured')} of ${claims.length} volumes`,
    ...(excluded > 0 ? [`${excluded} left out on purpose`] : []),
    ...(later > 0
      ? [`${later} created later${earlier > 0 ? `, ${earlier} of them in it as they were before` : ''}`]
      : []),
  ].join('; ')
}

/** Throws an ExpectedError for each of these; nothing when there are none. */
export function throwFlaws(flaws: readonly BackupFlaw[]): void {
  throwAll(flaws.map(({ what, fix }) => new ExpectedError(what, fix)))
}

/** Everything that is wrong with a backup, each with what to do about it. Pure. */
export function wrongWith(verdict: BackupVerdict): BackupFlaw[] {
  return [
    ...verdict.flaws.map(({ what, fix }) => ({ what: `backup ${verdict.name} ${what}`, fix })),
    ...verdict.claims
      .filter(({ state }) => state === 'missing')
      .map(({ claim, reason, fix }) => ({
        what: `backup ${verdict.name} does not have the data of ${claim}: ${reason}`,
        fix: fix ?? AGAIN,
      })),
  ]
}
