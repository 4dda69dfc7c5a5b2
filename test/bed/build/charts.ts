import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { dump, load, loadAll } from 'js-yaml'
import { create, extract, list } from 'tar'
import type { KubeObject } from '../../../lib/kubectl/kubectl.ts'
import { ExpectedError, throwAll } from '../../../lib/script/errors.ts'
import { writeFileAtomic } from '../../../lib/script/files.ts'
import { archive } from './git.ts'

/** The fields of a Chart.yaml that we look at. */
interface ChartFile {
  name: string
  version: string
  annotations?: Record<string, string>
  [field: string]: unknown
}

/** A chart at the version to which a HelmRelease pins it. */
export interface Pin {
  chart: string
  version: string
  release: string
}

/** The annotation by which a stand-in chart asks for upstream CRDs: names of files in the bed's `crds/`. */
const CRDS = 'openappstack.net/crds'
const STAND_INS = 'test/bed/charts'
/** Archives and the index carry this date, so that the same charts are the same bytes every time. */
const DATE = new Date('2020-01-01T00:00:00Z')

/** The charts that the HelmReleases in these YAML texts pin, each chart and version once. Pure. */
export function pinnedCharts(texts: readonly string[]): Pin[] {
  const pins = new Map<string, Pin>()
  for (const text of texts) {
    if (!text.includes('kind: HelmRelease')) continue
    for (const object of loadAll(text) as (KubeObject | null)[]) {
      const spec = object?.kind === 'HelmRelease' ? object.spec?.chart?.spec : undefined
      if (!spec) continue
      const { chart, version } = spec
      pins.set(`${chart} ${version}`, { chart, version: String(version), release: object!.metadata.name })
    }
  }
  return [...pins.values()]
}

/** A Helm repository's index.yaml over chart archives. Pure. */
export function indexOf(charts: readonly { file: string; digest: string; chart: ChartFile }[]): string {
  const entries: Record<string, unknown[]> = {}
  for (const { file, digest, chart } of charts) {
    const entry = { ...chart, created: DATE.toISOString(), digest, urls: [file] }
    entries[chart.name] = [...(entries[chart.name] ?? []), entry]
  }
  return dump({ apiVersion: 'v1', generated: DATE.toISOString(), entries }, { lineWidth: -1, noRefs: true })
}

/** The charts that are served, and what is missing among those that the releases pin. */
export interface ServedCharts {
  charts: string[]
  /** Those of which another archive was served before, at the same version. */
  replaced: string[]
  missing: ExpectedError[]
}

/**
 * Fills the folder `charts` with a Helm repository for what the served commit pins: with the archives in
 * `given`, or with the stand-ins of the same commit, each stamped with its pinned version.
 */
export async function refreshCharts(options: {
  repository: string
  charts: string
  crds: string
  temporary: string
  given?: string
}): Promise<ServedCharts> {
  const work = join(options.temporary, 'charts')
  rmSync(work, { recursive: true, force: true })
  const packed = join(work, 'packed')
  mkdirSync(packed, { recursive: true })
  const tarball = join(work, 'source.tar')
  const found = await archive(options.repository, ['flux2', STAND_INS], tarball)
  if (found.length > 0) await extract({ file: tarball, cwd: work })
  const pins = pinnedCharts(yamlTexts(join(work, 'flux2')))

  if (options.given !== undefined)
    for (const name of readdirSync(options.given).filter(name => name.endsWith('.tgz')))
      cpSync(join(options.given, name), join(packed, name))
  else for (const pin of pins) await packStandIn(join(work, STAND_INS, pin.chart), pin, packed, options.crds)

  const charts = await Promise.all(
    readdirSync(packed)
      .sort()
      .map(async file => ({
        file,
        digest: digestOf(join(packed, file)),
        chart: await chartIn(join(packed, file)),
      })),
  )
  const have = new Set(charts.map(({ chart }) => `${chart.name} ${chart.version}`))
  mkdirSync(options.charts, { recursive: true })
  const before = servedBefore(join(options.charts, 'index.yaml'))
  const replaced = charts
    .map(({ chart, digest }) => ({ name: `${chart.name} ${chart.version}`, digest }))
    .filter(({ name, digest }) => before.has(name) && before.get(name) !== digest)
  for (const { file } of charts)
    writeFileAtomic(join(options.charts, file), readFileSync(join(packed, file)), 0o644)
  writeFileAtomic(join(options.charts, 'index.yaml'), indexOf(charts), 0o644)
  const kept = new Set([...charts.map(({ file }) => file), 'index.yaml'])
  for (const name of readdirSync(options.charts))
    if (!kept.has(name)) rmSync(join(options.charts, name), { force: true })
  rmSync(work, { recursive: true, force: true })
  return {
    charts: [...have],
    replaced: replaced.map(({ name }) => name),
    missing: pins
      .filter(({ chart, version }) => !have.has(`${chart} ${version}`))
      .map(pin => missingChart(pin, options.given)),
  }
}

