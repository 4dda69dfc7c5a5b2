import { Index } from '../../lib/diagnosis/snapshot.ts'
import { inventory } from '../../lib/flux/flux.ts'
import type { FluxKinds } from '../../lib/flux/flux-versions.ts'
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
import { watched } from '../../lib/rollout/rollout.ts'

/** The HelmRelease of 0.6 that owns the secrets (docs 0.7.0, "Upgrading to 0.7.0"). */
export const OAS_SECRETS = 'oas-secrets'

/** What the upgrade looks at. */
export interface UpgradeFacts {
  index: Index
  /** The GitRepository that the platform comes from. */
  git?: KubeObject
  /** The HelmRelease that owns the secrets, as long as it exists. */
  owner?: KubeObject
  /** The names of the Kustomizations of flux-system that come from this GitRepository, those first that others depend on. */
  scope: string[]
}

/** Everything about Flux in a cluster of whatever age, read in one go. */
export async function gatherUpgradeFacts(kubectl: Kubectl, kinds: FluxKinds): Promise<UpgradeFacts> {
  return upgradeFacts(await watched(kubectl, kinds))
}

/** The facts, with what the upgrade needs picked out of them. Pure. */
export function upgradeFacts({ snapshot }: Index): UpgradeFacts {
  const releases = snapshot.objects.filter(({ kind }) => kind === 'HelmRelease')
  const objects = snapshot.objects.map(object =>
    object.kind === 'Kustomization' ? withInventory(object, releases) : object,
  )
  const index = new Index({ ...snapshot, objects })
  return {
    index,
    git: index.get('GitRepository', 'flux-system', 'openappstack'),
    owner: releases.find(({ metadata }) => metadata.name === OAS_SECRETS),
    scope: inOrderOfDependence(index.within('Kustomization', 'flux-system').filter(ofPlatform)),
  }
}

/** The Kustomization of a name in flux-system. */
export function kustomizationNamed(name: string, { index }: Pick<UpgradeFacts, 'index'>) {
  return index.get('Kustomization', 'flux-system', name)
}

/** Whether a Kustomization of flux-system is built from the platform's GitRepository. */
function ofPlatform({ spec }: KubeObject): boolean {
  const { kind, name, namespace = 'flux-system' } = spec?.sourceRef ?? {}
  return kind === 'GitRepository' && name === 'openappstack' && namespace === 'flux-system'
}

/** The Kustomization that has applied an object, by the labels that every version of Flux gives it. */
export function applierOf(object: KubeObject): { name: string; namespace: string } | undefined {
  const label = (key: string) => object.metadata.labels?.[`kustomize.toolkit.fluxcd.io/${key}`]
  const name = label('name')
  return name === undefined ? undefined : { name, namespace: label('namespace') ?? 'flux-system' }
}

/**
 * A Kustomization with an inventory. Those of v1beta1 have none, but a checksum for the labels of what they have
 * applied (https://github.com/fluxcd/kustomize-controller/blob/v0.12.2/controllers/kustomization_gc.go): of their
 * releases we make one.
 */
function withInventory(kustomization: KubeObject, releases: readonly KubeObject[]): KubeObject {
  if (kustomization.status?.inventory !== undefined || kustomization.status?.snapshot === undefined)
    return kustomization
  const { name, namespace } = kustomization.metadata
  const entries = releases
    .filter(release => {
      const applier = applierOf(release)
      return applier?.name === name && applier.namespace === namespace
    })
    .map(({ metadata }) => ({
      id: `${metadata.namespace}_${metadata.name}_helm.toolkit.fluxcd.io_HelmRelease`,
      v: 'v2beta1',
    }))
  return { ...kustomization, status: { ...kustomization.status, inventory: { entries } } }
}

/**
 * The names of Kustomizations, each after those that it depends on and after the one that has applied it. What
 * depends on itself in a circle, which Flux refuses, comes in the order found. Pure.
 */
export function inOrderOfDependence(kustomizations: readonly KubeObject[]): string[] {
  const byName = new Map(kustomizations.map(object => [object.metadata.name, object]))
  const ordered = new Set<string>()
  const visit = (name: string, above: readonly string[]) => {
    const object = byName.get(name)
    if (!object || ordered.has(name) || above.includes(name)) return
    const parent = applierOf(object)?.name
    const before = [...(parent ? [parent] : []), ...dependsOnNames(object)]
    for (const each of before) visit(each, [...above, name])
    ordered.add(name)
  }
  for (const name of [...byName.keys()].sort()) visit(name, [])
  return [...ordered]
}

/** The names of the Kustomizations of flux-system that one of them depends on: for others Flux itself waits. Pure. */
export function dependsOnNames(kustomization: KubeObject): string[] {
  return ((kustomization.spec?.dependsOn ?? []) as { name: string; namespace?: string }[])
    .filter(({ namespace = 'flux-system' }) => namespace === 'flux-system')
    .map(({ name }) => name)
}

/** Whether a Kustomization has applied this HelmRelease, by its inventory. */
export function applies(kustomization: KubeObject, release: KubeObject): boolean {
  return inventory(kustomization).some(
    ({ kind, name, namespace }) =>
      kind === 'HelmRelease' && name === release.metadata.name && namespace === release.metadata.namespace,
  )
}
