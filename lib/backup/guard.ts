/** What must be proved before a script changes or destroys data. */
import type { Kubectl, KubeObject } from '../kubectl/kubectl.ts'
import { durationText } from '../script/duration.ts'
import { EXIT, ExpectedError } from '../script/errors.ts'
import type { BackupObjects } from './claim.ts'
import { judgeBackup, wrongWith } from './judge.ts'
import { PROOF_MARK, startOf, VELERO } from './objects.ts'
import { readBackupObjects } from './proof.ts'
import { veleroRef } from './velero.ts'

/** How old a proved backup may be before a change that cannot be taken back: a day. */
const GUARD_AGE = 24 * 3_600_000
const MAKE = 'make one that is proved: npx tsx scripts/backup.ts'

/** What is known of the newest proof. */
export interface NewestProof {
  /** The backup that it is of, as its mark names it. */
  name?: string
  /** That backup, while it exists. */
  backup?: KubeObject
}

/** The mark of the newest proof of a whole backup, and that backup. */
export async function newestProof(kubectl: Kubectl): Promise<NewestProof> {
  const mark = await kubectl.get({ apiVersion: 'v1', kind: 'ConfigMap', namespace: VELERO, name: PROOF_MARK })
  const name: string | undefined = mark?.data?.backup
  return name === undefined ? {} : { name, backup: await kubectl.get(veleroRef('Backup', name)) }
}

/** How a backup is judged: by the clock of the cluster, at most `maxAge` milliseconds old, for some of the claims only. */
interface Demand {
  now: number
  maxAge?: number
  only?: (claim: KubeObject) => boolean
}

const refused = (what: string, fix: string) => new ExpectedError(what, fix, { exitCode: EXIT.refused })

/**
 * What stands against a change, by the newest proof and by what the cluster has now; nothing when a proved backup has
 * all its data, or that of the claims that `only` is true for. Pure.
 */
export function unprovedData(
  { name, backup }: NewestProof,
  objects: BackupObjects,
  demand: Demand,
): ExpectedError[] {
  if (name === undefined) return [refused('no backup of the volumes is proved', MAKE)]
  if (!backup) return [refused(`the backup that was proved last, ${name}, does not exist any more`, MAKE)]
  return unsavedData(backup, objects, demand)
}

/**
 * What stands against a change, by one backup, whether it was proved or not: it is older than `maxAge`, something is
 * wrong with it, or it lacks a claim or was started before one was created. Pure.
 */
export function unsavedData(
  backup: KubeObject,
  objects: BackupObjects,
  { now, maxAge = GUARD_AGE, only }: Demand,
): ExpectedError[] {
  const { name } = backup.metadata
  const age = now - startOf(backup)
  if (age > maxAge)
    return [
      refused(`backup ${name} is ${durationText(age)} old; at most ${durationText(maxAge)} is allowed`, MAKE),
    ]
  const verdict = judgeBackup(backup, objects, now, only)
  const later = verdict.claims
    .filter(({ state }) => state === 'later')
    .map(({ claim }) => refused(`${claim} was created after backup ${name} was started`, MAKE))
  return [...wrongWith(verdict).map(({ what, fix }) => refused(what, fix)), ...later]
}

/**
 * `unprovedData` of a cluster where Velero is installed: without it nobody has promised a backup. Nothing is judged of a
 * cluster without Velero, which the answer says.
 */
export async function checkProof(
  kubectl: Kubectl,
  only?: (claim: KubeObject) => boolean,
): Promise<{ problems: ExpectedError[]; velero: boolean }> {
  if (!(await kubectl.get(veleroRef('BackupStorageLocation', 'default'))))
    return { problems: [], velero: false }
  const [proof, objects] = await Promise.all([newestProof(kubectl), readBackupObjects(kubectl)])
  const now = Date.now() + kubectl.client.clockOffset
  return { problems: unprovedData(proof, objects, { now, only }), velero: true }
}
