/** What concerns the whole cluster or a whole namespace: APIs, webhooks, deletions, quotas. */

import { type Condition, condition } from '../../flux/flux.ts'
import { type KubeObject, type Ref, refOf } from '../../kubectl/kubectl.ts'
import { durationText } from '../../script/duration.ts'
import { each, type Finding, type Rule, tell } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { recognise } from './failure.ts'
import { quantity } from './quantity.ts'
import { refusals } from './refusals.ts'
import { serviceRef } from './services.ts'
import { endpointsOf, eventsOf, podsBehind, since, suffersFrom, workloadsBehind } from './workload-facts.ts'

/** APIs whose own server does not answer: lists of everything, and deletions of namespaces, fail with them. */
const apis = each('APIService', (api, index) => {
  const available = condition(api, 'Available')
  if (available?.status !== 'False' || since(index, available.lastTransitionTime) < 15) return undefined
  const service = serviceRef(api.spec?.service)
  if (service && isBeingReplaced(service, index)) return undefined
  const missing = service && !index.find(service) && !index.blind('Service')
  const [, why, fix] = ANSWERS.find(([pattern]) => pattern.test(available.message ?? '')) ?? []
  return {
    rule: 'api-unavailable',
    cause: missing
      ? `the API ${api.metadata.name} has no server any more: Service ${service.namespace}/${service.name} does not exist`
      : `the API ${api.metadata.name} ${why ?? 'does not answer'}`,
    evidence: [`Available=False ${available.reason ?? ''}: ${short(available.message ?? '')}`],
    ...(missing
      ? {
          text: 'delete the registration if what served it was removed',
          command: `kubectl delete apiservice ${api.metadata.name}`,
          ...leftover(api, index),
        }
      : {
          text: fix ?? 'see the pods of its Service',
          command: `kubectl describe apiservice ${api.metadata.name}`,
        }),
    ...(service && !missing
      ? {
          symptom: true,
          causedBy: [service, ...index.within('NetworkPolicy', service.namespace).map(refOf)],
        }
      : {}),
  }
})

/** Seconds that a pod in the place of another one may take to start, before it is known whether it works. */
const STARTING = 60

/** Whether a pod behind a Service has just been created, and has not failed yet. */
function isBeingReplaced(ref: Ref, index: Index): boolean {
  const service = index.find(ref)
  const pods = service ? podsBehind(service, index) : []
  return pods.some(
    ({ metadata, status }) =>
      since(index, metadata.creationTimestamp) < STARTING &&
      ((status?.containerStatuses ?? []) as { restartCount?: number }[]).every(each => !each.restartCount),
  )
}

/**
 * What the API server hears from the server of an API, and what to do about it.
 * Source: https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/
 */
const ANSWERS: readonly [pattern: RegExp, why: string, fix: string][] = [
  [
    /is not listening on port/,
    'names a port that its Service does not have',
    'correct spec.service.port of the APIService, or the ports of the Service',
  ],
  [
    /bad status from \S+: 40[13]/,
    'has a server that does not accept the API server',
    'give its ServiceAccount the Role extension-apiserver-authentication-reader in kube-system, with the requestheader CA of the API server in it, then restart its pods',
  ],
  [
    /x509|certificate/i,
    'has a server whose certificate the API server does not accept',
    'renew the certificate of the server, and write its CA into spec.caBundle',
  ],
]

/** The deletion of what nobody of ours has installed, or whose release is gone. */
function leftover(object: KubeObject, index: Index): Pick<Finding['remedy'], 'action'> {
  const { annotations, labels, uid } = object.metadata
  const name = annotations?.['meta.helm.sh/release-name'] ?? labels?.['kustomize.toolkit.fluxcd.io/name']
  const installed = [...index.all('HelmRelease'), ...index.all('Kustomization')].some(
    each => each.metadata.name === name || each.spec?.releaseName === name,
  )
  if (!uid || (name && installed)) return {}
  return { action: { do: 'delete', ref: refOf(object), uid } }
}

interface Webhook {
  name?: string
  failurePolicy?: string
  clientConfig?: { service?: { namespace?: string; name?: string } }
}

/** Webhooks behind which nobody answers. With failurePolicy Fail, whatever they are asked about is refused. */
const webhooks: Rule = index =>
  ['ValidatingWebhookConfiguration', 'MutatingWebhookConfiguration'].flatMap(kind =>
    index.all(kind).flatMap((configuration): Finding[] => {
      const silent = ((configuration.webhooks ?? []) as Webhook[]).filter(webhook => {
        const service = serviceRef(webhook?.clientConfig?.service)
        return service && !index.blind('Service') && endpointsOf(service, index) === 0
      })
      const worst = silent.find(({ failurePolicy }) => failurePolicy !== 'Ignore') ?? silent[0]
      const service = serviceRef(worst?.clientConfig?.service)
      if (
        !worst ||
        !service ||
        since(index, configuration.metadata.creationTimestamp) < (index.find(service) ? 120 : 10) ||
        isBeingReplaced(service, index)
      )
        return []
      const there = index.find(service)
      const missing = !there
      const place = `Service ${service.namespace}/${service.name}`
      const blocks = worst.failurePolicy !== 'Ignore'
      return [
        tell(configuration, {
          rule: 'webhook-without-endpoints',
          verdict: blocks ? 'broken' : 'warning',
          cause: `${missing ? `${place}, which serves its webhook ${worst.name}, does not exist` : `nobody answers for its webhook ${worst.name}: ${place} has no ready pod`}${blocks ? '; requests that it must admit are refused' : ''}`,
          evidence: [`failurePolicy ${worst.failurePolicy ?? 'Fail'}`],
          ...(missing
            ? {
                text: 'delete the configuration if what it belongs to was removed',
                command: `kubectl delete ${kind.toLowerCase()} ${configuration.metadata.name}`,
                ...leftover(configuration, index),
              }
            : {
                text: 'see why the pods behind it do not run',
                command: `kubectl -n ${service.namespace} get pods`,
              }),
          ...(there
            ? { symptom: true, causedBy: [service, ...workloadsBehind(there, index).map(refOf)] }
            : {}),
        }),
      ]
    }),
  )

