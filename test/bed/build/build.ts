import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { ExpectedError } from '../../../lib/script/errors.ts'
import { cached, cacheFolder, cacheKey, damageOf } from './cache.ts'
import { GO_ENVIRONMENT, goVersion, runGo } from './go.ts'
import { withLock } from './lock.ts'
import {
  BED,
  builtName,
  type Program,
  type ProgramSet,
  readGoMod,
  requiredVersion,
  SANDBOX,
} from './programs.ts'
import { run } from './shell.ts'

/** How a build reports its progress, and how it is interrupted. */
export interface Building {
  progress: (text: string) => void
  waiting: (holder: string) => void
  signal?: AbortSignal
}

const GiB = 2 ** 30
/**
 * Measured: Go's build cache grows to 4.6 GiB for the sandbox alone and to 6.6 GiB for all sets, a call of `go build` a
 * module; the programs of all sets have 1.2 GiB.
 */
const neededToBuild = (groups: number) => (5 + 0.6 * groups) * GiB
/** Measured: the sources of all modules have 4.2 GiB. */
const NEEDED_FOR_SOURCES = 5 * GiB
/** Packages that are compiled in a minute: on two idle cores, and on two busy ones. */
const [FAST, SLOW] = [500, 70]
/** Milliseconds from one report of the progress to the next. */
const TELL = 3000

/**
 * The flags of the build. Without a version Kubernetes calls itself v0.0.0-master, and charts refuse to be
 * installed on that. `variables` are those that a set needs with another value.
 */
export function buildFlags(kubernetes: string, variables: ProgramSet['variables'] = {}): string[] {
  const [major, minor] = kubernetes.replace(/^v/, '').split('.')
  const set = (name: string, value: string | undefined) => `-X k8s.io/component-base/version.${name}=${value}`
  const ldflags = [
    '-s',
    '-w',
    set('gitVersion', kubernetes),
    set('gitMajor', major),
    set('gitMinor', minor),
    set('gitTreeState', 'clean'),
    ...Object.entries(variables).map(([name, value]) => `-X ${name}=${value}`),
  ]
  return ['-mod=readonly', '-trimpath', `-ldflags=${ldflags.join(' ')}`]
}

/**
 * The folders of these sets, in their order: from the cache, or built into it. All that is missing is built
 * together: one progress, one build cache of Go, so that nothing that two sets share is compiled twice, and as few
 * calls of `go build` as the sets allow. The build cache is dropped at the end; interrupted, it is kept, and the
 * next build continues.
 */
export async function builtSets(building: Building, sets: readonly ProgramSet[]): Promise<string[]> {
  const kubernetes = requiredVersion(readGoMod(), 'k8s.io/kubernetes')
  const version = await goVersion()
  const wanted = sets.map(set => {
    const flags = buildFlags(kubernetes, set.variables)
    return { set, flags, entry: `programs-${keyOfSet(set, flags, version)}` }
  })
  const missing = async () => {
    const damages = await Promise.all(wanted.map(({ entry }) => damageOf(join(cacheFolder(), entry))))
    const all = wanted.filter((_, i) => damages[i] !== undefined)
    return all.filter(({ entry }, i) => all.findIndex(other => other.entry === entry) === i)
  }
  const goCache = join(cacheFolder(), 'go-build')
  if ((await missing()).length > 0)
    await withLock(goCache, building, async () => {
      const left = await missing() // another process may have built some of them while we waited
      await buildMissing(left, goCache, building)
      rmSync(goCache, { recursive: true, force: true })
    })
  return wanted.map(({ entry }) => join(cacheFolder(), entry))
}

/** The folder of the programs of one set, as `builtSets` has it. */
export async function builtPrograms(building: Building, set: ProgramSet = SANDBOX): Promise<string> {
  const [folder] = await builtSets(building, [set])
  return folder!
}

/** Of everything that a set is built from: a changed version leads to a new build, an old checkout finds its own. */
function keyOfSet(set: ProgramSet, flags: readonly string[], version: string): string {
  return cacheKey([
    ...['go.mod', 'go.sum'].map(name => readFileSync(join(set.folder, name), 'utf8')),
    ...(set.folder === BED ? [] : ownSources(set.folder)),
    ...flags,
    ...set.programs.map(({ package: path }) => path),
    ...(set.tags ? [set.tags] : []),
    ...(set.trimmed ? [readFileSync(join(set.folder, set.trimmed.with), 'utf8')] : []),
    `${process.platform} ${process.arch} ${version}`,
  ])
}

/** The text of every Go file of a module of ours. */
function ownSources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.go'))
    .sort()
    .map(name => readFileSync(join(folder, name), 'utf8'))
}

/** A set, and the name of its folder in the cache. */
interface Missing {
  set: ProgramSet
  /** Those of its build. */
  flags: readonly string[]
  entry: string
}

/** Those sets together that one `go build` can build: of one module, with no file name twice. Pure. */
export function groupsOf<T extends { set: ProgramSet }>(missing: readonly T[]): T[][] {
  const groups: T[][] = []
  const files = (each: T) => each.set.programs.map(({ package: path }) => builtName(path))
  for (const each of missing) {
    const fits = (group: T[]) =>
      group.every(
        other =>
          other.set.folder === each.set.folder &&
          !(other.set.alone || each.set.alone) &&
          !files(other).some(file => files(each).includes(file)),
      )
    const group = groups.find(fits)
    if (group) group.push(each)
    else groups.push([each])
  }
  return groups
}

