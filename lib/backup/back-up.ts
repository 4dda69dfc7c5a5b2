/** A backup from its beginning to its proof, as steps of a run: of `backup`, and of what must not go on without one. */
import { isDeepStrictEqual } from 'node:util'
import { HELM_RELEASE } from '../flux/flux.ts'
import { labelledReleases } from '../flux/release-labels.ts'
import { claimsOfPods } from '../kubectl/claims.ts'
import { readKubeconfig } from '../kubectl/kubeconfig.ts'
import type { Kubectl, KubeObject } from '../kubectl/kubectl.ts'
import type { Config } from '../platform/config.ts'
import { refuse } from '../preflight/findings.ts'
import { checkBackup } from '../preflight/s3.ts'
import { ExpectedError, messageOf } from '../script/errors.ts'
import type { Run } from '../script/run.ts'
import { fileTime } from '../script/timestamp.ts'
import { BackupBucket } from './bucket.ts'
import type { BackupObjects } from './claim.ts'
import { type Counted, countedAround } from './compare.ts'
import {
  type ClaimContents,
  type Counting,
  claimPlaces,
  countContents,
  countingWith,
  runIn,
} from './contents.ts'
import { type BackupVerdict, coverage, judgeBackup, throwFlaws } from './judge.ts'
import { beginMaintenance, nextcloudOf } from './maintenance.ts'
import { isUnfinished, VELERO } from './objects.ts'
import { makeProof, readBackupObjects } from './proof.ts'
import { checkPresentRepositories, repositoryPassword } from './repository.ts'
import type { Proof } from './stored-proof.ts'
import { backupObject, MADE_BY, newestBackups, untilEnded, veleroRef } from './velero.ts'

/** An application as a backup sees it: its Helm releases, and the claims of their pods. */
export interface AppParts {
  app: string
  releases: string[]
  namespaces: string[]
  /** Whether a claim belongs to it. */
  owns: (claim: KubeObject) => boolean
}

/** The part of a run that a backup needs. */
export type BackingRun = Pick<Run, 'cluster' | 'log' | 'signal' | 'step'>

/**
 * The releases of an application, by the label that Flux writes on what its Kustomization has applied, and the claims
 * of their pods. Throws an ExpectedError when the application is not installed.
 */
export async function partsOfApp(
  kubectl: Kubectl,
  app: string,
  { pods, claims }: Pick<BackupObjects, 'pods' | 'claims'>,
): Promise<AppParts> {
  const found = await kubectl.list(HELM_RELEASE.apiVersion, HELM_RELEASE.kind, {
    labelSelector: `kustomize.toolkit.fluxcd.io/name=${app}`,
  })
  if (found.length === 0)
    throw new ExpectedError(`${app} is not installed`, `run \`npx tsx scripts/install-app.ts ${app}\` first`)
  const releases = found.map(({ metadata }) => metadata.name).sort()
  const namespaces = [...new Set(found.map(({ metadata }) => metadata.namespace ?? ''))].sort()
  const isOf = ({ metadata: { namespace, labels } }: KubeObject) =>
    namespaces.includes(namespace ?? '') && labelledReleases(labels).some(name => releases.includes(name))
  const mounted = claimsOfPods(pods.filter(isOf))
  const owned = new Set(
    claims
      .filter(claim => isOf(claim) || mounted.has(`${claim.metadata.namespace}/${claim.metadata.name}`))
      .map(({ metadata }) => metadata.uid),
  )
  return { app, releases, namespaces, owns: claim => owned.has(claim.metadata.uid) }
}

/** The name of a new backup. */
export function backupName(now: Date, app?: string): string {
  const time = fileTime(now).replaceAll(/[-Z]/g, '').replace('T', '-').toLowerCase()
  return `manual-${app ? `${app}-` : ''}${time}`
}

/**
 * What a backup would have now: the claims that Velero would read are `captured`, without bytes. Pure.
 */
