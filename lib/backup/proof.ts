/** Making the proof of a backup: what it holds of a cluster, written where it can be read without the cluster. */
import { join } from 'node:path'
import { HELM_RELEASE } from '../flux/flux.ts'
import { mountsClaim } from '../kubectl/claims.ts'
import type { Kubectl, KubeObject, Ref } from '../kubectl/kubectl.ts'
import type { Config } from '../platform/config.ts'
import type { Cluster } from '../script/cluster.ts'
import { sha256 } from '../script/digest.ts'
import { ExpectedError } from '../script/errors.ts'
import { privateFolder, writeFileAtomic } from '../script/files.ts'
import { markdownText } from '../script/printable.ts'
import { scrub } from '../script/scrub.ts'
import { sizeText } from '../script/size.ts'
import { fileTime } from '../script/timestamp.ts'
import { BackupBucket, BUCKET_CHANGED_FIX, checkFiles, type FileSums, proofPath } from './bucket.ts'
import type { BackupObjects } from './claim.ts'
import { type Counted, countedText, notEmpty } from './compare.ts'
import { heldBy } from './held.ts'
import { type BackupFlaw, type BackupVerdict, judgeBackup, wrongWith } from './judge.ts'
import { PROOF_MARK, VELERO, WRONG_IN_BUCKET } from './objects.ts'
import { checkRepositories } from './repository.ts'
import { type EarlierFacts, earlierFacts, type Proof, sealedProof } from './stored-proof.ts'

/** Reads what a judgement needs, of the whole cluster. */
export async function readBackupObjects(kubectl: Kubectl): Promise<BackupObjects> {
  const [volumeBackups, claims, volumes, pods] = await Promise.all([
    kubectl.list('velero.io/v1', 'PodVolumeBackup', { namespace: VELERO }),
    kubectl.list('v1', 'PersistentVolumeClaim'),
    kubectl.list('v1', 'PersistentVolume'),
    kubectl.list('v1', 'Pod', {}, pod => mountsClaim(pod) || pod.metadata.namespace === VELERO),
  ])
  return { volumeBackups, claims, volumes, pods }
}

/** The chart version of each Helm release now, by `namespace/name`. */
export async function releaseVersions(kubectl: Kubectl): Promise<Record<string, string>> {
  const releases = await kubectl.list(HELM_RELEASE.apiVersion, HELM_RELEASE.kind)
  return Object.fromEntries(
    releases.flatMap(({ metadata, status }) => {
      const version = status?.history?.[0]?.chartVersion
      return version ? [[`${metadata.namespace}/${metadata.name}`, String(version)]] : []
    }),
  )
}

/** One line a claim, for a plan and for people. Pure. */
export function claimLines(verdict: Pick<BackupVerdict, 'claims'>): string[] {
  const signs = { captured: '✓', excluded: '–', later: '–', missing: '✗' }
  return verdict.claims.map(({ claim, state, reason, volume, bytes, empty, pods }) => {
    const size = bytes === undefined ? '' : empty ? ', empty' : `, ${sizeText(bytes)}`
    const users = state === 'captured' ? '' : pods.length > 0 ? `; used by ${pods.join(', ')}` : ''
    return `${signs[state]} ${claim} (${volume}${size}): ${state}${reason ? `: ${reason}` : ''}${users}`
  })
}

/** A proof as Markdown. Pure. */
function proofText(proof: Proof): string {
  const { backup, wrong, contents = [] } = proof
  return [
    `# ${wrong.length === 0 ? 'Proof' : 'No proof'} of backup ${backup.name}`,
    '',
    `- cluster: ${proof.cluster}, Kubernetes ${proof.kubernetes}${proof.app ? `, only ${proof.app}` : ''}`,
    `- started: ${backup.startedAt ?? 'never'}; data written later is not in it`,
    `- ended: ${backup.completedAt ?? 'never'}; kept until ${backup.expiresAt ?? 'unknown'}`,
    `- checked: ${proof.madeAt}`,
    `- Velero says ${backup.phase}, ${backup.warnings} warnings`,
    '',
    '## Volumes',
    '',
    ...claimLines(backup).map(line => `- ${markdownText(line)}`),
    ...(contents.length > 0 ? ['', '## Contents', ''] : []),
    ...contents.map(each => `- ${markdownText(`${each.claim}: ${countedText(each)}`)}`),
    ...(wrong.length > 0 ? ['', '## Wrong', ''] : []),
    ...wrong.map(({ what, fix }) => `- ${markdownText(what)}; fix: ${markdownText(fix)}`),
    '',
  ].join('\n')
}

/** Whose backup is proved. */
export interface ProofSubject {
  cluster: Cluster
  config: Config
  signal: AbortSignal
  /** Of one application only: its name, and which claims it has. */
  only?: { app: string; owns: (claim: KubeObject) => boolean }
  /** What was counted around it; without it, what an earlier proof of the same backup has is kept. */
  contents?: Counted[]
}

