import { linkSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../../../lib/script/files.ts'
import { type Building, builtSets } from '../build/build.ts'
import { cached, cacheKey } from '../build/cache.ts'
import { BED, NODE_SETS, SANDBOX } from '../build/programs.ts'
import { IMAGE_PROGRAMS } from '../server/images.ts'
import { makeImageFiles, makeReleaseFiles } from '../server/release-files.ts'

/** Where the stand-in for k3s finds on a server what k3s has inside of its binary (test/bed/k3s/version.go). */
const ON_SERVER = '/usr/lib/k3s-stand-in'
const ON_SERVER_PROGRAMS = [
  ...['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler'],
  ...['kubelet', 'kube-proxy', 'kubectl'],
]

/** Raise it when a change of images.ts or release-files.ts leads to other files from the same programs. */
const FILES_RECIPE = 3

/** What servers of the bed need to become Kubernetes nodes by what is downloaded. */
export interface NodeParts {
  /** For the servers: path there → path here. */
  binds: Record<string, string>
  /** The folders of release-files.ts. */
  releases: string
  images: string
}

/** The programs of a node and the files of the releases: from the cache, or built into it. */
export async function nodeParts(building: Building): Promise<NodeParts> {
  const folders = await builtSets(building, [SANDBOX, ...NODE_SETS])
  const paths = new Map(
    folders.flatMap(folder =>
      readdirSync(folder)
        .filter(name => name !== 'manifest.json')
        .map((name): [string, string] => [name, join(folder, name)]),
    ),
  )
  const pathOf = (name: string) => {
    const path = paths.get(name)
    if (!path) throw new Error(`no set of programs has ${name}`)
    return path
  }
  const damaged = (what: string) => building.progress(`the cache is damaged and is rebuilt: ${what}`)
  const options = { ...building, damaged }

  const programs = await cached(`node-${cacheKey(ON_SERVER_PROGRAMS.map(pathOf))}`, options, async folder => {
    // Links to the cache's own files: the servers see this folder alone, and it takes no room.
    for (const name of ON_SERVER_PROGRAMS) linkSync(pathOf(name), join(folder, name))
  })
  const text = (path: string) => readFileSync(path, 'utf8')
  const recipe = `recipe ${FILES_RECIPE}`
  const imagesKey = cacheKey([...IMAGE_PROGRAMS.map(pathOf), recipe])
  const images = await cached(`images-${imagesKey}`, options, async folder => {
    building.progress("building the images of the servers' pods (once)")
    await makeImageFiles(folder, pathOf)
  })
  const releasesKey = cacheKey([
    ...[images, pathOf('k3s'), text(join(BED, 'k3s/install.sh'))],
    ...['releases.yaml', 'flux.yaml'].map(name => text(join(ROOT, 'install', name))),
    recipe,
  ])
  const releases = await cached(`releases-${releasesKey}`, options, async folder => {
    building.progress("building the stand-ins for servers' downloads (once)")
    await makeReleaseFiles(folder, { k3s: pathOf('k3s'), images })
  })
  return { binds: { [ON_SERVER]: programs }, releases, images }
}
