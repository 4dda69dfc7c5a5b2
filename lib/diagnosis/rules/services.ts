/** Services without pods behind them, and what sends its requests to them. */
import leven from 'leven'
import { condition } from '../../flux/flux.ts'
import { type KubeObject, type Ref, refOf } from '../../kubectl/kubectl.ts'
import { isOfOthers } from '../allowed/object.ts'
import { each, type Finding, type Remedy, type Rule, tell } from '../finding.ts'
import { backendsOf, keyOf, leadsTo } from '../graph.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { adviceOn } from './advice.ts'
import { RESTART_K3S, refTo } from './failure.ts'
import { meaningOf } from './last-words.ts'
import {
  describing,
  endpointsOf,
  eventsOf,
  isScaledByOthers,
  podsBehind,
  podsIn,
  podsOf,
  since,
  whereToChange,
  workloadOf,
  workloadsBehind,
} from './workload-facts.ts'
import { isAside, troubledPods } from './workloads.ts'

type Labels = Record<string, string>

/** An operator creates their pods from objects of its own, and they are missing for as long as that takes. */
const OPERATED = /^(prometheus|alertmanager)$/

/** Services without a selector that something uses, and for which nobody has made endpoints. */
const withoutSelector = each('Service', (service, index) => {
  const { spec, metadata } = service
  // A list without any says nothing.
  if (index.all('EndpointSlice').length === 0) return undefined
  const isOwn = Object.keys(spec?.selector ?? {}).length === 0 && spec?.type !== 'ExternalName'
  if (!isOwn || since(index, metadata.creationTimestamp) < 600 || endpointsOf(metadata, index) !== 0)
    return undefined
  const [user] = usersOf(service, index)
  if (!user) return undefined
  return {
    rule: 'service-without-endpoints',
    cause: `it has no selector, and no EndpointSlice says where its requests go: ${user.kind} ${user.name} leads nowhere`,
    text: 'give it a selector, or create an EndpointSlice for it with the addresses that are meant',
    command: describing(service),
  }
})

/** The EndpointSlices of a Service. */
const slicesOf = ({ metadata: { namespace, name } }: KubeObject, index: Index) =>
  index
    .within('EndpointSlice', namespace)
    .filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === name)

/** The first three parts of an address, as the pods of one node share them. */
const networkOf = (address: string) => address.split('.').slice(0, 3).join('.')

/** Services without a selector whose EndpointSlice, made by hand, leads to an address of pods that none of them has. */
const ledNowhere = each('Service', (service, index) => {
  if (Object.keys(service.spec?.selector ?? {}).length > 0 || index.blind('Pod')) return undefined
  const slices = slicesOf(service, index)
  const listed = slices.flatMap(({ endpoints }) =>
    ((endpoints ?? []) as { addresses?: string[] }[]).flatMap(each => each.addresses ?? []),
  )
  if (listed.length === 0) return undefined
  const addresses = index.all('Pod').flatMap(({ status }) => status?.podIP ?? [])
  const networks = new Set(addresses.map(networkOf))
  if (!listed.every(address => networks.has(networkOf(address)) && !addresses.includes(address)))
    return undefined
  return {
    rule: 'service-endpoints-stale',
    cause: `its EndpointSlice ${slices[0]!.metadata.name} leads to ${listed.slice(0, 3).join(', ')}, and no pod has that address: nothing answers its requests`,
    text: `give it a selector, so that Kubernetes keeps its endpoints ${whereToChange(service, index)}; or correct the address in that EndpointSlice`,
    command: describing(service),
  }
})

/** Services whose requests nobody answers. */
const withoutEndpoints = each('Service', (service, index) => {
  const { namespace, name } = service.metadata
  const selector = (service.spec?.selector ?? {}) as Labels
  const plain = service.spec?.type !== 'ExternalName' && service.spec?.clusterIP !== 'None'
  if (!plain || Object.keys(selector).length === 0 || endpointsOf({ namespace, name }, index) !== 0)
    return undefined
  if (since(index, service.metadata.creationTimestamp) < 60 || index.blind('Pod')) return undefined
  const pods = index.within('Pod', namespace).filter(({ metadata }) => leadsTo(service, metadata.labels))
  const workloads = workloadsBehind(service, index)
  if (pods.length === 0 && workloads.length === 0)
    return OPERATED.test(selector['app.kubernetes.io/name'] ?? '')
      ? undefined
      : selectsNothing(service, selector, index)
  // Pods that are starting do not count.
  const known =
    pods.some(pod => troubledPods(index).has(keyOf(refOf(pod)))) ||
    workloads.some(
      each => each.spec?.replicas === 0 && !isScaledByOthers(each, index) && !isAside(service, index),
    )
  if (!known) return undefined
  return {
    rule: 'service-without-endpoints',
    cause: 'none of its pods is ready: nothing answers its requests',
    text: 'see what its pods say',
    command: `kubectl -n ${namespace} get pods -l ${labelText(selector)}`,
    symptom: true,
    causedBy: workloads.map(refOf),
  }
})