/** Namespaces that are being deleted and do not go. */
const namespaces = each('Namespace', (namespace, index) => {
  const age = since(index, namespace.metadata.deletionTimestamp)
  const { name } = namespace.metadata
  const conditions = ((namespace.status?.conditions ?? []) as Condition[]).filter(
    ({ status, message }) => status === 'True' && message,
  )
  // What it holds may take some minutes to end, as pods with a grace period do.
  const isKept = conditions.some(({ type }) => type !== 'NamespaceContentRemaining')
  if (!namespace.metadata.deletionTimestamp || age < (isKept ? 20 : 300)) return undefined
  const text = conditions.map(({ message }) => message).join('\n')
  // `metrics.k8s.io/v1beta1: stale GroupVersion discovery` is told of an API that does not answer.
  const apis = index.all('APIService').filter(api => {
    const { group, version } = api.spec ?? {}
    return condition(api, 'Available')?.status === 'False' && group && text.includes(`${group}/${version}`)
  })
  const known = recognise(refusals, namespace, text)
  const [, finalizer] = /Some content in the namespace has finalizers remaining: ([^\s,]+)/.exec(text) ?? []
  // What has it, and was read, tells why.
  const kept = finalizer
    ? index.snapshot.objects.filter(
        ({ metadata }) =>
          metadata.namespace === name &&
          metadata.deletionTimestamp &&
          (metadata as { finalizers?: string[] }).finalizers?.includes(finalizer),
      )
    : []
  return {
    rule: 'namespace-stuck-terminating',
    cause: finalizer
      ? `has been terminating for ${durationText(age * 1000)}: something in it keeps the finalizer ${finalizer}`
      : `has been terminating for ${durationText(age * 1000)}: ${known?.cause ?? 'it cannot be emptied'}`,
    evidence: conditions.map(({ type, message }) => `${type}: ${short(message ?? '')}`),
    text:
      known?.fix ??
      'see what it still contains; the program that owns the finalizer removes it, and has to run for that',
    command: `kubectl get namespace ${name} -o jsonpath='{.status.conditions}'`,
    ...suffersFrom([...apis, ...kept].map(refOf)),
  }
})

/** Quotas that are used up: a warning until something was refused for it. */
const quotas = each('ResourceQuota', (quota, index) => {
  const { namespace, name } = quota.metadata
  const hard = (quota.status?.hard ?? {}) as Record<string, string>
  const used = (quota.status?.used ?? {}) as Record<string, string>
  // A limit of 0 forbids something; nobody has used it up.
  const full = Object.keys(hard).filter(
    resource =>
      quantity(hard[resource]) > 0 &&
      used[resource] !== undefined &&
      quantity(used[resource]) >= quantity(hard[resource]),
  )
  const refused = refusalsBy(quota, index)
  if (refused.length === 0 && full.length === 0) return undefined
  // An update that adds its new pods first needs the room of both.
  const updating =
    refused.length > 0 &&
    index
      .within('Deployment', namespace)
      .find(
        ({ spec, status }) =>
          spec?.strategy?.type !== 'Recreate' &&
          (status?.readyReplicas ?? 0) >= (spec?.replicas ?? 1) &&
          (status?.updatedReplicas ?? 0) < (spec?.replicas ?? 1),
      )
  const resources = full.map(resource => `${resource} ${used[resource]} of ${hard[resource]}`)
  return {
    rule: 'quota-exhausted',
    verdict: refused.length > 0 ? 'broken' : 'warning',
    cause: `${resources.length > 0 ? `is used up: ${resources.join(', ')}` : 'has no room for what is wanted'}${refused.length > 0 ? '; what needs it is refused' : ''}`,
    evidence: refused.slice(0, 3).map(event => short(event.message ?? '')),
    text: `raise it, or remove what is not needed in the namespace${updating ? `; or set strategy Recreate, or maxSurge: 0, in the manifest of Deployment ${updating.metadata.name}: its new pod waits for the room of the old one` : ''}`,
    command: `kubectl -n ${namespace} edit resourcequota ${name}`,
  }
})

/** What was refused because of a quota and is still missing. */
function refusalsBy({ metadata: { namespace, name } }: KubeObject, index: Index): { message?: string }[] {
  const says = (message: unknown) => new RegExp(`exceeded quota: ${name}(,|$)`).test(String(message ?? ''))
  const here = (kind: string) => index.all(kind).filter(each => each.metadata.namespace === namespace)
  const replicas = [...here('ReplicaSet'), ...here('Deployment')].flatMap(
    set =>
      [condition(set, 'ReplicaFailure'), condition(set, 'Progressing')].find(failed =>
        says(failed?.message),
      ) ?? [],
  )
  const events = ['StatefulSet', 'DaemonSet', 'Job', 'CronJob']
    .flatMap(here)
    .flatMap(maker => eventsOf(index, maker, /^FailedCreate$/, 900))
    .filter(({ message }) => says(message))
  const solvers = here('Challenge').flatMap(({ status }) =>
    says(status?.reason) ? [{ message: status?.reason }] : [],
  )
  return [...replicas, ...events, ...solvers].map(({ message }) => ({ message }))
}

export const rules: Rule[] = [apis, webhooks, namespaces, quotas]
