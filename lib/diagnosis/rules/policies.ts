/** NetworkPolicies that protect nothing, or cut off what has to pass; budgets that select nothing. */
import { type KubeObject, refOf } from '../../kubectl/kubectl.ts'
import { each, type Finding, type Rule, tell } from '../finding.ts'
import { backendsOf, keyOf, leadsTo } from '../graph.ts'
import type { Index } from '../snapshot.ts'
import {
  admits,
  admitsAll,
  fits,
  inwardRules,
  opens,
  type Peer,
  type Selector,
  selectorText,
  selectsAll,
} from './policy-facts.ts'
import { usersOf } from './services.ts'
import { describing, podsIn, podsOf, since, workloadOf } from './workload-facts.ts'

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
function selected(selector: Selector | undefined, namespace: string | undefined, index: Index): KubeObject[] {
  const lists = Object.entries(selector?.matchLabels ?? {}).map(
    pair => byLabel(namespace, index).get(pair.join('=')) ?? [],
  )
  const fewest = [byLabel(namespace, index).get('') ?? [], ...lists].reduce((a, b) =>
    b.length < a.length ? b : a,
  )
  return fewest.filter(object => fits(selector, labelsOf(object)))
}

/** Whether a release or a Kustomization has brought an object, of Flux or of Helm by hand. */
const isBrought = ({ metadata }: KubeObject) =>
  metadata.annotations?.['meta.helm.sh/release-name'] !== undefined ||
  ['helm', 'kustomize'].some(kind => metadata.labels?.[`${kind}.toolkit.fluxcd.io/name`] !== undefined)

/** Whether a program says itself that it suffers from a policy. */
const isFelt = (policy: KubeObject, told: readonly Finding[]) =>
  told.some(({ causedBy = [] }) => causedBy.some(ref => keyOf(ref) === keyOf(refOf(policy))))

/**
 * Whether policies of another API may admit what one of Kubernetes does not, so that nothing is certain as long as no
 * program suffers: those of Cilium add up with it, those of Calico and of administrators may go first. Not the
 * baseline of administrators, which comes last, nor what guards hosts alone.
 * Sources: https://docs.cilium.io/en/stable/network/kubernetes/policy/,
 * https://docs.tigera.io/calico/latest/network-policy/policy-tiers/tiered-policy,
 * https://network-policy-api.sigs.k8s.io/api-overview/
 */
const mayBeAdmitted = (policy: KubeObject, index: Index, told: readonly Finding[]) =>
  !isFelt(policy, told) &&
  index
    .kinds()
    .filter(kind => /NetworkPolicy/.test(kind) && !/^(Baseline|NetworkPolicy$)/.test(kind))
    .flatMap(kind => [...index.within(kind, undefined), ...index.within(kind, policy.metadata.namespace)])
    .some(({ spec }) => !spec?.nodeSelector)

/** Budgets that no number of healthy pods can meet, and pods of two budgets, which cannot be evicted at all. */
const budgets: Rule = index => {
  const all = [...index.all('PodDisruptionBudget')].sort((a, b) =>
    b.metadata.name.localeCompare(a.metadata.name),
  )
  const firstOf = new Map<KubeObject, KubeObject>()
  for (const budget of all)
    for (const object of selected(budget.spec?.selector, budget.metadata.namespace, index))
      firstOf.set(object, budget)
  return all.flatMap((budget): Finding[] => {
    const { namespace, name, creationTimestamp } = budget.metadata
    const { desiredHealthy = 0, expectedPods = 0 } = budget.status ?? {}
    if (since(index, creationTimestamp) < 600) return []
    const first = selected(budget.spec?.selector, namespace, index)
      .filter(({ kind }) => kind === 'Pod')
      .map(pod => firstOf.get(pod))
    const rival = first.find(other => other && other !== budget)
    if (!rival && (expectedPods === 0 || desiredHealthy <= expectedPods)) return []
    return [
      tell(budget, {
        rule: rival ? 'budget-with-rival' : 'budget-unmeetable',
        verdict: 'warning',
        cause: rival
          ? `it and PodDisruptionBudget ${rival.metadata.name} select the same pods: these cannot be evicted`
          : `it requires ${desiredHealthy} healthy pods of ${expectedPods}: none can ever be evicted`,
        text: rival
          ? 'delete one of them, or correct its selector'
          : 'lower minAvailable below the number of replicas, or raise the replicas',
        command: `kubectl -n ${namespace} describe pdb ${name}`,
      }),
    ]
  })
}

/** Policies and budgets whose selector fits nothing. */
const selectNothing: Rule = index =>
  ['NetworkPolicy', 'PodDisruptionBudget'].flatMap(kind =>
    index.all(kind).flatMap((object): Finding[] => {
      const { namespace, creationTimestamp } = object.metadata
      const selector: Selector = object.spec?.podSelector ?? object.spec?.selector
      if (selectsAll(selector) || index.blind('Pod') || since(index, creationTimestamp) < 600) return []
      if (selected(selector, namespace, index).length > 0) return []
      // A chart may bring a policy for a part that is not installed, and flux2/ one for pods that come and go, as
      // those of a challenge; any other with other pods beside it was mistaken.
      const mistaken = podsIn(namespace, index).length > 0
      if (!mistaken || isBrought(object)) return []
      return [
        tell(object, {
          rule: 'selects-nothing',
          verdict: 'warning',
          cause: `no pod has the labels that it selects (${selectorText(selector)}): it protects nothing`,
          text: 'correct its selector, or delete it',
          command: `kubectl -n ${namespace} get pods --show-labels`,
        }),
      ]
    }),
  )

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
        cause: `it keeps the ingress controller from the pods behind Ingress ${ingress.metadata.name}: requests time out`,
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
  const more = index
    .within('NetworkPolicy', namespace)
    .some(
      other =>
        other !== policy &&
        guarded.some(({ metadata }) => fits(other.spec?.podSelector, metadata.labels)) &&
        (other.spec?.ingress ?? []).length > 0,
    )
  if (more) return undefined
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
    evidence: guarded.slice(0, 3).map(pod => `it guards Pod ${pod.metadata.namespace}/${pod.metadata.name}`),
    text: elsewhere
      ? `add a namespaceSelector (kubernetes.io/metadata.name: ${elsewhere}) to that podSelector, in one item of the list`
      : 'correct the labels that it admits, or label the pods or the namespace that have to pass',
    command: describing(policy),
  }
})

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

