/** What an application consists of in the cluster: what Flux removes with it, and what stays. */
import { quantity } from '../../lib/diagnosis/rules/quantity.ts'
import { HELM_RELEASE, type InventoryEntry, inventory, KUSTOMIZATION, standing } from '../../lib/flux/flux.ts'
import { deployedRelease, releaseName } from '../../lib/flux/stored-release.ts'
import type { Kubectl, KubeObject, Ref } from '../../lib/kubectl/kubectl.ts'
import { type KubeletSummary, kubeletSummaries } from '../../lib/kubectl/kubelet-stats.ts'
import { isOverride, sourcesOf } from '../../lib/platform/overrides.ts'
import { type CatalogueEntry, generatedKeysOf, loadCatalogue, secretRef } from '../../lib/platform/secrets.ts'

/** The label of a volume claim whose application was removed: the value is the application. */
export const KEPT_OF = 'openappstack.net/kept-of'

/** A volume claim of an application. */
export interface AppClaim {
  object: KubeObject
  /** As it was requested: `5Gi`. */
  size: string
  /** Bytes in use, where a kubelet tells those of this volume alone. */
  used?: number
  /** Helm would delete it together with the release. */
  lost: boolean
}

/** What was found of an application. */
export interface AppSurvey {
  app: string
  kustomization: KubeObject | undefined
  releases: KubeObject[]
  /** What Flux has applied, by kind. */
  applied: InventoryEntry[]
  claims: AppClaim[]
  /** Names of overrides, `KIND NAMESPACE/NAME`. */
  overrides: string[]
  /** Kustomizations that wait for this one. */
  dependents: string[]
  /** Those of the catalogue that the cluster has: Secrets that belong to it alone, and its keys in the shared ones. */
  secrets: CatalogueEntry[]
}

/** The Kustomization of an application. */
export function kustomizationRef(app: string): Ref {
  return { ...KUSTOMIZATION, namespace: 'flux-system', name: app }
}

/** Reads what there is of an application. Changes nothing. */
export async function surveyApp(kubectl: Kubectl, app: string): Promise<AppSurvey> {
  const [kustomization, kustomizations, allReleases, claims, sets, summaries, catalogue] = await Promise.all([
    kubectl.get(kustomizationRef(app)),
    kubectl.list(KUSTOMIZATION.apiVersion, KUSTOMIZATION.kind),
    kubectl.list(HELM_RELEASE.apiVersion, HELM_RELEASE.kind),
    kubectl.list('v1', 'PersistentVolumeClaim'),
    kubectl.list('apps/v1', 'StatefulSet'),
    kubeletSummaries(kubectl),
    loadCatalogue(),
  ])
  const releases = allReleases.filter(
    ({ metadata }) => metadata.labels?.['kustomize.toolkit.fluxcd.io/name'] === app,
  )
  const removed = await removedClaims(kubectl, releases)
  const own = claimsOf(app, { releases, claims, sets })
  return {
    app,
    kustomization,
    releases,
    applied: kustomization ? inventory(kustomization) : [],
    claims: own.map(object => {
      const place = placeOf(object)
      return {
        object,
        size: object.spec?.resources?.requests?.storage ?? '?',
        used: usedBytes(object, summaries),
        lost: removed.has(place),
      }
    }),
    overrides: await overridesOf(kubectl, releases),
    dependents: kustomizations
      .filter(({ spec }) => spec?.dependsOn?.some((each: { name?: string }) => each.name === app))
      .map(({ metadata }) => metadata.name),
    secrets: await generatedSecrets(
      kubectl,
      catalogue.filter(entry => entry.app === app),
    ),
  }
}

/** The entries of which the cluster has a generated value. */
async function generatedSecrets(
  kubectl: Kubectl,
  entries: readonly CatalogueEntry[],
): Promise<CatalogueEntry[]> {
  const found = await Promise.all(entries.map(entry => kubectl.get(secretRef(entry))))
  return entries.filter((entry, i) => generatedKeysOf(entry).some(key => found[i]?.data?.[key] !== undefined))
}

