/** The way of a request: hosts that two Ingresses claim, Ingresses that nobody serves, ports that nobody listens on. */
import { type KubeObject, type Ref, refOf, refText } from '../../kubectl/kubectl.ts'
import { each, type Finding, type Rule, tell } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { refTo } from './failure.ts'
import { isSolver } from './ingresses.ts'
import { describing, podsBehind, releaseOf, since, whereToChange, workloadOf } from './workload-facts.ts'

const DEFAULT = 'ingressclass.kubernetes.io/is-default-class'

/**
 * The Middleware that Traefik calls NAMESPACE-NAME. Namespaces have hyphens, too, so that the longest that exists is
 * meant. Pure.
 */
export function middlewareCalled(full: string, index: Index): Ref {
  const namespace = index
    .all('Namespace')
    .map(({ metadata }) => metadata.name)
    .filter(home => full.startsWith(`${home}-`))
    .sort((a, b) => b.length - a.length)[0]
  return refTo('Middleware', namespace, namespace ? full.slice(namespace.length + 1) : full)
}

interface Route {
  host?: string
  http?: { paths?: { path?: string }[] }
}

/** The entry points of Traefik that an Ingress names; without any it is served at those by default. */
const entryPointsOf = ({ metadata }: KubeObject): string[] =>
  metadata.annotations?.['traefik.ingress.kubernetes.io/router.entrypoints']
    ?.split(',')
    .map(each => each.trim()) ?? []

/** Hosts and paths that several Ingresses of one class serve: which of them answers is up to the controller. */
const claimedTwice: Rule = index => {
  const claims = new Map<string, KubeObject[]>()
  for (const ingress of index.all('Ingress')) {
    const { annotations = {} } = ingress.metadata
    // A canary gets a part of the requests, and is meant to have the host and path of another one.
    if (isSolver(ingress) || annotations['nginx.ingress.kubernetes.io/canary'] === 'true') continue
    const entryPoints = entryPointsOf(ingress).sort().join(',')
    const name = ingress.spec?.ingressClassName ?? annotations['kubernetes.io/ingress.class'] ?? ''
    for (const { host, http } of (ingress.spec?.rules ?? []) as Route[])
      for (const { path = '/' } of http?.paths ?? []) {
        const key = `${name}/${entryPoints} ${host ?? '*'}${path}`
        const known = claims.get(key) ?? []
        if (!known.includes(ingress)) claims.set(key, [...known, ingress])
      }
  }
  return [...claims].flatMap(([key, ingresses]): Finding[] => {
    const [first, ...others] = ingresses
    if (
      !first ||
      others.length === 0 ||
      first.metadata.annotations?.['traefik.ingress.kubernetes.io/router.priority']
    )
      return []
    const names = ingresses.map(each => refText(refOf(each))).join(' and ')
    return [
      tell(first, {
        rule: 'host-claimed-twice',
        verdict: 'warning',
        cause: `${key.split(' ')[1]} is served by ${names}: only one of them answers`,
        text: 'give one of them another host or path, or delete it',
        command: 'kubectl get ingress -A',
      }),
    ]
  })
}

/**
 * Entry points that Traefik does not have. Its chart names the ports of its container after them
 * (https://github.com/traefik/traefik-helm-chart/blob/v37.0.0/traefik/values.yaml, ports).
 */
const withoutEntryPoint = each(['Ingress', 'IngressRoute'], (route, index) => {
  const { kind, metadata, spec } = route
  const asked: string[] = spec?.entryPoints ?? entryPointsOf(route)
  const there = ['Deployment', 'DaemonSet']
    .flatMap(workload => index.all(workload))
    .filter(each => each.metadata.labels?.['app.kubernetes.io/name'] === 'traefik')
    .flatMap(each => (each.spec?.template?.spec?.containers ?? []) as { ports?: { name?: string }[] }[])
    .flatMap(({ ports = [] }) => ports.flatMap(({ name }) => name ?? []))
  const lacking = asked.filter(each => !there.includes(each))
  if (!there.includes('websecure') || lacking.length === 0 || since(index, metadata.creationTimestamp) < 120)
    return undefined
  const isAll = lacking.length === asked.length
  return {
    rule: 'entry-point-missing',
    verdict: isAll ? 'broken' : 'warning',
    cause: `Traefik has no entry point ${lacking.join(', ')}${isAll ? ': it does not serve it, and answers 404' : ''}`,
    evidence: [`it has: ${there.join(', ')}`],
    text: `name one that it has: in ${kind === 'Ingress' ? 'the annotation router.entrypoints' : 'spec.entryPoints'}`,
    command: `kubectl -n ${metadata.namespace} describe ${kind.toLowerCase()} ${metadata.name}`,
  }
})

