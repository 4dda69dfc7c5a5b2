import { createHash } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { create } from 'tar'
import { writeFileAtomic } from '../../../lib/script/files.ts'
import { run } from '../build/shell.ts'

/** A layer of an image: an archive that is not compressed. */
export interface Layer {
  /** Its name in the folder of the layers. */
  file: string
  digest: string
  size: number
}

/** What an image is made of. */
interface Recipe {
  /** The program besides busybox. */
  program: string
  /** How it is called. */
  entrypoint: string[]
  user?: string
}

/** What a registry and an archive hold of an image. */
export interface Image {
  config: Buffer
  manifest: Buffer
  layers: Layer[]
}

/** Programs of the bed that run in pods. */
export const IMAGE_PROGRAMS = [
  'app',
  'coredns',
  'local-path-provisioner',
  'source-controller',
  'kustomize-controller',
  'helm-controller',
] as const

/** The same bytes every time: the archives carry this date. */
const DATE = new Date('2020-01-01T00:00:00Z')

/** The names by which charts call the programs that the stand-in plays. */
export const PLAYED: readonly string[] = [
  ...['/pause', '/manager', '/velero', '/cron.sh'],
  ...['hydra', 'kratos', 'curl', 'wp', 'node', 'python3'].map(name => `/usr/bin/${name}`),
]

/** The image of this name, as far as the bed has it: the real program, or the stand-in for it. Pure. */
export function recipeFor(name: string): Recipe {
  const repository = name.replace(/[:@].*$/, '').replace(/^[^/]*[.:][^/]*\//, '')
  const last = basename(repository)
  if (repository.startsWith('fluxcd/') && (IMAGE_PROGRAMS as readonly string[]).includes(last))
    return { program: last, entrypoint: [`/usr/bin/${last}`], user: '65534:65534' }
  if (last === 'local-path-provisioner') return { program: last, entrypoint: [`/usr/bin/${last}`] }
  if (last === 'coredns' || last === 'mirrored-coredns-coredns')
    return { program: 'coredns', entrypoint: ['/usr/bin/coredns'] }
  if (last === 'pause' || last === 'mirrored-pause') return { program: 'app', entrypoint: ['/pause'] }
  return { program: 'app', entrypoint: ['/usr/bin/app'] }
}

/** Configuration and manifest (OCI image specification) of the image of this name. Pure. */
export function imageOf(name: string, layers: Readonly<Record<string, Layer>>): Image {
  const { program, entrypoint, user } = recipeFor(name)
  return imageFrom([layers.base!, layers[program]!], { entrypoint, user, env: [`STAND_IN_FOR=${name}`] })
}

/** An image of these layers, and how it is started. Pure. */
export function imageFrom(
  parts: Layer[],
  { entrypoint, user, env = [] }: { entrypoint: string[]; user?: string; env?: string[] },
): Image {
  const config = Buffer.from(
    JSON.stringify({
      created: DATE.toISOString(),
      architecture: 'amd64',
      os: 'linux',
      config: {
        Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...env],
        Entrypoint: entrypoint,
        ...(user ? { User: user } : {}),
      },
      rootfs: { type: 'layers', diff_ids: parts.map(({ digest }) => digest) },
    }),
  )
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest: contentDigest(config),
        size: config.length,
      },
      layers: parts.map(({ digest, size }) => ({
        mediaType: 'application/vnd.oci.image.layer.v1.tar',
        digest,
        size,
      })),
    }),
  )
  return { config, manifest, layers: parts }
}

/** A digest as registries write it. */
export function contentDigest(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}

/** Makes the layers in a folder: busybox for all images, and each program by itself. */
export async function makeLayers(
  folder: string,
  programs: Readonly<Record<string, string>>,
): Promise<Record<string, Layer>> {
  mkdirSync(folder, { recursive: true })
  const layers: Record<string, Layer> = {}
  const make = async (name: string, fill: (root: string) => void) => {
    const root = join(folder, `${name}.root`)
    rmSync(root, { recursive: true, force: true })
    mkdirSync(join(root, 'usr/bin'), { recursive: true })
    fill(root)
    layers[name] = await layerOf(root, name)
    rmSync(root, { recursive: true })
  }
  layers.base = await baseLayer(folder)
  for (const [name, path] of Object.entries(programs))
    await make(name, root => {
      copyFileSync(path, join(root, 'usr/bin', name))
      chmodSync(join(root, 'usr/bin', name), 0o755)
      for (const played of name === 'app' ? PLAYED : []) {
        mkdirSync(dirname(join(root, played)), { recursive: true })
        symlinkSync('/usr/bin/app', join(root, played))
      }
    })
  return layers
}

