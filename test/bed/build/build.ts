import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statfsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ExpectedError } from '../../../lib/script/errors.ts'
import { cached, cacheFolder, keyOf } from './cache.ts'
import { GO_ENVIRONMENT, goVersion, runGo } from './go.ts'
import { BED, builtName, type ProgramSet, readGoMod, requiredVersion, SANDBOX } from './programs.ts'
import { run } from './shell.ts'

/** How the building is followed. */
export interface Building {
  progress: (text: string) => void
  waiting: (holder: string) => void
  signal?: AbortSignal
}

const GiB = 2 ** 30
/** Measured: Go's build cache grows to 4.6 GiB, the programs have 0.8 GiB. */
const NEEDED_TO_BUILD = 6 * GiB
/** Measured: the sources of all modules have 3.3 GiB. */
const NEEDED_FOR_SOURCES = 4 * GiB

/**
 * The flags of the build. Without a version Kubernetes calls itself v0.0.0-master, and charts refuse to be
 * installed on that.
 */
export function buildFlags(kubernetes: string): string[] {
  const [major, minor] = kubernetes.replace(/^v/, '').split('.')
  const set = (name: string, value: string | undefined) => `-X k8s.io/component-base/version.${name}=${value}`
  const ldflags = [
    '-s',
    '-w',
    set('gitVersion', kubernetes),
    set('gitMajor', major),
    set('gitMinor', minor),
    set('gitTreeState', 'clean'),
  ]
  return ['-mod=readonly', '-trimpath', `-ldflags=${ldflags.join(' ')}`]
}

/**
 * The folder of the programs: from the cache, or built into it. The key is everything that they are built
 * from, so that a changed version leads to a new build and an old checkout still finds its own.
 */
export async function builtPrograms(building: Building, set: ProgramSet = SANDBOX): Promise<string> {
  const flags = buildFlags(requiredVersion(readGoMod(), 'k8s.io/kubernetes'))
  const version = await goVersion()
  const key = keyOf([
    ...['go.mod', 'go.sum'].map(name => readFileSync(join(set.folder, name), 'utf8')),
    ...(set.folder === BED ? [] : ownSources(set.folder)),
    ...flags,
    ...set.programs.map(({ package: path }) => path),
    `${process.platform} ${process.arch} ${version}`,
  ])
  const damaged = (what: string) => building.progress(`the cache is damaged and is made again: ${what}`)
  return await cached(`programs-${key}`, { ...building, damaged }, folder =>
    build(folder, flags, set, building),
  )
}

/** The text of every Go file of a module of ours. */
function ownSources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.go'))
    .sort()
    .map(name => readFileSync(join(folder, name), 'utf8'))
}

async function build(
  folder: string,
  flags: readonly string[],
  set: ProgramSet,
  { progress, signal }: Building,
): Promise<void> {
  await checkSpace(folder)
  const work = join(folder, 'work')
  const env = { GOCACHE: join(cacheFolder(), 'go-build'), GOTMPDIR: join(work, 'tmp') }
  rmSync(env.GOTMPDIR, { recursive: true, force: true })
  mkdirSync(env.GOTMPDIR, { recursive: true })
  const packages = set.programs.map(({ package: path }) => path)
  const names = set.programs.map(({ name }) => name).join(', ')
  const go = { cwd: set.folder, env, signal }

  progress('fetching the sources of the sandbox (once; up to 1 GB)')
  const all = new Set<string>()
  await runGo(['list', '-mod=readonly', '-deps', ...packages], { ...go, line: line => all.add(line) })

  const began = performance.now()
  let done = 0
  let told = 0
  const out = join(work, 'out')
  progress(`building ${names} (once; ${set.takes} on two cores)`)
  await runGo(['build', '-v', ...flags, '-o', `${out}/`, ...packages], {
    ...go,
    line: line => {
      if (!all.has(line)) return
      done++
      const elapsed = performance.now() - began
      const percent = Math.floor((100 * done) / all.size)
      if (percent === told) return
      told = percent
      progress(buildProgress(percent, elapsed))
    },
  })
  for (const { name, package: path } of set.programs)
    renameSync(join(out, builtName(path)), join(folder, name))
  rmSync(work, { recursive: true, force: true })
}

/** How far a build is, and how long it will take if it goes on like this. Pure. */
export function buildProgress(percent: number, elapsed: number): string {
  // The first packages are small: an estimate made from them would be far off.
  if (percent < 3) return `building: ${percent} %`
  if (percent >= 100) return 'building: 100 %, linking the last programs'
  const minutes = Math.ceil((elapsed * (100 - percent)) / percent / 60_000)
  return `building: ${percent} %, about ${minutes} min left`
}

/** Throws when the disk has too little room, with what is needed where. */
async function checkSpace(folder: string): Promise<void> {
  const modules = await run('go', ['env', 'GOMODCACHE'], { cwd: BED, env: GO_ENVIRONMENT })
  const kubernetes = `k8s.io/kubernetes@${requiredVersion(readGoMod(), 'k8s.io/kubernetes')}`
  const sources = existsSync(join(modules, kubernetes)) ? 0 : NEEDED_FOR_SOURCES
  const here = statfsSync(folder)
  const there = statfsSync(existing(modules))
  // The file system's own id is not told: the same sizes mean the same one.
  const same = here.blocks === there.blocks && here.bfree === there.bfree
  const check = (free: number, needed: number, where: string) => {
    if (free < needed)
      throw new ExpectedError(
        `${gib(free)} are free at ${where}, and building the sandbox needs ${gib(needed)} there`,
        `free some space, or set OAS_CACHE_DIR to a folder on another disk (now ${cacheFolder()})`,
      )
  }
  check(here.bavail * here.bsize, NEEDED_TO_BUILD + (same ? sources : 0), folder)
  check(there.bavail * there.bsize, sources, modules)
}

function gib(bytes: number): string {
  return `${(bytes / GiB).toFixed(1)} GiB`
}

function existing(path: string): string {
  return existsSync(path) ? path : existing(dirname(path))
}