async function buildMissing(missing: readonly Missing[], goCache: string, building: Building): Promise<void> {
  if (missing.length === 0) return
  const { progress, signal } = building
  const groups = groupsOf(missing).map(sets => {
    const programs = sets.flatMap(({ set }) => set.programs)
    return { sets, folder: sets[0]!.set.folder, programs, units: new Set<string>() }
  })
  mkdirSync(goCache, { recursive: true })
  await checkSpace(goCache, neededToBuild(groups.length))
  const work = join(cacheFolder(), 'go-work')
  rmSync(work, { recursive: true, force: true })
  const env = { GOCACHE: goCache, GOTMPDIR: join(work, 'tmp') }
  mkdirSync(env.GOTMPDIR, { recursive: true })

  progress('fetching the sources of the programs (once; up to 1 GB)')
  const packages = (programs: readonly Program[]) => programs.map(({ package: path }) => path)
  for (const { folder, programs, units, sets } of groups)
    await runGo(
      ['list', '-mod=readonly', ...(await moduleFlags(sets[0]!.set, work)), '-deps', ...packages(programs)],
      {
        ...{ cwd: folder, env, signal },
        line: line => units.add(unitOf(folder, line)),
      },
    )
  const all = new Set(groups.flatMap(({ units }) => [...units]))
  const names = groups.flatMap(({ programs }) => programs.map(({ name }) => name)).join(', ')
  progress(`building ${names} (once; ${Math.ceil(all.size / FAST)} to ${Math.ceil(all.size / SLOW)} minutes)`)

  const began = performance.now()
  const done = new Set<string>()
  let told = began
  const tell = () => {
    const now = performance.now()
    if (now - told < TELL) return
    told = now
    progress(buildProgress(Math.floor((100 * done.size) / all.size), now - began))
  }
  for (const { sets, folder, programs, units } of groups) {
    const out = join(work, 'out')
    await runGo(
      [
        'build',
        '-v',
        ...sets[0]!.flags,
        ...(await moduleFlags(sets[0]!.set, work)),
        '-o',
        `${out}/`,
        ...packages(programs),
      ],
      {
        ...{ cwd: folder, env, signal },
        line: line => {
          const unit = unitOf(folder, line)
          if (all.has(unit)) done.add(unit)
          tell()
        },
      },
    )
    const damaged = (what: string) => progress(`the cache is damaged and is rebuilt: ${what}`)
    for (const { set, entry } of sets)
      await cached(entry, { ...building, damaged }, async into => {
        for (const { name, package: path } of set.programs)
          renameSync(join(out, builtName(path)), join(into, name))
      })
    // Go names only what it compiles, and not what an interrupted build has left.
    for (const unit of units) done.add(unit)
  }
  rmSync(work, { recursive: true, force: true })
}

/** What the module of a set is built with: its tags, and its trimmed dependency. */
async function moduleFlags(set: ProgramSet, work: string): Promise<string[]> {
  return [...(set.tags ? ['-tags', set.tags] : []), ...(await trimmedModule(set, work))]
}

/**
 * The flag with which Go builds a set from a copy of one of its modules that has a file of ours; nothing for other sets.
 * (Go refuses overlays of its module cache.)
 */
async function trimmedModule({ folder, trimmed }: ProgramSet, work: string): Promise<string[]> {
  if (!trimmed) return []
  const name = basename(folder)
  const [copy, mod] = [join(work, `${name}-trimmed`), join(work, `${name}.mod`)]
  if (!existsSync(mod)) {
    const options = { cwd: folder, env: GO_ENVIRONMENT, timeout: 600_000 }
    const { Dir } = JSON.parse(await run('go', ['mod', 'download', '-json', trimmed.module], options))
    cpSync(Dir, copy, { recursive: true })
    for (const each of readdirSync(copy, { recursive: true, encoding: 'utf8' }))
      chmodSync(join(copy, each), 0o700)
    cpSync(join(folder, trimmed.with), join(copy, trimmed.file))
    cpSync(join(folder, 'go.sum'), join(work, `${name}.sum`))
    const own = readFileSync(join(folder, 'go.mod'), 'utf8')
    writeFileSync(mod, `${own}\nreplace ${trimmed.module} => ${copy}\n`)
  }
  return [`-modfile=${mod}`]
}

/** What is compiled once: a package of Go itself for all modules, any other for each, since versions differ. */
function unitOf(folder: string, path: string): string {
  return /^(vendor\/|[^./]+(\/|$))/.test(path) ? path : `${folder} ${path}`
}

/** How far a build is, and how long it will take if it goes on like this. Pure. */
export function buildProgress(percent: number, elapsed: number): string {
  // The first packages are small: an estimate made from them would be far off.
  if (percent < 3) return `building: ${percent} %`
  if (percent >= 100) return 'building: 100 %, linking the last programs'
  const minutes = Math.ceil((elapsed * (100 - percent)) / percent / 60_000)
  return `building: ${percent} %, about ${minutes} min left`
}

/** Throws when a disk has too little free space, and says how much is needed where. */
async function checkSpace(folder: string, build: number): Promise<void> {
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
        `${where} has ${gib(free)} of free space, and the build needs ${gib(needed)} there`,
        `free some space, or set OAS_CACHE_DIR to a folder on another disk (now ${cacheFolder()})`,
      )
  }
  check(here.bavail * here.bsize, build + (same ? sources : 0), folder)
  check(there.bavail * there.bsize, sources, modules)
}

function gib(bytes: number): string {
  return `${(bytes / GiB).toFixed(1)} GiB`
}

function existing(path: string): string {
  return existsSync(path) ? path : existing(dirname(path))
}