const labelText = (labels: Labels) =>
  Object.entries(labels)
    .map(([label, value]) => `${label}=${value}`)
    .join(',')

function selectsNothing(service: KubeObject, selector: Labels, index: Index): Finding[] {
  const users = usersOf(service, index)
  const webhook = users.find(({ kind }) => kind.endsWith('WebhookConfiguration'))
  const { namespace, name } = service.metadata
  const isOfCluster = OF_CLUSTER.test(`${namespace}/${name}`)
  // What has an address of its own is there for somebody outside.
  const isMeant = users.length > 0 || isOfCluster || service.spec?.type === 'LoadBalancer'
  if (!isMeant && isForRole(selector, namespace, index)) return []
  const near = nearestTo(service, selector, index)
  const finding = tell(service, {
    rule: 'service-selects-nothing',
    verdict: isMeant ? 'broken' : 'warning',
    cause: `no pod has the labels that it selects: ${labelText(selector)}`,
    evidence: users.map(({ kind, name }) => `${kind} ${name} sends its requests to it`),
    text: `correct its selector ${whereToChange(service, index)}${near ? ` (${near})` : ''}${isOfCluster ? '' : `, or delete it${webhook ? ` and the ${webhook.kind} ${webhook.name}, which the API server waits for,` : ''} if its application was removed`}`,
    command: `kubectl -n ${service.metadata.namespace} get pods --show-labels`,
  })
  return [finding]
}

/**
 * Whether a Service is for a role that no pod has at the moment: a pod fits but for the value of one label, and that
 * label is not of its template. Programs and operators label their pods themselves: primary and replica, active and
 * standby.
 * Sources: https://cloudnative-pg.io/documentation/current/labels_annotations/,
 * https://patroni.readthedocs.io/en/latest/kubernetes.html,
 * https://developer.hashicorp.com/vault/docs/configuration/service-registration/kubernetes
 */
function isForRole(selector: Labels, namespace: string | undefined, index: Index): boolean {
  return podsIn(namespace, index).some(pod => {
    const { labels = {}, ownerReferences = [] } = pod.metadata
    const [role, ...others] = Object.entries(selector).flatMap(([key, value]) =>
      labels[key] === value ? [] : key,
    )
    const isAlone = role !== undefined && others.length === 0 && Object.keys(selector).length > 1
    // The names of the pods of a StatefulSet are labels that Kubernetes gives them.
    if (!isAlone || !labels[role] || role === 'statefulset.kubernetes.io/pod-name') return false
    const { template } = workloadOf(pod, index).spec ?? {}
    const owner = ownerReferences.find(({ controller }) => controller)
    return template ? !template.metadata?.labels?.[role] : owner !== undefined && isOfOthers(owner)
  })
}

/** The name server and the API server, which every cluster has. */
const OF_CLUSTER = /^(kube-system\/kube-dns|default\/kubernetes)$/

/**
 * The workload of which the labels are nearest to what a Service selects, in words: another value stands under the
 * same key, or the same value under another key. One that no Service leads to is the more likely one. Pure.
 */
function nearestTo(service: KubeObject, selector: Labels, index: Index): string | undefined {
  const { namespace } = service.metadata
  const services = index.within('Service', namespace)
  const [best, second] = ['Deployment', 'StatefulSet', 'DaemonSet', 'Pod']
    .flatMap(kind => index.within(kind, namespace))
    .filter(({ kind, metadata }) => kind !== 'Pod' || !metadata.ownerReferences?.length)
    .flatMap(each => {
      const labels: Labels =
        (each.kind === 'Pod' ? each.metadata.labels : each.spec?.template?.metadata?.labels) ?? {}
      const parts = Object.entries(selector).map(([key, value]) => likenessOf(key, value, labels))
      if (parts.some(part => part === undefined)) return []
      const known = parts.filter(part => part !== undefined)
      const isFree = !services.some(other => leadsTo(other, labels))
      const mean = known.reduce((sum, { score }) => sum + score, 0) / known.length
      return [{ each, has: known.flatMap(({ has }) => has ?? []), score: mean + (isFree ? 0.35 : 0) }]
    })
    .filter(({ score }) => score >= 0.5)
    .sort((a, b) => b.score - a.score)
  if (!best || second?.score === best.score) return undefined
  return `the pods of ${best.each.kind} ${best.each.metadata.name} have ${best.has.join(', ')}`
}