/**
 * Whether a peer of a policy fits any pod but those that the policy guards, or a workload that would have such pods: one
 * that is scaled to 0 tells that itself.
 */
function admitsSomebody(
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

/** Policies that let their pods out only to pods that do not exist. */
const toNobody = each('NetworkPolicy', (policy, index) => {
  const { namespace, creationTimestamp } = policy.metadata
  const rules = (policy.spec?.egress ?? []) as Outward[]
  if (since(index, creationTimestamp) < 600 || index.blind('Namespace') || isBrought(policy)) return undefined
  // A name server need not be a pod of the cluster.
  const leadsSomewhere = ({ to = [], ports = [] }: Outward) =>
    to.length > 0 && !ports.some(({ port }) => port === 53)
  const meant = rules.filter(leadsSomewhere)
  const empty = meant.filter(
    ({ to = [] }) => !to.some(peer => peer.ipBlock || admitsSomebody(peer, [], namespace, index)),
  )
  const [lost] = empty
  const guarded = podsIn(namespace, index).filter(pod => fits(policy.spec?.podSelector, pod.metadata.labels))
  if (!lost || guarded.length === 0) return undefined
  const wanted = lost.to!.map(({ namespaceSelector, podSelector }) =>
    [
      namespaceSelector && `namespaces ${selectorText(namespaceSelector) || 'of any label'}`,
      podSelector && `pods ${selectorText(podSelector) || 'of any label'}`,
    ]
      .filter(Boolean)
      .join(' with '),
  )
  return {
    rule: 'policy-leads-to-nobody',
    verdict: empty.length === meant.length ? 'broken' : 'warning',
    cause: `it lets its pods out to ${wanted.join(' or ')}, and no pod is there`,
    evidence: guarded.slice(0, 3).map(pod => `it guards Pod ${namespace}/${pod.metadata.name}`),
    text: 'correct the labels of this egress rule, or label the pods or the namespace that are meant',
    command: describing(policy),
  }
})

interface Port {
  port?: number | string
  protocol?: string
}
interface Outward {
  to?: Peer[]
  ports?: Port[]
}

/** Policies that forbid what every pod needs: names, which kube-dns resolves. */
const withoutNames = each('NetworkPolicy', (policy, index, told) => {
  const { namespace, name, creationTimestamp } = policy.metadata
  const types = (policy.spec?.policyTypes ?? []) as string[]
  const egress = (policy.spec?.egress ?? []) as Outward[]
  // Policies that are applied together are all there by then.
  if (!types.includes('Egress') || since(index, creationTimestamp) < 60) return undefined
  const guarded = podsIn(namespace, index).filter(pod => fits(policy.spec?.podSelector, pod.metadata.labels))
  const leads = ({ port }: Port) => port === undefined || port === 53 || /^dns/.test(String(port))
  // Names are asked for by UDP; what names no protocol means TCP.
  const resolves = ({ ports, to }: Outward) =>
    (!to?.length || to.some(({ namespaceSelector, ipBlock }) => namespaceSelector || ipBlock)) &&
    (!ports?.length || ports.some(each => leads(each) && each.protocol === 'UDP'))
  const others = index
    .within('NetworkPolicy', namespace)
    .filter(other => other !== policy)
    .filter(other => guarded.some(({ metadata }) => fits(other.spec?.podSelector, metadata.labels)))
    .flatMap(other => (other.spec?.egress ?? []) as typeof egress)
  if (guarded.length === 0 || [...egress, ...others].some(resolves)) return undefined
  if (mayBeAdmitted(policy, index, told)) return undefined
  // What may send nothing at all may be meant so, as long as no program suffers from it. Where the policy selects pods it
  // is: a database answers, and asks nobody.
  const isMeant = egress.length === 0 && !isFelt(policy, told)
  if (isMeant && !selectsAll(policy.spec?.podSelector)) return undefined
  return [
    {
      rule: 'policy-without-names',
      verdict: isMeant ? 'warning' : 'broken',
      subject: refOf(policy),
      cause:
        egress.length > 0
          ? `it lets its pods out, but not to DNS (port 53 ${egress.some(({ ports }) => ports?.some(({ port }) => port === 53)) ? 'by UDP: it names TCP only' : 'by UDP'}): no name can be resolved in them`
          : 'it lets nothing out of its pods, not even to DNS: no name can be resolved in them',
      evidence: guarded.slice(0, 3).map(pod => `it guards Pod ${namespace}/${pod.metadata.name}`),
      remedy: {
        text: 'add an egress rule for port 53, UDP and TCP, to kube-system',
        command: `kubectl -n ${namespace} edit networkpolicy ${name}`,
      },
    },
  ]
})

export const rules: Rule[] = [
  selectNothing,
  budgets,
  ingressBlocked,
  otherPorts,
  cutOff,
  toNobody,
  withoutNames,
]
