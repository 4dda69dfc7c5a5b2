import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ApiError } from '../kubectl/api-error.ts'
import { type Kubectl, type KubeObject, refOf, refText } from '../kubectl/kubectl.ts'
import type { Cluster } from '../script/cluster.ts'
import { EXIT, ExpectedError, throwAll, UsageError } from '../script/errors.ts'
import { privateFolder } from '../script/files.ts'
import { suggestion } from '../script/flags.ts'
import { askSelect, askSeveral } from '../script/prompt.ts'
import { proveBackup, readSecrets } from './cluster.ts'
import { diffBackup, type SecretDiff } from './diff.ts'
import { backupFolder, readBackup, writeBackup } from './files.ts'
import { NO_KEYS } from './keys.ts'
import { plainSecret, secretNameOf, secretPlaceOf } from './secret-backup.ts'

/** A Secret to restore, and whether values of the cluster may be replaced. */
export interface Choice {
  diff: SecretDiff
  overwrite: boolean
}

/** The Secrets for lists on the command line: `NAME` or `NAMESPACE/NAME`, with commas. Throws a UsageError. */
function named(diffs: readonly SecretDiff[], flag: string, lists: readonly string[]): SecretDiff[] {
  const names = lists.flatMap(list => list.split(',').map(name => name.trim()))
  return names.map(name => {
    const found = diffs.filter(
      ({ secret }) => name === secret.metadata.name || name === secretPlaceOf(secretNameOf(secret)),
    )
    if (found.length === 1) return found[0]!
    const known = diffs.map(({ secret }) => secret.metadata.name)
    throw found.length === 0
      ? new UsageError(
          `${flag} ${JSON.stringify(name)}: not a Secret of this backup`,
          suggestion(name, known),
        )
      : new UsageError(
          `${flag} ${name}: several Secrets have this name`,
          `write ${secretPlaceOf(secretNameOf(found[0]!.secret))}`,
        )
  })
}

/** The flags of the choice. */
type ChoosingRun = { flags: { only: string[]; overwrite: string[]; yes: boolean; 'dry-run': boolean } }

/**
 * The Secrets to restore: those that --only and --overwrite name; with neither, those that the cluster lacks
 * entirely or in part, after a question. Throws an ExpectedError (exit code 4) for a named Secret with other
 * values, unless --overwrite names it.
 */
export async function choose({ flags }: ChoosingRun, diffs: readonly SecretDiff[]): Promise<Choice[]> {
  const replace = new Set(named(diffs, '--overwrite', flags.overwrite))
  const only = named(diffs, '--only', flags.only)
  const refused = only.filter(diff => diff.state === 'different' && !replace.has(diff))
  throwAll(
    refused.map(
      ({ secret }) =>
        new ExpectedError(
          `Secret ${secretPlaceOf(secretNameOf(secret))} has other values in the cluster; nothing was changed`,
          `give --overwrite ${secret.metadata.name}`,
          { exitCode: EXIT.refused },
        ),
    ),
  )
  const lacking = diffs.filter(({ state }) => state === 'missing' || state === 'incomplete')
  const all = flags.yes || flags['dry-run']
  const asked = () => askWhich(diffs, replace)
  const chosen = new Set(
    flags.only.length > 0
      ? only
      : replace.size > 0
        ? []
        : all || lacking.length === 0
          ? lacking
          : await asked(),
  )
  for (const diff of replace) chosen.add(diff)
  return diffs
    .filter(diff => chosen.has(diff) && diff.state !== 'same')
    .map(diff => ({ diff, overwrite: diff.state === 'different' && replace.has(diff) }))
}

/** Asks which Secrets to restore, of those that the cluster lacks entirely or in part. */
async function askWhich(
  diffs: readonly SecretDiff[],
  replace: ReadonlySet<SecretDiff>,
): Promise<SecretDiff[]> {
  const answer = await askSeveral({
    message: 'Which secrets?',
    flag: '--only NAME, or --yes for all that the cluster lacks',
    choices: diffs
      .filter(diff => diff.state !== 'same' && !replace.has(diff))
      .map(({ secret, state }) => ({
        value: secretPlaceOf(secretNameOf(secret)),
        name: `${secretPlaceOf(secretNameOf(secret))} (${state})`,
        ...(state === 'different' ? { disabled: `differs: --overwrite ${secret.metadata.name}` } : {}),
      })),
  })
  return diffs.filter(({ secret }) => answer.includes(secretPlaceOf(secretNameOf(secret))))
}

/** Asks for one of the backups in the cluster's folder, the newest first. */
export async function chooseBackup(cluster: Cluster): Promise<string> {
  const parent = dirname(backupFolder(cluster, new Date()))
  const choices = (existsSync(parent) ? readdirSync(parent) : [])
    .filter(name => !name.endsWith('.incomplete'))
    .sort()
    .reverse()
  if (choices.length === 0)
    throw new UsageError(
      `${parent} holds no backup`,
      'give the folder of a backup: npx tsx scripts/restore-secrets.ts DIR',
    )
  const question = { message: 'Which backup?', flag: `the folder of one: ${join(parent, choices[0]!)}` }
  return join(parent, await askSelect({ ...question, choices }))
}

