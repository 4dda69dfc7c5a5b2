/** Which pods and templates of workloads a label selector fits. */
import type { KubeObject } from '../../kubectl/kubectl.ts'
import { fits, type Selector } from '../../kubectl/selector.ts'
import type { Index } from '../snapshot.ts'
import { podsIn } from './workload-facts.ts'

const labelsOf = ({ kind, metadata, spec }: KubeObject) =>
  kind === 'Pod' ? metadata.labels : (spec?.template ?? spec?.jobTemplate?.spec?.template)?.metadata?.labels

const labelled = new WeakMap<Index, Map<string, Map<string, KubeObject[]>>>()

/** The pods and the templates of workloads in a namespace, by each of their labels; all of them by ''. */
function byLabel(namespace: string | undefined, index: Index): ReadonlyMap<string, readonly KubeObject[]> {
  const places = labelled.get(index) ?? new Map<string, Map<string, KubeObject[]>>()
  labelled.set(index, places)
  const known = places.get(namespace ?? '')
  if (known) return known
  const found = new Map<string, KubeObject[]>()
  const workloads = ['Deployment', 'StatefulSet', 'DaemonSet', 'CronJob', 'Job'].flatMap(kind =>
    index.within(kind, namespace),
  )
  for (const object of [...podsIn(namespace, index), ...workloads])
    for (const key of ['', ...Object.entries(labelsOf(object) ?? {}).map(pair => pair.join('='))]) {
      const list = found.get(key)
      if (list) list.push(object)
      else found.set(key, [object])
    }
  places.set(namespace ?? '', found)
  return found
}

/** The pods and the templates of workloads in a namespace that a selector fits. */
export function selected(
  selector: Selector | undefined,
  namespace: string | undefined,
  index: Index,
): KubeObject[] {
  const lists = Object.entries(selector?.matchLabels ?? {}).map(
    pair => byLabel(namespace, index).get(pair.join('=')) ?? [],
  )
  const fewest = [byLabel(namespace, index).get('') ?? [], ...lists].reduce((a, b) =>
    b.length < a.length ? b : a,
  )
  return fewest.filter(object => fits(selector, labelsOf(object)))
}
