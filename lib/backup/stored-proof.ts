/** The proof of a backup as it lies in the bucket: written so that a change is seen, and read only when there was none. */
import { sha256 } from '../script/digest.ts'
import { ExpectedError } from '../script/errors.ts'
import { printableJson } from '../script/printable.ts'
import { scrubbedJson } from '../script/scrub.ts'
import { type BackupBucket, type FileSums, proofPath } from './bucket.ts'
import { type Counted, countedOf } from './compare.ts'
import { type BackupFlaw, type BackupVerdict, wrongForClaims } from './judge.ts'

/** A proof, as it is written. */
export interface Proof {
  version: 1
  cluster: string
  madeAt: string
  kubernetes: string
  /** The application, when the backup is of one only. */
  app?: string
  backup: BackupVerdict
  /** The chart version of each Helm release (`namespace/name`), as it was when this was written. */
  versions?: Record<string, string>
  /** What the claims had before and after the backup, where `backup` has made it; the nightly ones are not counted. */
  contents?: Counted[]
  /** The checksums of Velero's files in the bucket. */
  files?: FileSums
  /** The path of an earlier proof that somebody had changed: no later one can tell what that one knew. */
  changed?: string
  /** Everything that is wrong; nothing when the backup is proved. */
  wrong: BackupFlaw[]
}

/** Why the bucket has no proof of a backup that could be believed. */
type Unproved = 'absent' | 'changed' | 'unreadable'

/**
 * A proof as it lies in the bucket: with its checksum inside, so that a run that is killed, or two at once, leave none
 * that looks changed. Pure.
 */
export function sealedProof(proof: Proof): string {
  // Its own field names stay, be one of them somebody's password: without `changed` it would say something else.
  const facts = Object.fromEntries(
    Object.entries(proof).flatMap(([field, value]) =>
      value === undefined ? [] : [[field, JSON.parse(scrubbedJson(value))]],
    ),
  )
  const sealed = { ...facts, sha256: sha256(JSON.stringify(facts)) }
  return `${printableJson(JSON.stringify(sealed, null, 2))}\n`
}

/** Whether a proof is as it was written, by the checksum inside; undefined without one. Pure. */
function isSealed(text: Buffer, backup: string): boolean | undefined {
  try {
    const { sha256: inside, ...facts } = JSON.parse(text.toString())
    if (inside !== undefined) return inside === sha256(JSON.stringify(facts)) && facts.backup?.name === backup
  } catch {} // cut off, or never one
  return undefined
}

/** The same by the checksum beside it, which is all that proofs of earlier versions have. */
async function fitsBeside(bucket: BackupBucket, path: string, text: Buffer): Promise<boolean | undefined> {
  const sum = await bucket.read(`${path}.sha256`)
  return sum && sha256(text) === sum.toString().trim()
}

/**
 * The proof of a backup in the bucket, or with `app` that of one application, or why there is none. In place of the
 * whole one of an application may lie, as earlier versions have written it: it has `app`. They have also left one
 * without a checksum when they were killed: nobody can tell whether it was changed, so it is absent.
 */
export async function storedProof(
  bucket: BackupBucket,
  backup: string,
  app?: string,
): Promise<Proof | Unproved> {
  const path = proofPath(backup, app)
  const text = await bucket.read(path)
  if (!text) return 'absent'
  const unchanged = isSealed(text, backup) ?? (await fitsBeside(bucket, path, text))
  if (!unchanged) return unchanged === undefined ? 'absent' : 'changed'
  try {
    return soundProof(JSON.parse(text.toString()))
  } catch {
    return 'unreadable'
  }
}