/** The missing namespaces. Throws an ExpectedError for one that is being deleted. */
export async function missingNamespaces(kubectl: Kubectl, chosen: readonly Choice[]): Promise<string[]> {
  const names = [...new Set(chosen.map(({ diff }) => secretNameOf(diff.secret).namespace))]
  const missing: string[] = []
  for (const name of names) {
    const namespace = await kubectl.get({ apiVersion: 'v1', kind: 'Namespace', name })
    if (namespace?.metadata.deletionTimestamp)
      throw new ExpectedError(
        `namespace ${name} is being deleted: no Secret can be created in it`,
        `wait until it is gone (kubectl get namespace ${name}), then run the same command again`,
      )
    if (!namespace) missing.push(name)
  }
  return missing
}

/** Backs up, as the cluster has them, the Secrets whose values a restore replaces. Returns the folder. */
export function keepReplaced(
  kubectl: Kubectl,
  cluster: Pick<Cluster, 'name' | 'folder'>,
  replaced: readonly SecretDiff[],
): Promise<string> {
  return keepAside(
    kubectl,
    cluster,
    replaced.map(({ existing }) => existing!),
    'replaced',
  )
}

/** Backs up Secrets as the cluster has them, in a folder whose name ends with `why`. Returns the folder. */
export async function keepAside(
  kubectl: Kubectl,
  cluster: Pick<Cluster, 'name' | 'folder'>,
  existing: readonly KubeObject[],
  why: string,
): Promise<string> {
  const at = new Date()
  const folder = `${backupFolder(cluster, at)}-${why}`
  privateFolder(dirname(folder))
  const secrets = existing.map(plainSecret)
  const origin = { cluster: cluster.name, server: kubectl.client.server, createdAt: at.toISOString() }
  await writeBackup(folder, { ...origin, absent: [], secrets }, undefined, async part =>
    proveBackup(kubectl, await readBackup(part, NO_KEYS)),
  )
  return folder
}

/** Reads the restored Secrets again. Throws the names of those that the cluster does not hold byte by byte. */
export async function checkRestored(kubectl: Kubectl, chosen: readonly Choice[]): Promise<void> {
  const secrets = chosen.map(({ diff }) => diff.secret)
  const cluster = await readSecrets(
    kubectl,
    secrets.map(secret => secretNameOf(secret).namespace),
  )
  throwAll(
    diffBackup(secrets, cluster)
      .filter(({ state }) => state !== 'same')
      .map(
        ({ secret }) =>
          new ExpectedError(
            `Secret ${secretPlaceOf(secretNameOf(secret))} differs from the backup after its restore`,
            'find out what else writes it (Flux, a chart, a person): check its managedFields, then run this again',
          ),
      ),
  )
}

/**
 * Restores one Secret. A missing Secret is created, lost values are added; different values are replaced only
 * with `overwrite`; keys that only the cluster has are kept. The write carries the resourceVersion of the
 * comparison, so that a later change is never replaced.
 */
export async function restoreSecret(kubectl: Kubectl, diff: SecretDiff, overwrite: boolean): Promise<void> {
  const { secret, existing } = diff
  const ref = refOf(secret)
  const changed = (cause?: unknown) =>
    new ExpectedError(
      `${refText(ref)} was changed during this run; none of its values was replaced`,
      'run the same command again: it compares again',
      { cause },
    )
  if (!existing) {
    // Flux reconciles the readers of a Secret with this label at once, instead of at the next interval.
    const labels = { 'reconcile.fluxcd.io/watch': 'Enabled' }
    if (!(await kubectl.create({ ...secret, metadata: { ...secret.metadata, labels } }))) throw changed()
    return
  }
  if ((existing.type || 'Opaque') !== secret.type || existing.immutable)
    throw new ExpectedError(
      `${refText(ref)} cannot be changed: ${existing.immutable ? 'it is immutable' : `its type is ${existing.type}, in the backup ${secret.type}`}`,
      `to replace it: kubectl -n ${ref.namespace} delete secret ${ref.name}, then run this again`,
      { exitCode: EXIT.refused },
    )
  const put = diff.keys.filter(({ state }) => state === 'lost' || (state === 'different' && overwrite))
  if (put.length === 0) return
  try {
    await kubectl.patch(ref, {
      metadata: { resourceVersion: existing.metadata.resourceVersion },
      data: Object.fromEntries(put.map(({ key, backup }) => [key, backup])),
    })
  } catch (error) {
    const { cause } = error as Error
    throw cause instanceof ApiError && (cause.code === 409 || cause.code === 404) ? changed(error) : error
  }
}
