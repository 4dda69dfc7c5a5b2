import type { KubeObject } from '../kubectl/kubectl.ts'
import { sha256 } from '../script/digest.ts'
import { ExpectedError } from '../script/errors.ts'
import {
  isSecretName,
  parseSecret,
  type SecretName,
  secretNameOf,
  secretPlaceOf,
  secretText,
  valuesOf,
} from './secret-backup.ts'

/** The manifest of a backup of Secrets. */
export interface BackupManifest {
  format: 'openappstack-secrets/1'
  /** The name of the cluster's folder. */
  cluster: string
  /** The URL of its API server. */
  server: string
  createdAt: string
  /** The Secrets, with the number of their keys. */
  secrets: (SecretName & { keys: number })[]
  /** The wanted Secrets that the cluster did not have. */
  absent: SecretName[]
  /** One for each Secret, in their order, or the one encrypted file. */
  files: { file: string; bytes: number; sha256: string }[]
}

/** The manifest's file. Without an extension that `kubectl apply -f FOLDER` would take for an object. */
export const MANIFEST = 'backup.manifest'

/** The one file of an encrypted backup: all Secrets as one YAML stream. */
export const SEALED = 'secrets.yaml.age'

/** The file of a Secret in a backup that is not encrypted. Names of namespaces have no dot. */
export function secretFileOf({ namespace, name }: SecretName): string {
  return `${namespace}.${name}.yaml`
}

/** Whether the Secrets of a backup lie in the encrypted file. */
export function isSealed(manifest: BackupManifest): boolean {
  return manifest.files[0]?.file === SEALED
}

/** The manifest of a backup that consists of these files. Pure. */
export function manifestOf(
  origin: Pick<BackupManifest, 'cluster' | 'server' | 'createdAt' | 'absent'>,
  secrets: readonly KubeObject[],
  files: ReadonlyMap<string, Uint8Array>,
): BackupManifest {
  return {
    format: 'openappstack-secrets/1',
    ...origin,
    absent: origin.absent.map(({ namespace, name }) => ({ namespace, name })),
    secrets: secrets.map(secret => ({ ...secretNameOf(secret), keys: valuesOf(secret).size })),
    files: [...files].map(([file, data]) => ({ file, bytes: data.length, sha256: sha256(data) })),
  }
}

/**
 * All Secrets as one YAML stream, for encryption: `age -d secrets.yaml.age | kubectl apply -f -`. The SHA-256 of
 * each is in here, not in the manifest: with a public hash everybody could check guesses of weak
 * passwords. Pure.
 */
export function streamText(secrets: readonly KubeObject[]): string {
  return secrets
    .map(secretText)
    .map(text => `---\n# sha256 ${sha256(text)}\n${text}`)
    .join('')
}

/** Reads the output of `streamText`. Throws an ExpectedError that names `where` for anything else. */
export async function parseStream(text: string, where: string): Promise<KubeObject[]> {
  const [before, ...documents] = text.split(/^---\n/m)
  if (before !== '' && text !== '') throw damaged(`${where} is not a backup of Secrets`)
  const secrets: KubeObject[] = []
  for (const [i, document] of documents.entries()) {
    const [, hash, content = ''] = /^# sha256 ([0-9a-f]{64})\n(.*)$/s.exec(document) ?? []
    const part = `document ${i + 1} of ${where}`
    if (hash === undefined || hash !== sha256(content)) throw damaged(`${part} was changed after the backup`)
    secrets.push(await parseSecret(content, part))
  }
  return secrets
}

/** The error for a damaged backup. */
export function damaged(what: string): ExpectedError {
  return new ExpectedError(what, 'use another copy of this backup: do not trust any part of this one')
}

const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0
const isText = (value: unknown) => typeof value === 'string' && value.length <= 1000
const isList = (value: unknown, check: (item: Record<string, unknown>) => boolean) =>
  Array.isArray(value) && value.every(item => typeof item === 'object' && item !== null && check(item))

/** Reads a manifest. Throws an ExpectedError that names `where` for anything that this toolkit does not write. */
export function parseManifest(text: string, where: string): BackupManifest {
  let manifest: BackupManifest
  try {
    manifest = JSON.parse(text)
  } catch {
    throw damaged(`${where} is not a manifest: it was cut off or changed`)
  }
  if (manifest?.format !== 'openappstack-secrets/1')
    throw new ExpectedError(
      `${where} has an unknown format`,
      'use the version of this toolkit that wrote it, probably a newer one',
    )
  const { cluster, server, createdAt, secrets, absent, files } = manifest
  if (
    ![cluster, server, createdAt].every(isText) ||
    Number.isNaN(Date.parse(createdAt)) ||
    !isList(secrets, item => isSecretName(item) && isCount(item.keys)) ||
    !isList(absent, isSecretName) ||
    !isList(files, item => isText(item.file) && isCount(item.bytes) && isText(item.sha256))
  )
    throw damaged(`${where} was changed: it is not complete`)
  // Files are derived from the names of Secrets, so that no foreign path is ever followed.
  const expected = isSealed(manifest) ? [SEALED] : secrets.map(secretFileOf)
  const places = [...secrets, ...absent].map(secretPlaceOf)
  if (
    files.map(({ file }) => file).join('\n') !== expected.join('\n') ||
    new Set(expected).size < expected.length ||
    new Set(places).size < places.length
  )
    throw damaged(`${where} was changed: its files do not match its Secrets`)
  return manifest
}
