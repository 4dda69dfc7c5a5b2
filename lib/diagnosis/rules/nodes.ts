/** Servers that are out of order, full, or not to be used. */

import { type Condition, condition } from '../../flux/flux.ts'
import { type KubeObject, type Ref, refOf, refText } from '../../kubectl/kubectl.ts'
import { fits } from '../../kubectl/selector.ts'
import { durationText } from '../../script/duration.ts'
import { evictionCause, hogOf, isEvicted } from '../eviction.ts'
import { each, type Finding, patching, type Rule, tell } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { keptOff } from './daemon-sets.ts'
import { asRoot, RESTART_K3S } from './failure.ts'
import { agentsOn, byAgents, NETWORK } from './node-agents.ts'
import { diskPressure } from './node-disk.ts'
import { reserved, unused } from './node-taints.ts'
import { quantity } from './quantity.ts'
import { eventsOf, podsIn, podsOf, since, whereToChange, workloadOf } from './workload-facts.ts'

/** What each bad condition of a node means. */
const CONDITIONS: readonly { type: string; rule: string; cause: string; text: string; command: string }[] = [
  {
    type: 'DiskPressure',
    rule: 'node-disk-pressure',
    cause: 'its disk is full: it evicts pods, and takes no new ones',
    text: 'make room: see what is large; `k3s crictl rmi --prune` removes images that nobody uses',
    command: asRoot('du -xh --max-depth=2 /var --threshold=1G'),
  },
  {
    type: 'MemoryPressure',
    rule: 'node-memory-pressure',
    cause: 'its memory is full: it evicts pods, and takes no new ones',
    text: 'give the server more memory, or remove what it does not need: see what needs most',
    command: asRoot('ps aux --sort=-rss'),
  },
  {
    type: 'PIDPressure',
    rule: 'node-pid-pressure',
    cause: 'it has too many processes: it evicts pods, and takes no new ones',
    text: 'see which container starts so many processes',
    command: asRoot('systemd-cgtop --order=tasks --iterations=1'),
  },
  {
    type: 'NetworkUnavailable',
    rule: 'node-network-failing',
    cause: 'its network for pods does not work',
    text: 'k3s sets the network up when it starts: restart it, and read what it says',
    command: RESTART_K3S,
  },
]

/** Nodes that are not ready, or short of something. */
const conditions: Rule = index =>
  index.all('Node').flatMap((node): Finding[] => {
    const ready = condition(node, 'Ready')
    const found = ready?.status === 'True' ? [] : [notReady(node, ready, index)].flat()
    // A kubelet that is silent leaves everything else unknown.
    const bad = CONDITIONS.flatMap(({ type, text, command, ...told }): Finding[] => {
      const state = condition(node, type)
      if (state?.status !== 'True') return []
      const otherwise = type === 'DiskPressure' ? diskPressure(node, [seen(state)], index) : undefined
      if (otherwise) return [otherwise]
      const hog = type === 'MemoryPressure' ? hogOn(node, index) : undefined
      return [
        {
          ...told,
          verdict: 'broken',
          subject: refOf(node),
          evidence: [seen(state), ...(hog ? [hog.said] : [])],
          remedy: { text: hog ? `${hog.fix}; or ${text}` : text, command },
          ...(type === 'NetworkUnavailable' ? byAgents(node, index) : {}),
        },
      ]
    })
    return [
      ...found,
      ...bad,
      ...clock(node, index),
      ...others(node, index),
      ...reserved(node, index),
      ...unused(node, index),
    ]
  })

