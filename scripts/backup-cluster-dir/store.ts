import { createHash } from 'node:crypto'
import {
  createReadStream,
  createWriteStream,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type AgeKeys, type Chunks, decryptWith, encryptTo, type Recipients } from '../../lib/age/age.ts'
import { newIdentity, parseIdentities } from '../../lib/age/keys.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import { privateFolder, readIfExists, writeFileAtomic } from '../../lib/script/files.ts'
import { fileTime } from '../../lib/script/timestamp.ts'
import { type ArchiveManifest, hashed, K3S_COPY, readArchive } from './archive.ts'
import { type CopyContents, checkCopy } from './parts.ts'

/** Where the archives of a cluster folder are, unless told otherwise. */
export const backupsOf = (cluster: Cluster): string => join(cluster.folder, 'backups')

/** The record of the newest archive. */
const lastFile = (cluster: Cluster): string => join(backupsOf(cluster), 'last.json')

/** What is recorded of an archive, when it has been verified. */
export interface Record {
  /** When the archive was started. */
  at: string
  file: string
  /** Whether it holds the datastore and token of k3s. */
  server: boolean
  sha256: string
}

/** The file name of an archive that is started at `now`. Pure. */
export function archiveName(cluster: Cluster, now: Date): string {
  return `${cluster.name}-${fileTime(now)}.tar.age`
}

/** An archive that is there. */
export interface Listed {
  file: string
  size: number
  modified: string
}

/** The archives of a cluster in a folder, the newest first. */
export function listArchives(cluster: Cluster, folder: string): Listed[] {
  return namesIn(folder)
    .filter(name => name.startsWith(`${cluster.name}-`) && name.endsWith('.tar.age'))
    .sort()
    .reverse()
    .map(name => {
      const file = join(folder, name)
      const { size, mtime } = statSync(file)
      return { file, size, modified: mtime.toISOString() }
    })
}

/** What is recorded of the newest archive; undefined also for a record that is damaged: the next archive rewrites it. */
export function lastArchive(cluster: Cluster): Record | undefined {
  try {
    const record = JSON.parse(readIfExists(lastFile(cluster)) ?? 'null') as Record | null
    return typeof record?.file === 'string' ? record : undefined
  } catch {
    return undefined
  }
}

function namesIn(folder: string): string[] {
  return statSync(folder, { throwIfNoEntry: false })?.isDirectory() ? readdirSync(folder) : []
}

/**
 * Encrypts an archive into a folder and reads it back from the disk: decrypted, every file compared with its
 * manifest. Only then it gets its name, and is recorded as the newest. What a killed run left is removed.
 */
export async function storeArchive(
  cluster: Cluster,
  folder: string,
  now: Date,
  to: Recipients,
  archive: Chunks,
): Promise<Record & { manifest: ArchiveManifest; size: number }> {
  // A folder that exists may be anybody's: its mode stays, the archives in it are 0600.
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const name = archiveName(cluster, now)
  for (const left of namesIn(folder))
    if (left.startsWith(`.${cluster.name}-`) && left.endsWith('.tar.age.tmp')) rmSync(join(folder, left))
  const temporary = join(folder, `.${name}.tmp`)
  try {
    const { withUs, keys } = await readableByUs(to)
    await pipeline(
      Readable.from(encryptTo(withUs, archive)),
      createWriteStream(temporary, { flags: 'wx', mode: 0o600, flush: true }),
    )
    const hash = createHash('sha256')
    const { manifest } = await verifyArchive(keys, hashed(createReadStream(temporary), hash), name)
    const file = resolve(folder, name)
    const { size } = statSync(temporary)
    renameSync(temporary, file)
    const record: Record = {
      at: now.toISOString(),
      file,
      server: manifest.server !== undefined,
      sha256: hash.digest('hex'),
    }
    privateFolder(backupsOf(cluster))
    writeFileAtomic(lastFile(cluster), `${JSON.stringify(record, null, 2)}\n`)
    return { ...record, manifest, size }
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
}

/**
 * Recipients alone could not be read back here, since their identities are elsewhere. One more recipient, whose
 * identity is forgotten afterwards, makes that possible and opens nothing to anybody.
 */
async function readableByUs(to: Recipients): Promise<{ withUs: Recipients; keys: AgeKeys }> {
  if ('passphrase' in to)
    return { withUs: to, keys: { identities: [], passphrase: async () => to.passphrase } }
  const { text, recipient } = await newIdentity()
  return {
    withUs: { recipients: [...to.recipients, recipient] },
    keys: {
      identities: await parseIdentities(text, 'identity'),
      passphrase: () => Promise.reject(new Error('an archive to recipients asked for a passphrase')),
    },
  }
}

/** An archive that was compared with its manifest, with what its copy of k3s holds. */
export interface VerifiedArchive {
  manifest: ArchiveManifest
  copy: CopyContents | undefined
}

/** Decrypts an archive to its end and compares all of it with its manifest. */
export async function verifyArchive(keys: AgeKeys, archive: Chunks, name: string): Promise<VerifiedArchive> {
  let copy: CopyContents | undefined
  const manifest = await readArchive(decryptWith(keys, archive, name), name, async ({ path }, content) => {
    if (path === K3S_COPY) copy = await checkCopy(content, name)
  })
  if ((copy !== undefined) === (manifest.server !== undefined)) return { manifest, copy }
  throw new ExpectedError(`${name} has a manifest that does not fit its files`, 'take another archive')
}

/**
 * The archive of this path, or of this name in the cluster's own folder: what to call it, its absolute path, and its
 * bytes as a stream. Throws an ExpectedError when there is none.
 */
export function openArchive(
  cluster: Cluster,
  path: string,
): { name: string; file: string; read: () => Chunks } {
  const beside = join(backupsOf(cluster), path)
  const file = [path, beside].find(each => statSync(each, { throwIfNoEntry: false })?.isFile())
  if (file === undefined)
    throw new ExpectedError(
      `there is no archive ${path}`,
      `list the archives: npx tsx scripts/backup-cluster-dir.ts --list`,
    )
  return { name: basename(file), file: resolve(file), read: () => createReadStream(file) }
}
