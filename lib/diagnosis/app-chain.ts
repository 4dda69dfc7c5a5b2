import { standing } from '../flux/flux.ts'
import { type KubeObject, type Ref, refOf } from '../kubectl/kubectl.ts'
import { targetNamed } from '../logs/target.ts'
import type { RootCause } from './finding.ts'
import { dependenciesOf, keyOf, reach } from './graph.ts'
import { kustomizationOf } from './rules/workload-facts.ts'
import type { Index } from './snapshot.ts'

/** From what an application comes down to what it runs on. */
export const APP_LAYERS = [
  'GitRepository',
  'Kustomization',
  'HelmRepository',
  'HelmChart',
  'HelmRelease',
  'Deployment',
  'StatefulSet',
  'DaemonSet',
  'Job',
  'Pod',
  'PersistentVolumeClaim',
  'Node',
]

/** Everything that an application depends on. */
export interface AppChain {
  name: string
  /** From the top to the bottom. */
  refs: readonly Ref[]
}

/**
 * What the application, the part of the core or the release of this name depends on: its Kustomization, what
 * that is made of and what it applies, down to the nodes. Of what it waits for only the part that is not ready.
 * Throws as `logs` does for a name that is not known. Pure.
 */
export function appChainOf(name: string, index: Index): AppChain {
  const kustomizations = index.all('Kustomization')
  const target = targetNamed(name, kustomizations, index.all('HelmRelease'))
  const above: Ref[] = []
  const starts = kustomizations.filter(({ metadata }) => metadata.name === target.kustomization)
  for (const { namespace, name } of target.releases) {
    const release = index.get('HelmRelease', namespace, name)
    if (!release) continue
    if (!target.kustomization) above.push(...ownersOf(release, index))
    starts.push(release)
  }
  return { name, refs: sorted([...above, ...below(starts.map(refOf), index)]) }
}

/** The Kustomization that has applied a release, and the source of that. */
function ownersOf(release: KubeObject, index: Index): Ref[] {
  const owner = kustomizationOf(release, index)
  if (!owner) return []
  const source = dependenciesOf(owner, index).filter(({ kind }) => kind === 'GitRepository')
  return [refOf(owner), ...source]
}

function below(starts: readonly Ref[], index: Index): Ref[] {
  const first = new Set(starts.map(keyOf))
  // A Kustomization that it waits for and that is ready is not a matter of this application.
  return reach(
    starts,
    index,
    object =>
      object.kind === 'Kustomization' &&
      !first.has(keyOf(refOf(object))) &&
      standing(object).state === 'ready',
  )
}

function sorted(refs: readonly Ref[]): Ref[] {
  const rank = ({ kind }: Ref) => {
    const layer = APP_LAYERS.indexOf(kind)
    return layer < 0 ? APP_LAYERS.indexOf('HelmRelease') : layer
  }
  const once = new Map(refs.map(ref => [keyOf(ref), ref]))
  return [...once.values()].sort((a, b) => rank(a) - rank(b) || keyOf(a).localeCompare(keyOf(b)))
}

/** Whether a cause lies in a chain, or something in it does not work because of the cause. Pure. */
export function concernsApp(cause: RootCause, chain: AppChain): boolean {
  const keys = new Set(chain.refs.map(keyOf))
  return [cause, ...cause.explains].some(({ subject }) => keys.has(keyOf(subject)))
}
