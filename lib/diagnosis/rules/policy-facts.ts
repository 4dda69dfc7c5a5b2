/** Selectors and peers of NetworkPolicies: whom they fit, and whom they admit. */
import type { KubeObject } from '../../kubectl/kubectl.ts'
import type { Index } from '../snapshot.ts'

/** A label selector. */
export interface Selector {
  matchLabels?: Record<string, string>
  matchExpressions?: { key: string; operator: string; values?: string[] }[]
}

/** Whether labels fit a selector; an empty one fits all. Pure. */
export function fits(selector: Selector | undefined, labels: Record<string, string> = {}): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector ?? {}
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key]
      if (operator === 'Exists') return value !== undefined
      if (operator === 'DoesNotExist') return value === undefined
      const within = value !== undefined && values.includes(value)
      return operator === 'In' ? within : !within
    })
  )
}

/** Whether a selector names nothing. */
export const selectsAll = (selector: Selector | undefined) =>
  Object.keys(selector?.matchLabels ?? {}).length + (selector?.matchExpressions ?? []).length === 0

/** A selector in words. */
export const selectorText = ({ matchLabels = {}, matchExpressions = [] }: Selector) =>
  [
    ...Object.entries(matchLabels).map(([key, value]) => `${key}=${value}`),
    ...matchExpressions.map(({ key, operator, values = [] }) =>
      `${key} ${operator} ${values.join(',')}`.trim(),
    ),
  ].join(', ')

/** Who is admitted. */
export interface Peer {
  podSelector?: Selector
  namespaceSelector?: Selector
  ipBlock?: object
}

/** One rule on requests to the pods of a policy. */
export interface InwardRule {
  from?: Peer[]
  ports?: { port?: number | string; endPort?: number }[]
}

/** What a policy says of requests to its pods; undefined when it says nothing of them. */
export function inwardRules({ spec }: KubeObject): InwardRule[] | undefined {
  return (spec?.policyTypes ?? ['Ingress']).includes('Ingress') ? (spec?.ingress ?? []) : undefined
}

/** Whether a rule lets requests through to a port of a pod, by its number or its name; to any where none is known. */
export function opens({ ports }: InwardRule, wanted: readonly (number | string)[]): boolean {
  return (
    !ports?.length ||
    wanted.length === 0 ||
    ports.some(
      ({ port, endPort }) =>
        port === undefined ||
        wanted.some(
          each =>
            each === port ||
            (typeof each === 'number' &&
              typeof port === 'number' &&
              each >= port &&
              each <= (endPort ?? port)),
        ),
    )
  )
}

/** Whether a rule admits everybody, or addresses outside of the cluster. */
export const admitsAll = ({ from }: InwardRule) => !from?.length || from.some(peer => peer.ipBlock)

/** Whether a peer of a policy in a namespace fits a pod. */
export function admits(
  { podSelector, namespaceSelector }: Peer,
  pod: KubeObject,
  own: string | undefined,
  index: Index,
) {
  const { namespace = '', labels } = pod.metadata
  const place = {
    'kubernetes.io/metadata.name': namespace,
    ...index.get('Namespace', undefined, namespace)?.metadata.labels,
  }
  return (
    (namespaceSelector ? fits(namespaceSelector, place) : namespace === own) &&
    (!podSelector || fits(podSelector, labels))
  )
}
