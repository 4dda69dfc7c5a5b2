/**
 * Whether a backup of Velero holds the data of a cluster, by the objects that the API server has: Velero's own word is
 * not enough (claim.ts). One judgement for every script.
 */

import type { KubeObject } from '../kubectl/kubectl.ts'
import { durationText } from '../script/duration.ts'
import { ExpectedError, throwAll } from '../script/errors.ts'
import { AGAIN, type BackupObjects, type ClaimVerdict, judgeClaim, lookup } from './claim.ts'
import { isUnfinished, startOf, WRONG_IN_BUCKET } from './objects.ts'

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

/** That a backup has failed, with Velero's reasons. */
function failure({ status, metadata }: KubeObject, what: string): BackupFlaw {
  const reasons = [status.failureReason, ...(status.validationErrors ?? [])].filter(Boolean).map(String)
  return {
    what: `${what}${reasons.length > 0 ? `: ${reasons.join('; ')}` : ''}`,
    // One that was refused before it began has no log.
    fix: `${status.phase === 'FailedValidation' ? 'see why with `npx tsx scripts/diagnose.ts`' : `read its log (velero backup logs ${metadata.name})`}, ${AGAIN}`,
  }
}

/** Why nothing can be restored from a backup, whatever somebody accepts. Pure. */
export function unusableFlaws(backup: KubeObject, now: number): BackupFlaw[] {
  const { status = {}, metadata } = backup
  const phase: string = status.phase ?? 'New'
  const flaws: BackupFlaw[] = []
  if (metadata.deletionTimestamp || phase === 'Deleting')
    flaws.push({ what: 'is being deleted', fix: 'take another backup' })
  else if (isUnfinished(backup))
    flaws.push({
      what: `is not finished (${phase}, for ${durationText(Math.max(0, now - startOf(backup)))})`,
      fix: 'wait for its end; when nothing moves, see `npx tsx scripts/diagnose.ts`',
    })
  else if (!/^(Completed|PartiallyFailed)$/.test(phase)) flaws.push(failure(backup, `has failed (${phase})`))
  if (Date.parse(status.expiration ?? '') <= now)
    flaws.push({ what: `has expired on ${status.expiration}`, fix: 'take a newer backup' })
  return flaws
}

/** How the making of a backup failed, also in part. What its files are like since, its proofs tell. Pure. */
export function flawsOfRun(backup: KubeObject, now: number): BackupFlaw[] {
  const { status = {}, metadata } = backup
  const flaws = unusableFlaws(backup, now)
  if (status.phase === 'PartiallyFailed') flaws.push(failure(backup, 'has failed in part'))
  else if (status.phase === 'Completed' && (status.errors ?? 0) > 0)
    flaws.push({ what: `has ${status.errors} errors`, fix: `read its log, ${AGAIN}` })
  const failed = status.hookStatus?.hooksFailed ?? 0
  if (failed > 0)
    flaws.push({
      what: `${failed} of ${status.hookStatus?.hooksAttempted ?? failed} hooks failed: a database has no new dump in it`,
      fix: `read what the hook says (velero backup logs ${metadata.name}), ${AGAIN}`,
    })
  if (startOf(backup) > now + 5 * 60_000)
    flaws.push({
      what: `was started in the future (${status.startTimestamp ?? metadata.creationTimestamp})`,
      fix: "correct the server's clock (timedatectl), then take another backup",
    })
  return flaws
}

/** What a verification of the whole backup has found to be damaged in the bucket. */
function damage({ metadata }: KubeObject): BackupFlaw[] {
  const damaged = metadata.annotations?.[WRONG_IN_BUCKET]
  if (damaged === undefined) return []
  const fix = `check it again when the cause is corrected: npx tsx scripts/backup.ts --verify ${metadata.name}`
  return [{ what: `was found damaged: ${damaged}`, fix }]
}

/** The flaw of a backup of one application, as one of a whole cluster. */
const ONLY_LABELS = 'takes only objects with certain labels'

/** What is wrong with what a backup takes, of which `claims` are asked for; `isPart`: of one application. Pure. */
function flawsOfSelection({ spec = {} }: KubeObject, claims: number, isPart: boolean): BackupFlaw[] {
  if (!(spec.labelSelector ?? spec.orLabelSelectors)) return []
  if (!isPart) return [{ what: ONLY_LABELS, fix: 'take a backup of everything' }]
  // Nothing is missing of nothing: it would pass as a copy of the application.
  return claims > 0
    ? []
    : [
        {
          what: 'holds nothing: the application has no bound claim',
          fix: 'see why with `npx tsx scripts/app-debug.ts`, then take another backup; a restore onto a new server needs none (--skip-safety)',
        },
      ]
}

/**
 * Judges a backup of a whole cluster, or with `only` the claims that this is true for: then a selection of objects by
 * labels is not a flaw, unless there is no such claim. `now` is the clock of the cluster. Pure.
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
  const ofSelection = flawsOfSelection(backup, claims.length, only !== undefined)
  const flaws = [...flawsOfRun(backup, now), ...damage(backup), ...ofSelection]
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

/**
 * Of what a verification of the whole backup found to be wrong, what stands against restoring these claims
 * (`namespace/name`): neither that the backup is of one application, nor that it lacks other claims. Pure.
 */
export function wrongForClaims(
  { backup, wrong }: { backup: BackupVerdict; wrong: readonly BackupFlaw[] },
  claims: readonly string[],
): BackupFlaw[] {
  const others = wrongWith({
    ...backup,
    flaws: (backup.flaws ?? []).filter(({ what }) => what === ONLY_LABELS),
    claims: backup.claims.filter(({ claim }) => !claims.includes(claim)),
  })
  return wrong.filter(({ what }) => !others.some(other => other.what === what))
}
