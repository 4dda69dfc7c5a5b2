/** NetworkPolicies that keep requests from the pods that they guard. */
import { type KubeObject, refOf } from '../../kubectl/kubectl.ts'
import { fits, selectorText, selectsAll } from '../../kubectl/selector.ts'
import { each, type Finding, type Rule, tell } from '../finding.ts'
import { backendsOf, keyOf, leadsTo } from '../graph.ts'
import type { Index } from '../snapshot.ts'
import {
  admits,
  admitsAll,
  admitsSomebody,
  inwardRules,
  isBrought,
  mayBeAdmitted,
  opens,
  type Peer,
} from './policy-facts.ts'
import { selected } from './selected.ts'
import { usersOf } from './services.ts'
import { describing, podsIn, podsOf, since } from './workload-facts.ts'

/**
 * Pods behind an Ingress that the ingress controller may not reach: a policy guards them, and none of those that do
 * admits it.
 */
const ingressBlocked: Rule = (index, told = []) => {
  const controllers = podsOf(index).filter(({ metadata }) =>
    ['traefik', 'ingress-nginx'].includes(metadata.labels?.['app.kubernetes.io/name'] ?? ''),
  )
  if (index.blind('Namespace')) return []
  const found = new Map<
    KubeObject,
    { ingress: KubeObject; why: 'peer' | 'port'; wanted: (number | string)[] }
  >()
  for (const ingress of index.all('Ingress'))
    for (const { name = '' } of backendsOf(ingress)) {
      const { namespace, creationTimestamp } = ingress.metadata
      const { policies, rules, wanted } = guardsOf(index.get('Service', namespace, name), index)
      if (since(index, creationTimestamp) < 600) continue
      const admitted = rules.filter(
        rule =>
          admitsAll(rule) ||
          controllers.length === 0 ||
          rule.from?.some(peer => controllers.some(each => admits(peer, each, namespace, index))),
      )
      const why =
        admitted.length === 0 && controllers.length > 0
          ? 'peer'
          : admitted.length > 0 && !admitted.some(rule => opens(rule, wanted))
            ? 'port'
            : undefined
      const [policy] = policies
      if (!policy || !why || found.has(policy) || mayBeAdmitted(policy, index, told)) continue
      found.set(policy, { ingress, why, wanted })
    }
  return [...found].map(
    ([policy, { ingress, why, wanted }]): Finding =>
      tell(policy, {
        rule: 'policy-blocks-ingress',
        cause: `it blocks the ingress controller from the pods behind Ingress ${ingress.metadata.name}: requests time out`,
        evidence: controllers
          .slice(0, 1)
          .map(({ metadata }) => `the ingress controller is Pod ${metadata.namespace}/${metadata.name}`),
        text:
          why === 'port'
            ? `correct the ports of its ingress rules: the pods listen on port ${wanted.join(' or ')}`
            : `admit the ingress controller: an ingress rule from namespace ${controllers[0]?.metadata.namespace}`,
        command: `kubectl -n ${policy.metadata.namespace} edit networkpolicy ${policy.metadata.name}`,
      }),
  )
}

/** Policies that open other ports than those on which the pods behind a Service listen. */
const otherPorts: Rule = (index, told = []) => {
  const known = new Set(told.map(({ subject }) => keyOf(subject)))
  const found = new Map<KubeObject, Finding>()
  for (const service of index.all('Service')) {
    const { namespace, name } = service.metadata
    const { policies, rules, wanted } = guardsOf(service, index)
    const policy = policies[0]
    if (!policy || rules.length === 0 || wanted.length === 0 || rules.some(rule => opens(rule, wanted)))
      continue
    if (since(index, policy.metadata.creationTimestamp) < 600 || isBrought(policy)) continue
    if (known.has(keyOf(refOf(policy))) || mayBeAdmitted(policy, index, told)) continue
    if (isShutOnPurpose(service, policy, index)) continue
    const opened = rules.flatMap(({ ports = [] }) => ports.flatMap(({ port }) => port ?? []))
    found.set(
      policy,
      tell(policy, {
        rule: 'policy-blocks-port',
        cause: `it opens port ${opened.join(', ')}, and the pods behind Service ${name} listen on ${wanted.join(' or ')}: requests time out`,
        text: `correct the ports of its ingress rules: the pods listen on port ${wanted.join(' or ')}`,
        command: `kubectl -n ${namespace} edit networkpolicy ${policy.metadata.name}`,
      }),
    )
  }
  return [...found.values()]
}

/** Ports of metrics: where a policy opens these alone, for what collects them, the others were forgotten. */
const METRICS = /metric|monitor|prometheus|exporter|telemetry/

/** Whether a policy opens another Service of the same pods, and no webhook or Ingress waits for answers of this one. */
const isShutOnPurpose = (service: KubeObject, policy: KubeObject, index: Index) =>
  usersOf(service, index).length === 0 &&
  index.within('Service', service.metadata.namespace).some(other => {
    const { policies, rules, wanted } = guardsOf(other, index)
    const isOpen = policies.includes(policy) && wanted.length > 0 && rules.some(rule => opens(rule, wanted))
    return isOpen && !METRICS.test(JSON.stringify([other.metadata.name, wanted]))
  })

/** The policies on requests to the pods behind a Service, their rules, and the ports on which these listen. */
function guardsOf(service: KubeObject | undefined, index: Index) {
  const all = service ? index.within('NetworkPolicy', service.metadata.namespace) : []
  const pod =
    all.length > 0 && service
      ? podsIn(service.metadata.namespace, index).find(({ metadata }) => leadsTo(service, metadata.labels))
      : undefined
  const policies = all.filter(
    policy => pod && inwardRules(policy) && fits(policy.spec?.podSelector, pod.metadata.labels),
  )
  const rules = policies.flatMap(policy => inwardRules(policy) ?? [])
  return { policies, rules, wanted: pod ? portsOf(service, pod) : [] }
}

