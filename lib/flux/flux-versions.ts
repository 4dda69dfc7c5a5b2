import type { Kubectl } from '../kubectl/kubectl.ts'
import { ExpectedError } from '../script/errors.ts'
import { GIT_REPOSITORY, HELM_CHART, HELM_RELEASE, HELM_REPOSITORY, KUSTOMIZATION } from './flux.ts'

/** A kind at one version of its API. */
export interface ServedKind {
  apiVersion: string
  kind: string
}

/** The kinds of Flux that the platform uses, each at the API version used for a cluster. */
export interface FluxKinds {
  gitRepository: ServedKind
  helmRepository: ServedKind
  helmChart: ServedKind
  kustomization: ServedKind
  helmRelease: ServedKind
}

/** The kinds as Flux 2.9 serves them. */
export const CURRENT_KINDS: FluxKinds = {
  gitRepository: GIT_REPOSITORY,
  helmRepository: HELM_REPOSITORY,
  helmChart: HELM_CHART,
  kustomization: KUSTOMIZATION,
  helmRelease: HELM_RELEASE,
}

/** The API versions that this toolkit supports, the newest first. Flux 0.14, of the platform's 0.6, has the last of each. */
const VERSIONS: Record<string, readonly string[]> = {
  'source.toolkit.fluxcd.io': ['v1', 'v1beta2', 'v1beta1'],
  'kustomize.toolkit.fluxcd.io': ['v1', 'v1beta2', 'v1beta1'],
  'helm.toolkit.fluxcd.io': ['v2', 'v2beta2', 'v2beta1'],
}

/** Every supported apiVersion of a kind, the newest first. Pure. */
export function apiVersionsOf({ apiVersion }: ServedKind): string[] {
  const group = apiVersion.split('/')[0]!
  return VERSIONS[group]!.map(version => `${group}/${version}`)
}

/**
 * The newest version of each kind among the served ones, given as a map from apiVersion to kinds. The newest one, since it
 * has every field that its controller knows; an older one beside it only hides some. Not every kind of a group is
 * served at the same versions (Flux 2.0 had GitRepository v1 and HelmChart v1beta2). Throws an ExpectedError that
 * names the kinds that are not served. Pure.
 */
export function newestServed(served: ReadonlyMap<string, ReadonlySet<string>>): FluxKinds {
  const absent: string[] = []
  const kinds = Object.fromEntries(
    Object.entries(CURRENT_KINDS).map(([name, { apiVersion, kind }]) => {
      const found = apiVersionsOf({ apiVersion, kind }).find(each => served.get(each)?.has(kind))
      if (!found) absent.push(kind)
      return [name, { apiVersion: found ?? apiVersion, kind }]
    }),
  )
  if (absent.length > 0)
    throw new ExpectedError(
      `the cluster does not serve ${absent.join(', ')} at a supported version: Flux is missing or incomplete`,
      'check that it is the right cluster: kubectl api-resources | grep fluxcd.io',
    )
  return kinds as unknown as FluxKinds
}

/** Asks the API server which versions of Flux's kinds it serves, and takes the newest of each. */
export async function servedKinds(kubectl: Kubectl): Promise<FluxKinds> {
  const versions = [...new Set(Object.values(CURRENT_KINDS).flatMap(apiVersionsOf))]
  const served = await Promise.all(
    versions.map(
      async (version): Promise<[string, ReadonlySet<string>]> => [version, await kubectl.kinds(version)],
    ),
  )
  return newestServed(new Map(served))
}
