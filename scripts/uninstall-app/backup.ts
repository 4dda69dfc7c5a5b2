/** Which backup holds the data of an application, if one does. */
import type { AppParts } from '../../lib/backup/back-up.ts'
import type { BackupObjects } from '../../lib/backup/claim.ts'
import { judgeBackup } from '../../lib/backup/judge.ts'
import { startOf } from '../../lib/backup/objects.ts'
import { readBackupObjects } from '../../lib/backup/proof.ts'
import { VELERO_API } from '../../lib/backup/velero.ts'
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
import { durationText } from '../../lib/script/duration.ts'
import { EXIT, ExpectedError } from '../../lib/script/errors.ts'
import type { AppSurvey } from './survey.ts'

/** The backup that holds everything, or why none does. */
export type SavedData = { backup: string } | { problem: ExpectedError }

/** What a proof has to know of an application: also of one whose pods are gone. Pure. */
export function savedParts({ app, claims, releases }: AppSurvey): AppParts {
  const uids = new Set(claims.map(({ object }) => object.metadata.uid))
  return {
    app,
    releases: releases.map(({ metadata }) => metadata.name),
    namespaces: [...new Set(claims.map(({ object }) => object.metadata.namespace ?? ''))],
    owns: claim => uids.has(claim.metadata.uid),
  }
}

/**
 * The newest backup that has every claim of an application, by the judgement of lib/backup. What a backup leaves out
 * on purpose counts as saved; a claim that came later does not. Pure.
 */
export function savedIn(
  survey: AppSurvey,
  backups: readonly KubeObject[],
  objects: BackupObjects,
  { now, maxAge }: { now: number; maxAge: number },
): SavedData {
  const { owns } = savedParts(survey)
  const refused = (what: string) => ({
    problem: new ExpectedError(
      what,
      `make one: npx tsx scripts/backup.ts; or give --discard-data if nobody needs it`,
      {
        exitCode: EXIT.refused,
      },
    ),
  })
  const newest = [...backups].sort((a, b) => startOf(b) - startOf(a))
  let reason: string | undefined
  for (const backup of newest) {
    const verdict = judgeBackup(backup, objects, now, owns)
    const lacking = verdict.claims.filter(({ state }) => state === 'missing' || state === 'later')
    const flaw = verdict.flaws[0]?.what
    if (!flaw && lacking.length === 0) {
      const age = now - startOf(backup)
      return age <= maxAge
        ? { backup: verdict.name }
        : refused(
            `the newest good backup ${verdict.name} is ${durationText(age)} old; at most ${durationText(maxAge)} is allowed`,
          )
    }
    reason ??= flaw
      ? `the newest, ${verdict.name}, ${flaw}`
      : `the newest, ${verdict.name}, lacks ${lacking.map(({ claim }) => claim).join(', ')}`
  }
  return refused(`no good backup holds the data of ${survey.app}: ${reason ?? 'there are no backups'}`)
}

/** Reads what `savedIn` judges. */
export async function findSaved(kubectl: Kubectl, survey: AppSurvey, maxAge: number): Promise<SavedData> {
  const [backups, objects] = await Promise.all([
    kubectl.list(VELERO_API, 'Backup'),
    readBackupObjects(kubectl),
  ])
  return savedIn(survey, backups, objects, { now: Date.now() + kubectl.client.clockOffset, maxAge })
}