/** What is wrong with a backup in the bucket, which has the data of these claims, and the checksums of its files. */
async function checkBucket(
  kubectl: Kubectl,
  bucket: BackupBucket,
  verdict: BackupVerdict,
  held: readonly string[],
  { files: known, changed }: EarlierFacts,
): Promise<{ files?: FileSums; flaws: BackupFlaw[] }> {
  const { name } = verdict
  const [{ files, flaws }, ofRepositories] = await Promise.all([
    checkFiles(bucket, verdict, known),
    checkRepositories(kubectl, bucket, name, held),
  ])
  const what = `backup ${name}: ${changed} was changed after it was written`
  return {
    files: { ...files, ...known }, // the first sums count, whatever was found later
    flaws: [...flaws, ...ofRepositories, ...(changed ? [{ what, fix: BUCKET_CHANGED_FIX }] : [])],
  }
}

/**
 * Judges a backup by the objects of the cluster and by its files in the bucket, writes the proof to the journal and,
 * with its SHA-256, into the bucket. Returns it, whatever it says, and the path of its Markdown. Throws an
 * ExpectedError when the backup does not exist or the bucket does not answer.
 */
export async function makeProof(
  kubectl: Kubectl,
  name: string,
  subject: ProofSubject,
): Promise<{ proof: Proof; file: string }> {
  const ref = { apiVersion: 'velero.io/v1', kind: 'Backup', namespace: VELERO, name }
  const [backup, objects, kubernetes] = await Promise.all([
    kubectl.get(ref),
    readBackupObjects(kubectl),
    kubectl.serverVersion(),
  ])
  if (!backup)
    throw new ExpectedError(
      `backup ${name} does not exist`,
      'see which there are: npx tsx scripts/backup.ts --list',
    )
  const now = Date.now() + kubectl.client.clockOffset
  const { [WRONG_IN_BUCKET]: damaged, ...annotations } = backup.metadata.annotations ?? {}
  const unmarked = { ...backup, metadata: { ...backup.metadata, annotations } }
  const verdict = judgeBackup(unmarked, objects, now, subject.only?.owns)
  const bucket = await BackupBucket.open(subject.config, subject.signal)
  const earlier = await earlierFacts(bucket, name, subject.only?.app)
  const isWhole = verdict.phase === 'Completed'
  // By their names: those of a restored application are other objects now.
  const held = heldBy(name, objects.volumeBackups).map(({ claim }) => claim)
  const { files, flaws } = isWhole
    ? await checkBucket(kubectl, bucket, verdict, held, earlier)
    : { flaws: [] }
  const contents = subject.contents ?? earlier.contents
  const wrong = [
    ...wrongWith(verdict),
    ...flaws,
    ...notEmpty(verdict.claims, contents ?? []).map(claim => ({
      what: `backup ${name} does not have the data of ${claim}: Velero found it empty, and it is not`,
      fix: 'see whether the volume is mounted on its node (npx tsx scripts/diagnose.ts), then take another backup',
    })),
  ]
  const proof: Proof = {
    version: 1,
    cluster: subject.cluster.name,
    madeAt: new Date(now).toISOString(),
    kubernetes,
    ...(subject.only ? { app: subject.only.app } : {}),
    backup: { ...verdict, proved: wrong.length === 0 },
    versions: earlier.versions ?? (await releaseVersions(kubectl)),
    ...(contents ? { contents } : {}),
    ...(files ? { files } : {}),
    ...(earlier.changed ? { changed: earlier.changed } : {}),
    wrong,
  }
  const text = sealedProof(proof)
  privateFolder(subject.cluster.journal)
  const file = join(subject.cluster.journal, `${fileTime(new Date(now))}-proof-${name}`)
  writeFileAtomic(`${file}.json`, text)
  // Of what is scrubbed: Markdown escapes characters, and a secret with one of them would not be known any more.
  writeFileAtomic(`${file}.md`, proofText(JSON.parse(text)))
  if (verdict.phase === 'Completed') {
    const path = proofPath(name, subject.only?.app)
    await bucket.write(path, text)
    // The scheduled drill of an earlier version reads this one.
    await bucket.write(`${path}.sha256`, `${sha256(text)}\n`)
  }
  // The part of an application that is whole says nothing of the others.
  if (isWhole && (flaws.length > 0 || !subject.only)) await markDamage(kubectl, ref, damaged, flaws)
  if (proof.wrong.length === 0 && !subject.only)
    await mark(kubectl, PROOF_MARK, { backup: name, sha256: sha256(text) })
  return { proof, file: `${file}.md` }
}

/** Writes on a backup what is wrong with it in the bucket, or takes that away; one that was proved is so no more. */
async function markDamage(
  kubectl: Kubectl,
  backup: Ref,
  before: string | undefined,
  flaws: readonly BackupFlaw[],
): Promise<void> {
  const said = flaws.map(({ what }) => what.slice(`backup ${backup.name}: `.length))
  const now = said.length > 0 ? scrub(said.join('; ')).slice(0, 500) : undefined
  if (now === before) return
  await kubectl.patch(backup, { metadata: { annotations: { [WRONG_IN_BUCKET]: now ?? null } } })
  const proved = { apiVersion: 'v1', kind: 'ConfigMap', namespace: VELERO, name: PROOF_MARK }
  if (now !== undefined && (await kubectl.get(proved))?.data?.backup === backup.name)
    await kubectl.delete(proved)
}

/** Recreates a ConfigMap of Velero's namespace: its age is the age of what it says. */
export async function mark(kubectl: Kubectl, name: string, data: Record<string, string>): Promise<void> {
  const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: VELERO, name } }
  await kubectl.delete({ ...object, ...object.metadata })
  await kubectl.create({ ...object, data })
}
