/** References from one object to another that does not exist: one table of fields, one rule. */
import { type Condition, condition } from '../../flux/flux.ts'
import { isOfOwnSource } from '../../flux/own-sources.ts'
import { type KubeObject, type Ref, refOf, refText } from '../../kubectl/kubectl.ts'
import { fits, selectorText } from '../../kubectl/selector.ts'
import { isOfOthers } from '../allowed/object.ts'
import { each, type Finding, type Rule, tell } from '../finding.ts'
import { keyOf, leadsTo } from '../graph.ts'
import type { Index } from '../snapshot.ts'
import { refTo } from './failure.ts'
import { formerGroup } from './former-groups.ts'
import { middlewareCalled } from './routes.ts'
import { describing, since, whereToChange } from './workload-facts.ts'
import { pods } from './workloads.ts'

/** A field that names another object. */
interface Reference {
  kind: string
  field: string
  /** What it names; none where it is left out. */
  to: (object: KubeObject, index: Index) => readonly Named[]
  /** What does not work without it. */
  effect: string
}

interface Named {
  kind: string
  name?: string
  namespace?: string
}

const WORKLOADS = ['Deployment', 'StatefulSet', 'DaemonSet']
const templateOf = ({ spec }: KubeObject) => spec?.template?.spec ?? {}
const here = (object: KubeObject, kind: string, name: unknown): Named[] =>
  typeof name === 'string' && name !== '' ? [{ kind, name, namespace: object.metadata.namespace }] : []
const global = (kind: string, name: unknown): Named[] =>
  typeof name === 'string' && name !== '' ? [{ kind, name }] : []

/**
 * The Middleware that Traefik calls NAMESPACE-NAME@kubernetescrd; undefined for one that is not of the cluster, as of a
 * file. Source: https://doc.traefik.io/traefik/reference/install-configuration/providers/overview/#provider-namespace
 */
function ofProvider(called: string, index: Index): Named | undefined {
  const full = /^\s*([\w.-]+)@kubernetescrd\s*$/.exec(called)?.[1]
  return full && index.all('Namespace').length > 0 ? middlewareCalled(full, index) : undefined
}

/** Kinds of which none may exist: for these an empty list proves that one is missing. */
const CERTAIN = /^(Deployment|StatefulSet|Service|Role|Secret)$/