/** The container that used the most of those for which pods of a node were evicted, as the kubelet says. */
function hogOn(node: KubeObject, index: Index): { said: string; fix: string } | undefined {
  const [most] = index
    .all('Pod')
    .filter(pod => pod.spec?.nodeName === node.metadata.name && isEvicted(pod))
    .filter(pod => evictionCause(pod) === 'memory')
    .flatMap(pod => {
      const hog = hogOf(pod)
      return hog ? [{ pod, ...hog }] : []
    })
    .sort((a, b) => quantity(b.used) - quantity(a.used))
  if (!most) return undefined
  const { pod, name, used, request } = most
  return {
    said: `container ${name} of ${refText(refOf(pod))} used ${used}, and requests ${request}`,
    fix: `let container ${name} request what it needs, and give it a limit, ${whereToChange(workloadOf(pod, index), index)}`,
  }
}

/** Seconds by which the clock of a node is ahead of that of the API server; 0 where it is about right. */
export function clockAhead(node: KubeObject, index: Index): number {
  const beats = ((node.status?.conditions ?? []) as { lastHeartbeatTime?: string }[]).map(
    ({ lastHeartbeatTime }) => -since(index, lastHeartbeatTime),
  )
  const ahead = Math.max(0, ...beats)
  return ahead > 600 ? ahead : 0
}

/** A node whose kubelet says that it has written what only the future holds. */
const clock = (node: KubeObject, index: Index): Finding[] =>
  clockAhead(node, index) > 0
    ? [
        tell(node, {
          rule: 'node-clock-differs',
          cause: `its clock is ${durationText(clockAhead(node, index) * 1000)} ahead: certificates and tokens fail when the time is wrong`,
          text: 'have its clock set by NTP (systemd-timesyncd or chrony), then restart k3s on it',
          command: asRoot('timedatectl'),
        }),
      ]
    : []

/** Conditions that are good when they are true, or that are handled above. */
const KNOWN = /^EtcdIsVoter$|(?<!Not)Ready$|Pressure$|NetworkUnavailable|Healthy$|Available$|Succe/

/** Conditions of others that are bad when they are false: k3s' server of etcd, and whatever says that it is healthy. */
const GOOD = /^EtcdIsVoter$|[a-z](?<!Not)Ready$|Healthy$|Available$/

/** What others say of a node: node-problem-detector sets a condition of its own for each kind of problem. */
function others(node: KubeObject, index: Index): Finding[] {
  return ((node.status?.conditions ?? []) as Condition[])
    .filter(
      ({ type, status, lastTransitionTime }) =>
        (status === 'True' && !KNOWN.test(type)) ||
        (status === 'False' && GOOD.test(type) && since(index, lastTransitionTime) > 600),
    )
    .map(state =>
      tell(node, {
        rule: 'node-problem',
        cause: `it has the problem ${state.type}: ${short(state.message ?? '') || state.reason}`,
        evidence: [seen(state)],
        ...(/clock|ntp|(?<!run)time/i.test(state.type)
          ? {
              text: 'have its clock set by NTP: certificates and tokens fail when the time is wrong',
              command: asRoot('timedatectl'),
            }
          : /disk|file ?system|inode/i.test(state.type)
            ? {
                text: 'read what the kernel says of the disk or file system; check it, replace a failing disk, then restart the server',
                command: asRoot('dmesg --level=err,crit'),
              }
            : state.type.startsWith('Etcd')
              ? {
                  text: 'see what k3s says of etcd, and whether the servers reach each other on ports 2379 and 2380',
                  command: asRoot('journalctl -u k3s -n 50 --no-pager'),
                }
              : {
                  text: 'read what the kernel says, then restart the server',
                  command: asRoot('dmesg --level=err,crit'),
                }),
      }),
    )
}

const seen = ({ type, status, reason, message }: Condition) =>
  `${type}=${status} ${reason ?? ''}: ${short(message ?? '')}`