/** The ports of a pod to which a Service leads, by number and by name. */
function portsOf(service: KubeObject | undefined, pod: KubeObject): (number | string)[] {
  const listed = (
    (pod.spec?.containers ?? []) as { ports?: { name?: string; containerPort?: number }[] }[]
  ).flatMap(({ ports }) => ports ?? [])
  const led = ((service?.spec?.ports ?? []) as { port?: number; targetPort?: number | string }[]).flatMap(
    ({ port, targetPort = port }) => {
      const same = listed.find(each => each.name === targetPort || each.containerPort === targetPort)
      return [targetPort, same?.containerPort, same?.name].filter(each => each !== undefined)
    },
  )
  return [...new Set(led)]
}

/** Policies that admit nobody who exists: whoever sends requests to their pods is cut off. */
const cutOff = each('NetworkPolicy', (policy, index, told) => {
  const { namespace, creationTimestamp } = policy.metadata
  const ingress = inwardRules(policy)
  if (!ingress || since(index, creationTimestamp) < 600 || index.blind('Namespace')) return undefined
  if (ingress.some(admitsAll) || mayBeAdmitted(policy, index, told)) return undefined
  const guarded = selected(policy.spec?.podSelector, namespace, index).filter(({ kind }) => kind === 'Pod')
  const peers = ingress.flatMap(({ from }) => from ?? [])
  const served = isServed(guarded, index)
  // Where no Service leads, nobody may be meant; whom it names and who does not exist was mistaken.
  if (guarded.length === 0 || (!served && (peers.length === 0 || isBrought(policy)))) return undefined
  if (peers.some(peer => admitsSomebody(peer, guarded, namespace, index))) return undefined
  // Another policy may admit others: policies add up.
  const others = index
    .within('NetworkPolicy', namespace)
    .filter(other => other !== policy && (other.spec?.ingress ?? []).length > 0)
  const shut = guarded.filter(
    ({ metadata }) => !others.some(other => fits(other.spec?.podSelector, metadata.labels)),
  )
  if (shut.length < guarded.length) return shutFrom(policy, shut, index, told)
  const wanted = peers.map(peer =>
    selectorText({ ...(peer.namespaceSelector ?? {}), ...(peer.podSelector ?? {}) }),
  )
  const elsewhere = elsewhereOf(peers, namespace, index)
  const what =
    wanted.length > 0
      ? `it admits only ${wanted.join(' or ')}${elsewhere ? ` of its own namespace, and those pods are in namespace ${elsewhere}` : ', and no other pod has that label'}`
      : 'it admits nobody, and no other policy does'
  return {
    rule: 'policy-admits-nobody',
    verdict: served ? 'broken' : 'warning',
    cause: `${what}: its pods are cut off`,
    evidence: guarded.slice(0, 3).map(pod => `it selects Pod ${pod.metadata.namespace}/${pod.metadata.name}`),
    text: elsewhere
      ? `add a namespaceSelector (kubernetes.io/metadata.name: ${elsewhere}) to that podSelector, in one item of the list`
      : 'correct the labels that it admits, or label the pods or the namespace that have to pass',
    command: describing(policy),
  }
})

/**
 * A policy that admits nobody to some of its pods, where no other policy does: it is told when somebody says that what
 * leads to them does not answer.
 */
function shutFrom(
  policy: KubeObject,
  shut: readonly KubeObject[],
  index: Index,
  told: readonly Finding[],
): Finding[] {
  const missed = index
    .within('Service', policy.metadata.namespace)
    .find(
      service =>
        shut.some(({ metadata }) => leadsTo(service, metadata.labels)) &&
        told.some(({ causedBy = [] }) => causedBy.some(ref => keyOf(ref) === keyOf(refOf(service)))),
    )
  if (!missed) return []
  const pod = shut.find(({ metadata }) => leadsTo(missed, metadata.labels))!
  return [
    tell(policy, {
      rule: 'policy-admits-nobody',
      cause: `it admits nobody to Pod ${pod.metadata.namespace}/${pod.metadata.name}, and no other policy does: requests to Service ${missed.metadata.name} time out`,
      text: `allow requests to the pods of Service ${missed.metadata.name} by a NetworkPolicy (from ipBlock, or from anywhere to that port: the API server, which asks webhooks, is not a pod)`,
      command: `kubectl -n ${policy.metadata.namespace} edit networkpolicy ${policy.metadata.name}`,
    }),
    tell(missed, {
      rule: 'service-shut-off',
      cause: `NetworkPolicy ${policy.metadata.name} lets no requests through to its pods`,
      text: 'see that NetworkPolicy',
      symptom: true,
      causedBy: [refOf(policy)],
    }),
  ]
}

/** The namespace of pods that a peer without a namespaceSelector fits: alone it means its own namespace. */
const elsewhereOf = (peers: readonly Peer[], own: string | undefined, index: Index): string | undefined =>
  peers
    .filter(peer => peer.podSelector && !peer.namespaceSelector && !selectsAll(peer.podSelector))
    .flatMap(({ podSelector }) =>
      podsOf(index).filter(
        ({ metadata }) => metadata.namespace !== own && fits(podSelector, metadata.labels),
      ),
    )[0]?.metadata.namespace

/** Whether requests are expected: a Service leads to one of the pods. */
function isServed(pods: readonly KubeObject[], index: Index): boolean {
  return index
    .within('Service', pods[0]?.metadata.namespace)
    .some(service => pods.some(({ metadata }) => leadsTo(service, metadata.labels)))
}

export const rules: Rule[] = [ingressBlocked, otherPorts, cutOff]
