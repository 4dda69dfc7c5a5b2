import { compare, parse, type SemVer } from 'semver'
import { HELM_RELEASE, HELM_REPOSITORY } from '../../lib/flux/flux.ts'
import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { bodyText } from '../../lib/script/body.ts'
import { codeOf, messageOf } from '../../lib/script/errors.ts'

/** One release, the version of its chart, and the newest one that its repository offers. */
export interface ChartVersion {
  release: string
  chart: string
  version: string
  /** Undefined when the repository cannot be read, or does not offer the chart. */
  newest?: string
  behind: boolean
  repository: string
  /** Why `newest` is undefined. */
  gap?: string
}

/** What a repository offers, or why that is not known. */
type Index = { text: string } | { gap: string }

/** The largest index that is read; that of prometheus-community has about 10 MB. */
const LARGEST = 64 * 1024 * 1024

/** The chart of every release, with what its repository offers now: each index is fetched once. */
export async function chartVersions(kubectl: Kubectl, signal: AbortSignal): Promise<ChartVersion[]> {
  const [releases, repositories] = await Promise.all([
    kubectl.list(HELM_RELEASE.apiVersion, HELM_RELEASE.kind),
    kubectl.list(HELM_REPOSITORY.apiVersion, HELM_REPOSITORY.kind),
  ])
  const urls = new Map(repositories.map(({ metadata, spec }) => [metadata.name, spec.url as string]))
  const indexes = new Map<string, Promise<Index>>()
  const indexOf = (url: string) => {
    const fetched = indexes.get(url) ?? fetchIndex(url, signal)
    indexes.set(url, fetched)
    return fetched
  }
  const found = releases.map(async ({ metadata, spec }): Promise<ChartVersion> => {
    const { chart, version, sourceRef } = spec.chart.spec
    const repository = urls.get(sourceRef.name) ?? ''
    const index = repository
      ? await indexOf(repository)
      : { gap: `HelmRepository ${sourceRef.name} is missing` }
    const release = `${metadata.namespace}/${metadata.name}`
    return { release, chart, version, repository, ...judge(version, index, chart) }
  })
  return (await Promise.all(found)).sort((a, b) => a.release.localeCompare(b.release))
}

function judge(
  version: string,
  index: Index,
  chart: string,
): Pick<ChartVersion, 'newest' | 'behind' | 'gap'> {
  if ('gap' in index) return { behind: false, gap: index.gap }
  const newest = newestOf(versionsIn(index.text, chart))
  if (newest === undefined) return { behind: false, gap: 'the repository does not offer this chart' }
  const [now, then] = [read(newest), read(version)]
  return { newest, behind: now !== null && then !== null && compare(now, then) > 0 }
}

/** Some charts count like 11.07.0, which is not strictly a version. */
const read = (version: string): SemVer | null => parse(version, { loose: true })

/** The newest of these versions, those before a release left out. Pure. */
export function newestOf(versions: readonly string[]): string | undefined {
  const released = versions.filter(version => read(version)?.prerelease.length === 0)
  return released.sort((a, b) => compare(read(a)!, read(b)!)).at(-1)
}

/**
 * The versions of a chart in the index.yaml of a Helm repository. Read line by line, since the large ones take a
 * YAML parser many seconds: the entries of a chart are a list, and each has its `version` at its first level. Pure.
 * Source: https://helm.sh/docs/topics/chart_repository/#the-index-file
 */
export function versionsIn(index: string, chart: string): string[] {
  const versions: string[] = []
  let inside = false
  let item = -1 // how far the fields of an entry are indented
  for (const line of index.split('\n')) {
    const indent = line.length - line.trimStart().length
    const text = line.trim()
    if (indent <= 2 && /^[\w."'-]+:$/.test(text)) {
      inside = indent === 2 && text.replaceAll(/["':]/g, '') === chart
      item = -1
    } else if (inside && indent >= 2) {
      if (item < 0 && text.startsWith('- ')) item = indent + 2
      const field = text.startsWith('- ') && indent + 2 === item ? text.slice(2) : indent === item ? text : ''
      const version = /^version: *["']?([\w.+-]{1,100})["']?$/.exec(field)?.[1]
      if (version !== undefined) versions.push(version)
    }
  }
  return versions
}

async function fetchIndex(url: string, signal: AbortSignal): Promise<Index> {
  try {
    const response = await fetch(`${url.replace(/\/$/, '')}/index.yaml`, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(60_000)]),
    })
    if (!response.ok) return { gap: `HTTP ${response.status}` }
    return { text: await bodyText(response, LARGEST) }
  } catch (error) {
    signal.throwIfAborted()
    return { gap: codeOf(error) ?? messageOf(error) }
  }
}
