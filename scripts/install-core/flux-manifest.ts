import { readFileSync } from 'node:fs'
import { FEATURE_GATES, type FluxRelease, fluxRelease } from '../../lib/flux/flux-install.ts'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { bodyBytes } from '../../lib/script/body.ts'
import { sha256 } from '../../lib/script/digest.ts'
import { codeOf, ExpectedError, messageOf } from '../../lib/script/errors.ts'

/** Bytes of the manifest: today's has 400 kB. */
const LARGEST = 16 << 20

/**
 * The objects of Flux's install manifest: from a file, or downloaded from the release and verified against the
 * recorded checksum. Throws an ExpectedError when it cannot be read, has another checksum, or is not a manifest.
 */
export async function loadFluxManifest(file: string | undefined): Promise<KubeObject[]> {
  const release = await fluxRelease()
  const objects = file
    ? await parseManifest(readManifest(file), file)
    : await parseManifest(await download(release), release.url)
  for (const object of objects) addFeatureGates(object)
  // Namespaces and CRDs come before the objects that need them.
  const rank = (object: KubeObject) => ['Namespace', 'CustomResourceDefinition'].indexOf(object.kind)
  return objects.sort((a, b) => (rank(a) < 0 ? 2 : rank(a)) - (rank(b) < 0 ? 2 : rank(b)))
}

function addFeatureGates({ kind, metadata, spec }: KubeObject): void {
  if (kind !== 'Deployment' || !['kustomize-controller', 'helm-controller'].includes(metadata.name)) return
  for (const container of spec?.template?.spec?.containers ?? [])
    if (!container.args?.some((arg: string) => arg.startsWith('--feature-gates')))
      container.args = [...(container.args ?? []), FEATURE_GATES]
}

function readManifest(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new ExpectedError(
      `the Flux manifest ${file} cannot be read: ${messageOf(error)}`,
      'give an existing file with --flux-manifest FILE',
      { cause: error },
    )
  }
}

async function download(release: FluxRelease): Promise<string> {
  let body: Buffer
  try {
    const response = await fetch(release.url, { signal: AbortSignal.timeout(60_000) })
    if (!response.ok) throw new Error(`HTTP ${response.status}`)
    body = await bodyBytes(response, LARGEST)
  } catch (error) {
    throw new ExpectedError(
      `Flux ${release.version} cannot be downloaded from ${release.url}: ${codeOf(error) ?? messageOf(error)}`,
      'without internet, fetch that file elsewhere and give it with --flux-manifest FILE',
      { cause: error },
    )
  }
  const sum = sha256(body)
  if (sum !== release.sha256)
    throw new ExpectedError(
      `the download of Flux ${release.version} has the checksum ${sum}, but ${release.sha256} is recorded`,
      'run the same command again (the download may be incomplete), or check the checksum in install/flux.yaml',
    )
  return body.toString('utf8')
}

async function parseManifest(text: string, name: string): Promise<KubeObject[]> {
  const { loadAll } = await import('js-yaml')
  const wrong = (what: string) =>
    new ExpectedError(
      `${name} is not an install manifest of Flux: ${what}`,
      'take install.yaml of a Flux release',
    )
  let objects: KubeObject[]
  try {
    objects = loadAll(text).filter(Boolean) as KubeObject[]
  } catch (error) {
    throw wrong(messageOf(error).split('\n')[0] ?? '')
  }
  if (objects.some(object => !object.kind || !object.apiVersion || !object.metadata?.name))
    throw wrong('it holds a document that is not a Kubernetes object')
  for (const name of ['source-controller', 'kustomize-controller', 'helm-controller'])
    if (!objects.some(object => object.kind === 'Deployment' && object.metadata.name === name))
      throw wrong(`it has no Deployment ${name}`)
  return objects
}
