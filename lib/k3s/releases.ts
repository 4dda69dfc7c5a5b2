import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fluxRelease } from '../flux/flux-install.ts'
import type { Cluster } from '../script/cluster.ts'
import { messageOf, UsageError } from '../script/errors.ts'
import { ROOT, readIfExists } from '../script/files.ts'

/** What is downloaded for a server. */
export const RELEASES = ['k3s', 'installer', 'images', 'flux', 'helm', 'velero', 'krew'] as const
export type ReleaseName = (typeof RELEASES)[number]

/** The architectures that all of them are released for, by Debian's names. */
export const ARCHITECTURES = ['amd64', 'arm64'] as const
export type Arch = (typeof ARCHITECTURES)[number]

type PerArch = string | Partial<Record<Arch, string>>
interface Entry {
  version: string
  url: PerArch
  sha256?: PerArch
  checksums?: string
  member?: string
}

/** A list of releases, install/releases.yaml or a cluster's own. */
export interface Releases {
  /** The file that it comes from. */
  file: string
  entries: Record<ReleaseName, Entry>
}

/** One download, with everything filled in. */
export interface Artifact {
  name: ReleaseName
  version: string
  url: string
  /** The last part of the URL, decoded: how it is called in a folder. */
  file: string
  /** What the download has to be. Where it is absent, `checksums` is there. */
  sha256?: string
  /** URL of the release's own list of checksums. */
  checksums?: string
  /** The program in an archive. */
  member?: string
}

/** The list of releases of a cluster: its own releases.yaml where it has one, else install/releases.yaml. */
export async function releasesFor(cluster: Pick<Cluster, 'folder'>): Promise<Releases> {
  const own = join(cluster.folder, 'releases.yaml')
  return loadReleases(readIfExists(own) === undefined ? undefined : own)
}

/** Reads a list of releases; install/releases.yaml by default. Throws a UsageError for a file of another form. */
export async function loadReleases(file = join(ROOT, 'install', 'releases.yaml')): Promise<Releases> {
  const { load } = await import('js-yaml')
  const flux = (await fluxRelease()).version
  try {
    return { file, entries: parseReleases(load(readFileSync(file, 'utf8')), flux) }
  } catch (error) {
    throw new UsageError(
      `${file} is not a list of releases: ${messageOf(error).split('\n')[0]}`,
      'correct it; install/releases.yaml shows the form',
    )
  }
}

/** Checks a list of releases and completes its versions. Pure; throws an Error that says what is wrong. */
export function parseReleases(value: unknown, fluxVersion: string): Record<ReleaseName, Entry> {
  const given = value as Record<string, Partial<Entry> | undefined>
  if (typeof given !== 'object' || given === null) throw new Error('a map of releases is expected')
  const inherited: Partial<Record<ReleaseName, string | undefined>> = {
    installer: given.k3s?.version,
    images: given.k3s?.version,
    flux: fluxVersion,
  }
  const entries = RELEASES.map(name => {
    const entry = given[name]
    const version = entry?.version ?? inherited[name]
    if (!entry?.url) throw new Error(`${name} has no url`)
    if (typeof version !== 'string' || !/^v\d/.test(version)) throw new Error(`${name} has no version`)
    if (!entry.sha256 && !entry.checksums) throw new Error(`${name} has neither sha256 nor checksums`)
    for (const sum of typeof entry.sha256 === 'object' ? Object.values(entry.sha256) : [entry.sha256])
      if (sum !== undefined && !/^[0-9a-f]{64}$/.test(sum))
        throw new Error(`a sha256 of ${name} is not a SHA-256 checksum`)
    return [name, { ...entry, version }]
  })
  return Object.fromEntries(entries)
}

/**
 * The downloads for an architecture. Another version of k3s than the listed one is held against its own release's
 * checksums; the installer stays the listed one. Pure; throws a UsageError for what the list does not have.
 */
export function artifactsOf(
  { file, entries }: Releases,
  arch: Arch,
  options: { k3sVersion?: string } = {},
): Record<ReleaseName, Artifact> {
  const { k3sVersion = entries.k3s.version } = options
  const artifacts = RELEASES.map(name => {
    const entry = entries[name]
    const isOther = (name === 'k3s' || name === 'images') && k3sVersion !== entry.version
    const version = isOther ? k3sVersion : entry.version
    const fill = (text: string, encode = (part: string) => part) =>
      text
        .replaceAll('{version}', encode(version))
        .replaceAll('{number}', encode(version.slice(1)))
        .replaceAll('{arch}', arch)
    const template = pick(entry.url, arch)
    const sha256 = isOther ? undefined : pick(entry.sha256, arch)
    const checksums = entry.checksums && fill(entry.checksums, encodeURIComponent)
    if (!template || (!sha256 && !checksums))
      throw new UsageError(
        `${file} has no ${template ? 'checksum' : 'url'} of ${name} ${version} for ${arch}`,
        'add it to that file',
      )
    const url = fill(template, encodeURIComponent)
    const artifact: Artifact = { name, version, url, file: fileNameOf(url), sha256, checksums }
    return [name, entry.member ? { ...artifact, member: fill(entry.member) } : artifact]
  })
  return Object.fromEntries(artifacts)
}

function pick(value: PerArch | undefined, arch: Arch): string | undefined {
  return typeof value === 'object' ? value[arch] : value
}

/** How the file behind a URL is called in a folder. */
export function fileNameOf(url: string): string {
  return decodeURIComponent(new URL(url).pathname.split('/').at(-1)!)
}

/** The same download at a mirror, which has it below the name of its host: MIRROR/github.com/PATH. Pure. */
export function mirrored(url: string, mirror: string | undefined): string {
  if (!mirror) return url
  const { host, pathname } = new URL(url)
  return `${mirror.replace(/(?<!\/)\/+$/, '')}/${host}${pathname}`
}

/** The checksum of a file in a list as sha256sum writes it; undefined when it is not in there. Pure. */
export function checksumIn(list: string, file: string): string | undefined {
  for (const line of list.split('\n')) {
    const [, sum, name] = /^([0-9a-f]{64})[ \t]+\*?(.+?)\r?$/i.exec(line) ?? []
    if (name?.split('/').at(-1) === file) return sum!.toLowerCase()
  }
  return undefined
}
