/** What a pod requests of a node, and what the nodes have left. */
import { isOver } from '../../kubectl/claims.ts'
import type { KubeObject } from '../../kubectl/kubectl.ts'
import { sizeText } from '../../script/size.ts'
import type { Index } from '../snapshot.ts'
import { quantity } from './quantity.ts'

/** What a pod requests of something, by its containers: an init container counts when it requests more than all. */
function requested(pod: KubeObject, resource: string): number {
  // biome-ignore lint/suspicious/noExplicitAny: a Container
  const of = (container: any) => quantity(container?.resources?.requests?.[resource])
  const all = ((pod.spec?.containers ?? []) as unknown[]).reduce((sum: number, each) => sum + of(each), 0)
  return Math.max(all, ...(pod.spec?.initContainers ?? []).map(of))
}

/** The init container that requests more of something than all other containers together, if one does. */
function initAsking(pod: KubeObject, resource: string): string | undefined {
  type Asking = { name?: string; resources?: { requests?: Record<string, unknown> } }
  const most = requested(pod, resource)
  const others = requested({ ...pod, spec: { ...pod.spec, initContainers: [] } }, resource)
  if (others >= most) return undefined
  return ((pod.spec?.initContainers ?? []) as Asking[]).find(
    ({ resources }) => quantity(resources?.requests?.[resource]) === most,
  )?.name
}

const free = new WeakMap<Index, Map<string, number[]>>()

/** What each node has left of a resource: looked up for many pods, computed once. */
function freeOf(resource: string, nodes: readonly KubeObject[], index: Index): number[] {
  const known = free.get(index) ?? new Map<string, number[]>()
  free.set(index, known)
  const before = known.get(resource)
  if (before) return before
  const taken = new Map<string, number>()
  for (const pod of index.all('Pod')) {
    const { nodeName } = pod.spec ?? {}
    if (!nodeName || isOver(pod)) continue
    taken.set(nodeName, (taken.get(nodeName) ?? 0) + requested(pod, resource))
  }
  const amounts = nodes.map(
    ({ metadata, status }) => quantity(status?.allocatable?.[resource]) - (taken.get(metadata.name) ?? 0),
  )
  known.set(resource, amounts)
  return amounts
}

/** An amount of a resource in words. */
const amountText = (resource: string, amount: number) =>
  resource === 'cpu'
    ? amount >= 10
      ? String(Math.round(amount))
      : `${Math.round(amount * 1000)}m`
    : /^(memory|ephemeral-storage|hugepages-)/.test(resource)
      ? sizeText(amount)
      : String(amount)

/** What a pod requests that no node has, even when it is empty, with the figures. */
export function beyondAll(
  pod: KubeObject,
  resources: readonly string[],
  nodes: readonly KubeObject[],
): string[] {
  return [...new Set(resources)].flatMap(resource => {
    const most = Math.max(0, ...nodes.map(({ status }) => quantity(status?.allocatable?.[resource])))
    const wanted = requested(pod, resource)
    if (resource === 'pods' || most === 0 || wanted <= most) return []
    const text = (amount: number) => (resource === 'cpu' ? String(amount) : amountText(resource, amount))
    const init = initAsking(pod, resource)
    return [
      `${resource} ${text(wanted)}${init ? ` by its init container ${init}` : ''}, and the largest node has ${text(most)}`,
    ]
  })
}

/** What is wanted and what is free of each resource, on the node with the most room. */
export function room(
  pod: KubeObject,
  resources: readonly string[],
  nodes: readonly KubeObject[],
  index: Index,
): string[] {
  return [...new Set(resources)].flatMap(resource => {
    if (resource === 'pods') return []
    const left = freeOf(resource, nodes, index)
    const text = (amount: number) => amountText(resource, amount)
    return [`${resource}: ${text(requested(pod, resource))} requested, ${text(Math.max(0, ...left))} free`]
  })
}
