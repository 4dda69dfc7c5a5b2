import { createHash } from 'node:crypto'
import { createReadStream, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, relative } from 'node:path'
import { readIfExists, writeFileAtomic } from '../../../lib/script/files.ts'
import { withLock } from './lock.ts'

/** The folder outside the checkout where everything is kept that is built once. */
export function cacheFolder(): string {
  const base = process.env.OAS_CACHE_DIR || process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
  return join(base, 'openappstack', 'bed')
}

/** A digest of everything that an entry of the cache is made from; its name. */
export function cacheKey(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16)
}

/** What a finished entry holds. Written last: an entry without it is not finished. */
interface Manifest {
  files: Record<string, { size: number; modified: number; sha256: string }>
}

const MANIFEST = 'manifest.json'

/**
 * The folder of a cache entry, which `make` fills when the entry is missing or damaged.
 * `make` gets a folder that becomes the entry when it returns; after a kill it finds its unfinished files there. Two processes never make the same entry at once.
 */
export async function cached(
  name: string,
  options: { waiting: (holder: string) => void; damaged: (what: string) => void; signal?: AbortSignal },
  make: (folder: string) => Promise<void>,
): Promise<string> {
  const entry = join(cacheFolder(), name)
  if ((await damageOf(entry)) === undefined) return entry
  return await withLock(entry, options, async () => {
    const damage = await damageOf(entry) // another process may have made it while we waited
    if (damage === undefined) return entry
    if (existsSync(entry)) options.damaged(`${entry}: ${damage}`)
    const folder = `${entry}.making`
    mkdirSync(folder, { recursive: true })
    await make(folder)
    await writeManifest(folder)
    rmSync(entry, { recursive: true, force: true })
    renameSync(folder, entry)
    return entry
  })
}

/** What is wrong with an entry, or undefined. Files that look untouched are not read again. */
export async function damageOf(entry: string): Promise<string | undefined> {
  const text = readIfExists(join(entry, MANIFEST))
  if (text === undefined) return 'it is not finished'
  try {
    const manifest: Manifest = JSON.parse(text)
    for (const [name, { size, modified, sha256 }] of Object.entries(manifest.files)) {
      const path = join(entry, name)
      const stat = statSync(path, { throwIfNoEntry: false })
      if (!stat) return `${name} is missing`
      if (stat.size !== size) return `${name} has ${stat.size} bytes and not ${size}`
      if (stat.mtimeMs !== modified && (await sha256Of(path)) !== sha256) return `${name} has been changed`
    }
    return undefined
  } catch {
    return `${MANIFEST} cannot be read`
  }
}

async function writeManifest(folder: string): Promise<void> {
  const manifest: Manifest = { files: {} }
  for (const file of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue
    const path = join(file.parentPath, file.name)
    const { size, mtimeMs } = statSync(path)
    manifest.files[relative(folder, path)] = { size, modified: mtimeMs, sha256: await sha256Of(path) }
  }
  writeFileAtomic(join(folder, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`, 0o644)
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk)
  return hash.digest('hex')
}
