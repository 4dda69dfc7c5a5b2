import { createHash } from 'node:crypto'
import { appendFileSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { inc } from 'semver'
import { create } from 'tar'
import { parseDocument } from 'yaml'
import {
  type Artifact,
  artifactsOf,
  loadReleases,
  RELEASES,
  type ReleaseName,
} from '../../../lib/k3s/releases.ts'
import { writeFileAtomic } from '../../../lib/script/files.ts'
import { BED } from '../build/programs.ts'
import { IMAGE_PROGRAMS, makeLayers, saveImages } from './images.ts'

/** The images that k3s itself runs: its pods and pause. */
export const K3S_IMAGES = [
  'docker.io/rancher/mirrored-coredns-coredns:1.14.3',
  'docker.io/rancher/mirrored-pause:3.6',
]

/** The archive of these images. */
const ARCHIVE = 'images.tar.zst'

/** The line by which the stand-in for k3s knows which release it is (test/bed/k3s/version.go). */
const versionLine = (version: string) => `\nk3s stand-in version ${version}\n`

const STAND_IN = 'stand-in of the bed'
/** What the tools answer to every request: their version, in upstream's words. */
const TOOLS: Partial<Record<ReleaseName, (version: string) => string>> = {
  flux: version => `flux: ${version} (${STAND_IN})`,
  helm: version => `${version} (${STAND_IN})`,
  velero: version => `Client:\n\tVersion: ${version} (${STAND_IN})`,
  krew: version => `OPTION            VALUE\nGitTag            ${version} (${STAND_IN})`,
}

/** The next patch release of a version of k3s. Pure. */
export function newerK3s(version: string): string {
  const [kubernetes = '', build = 'k3s1'] = version.slice(1).split('+')
  return `v${inc(kubernetes, 'patch')}+${build}`
}

/** Makes the layers of all images, `layers.json` with their digests, and the archive of k3s' own images. */
export async function makeImageFiles(folder: string, pathOf: (program: string) => string): Promise<void> {
  rmSync(folder, { recursive: true, force: true })
  const programs = Object.fromEntries(IMAGE_PROGRAMS.map(name => [name, pathOf(name)]))
  const layers = await makeLayers(join(folder, 'layers'), programs)
  writeFileAtomic(join(folder, 'layers.json'), JSON.stringify(layers), 0o644)
  await saveImages(K3S_IMAGES, layers, join(folder, 'layers'), join(folder, ARCHIVE))
}

/**
 * Makes the files of the releases that install/releases.yaml names, as upstream calls them, with stand-ins in
 * them: `files/HOST/PATH`. Beside them: `releases.yaml` with the checksums of the stand-ins, and
 * `releases-newer.yaml` with the next version of k3s.
 */
export async function makeReleaseFiles(folder: string, from: { k3s: string; images: string }): Promise<void> {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const releases = await loadReleases()
  const pinned = releases.entries.k3s.version
  for (const version of [pinned, newerK3s(pinned)]) {
    const sums: Partial<Record<ReleaseName, string>> = {}
    const lists = new Map<string, string>()
    const listed = { ...releases.entries, k3s: { ...releases.entries.k3s, version } }
    for (const name of ['installer', 'images'] as const) listed[name] = { ...listed[name], version }
    const artifacts = artifactsOf({ ...releases, entries: listed }, 'amd64')
    for (const name of RELEASES) {
      const artifact = artifacts[name]
      const path = pathIn(folder, artifact.url)
      mkdirSync(dirname(path), { recursive: true })
      await makeArtifact(path, artifact, from)
      const content = readFileSync(path)
      const sum = createHash('sha256').update(content).digest('hex')
      sums[name] = sum
      const list = listOf(artifact)
      if (list) lists.set(list, `${lists.get(list) ?? ''}${sum}  ${artifact.file}\n`)
    }
    for (const [url, text] of lists) {
      mkdirSync(dirname(pathIn(folder, url)), { recursive: true })
      writeFileSync(pathIn(folder, url), text)
    }
    const name = version === pinned ? 'releases.yaml' : 'releases-newer.yaml'
    writeFileAtomic(join(folder, name), withSums(readFileSync(releases.file, 'utf8'), version, sums), 0o644)
  }
  writeFileAtomic(join(folder, 'newest-k3s'), newerK3s(pinned), 0o644)
  // What installs at once by a pipe, as k3s' own documentation shows it.
  const installer = join(folder, 'files/get.k3s.io/index')
  mkdirSync(dirname(installer), { recursive: true })
  copyFileSync(join(BED, 'k3s/install.sh'), installer)
}

/** The path of the file that a URL serves. */
function pathIn(folder: string, url: string): string {
  const { host, pathname } = new URL(url)
  return join(folder, 'files', host, ...decodeURIComponent(pathname).split('/'))
}

/** The release's own list of checksums; also for what has a pinned one, since k3s' installer asks for it. */
function listOf({ name, url, checksums }: Artifact): string | undefined {
  if (name === 'k3s' || name === 'images') return new URL('sha256sum-amd64.txt', url).href
  return checksums
}

async function makeArtifact(
  path: string,
  { name, version, member }: Artifact,
  from: { k3s: string; images: string },
): Promise<void> {
  if (name === 'k3s') {
    copyFileSync(from.k3s, path)
    appendFileSync(path, versionLine(version))
  } else if (name === 'installer') copyFileSync(join(BED, 'k3s/install.sh'), path)
  else if (name === 'images') copyFileSync(join(from.images, ARCHIVE), path)
  else {
    const work = `${path}.work`
    const program = join(work, member!)
    mkdirSync(dirname(program), { recursive: true })
    const answer = TOOLS[name]!(version)
    writeFileSync(program, `#!/bin/sh\ncat <<'ANSWER'\n${answer}\nANSWER\n`, { mode: 0o755 })
    const mtime = new Date('2020-01-01T00:00:00Z')
    // krew's archive has its members as ./NAME.
    const members = [member!.startsWith('./') ? `./${basename(member!)}` : member!]
    await create({ file: path, cwd: work, gzip: true, portable: true, mtime, prefix: '' }, members)
    rmSync(work, { recursive: true })
  }
}

/** The text of a list of releases with other checksums and another version of k3s. Pure. */
export function withSums(text: string, k3s: string, sums: Partial<Record<ReleaseName, string>>): string {
  const document = parseDocument(text)
  document.setIn(['k3s', 'version'], k3s)
  for (const [name, sum] of Object.entries(sums))
    if (document.hasIn([name, 'sha256'])) document.setIn([name, 'sha256'], { amd64: sum })
  return document.toString()
}