function notReady(node: KubeObject, ready: Condition | undefined, index: Index): Finding[] {
  const lasts = since(index, ready?.lastTransitionTime, node.metadata.creationTimestamp)
  const network = /network (plugin )?(is )?not ready|cni/i.test(ready?.message ?? '')
  const finding = (rule: string, cause: string, text: string, command: string): Finding[] => [
    tell(node, {
      rule,
      cause,
      evidence: ready ? [seen(ready)] : [],
      text,
      command,
      ...(network ? byAgents(node, index) : {}),
    }),
  ]
  const [refused] = eventsOf(index, node, /^NodePasswordValidationFailed$/)
  if (ready?.status !== 'True' && refused)
    return [
      tell(node, {
        rule: 'node-password-refused',
        cause:
          'k3s does not let it join: its node password is not the one that the cluster keeps, as after the server was installed again',
        evidence: [`event ${refused.reason}: ${short(String(refused.message ?? ''))}`],
        text: `if it is that server, delete its Secret ${node.metadata.name}.node-password.k3s in kube-system, and restart k3s on it (k3s-agent on an agent)`,
        command: `kubectl -n kube-system delete secret ${node.metadata.name}.node-password.k3s`,
      }),
    ]
  if (ready?.status === 'Unknown' || ready === undefined)
    return ready === undefined && lasts < 60
      ? []
      : finding(
          'node-silent',
          `its kubelet has not reported for ${durationText(lasts * 1000)}: the server is down, cut off, or k3s does not run on it`,
          'see whether the server runs, and start k3s on it',
          RESTART_K3S,
        )
  // A kubelet that has just started says so for some seconds.
  if (lasts < 30) return []
  if (network && eventsOf(index, node, /^CIDRNotAvailable$/).length > 0)
    return finding(
      'node-network-failing',
      'no range of addresses is left for its pods: the network for pods is divided among the nodes that there are',
      'delete the Node objects of servers that are gone; for more nodes the cluster has to be set up with a larger cluster-cidr',
      'kubectl get nodes -o wide',
    )
  const off = network ? networkKeptOff(node, index) : undefined
  if (off)
    return finding(
      'node-network-failing',
      `its network for pods is not set up: ${off.cause}`,
      off.fix,
      `kubectl describe node ${node.metadata.name}`,
    )
  return finding(
    network ? 'node-network-failing' : 'node-not-ready',
    network
      ? 'its network for pods is not set up'
      : `its kubelet says that it is not ready: ${short(ready.message ?? '', 200)}`,
    'read what k3s says on the server, then restart it',
    asRoot('journalctl -u k3s -n 50 --no-pager'),
  )
}

/** What keeps the network of pods off a node on which none of its agents runs. */
function networkKeptOff(node: KubeObject, index: Index): { cause: string; fix: string } | undefined {
  if (agentsOn(node, index).length > 0) return undefined
  const [first] = index.all('DaemonSet').flatMap(daemon => {
    const why = NETWORK.test(daemon.metadata.name) ? keptOff(daemon, node) : undefined
    return why ? [{ ...why, cause: `${refText(refOf(daemon))} does not run on it, since ${why.cause}` }] : []
  })
  return first
}

/** Nodes that take no new pods because somebody has said so: a warning until a pod waits for one. */
const cordoned = each('Node', (node, index) => {
  if (node.spec?.unschedulable !== true) return undefined
  const { name } = node.metadata
  const waiting = podsOf(index).filter(
    pod =>
      !pod.spec?.nodeName &&
      /unschedulable|untolerated taint/.test(condition(pod, 'PodScheduled')?.message ?? ''),
  )
  return {
    rule: 'node-cordoned',
    verdict: waiting.length > 0 ? 'broken' : 'warning',
    cause: 'it was cordoned: it takes no new pods',
    evidence: waiting.length > 0 ? [`${waiting.length} pods wait for a node`] : [],
    text: `uncordon it when the work on it is over${blockingDrain(name, index)}`,
    command: `kubectl uncordon ${name}`,
    action: patching(node, { spec: { unschedulable: null } }, 'uncordon it'),
  }
})