/** Ingresses that name no class where none is the default. */
const withoutClass = each('Ingress', (ingress, index) => {
  const { namespace, name, annotations, creationTimestamp } = ingress.metadata
  const named = ingress.spec?.ingressClassName ?? annotations?.['kubernetes.io/ingress.class']
  const classes = index.all('IngressClass')
  if (named || isSolver(ingress) || index.blind('IngressClass') || since(index, creationTimestamp) < 120)
    return undefined
  if (classes.some(({ metadata }) => metadata.annotations?.[DEFAULT] === 'true')) return undefined
  if ((ingress.status?.loadBalancer?.ingress ?? []).length > 0) return undefined
  const known = classes[0]?.metadata.name ?? 'traefik'
  return {
    rule: 'ingress-without-class',
    cause: 'it names no class, and no IngressClass is the default: nothing serves it',
    text: `set ingressClassName: ${known} ${whereToChange(ingress, index)}, or make that class the default`,
    command: `kubectl -n ${namespace} patch ingress ${name} --type merge -p '{"spec":{"ingressClassName":"${known}"}}'`,
  }
})

interface Port {
  name?: string
  port?: number
  targetPort?: number | string
  protocol?: string
}
interface ContainerPort {
  name?: string
  containerPort?: number
  protocol?: string
}
interface Container {
  ports?: ContainerPort[]
}

/** Services that send requests to a port that no container of their ready pods has. */
const targetPorts = each('Service', (service, index) => {
  const pods = podsBehind(service, index)
  const listed = pods.flatMap(portsIn)
  if (pods.length === 0 || listed.length === 0) return undefined // ports need not be listed
  const ports = (service.spec?.ports ?? []) as Port[]
  return ports.flatMap((each): Finding[] => {
    const { port, targetPort = port, protocol = 'TCP' } = each
    const named = typeof targetPort === 'string'
    const isMeant = (own: ContainerPort) => isPort(own, targetPort)
    const same = listed.filter(isMeant)
    if (isListed(each, listed)) {
      const right = pods.find(pod => portsIn(pod).some(isMeant))!
      const wrong = pods.find(
        pod =>
          portsIn(pod).length > 0 &&
          !portsIn(pod).some(isMeant) &&
          workloadOf(pod, index) !== workloadOf(right, index),
      )
      return wrong ? [selectsOthers(service, wrong, right, targetPort)] : []
    }
    // A number works without being listed, and a headless Service gives addresses alone. Where another port of the
    // Service fits, its pods are those that are meant.
    const fitting = ports.some(other => other !== each && isListed(other, listed))
    if (!named && (fitting || service.spec?.clusterIP === 'None')) return []
    // A port that is listed once may be there by both protocols: name servers answer by either.
    if (same.length > 0)
      return fitting ? [] : [otherProtocol(service, targetPort, protocol, same[0]!.protocol)]
    // A lone list with another number was mistaken.
    if (!named && new Set(listed.map(({ containerPort }) => containerPort)).size > 1) return []
    const has = [
      ...new Set(listed.map(each => (named ? (each.name ?? each.containerPort) : each.containerPort))),
    ]
    return [
      tell(service, {
        rule: 'service-port-mismatch',
        cause: `it sends requests to port ${targetPort}, and the containers of its pods have ${has.join(', ')}`,
        evidence: [
          `selects ${pods
            .slice(0, 3)
            .map(each => each.metadata.name)
            .join(', ')}`,
        ],
        text: `correct targetPort ${whereToChange(service, index)}`,
        command: describing(service),
      }),
    ]
  })
})

const isPort = (own: ContainerPort, wanted: number | string | undefined) =>
  (typeof wanted === 'string' ? own.name : own.containerPort) === wanted

/** Whether containers list the port to which one of a Service leads, with its protocol. */
const isListed = ({ port, targetPort = port, protocol = 'TCP' }: Port, listed: readonly ContainerPort[]) =>
  listed.some(own => isPort(own, targetPort) && (own.protocol ?? 'TCP') === protocol)

const portsIn = ({ spec }: KubeObject): ContainerPort[] =>
  ([...(spec?.containers ?? []), ...(spec?.initContainers ?? [])] as Container[]).flatMap(
    ({ ports }) => ports ?? [],
  )

/** A Service that selects pods of another workload besides those that are meant. */
function selectsOthers(service: KubeObject, wrong: KubeObject, right: KubeObject, port: unknown): Finding {
  return tell(service, {
    rule: 'service-selects-others',
    cause: `it also selects Pod ${wrong.metadata.name}, which has no port ${port}: a part of the requests fails`,
    evidence: [`it is meant for pods like ${right.metadata.name}`],
    text: 'select by a label that only the pods that are meant have',
    command: describing(service),
  })
}

/** A Service that sends by another protocol than its pods listen with. */
function otherProtocol(service: KubeObject, port: unknown, sent: string, listens = 'TCP'): Finding {
  return tell(service, {
    rule: 'service-port-mismatch',
    cause: `it sends ${sent} to port ${port}, where its pods listen for ${listens}`,
    text: `correct protocol of this port: the Service and the containers need the same`,
    command: describing(service),
  })
}