/** How near labels are to one that is selected, from 0 to 1, and the label that differs; undefined without any. */
function likenessOf(key: string, value: string, labels: Labels): { score: number; has?: string } | undefined {
  const there = labels[key]
  if (there === value) return { score: 1 }
  if (there !== undefined) {
    const far = leven(there, value) / Math.max(there.length, value.length, 1)
    return { score: Math.max(0.2, 1 - far), has: `${key}=${there}` }
  }
  const [other] = Object.entries(labels).find(([, own]) => own === value) ?? []
  return other ? { score: 0.8, has: `${other}=${value}` } : undefined
}

/** What sends requests to a Service: Ingresses, webhooks and APIs. */
export function usersOf({ metadata: { namespace, name } }: KubeObject, index: Index): Ref[] {
  const same = (service?: { name?: string; namespace?: string }) =>
    service?.name === name && service?.namespace === namespace
  return [
    ...index
      .all('Ingress')
      .filter(
        ingress =>
          ingress.metadata.namespace === namespace && backendsOf(ingress).some(each => each.name === name),
      ),
    ...index.all('APIService').filter(({ spec }) => same(spec?.service)),
    ...['ValidatingWebhookConfiguration', 'MutatingWebhookConfiguration']
      .flatMap(kind => index.all(kind))
      .filter(({ webhooks }) =>
        ((webhooks ?? []) as { clientConfig?: { service?: Ref } }[]).some(each =>
          same(each?.clientConfig?.service),
        ),
      ),
  ].map(refOf)
}

/** The pods behind a Service that have been ready for minutes. */
const readyBehind = (service: KubeObject, index: Index) =>
  podsBehind(service, index).filter(pod => {
    const { status, lastTransitionTime } = condition(pod, 'Ready') ?? {}
    return status === 'True' && since(index, lastTransitionTime) > 300
  })

/** Services whose endpoints are those of pods that are gone, although others have been ready for minutes. */
const stale = each('Service', (service, index) => {
  const { namespace } = service.metadata
  const listed = slicesOf(service, index)
    .flatMap(({ endpoints }) => (endpoints ?? []) as { targetRef?: Ref }[])
    .flatMap(({ targetRef }) => (targetRef?.kind === 'Pod' ? [targetRef.name] : []))
  const ready = readyBehind(service, index)
  const isGone = listed.every(pod => !index.get('Pod', namespace, pod))
  if (listed.length === 0 || ready.length === 0 || !isGone || index.blind('Pod')) return undefined
  return {
    rule: 'service-endpoints-stale',
    cause: `its endpoints are those of pods that are gone (${listed.slice(0, 3).join(', ')}), not of ${ready[0]!.metadata.name}`,
    ...RESTART,
  }
})

/** Services without endpoints, although pods that they select have been ready for minutes. */
const unlisted = each('Service', (service, index) => {
  const { namespace, name } = service.metadata
  const { clusterIP, type, selector = {} } = service.spec ?? {}
  const isSelecting = type !== 'ExternalName' && Object.keys(selector).length > 0
  if (!isSelecting || index.all('EndpointSlice').length === 0) return undefined
  if (endpointsOf({ namespace, name }, index) !== 0) return undefined
  const [ready] = readyBehind(service, index)
  if (!ready || since(index, service.metadata.creationTimestamp) < 300 || index.blind('Pod')) return undefined
  // A port that its pods do not name is told by routes.ts.
  const named = ((service.spec?.ports ?? []) as { targetPort?: unknown }[]).some(
    ({ targetPort }) => typeof targetPort === 'string',
  )
  if (named) return undefined
  const family = (address: unknown) => (String(address).includes(':') ? 'IPv6' : 'IPv4')
  const [ofService, ofPod] = [family(clusterIP), family(ready.status?.podIP)]
  if (clusterIP && clusterIP !== 'None' && ready.status?.podIP && ofService !== ofPod)
    return {
      rule: 'service-without-endpoints',
      cause: `it has an ${ofService} address, and its pods have ${ofPod} addresses only (${ready.metadata.name}: ${ready.status.podIP}): nothing answers its requests`,
      text: `recreate it with ipFamilies: [${ofPod}], or without ipFamilies, ${whereToChange(service, index)}`,
      command: describing(service),
    }
  return {
    rule: 'service-endpoints-stale',
    cause: `it has no endpoints, although ${ready.metadata.name} is ready: nothing answers its requests`,
    ...RESTART,
  }
})

/** What the controllers of Kubernetes leave undone. */
const RESTART: Remedy = {
  text: 'the controllers of Kubernetes do not update them: they run in the k3s service of the server, restart that',
  command: RESTART_K3S,
}

