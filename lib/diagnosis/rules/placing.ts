/** Why the scheduler finds no node for a pod. */
import { condition } from '../../flux/flux.ts'
import { type KubeObject, type Ref, refOf, refText } from '../../kubectl/kubectl.ts'
import { fits, type Selector, selectorText } from '../../kubectl/selector.ts'
import { type Finding, type Telling, tell } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { refTo } from './failure.ts'
import { beyondAll, room } from './room.ts'
import { OF_AGENT, OF_CLOUD, taintsOf, taintText } from './taints.ts'
import { nodesOfVolume } from './volumes.ts'
import { suffersFrom, whereToChange, workloadOf } from './workload-facts.ts'

/** Taints that the control plane sets itself: the node's own finding says why. */
const OF_NODE =
  /node\.kubernetes\.io\/(not-ready|unreachable|disk-pressure|memory-pressure|pid-pressure|network-unavailable|unschedulable)/

/** What is in the way of a pod, by the scheduler's message. */
export function placing(pod: KubeObject, message: string, index: Index): Finding {
  const where = whereToChange(workloadOf(pod, index), index)
  const finding = (rule: string, cause: string, text: string, more: Partial<Telling> = {}): Finding =>
    tell(pod, { rule, cause, evidence: [short(message)], text, ...more })
  const nodes = index.all('Node')
  const inTheWay = nodes.filter(
    node =>
      node.spec?.unschedulable ||
      condition(node, 'Ready')?.status !== 'True' ||
      taintsOf(node).some(({ key }) => OF_NODE.test(key ?? '')),
  )
  // With a node that is not healthy the other reasons do not count: it would have had the room.
  if (/unschedulable|untolerated taint|no nodes available/.test(message) && inTheWay.length > 0)
    return finding('pod-waits-for-node', 'no node takes it', 'see the node', {
      symptom: true,
      causedBy: inTheWay.map(refOf),
    })
  if (/didn't have free ports/.test(message)) {
    const taken = portHolder(pod, index)
    return finding(
      'pod-port-taken',
      taken
        ? `port ${taken.port} of the node is taken by ${taken.holder}`
        : 'a port of the node that it needs is taken',
      taken?.isOwn
        ? `set strategy Recreate ${where} (or maxSurge: 0): it is its own earlier pod, and two of them cannot run on one node`
        : taken?.service
          ? `make ${taken.holder} a ClusterIP or give it another port; if both are Traefik, disable that of k3s (--disable traefik)`
          : 'free the port, or correct hostPort',
    )
  }
  const preempted = index
    .eventsOfReason('Preempted')
    .find(
      ({ involvedObject: about }) =>
        about?.namespace === pod.metadata.namespace && isAlike(about?.name, pod, index),
    )
  if (preempted)
    return finding(
      'pod-preempted',
      'a pod of higher priority has taken its place (preemption), and no node has room for both',
      `give the server more, lower the priority of the other workload, or raise that of this one ${where}`,
      { evidence: [`event Preempted: ${short(String(preempted.message ?? ''))}`, short(message)] },
    )
  const short_ = [...message.matchAll(/Insufficient ([\w./-]*\w)|(Too many pods)/g)].map(
    match => match[1] ?? 'pods',
  )
  const isPolite = /preemptionPolicy=Never/.test(message)
  // https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md#what-events-are-emitted-by-ca
  const [kept] = index.events(pod).filter(({ reason }) => reason === 'NotTriggerScaleUp')
  const unscaled = kept && short(String(kept.message).replace(/^pod didn't trigger scale-up: /, ''))
  const beyond = short_.length > 0 ? beyondAll(pod, short_, nodes) : []
  if (beyond.length > 0)
    return finding(
      'pod-unschedulable-resources',
      `it requests more than any node has: ${beyond.join('; ')}`,
      `lower what the pod requests ${where} (resources.requests), or give it a node that is as large`,
      { evidence: [...room(pod, short_, nodes, index), short(message)] },
    )
  if (short_.length > 0)
    return finding(
      'pod-unschedulable-resources',
      `no node has enough ${[...new Set(short_)].join(' and ')} for it${isPolite ? ', and its priority class displaces no other pod (preemptionPolicy Never)' : ''}${unscaled ? `; the autoscaler adds none: ${unscaled}` : ''}`,
      short_.every(each => each === 'pods')
        ? 'remove pods that are not needed (completed Jobs, evicted pods), or raise max-pods of the kubelet (kubelet-arg in the configuration of k3s)'
        : `${unscaled ? 'let the autoscaler add a node (raise the maximum of its node group, or add a group whose nodes fit), ' : ''}give the server more, remove what it does not need, or lower what the pod requests ${where}${isPolite ? '; or name a priority class that may displace others' : ''}`,
      { evidence: [...room(pod, short_, nodes, index), short(message)] },
    )
  if (/PersistentVolume's node affinity|volume node affinity conflict/.test(message)) {
    const volume = volumesOf(pod, index)[0]
    const object = volume && index.find(volume)
    const [home] = object ? nodesOfVolume(object, index).there : []
    // That node is there and well: something else keeps the pod off it.
    const byOthers = /anti-affinity/.test(message)
    if (home && !inTheWay.includes(home))
      return finding(
        'pod-volume-elsewhere',
        `its volume ${volume?.name} lies on ${refText(refOf(home))}, ${byOthers ? 'where its rules about other pods do not let it run' : 'which does not take it'}`,
        byOthers
          ? `lower its replicas to 1, give each a claim of its own (volumeClaimTemplates of a StatefulSet), or omit that rule ${where}`
          : `correct its nodeSelector, affinity or tolerations ${where}, so that it may run where its data lies`,
      )
    return finding(
      'pod-volume-elsewhere',
      `its volume ${volume?.name ?? ''} lies on another node`,
      'bring that node back: data on a local volume exists nowhere else; or restore it from a backup into a new claim',
      suffersFrom(volume ? [volume] : []),
    )
  }
  if (/ReadWriteOncePod/.test(message))
    return finding(
      'pod-volume-taken',
      'another pod has its volume, which only one may use (ReadWriteOncePod)',
      `end the other pod, set strategy Recreate ${where}, or give the claim the access mode ReadWriteOnce`,
    )
  const spread = (pod.spec?.topologySpreadConstraints ?? []) as { topologyKey?: string }[]
  const unknown = spread
    .map(({ topologyKey = '' }) => topologyKey)
    .filter(key => !nodes.some(({ metadata }) => key in (metadata.labels ?? {})))
  if (/topology spread/.test(message) && nodes.length > 0 && unknown.length > 0)
    return finding(
      'pod-unschedulable-affinity',
      `its pods have to spread by the label ${unknown.join(' and ')}, which no node has`,
      `label the nodes (kubectl label node NODE ${unknown[0]}=VALUE), or spread by another label, such as kubernetes.io/hostname, or set whenUnsatisfiable: ScheduleAnyway ${where}`,
    )
  if (/topology spread/.test(message) && !/affinity/.test(message))
    return finding(
      'pod-unschedulable-affinity',
      `its pods have to spread over ${spread.map(({ topologyKey }) => topologyKey).join(' and ') || 'nodes'}, and no node is left for it`,
      `lower its replicas to the number of nodes or zones, set whenUnsatisfiable: ScheduleAnyway in topologySpreadConstraints ${where}, or label or add nodes`,
    )
  const elsewhere = /pod affinity rules/.test(message) ? affineElsewhere(pod, index) : undefined
  if (elsewhere)
    return finding(
      'pod-unschedulable-affinity',
      `it has to run beside a pod with ${elsewhere.labels} in its own namespace; ${elsewhere.found ? `there is one in namespace ${elsewhere.found}` : 'there is none'}`,
      `${elsewhere.found ? `set namespaces: [${elsewhere.found}] in that term of podAffinity` : 'correct that term of podAffinity, or install what it is to run beside,'} ${where}`,
    )
  if (/anti-affinity|pod affinity|topology spread/.test(message))
    return finding(
      'pod-unschedulable-affinity',
      'its rules about other pods leave no node',
      `lower its replicas to the number of nodes, or correct its affinity ${where}`,
    )
  const selector = Object.entries((pod.spec?.nodeSelector ?? {}) as Record<string, string>)
  const meant = nodes.filter(({ metadata }) =>
    selector.every(([label, value]) => metadata.labels?.[label] === value),
  )
  // A node that it selects has something else against it.
  const isMeant = selector.length > 0 && meant.length > 0 && /taint/.test(message)
  if (/node affinity\/selector|node selector/.test(message) && !isMeant)
    return finding(
      'pod-unschedulable-affinity',
      `it needs a node that does not exist: ${wanted(pod)}`,
      `correct nodeSelector or affinity ${where}, or label the node`,
    )
  if (/taint/.test(message)) {
    const tainted = (isMeant ? meant : nodes).flatMap(node =>
      taintsOf(node).map(taint => ({ node, taint })),
    )[0]
    if (tainted && OF_CLOUD.test(tainted.taint.key ?? ''))
      return finding(
        'pod-unschedulable-taint',
        `every node${isMeant ? ' that it selects' : ''} waits for a cloud controller`,
        'see why that does not set the node up: it takes the taint off',
        { symptom: true, causedBy: [refOf(tainted.node)] },
      )
    if (tainted && OF_AGENT.test(tainted.taint.key ?? ''))
      return finding(
        'pod-unschedulable-taint',
        `every node${isMeant ? ' that it selects' : ''} waits for an agent that is not ready there`,
        `see why the pods of that agent do not run: they take the taint ${tainted.taint.key} off`,
        { symptom: true, causedBy: [refOf(tainted.node)] },
      )
    return finding(
      'pod-unschedulable-taint',
      `every node${isMeant ? ' that it selects' : ''} has a taint that it does not tolerate`,
      `add a toleration ${where}`,
      tainted
        ? {
            evidence: [`Node ${tainted.node.metadata.name}: ${taintText(tainted.taint)}`, short(message)],
            text: `remove the taint if nobody needs it, or add a toleration ${where}`,
            command: `kubectl taint node ${tainted.node.metadata.name} ${tainted.taint.key}:${tainted.taint.effect}-`,
          }
        : {},
    )
  }
  const [, why] = /nodes are available: (.*?)(?:\.? preemption: |$)/s.exec(message) ?? []
  return finding(
    'pod-unschedulable',
    `no node takes it${why ? `: ${short(why, 200)}` : ''}`,
    OTHERS.find(([pattern]) => pattern.test(message))?.[1] ?? `correct what the message names ${where}`,
  )
}

/** A term of a pod's affinity that no pod of its own namespace fits, and the namespace with one that would. */
function affineElsewhere(pod: KubeObject, index: Index): { labels: string; found?: string } | undefined {
  type Term = { labelSelector?: Selector; namespaces?: string[]; namespaceSelector?: object }
  const terms: Term[] = pod.spec?.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []
  const { namespace } = pod.metadata
  for (const { labelSelector, namespaces, namespaceSelector } of terms) {
    if (!labelSelector || namespaces?.length || namespaceSelector) continue
    const fitting = index.all('Pod').filter(each => each !== pod && fits(labelSelector, each.metadata.labels))
    if (fitting.some(each => each.metadata.namespace === namespace)) continue
    return { labels: selectorText(labelSelector), found: fitting[0]?.metadata.namespace }
  }
  return undefined
}

/** What to do about reasons that are told in the scheduler's words. */
const OTHERS: readonly [pattern: RegExp, fix: string][] = [
  [/resource ?claim/i, 'see whether the driver of the device of this ResourceClaim runs, and has one free'],
  [
    /max volume count/i,
    'the nodes have as many volumes attached as they may: remove pods with volumes, or add a node',
  ],
  [
    /enough free storage/,
    'free or enlarge the storage of the driver of its claim, or ask for a smaller volume in the claim',
  ],
  [
    /was not created for pod/i,
    'delete or rename the claim that it names: the volume of the pod would have that name, and somebody else has it',
  ],
]

/** Whether a name is that of a pod, or of an earlier one of its workload. */
function isAlike(name: unknown, pod: KubeObject, index: Index): boolean {
  const workload = workloadOf(pod, index)
  return (
    name === pod.metadata.name || (workload !== pod && String(name).startsWith(`${workload.metadata.name}-`))
  )
}

interface HostPort {
  hostPort?: number
}

/** Who has a port of the node that a pod needs: a Service that k3s gives that port, or another pod. */
function portHolder(pod: KubeObject, index: Index) {
  const portsOf = ({ spec }: KubeObject) =>
    ((spec?.containers ?? []) as { ports?: HostPort[] }[]).flatMap(({ ports }) =>
      (ports ?? []).flatMap(({ hostPort }) => hostPort ?? []),
    )
  const wanted = portsOf(pod)
  const own = workloadOf(pod, index)
  for (const other of index.all('Pod')) {
    const port =
      other === pod || !other.spec?.nodeName ? undefined : portsOf(other).find(each => wanted.includes(each))
    if (port === undefined) continue
    const { labels = {}, namespace, name } = other.metadata
    const service = labels['svccontroller.k3s.cattle.io/svcname']
    const holder = service
      ? `Service ${labels['svccontroller.k3s.cattle.io/svcnamespace']}/${service}`
      : `Pod ${namespace}/${name}`
    // Of another revision of the same Deployment: the new one waits for the old one, and that for the new one.
    const isOwn =
      own.kind === 'Deployment' &&
      workloadOf(other, index) === own &&
      other.metadata.labels?.['pod-template-hash'] !== pod.metadata.labels?.['pod-template-hash']
    return { port, holder, service: service !== undefined, isOwn }
  }
  return undefined
}

function wanted(pod: KubeObject): string {
  const labels = Object.entries(pod.spec?.nodeSelector ?? {}).map(([label, value]) => `${label}=${value}`)
  const terms: { matchExpressions?: Expression[]; matchFields?: Expression[] }[] =
    pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? []
  const texts = terms.flatMap(({ matchExpressions = [], matchFields = [] }) => {
    const all = [...matchExpressions, ...matchFields].map(expressionText)
    return all.length > 0 ? [all.join(' and ')] : []
  })
  return [...labels, ...(texts.length > 0 ? [texts.join(', or ')] : [])].join(', ') || 'see its affinity'
}

interface Expression {
  key?: string
  operator?: string
  values?: string[]
}

/** What a node has to have: `disktype In [ssd]`. */
const expressionText = ({ key, operator, values = [] }: Expression) =>
  `${key} ${operator}${values.length > 0 ? ` [${values.slice(0, 5).join(', ')}]` : ''}`

function volumesOf(pod: KubeObject, index: Index): Ref[] {
  return (pod.spec?.volumes ?? []).flatMap(
    ({ persistentVolumeClaim: claim }: { persistentVolumeClaim?: { claimName?: string } }) => {
      const found = index.get('PersistentVolumeClaim', pod.metadata.namespace, claim?.claimName ?? '')
      return found?.spec?.volumeName ? [refTo('PersistentVolume', undefined, found.spec.volumeName)] : []
    },
  )
}
