import { createHash } from 'node:crypto'
import { allOf, type Chunks } from '../../lib/age/age.ts'
import { type Member, type TarFile, tarMembers, tarOf } from '../../lib/age/tar.ts'
import { codeOf, ExpectedError, messageOf } from '../../lib/script/errors.ts'

/** A file in an archive. */
export interface ArchivedFile {
  /** Below `cluster/`, or the copy of k3s. */
  path: string
  mode: number
  size: number
  sha256: string
}

/** What an archive says about itself: its last member. */
export interface ArchiveManifest {
  format: 1
  cluster: string
  /** When the archive was started. */
  createdAt: string
  /** Where the copy of k3s is from; absent in an archive without one. */
  server?: { name: string; k3s: string; node?: string | undefined }
  files: ArchivedFile[]
}

/** Name of the manifest in an archive. */
const MANIFEST = 'MANIFEST.json'
/** What is in the cluster folder has this before its path. */
export const FOLDER = 'cluster/'
/** The copy of k3s: a tar archive, since it has owners and modes of its own. */
export const K3S_COPY = 'server/k3s.tar'
const MOST_MANIFEST = 16 << 20

/** What is wrong with the path of a file in an archive, or undefined: nothing may lead out of the folder it goes to. */
export function checkPath(path: string): string | undefined {
  if (path.startsWith('/')) return 'it is absolute'
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they have no place in a name
  if (/[\0-\x1f\x7f\\]/.test(path)) return 'it has control characters or backslashes'
  if (path.split('/').some(part => part === '' || part === '.' || part === '..'))
    return 'it leads out of its folder'
  return undefined
}

/** The bytes of an archive, a tar archive with a manifest at its end. Memory stays at one piece of a file. */
export function writeArchive(
  about: Omit<ArchiveManifest, 'files' | 'format'>,
  sources: AsyncIterable<TarFile> | Iterable<TarFile>,
): AsyncGenerator<Uint8Array> {
  async function* files(): AsyncGenerator<TarFile> {
    const archived: ArchivedFile[] = []
    for await (const { path, mode, size, content } of sources) {
      const hash = createHash('sha256')
      yield { path, mode, size, content: hashed(content, hash) }
      archived.push({ path, mode, size, sha256: hash.digest('hex') })
    }
    const manifest: ArchiveManifest = { format: 1, ...about, files: archived }
    const text = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)
    yield { path: MANIFEST, mode: 0o600, size: text.length, content: [text] }
  }
  return tarOf(files())
}

/** The same chunks, which `hash` sees as they pass. */
export async function* hashed(chunks: Chunks, hash: { update(data: Uint8Array): unknown }) {
  for await (const chunk of chunks) {
    hash.update(chunk)
    yield chunk
  }
}

/**
 * Reads an archive to its end and compares every file with the manifest. `onFile` gets each file as it comes:
 * nothing of it is proved before this resolves. Throws an ExpectedError for an archive with anything in it that
 * the manifest does not name, that leads out of its folder, or that is not a plain file.
 */
export async function readArchive(
  chunks: Chunks,
  name: string,
  onFile?: (file: Member, content: AsyncGenerator<Uint8Array>) => Promise<void>,
): Promise<ArchiveManifest> {
  const wrong = (what: string, cause?: unknown) =>
    new ExpectedError(
      `${name} is not an archive of a cluster folder: ${what}`,
      'take another copy of it; nothing of this one was used',
      { cause },
    )
  const found = new Map<string, ArchivedFile>()
  let manifest: ArchiveManifest | undefined
  try {
    for await (const { member, content } of tarMembers(chunks)) {
      const { path, type, mode, size } = member
      const problem = checkPath(path)
      if (problem) throw wrong(`${JSON.stringify(path)}: ${problem}`)
      if (type !== 'file') throw wrong(`${path} is not a file but a ${type}`)
      if (manifest || found.has(path)) throw wrong(`${path} appears twice`)
      if (path === MANIFEST) {
        if (size > MOST_MANIFEST) throw wrong('its manifest is too large')
        manifest = JSON.parse((await allOf(content)).toString()) as ArchiveManifest
        continue
      }
      if (path !== K3S_COPY && !path.startsWith(FOLDER))
        throw wrong(`${path} does not belong in such an archive`)
      const hash = createHash('sha256')
      const passing = hashed(content, hash)
      await onFile?.(member, passing)
      for await (const _ of passing); // what was not read
      found.set(path, { path, mode: mode & 0o777, size, sha256: hash.digest('hex') })
    }
  } catch (error) {
    if (error instanceof ExpectedError || codeOf(error) !== undefined) throw error
    throw wrong(messageOf(error), error)
  }
  if (manifest?.format !== 1 || !Array.isArray(manifest.files)) throw wrong('it has no valid manifest')
  if (found.size !== manifest.files.length) throw wrong('its files differ from its manifest')
  for (const { path, sha256, size } of manifest.files) {
    const file = found.get(path)
    if (file?.sha256 !== sha256 || file.size !== size) throw wrong(`${path} differs from its manifest`)
  }
  return manifest
}