const REFERENCES: readonly Reference[] = [
  {
    kind: 'HorizontalPodAutoscaler',
    field: 'spec.scaleTargetRef',
    to: object => here(object, object.spec?.scaleTargetRef?.kind ?? '', object.spec?.scaleTargetRef?.name),
    effect: 'nothing is scaled',
  },
  {
    kind: 'StatefulSet',
    field: 'spec.serviceName',
    to: object => here(object, 'Service', object.spec?.serviceName),
    effect: 'its pods have no names in DNS',
  },
  {
    kind: 'RoleBinding',
    field: 'roleRef',
    to: object => {
      const { kind, name } = object.roleRef ?? {}
      return kind === 'ClusterRole' ? global(kind, name) : here(object, 'Role', name)
    },
    effect: 'its subjects have no rights by it',
  },
  {
    kind: 'ClusterRoleBinding',
    field: 'roleRef',
    to: object => global('ClusterRole', object.roleRef?.name),
    effect: 'its subjects have no rights by it',
  },
  ...['RoleBinding', 'ClusterRoleBinding'].map(
    (kind): Reference => ({
      kind,
      field: 'subjects',
      to: object =>
        ((object.subjects ?? []) as Named[]).flatMap(subject =>
          subject.kind === 'ServiceAccount'
            ? [
                {
                  kind: 'ServiceAccount',
                  name: subject.name,
                  namespace: subject.namespace ?? object.metadata.namespace,
                },
              ]
            : [],
        ),
      effect: 'whoever was meant has no rights',
    }),
  ),
  ...WORKLOADS.flatMap((kind): Reference[] => [
    {
      kind,
      field: 'imagePullSecrets',
      to: object =>
        ((templateOf(object).imagePullSecrets ?? []) as Named[]).flatMap(({ name }) =>
          here(object, 'Secret', name),
        ),
      effect: 'private images cannot be pulled',
    },
  ]),
  {
    kind: 'Ingress',
    field: 'annotation traefik.ingress.kubernetes.io/router.middlewares (NAMESPACE-NAME@kubernetescrd)',
    to: (object, index) =>
      String(object.metadata.annotations?.['traefik.ingress.kubernetes.io/router.middlewares'] ?? '')
        .split(',')
        .flatMap(each => ofProvider(each, index) ?? []),
    effect: 'Traefik does not serve it, and answers 404',
  },
  {
    kind: 'IngressRoute',
    field: 'spec.routes',
    to: (object, index) =>
      ((object.spec?.routes ?? []) as { services?: Named[]; middlewares?: Named[] }[]).flatMap(
        ({ services = [], middlewares = [] }) => [
          ...services
            .filter(({ kind = 'Service' }) => kind === 'Service')
            .map(each => ({ namespace: object.metadata.namespace, ...each, kind: 'Service' })),
          ...middlewares.flatMap(each =>
            each.name?.includes('@')
              ? (ofProvider(each.name, index) ?? [])
              : [{ namespace: object.metadata.namespace, ...each, kind: 'Middleware' }],
          ),
        ],
      ),
    effect: 'Traefik does not serve it, and answers 404',
  },
  {
    kind: 'Gateway',
    field: 'spec.gatewayClassName',
    to: object => global('GatewayClass', object.spec?.gatewayClassName),
    effect: 'nobody serves it',
  },
  {
    kind: 'HTTPRoute',
    field: 'spec.parentRefs',
    to: ({ spec, metadata }) =>
      ((spec?.parentRefs ?? []) as Named[])
        .filter(({ kind = 'Gateway' }) => kind === 'Gateway')
        .map(each => ({ namespace: metadata.namespace, ...each, kind: 'Gateway' })),
    effect: 'nobody serves it',
  },
  {
    kind: 'HTTPRoute',
    field: 'spec.rules',
    to: ({ spec, metadata }) =>
      ((spec?.rules ?? []) as { backendRefs?: Named[] }[]).flatMap(({ backendRefs = [] }) =>
        backendRefs
          .filter(({ kind = 'Service' }) => kind === 'Service')
          .map(each => ({ namespace: metadata.namespace, ...each, kind: 'Service' })),
      ),
    effect: 'requests to it are answered with 500',
  },
  {
    // https://istio.io/latest/docs/reference/config/networking/virtual-service/#Destination
    kind: 'VirtualService',
    field: 'spec.http.route.destination.host',
    to: (object, index) =>
      [...new Set(destinationsOf(object).map(({ host }) => host))].flatMap(
        host => serviceOf(object, host, index) ?? [],
      ),
    effect: 'requests to it are answered with 503',
  },
  {
    // The certificates of a gateway lie beside its pods: https://istio.io/latest/docs/reference/config/networking/gateway/#ServerTLSSettings
    kind: 'Gateway.networking.istio.io',
    field: 'spec.servers.tls.credentialName',
    to: (object, index) => {
      const pods = index.all('Pod').filter(({ metadata }) => leadsTo(object, metadata.labels))
      const [namespace, other] = [...new Set(pods.map(({ metadata }) => metadata.namespace))]
      const names = ((object.spec?.servers ?? []) as { tls?: { credentialName?: string } }[])
        .flatMap(({ tls }) => tls?.credentialName ?? [])
        .filter(name => !name.includes('://'))
      // With pods in several namespaces one of them may be meant.
      return namespace && !other ? names.map(name => ({ kind: 'Secret', name, namespace })) : []
    },
    effect: 'its hosts are not served over TLS (it has to lie beside the pods of the gateway)',
  },
  {
    kind: 'IngressRoute',
    field: 'spec.tls.secretName',
    to: object => here(object, 'Secret', object.spec?.tls?.secretName),
    effect: 'Traefik shows its default certificate',
  },
  {
    kind: 'ServiceAccount',
    field: 'imagePullSecrets',
    to: object =>
      ((object.imagePullSecrets ?? []) as Named[]).flatMap(({ name }) => here(object, 'Secret', name)),
    effect: 'private images cannot be pulled with it',
  },
  {
    kind: 'HelmRelease',
    field: 'spec.chart.spec.sourceRef',
    to: object => {
      const { kind, name, namespace = object.metadata.namespace } = object.spec?.chart?.spec?.sourceRef ?? {}
      return kind ? [{ kind, name, namespace }] : []
    },
    effect: 'its chart cannot be fetched',
  },
]

interface Destination {
  host: string
  subset?: string
}

/** Where a VirtualService of Istio sends requests. */
const destinationsOf = ({ spec }: KubeObject): Destination[] =>
  (['http', 'tcp', 'tls'] as const)
    .flatMap(protocol => (spec?.[protocol] ?? []) as { route?: { destination?: Destination }[] }[])
    .flatMap(({ route = [] }) => route)
    .flatMap(({ destination }) => (destination?.host ? [destination] : []))

