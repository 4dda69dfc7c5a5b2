/** Services that the last words of a container name: they tell what the container suffers from, or calls wrongly. */
import { condition } from '../../flux/flux.ts'
import { type KubeObject, type Ref, refOf, refText } from '../../kubectl/kubectl.ts'
import { fits } from '../../kubectl/selector.ts'
import { leadsTo } from '../graph.ts'
import type { Index } from '../snapshot.ts'
import { recognise } from './failure.ts'
import { type Meaning, meaningOf } from './last-words.ts'
import { refusedByMesh } from './mesh.ts'
import { clockAhead } from './nodes.ts'
import { refusals, releaseLocked } from './refusals.ts'
import { tellingLine, textLines } from './telling-lines.ts'
import { endpointsOf, podsBehind, workloadOf, workloadsBehind } from './workload-facts.ts'

/** What stands where programs name a host: after a scheme, a user, "lookup" or "target", or before a port. */
const HOST =
  /(?:\/\/(?:[^\s/@]{0,200}@)?|@|\blookup (?:for host ["'`])?|\bcan't find |name resolution: |\bENOTFOUND |\b(?:host name|host|hostname|upstream|server (?:at|on)) ["'`]|UnknownHostException: |\btarget host: |\btarget (?:dns:)?)([a-z0-9][a-z0-9.-]{0,200})(?:(?::|, port: )(\d{2,5}))?|(?<![\w.:/-])([a-z0-9][a-z0-9.-]{0,200})(?::| host on port )(\d{2,5})(?!\w|:\S)/gi

/** Names that are not those of Services, however they are written. */
const ELSEWHERE = /^localhost$/i

interface Called {
  host: string
  port?: number
  service?: KubeObject
  /** The name begins with that of a pod of a StatefulSet. */
  ofPod: boolean
  /** It is written as Services of the cluster are. */
  inside: boolean
}

/** The hosts that words name, with the Service that has this name or address. */
function calledIn(words: string, namespace: string | undefined, index: Index): Called[] {
  const found = [...words.matchAll(HOST)].filter(
    ([, first, , second]) => !/^\d+$/.test(first ?? second ?? ''),
  )
  return found.map(([, first, firstPort, second, secondPort]) => {
    const said = (first ?? second ?? '').replace(/\.$/, '').toLowerCase()
    const isAddress = /^[\d.]+$/.test(said)
    const host = isAddress ? said : withoutPod(said, index)
    const [name = '', place = namespace, svc] = host.split('.')
    const service = isAddress
      ? index.all('Service').find(({ spec }) => spec?.clusterIP === host)
      : index.get('Service', place, name)
    const port = Number(firstPort ?? secondPort) || undefined
    const inside = !isAddress && !ELSEWHERE.test(host) && (svc === 'svc' || !host.includes('.'))
    const ofPod = host !== said
    return { host, inside, ofPod, ...(port ? { port } : {}), ...(service ? { service } : {}) }
  })
}

/** A host without the name of one pod of a StatefulSet, which stands before that of its Service. */
function withoutPod(host: string, index: Index): string {
  const [pod = '', service, svc, mark] = host.split('.')
  const isPod = /-\d+$/.test(pod) && service !== undefined && svc !== 'svc'
  return isPod && (mark === 'svc' || !index.get('Namespace', undefined, service))
    ? host.slice(pod.length + 1)
    : host
}

/** Whether it is the API server by the address that pods have for it: the first one of the network of Services. */
const isApiServer = ({ host, port, service }: Called) =>
  (/^10\.\d{1,3}\.0\.1$/.test(host) && port === 443) ||
  (service?.metadata.namespace === 'default' && service.metadata.name === 'kubernetes')

const RESOLVED = 'container-names-unresolved'

/** What a container that applies objects, as Helm in a Job of k3s, was refused. */
function refusedIn(pod: KubeObject, texts: readonly string[], index: Index): Meaning | undefined {
  const { metadata, ...job } = workloadOf(pod, index)
  const release = { ...job, metadata: { ...metadata, name: metadata.name.replace(/^helm-install-/, '') } }
  const known = [...refusals, releaseLocked]
  const line = textLines(texts).findLast(each => recognise(known, release, each))
  const failure = line && recognise(known, release, line)
  return failure ? { rule: failure.rule, cause: failure.cause, fix: () => failure.fix } : undefined
}

const CALLS = /^container-(names-unresolved|service-unreachable|no-primary)$/

/** Whether nobody answers for a Service. */
function isSilent(service: KubeObject, index: Index): boolean {
  if (endpointsOf(service.metadata, index) === 0) return true
  // A headless Service may give the addresses of pods that are not ready, too.
  const pods = podsBehind(service, index)
  return pods.length > 0 && pods.every(pod => condition(pod, 'Ready')?.status === 'False')
}

/** An address that is not reached by its network: a refusal would come from the program there. */
const NODE_CALL =
  /\b(\d{1,3}(?:\.\d{1,3}){3}):\d{2,5}\b[^\n]{0,120}(?:no route to host|i\/o timeout|connection timed out)/

/** What it means that a node itself does not answer: it is away, or its firewall lets no pods in. */
function withoutNode(known: Meaning, index: Index): Meaning | undefined {
  const called =
    known.rule === 'container-service-unreachable' ? NODE_CALL.exec(known.line ?? '')?.[1] : undefined
  const node =
    called === undefined
      ? undefined
      : index
          .all('Node')
          .find(({ status }) =>
            ((status?.addresses ?? []) as { address?: string }[]).some(({ address }) => address === called),
          )
  if (!node) return undefined
  if (condition(node, 'Ready')?.status !== 'True') return { ...known, by: [refOf(node)] }
  return {
    ...known,
    cause: `${refText(refOf(node))} does not let pods in: ${known.cause}`,
    fix: () =>
      'let the network of pods (10.42.0.0/16 with k3s) reach that port through the firewall of the server',
  }
}

/** What it means that kubelets break off: nobody has approved their requests for certificates by which they answer. */
function withoutServingCertificate(texts: readonly string[], index: Index): Meaning | undefined {
  if (!/:10250\b[\s\S]{0,200}remote error: tls: internal error/.test(texts.join('\n'))) return undefined
  const waiting = index
    .all('CertificateSigningRequest')
    .filter(
      ({ spec, status }) =>
        spec?.signerName === 'kubernetes.io/kubelet-serving' &&
        /^system:node:/.test(spec.username) &&
        (status?.conditions ?? []).length === 0,
    )
    .map(refOf)
  const names = waiting.slice(0, 5).map(({ name }) => name)
  return waiting[0]
    ? {
        rule: 'container-service-unreachable',
        cause: `kubelets have no serving certificate: their CertificateSigningRequests are not approved (${waiting[0].name})`,
        fix: () => 'approve those that are of nodes that you know, and have something approve the next ones',
        command: `kubectl certificate approve ${names.join(' ')}`,
        by: waiting,
      }
    : undefined
}

/** What the last words of a container of a pod mean, beside the Services that they name. Pure. */
export function meaningIn(pod: KubeObject, texts: readonly string[], index: Index): Meaning | undefined {
  const known = meaningOf(...texts)
  const refused =
    !known || /^container-(setting|permission)/.test(known.rule) ? refusedIn(pod, texts, index) : undefined
  if (refused) return refused
  const cutOff = (known && withoutNode(known, index)) ?? withoutServingCertificate(texts, index)
  if (cutOff) return cutOff
  if (known?.rule === 'container-certificate-refused') return byClock(known, pod, index)
  if ((known && !CALLS.test(known.rule)) || index.blind('Service')) return known
  const { namespace, labels } = pod.metadata
  const silent = calledIn(texts.join('\n'), namespace, index).find(
    ({ service }) => service && !leadsTo(service, labels) && isSilent(service, index),
  )
  // The line that tells of the failure may not name what was called a line before.
  if (!known)
    return (
      silent && {
        rule: 'container-service-unreachable',
        cause: `${refText(refOf(silent.service!))}, which it calls, has no pod that is ready: ${tellingLine(...texts)}`,
        fix: where => `see why that Service has no pod, and whether its address is right ${where}`,
        by: behind(silent.service!, index),
      }
    )
  const kept = known.rule === RESOLVED ? keptFromNames(known, pod, index) : undefined
  if (kept) return kept
  const [named] = [known.line ?? known.cause, ...lineAfter(known.line, texts)].flatMap(each =>
    calledIn(each, namespace, index),
  )
  const elsewhere = known.rule === RESOLVED ? askedElsewhere(known, named, pod, index) : undefined
  if (elsewhere) return elsewhere
  const called = named ?? silent ?? (MEANT.test(known.rule) ? meantBy(known, pod, index) : undefined)
  const meaning = called
    ? (refusedByMesh(known, called.service, pod, index) ?? whenCalled(known, called, pod, index))
    : known
  const by = [...(meaning.by ?? []), ...waysOut(pod, index)]
  return by.length > 0 ? { ...meaning, by } : meaning
}

/** The line after one of some texts: programs write there whom they have called. */
function lineAfter(line: string | undefined, texts: readonly string[]): string[] {
  const lines = textLines(texts)
  const at = line === undefined ? -1 : lines.lastIndexOf(line)
  const next = at < 0 ? undefined : lines[at + 1]
  return next && /\bhost\b/i.test(next) ? [next] : []
}

/** What may come of a Service that no host of the words names. */
const MEANT = /^container-(service-unreachable|no-primary)$/

/** What clients are named after, as in RedisException or SQLSTATE of pgsql, and so is the Service that they call. */
const PRODUCTS = [
  /redis|valkey/i,
  /mysql|mariadb/i,
  /postgres|pgsql/i,
  /mongo/i,
  /rabbitmq|amqp/i,
  /memcache/i,
  /elastic|opensearch/i,
  /etcd/i,
  /database/i,
]

/** The name of a Service, and that it is one of a database where its name says which. */
const productOf = ({ metadata: { name } }: KubeObject) =>
  /mysql|mariadb|postgres|mongo|\bdb\b/i.test(name) ? `${name} database` : name

/** The silent Service beside a pod that is of the product which its client names, where no host is named. */
function meantBy(known: Meaning, { metadata }: KubeObject, index: Index): Called | undefined {
  const product = PRODUCTS.find(each => each.test(known.line ?? known.cause))
  const service = index
    .within('Service', metadata.namespace)
    .find(each => product?.test(productOf(each)) && !leadsTo(each, metadata.labels) && isSilent(each, index))
  return service && { host: service.metadata.name, service, inside: true, ofPod: false }
}

/** The policies on what a pod may call: where they cut it off, nothing that it calls is at fault. */
const waysOut = ({ metadata }: KubeObject, index: Index): Ref[] =>
  index
    .within('NetworkPolicy', metadata.namespace)
    .filter(({ spec }) => spec?.policyTypes?.includes('Egress') && fits(spec.podSelector, metadata.labels))
    .map(refOf)

/**
 * What it means that a name server does not answer, where no policy on the pod lets it out to that address: one that is
 * neither of a pod nor of a Service, as a cache on the node, fits an ipBlock alone.
 * Source: https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns/
 */
function keptFromNames(known: Meaning, pod: KubeObject, index: Index): Meaning | undefined {
  const [, server = ''] =
    /\bon ([\d.]{7,15}):53\b[^\n]{0,200}(?:timeout|timed out)/.exec(known.line ?? known.cause) ?? []
  if (!server || pod.spec?.hostNetwork || index.all('Service').some(({ spec }) => spec?.clusterIP === server))
    return undefined
  if (index.all('Pod').some(({ spec, status }) => status?.podIP === server && !spec?.hostNetwork))
    return undefined
  type Way = { to?: { ipBlock?: { cidr?: string } }[] }
  const by = waysOut(pod, index)
  const ways = by.flatMap(ref => (index.find(ref)?.spec?.egress ?? []) as Way[])
  const leads = ways.some(({ to }) => !to?.length || to.some(({ ipBlock }) => ipBlock))
  if (by.length === 0 || leads) return undefined
  return {
    ...known,
    cause: `${by.map(refText).join(' and ')} blocks its DNS requests to ${server}: ${known.cause}`,
    fix: () =>
      `add an egress rule with an ipBlock ${server}/32 and port 53, UDP and TCP: no pod has that address, so no podSelector matches it`,
    command: `kubectl -n ${pod.metadata.namespace} edit networkpolicy ${by[0]!.name}`,
    by: undefined,
  }
}

/** The policies on who may call the pods behind a Service. */
const waysIn = (service: KubeObject, index: Index): Ref[] =>
  index
    .within('NetworkPolicy', service.metadata.namespace)
    .filter(policy =>
      podsBehind(service, index).some(({ metadata }) => fits(policy.spec?.podSelector, metadata.labels)),
    )
    .map(refOf)

/** A certificate is not valid yet, or any more, by the wrong clock of the node. */
function byClock(known: Meaning, pod: KubeObject, index: Index): Meaning {
  const node = index.get('Node', undefined, pod.spec?.nodeName ?? '')
  return node && clockAhead(node, index) > 0 ? { ...known, by: [refOf(node)] } : known
}

/** A Service and what should answer for it. */
const behind = (service: KubeObject, index: Index): Ref[] => [
  refOf(service),
  ...workloadsBehind(service, index).map(refOf),
]

/**
 * What it means that a name is not resolved where the pod asks the name server of its node, and not that of the
 * cluster: neither the name nor CoreDNS is at fault then.
 * Source: https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/#pod-s-dns-policy
 */
function askedElsewhere(
  known: Meaning,
  called: Called | undefined,
  pod: KubeObject,
  index: Index,
): Meaning | undefined {
  const { hostNetwork, dnsPolicy = 'ClusterFirst', dnsConfig } = pod.spec ?? {}
  const isOnNode = hostNetwork === true && dnsPolicy === 'ClusterFirst'
  const own = index.get('Service', 'kube-system', 'kube-dns')?.spec?.clusterIP
  const isOther = dnsPolicy === 'None' && own && !dnsConfig?.nameservers?.includes(own)
  // The name server of the cluster asks that of the node itself.
  const isDns = pod.metadata.labels?.['k8s-app'] === 'kube-dns'
  if (isDns || !(isOnNode || isOther || dnsPolicy === 'Default')) return undefined
  if (called && !called.inside)
    return {
      ...known,
      cause: `${known.cause}; it asks the name servers of its ${isOther ? 'dnsConfig' : 'node'}`,
      fix: where =>
        `correct the name ${where}, or see the name servers ${isOther ? 'in its dnsConfig' : 'of the node (/etc/resolv.conf)'}`,
      by: undefined,
    }
  const who = isOnNode ? 'a pod on the network of the node' : `by dnsPolicy ${dnsPolicy} it`
  return {
    ...known,
    cause: `${known.cause}; ${who} asks ${isOther ? 'other name servers' : 'the name server of the node'}, which ${isOther ? 'know' : 'knows'} no Services`,
    fix: where => `set dnsPolicy: ${isOnNode ? 'ClusterFirstWithHostNet' : 'ClusterFirst'} ${where}`,
    by: undefined,
  }
}

/** What a failed call means, beside the Service that was called, or is not there. */
function whenCalled(known: Meaning, called: Called, pod: KubeObject, index: Index): Meaning {
  const { namespace } = pod.metadata
  if (isApiServer(called))
    return {
      ...known,
      fix: () =>
        'let pods reach the API server: allow the networks of pods and of Services (10.42.0.0/16 and 10.43.0.0/16 with k3s) in the firewall of the server; with several servers their VXLAN port, too (8472/udp)',
    }
  const { service, host, port, inside, ofPod } = called
  // A name server that does not answer says nothing of the name.
  const unanswered = /timeout|timed out|temporary|misbehaving|EAI_AGAIN/i.test(known.cause)
  const meant = service
    ? undefined
    : index.all('Pod').find(({ spec, status }) => status?.podIP === host && !spec?.hostNetwork)
  if (meant && workloadOf(meant, index) !== workloadOf(pod, index))
    return { ...known, by: [meant, workloadOf(meant, index)].map(refOf) }
  // Neither does the name of a pod alone.
  if (!service)
    return !inside || unanswered || /-\d+$/.test(host) ? known : withoutService(known, host, namespace, index)
  if (isSilent(service, index)) return { ...known, by: behind(service, index) }
  const title = refText(refOf(service))
  if (known.rule === RESOLVED) {
    const names = index.get('Service', 'kube-system', 'kube-dns')
    if (names && isSilent(names, index)) return { ...known, by: behind(names, index) }
    if (unanswered) return known
    const { clusterIP } = service.spec ?? {}
    if (ofPod && clusterIP && clusterIP !== 'None') return withoutNamesOfPods(known, service)
    return {
      rule: 'cluster-dns-wrong',
      cause: `${known.cause}; ${title} exists, so that the name server of the cluster answers wrongly`,
      fix: () =>
        'correct the Corefile in ConfigMap kube-system/coredns (and coredns-custom): a template, rewrite or hosts entry answers for this name; then restart coredns',
      command: 'kubectl -n kube-system get configmap coredns -o yaml',
    }
  }
  const ports = ((service.spec?.ports ?? []) as { port?: number }[]).flatMap(each => each.port ?? [])
  // It answers others: a policy may keep this one out, or it leads to a port that its pods do not have.
  if (!port || ports.includes(port))
    return { ...known, by: [...(known.by ?? []), refOf(service), ...waysIn(service, index)] }
  return {
    ...known,
    cause: `${title} has port ${ports.join(', ')}, not ${port}: ${known.cause}`,
    fix: where => `correct the port of its address ${where}`,
  }
}

/**
 * Pods have names of their own below a headless Service alone.
 * Source: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#stable-network-id
 */
const withoutNamesOfPods = (known: Meaning, service: KubeObject): Meaning => ({
  ...known,
  cause: `${refText(refOf(service))} is not headless, so that its pods have no names of their own: ${known.cause}`,
  fix: () =>
    'create that Service again with clusterIP: None, or one beside it that the StatefulSet names in serviceName',
  by: undefined,
})

/** A Service that is called and does not exist: it is elsewhere, a StatefulSet lacks it, or its name is wrong. */
function withoutService(known: Meaning, host: string, namespace: string | undefined, index: Index): Meaning {
  const [name = '', place = namespace] = host.split('.')
  const elsewhere = index.all('Service').find(({ metadata }) => metadata.name === name)?.metadata.namespace
  const lacking = index.within('StatefulSet', place).filter(({ spec }) => spec?.serviceName === name)
  return {
    ...known,
    cause: `there is no Service ${name} in ${place}${elsewhere ? `, only in ${elsewhere}` : ''}: ${known.cause}`,
    fix: where =>
      elsewhere
        ? `call it ${name}.${elsewhere} ${where}`
        : `correct the name ${host} ${where}, or create Service ${place}/${name}`,
    by: lacking.length > 0 ? lacking.map(refOf) : undefined,
  }
}
