import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { dump, loadAll } from 'js-yaml'
import type { KubeObject } from '../../../lib/kubectl/kubectl.ts'
import { ExpectedError } from '../../../lib/script/errors.ts'
import { writeFileAtomic } from '../../../lib/script/files.ts'
import { CONTROLLERS, fluxManifest } from './flux-manifest.ts'
import { GO_ENVIRONMENT } from './go.ts'
import { BED } from './programs.ts'
import { run } from './shell.ts'

/** A module of test/bed/data.json. */
interface DataModule {
  module: string
  version: string
  sum: string
  path: string
}

/** test/bed/data.json: which files we take from which module. */
export function dataModules(): { flux: DataModule; crds: Record<string, DataModule> } {
  return JSON.parse(readFileSync(join(BED, 'data.json'), 'utf8'))
}

/** What `go mod download -json` says about a module. */
interface Downloaded {
  Path: string
  Version: string
  Dir: string
  Sum: string
  Error?: string
}

/**
 * Takes the files that come with the Go modules (not committed here, since they are upstream's) into
 * `folder`: Flux's install manifest, kwok's CRDs and Stages for pods, and the CRDs that stand-in charts carry.
 */
export async function buildData(folder: string): Promise<void> {
  const download = async (args: string[]) => {
    const output = await run('go', ['mod', 'download', '-json', ...args], {
      cwd: BED,
      env: GO_ENVIRONMENT,
      timeout: 600_000,
      fix: 'check the network and GOPROXY (`go env GOPROXY`), then run it again',
    })
    // A stream of JSON documents, one a module.
    return output.split(/^(?=\{)/m).map(document => JSON.parse(document) as Downloaded)
  }
  const { flux, crds } = dataModules()
  const wanted = [flux, ...Object.values(crds)]
  const kwok = 'sigs.k8s.io/kwok'
  const controllers = CONTROLLERS.map(name => `github.com/fluxcd/${name}`)
  const found = [
    // These are in go.mod, and go.sum vouches for them.
    ...(await download([kwok, ...controllers])),
    ...(await download(wanted.map(({ module, version }) => `${module}@${version}`))),
  ]
  for (const { module, version, sum } of wanted) {
    const got = found.find(({ Path, Version }) => Path === module && Version === version)
    if (got?.Sum !== sum)
      throw new ExpectedError(
        `${module} ${version} has the checksum ${got?.Sum}, and test/bed/data.json expects ${sum}`,
        'find out who changed this released module before you continue',
      )
  }
  const dirOf = (module: string) => {
    const { Dir } = found.find(({ Path }) => Path === module)!
    return (path: string) => readObjects(join(Dir, path))
  }

  mkdirSync(join(folder, 'crds'), { recursive: true })
  const write = (name: string, objects: readonly KubeObject[]) =>
    writeFileAtomic(join(folder, name), yamlOf(objects), 0o644)
  for (const [name, { module, path }] of Object.entries(crds))
    write(`crds/${name}.yaml`, dirOf(module)(path).map(withoutDescriptions))
  const kwokFiles = dirOf(kwok)
  write(
    'kwok-crd.yaml',
    ['stages', 'logs', 'clusterexecs'].flatMap(name =>
      kwokFiles(`kustomize/crd/bases/kwok.x-k8s.io_${name}.yaml`),
    ),
  )
  write(
    'kwok-stages.yaml',
    ['pod-ready', 'pod-complete', 'pod-delete'].flatMap(name =>
      kwokFiles(`kustomize/stage/pod/fast/${name}.yaml`),
    ),
  )
  const manifest = fluxManifest({
    version: flux.version,
    install: dirOf(flux.module),
    controllers: CONTROLLERS.map(name => ({
      name,
      version: found.find(({ Path }) => Path === `github.com/fluxcd/${name}`)!.Version,
      files: dirOf(`github.com/fluxcd/${name}`),
    })),
  })
  write('flux.yaml', manifest)
  // As JSON, since `up` reads it every time.
  const fluxCrds = manifest.filter(({ kind }) => kind === 'CustomResourceDefinition')
  writeFileAtomic(join(folder, 'flux-crds.json'), JSON.stringify(fluxCrds), 0o644)
}

/** The objects in a YAML file, or in all YAML files of a folder. Kustomize's own files are left out. */
export function readObjects(path: string): KubeObject[] {
  if (statSync(path).isDirectory())
    return readdirSync(path)
      .filter(name => /\.ya?ml$/.test(name) && name !== 'kustomization.yaml')
      .sort()
      .flatMap(name => readObjects(join(path, name)))
  return loadAll(readFileSync(path, 'utf8')).filter(document => document !== null) as KubeObject[]
}

/**
 * A CRD without the prose of its schema, which is nine tenths of it: a Helm release keeps its chart's files in
 * one Secret, and that may not grow over 1 MiB.
 */
export function withoutDescriptions(crd: KubeObject): KubeObject {
  const strip = (node: unknown, inProperties: boolean): unknown => {
    if (Array.isArray(node)) return node.map(item => strip(item, false))
    if (typeof node !== 'object' || node === null) return node
    return Object.fromEntries(
      Object.entries(node)
        // A property may itself be called `description`; then it is an object.
        .filter(([key, value]) => inProperties || key !== 'description' || typeof value !== 'string')
        .map(([key, value]) => [key, strip(value, !inProperties && key === 'properties')]),
    )
  }
  return strip(crd, false) as KubeObject
}

/** Objects as one YAML stream. */
export function yamlOf(objects: readonly unknown[]): string {
  return objects.map(object => `---\n${dump(object, { lineWidth: -1, noRefs: true })}`).join('')
}