/** Services that wait for an address: nobody from outside gets in without. */
const withoutAddress = each('Service', (service, index) => {
  const { type, externalIPs = [] } = service.spec ?? {}
  const addresses = service.status?.loadBalancer?.ingress ?? []
  // An administrator leads addresses of their own to the nodes, as before there was a load balancer.
  if (type !== 'LoadBalancer' || addresses.length > 0 || externalIPs.length > 0) return undefined
  if (since(index, service.metadata.creationTimestamp) < 120) return undefined
  const why =
    balancerRefuses(service, index) ??
    balancerWithoutNode(service, index) ??
    (isOfK3s(index) ? balancerElsewhere(service) : withoutBalancer(service))
  return { rule: 'service-without-address', symptom: true, causedBy: balancersOf(service, index), ...why }
})

const UNREACHED = 'it has no address: nobody from outside reaches it'

/** Why a Service has no address, and what to do. */
type WithoutAddress = Pick<Finding, 'cause'> & Remedy & { evidence?: string[] }

/** Something that gives addresses to Services has said why this one gets none. */
function balancerRefuses(service: KubeObject, index: Index): WithoutAddress | undefined {
  const warning = eventsOf(index, service, /./).find(({ type }) => type === 'Warning')
  if (!warning) return undefined
  const said = String(warning.message).replace(
    /^Error syncing load balancer: (failed to ensure load balancer: )?/,
    '',
  )
  return {
    cause: `it has no address, since it gets no load balancer: ${short(said, 250)}`,
    text:
      adviceOn(said, `in the manifest of Service ${service.metadata.name}`) ??
      meaningOf(said)?.fix('in the configuration of that controller') ??
      'correct what it says: it is said by what gives addresses to Services',
    command: describing(service),
  }
}

/** What gives it the ports of nodes is wanted on none of them. */
function balancerWithoutNode(service: KubeObject, index: Index): WithoutAddress | undefined {
  const nowhere = index
    .within('DaemonSet', 'kube-system')
    .find(({ metadata, status }) => isBalancerOf(service, metadata) && status?.desiredNumberScheduled === 0)
  return (
    nowhere && {
      cause: UNREACHED,
      evidence: [`DaemonSet ${nowhere.metadata.name}, which gives it the ports of nodes, is wanted on none`],
      text: 'label the nodes that should have its ports: as soon as one node has that label, k3s takes no other',
      command: 'kubectl label node NODE svccontroller.k3s.cattle.io/enablelb=true --overwrite',
    }
  )
}

/** Nothing says why: mostly something else has its ports. */
const balancerElsewhere = ({ metadata: { namespace, name } }: KubeObject): WithoutAddress => ({
  cause: UNREACHED,
  text: 'k3s gives it the address of the server, unless something else has its ports: see the pods svclb-… in kube-system',
  command: `kubectl -n kube-system get pods -l svccontroller.k3s.cattle.io/svcname=${name},svccontroller.k3s.cattle.io/svcnamespace=${namespace}`,
})

/** Whether k3s, which gives Services the addresses of its nodes, runs the cluster. */
const isOfK3s = (index: Index) =>
  /\+k3s/.test(index.snapshot.kubernetes ?? '') ||
  index.all('Node').some(({ status }) => /\+k3s/.test(status?.nodeInfo?.kubeletVersion ?? '')) ||
  index.within('DaemonSet', 'kube-system').some(({ metadata }) => /^svclb-/.test(metadata.name))

/** Other clusters give no addresses by themselves. */
const withoutBalancer = (service: KubeObject): WithoutAddress => ({
  cause: UNREACHED,
  text: `see whether something that gives addresses to Services runs (a cloud controller, MetalLB), and what it logs; or give it the type NodePort or ClusterIP in the manifest of Service ${service.metadata.name}`,
  command: describing(service),
})

/** Whether something is that by which k3s gives a Service the ports of its nodes. */
const isBalancerOf = ({ metadata: { name } }: KubeObject, { labels }: KubeObject['metadata']) =>
  labels?.['svccontroller.k3s.cattle.io/svcname'] === name

/** The pods by which k3s gives a Service the ports of its nodes. */
function balancersOf(service: KubeObject, index: Index): Ref[] {
  return podsOf(index)
    .filter(({ metadata }) => isBalancerOf(service, metadata))
    .map(pod => refOf(workloadOf(pod, index)))
}

/** The Ref of a Service that a webhook or an API is served by. */
export function serviceRef(service: { namespace?: string; name?: string } | undefined): Ref | undefined {
  return service?.name ? refTo('Service', service.namespace, service.name) : undefined
}

export const rules: Rule[] = [withoutEndpoints, withoutSelector, ledNowhere, stale, unlisted, withoutAddress]