/** The Service that a host of Istio means; undefined for one outside of the cluster, or of a ServiceEntry. */
function serviceOf({ metadata }: KubeObject, host: string, index: Index): Named | undefined {
  const [name = '', namespace = metadata.namespace, svc] = host.split('.')
  const isEntry = index.all('ServiceEntry').some(({ spec }) => spec?.hosts?.includes(host))
  const isInside =
    svc === 'svc' ||
    !host.includes('.') ||
    (svc === undefined && index.get('Namespace', undefined, namespace ?? ''))
  return isEntry || !isInside || host.includes('*') ? undefined : { kind: 'Service', name, namespace }
}

/** Subsets that a VirtualService names and that no DestinationRule of the same host has. */
const subsets = each('VirtualService', (object, index) => {
  for (const { host, subset } of destinationsOf(object)) {
    const service = serviceOf(object, host, index)
    if (!subset || !service?.name || !exists({ ...service, name: service.name }, index)) continue
    const same = index.all('DestinationRule').filter(rule => {
      const other = serviceOf(rule, String(rule.spec?.host ?? ''), index)
      return other && other.name === service.name && other.namespace === service.namespace
    })
    const known = same.flatMap(({ spec }) => ((spec?.subsets ?? []) as Named[]).map(({ name }) => name))
    if (known.includes(subset) || index.all('DestinationRule').length === 0) continue
    return {
      rule: 'reference-missing',
      cause: `its route names the subset ${subset} of ${host}, which no DestinationRule has: requests to it are answered with 503`,
      text: `correct the subset ${whereToChange(object, index)}${known.length > 0 ? ` (there is ${known.join(', ')})` : ''}, or add it to the DestinationRule of ${host}`,
      command: describing(object),
    }
  }
  return undefined
})

/** Namespaces whose objects Kubernetes creates itself, before what they name. */
const SYSTEM = /^kube-/

const missing: Rule = (index, told = []) => {
  // What is only untidy as long as nobody asks for it.
  const asked = told.filter(({ cause }) => cause.includes('there is no Service'))
  const suffer = new Set(asked.flatMap(({ causedBy = [] }) => causedBy).map(keyOf))
  return REFERENCES.flatMap(({ kind, field, to, effect }) =>
    index.all(kind).flatMap((object): Finding[] => {
      const { namespace = '', name } = object.metadata
      if (
        SYSTEM.test(namespace) ||
        /^system:/.test(name) ||
        isOfOwnSource(object) || // what add-source creates is judged together, with its remedy
        since(index, object.metadata.creationTimestamp) < 60
      )
        return []
      // Charts whose pods nobody calls by name fill the field in with the name of the StatefulSet, as Argo CD's does.
      const isNeeded =
        field === 'spec.serviceName' &&
        (object.spec?.serviceName !== name || suffer.has(keyOf(refOf(object))))
      // What has all of its pods does not miss it.
      if (WORKLOADS.includes(kind) && !isNeeded && !lacksPods(object)) return []
      const lacks = (named: Named) => !!named.name && !exists(named as Named & { name: string }, index)
      // A binding names accounts of parts that may be left out, as Flux' own does: none of them is a mistake.
      if (field === 'subjects' && !to(object, index).every(lacks)) return []
      return to(object, index).flatMap(named => {
        if (!named.name || !lacks(named)) return []
        const ref: Ref = { apiVersion: '', kind: named.kind, name: named.name, namespace: named.namespace }
        if (SYSTEM.test(named.namespace ?? '') || /^system:/.test(named.name)) return []
        return [
          {
            rule: 'reference-missing',
            verdict:
              /^(StatefulSet|ClusterRoleBinding|ServiceAccount)$/.test(kind) &&
              !suffer.has(keyOf(refOf(object)))
                ? 'warning'
                : 'broken',
            subject: refOf(object),
            cause: `its ${field} names ${refText(ref)}, which does not exist: ${effect}`,
            evidence: [],
            // Its pods say more, where they exist.
            ...(field === 'imagePullSecrets' ? { symptom: true as const } : {}),
            remedy: {
              text: `create ${refText(ref)}, or correct ${field} ${whereToChange(object, index)}`,
              command: `kubectl ${named.namespace ? `-n ${named.namespace} ` : ''}get ${named.kind.toLowerCase()}s`,
            },
          },
        ]
      })
    }),
  )
}