/** A proof of a bucket, as far as it has the form of one. Throws when it has not. Pure. */
function soundProof(document: unknown): Proof {
  const proof = document as Proof
  if (proof?.version !== 1 || !Array.isArray(proof.wrong) || !Array.isArray(proof.backup?.claims))
    throw new Error('it has other fields')
  const contents = countedOf(proof.contents)
  const texts = (record: unknown) => {
    const sound = Object.entries(record ?? {}).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    )
    return sound.length > 0 ? Object.fromEntries(sound) : undefined
  }
  return {
    ...proof,
    contents: contents.length > 0 ? contents : undefined,
    versions: texts(proof.versions),
    files: texts(proof.files),
    changed: typeof proof.changed === 'string' ? proof.changed : undefined,
  }
}

/** What a later proof keeps of an earlier one. */
export type EarlierFacts = Pick<Proof, 'contents' | 'versions' | 'files' | 'changed'>

/**
 * What an earlier proof of a backup says that cannot be found out again, and whether it or one before it was changed by
 * somebody else; of an application also what the proof of the whole says.
 */
export async function earlierFacts(bucket: BackupBucket, name: string, app?: string): Promise<EarlierFacts> {
  const [proof, whole] = await Promise.all([
    storedProof(bucket, name, app),
    app === undefined ? ({} as EarlierFacts) : earlierFacts(bucket, name),
  ])
  if (typeof proof === 'string')
    return proof === 'changed' ? { ...whole, changed: proofPath(name, app) } : whole
  return {
    contents: proof.contents ?? whole.contents,
    versions: proof.versions ?? whole.versions,
    files: proof.files ?? whole.files,
    changed: proof.changed ?? whole.changed,
  }
}

/**
 * The proof that counts for an application, of its own one and that of the whole backup: the later one. What the whole
 * lacks of others does not stand against its own. Pure.
 */
function proofThatCounts(own: Proof | Unproved, whole: Proof | Unproved): Proof | Unproved {
  if (typeof own === 'string') return own === 'absent' ? whole : own
  if (typeof whole === 'string' || whole.app !== undefined || !(whole.madeAt > own.madeAt)) return own
  if (whole.wrong.length === 0) return whole
  const wrong = wrongForClaims(
    whole,
    own.backup.claims.map(({ claim }) => claim),
  )
  return wrong.length > 0 ? { ...whole, wrong } : own
}

/**
 * Whether a backup, or what it has of an application, may be restored from, by our proof in the bucket: there is one of
 * that application or of the whole (the later one counts), it is unchanged, and it says that nothing was wrong. Returns
 * the proof. Throws an ExpectedError otherwise, with `orElse` where the caller can do without a proof.
 */
export async function readProof(
  bucket: BackupBucket,
  backup: string,
  app?: string,
  orElse?: string,
): Promise<Proof> {
  const verify = `prove it while its cluster runs: npx tsx scripts/backup.ts --verify ${backup}`
  // A restore is of an application; a drill of everything needs a proof of everything.
  const ofWhat =
    app === undefined ? `${verify}; of a backup of one application: give --app APP` : `${verify} --app ${app}`
  const prove = [ofWhat, ...(orElse ? [orElse] : [])].join('; ')
  const [own, whole] = await Promise.all([
    app === undefined ? ('absent' as const) : storedProof(bucket, backup, app),
    storedProof(bucket, backup),
  ])
  const proof = proofThatCounts(own, whole)
  if (proof === 'changed')
    throw new ExpectedError(
      `the proof of backup ${backup} was changed after it was written`,
      'take another backup, and find out who changes the bucket',
    )
  if (typeof proof === 'string') {
    const what =
      proof === 'absent'
        ? `backup ${backup} has no proof in the bucket`
        : `the proof of backup ${backup} cannot be read`
    throw new ExpectedError(what, prove)
  }
  if (proof.app !== undefined && proof.app !== app)
    throw new ExpectedError(`the proof of backup ${backup} is of ${proof.app} only`, prove)
  if (proof.wrong.length > 0)
    throw new ExpectedError(`the proof of backup ${backup} says: ${proof.wrong[0]!.what}`, prove)
  return proof
}
