/** The parts of a drill: which backup, what of it, the try itself, and the verdict. */
import { join } from 'node:path'
import { type AppParts, partsOfApp } from '../../lib/backup/back-up.ts'
import { BackupBucket } from '../../lib/backup/bucket.ts'
import type { BackupObjects } from '../../lib/backup/claim.ts'
import { type ClaimContents, type Counting, contentsText } from '../../lib/backup/contents.ts'
import { type Held, heldBy } from '../../lib/backup/held.ts'
import { DRILL_MARK } from '../../lib/backup/objects.ts'
import { mark } from '../../lib/backup/proof.ts'
import { compareRestored, loadDumps, untilStarted } from '../../lib/backup/restored.ts'
import { claimIn, spaceProblems } from '../../lib/backup/restoring.ts'
import { makeScratch, removeScratch, restoreToScratch } from '../../lib/backup/scratch.ts'
import { type Proof, readProof, storedProof } from '../../lib/backup/stored-proof.ts'
import { newestBackups } from '../../lib/backup/velero.ts'
import { installedNames } from '../../lib/flux/flux.ts'
import { Kubectl, type KubeObject } from '../../lib/kubectl/kubectl.ts'
import { kubeletSummaries } from '../../lib/kubectl/kubelet-stats.ts'
import { APP_NAMES } from '../../lib/platform/apps.ts'
import type { Config } from '../../lib/platform/config.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { durationText } from '../../lib/script/duration.ts'
import { ExpectedError, ExpectedErrors, throwAll } from '../../lib/script/errors.ts'
import { privateFolder, writeFileAtomic } from '../../lib/script/files.ts'
import type { Log } from '../../lib/script/log.ts'
import { markdownText } from '../../lib/script/printable.ts'
import { scrubbedJson } from '../../lib/script/scrub.ts'
import { sizeText } from '../../lib/script/size.ts'
import { fileTime } from '../../lib/script/timestamp.ts'

/** The namespace of a drill. It is deleted at the end, and only when its label says that a drill has made it. */
export const scratchName = (app: string) => `restore-drill-${app}`
const MADE = 'restore-drill'

/** An application, and what a backup has of it. */
export interface DrillSubject {
  parts: AppParts
  held: Held[]
}

/** What came of one application. */
export interface DrillResult {
  app: string
  milliseconds: number
  claims: { claim: string; bytes: number }[]
  warnings: number
  /** What was counted in each claim, in words; and the dumps of databases that were loaded. */
  counted: { claim: string; text: string }[]
  loaded: string[]
  /** What is not as it was at the time of the backup, or why the restore has failed. */
  differences: string[]
}

/**
 * A backup with a sound proof: that of this name, proved as a whole or with `app` of that application, or the newest one
 * that is proved as a whole. Throws an ExpectedError when there is none, and when the bucket cannot be read.
 */
export async function chooseProved(
  kubectl: Kubectl,
  config: Config,
  { name, app }: { name?: string; app?: string },
  signal: AbortSignal,
): Promise<{ backup: string; proof: Proof }> {
  const bucket = await BackupBucket.open(config, signal)
  if (name !== undefined) return { backup: name, proof: await readProof(bucket, name, app) }
  const backups = (await newestBackups(kubectl)).filter(({ status }) => status?.phase === 'Completed')
  for (const { metadata } of backups) {
    const proof = await storedProof(bucket, metadata.name)
    if (typeof proof !== 'string' && proof.app === undefined && proof.wrong.length === 0)
      return { backup: metadata.name, proof }
  }
  throw new ExpectedError('no backup is proved', 'prove one: npx tsx scripts/backup.ts --verify latest')
}

