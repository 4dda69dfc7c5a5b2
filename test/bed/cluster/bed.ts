import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Building, builtPrograms } from '../build/build.ts'
import { cached, cacheKey } from '../build/cache.ts'
import { buildData } from '../build/data.ts'
import { goVersion } from '../build/go.ts'
import { BED, checkPrograms, readGoMod } from '../build/programs.ts'

/** The programs and files that a sandbox is made of. */
export interface Bed {
  /** The folder of the programs. */
  bin: string
  /** Flux's install manifest. */
  fluxManifest: string
  /** The CRDs in it, as JSON. */
  fluxCrds: string
  /** The folder of the CRDs that stand-in charts carry. */
  crds: string
  kwokCrd: string
  kwokStages: string
}

/**
 * The bed: from the cache, or built into it, or with the programs in `binDir`. A folder `data` in `binDir`,
 * copied from another machine's cache, replaces Go.
 */
export async function ensureBed(options: Building & { binDir?: string }): Promise<Bed> {
  const { binDir } = options
  if (binDir !== undefined) await checkPrograms(binDir)
  const bin = binDir ?? (await builtPrograms(options))
  const given = binDir === undefined ? undefined : join(binDir, 'data')
  const data = given && existsSync(given) ? given : await builtData(options)
  return {
    bin,
    fluxManifest: join(data, 'flux.yaml'),
    fluxCrds: join(data, 'flux-crds.json'),
    crds: join(data, 'crds'),
    kwokCrd: join(data, 'kwok-crd.yaml'),
    kwokStages: join(data, 'kwok-stages.yaml'),
  }
}

/** Raise it when a change of data.ts or flux-manifest.ts leads to other files from the same modules. */
const DATA_RECIPE = 3

/** The folder of the files that come with the Go modules: from the cache, or put into it. */
async function builtData(building: Building): Promise<string> {
  const key = cacheKey([readGoMod(), readFileSync(join(BED, 'data.json'), 'utf8'), `recipe ${DATA_RECIPE}`])
  const damaged = (what: string) => building.progress(`the cache is damaged and is rebuilt: ${what}`)
  return await cached(`data-${key}`, { ...building, damaged }, async folder => {
    await goVersion()
    building.progress('fetching the manifests that the sandbox needs (once)')
    await buildData(folder)
  })
}
