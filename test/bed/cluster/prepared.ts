import { constants, cpSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../../../lib/script/files.ts'
import type { Building } from '../build/build.ts'
import { cached, cacheFolder, cacheKey } from '../build/cache.ts'
import { ensureBed } from './bed.ts'
import { layoutOf } from './layout.ts'
import { down, type Up, type UpOptions, up } from './sandbox.ts'
import { readSandboxState, writeSandboxState } from './state.ts'

/** What a prepared state depends on: when one of these folders changes, the state is prepared again. */
const MADE_OF = ['flux2', 'install', 'lib', 'scripts', 'test/bed']

/**
 * The folder of a prepared state, from the cache or created in it: a stopped sandbox with everything installed in it.
 * `make` starts a sandbox in the folder of clusters that it gets (OAS_CLUSTERS_DIR is that folder meanwhile) and
 * installs what the state shall contain.
 */
export async function preparedState(
  name: string,
  building: Building,
  make: (clusters: string) => Promise<void>,
): Promise<string> {
  const { bin } = await ensureBed(building)
  const damaged = (what: string) => building.progress(`the cache is damaged and is rebuilt: ${what}`)
  const key = cacheKey([bin, ...MADE_OF.flatMap(contentOf)])
  removeOldStates()
  return await cached(`state-${name}-${key}`, { ...building, damaged }, async folder => {
    building.progress(`preparing a sandbox with ${name} (once)`)
    const before = process.env.OAS_CLUSTERS_DIR
    process.env.OAS_CLUSTERS_DIR = folder
    const layout = layoutOf('sandbox')
    try {
      await down() // a leftover of an interrupted preparation
      for (const left of readdirSync(folder)) rmSync(join(folder, left), { recursive: true })
      await make(folder)
    } finally {
      await down()
      if (before === undefined) delete process.env.OAS_CLUSTERS_DIR
      else process.env.OAS_CLUSTERS_DIR = before
    }
    for (const path of [layout.logs, layout.temporary]) rmSync(path, { recursive: true, force: true })
  })
}

/** Starts a new sandbox with a prepared state, on its own ports: `up` updates the addresses in the cluster. */
export async function upFrom(prepared: string, options: UpOptions = {}): Promise<Up> {
  const layout = layoutOf(options.name ?? 'sandbox')
  cpSync(join(prepared, 'sandbox'), layout.cluster.folder, {
    recursive: true,
    mode: constants.COPYFILE_FICLONE,
  })
  const state = readSandboxState(layout)
  writeSandboxState(layout, { ...state, ports: {}, known: state.ports })
  return await up(options)
}

/** Milliseconds for which a state is kept: each change of the checkout leads to another one. */
const KEPT = 24 * 3_600_000

function removeOldStates(): void {
  const folder = cacheFolder()
  for (const name of readdirSync(folder).filter(name => /^state-[\w-]+$/.test(name)))
    if (statSync(join(folder, name)).mtimeMs < Date.now() - KEPT)
      rmSync(join(folder, name), { recursive: true, force: true })
}

/** The paths and texts of all files below a folder of this checkout. */
function contentOf(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter(file => file.isFile())
    .map(file => join(file.parentPath, file.name))
    .sort()
    .flatMap(path => [path.slice(ROOT.length), readFileSync(path, 'latin1')])
}
