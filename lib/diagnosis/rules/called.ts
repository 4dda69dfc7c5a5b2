/** Services that the last words of a container name: they tell what the container suffers from, or calls wrongly. */
import { type KubeObject, refOf, refText } from '../../kubectl/kubectl.ts'
import { leadsTo } from '../graph.ts'
import type { Index } from '../snapshot.ts'
import { recognise } from './failure.ts'
import { type Meaning, meaningOf } from './last-words.ts'
import { refusals, releaseLocked } from './refusals.ts'
import { endpointsOf, workloadOf } from './workload-facts.ts'

/** What stands where programs name a host: after a scheme, a user, "lookup" or "target", or before a port. */
const HOST =
  /(?:\/\/(?:[^\s/@]{0,200}@)?|@|\blookup |\bENOTFOUND |\bhost name "|UnknownHostException: |\btarget (?:dns:)?)([a-z0-9][a-z0-9.-]{0,200})(?::(\d{2,5}))?|(?<![\w.:/-])([a-z0-9][a-z0-9.-]{0,200})(?::| host on port )(\d{2,5})(?!\w|:\S)/gi

/** Names that are not those of Services, however they are written. */
const ELSEWHERE = /^(localhost|\d+)$/i

interface Called {
  host: string
  port?: number
  service?: KubeObject
  /** It is written as Services of the cluster are. */
  inside: boolean
}

/** The hosts that words name, with the Service that has this name or address. */
function calledIn(words: string, namespace: string | undefined, index: Index): Called[] {
  return [...words.matchAll(HOST)].map(([, first, firstPort, second, secondPort]) => {
    const host = (first ?? second ?? '').replace(/\.$/, '').toLowerCase()
    const [name = '', place = namespace, svc] = host.split('.')
    const isAddress = /^[\d.]+$/.test(host)
    const service = isAddress
      ? index.all('Service').find(({ spec }) => spec?.clusterIP === host)
      : index.get('Service', place, name)
    const port = Number(firstPort ?? secondPort) || undefined
    const inside = !isAddress && !ELSEWHERE.test(host) && (svc === 'svc' || !host.includes('.'))
    return { host, inside, ...(port ? { port } : {}), ...(service ? { service } : {}) }
  })
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
  const line = texts.flatMap(text => text.split('\n')).findLast(each => recognise(known, release, each))
  const failure = line && recognise(known, release, line)
  return failure ? { rule: failure.rule, cause: failure.cause, fix: () => failure.fix } : undefined
}

/** What the last words of a container of a pod mean, beside the Services that they name. Pure. */
export function meaningIn(pod: KubeObject, texts: readonly string[], index: Index): Meaning | undefined {
  const known = meaningOf(...texts)
  const refused =
    !known || /^container-(setting|permission)/.test(known.rule) ? refusedIn(pod, texts, index) : undefined
  if (refused) return refused
  if (!known || !/^container-(names-unresolved|service-unreachable)$/.test(known.rule)) return known
  const { namespace } = pod.metadata
  const [called] = calledIn(known.cause, namespace, index)
  if (called && isApiServer(called))
    return {
      ...known,
      fix: () =>
        'let pods reach the API server: allow the networks of pods and of Services (10.42.0.0/16 and 10.43.0.0/16 with k3s) in the firewall of the server; with several servers their VXLAN port, too (8472/udp)',
    }
  if (!called || index.blind('Service')) return known
  const { service, host, port, inside } = called
  // A name server that does not answer says nothing of the name, and names of pods end in their number.
  const isSilent = /timeout|timed out|temporary|misbehaving|EAI_AGAIN/i.test(known.cause)
  const { hostNetwork, dnsPolicy = 'ClusterFirst' } = pod.spec ?? {}
  // https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/#pod-s-dns-policy
  if (known.rule === RESOLVED && inside && hostNetwork && dnsPolicy === 'ClusterFirst')
    return {
      ...known,
      cause: `${known.cause}; a pod on the network of the node asks the name server of the node`,
      fix: where => `set dnsPolicy: ClusterFirstWithHostNet ${where}`,
    }
  if (!service && (!inside || isSilent || /-\d+(\.|$)/.test(host))) return known
  const elsewhere = index.all('Service').find(({ metadata }) => metadata.name === host)?.metadata.namespace
  if (!service)
    return {
      ...known,
      cause: `there is no Service ${host} in ${namespace}${elsewhere ? `, only in ${elsewhere}` : ''}: ${known.cause}`,
      fix: where =>
        elsewhere
          ? `call it ${host}.${elsewhere} ${where}`
          : `correct the name ${host} ${where}, or create the Service`,
      by: undefined,
    }
  const title = refText(refOf(service))
  if (endpointsOf(service.metadata, index) === 0)
    return { ...known, by: [refOf(service), ...workloadsBehind(service, index)] }
  if (known.rule === RESOLVED)
    return isSilent
      ? known
      : {
          rule: 'cluster-dns-wrong',
          cause: `${known.cause}; ${title} exists, so that the name server of the cluster answers wrongly`,
          fix: () =>
            'correct the Corefile in ConfigMap kube-system/coredns (and coredns-custom): a template, rewrite or hosts entry answers for this name; then restart coredns',
          command: 'kubectl -n kube-system get configmap coredns -o yaml',
        }
  const ports = ((service.spec?.ports ?? []) as { port?: number }[]).flatMap(each => each.port ?? [])
  if (!port || ports.includes(port)) return known
  return {
    ...known,
    cause: `${title} has port ${ports.join(', ')}, not ${port}: ${known.cause}`,
    fix: where => `correct the port of its address ${where}`,
  }
}

/** The workloads whose pods a Service would send requests to, scaled to 0 as they may be. */
const workloadsBehind = (service: KubeObject, index: Index) =>
  ['Deployment', 'StatefulSet', 'DaemonSet']
    .flatMap(kind => index.within(kind, service.metadata.namespace))
    .filter(({ spec }) => leadsTo(service, spec?.template?.metadata?.labels))
    .map(refOf)