function exists({ kind, name, namespace }: Named & { name: string }, index: Index): boolean {
  if (index.blind(kind)) return true
  if (kind === 'Secret') return index.secret(namespace ?? '', name) !== undefined
  // What a former toolkit has not read, or a cluster does not serve, proves nothing.
  if (index.all(kind).length === 0 && !CERTAIN.test(kind)) return true
  return [namespace, undefined].some(place => index.get(kind, place, name) !== undefined)
}

function lacksPods(workload: KubeObject): boolean {
  const { wanted, available } = pods(workload)
  return available < wanted
}

/**
 * Automations of Flux whose selector fits no ImagePolicy: they report Ready, and update nothing.
 * Source: https://fluxcd.io/flux/components/image/imageupdateautomations/#policyselector
 */
const selectsNoPolicy = each('ImageUpdateAutomation', (automation, index) => {
  const { namespace } = automation.metadata
  if (condition(automation, 'Ready')?.status === 'False') return undefined // it says why itself
  const policies = index.within('ImagePolicy', namespace)
  const selector = automation.spec?.policySelector
  if (index.blind('ImagePolicy') || policies.some(({ metadata }) => fits(selector, metadata.labels)))
    return undefined
  return {
    rule: 'automation-selects-nothing',
    cause: `its policySelector fits no ImagePolicy${selector ? ` (${selectorText(selector)})` : ''}: no image is updated`,
    evidence: policies
      .slice(0, 5)
      .map(({ metadata }) => `ImagePolicy ${metadata.name} has the labels ${labelText(metadata.labels)}`),
    text: `correct spec.policySelector ${whereToChange(automation, index)}, or label the ImagePolicy so`,
    command: `kubectl -n ${namespace} get imagepolicies --show-labels`,
  }
})

const labelText = (labels: Record<string, string> = {}) =>
  Object.entries(labels)
    .map(pair => pair.join('='))
    .join(', ') || 'none'

/** Objects of others that do not say that they work, and name one that does not exist in a field like providerRef. */
const missingOfOthers: Rule = index =>
  index
    .kinds()
    .flatMap(kind => index.all(kind))
    .filter(object => isOfOthers(object) && since(index, object.metadata.creationTimestamp) > 600)
    .filter(({ status }) => !status?.readyToUse)
    .filter(
      object => !((object.status?.conditions ?? []) as Condition[]).some(({ status }) => status === 'True'),
    )
    .flatMap(object =>
      Object.entries((object.spec ?? {}) as Record<string, Named>).flatMap(([field, named]): Finding[] => {
        const word = field.slice(0, -'Ref'.length)
        const kind = named.kind ?? `${word[0]?.toUpperCase()}${word.slice(1)}`
        const { name, namespace = object.metadata.namespace } = named
        if (!name || !namespace) return []
        // One for the whole cluster has to be named by its own kind, as a ClusterIssuer or ClusterSecretStore.
        const wider = index.get(`Cluster${kind}`, undefined, name)
        const isThere = index.get(kind, namespace, name) !== undefined
        if (isThere || (!wider && exists({ kind, name, namespace }, index))) return []
        const ref = refTo(kind, namespace, name)
        return [
          tell(object, {
            rule: 'reference-missing',
            cause: `its spec.${field} names ${refText(ref)}, which does not exist${wider ? `: there is a ${wider.kind} of that name` : ''}`,
            text: wider
              ? `set kind: ${wider.kind} in spec.${field} ${whereToChange(object, index)}`
              : `create ${refText(ref)}, or correct spec.${field} ${whereToChange(object, index)}`,
            command: describing(object),
          }),
        ]
      }),
    )

/** Objects of API groups that a program has given up: they are kept, and nobody reads them. */
const ofFormerGroup: Rule = index =>
  index
    .kinds()
    .flatMap(kind => index.all(kind))
    .flatMap(object => {
      const former = formerGroup(object.apiVersion)
      if (!former) return []
      const { group, now, program } = former
      return [
        tell(object, {
          rule: 'api-group-former',
          verdict: 'warning',
          cause: `its API group ${group} is not read any more: ${program} reads ${now}`,
          text: `write apiVersion ${now}/… ${whereToChange(object, index)}, and delete this object`,
          command: `kubectl get ${object.kind.toLowerCase()}s.${group} -A`,
        }),
      ]
    })

export const rules: Rule[] = [missing, subsets, missingOfOthers, selectsNoPolicy, ofFormerGroup]
