/** The proof of a backup: what it holds of a cluster, written where it can be read without the cluster. */
import { join } from 'node:path'
import { HELM_RELEASE } from '../flux/flux.ts'
import type { Kubectl, KubeObject } from '../kubectl/kubectl.ts'
import type { Config } from '../platform/config.ts'
import type { Cluster } from '../script/cluster.ts'
import { sha256 } from '../script/digest.ts'
import { ExpectedError } from '../script/errors.ts'
import { privateFolder, writeFileAtomic } from '../script/files.ts'
import { markdownText } from '../script/printable.ts'
import { scrub, scrubbedJson } from '../script/scrub.ts'
import { sizeText } from '../script/size.ts'
import { fileTime } from '../script/timestamp.ts'
import { BackupBucket, checkFiles, proofPath } from './bucket.ts'
import { type Counted, countedOf, countedText, notEmpty } from './compare.ts'
import {
  type BackupFlaw,
  type BackupObjects,
  type BackupVerdict,
  judgeBackup,
  PROOF_MARK,
  VELERO,
  wrongWith,
} from './judge.ts'
import { checkRepositories } from './repository.ts'

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
  /** Everything that is wrong; nothing when the backup is proved. */
  wrong: BackupFlaw[]
}

/** Reads what a judgement needs, of the whole cluster. */
export async function readBackupObjects(kubectl: Kubectl): Promise<BackupObjects> {
  const [volumeBackups, claims, volumes, pods] = await Promise.all([
    kubectl.list('velero.io/v1', 'PodVolumeBackup', { namespace: VELERO }),
    kubectl.list('v1', 'PersistentVolumeClaim'),
    kubectl.list('v1', 'PersistentVolume'),
    kubectl.list('v1', 'Pod'),
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
export function proofText(proof: Proof): string {
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

/** What an earlier proof of a backup says that cannot be found out again; nothing when there is none that is whole. */
async function earlierFacts(
  bucket: BackupBucket,
  name: string,
): Promise<Pick<Proof, 'contents' | 'versions'>> {
  const [text, sum] = [await bucket.read(proofPath(name)), await bucket.read(`${proofPath(name)}.sha256`)]
  if (!text || sha256(text) !== sum?.toString().trim()) return {}
  try {
    const { contents, versions } = soundProof(JSON.parse(text.toString()))
    return { contents, versions }
  } catch {
    return {}
  }
}

/** A proof of a bucket, as far as it has the form of one. Throws when it has not. Pure. */
export function soundProof(document: unknown): Proof {
  const proof = document as Proof
  if (proof?.version !== 1 || !Array.isArray(proof.wrong) || !Array.isArray(proof.backup?.claims))
    throw new Error('it has other fields')
  const contents = countedOf(proof.contents)
  const versions = Object.entries(proof.versions ?? {}).filter(([, version]) => typeof version === 'string')
  return {
    ...proof,
    contents: contents.length > 0 ? contents : undefined,
    versions: versions.length > 0 ? Object.fromEntries(versions) : undefined,
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
  const verdict = judgeBackup(backup, objects, now, subject.only?.owns)
  const bucket = await BackupBucket.open(subject.config, subject.signal)
  const read = verdict.claims.filter(({ snapshot }) => snapshot !== undefined).map(({ claim }) => claim)
  const files =
    verdict.phase === 'Completed'
      ? [...(await checkFiles(bucket, verdict)), ...(await checkRepositories(kubectl, bucket, name, read))]
      : []
  const earlier = await earlierFacts(bucket, name)
  const contents = subject.contents ?? earlier.contents
  const wrong = [
    ...wrongWith(verdict),
    ...files,
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
    wrong,
  }
  const text = `${scrubbedJson(proof)}\n`
  privateFolder(subject.cluster.journal)
  const file = join(subject.cluster.journal, `${fileTime(new Date(now))}-proof-${name}`)
  writeFileAtomic(`${file}.json`, text)
  writeFileAtomic(`${file}.md`, scrub(proofText(proof)))
  if (verdict.phase === 'Completed') {
    await bucket.write(proofPath(name), text)
    await bucket.write(`${proofPath(name)}.sha256`, `${sha256(text)}\n`)
  }
  if (proof.wrong.length === 0 && !subject.only)
    await mark(kubectl, PROOF_MARK, { backup: name, sha256: sha256(text) })
  return { proof, file: `${file}.md` }
}

/** Recreates a ConfigMap of Velero's namespace: its age is the age of what it says. */
export async function mark(kubectl: Kubectl, name: string, data: Record<string, string>): Promise<void> {
  const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: VELERO, name } }
  await kubectl.delete({ ...object, ...object.metadata })
  await kubectl.create({ ...object, data })
}
