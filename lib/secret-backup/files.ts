import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AgeKeys, Recipients } from '../age/age.ts'
import type { KubeObject } from '../kubectl/kubectl.ts'
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
import { parseSecret, secretNameOf, secretPlaceOf, secretText, sha256, valuesOf } from './secret-backup.ts'

/** A backup that was read: every file is the one that its manifest means. */
export interface Backup {
  folder: string
  manifest: BackupManifest
  secrets: KubeObject[]
}

/** What is written into a backup. The Secrets are plain ones. */
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
 * Writes a backup as a new folder (0700, files 0600), whole or not at all: it is written beside its place, `prove`
 * looks at what lies on the disk there, and only then it gets its name. With `to` it is encrypted. Throws an
 * ExpectedError when there is something of that name already.
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

/** Throws when there is something where a backup is to be written: none is ever overwritten. */
export function refuseExisting(folder: string): void {
  if (!lstatSync(folder, { throwIfNoEntry: false })) return
  throw new ExpectedError(
    `${folder} is there already, and a backup is never overwritten`,
    'give --output a folder that does not exist yet',
    { exitCode: EXIT.refused },
  )
}

function cannotWrite(folder: string, error: unknown): unknown {
  const code = codeOf(error)
  const said = (why: string, fix: string) =>
    new ExpectedError(`the backup cannot be written to ${folder}: ${why}`, fix, { cause: error })
  if (code === 'EEXIST')
    return said('another run is at it, or was killed', 'when no other run is at work, delete that folder')
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return said(
      'the folder that it would be in is not there',
      'make that folder, or give --output another one',
    )
  if (code === undefined) return error
  return said(
    code,
    toExpected(error).fix.startsWith('this is a defect')
      ? 'give --output another folder'
      : toExpected(error).fix,
  )
}

/**
 * Reads the manifest of a backup and checks every file against it, without opening an encrypted one. Throws all
 * that is wrong at once, each by the name of its file.
 */
export function readManifest(folder: string): { manifest: BackupManifest; files: Map<string, Buffer> } {
  if (!lstatSync(folder, { throwIfNoEntry: false })?.isDirectory())
    throw new UsageError(
      `there is no backup ${folder}`,
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
      if (data.length < bytes) problems.push(damaged(`${what} was cut off: ${data.length} of ${bytes} bytes`))
      else if (sha256(data) !== hash)
        problems.push(damaged(`${what} was changed: its SHA-256 is not the one in ${MANIFEST}`))
    } catch (error) {
      problems.push(toExpected(error))
    }
  }
  // `kubectl apply -f FOLDER` would take these for a part of it.
  for (const file of readdirSync(folder).sort())
    if (
      /\.(ya?ml|json|age)$/.test(file) &&
      !files.has(file) &&
      !manifest.files.some(each => each.file === file)
    )
      problems.push(damaged(`${join(folder, file)} is no part of this backup: its manifest does not name it`))
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

/** The bytes of one file of a backup. Throws when it is missing, no plain file, or far too large. */
function readPart(folder: string, file: string, largest: number): Buffer {
  const path = join(folder, file)
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (!found)
    throw damaged(file === MANIFEST ? `${path} is missing: this is no complete backup` : `${path} is missing`)
  if (!found.isFile()) throw damaged(`${path} is no plain file`)
  if (found.size > largest) throw damaged(`${path} is too large for what it should be: ${found.size} bytes`)
  return readFileSync(path)
}
