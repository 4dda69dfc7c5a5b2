/** Secrets and ConfigMaps that a pod waits for. */
import { type KubeObject, type Ref, refOf, refText } from '../../kubectl/kubectl.ts'
import { type Finding, type Rule, tell } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { RESTART_K3S, refTo } from './failure.ts'
import { keysOf, nearestKey } from './given.ts'
import { type Read, readsOf } from './reads.ts'
import {
  containersOf,
  eventsOf,
  podsOf,
  since,
  suffersFrom,
  whereToChange,
  workloadOf,
} from './workload-facts.ts'

/** An object that a pod cannot start without, and the key of it where one is meant. */
type Need = Pick<Read, 'kind' | 'name' | 'key'>

/** Everything that a pod's spec names and does not call optional. */
const needsOf = (pod: KubeObject): Need[] => readsOf(pod).filter(({ isOptional }) => !isOptional)

/** Whether an object or a key of it is not there, as far as the snapshot knows: the keys of a ConfigMap may be unknown. */
function lacks({ kind, name, key }: Need, namespace: string, index: Index): boolean {
  if (index.blind(kind)) return false
  if (!(kind === 'ConfigMap' ? index.get(kind, namespace, name) : index.secret(namespace, name))) return true
  const keys = keysOf({ kind, name }, namespace, index)
  return key !== undefined && keys !== undefined && !keys.includes(key)
}

const MESSAGES: readonly [RegExp, (match: RegExpExecArray) => Need][] = [
  [
    /couldn't find key ([\w.-]+) in (Secret|ConfigMap) [\w-]+\/([\w.-]+)/,
    ([, key, kind, name]) => ({ kind: kind as Need['kind'], name: name!, key }),
  ],
  [
    /configmap references non-existent config key: ([\w.-]+)/,
    ([, key]) => ({ kind: 'ConfigMap', name: '', key }),
  ],
  [
    /\b(secret|configmap) "([\w.-]+)" not found/i,
    ([, kind, name]) => ({ kind: /secret/i.test(kind!) ? 'Secret' : 'ConfigMap', name: name! }),
  ],
]

/** What the kubelet says that a pod waits for: the keys of ConfigMaps are known from it alone. */
function toldBy(pod: KubeObject, index: Index): Need[] {
  const messages = [
    ...containersOf(pod).map(({ status }) => status.state?.waiting?.message),
    ...eventsOf(index, pod, /^FailedMount$/, 600).map(({ message }) => message),
  ]
  return messages.flatMap(message =>
    MESSAGES.flatMap(([pattern, of]) => {
      const match = pattern.exec(String(message ?? ''))
      return match ? [of(match)] : []
    }).slice(0, 1),
  )
}

/** Whether a pod has not started all of its containers although it had the time. */
function waits(pod: KubeObject, index: Index): boolean {
  if (since(index, pod.status?.startTime, pod.metadata.creationTimestamp) < 10 || !pod.spec?.nodeName)
    return false
  return (
    pod.status?.phase === 'Pending' ||
    containersOf(pod).some(({ status }) => status.state?.waiting?.reason === 'CreateContainerConfigError')
  )
}

/** What pods wait for, each missing object or key once, and each waiting pod as its symptom. */
const missingObjects: Rule = index => {
  const waiting = new Map<string, { need: Need; namespace: string; pods: KubeObject[] }>()
  for (const pod of podsOf(index)) {
    if (!waits(pod, index)) continue
    const { namespace = '' } = pod.metadata
    const needs = [...needsOf(pod).filter(each => lacks(each, namespace, index)), ...toldBy(pod, index)]
    for (const each of needs) {
      const named = each.name ? each : { ...each, name: nameByKey(pod, each) }
      // What was missing a moment ago may be there: the kubelet tries again within two minutes.
      if (!named.name || (named.kind === 'Secret' && !lacks(named, namespace, index))) continue
      if (named.kind === 'ConfigMap' && !named.key && !lacks(named, namespace, index)) continue
      const found = lacks({ kind: named.kind, name: named.name }, namespace, index)
      const key = `${named.kind} ${namespace}/${named.name} ${found ? '' : (named.key ?? '')}`
      const entry = waiting.get(key) ?? { need: named, namespace, pods: [] }
      if (!entry.pods.includes(pod)) entry.pods.push(pod)
      waiting.set(key, entry)
    }
  }
  return [...waiting.values()].flatMap(({ need: missing, namespace, pods }) => [
    ...objectFinding(missing, namespace, pods, index),
    ...pods.map((pod): Finding => podFinding(pod, missing)),
  ])
}

/** The ConfigMap that holds a key, when the kubelet names the key alone. */
function nameByKey(pod: KubeObject, { kind, key }: Need): string {
  return needsOf(pod).find(each => each.kind === kind && each.key === key)?.name ?? ''
}

const OTHER_KIND = { Secret: 'ConfigMap', ConfigMap: 'Secret' } as const
/** The fields of a pod that name either of them. */
const REFERRING = {
  Secret: ['secretKeyRef', 'secretRef', 'secret.secretName'],
  ConfigMap: ['configMapKeyRef', 'configMapRef', 'configMap.name'],
} as const