export function foresee(objects: BackupObjects, now: number, parts?: AppParts): BackupVerdict {
  const at = new Date(now).toISOString()
  const backup = backupObject('planned', { madeBy: 'backup', ttl: '1h' })
  const planned = { ...backup, status: { phase: 'Completed', startTimestamp: at } }
  const verdict = judgeBackup(planned, { ...objects, volumeBackups: [] }, now, parts?.owns)
  const claims = verdict.claims.map(claim =>
    claim.reason === 'Velero has no copy of it'
      ? { ...claim, state: 'captured' as const, reason: undefined, fix: undefined }
      : claim,
  )
  return { ...verdict, claims }
}

/**
 * The checks before a backup: Velero is installed, its place in the bucket can be used, and the bucket takes a real
 * file, gives it back and deletes it. For `run.preflight`.
 */
export function backupChecks(
  kubectl: Kubectl,
  run: Pick<Run, 'log' | 'signal'>,
  config: Config,
): (() => Promise<void>)[] {
  return [
    async () => {
      const location = await kubectl.get(veleroRef('BackupStorageLocation', 'default'))
      if (!location)
        throw new ExpectedError(
          'Velero is not installed',
          'run `npx tsx scripts/install-app.ts velero` first',
        )
      const { phase, message } = location.status ?? {}
      if (phase === 'Unavailable')
        throw new ExpectedError(
          `Velero cannot use its bucket: ${message ?? 'no reason given'}`,
          'check the address, the bucket and the credentials: npx tsx scripts/preflight.ts --only backup',
        )
      if (location.spec?.accessMode === 'ReadOnly')
        throw new ExpectedError(
          'Velero may only read its bucket (accessMode ReadOnly)',
          `allow writing: kubectl -n ${VELERO} patch backupstoragelocation default --type merge -p '{"spec":{"accessMode":"ReadWrite"}}'`,
        )
    },
    async () => refuse(await checkBackup(config, run.signal), run.log),
  ]
}

/** The check that the password of the cluster opens what is in the bucket already. For `run.preflight`. */
export function passwordCheck(
  kubectl: Kubectl,
  run: Pick<Run, 'signal'>,
  config: Config,
): () => Promise<void> {
  return async () => {
    throwFlaws(await checkPresentRepositories(kubectl, await BackupBucket.open(config, run.signal)))
  }
}

/**
 * The unfinished backup of the same application, or of everything, that a script has started before: it is continued in
 * place of another one.
 */
export async function unfinishedBackup(
  kubectl: Kubectl,
  madeBy: string,
  parts?: AppParts,
): Promise<KubeObject | undefined> {
  const scope = scopeOf(backupObject('planned', { madeBy, ttl: '1h', ...parts }))
  return (await newestBackups(kubectl, `${MADE_BY}=${madeBy}`)).find(
    backup => isUnfinished(backup) && isDeepStrictEqual(scopeOf(backup), scope),
  )
}

/** What a backup takes: one of an application proves nothing of the others. `*` is what Velero calls everything. */
const scopeOf = ({ spec }: KubeObject) => [
  [...(spec?.includedNamespaces ?? [])].filter(name => name !== '*').sort(),
  spec?.orLabelSelectors ?? [],
]

/** How a backup is taken, and by whom. */
export interface BackupRequest {
  config: Config
  /** The script that makes it. */
  madeBy: string
  ttl: string
  deadline: number
  parts?: AppParts
  /** Leave Nextcloud as it is. */
  skipMaintenance?: boolean
}

/** How the contents of a cluster's claims are counted by a run. */
export async function countingOf(run: Pick<Run, 'cluster' | 'signal'>, kubectl: Kubectl): Promise<Counting> {
  const access = await readKubeconfig(run.cluster.kubeconfig)
  return countingWith(access, await repositoryPassword(kubectl), run.signal)
}

/** Counts what a backup would have now. Returns a way to count the same again, for both in one. */
async function countFirst(
  run: BackingRun,
  kubectl: Kubectl,
  parts: AppParts | undefined,
): Promise<() => Promise<Counted[]>> {
  const objects = await readBackupObjects(kubectl)
  const wanted = new Set(
    foresee(objects, Date.now() + kubectl.client.clockOffset, parts)
      .claims.filter(({ state }) => state === 'captured')
      .map(({ claim }) => claim),
  )
  const counting = await countingOf(run, kubectl)
  const places = claimPlaces(objects.pods, claim => wanted.has(claim))
  const before: ClaimContents[] = await countContents(counting, places)
  return async () => countedAround(before, await countContents(counting, places, before))
}