/** The budgets that let no pod of a node go. */
function blockingDrain(node: string, index: Index): string {
  const tight = index
    .all('PodDisruptionBudget')
    .filter(
      ({ metadata, spec, status }) =>
        status?.disruptionsAllowed === 0 &&
        podsIn(metadata.namespace, index).some(
          pod => pod.spec?.nodeName === node && fits(spec?.selector, pod.metadata.labels ?? {}),
        ),
    )
    .map(each => refText(refOf(each)))
  return tight.length > 0
    ? `; a drain waits for ${tight.slice(0, 5).join(', ')}: raise the replicas, or lower minAvailable`
    : ''
}

/** How many minor versions a kubelet may be older than the API server, https://kubernetes.io/releases/version-skew-policy/ */
const SKEW = 3

/** Nodes of which Kubernetes is too old for the API server, or newer than that. */
const versions: Rule = index => {
  const minor = (version: unknown) => Number(/^v?1\.(\d+)/.exec(String(version ?? ''))?.[1] ?? Number.NaN)
  const server = minor(index.snapshot.kubernetes)
  return index.all('Node').flatMap((node): Finding[] => {
    const { kubeletVersion } = node.status?.nodeInfo ?? {}
    const behind = server - minor(kubeletVersion)
    if (Number.isNaN(behind) || (behind >= 0 && behind <= SKEW)) return []
    return [
      tell(node, {
        rule: 'node-version-skew',
        verdict: 'warning',
        cause: `its Kubernetes ${kubeletVersion} is ${behind < 0 ? 'newer than' : 'too old for'} the API server, ${index.snapshot.kubernetes}`,
        text:
          behind < 0
            ? 'upgrade the servers first, then the agents'
            : 'upgrade k3s on this node, one minor version after the other',
        command: 'npx tsx scripts/install-cluster.ts --help',
      }),
    ]
  })
}

/** Nodes that give the same address, as machines behind one NAT do: the kubelet of one of them is not reached. */
const addresses: Rule = index => {
  const byAddress = new Map<string, KubeObject[]>()
  for (const node of index.all('Node'))
    for (const { type, address } of (node.status?.addresses ?? []) as { type?: string; address?: string }[])
      if (type === 'InternalIP' && address) byAddress.set(address, [...(byAddress.get(address) ?? []), node])
  return [...byAddress].flatMap(([address, [first, ...others]]) =>
    first && others.length > 0
      ? [
          tell(first, {
            rule: 'node-address-shared',
            cause: `it has the address ${address}, and so has ${others.map(({ metadata }) => metadata.name).join(', ')}`,
            text: 'give each server its own address to k3s (--node-ip, or --flannel-iface), then restart it',
            command: 'kubectl get nodes -o wide',
          }),
        ]
      : [],
  )
}

/** A cluster without any node runs nothing. */
const none: Rule = index => {
  if (index.all('Node').length > 0 || index.blind('Node')) return []
  return [
    tell(hostOf(index), {
      rule: 'cluster-without-nodes',
      cause: 'the cluster has no node: nothing can run',
      text: 'start k3s on the server',
      command: RESTART_K3S,
    }),
  ]
}

/** Seconds by which two clocks may differ: more confuses whoever compares times, tokens and certificates. */
const CLOCKS = 30

/** The clocks of the cluster and of this machine. */
const clocks: Rule = index => {
  const offset = index.snapshot.clockOffset
  if (typeof offset !== 'number' || Math.abs(offset) < CLOCKS) return []
  const far = durationText(Math.abs(offset) * 1000)
  return [
    tell(hostOf(index), {
      rule: 'clock-offset',
      verdict: 'warning',
      cause: `its clock is ${far} ${offset > 0 ? 'ahead of' : 'behind'} that of this machine`,
      text: 'see which of the two is wrong, and have it set by NTP: certificates and tokens fail by wrong clocks',
      command: asRoot('timedatectl'),
    }),
  ]
}

/** The server of the API, as its address names it. */
function hostOf(index: Index): Ref {
  const { server } = index.snapshot
  const name = URL.canParse(server) ? new URL(server).hostname : String(server)
  return { apiVersion: '', kind: 'Host', name }
}

export const rules: Rule[] = [conditions, cordoned, versions, addresses, none, clocks]