function objectFinding(
  { kind, name, key }: Need,
  namespace: string,
  pods: KubeObject[],
  index: Index,
): Finding[] {
  const subject = refTo(kind, namespace, name)
  const absent = lacks({ kind, name }, namespace, index)
  const [orphaned] = absent
    ? index
        .events({ ...subject, apiVersion: 'v1' })
        .filter(({ reason }) => reason === 'OwnerRefInvalidNamespace')
    : []
  const where = whereToChange(workloadOf(pods[0]!, index), index)
  const other = OTHER_KIND[kind]
  const isOther = absent && !index.blind(other) && !lacks({ kind: other, name }, namespace, index)
  const created = orphaned
    ? 'create it again without these ownerReferences: an owner has to be in the same namespace'
    : isOther
      ? `name that ${other} ${where}: ${REFERRING[other].join(', ')} in place of ${REFERRING[kind].join(', ')}`
      : (ofHook(workloadOf(pods[0]!, index)) ?? `create it, or correct its name ${where}`)
  const makers = kind === 'Secret' && absent ? makersOf(namespace, name, index) : []
  const keys = absent ? undefined : keysOf({ kind, name }, namespace, index)
  const near = keys && key && (nearestKey([key], keys) ?? (keys.length === 1 ? keys[0] : undefined))
  // https://github.com/k3s-io/k3s/blob/v1.34.1+k3s1/pkg/node/controller.go
  const isOfK3s = namespace === 'kube-system' && name === 'coredns' && key === 'NodeHosts'
  return [
    tell(
      { ...subject, apiVersion: 'v1' },
      {
        rule: `${kind.toLowerCase()}-${absent ? 'missing' : 'key-missing'}`,
        cause: absent
          ? `${refText(refOf(pods[0]!))} needs it, and it does not exist${orphaned ? ': Kubernetes deletes it, since its owner is not in its namespace' : isOther ? `: there is a ${other} of that name` : ''}`
          : `${refText(refOf(pods[0]!))} needs its key ${key}, which it does not have`,
        evidence: [
          ...pods.map(pod => `${refText(refOf(pod))} waits for it`),
          ...(orphaned ? [short(String(orphaned.message ?? ''))] : []),
        ],
        ...(makers.length > 0
          ? { text: `see why ${refText(makers[0]!)}, which makes it, has not` }
          : {
              text: absent
                ? created
                : isOfK3s
                  ? 'restart k3s: it writes that key itself'
                  : `add the key, or correct its name ${where}${near ? ` (it has ${near})` : ''}`,
              command: isOfK3s ? RESTART_K3S : `kubectl -n ${namespace} get ${kind.toLowerCase()}s`,
            }),
        ...suffersFrom(makers),
      },
    ),
  ]
}

/**
 * What a hook that runs before an installation lacks: Helm creates everything else after it.
 * Source: https://helm.sh/docs/topics/charts_hooks/#writing-a-hook
 */
function ofHook({ kind, metadata }: KubeObject): string | undefined {
  const [hook] = /\bpre-(install|upgrade)\b/.exec(metadata.annotations?.['helm.sh/hook'] ?? '') ?? []
  const weight = Number(metadata.annotations?.['helm.sh/hook-weight'] ?? 0)
  return hook
    ? `${kind} ${metadata.name} is a hook of Helm that runs before anything else is created: make what it needs a hook, too (helm.sh/hook: ${hook}), with a helm.sh/hook-weight below ${weight}; or create it before the installation`
    : undefined
}

/**
 * What makes a Secret: a Certificate its TLS secret, an OAuth2Client that of its credentials, and the objects of
 * operators that are called after it (ExternalSecret, SealedSecret, VaultStaticSecret): one of its own name unless they
 * give another.
 */
function makersOf(namespace: string, name: string, index: Index): Ref[] {
  const operated = index.kinds().filter(kind => /.Secret$/.test(kind))
  const makers = ['Certificate', 'OAuth2Client', ...operated]
    .flatMap(kind => index.within(kind, namespace))
    .filter(({ kind, metadata, spec }) => {
      const made = spec?.secretName ?? spec?.target?.name ?? spec?.destination?.name
      return (made ?? (operated.includes(kind) ? metadata.name : undefined)) === name
    })
  // hydra-maester, the operator of OAuth2Clients, has no edge of its own.
  const maester = makers.some(({ kind }) => kind === 'OAuth2Client')
    ? index.all('Deployment').filter(({ metadata }) => /maester/.test(metadata.name))
    : []
  return [...makers, ...maester].map(refOf)
}

function podFinding(pod: KubeObject, { kind, name, key }: Need): Finding {
  const what = `${kind} ${name}`
  return tell(pod, {
    rule: 'pod-waits-for-object',
    cause: `cannot start without ${key ? `the key ${key} of ` : ''}${what}`,
    text: `see ${what}`,
    symptom: true,
    causedBy: [refTo(kind, pod.metadata.namespace, name)],
  })
}

export const rules: Rule[] = [missingObjects]
