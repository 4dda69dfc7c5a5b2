/** Autoscalers that cannot compute, or have nothing left to give. */
import { condition } from '../../flux/flux.ts'
import { type KubeObject, refOf } from '../../kubectl/kubectl.ts'
import { each, type Finding, type Rule, tell } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { adviceOn } from './advice.ts'
import { since } from './workload-facts.ts'

/** The containers of an autoscaler's target that do not request the resource by which it scales. */
function withoutRequest(
  autoscaler: KubeObject,
  index: Index,
): { container: string; resource: string } | undefined {
  const { kind, name } = autoscaler.spec?.scaleTargetRef ?? {}
  const target = index.get(kind, autoscaler.metadata.namespace, name)
  const containers = (target?.spec?.template?.spec?.containers ?? []) as Container[]
  const metrics = (autoscaler.spec?.metrics ?? []) as Metric[]
  for (const { resource } of metrics) {
    if (!resource?.name || resource.target?.type !== 'Utilization') continue
    const lacking = containers.find(
      ({ resources }) =>
        resources?.requests?.[resource.name!] === undefined && !resources?.limits?.[resource.name!],
    )
    if (lacking) return { container: lacking.name, resource: resource.name }
  }
  return undefined
}

interface Container {
  name: string
  resources?: Partial<Record<'requests' | 'limits', Record<string, string>>>
}
interface Metric {
  resource?: { name?: string; target?: { type?: string } }
}

/** Whether its pods are those of another autoscaler's target, too. */
const isAmbiguous = (autoscaler: KubeObject) =>
  condition(autoscaler, 'ScalingActive')?.reason === 'AmbiguousSelector'

const autoscalers = each('HorizontalPodAutoscaler', (autoscaler, index) => {
  const { namespace, name } = autoscaler.metadata
  const { currentReplicas = 0 } = autoscaler.status ?? {}
  const { maxReplicas = 0, minReplicas = 1 } = autoscaler.spec ?? {}
  // A single refusal is overcome by the next try, 15 seconds later.
  const [active, able] = ['ScalingActive', 'AbleToScale'].map(type => {
    const found = condition(autoscaler, type)
    const isNew = found?.status === 'False' && since(index, found.lastTransitionTime) < 120
    return isNew ? { ...found, status: 'Unknown' } : found
  })
  const limited = condition(autoscaler, 'ScalingLimited')
  const lasts = since(index, active?.lastTransitionTime, autoscaler.metadata.creationTimestamp)
  const seen = [active, able]
    .filter(each => each?.status === 'False')
    .map(each => `${each!.type}=False ${each!.reason ?? ''}: ${short(each!.message ?? '')}`)
  const told = (rule: string, cause: string, text: string): Finding[] => [
    tell(autoscaler, {
      rule,
      cause,
      evidence: seen,
      text,
      command: `kubectl -n ${namespace} describe hpa ${name}`,
    }),
  ]
  if (lasts < 120 || active?.reason === 'ScalingDisabled') return undefined
  const target = autoscaler.spec?.scaleTargetRef ?? {}
  // A target that does not exist is told by references.ts.
  if (!index.blind(target.kind) && !index.get(target.kind, namespace, target.name)) return undefined
  const lacking = active?.status === 'False' ? withoutRequest(autoscaler, index) : undefined
  if (lacking)
    return told(
      'autoscaler-without-request',
      `it cannot compute the use of ${lacking.resource}: container ${lacking.container} requests none`,
      `set resources.requests.${lacking.resource} of container ${lacking.container}`,
    )
  const full = currentReplicas >= maxReplicas && maxReplicas > minReplicas
  // For some minutes that is what its maximum is for.
  const isLimited =
    limited?.status === 'True' &&
    limited.reason === 'TooManyReplicas' &&
    since(index, limited.lastTransitionTime, autoscaler.metadata.creationTimestamp) > 900
  if (full && (active?.status === 'False' || isLimited))
    return told(
      'autoscaler-at-maximum',
      `it runs at its maximum of ${maxReplicas} replicas, and cannot add more`,
      'raise maxReplicas, raise the target if it is too low for this application, or find out what needs so much',
    )
  const isSame = ({ spec }: KubeObject) =>
    spec?.scaleTargetRef?.kind === target.kind && spec?.scaleTargetRef?.name === target.name
  const rival = index
    .within('HorizontalPodAutoscaler', namespace)
    .find(other => other !== autoscaler && (isSame(other) || (isAmbiguous(autoscaler) && isAmbiguous(other))))
  if (rival && [able, active].some(each => each?.status === 'False'))
    return told(
      'autoscaler-with-rival',
      `it and HorizontalPodAutoscaler ${rival.metadata.name} ${isSame(rival) ? `both scale ${target.kind} ${target.name}` : 'select the same pods'}: neither works`,
      isSame(rival)
        ? 'delete one of them'
        : 'give the pods of each target labels of their own, or delete one of them',
    ).map(found =>
      rival.metadata.name < name ? { ...found, symptom: true, causedBy: [refOf(rival)] } : found,
    )
  if (able?.status === 'False')
    return told(
      'autoscaler-unable',
      `it cannot scale: ${short(able.message ?? '', 200)}`,
      adviceOn(able.message ?? '', `in the manifest of HorizontalPodAutoscaler ${name}`) ??
        'correct what it says',
    )
  if (active?.status !== 'False') return undefined
  if (!/metric/i.test(`${active.reason} ${active.message}`))
    return told(
      'autoscaler-unable',
      `it cannot scale: ${short(active.message ?? '', 200)}`,
      'correct what it says',
    )
  // Metrics of a pod come a minute or two after it.
  if (/pods might be unready/.test(active.message ?? '') && since(index, active.lastTransitionTime) < 300)
    return undefined
  return told(
    'autoscaler-without-metrics',
    `it gets no metrics: ${short(active.message ?? '', 200)}`,
    adapterFix(active.reason ?? '') ??
      containerFix(active.message ?? '', target, namespace, index) ??
      'see whether metrics-server runs (k3s brings it), and whether the metric exists',
  ).map(found => ({
    ...found,
    symptom: true,
    // Pods that are not ready have no metrics, either.
    causedBy: [
      ...index.all('APIService').filter(({ metadata }) => metadata.name.endsWith('metrics.k8s.io')),
      ...[index.get(target.kind, namespace, target.name) ?? []].flat(),
    ].map(refOf),
  }))
})

/** A metric of a container that the pods do not have. */
function containerFix(
  message: string,
  target: { kind: string; name: string },
  namespace: string | undefined,
  index: Index,
): string | undefined {
  const [, named] = /container (\S+) not present in metrics/.exec(message) ?? []
  const template = index.get(target.kind, namespace, target.name)?.spec?.template
  const there = ((template?.spec?.containers ?? []) as { name: string }[]).map(({ name }) => name)
  return named && there.length > 0 && !there.includes(named)
    ? `name a container of the pods in its metric (containerResource.container): ${there.join(' or ')}, not ${named}`
    : undefined
}

/** Metrics other than those of metrics-server come from adapters, one for each API. */
function adapterFix(reason: string): string | undefined {
  const api = /External/.test(reason) ? 'external' : /(Pods|Object)Metric/.test(reason) ? 'custom' : undefined
  return (
    api &&
    `install or repair the adapter that serves ${api}.metrics.k8s.io (prometheus-adapter, KEDA), and see whether it knows the metric under that name; k3s brings none`
  )
}

export const rules: Rule[] = [autoscalers]
