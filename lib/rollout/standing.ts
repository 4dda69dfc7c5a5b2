/** How far Kustomizations and their releases are: pure questions to a snapshot. */
import type { Index } from '../diagnosis/snapshot.ts'
import { handled, inventory, standing } from '../flux/flux.ts'
import type { KubeObject } from '../kubectl/kubectl.ts'

/** Where the Kustomizations of the platform are: those of the same names elsewhere are somebody else's. */
const PLATFORM = 'flux-system'

/** The Kustomizations of these names in a namespace, as far as they exist. Pure. */
export function kustomizationsOf(names: readonly string[], index: Index, namespace = PLATFORM): KubeObject[] {
  return index.within('Kustomization', namespace).filter(({ metadata }) => names.includes(metadata.name))
}

/** The HelmReleases that a Kustomization has applied, as far as they exist, and the names of those that do not. */
export function releasesOf(
  kustomization: KubeObject,
  index: Index,
): { found: KubeObject[]; absent: string[] } {
  const found: KubeObject[] = []
  const absent: string[] = []
  for (const { kind, namespace, name } of inventory(kustomization)) {
    if (kind !== 'HelmRelease') continue
    const release = index.get(kind, namespace, name)
    if (release) found.push(release)
    else absent.push(`${namespace}/${name}`)
  }
  return { found, absent }
}

/** The GitRepository that a Kustomization is built from, if it exists; without a namespace it is in the same one. Pure. */
export function gitSourceOf({ spec, metadata }: KubeObject, index: Index): KubeObject | undefined {
  const { namespace = metadata.namespace, name = '' } = spec?.sourceRef ?? {}
  return index.get('GitRepository', namespace, name)
}

/** Why a Kustomization is not ready, in words; undefined when it and all its releases are. Pure. */
export function unreadyReason(name: string, index: Index, namespace = PLATFORM): string | undefined {
  const kustomization = index.get('Kustomization', namespace, name)
  if (!kustomization) return 'does not exist'
  if (!handled(kustomization)) return 'has not been reconciled since that was requested'
  const { state, reason, message } = standing(kustomization)
  if (state !== 'ready') return `is not ready (${reason || state}): ${message.split('\n')[0]}`
  const source = gitSourceOf(kustomization, index)
  if (source && standing(source).state !== 'ready')
    return `waits for its source: ${standing(source).message.split('\n')[0]}`
  const revision = source?.status?.artifact?.revision
  if (revision && kustomization.status?.lastAppliedRevision !== revision) return `is not at ${revision} yet`
  const { found, absent } = releasesOf(kustomization, index)
  if (absent.length > 0) return `lacks HelmRelease ${absent.join(', ')}`
  const unready = found.find(release => standing(release).state !== 'ready')
  if (unready)
    return `waits for HelmRelease ${unready.metadata.name}: ${standing(unready).message.split('\n')[0]}`
  return undefined
}

/** One line on how far Kustomizations and their releases are. Pure. */
export function progressLine(names: readonly string[], index: Index, namespace = PLATFORM): string {
  const kustomizations = kustomizationsOf(names, index, namespace)
  const releases = kustomizations.flatMap(kustomization => releasesOf(kustomization, index).found)
  const ready = (objects: KubeObject[]) => objects.filter(object => standing(object).state === 'ready').length
  const waiting = [...kustomizations, ...releases]
    .filter(object => standing(object).state !== 'ready')
    .map(object => object.metadata.name)
  return [
    `Kustomizations ${ready(kustomizations)}/${names.length}`,
    `HelmReleases ${ready(releases)}/${releases.length}`,
    waiting.length > 0 ? `waiting for ${[...new Set(waiting)].slice(0, 6).join(', ')}` : '',
  ]
    .filter(Boolean)
    .join(' · ')
}

/**
 * The Kustomizations whose health check has failed by releases that are ready by now, as they are after a failure
 * was corrected: Flux would check again only after their retry interval. Pure.
 */
export function outdatedFailures(names: readonly string[], index: Index, namespace = PLATFORM): KubeObject[] {
  return kustomizationsOf(names, index, namespace).filter(kustomization => {
    const { state, reason } = standing(kustomization)
    if (state !== 'failed' || reason !== 'HealthCheckFailed') return false
    const { found, absent } = releasesOf(kustomization, index)
    return (
      found.length > 0 && absent.length === 0 && found.every(release => standing(release).state === 'ready')
    )
  })
}