/**
 * Makes a folder a layer, beside it: the same bytes for the same files. By GNU tar: that of Node leaves a root of Debian
 * unfinished, without an error.
 */
export async function layerOf(root: string, name: string): Promise<Layer> {
  const file = `${name}.tar`
  const path = join(dirname(root), file)
  const same = ['--sort=name', `--mtime=${DATE.toISOString()}`, '--owner=0', '--group=0', '--numeric-owner']
  await run('tar', ['--create', `--file=${path}`, `--directory=${root}`, ...same, '.'], { timeout: 600_000 })
  const content = readFileSync(path)
  return { file, digest: contentDigest(content), size: content.length }
}

/** The layer below all programs: Debian's static busybox, and the few files that programs expect. */
export async function baseLayer(folder: string): Promise<Layer> {
  const root = join(folder, 'base.root')
  rmSync(root, { recursive: true, force: true })
  mkdirSync(join(root, 'usr/bin'), { recursive: true })
  await fillBase(root)
  const layer = await layerOf(root, 'base')
  rmSync(root, { recursive: true })
  return layer
}

async function fillBase(root: string): Promise<void> {
  mkdirSync(join(root, 'etc'))
  mkdirSync(join(root, 'tmp'))
  chmodSync(join(root, 'tmp'), 0o1777)
  symlinkSync('usr/bin', join(root, 'bin'))
  writeFileAtomic(
    join(root, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n',
    0o644,
  )
  writeFileAtomic(join(root, 'etc/group'), 'root:x:0:\nnogroup:x:65534:\n', 0o644)
  const fix = 'install busybox (Debian: `apt-get install busybox-static`) and run this again'
  const applets = await run('/bin/busybox', ['--list'], { fix })
  copyFileSync('/bin/busybox', join(root, 'usr/bin/busybox'))
  for (const applet of applets.split('\n'))
    if (applet !== 'busybox') symlinkSync('busybox', join(root, 'usr/bin', applet))
}

/**
 * Writes images to an archive as `docker save` makes them, which `ctr images import` and k3s' folder for images
 * take; compressed as k3s' own archives are.
 */
export async function saveImages(
  names: readonly string[],
  layers: Readonly<Record<string, Layer>>,
  folder: string,
  target: string,
): Promise<void> {
  const images = Object.fromEntries(names.map(name => [name, imageOf(name, layers)]))
  await saveArchive(images, folder, `${target}.tar`)
  await run('zstd', ['--quiet', '--force', '--rm', '-3', `${target}.tar`, '-o', target])
}

/** Writes such an archive of images by their names, whose layers are in the folder; not compressed. */
export async function saveArchive(
  images: Readonly<Record<string, Image>>,
  folder: string,
  target: string,
): Promise<void> {
  const work = `${target}.work`
  rmSync(work, { recursive: true, force: true })
  mkdirSync(work, { recursive: true })
  const entries = Object.entries(images).map(([name, { config, layers: parts }]) => {
    const file = `${contentDigest(config).slice('sha256:'.length)}.json`
    writeFileAtomic(join(work, file), config, 0o644)
    for (const part of parts)
      if (!statSync(join(work, part.file), { throwIfNoEntry: false }))
        linkSync(join(folder, part.file), join(work, part.file))
    return { Config: file, RepoTags: [name], Layers: parts.map(part => part.file) }
  })
  writeFileAtomic(join(work, 'manifest.json'), JSON.stringify(entries), 0o644)
  await create({ file: target, cwd: work, portable: true, mtime: DATE }, ['.'])
  rmSync(work, { recursive: true })
}
