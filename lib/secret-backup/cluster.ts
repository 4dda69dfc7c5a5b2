import type { Kubectl, KubeObject } from '../kubectl/kubectl.ts'
import { holdsSettings } from '../platform/accounts.ts'
import { loadCatalogue } from '../platform/secrets.ts'
import { showsVariable } from '../platform/variables.ts'
import { ExpectedError, throwAll } from '../script/errors.ts'
import { registerSecret } from '../script/redact.ts'
import type { Backup } from './files.ts'
import {
  differences,
  looksGenerated,
  type SecretName,
  secretNameOf,
  secretPlaceOf,
  valuesOf,
} from './secret-backup.ts'

/** Registers the values of these Secrets, so that they are never shown; public settings like the domain may be. */
export function hideValues(secrets: readonly KubeObject[]): void {
  for (const secret of secrets)
    for (const [key, encoded] of valuesOf(secret)) {
      if (holdsSettings(secret.metadata) && showsVariable(key)) continue
      const text = Buffer.from(encoded, 'base64').toString()
      for (const form of [encoded, text, text.trim()]) registerSecret(form)
    }
}

/**
 * All Secrets of these namespaces, in one request each, without the release records of Helm, which are large and
 * many. A namespace that does not exist has none.
 */
export async function readSecrets(kubectl: Kubectl, namespaces: Iterable<string>): Promise<KubeObject[]> {
  const options = { fieldSelector: 'type!=helm.sh/release.v1' }
  const lists = [...new Set(namespaces)].map(namespace =>
    kubectl.list('v1', 'Secret', { ...options, namespace }),
  )
  return (await Promise.all(lists)).flat()
}

/** The wanted Secrets among these, in the order of `wanted`, their values registered as secret. */
export function pick(secrets: readonly KubeObject[], wanted: readonly SecretName[]): KubeObject[] {
  const byPlace = new Map(secrets.map(secret => [secretPlaceOf(secretNameOf(secret)), secret]))
  const picked = wanted.flatMap(name => byPlace.get(secretPlaceOf(name)) ?? [])
  hideValues(picked)
  return picked
}

/** The Secrets that `first` names, those of the catalogue, and all among these with such a name. */
export async function generatedAmong(
  found: readonly KubeObject[],
  first: readonly SecretName[] = [],
): Promise<SecretName[]> {
  const names = [...first, ...(await loadCatalogue()), ...found.map(secretNameOf).filter(looksGenerated)]
  return [...new Map(names.map(name => [secretPlaceOf(name), name])).values()]
}

/** A Secret that differs between a backup and the cluster. */
export interface Deviation {
  secret: string
  problem: string
}

/** Compares a backup with the Secrets of the cluster, value by value. Pure except for registering the values. */
export function compareBackup(
  { secrets, manifest }: Pick<Backup, 'secrets'> & { manifest: Pick<Backup['manifest'], 'absent'> },
  cluster: readonly KubeObject[],
): Deviation[] {
  hideValues(secrets)
  const changed = secrets.flatMap((secret): Deviation[] => {
    const name = secretNameOf(secret)
    const [existing] = pick(cluster, [name])
    if (!existing) return [{ secret: secretPlaceOf(name), problem: 'is not in the cluster' }]
    const keys = differences(secret, existing)
    return keys.length === 0
      ? []
      : [{ secret: secretPlaceOf(name), problem: `differs from the cluster in ${keys.join(', ')}` }]
  })
  const added = pick(cluster, manifest.absent).map(secret => ({
    secret: secretPlaceOf(secretNameOf(secret)),
    problem: 'is in the cluster now, but was not at the time of this backup',
  }))
  return [...changed, ...added]
}

/** Reads the cluster again and throws the names of Secrets that the backup does not hold byte by byte. */
export async function proveBackup(
  kubectl: Kubectl,
  backup: Pick<Backup, 'secrets' | 'manifest'>,
): Promise<void> {
  const { secrets, absent } = backup.manifest
  const cluster = await readSecrets(
    kubectl,
    [...secrets, ...absent].map(({ namespace }) => namespace),
  )
  throwAll(
    compareBackup(backup, cluster).map(
      ({ secret, problem }) =>
        new ExpectedError(
          `Secret ${secret} ${problem}: it was changed during the backup`,
          'wait until no other change runs on the cluster, then run the same command again',
        ),
    ),
  )
}
