import { dirname } from 'node:path'
import { ApiError } from '../kubectl/api-error.ts'
import { type Kubectl, type KubeObject, refOf, refText } from '../kubectl/kubectl.ts'
import type { Cluster } from '../script/cluster.ts'
import { EXIT, ExpectedError } from '../script/errors.ts'
import { privateFolder } from '../script/files.ts'
import { proveBackup } from './cluster.ts'
import type { SecretDiff } from './diff.ts'
import { backupFolder, readBackup, writeBackup } from './files.ts'
import { NO_KEYS } from './keys.ts'
import { plainSecret, secretNameOf } from './secret-backup.ts'

/** A Secret to restore, and whether values of the cluster may be replaced. */
export interface Choice {
  diff: SecretDiff
  overwrite: boolean
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
