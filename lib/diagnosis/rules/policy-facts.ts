/** Rules and peers of NetworkPolicies: whom and what they admit, and what else may admit it. */
import { type KubeObject, refOf } from '../../kubectl/kubectl.ts'
import { fits, type Selector } from '../../kubectl/selector.ts'
import type { Finding } from '../finding.ts'
import { keyOf } from '../graph.ts'
import type { Index } from '../snapshot.ts'
import { selected } from './selected.ts'
import { workloadOf } from './workload-facts.ts'

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

/** One rule on what the pods of a policy send. */
export interface OutwardRule {
  to?: Peer[]
  ports?: Port[]
}

/** A port of a rule. */
export interface Port {
  port?: number | string
  protocol?: string
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

/**
 * Whether a peer of a policy fits any pod but those that the policy guards, or a workload that would have such pods: one
 * that is scaled to 0 tells that itself.
 */
export function admitsSomebody(
  peer: Peer,
  guarded: readonly KubeObject[],
  own: string | undefined,
  index: Index,
): boolean {
  const { podSelector, namespaceSelector } = peer
  const owners = new Set(guarded.map(pod => workloadOf(pod, index)))
  // Pods of several workloads under one policy may be meant to reach each other.
  const several = owners.size > 1
  const namespaces = namespaceSelector
    ? index
        .all('Namespace')
        .filter(({ metadata }) =>
          fits(namespaceSelector, { 'kubernetes.io/metadata.name': metadata.name, ...metadata.labels }),
        )
        .map(({ metadata }) => metadata.name)
    : [own]
  return namespaces.some(namespace =>
    selected(podSelector, namespace, index).some(
      object => several || !(guarded.includes(object) || owners.has(object)),
    ),
  )
}

/** Whether a program says itself that it suffers from a policy. */
export const isFelt = (policy: KubeObject, told: readonly Finding[]) =>
  told.some(({ causedBy = [] }) => causedBy.some(ref => keyOf(ref) === keyOf(refOf(policy))))

/**
 * Whether policies of another API may admit what one of Kubernetes does not, so that nothing is certain as long as no
 * program suffers: those of Cilium add up with it, those of Calico and of administrators may go first. Not the
 * baseline of administrators, which comes last, nor what guards hosts alone.
 * Sources: https://docs.cilium.io/en/stable/network/kubernetes/policy/,
 * https://docs.tigera.io/calico/latest/network-policy/policy-tiers/tiered-policy,
 * https://network-policy-api.sigs.k8s.io/api-overview/
 */
export const mayBeAdmitted = (policy: KubeObject, index: Index, told: readonly Finding[]) =>
  !isFelt(policy, told) &&
  index
    .kinds()
    .filter(kind => /NetworkPolicy/.test(kind) && !/^(Baseline|NetworkPolicy$)/.test(kind))
    .flatMap(kind => [...index.within(kind, undefined), ...index.within(kind, policy.metadata.namespace)])
    .some(({ spec }) => !spec?.nodeSelector)

/** Whether a release or a Kustomization has brought an object, of Flux or of Helm by hand. */
export const isBrought = ({ metadata }: KubeObject) =>
  metadata.annotations?.['meta.helm.sh/release-name'] !== undefined ||
  ['helm', 'kustomize'].some(kind => metadata.labels?.[`${kind}.toolkit.fluxcd.io/name`] !== undefined)
