import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AgeKeys, Recipients } from '../age/age.ts'
import type { KubeObject } from '../kubectl/kubectl.ts'
import { sha256 } from '../script/digest.ts'
import { codeOf, EXIT, ExpectedError, throwAll, toExpected, UsageError } from '../script/errors.ts'
import { fileTime } from '../script/timestamp.ts'
import {
  type BackupManifest,
  damaged,
  isSealed,
  MANIFEST,
  manifestOf,
  parseManifest,
  parseStream,
  SEALED,
  secretFileOf,
  streamText,
} from './manifest.ts'
import { parseSecret, secretNameOf, secretPlaceOf, secretText, valuesOf } from './secret-backup.ts'

/** A backup that was read: every file matches its manifest. */
export interface Backup {
  folder: string
  manifest: BackupManifest
  secrets: KubeObject[]
}

/** The content of a new backup, with plain Secrets. */
export interface BackupContent extends Pick<BackupManifest, 'cluster' | 'server' | 'createdAt' | 'absent'> {
  secrets: readonly KubeObject[]
}

/** A Secret holds at most 1 MiB; in base64, with its keys, that stays below this. */
const LARGEST = 4 << 20
const LARGEST_SEALED = 64 << 20

/** The folder of a backup of this cluster: named by cluster and time. */
export function backupFolder(cluster: { name: string; folder: string }, at: Date): string {
  return join(cluster.folder, 'secrets-backup', `${cluster.name}-${fileTime(at, { milliseconds: true })}`)
}

/**
 * Writes a backup as a new folder (0700, files 0600), whole or not at all: it is written to a temporary folder, `prove`
 * checks that on the disk, and only then it gets its name. With `to` it is encrypted. Throws an
 * ExpectedError when the folder already exists.
 */
export async function writeBackup(
  folder: string,
  content: BackupContent,
  to: Recipients | undefined,
  prove: (folder: string) => Promise<void>,
): Promise<BackupManifest> {
  const { secrets, ...origin } = content
  const files = new Map<string, Uint8Array>()
  if (to) files.set(SEALED, await seal(to, streamText(secrets)))
  else
    for (const secret of secrets)
      files.set(secretFileOf(secretNameOf(secret)), Buffer.from(secretText(secret)))
  const manifest = manifestOf(origin, secrets, files)
  files.set(MANIFEST, Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`))

  const part = `${folder}.incomplete`
  refuseExisting(folder)
  try {
    mkdirSync(part, { mode: 0o700 })
  } catch (error) {
    throw cannotWrite(part, error)
  }
  try {
    for (const [file, data] of files)
      writeFileSync(join(part, file), data, { mode: 0o600, flag: 'wx', flush: true })
    await prove(part)
    refuseExisting(folder)
    renameSync(part, folder)
  } catch (error) {
    rmSync(part, { recursive: true, force: true })
    throw error instanceof ExpectedError ? error : cannotWrite(folder, error)
  }
  return manifest
}

async function seal(to: Recipients, text: string): Promise<Uint8Array> {
  const { allOf, encryptTo } = await import('../age/age.ts')
  return allOf(encryptTo(to, [Buffer.from(text)]))
}

/** Throws when the folder of a new backup already exists: a backup is never overwritten. */
export function refuseExisting(folder: string): void {
  if (!lstatSync(folder, { throwIfNoEntry: false })) return
  throw new ExpectedError(
    `${folder} already exists, and a backup is never overwritten`,
    'give --output a folder that does not exist yet',
    { exitCode: EXIT.refused },
  )
}

function cannotWrite(folder: string, error: unknown): unknown {
  const code = codeOf(error)
  const said = (why: string, fix: string) =>
    new ExpectedError(`the backup cannot be written to ${folder}: ${why}`, fix, { cause: error })
  if (code === 'EEXIST')
    return said('another run writes it, or was killed', 'delete that folder if no other run is active')
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return said('its parent folder does not exist', 'create the parent folder, or give another --output')
  if (code === undefined) return error
  return said(
    code,
    toExpected(error).fix.startsWith('this is a defect')
      ? 'give another folder with --output'
      : toExpected(error).fix,
  )
}

/**
 * Reads the manifest of a backup and checks every file against it, without decrypting. Throws all problems at once, each with
 * the name of its file.
 */
export function readManifest(folder: string): { manifest: BackupManifest; files: Map<string, Buffer> } {
  if (!lstatSync(folder, { throwIfNoEntry: false })?.isDirectory())
    throw new UsageError(
      `backup ${folder} does not exist`,
      'give the folder of a backup, for example one of clusters/NAME/secrets-backup/',
    )
  const manifest = parseManifest(readPart(folder, MANIFEST, LARGEST).toString(), join(folder, MANIFEST))
  const files = new Map<string, Buffer>()
  const problems: ExpectedError[] = []
  for (const { file, bytes, sha256: hash } of manifest.files) {
    try {
      const data = readPart(folder, file, file === SEALED ? LARGEST_SEALED : LARGEST)
      files.set(file, data)
      const what = join(folder, file)
      if (data.length < bytes)
        problems.push(damaged(`${what} was cut off: ${data.length} of the ${bytes} bytes in ${MANIFEST}`))
      else if (sha256(data) !== hash)
        problems.push(damaged(`${what} was changed: its SHA-256 differs from the one in ${MANIFEST}`))
    } catch (error) {
      problems.push(toExpected(error))
    }
  }
  // `kubectl apply -f FOLDER` would apply these, too.
  for (const file of readdirSync(folder).sort())
    if (
      /\.(ya?ml|json|age)$/.test(file) &&
      !files.has(file) &&
      !manifest.files.some(each => each.file === file)
    )
      problems.push(
        damaged(`${join(folder, file)} does not belong to this backup: its manifest does not name it`),
      )
  throwAll(problems)
  return { manifest, files }
}

/** Reads a backup, encrypted or not, and checks all of it. Throws like `readManifest`. */
export async function readBackup(folder: string, keys: AgeKeys): Promise<Backup> {
  const { manifest, files } = readManifest(folder)
  const secrets: KubeObject[] = []
  const from = (file: string) => join(folder, file)
  if (isSealed(manifest)) {
    const { allOf, decryptWith } = await import('../age/age.ts')
    const text = await allOf(decryptWith(keys, [files.get(SEALED)!], from(SEALED)))
    secrets.push(...(await parseStream(text.toString(), from(SEALED))))
  } else for (const [file, data] of files) secrets.push(await parseSecret(data.toString(), from(file)))
  const told = (list: readonly { namespace: string; name: string; keys: number }[]) =>
    list.map(item => `${secretPlaceOf(item)} ${item.keys}`).join('\n')
  const found = secrets.map(secret => ({ ...secretNameOf(secret), keys: valuesOf(secret).size }))
  if (told(found) !== told(manifest.secrets))
    throw damaged(`${from(MANIFEST)} names other Secrets than the files hold`)
  return { folder, manifest, secrets }
}

/** The bytes of one file of a backup. Throws when it is missing, not a regular file, or far too large. */
function readPart(folder: string, file: string, largest: number): Buffer {
  const path = join(folder, file)
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (!found)
    throw damaged(file === MANIFEST ? `${path} is missing: the backup is not complete` : `${path} is missing`)
  if (!found.isFile()) throw damaged(`${path} is not a regular file`)
  if (found.size > largest) throw damaged(`${path} is too large for a backup: ${found.size} bytes`)
  return readFileSync(path)
}
