/** Which backup holds the data of an application, if one does. */
import type { AppParts } from '../../lib/backup/back-up.ts'
import type { BackupObjects } from '../../lib/backup/claim.ts'
import { unsavedData } from '../../lib/backup/guard.ts'
import { readBackupObjects } from '../../lib/backup/proof.ts'
import { newestBackups } from '../../lib/backup/velero.ts'
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
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
 * The first of these backups, the newest first, that has every claim of an application. What a backup leaves out on
 * purpose counts as saved; a claim that came later does not. Pure.
 */
export function savedIn(
  survey: AppSurvey,
  backups: readonly KubeObject[],
  objects: BackupObjects,
  age: { now: number; maxAge: number },
): SavedData {
  const { owns } = savedParts(survey)
  const problems = backups.map(backup => unsavedData(backup, objects, { ...age, only: owns }))
  const good = backups[problems.findIndex(found => found.length === 0)]
  if (good) return { backup: good.metadata.name }
  const why = problems[0]?.map(({ message }) => message).join('; ') ?? 'there are no backups'
  return {
    problem: new ExpectedError(
      `no good backup holds the data of ${survey.app}: ${why}`,
      'make one: npx tsx scripts/backup.ts; or give --discard-data if nobody needs it',
      { exitCode: EXIT.refused },
    ),
  }
}

/** Reads what `savedIn` judges. */
export async function findSaved(kubectl: Kubectl, survey: AppSurvey, maxAge: number): Promise<SavedData> {
  const [backups, objects] = await Promise.all([newestBackups(kubectl), readBackupObjects(kubectl)])
  return savedIn(survey, backups, objects, { now: Date.now() + kubectl.client.clockOffset, maxAge })
}