/** `namespace/name` of an object. */
export function placeOf({ metadata }: KubeObject): string {
  return `${metadata.namespace}/${metadata.name}`
}

/**
 * The claims of an application: those that its releases have created, those of their StatefulSets, and those that
 * were kept when it was removed. Pure.
 */
export function claimsOf(
  app: string,
  found: { releases: readonly KubeObject[]; claims: readonly KubeObject[]; sets: readonly KubeObject[] },
): KubeObject[] {
  const released = new Set(
    found.releases.map(
      release => `${release.spec?.targetNamespace ?? release.metadata.namespace}/${releaseName(release)}`,
    ),
  )
  const isOf = ({ metadata }: KubeObject) => {
    const name = metadata.annotations?.['meta.helm.sh/release-name']
    const namespace = metadata.annotations?.['meta.helm.sh/release-namespace'] ?? metadata.namespace
    return name !== undefined && released.has(`${namespace}/${name}`)
  }
  const prefixes = found.sets
    .filter(isOf)
    .flatMap(set =>
      (set.spec?.volumeClaimTemplates ?? []).map(
        (template: KubeObject) => `${set.metadata.namespace}/${template.metadata.name}-${set.metadata.name}-`,
      ),
    )
  const isOfSet = (claim: KubeObject) =>
    prefixes.some(
      prefix => placeOf(claim).startsWith(prefix) && /^\d+$/.test(placeOf(claim).slice(prefix.length)),
    )
  return found.claims.filter(
    claim => claim.metadata.labels?.[KEPT_OF] === app || isOf(claim) || isOfSet(claim),
  )
}

/** The claims that Helm deletes together with a release: those in its manifest that it is not told to keep. */
async function removedClaims(kubectl: Kubectl, releases: readonly KubeObject[]): Promise<Set<string>> {
  const places = new Set<string>()
  for (const release of releases) {
    const stored = await deployedRelease(kubectl, release)
    if (!stored?.manifest) continue
    const { loadAll } = await import('js-yaml')
    const namespace = release.spec?.targetNamespace ?? release.metadata.namespace
    for (const object of loadAll(stored.manifest) as (KubeObject | null)[])
      if (
        object?.kind === 'PersistentVolumeClaim' &&
        object.metadata.annotations?.['helm.sh/resource-policy'] !== 'keep'
      )
        places.add(`${object.metadata.namespace ?? namespace}/${object.metadata.name}`)
  }
  return places
}

/** The overrides of these releases. */
async function overridesOf(kubectl: Kubectl, releases: readonly KubeObject[]): Promise<string[]> {
  const found: string[] = []
  for (const release of releases)
    for (const { kind, name } of sourcesOf(release).filter(isOverride)) {
      const { namespace } = release.metadata
      if (await kubectl.get({ apiVersion: 'v1', kind, name, namespace }))
        found.push(`${kind} ${namespace}/${name}`)
    }
  return found
}

/**
 * Bytes in use of a claim, where a kubelet tells them. It measures the file system of a volume: of a folder on the disk
 * of the server it says nothing (hostPath), or what the whole disk holds (local), which is left out. Pure.
 * Source: Kubernetes' pkg/volume/hostpath (MetricsNil) and pkg/volume/local (MetricsStatFS).
 */
export function usedBytes(claim: KubeObject, summaries: readonly KubeletSummary[]): number | undefined {
  const provided = quantity(claim.status?.capacity?.storage ?? claim.spec?.resources?.requests?.storage)
  for (const { node, pods = [] } of summaries)
    for (const { pvcRef, usedBytes: used, capacityBytes = 0 } of pods.flatMap(pod => pod.volume ?? [])) {
      if (!pvcRef || `${pvcRef.namespace}/${pvcRef.name}` !== placeOf(claim)) continue
      const isDisk = capacityBytes === node?.fs?.capacityBytes || capacityBytes > provided * 1.1
      return isDisk ? undefined : used
    }
  return undefined
}

/** Whether an object of Flux does not delete what it has made: it is suspended. */
export function isHeld(object: KubeObject): boolean {
  return standing(object).state === 'suspended'
}
