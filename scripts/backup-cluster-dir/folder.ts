import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { allOf, type Chunks } from '../../lib/age/age.ts'
import type { TarFile } from '../../lib/age/tar.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import { privateFolder, writeFileAtomic } from '../../lib/script/files.ts'
import { type ArchiveManifest, FOLDER, readArchive } from './archive.ts'

/** What of a cluster folder is not archived: the archives themselves, locks, and what a killed run left. */
const LEFT_OUT = /^(backups|bundles)$|^\.lock|\.tmp$/

/** The files of a cluster folder, by their path in it; `warn` is told what else there is, which is left out. */
export function folderFiles(cluster: Cluster, warn: (text: string) => void): string[] {
  const walk = (prefix: string): string[] =>
    readdirSync(join(cluster.folder, prefix), { withFileTypes: true })
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .flatMap(entry => {
        const path = `${prefix}${entry.name}`
        if (LEFT_OUT.test(path)) return []
        if (entry.isDirectory()) return walk(`${path}/`)
        // A symbolic link to a file stands for that file.
        if (statSync(join(cluster.folder, path), { throwIfNoEntry: false })?.isFile()) return [path]
        warn(`${join(cluster.folder, path)} is left out: it is not a file`)
        return []
      })
  return walk('')
}

/** These files for an archive, each read when its turn has come: a journal may be written meanwhile. */
export function* archiveSourcesOf(cluster: Cluster, files: readonly string[]): Generator<TarFile> {
  for (const path of files) {
    const file = join(cluster.folder, path)
    const data = readFileSync(file)
    yield {
      path: `${FOLDER}${path}`,
      mode: statSync(file).mode & 0o777,
      size: data.length,
      content: [data],
    }
  }
}

/** What restoring an archive does to a cluster folder, by path in it. What is in the folder alone stays. */
export interface FolderChanges {
  added: string[]
  changed: string[]
  same: string[]
}

/** Compares a cluster folder with an archive. */
export function compareFolder(cluster: Cluster, manifest: ArchiveManifest): FolderChanges {
  const changes: FolderChanges = { added: [], changed: [], same: [] }
  for (const { path, sha256 } of manifest.files) {
    if (!path.startsWith(FOLDER)) continue
    const name = path.slice(FOLDER.length)
    const file = join(cluster.folder, name)
    if (!existsSync(file)) changes.added.push(name)
    else if (!statSync(file).isFile())
      throw new ExpectedError(
        `${file} is not a file, but the archive has a file of this name`,
        'move it away',
      )
    else changes[digest(file) === sha256 ? 'same' : 'changed'].push(name)
  }
  return changes
}

const digest = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex')

/**
 * Writes the files of an archive that a manifest names and that differ, each whole or not at all. The archive is
 * read again, and only what matches the manifest is written.
 */
export async function restoreFolder(
  cluster: Cluster,
  archive: Chunks,
  name: string,
  manifest: ArchiveManifest,
): Promise<number> {
  const known = new Map(manifest.files.map(file => [file.path, file]))
  let written = 0
  await readArchive(archive, name, async ({ path }, content) => {
    const wanted = known.get(path)
    if (!wanted || !path.startsWith(FOLDER)) return
    const file = join(cluster.folder, path.slice(FOLDER.length))
    if (existsSync(file) && digest(file) === wanted.sha256) return
    const data = await allOf(content)
    if (createHash('sha256').update(data).digest('hex') !== wanted.sha256)
      throw new ExpectedError(
        `${name} is another archive than a moment ago`,
        'find out who writes to it, then run the same command again',
      )
    privateFolder(cluster.folder)
    for (const folder of foldersTo(path.slice(FOLDER.length))) privateFolder(join(cluster.folder, folder))
    writeFileAtomic(file, data, wanted.mode & 0o700)
    written++
  })
  return written
}

/** The folders that a path goes through, the outermost first. */
function foldersTo(path: string): string[] {
  const folder = dirname(path)
  return folder === '.' ? [] : [...foldersTo(folder), folder]
}