/** Services that are another name for a Service of the cluster which does not exist, or for themselves. */
const aliases = each('Service', (service, index) => {
  const { namespace, name } = service.metadata
  const alias = String(service.spec?.type === 'ExternalName' ? service.spec.externalName : '')
  const [, target = '', home = ''] = /^([\w-]+)\.([\w-]+)\.svc(\.|$)/.exec(alias) ?? []
  if (/^[\d.]+$|:/.test(alias))
    return {
      rule: 'service-alias-broken',
      cause: `its externalName ${alias} is an address, which DNS does not give as a name`,
      text: `make it a Service without selector, and give it an EndpointSlice with ${alias}; or name a host ${whereToChange(service, index)}`,
      command: describing(service),
    }
  const itself = target === name && home === namespace
  if (!target || (!itself && index.get('Service', home, target))) return undefined
  return {
    rule: 'service-alias-broken',
    cause: itself
      ? `its externalName ${alias} is its own name: requests lead nowhere`
      : `its externalName ${alias} names Service ${home}/${target}, which does not exist`,
    text: `correct externalName ${whereToChange(service, index)}`,
    command: `kubectl get services -A`,
  }
})

/** Ports of Services that routes name and that these do not have. */
const routePorts = each(['IngressRoute', 'HTTPRoute'], ({ kind, metadata, spec }, index) =>
  [...(spec?.routes ?? []), ...(spec?.rules ?? [])].flatMap(
    ({ services = [], backendRefs = [] }: { services?: RouteTo[]; backendRefs?: RouteTo[] }) =>
      [...services, ...backendRefs].flatMap(({ name, namespace = metadata.namespace, port }) => {
        const ports = index.get('Service', namespace, name ?? '')?.spec?.ports as Port[] | undefined
        if (port === undefined || !ports || ports.some(each => each.port === port || each.name === port))
          return []
        return {
          rule: 'ingress-port-missing',
          cause: `it leads to port ${port} of the Service ${name}, which has no such port`,
          text: `correct the port: the Service has ${ports.map(each => each.port).join(', ')}`,
          command: `kubectl -n ${metadata.namespace} describe ${kind.toLowerCase()} ${metadata.name}`,
        }
      }),
  ),
)

interface RouteTo {
  name?: string
  namespace?: string
  port?: number | string
}

/** Services that answer only on the node of their pods, and have none on some nodes. */
const localOnly = each('Service', (service, index) => {
  const { namespace, name } = service.metadata
  const { type, internalTrafficPolicy, externalTrafficPolicy } = service.spec ?? {}
  const field =
    internalTrafficPolicy === 'Local'
      ? 'internalTrafficPolicy'
      : type === 'NodePort' && externalTrafficPolicy === 'Local'
        ? 'externalTrafficPolicy'
        : undefined
  if (!field) return undefined
  const pods = podsBehind(service, index)
  const has = new Set(pods.map(({ spec }) => spec?.nodeName))
  const lacks = index.all('Node').flatMap(({ metadata }) => (has.has(metadata.name) ? [] : metadata.name))
  if (
    pods.length === 0 ||
    lacks.length === 0 ||
    pods.some(pod => workloadOf(pod, index).kind === 'DaemonSet')
  )
    return undefined
  return {
    rule: 'service-local-only',
    verdict: 'warning',
    cause: `${field} is Local: requests ${field.startsWith('int') ? 'from pods on' : 'to the address of'} ${lacks.slice(0, 3).join(', ')} are dropped, since none of its pods runs there`,
    text: `set ${field} to Cluster ${whereToChange(service, index)}, or run a pod of it on every node`,
    command: `kubectl -n ${namespace} patch service ${name} -p '{"spec":{"${field}":"Cluster"}}'`,
  }
})

/**
 * Whether a name server knows the Services of the cluster: one of kube-system, or the cache on the node, which has an
 * address of that node alone. Those of 169.254.169 are of clouds, and do not know them.
 * Source: https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns/
 */
const isOfCluster = (server: string, index: Index) =>
  /^169\.254\.(?!169\.)/.test(server) ||
  index
    .within('Service', 'kube-system')
    .some(
      ({ spec }) => spec?.clusterIP === server && (spec?.ports as Port[])?.some(({ port }) => port === 53),
    )

/** Workloads whose pods ask other name servers than that of the cluster. */
const otherNames: Rule = index =>
  ['Deployment', 'StatefulSet', 'DaemonSet'].flatMap(kind =>
    index.all(kind).flatMap((workload): Finding[] => {
      const { dnsPolicy, dnsConfig } = workload.spec?.template?.spec ?? {}
      const servers = (dnsConfig?.nameservers ?? []) as string[]
      if (dnsPolicy !== 'None' || servers.some(server => isOfCluster(server, index))) return []
      if (releaseOf(workload, index)) return []
      return [
        tell(workload, {
          rule: 'workload-other-names',
          verdict: 'warning',
          cause: `dnsPolicy None: its pods ask ${servers.join(', ') || 'no name server'}, which does not know the Services of the cluster`,
          text: `set dnsPolicy to ClusterFirst ${whereToChange(workload, index)}`,
          command: `kubectl -n ${workload.metadata.namespace} describe ${kind.toLowerCase()} ${workload.metadata.name}`,
        }),
      ]
    }),
  )

export const rules: Rule[] = [
  claimedTwice,
  withoutClass,
  withoutEntryPoint,
  targetPorts,
  aliases,
  routePorts,
  localOnly,
  otherNames,
]