/**
 * Puts Nextcloud, where it is backed up and runs, into maintenance mode. Returns how that is ended. What fails of it is
 * warned of: a backup of files and rows some seconds apart is better than none.
 */
async function maintained(
  { cluster, log }: BackingRun,
  kubectl: Kubectl,
  { parts, skipMaintenance }: BackupRequest,
): Promise<(() => Promise<void>) | undefined> {
  if (skipMaintenance || (parts && parts.app !== 'nextcloud')) return undefined
  const nextcloud = nextcloudOf(await kubectl.list('v1', 'Pod', {}, pod => nextcloudOf([pod]) !== undefined))
  if (!nextcloud) return undefined
  // Without the run's signal: an interruption does not keep it from being ended.
  const begun = await beginMaintenance(runIn(cluster.kubeconfig), nextcloud)
  if ('why' in begun) {
    log.warn(`Nextcloud is backed up without its maintenance mode: ${begun.why}`)
    return undefined
  }
  log.info('   Nextcloud is in maintenance mode while it is copied')
  return () =>
    begun.end().catch(error => {
      const by = `kubectl -n ${nextcloud.place.namespace} exec ${nextcloud.place.pod} -c nextcloud -- su -s /bin/sh www-data -c 'php occ maintenance:mode --off'`
      log.warn(`Nextcloud's maintenance mode was not ended (${messageOf(error)}): ${by}`)
    })
}

/**
 * The two steps: makes a backup, or continues an unfinished one of the same script and scope, and proves it. Throws
 * everything that is wrong at once; Velero's `Completed` alone is not a success. Returns the proof and its file.
 */
export async function backUp(
  run: BackingRun,
  kubectl: Kubectl,
  request: BackupRequest,
): Promise<{ proof: Proof; file: string }> {
  const { config, madeBy, ttl, deadline, parts } = request
  const { signal, log } = run
  const unfinished = await unfinishedBackup(kubectl, madeBy, parts)
  const now = new Date(Date.now() + kubectl.client.clockOffset)
  const name = unfinished?.metadata.name ?? backupName(now, parts?.app)
  let contents: Counted[] | undefined
  await run.step(
    unfinished ? `Continue backup ${name}` : `Back up as ${name}`,
    `velero backup create ${name} --default-volumes-to-fs-backup --exclude-namespaces ${VELERO}`,
    async () => {
      const endMaintenance = unfinished ? undefined : await maintained(run, kubectl, request)
      try {
        const again = unfinished ? undefined : await countFirst(run, kubectl, parts)
        if (!unfinished)
          await kubectl.create(
            backupObject(name, { madeBy, ttl, releases: parts?.releases, namespaces: parts?.namespaces }),
          )
        const { status } = await untilEnded(kubectl, veleroRef('Backup', name), { deadline, log, signal })
        contents = await again?.()
        return `Velero says ${status.phase}`
      } finally {
        await endMaintenance?.()
      }
    },
  )
  return proveStep(run, kubectl, name, { config, parts, contents })
}

/** The step that proves a backup. Throws everything that is wrong with it. */
export async function proveStep(
  run: BackingRun,
  kubectl: Kubectl,
  name: string,
  { config, parts, contents }: { config: Config; parts?: AppParts; contents?: Counted[] },
): Promise<{ proof: Proof; file: string }> {
  let made: { proof: Proof; file: string } | undefined
  await run.step(`Prove backup ${name}`, `velero backup describe ${name} --details`, async () => {
    const only = parts && { app: parts.app, owns: parts.owns }
    made = await makeProof(kubectl, name, {
      cluster: run.cluster,
      config,
      signal: run.signal,
      only,
      contents,
    })
    const { wrong, backup } = made.proof
    throwFlaws(wrong)
    return coverage(backup)
  })
  return made!
}