/** The digests of the charts of an index, by name and version; none while there is no index. */
function servedBefore(index: string): Map<string, string> {
  if (!existsSync(index)) return new Map()
  const { entries } = load(readFileSync(index, 'utf8')) as {
    entries: Record<string, { name: string; version: string; digest: string }[]>
  }
  const charts = Object.values(entries).flat()
  return new Map(charts.map(({ name, version, digest }) => [`${name} ${version}`, digest]))
}

const digestOf = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex')

function missingChart({ chart, version, release }: Pin, given: string | undefined): ExpectedError {
  const what = `HelmRelease ${release} pins chart ${chart} ${version}`
  return given === undefined
    ? new ExpectedError(`${what}, which has no stand-in`, `add one in ${STAND_INS}/${chart}`)
    : new ExpectedError(`${what}, which is not in ${given}`, `put ${chart}-${version}.tgz there`)
}

function yamlTexts(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.yaml'))
    .map(name => readFileSync(join(folder, name), 'utf8'))
}

/** Packs a stand-in, if there is one, as the chart of this version. */
async function packStandIn(folder: string, pin: Pin, target: string, crds: string): Promise<void> {
  const path = join(folder, 'Chart.yaml')
  if (!existsSync(path)) return
  const chart = load(readFileSync(path, 'utf8')) as ChartFile
  writeFileAtomic(path, dump({ ...chart, version: pin.version }, { lineWidth: -1 }), 0o644)
  const sets = chart.annotations?.[CRDS]?.split(/[,\s]+/) ?? []
  throwAll(
    sets
      .filter(set => !existsSync(join(crds, `${set}.yaml`)))
      .map(
        set =>
          new ExpectedError(
            `the stand-in chart ${pin.chart} needs the CRDs of ${set}, which are unknown`,
            'see test/bed/data.json for the known ones',
          ),
      ),
  )
  mkdirSync(join(folder, 'crds'), { recursive: true })
  for (const set of sets) cpSync(join(crds, `${set}.yaml`), join(folder, 'crds', `${set}.yaml`))
  // What all stand-ins share, see test/bed/charts/README.md.
  const shared = join(folder, '..', '_shared')
  if (existsSync(shared)) cpSync(shared, join(folder, 'templates'), { recursive: true })
  await create(
    {
      gzip: { level: 6 },
      portable: true,
      mtime: DATE,
      file: join(target, `${pin.chart}-${pin.version}.tgz`),
      cwd: join(folder, '..'),
    },
    filesUnder(join(folder, '..'), pin.chart),
  )
}

/** All files below a folder, sorted: `tar` would take them in the order in which the disk has them. */
function filesUnder(base: string, folder: string): string[] {
  return readdirSync(join(base, folder), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name).slice(base.length + 1))
    .sort()
}

/** The Chart.yaml in an archive. */
async function chartIn(file: string): Promise<ChartFile> {
  const chunks: Buffer[] = []
  try {
    await list({
      file,
      onReadEntry: entry => {
        if (/^[^/]+\/Chart\.yaml$/.test(entry.path)) entry.on('data', chunk => chunks.push(chunk))
      },
    })
    const chart = load(Buffer.concat(chunks).toString()) as ChartFile
    if (typeof chart.name === 'string' && typeof chart.version === 'string') return chart
  } catch {
    // Reported below: it is not an archive, or its content is not YAML.
  }
  throw new ExpectedError(`${file} is not a Helm chart`, 'pack it again with `helm package`, or remove it')
}