/** The installed applications of which the backup has data. Throws when there is none. */
export async function subjects(
  kubectl: Kubectl,
  backup: string,
  proof: Proof,
  objects: BackupObjects,
  app: string | undefined,
): Promise<DrillSubject[]> {
  const installed = await installedNames(kubectl)
  // The data of a claim, or of the one that had its name then: it may have been restored since.
  const proved = new Set(
    proof.backup.claims
      .filter(({ state, earlier }) => state === 'captured' || earlier !== undefined)
      .map(({ claim }) => claim),
  )
  const found: DrillSubject[] = []
  for (const name of app ? [app] : APP_NAMES.filter(each => each !== 'velero' && installed.includes(each))) {
    const parts = await partsOfApp(kubectl, name, objects)
    const claims = objects.claims.filter(claim => parts.owns(claim))
    const ours = new Set(claims.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`))
    const held = heldBy(backup, objects.volumeBackups).filter(
      ({ claim }) => ours.has(claim) && proved.has(claim),
    )
    if (held.length > 0) found.push({ parts, held })
  }
  // One application at a time: the largest has to find space.
  const summaries = await kubeletSummaries(kubectl)
  for (const { held } of found) throwAll(spaceProblems(held, summaries))
  if (found.length > 0) return found
  throw new ExpectedError(
    `backup ${backup} has no data of ${app ?? 'any installed application'}`,
    'take another: npx tsx scripts/backup.ts --list',
  )
}

/** The backup that is tried. */
export interface Tried {
  backup: string
  proof: Proof
}
type Wait = { deadline: number; log: Pick<Log, 'progress'>; signal: AbortSignal }

/**
 * Tries one application after the other, each as a `step`, and removes what was made of it whatever happens. One that
 * fails does not keep the others from being tried: its result says why. Returns the results, and what is wrong.
 */
export async function drillAll(
  kubectl: Kubectl,
  subjects: readonly DrillSubject[],
  tried: Tried,
  counting: Counting,
  { step, ...wait }: Wait & { step: (app: string, work: () => Promise<string>) => Promise<void> },
): Promise<{ results: DrillResult[]; problems: ExpectedError[] }> {
  const [results, problems]: [DrillResult[], ExpectedError[]] = [[], []]
  // Without the signal: an interruption does not keep a namespace from being removed.
  const cleaning = new Kubectl(kubectl.client)
  for (const subject of subjects) {
    const { app } = subject.parts
    // What a killed drill has left.
    await removeScratch(kubectl, scratchName(app), MADE, wait.signal)
    try {
      await step(app, async () => {
        const result = await drill(kubectl, { ...tried, ...subject }, counting, wait)
        results.push(result)
        throwAll(drillProblems(result))
        return `${result.claims.length} volumes in ${durationText(result.milliseconds)}`
      })
    } catch (error) {
      wait.signal.throwIfAborted()
      if (!(error instanceof ExpectedError)) throw error
      const all = error instanceof ExpectedErrors ? error.problems : [error]
      if (!results.some(each => each.app === app)) results.push(failedDrill(app, all))
      problems.push(...all)
    } finally {
      await removeScratch(cleaning, scratchName(app), MADE)
    }
  }
  return { results, problems }
}

/**
 * Restores one application, checks that every claim has come back and is bound, starts its databases and loads their
 * dumps, and compares sizes, rows, files and checksums with the proof. The result has what differs. Throws when it
 * cannot be restored.
 */
async function drill(
  kubectl: Kubectl,
  subject: DrillSubject & Tried,
  counting: Counting,
  wait: Wait,
): Promise<DrillResult> {
  const { parts, held, backup, proof } = subject
  const into = scratchName(parts.app)
  const began = performance.now()
  const name = await makeScratch(kubectl, into, MADE)
  const options = { backup, madeBy: MADE, into, parts, held }
  const { restore } = await restoreToScratch(kubectl, name, options, wait)
  const claims = await kubectl.list('v1', 'PersistentVolumeClaim', { namespace: into })
  differences(held, claims, proof)
  const places = await untilStarted(kubectl, new Set(held.map(({ claim }) => claimIn(into, claim))), wait)
  const { loaded, without } = await loadDumps(counting, places)
  const milliseconds = performance.now() - began
  const ours = (proof.contents ?? []).filter(({ claim }) => held.some(each => each.claim === claim))
  const { contents, lost } = await compareRestored(counting, places, ours, { into, signal: wait.signal })
  return {
    app: parts.app,
    milliseconds,
    claims: held.map(({ claim, bytes }) => ({ claim, bytes })),
    warnings: Number(restore.status?.warnings) || 0,
    counted: countedTexts(held, contents, into),
    loaded,
    differences: [
      ...without.map(claim => `${claim}: the backup has no complete dump of its database`),
      ...lost,
    ],
  }
}

function countedTexts(held: readonly Held[], contents: readonly ClaimContents[], into: string) {
  return held.map(({ claim }) => {
    const found = contents.find(each => each.claim === claimIn(into, claim))
    return { claim, text: found ? contentsText(found) : 'not counted: no pod of it runs' }
  })
}

/** The result of an application that could not be restored. Pure. */
export function failedDrill(app: string, problems: readonly Error[]): DrillResult {
  const differences = problems.map(({ message }) => message)
  return { app, milliseconds: 0, claims: [], warnings: 0, counted: [], loaded: [], differences }
}

/** The errors that a result with differences is. Pure. */
export function drillProblems({ differences }: DrillResult): ExpectedError[] {
  return differences.map(
    what =>
      new ExpectedError(
        what,
        'restore it with `restore --into` and look; then take another backup, and try that',
      ),
  )
}

/** Throws when a claim has not come back, or its copy has another size than the proof says. */
function differences(held: readonly Held[], claims: readonly KubeObject[], proof: Proof): void {
  for (const { claim, bytes } of held) {
    const name = claim.split('/')[1]
    const back = claims.find(({ metadata }) => metadata.name === name)
    if (back?.status?.phase !== 'Bound')
      throw new ExpectedError(
        `claim ${claim} was not restored (${back?.status?.phase ?? 'it does not exist'})`,
        'see why: npx tsx scripts/logs.ts velero',
      )
    const proved = proof.backup.claims.find(each => each.claim === claim)?.bytes
    if (proved !== undefined && proved !== bytes)
      throw new ExpectedError(
        `the copy of ${claim} has ${bytes} bytes, and the proof of the backup says ${proved}`,
        'take another backup, and find out who changes the bucket',
      )
  }
}

/** What a drill has found. */
export interface DrillVerdict {
  version: 1
  cluster: string
  backup: string
  madeAt: string
  /** Milliseconds that the restore of everything took, and the age that its data would have had. */
  rto: number
  rpo: number
  results: DrillResult[]
}

/** What the results of a drill come to. Pure. */
export function verdictOf(
  cluster: string,
  { backup, proof, results, now }: { backup: string; proof: Proof; results: DrillResult[]; now: number },
): DrillVerdict {
  return {
    version: 1,
    cluster,
    backup,
    madeAt: new Date(now).toISOString(),
    rto: results.reduce((sum, { milliseconds }) => sum + milliseconds, 0),
    rpo: Math.max(0, now - Date.parse(proof.backup.startedAt ?? '')),
    results,
  }
}

/** Keeps in the cluster that a drill of everything has ended well: its age is what `status` and the alerts tell. */
export async function markDrill(kubectl: Kubectl, { backup, rto, results }: DrillVerdict): Promise<void> {
  if (results.every(({ differences }) => differences.length === 0))
    await mark(kubectl, DRILL_MARK, { backup, rto: String(rto) })
}

/** Writes the verdict to the journal, secrets taken out. Returns the path of its Markdown. */
export function writeVerdict(cluster: Cluster, document: DrillVerdict): string {
  privateFolder(cluster.journal)
  const file = join(cluster.journal, `${fileTime(new Date(document.madeAt))}-drill-${document.backup}`)
  // Databases say what they like, and Markdown escapes characters: secrets are taken out before that.
  const text = scrubbedJson(document)
  writeFileAtomic(`${file}.json`, `${text}\n`)
  writeFileAtomic(`${file}.md`, drillText(JSON.parse(text)))
  return `${file}.md`
}

/** A verdict as Markdown. Pure. */
export function drillText({ backup, cluster, madeAt, rto, rpo, results }: DrillVerdict): string {
  return [
    `# Restore drill of backup ${backup}`,
    '',
    `- cluster: ${cluster}; ended: ${madeAt}`,
    `- ${results.every(({ differences }) => differences.length === 0) ? 'everything has come back' : 'NOT everything has come back'}`,
    `- a restore takes ${durationText(rto)} (RTO); its data would have been ${durationText(rpo)} old (RPO)`,
    '',
    ...results.flatMap(({ app, milliseconds, claims, warnings, counted, loaded, differences }) => [
      `## ${app}: ${durationText(milliseconds)}, ${warnings} warnings`,
      '',
      ...claims.map(({ claim, bytes }) => {
        const text = counted.find(each => each.claim === claim)?.text
        return `- ${markdownText(`${claim}: ${sizeText(bytes)}${text ? `; ${text}` : ''}`)}`
      }),
      ...loaded.map(claim => `- ${markdownText(`the dump of ${claim} was loaded`)}`),
      ...differences.map(line => `- DIFFERENCE: ${markdownText(line)}`),
      '',
    ]),
  ].join('\n')
}
