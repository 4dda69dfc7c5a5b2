/** What a restore would do: whether the backup may be used, and which data it would bring back. */
import type { AppParts } from '../../lib/backup/back-up.ts'
import { BackupBucket } from '../../lib/backup/bucket.ts'
import type { BackupObjects } from '../../lib/backup/claim.ts'
import { type Held, heldBy } from '../../lib/backup/held.ts'
import { flawsOfRun, throwFlaws, unusableFlaws } from '../../lib/backup/judge.ts'
import { startOf, VELERO } from '../../lib/backup/objects.ts'
import { checkRepositories } from '../../lib/backup/repository.ts'
import { heldLines, spaceProblems } from '../../lib/backup/restoring.ts'
import { type Proof, readProof } from '../../lib/backup/stored-proof.ts'
import { VELERO_API, veleroRef } from '../../lib/backup/velero.ts'
import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { kubeletSummaries } from '../../lib/kubectl/kubelet-stats.ts'
import type { Config } from '../../lib/platform/config.ts'
import { durationText } from '../../lib/script/duration.ts'
import { ExpectedError, throwAll } from '../../lib/script/errors.ts'
import type { RestoreState } from './state.ts'

/**
 * Throws an ExpectedError unless the backup exists, did not fail, and is proved for what is restored, and the
 * password of the cluster opens its volumes. Returns its proof; undefined for an unproved one that is accepted, now or
 * at the beginning of the restore.
 */
export async function restorable(
  kubectl: Kubectl,
  config: Config,
  { app, backup: name, unproved }: Pick<RestoreState, 'app' | 'backup' | 'unproved'>,
  signal: AbortSignal,
): Promise<Proof | undefined> {
  const backup = await kubectl.get(veleroRef('Backup', name))
  if (!backup)
    throw new ExpectedError(
      `backup ${name} does not exist`,
      'see which there are: npx tsx scripts/backup.ts --list (on a new server Velero finds them after a minute)',
    )
  const now = Date.now() + kubectl.client.clockOffset
  const another = 'take another: npx tsx scripts/backup.ts --list'
  const asItIs = 'to restore it as it is: --accept-unproved'
  const refused = (what: string, fix: string) => new ExpectedError(`backup ${name} ${what}`, fix)
  throwAll(unusableFlaws(backup, now).map(({ what }) => refused(what, another)))
  const flaws = unproved ? [] : flawsOfRun(backup, now)
  throwAll(flaws.map(({ what, fix }) => refused(what, `${fix}; or ${another}; ${asItIs}`)))
  const bucket = await BackupBucket.open(config, signal)
  const proof = unproved ? undefined : await readProof(bucket, name, app, asItIs)
  const copies = await kubectl.list(VELERO_API, 'PodVolumeBackup', { namespace: VELERO })
  const claims = heldBy(name, copies).map(({ claim }) => claim)
  throwFlaws(await checkRepositories(kubectl, bucket, name, claims))
  return proof
}

/** What is of another version than in the backup, one line each: a database may not start on data of another one. Pure. */
export function otherVersions(
  { namespaces, releases }: AppParts,
  then: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
): string[] {
  return namespaces
    .flatMap(namespace => releases.map(release => `${namespace}/${release}`))
    .filter(name => then[name] !== undefined && now[name] !== undefined && then[name] !== now[name])
    .map(
      name =>
        `the backup is of ${name} ${then[name]}, and the cluster has ${now[name]}: restore before you upgrade`,
    )
}

/** Whether a pod belongs to a release, by the names that charts give. */
const isPodOf = (pod: string, release: string) => pod === release || pod.startsWith(`${release}-`)

/**
 * The releases whose pods have this data: of the core only its database, so that nothing else of it is started twice. All
 * of them where a chart calls its pods otherwise. Pure.
 */
export function releasesWith(held: readonly Held[], releases: readonly string[]): readonly string[] {
  const ofData = releases.filter(release => held.some(({ pod }) => isPodOf(pod, release)))
  const isKnown = held.every(({ pod }) => ofData.some(release => isPodOf(pod, release)))
  return isKnown ? ofData : releases
}

/** The data of an application in a backup, the claims that it lacks, and how old it is. Throws when it has none. */
export async function dataOf(
  kubectl: Kubectl,
  subject: { app: string; backup: string; parts: AppParts; objects: BackupObjects; now: number },
): Promise<{ held: Held[]; lacking: string[]; age: string }> {
  const { app, backup, parts, objects, now } = subject
  const ours = new Set(
    objects.claims
      .filter(claim => parts.owns(claim))
      .map(({ metadata }) => `${metadata.namespace}/${metadata.name}`),
  )
  // While a restore is unfinished its claims are gone: those of the backup's own pods count then.
  const isOurs = ({ claim, pod }: Held) =>
    ours.has(claim) ||
    (parts.namespaces.includes(claim.split('/')[0]!) && parts.releases.some(release => isPodOf(pod, release)))
  const held = heldBy(backup, objects.volumeBackups).filter(isOurs)
  if (held.length === 0)
    throw new ExpectedError(
      `backup ${backup} has no data of ${app}`,
      `take another: npx tsx scripts/backup.ts --list --app ${app}`,
    )
  const lacking = [...ours]
    .filter(claim => !held.some(each => each.claim === claim))
    .map(claim => `${claim} is not in the backup: it stays as it is`)
  const object = await kubectl.get(veleroRef('Backup', backup))
  return { held, lacking, age: durationText(Math.max(0, now - (object ? startOf(object) : now))) }
}

/** What a restore is going to do, one line each; one whose data is loaded only resumes the application. Pure. */
export function restorePlan(
  { app, safety, loaded }: RestoreState,
  held: readonly Held[],
  age: string,
): string[] {
  const replacing = [
    `suspend ${app} in Flux, and stop it`,
    ...heldLines(held, 'REPLACE'),
    `what was written after the backup, ${age} ago, is then only in the safety backup and in the old volumes`,
    'load the dumps of its databases, while nothing else of it runs',
  ]
  return [
    ...(safety ? [] : [`back up ${app} as it is now, and prove it`]),
    ...(loaded ? [`its data is restored and loaded: it stays as it is`] : replacing),
    `resume ${app}, wait until it is ready, compare rows and files with the backup, and ask it over HTTP`,
  ]
}

/**
 * Throws an ExpectedError when no server has space for this data, unless Velero has its Restore already, which has used
 * that space: an unfinished run is continued.
 */
export async function checkSpace(
  kubectl: Kubectl,
  held: readonly Held[],
  restore: string | undefined,
): Promise<void> {
  if (restore !== undefined && (await kubectl.get(veleroRef('Restore', restore)))) return
  throwAll(spaceProblems(held, await kubeletSummaries(kubectl)))
}
