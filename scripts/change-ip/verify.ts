import { condition, HELM_RELEASE, KUSTOMIZATION, standing } from '../../lib/flux/flux.ts'
import { type Kubectl, type KubeObject, type Ref, refOf, refText } from '../../lib/kubectl/kubectl.ts'
import { listed } from '../../lib/preflight/findings.ts'
import { inquiry, obstaclesOf, progressText, type Seen, tellingWhy } from '../../lib/rollout/obstacles.ts'
import type { Log } from '../../lib/script/log.ts'
import { until } from '../../lib/script/wait.ts'
import { mentions } from './address.ts'
import { type ChangeState, isOpen } from './state.ts'

/** The nodes that have an address as one of theirs. Pure. */
export function nodesWith(nodes: readonly KubeObject[], address: string): string[] {
  return nodes.filter(node => addresses(node).some(each => mentions(each.address, address))).map(nameOf)
}

const nameOf = ({ metadata }: KubeObject) => metadata.name
const addresses = (node: KubeObject) => (node.status?.addresses ?? []) as { type: string; address: string }[]

/** The nodes that are Ready. Pure. */
export function readyNodes(nodes: readonly KubeObject[]): string[] {
  return nodes.filter(node => condition(node, 'Ready')?.status === 'True').map(nameOf)
}

/**
 * The nodes to wait for when a change is taken back: those that were Ready before it, without others than the server's
 * own that are not Ready `now`, where the change itself was complete. Undefined, like in the state, for all. Pure.
 */
export function nodesToWaitFor(state: ChangeState, now: readonly string[] | undefined): string[] | undefined {
  const { before, nodes } = state
  if (now === undefined || isOpen(state)) return before.ready
  return before.ready?.filter(name => now.includes(name) || nodes.includes(name))
}

/** Whether a node is a member of k3s' embedded etcd. Pure. */
export function inEtcd(node: KubeObject): boolean {
  return node.metadata.labels?.['node-role.kubernetes.io/etcd'] === 'true'
}

/** When the kubelets gave their last signs of life, by node. */
async function signsOfLife(kubectl: Kubectl): Promise<Map<string, string>> {
  const leases = await kubectl.list('coordination.k8s.io/v1', 'Lease', {
    namespace: 'kube-node-lease',
  })
  return new Map(leases.map(lease => [nameOf(lease), String(lease.spec?.renewTime ?? '')]))
}

/** What nodes have to become: `names` are those that get the address, `ready` those to wait for; undefined for all. */
export interface WantedNodes {
  names: readonly string[]
  ready: readonly string[] | undefined
  address: string
  old: string | undefined
}

/**
 * What keeps nodes from being as they should be: those that are waited for, and the server's own, of which one at least
 * has to have the address, Ready before or not. A node that was deleted is not waited for. Pure.
 */
export function nodeProblems(
  nodes: readonly KubeObject[],
  wanted: WantedNodes,
  signs: { before: ReadonlyMap<string, string>; now: ReadonlyMap<string, string> },
): string[] {
  if (nodes.length === 0) return ['there is no node']
  const problems = awaited(nodes, wanted).flatMap(
    node => nodeProblem(node, wanted) ?? silentKubelet(nameOf(node), signs.before, signs.now) ?? [],
  )
  const own = nodes.filter(node => wanted.names.includes(nameOf(node)))
  const elsewhere = own.flatMap(node => addressProblem(node, wanted) ?? [])
  // Not every one: a node object that the server had under another name keeps the old address for good.
  return problems.length === 0 && elsewhere.length === own.length ? elsewhere : problems
}

const awaited = (nodes: readonly KubeObject[], { ready }: WantedNodes) =>
  nodes.filter(node => ready === undefined || ready.includes(nameOf(node)))

/**
 * Waits until nodes are Ready by kubelets that live now, those of `names` have `address`, and none has `old` any more.
 * One that was not Ready before, like an agent that is switched off, does not become so by the change; the server's own
 * gets the address all the same. The kubelet tells its addresses again when it starts, and k3s' own cloud provider
 * follows. A node keeps the state from before a restart for a while, also one that got another name: so its kubelet has
 * to give a new sign of life.
 */
export async function waitForNodes(
  kubectl: Kubectl,
  wanted: WantedNodes,
  options: { deadline: number; log: Pick<Log, 'progress'>; signal: AbortSignal },
): Promise<string> {
  const before = await signsOfLife(kubectl)
  return until<string, string>(
    async () => {
      const [nodes, signs] = [await kubectl.list('v1', 'Node'), await signsOfLife(kubectl)]
      const last = nodeProblems(nodes, wanted, { before, now: signs })
      if (last.length === 0) {
        const shown = awaited(nodes, wanted).map(
          node => `${nameOf(node)} is Ready with ${addresses(node)[0]?.address}`,
        )
        return { done: listed(shown) || 'no node was Ready before' }
      }
      const state = listed(last)
      options.log.progress(state)
      return { last: state }
    },
    {
      deadline: options.deadline,
      patience: 60_000,
      describe: last => last ?? 'no answer',
      fix: 'read the log of the kubelet: journalctl -u k3s -n 50 on the server; compare node-name in its settings with `kubectl get nodes`',
      signal: options.signal,
    },
  )
}

/** Why a node is not as it should be, or undefined. */
function nodeProblem(node: KubeObject, wanted: WantedNodes): string | undefined {
  if (condition(node, 'Ready')?.status !== 'True') return `${nameOf(node)} is not Ready`
  return addressProblem(node, wanted)
}

/** The addresses of a node that lacks its new one or still has the old one, in words; else undefined. */
function addressProblem(node: KubeObject, wanted: WantedNodes): string | undefined {
  const own = addresses(node).map(each => each.address)
  const missing = wanted.names.includes(nameOf(node)) && !own.some(each => mentions(each, wanted.address))
  const stale = wanted.old !== undefined && own.some(each => mentions(each, wanted.old!))
  return missing || stale ? `${nameOf(node)} has ${own.join(', ') || 'no address'}` : undefined
}

/** Whether the kubelet of a node that renews a lease has not done so since; undefined where it has. Pure. */
export function silentKubelet(
  name: string,
  before: ReadonlyMap<string, string>,
  now: ReadonlyMap<string, string>,
): string | undefined {
  const sign = now.get(name)
  return sign === undefined || sign !== before.get(name)
    ? undefined
    : `the kubelet of ${name} has given no sign of life since ${sign}`
}

/**
 * Replaces the pods that still carry the old address. The kubelet never corrects that of a running pod of the host
 * network, and whoever looks for it (Prometheus, Services) goes to where nobody is. The pods of k3s' service load
 * balancer keep the address of Services (github.com/k3s-io/k3s/issues/7036).
 */
export async function replacePods(kubectl: Kubectl, old: string): Promise<string> {
  const services = await kubectl.list('v1', 'Service')
  const stale = services
    .filter(({ status }) => mentions(JSON.stringify(status?.loadBalancer?.ingress ?? ''), old))
    .map(({ metadata }) => metadata.name)
  const isStale = ({ spec, status, metadata }: KubeObject) =>
    !metadata.deletionTimestamp &&
    metadata.ownerReferences?.some(owner => owner.controller) === true &&
    ((spec?.hostNetwork === true && mentions(String(status?.podIP ?? ''), old)) ||
      stale.includes(metadata.labels?.['svccontroller.k3s.cattle.io/svcname'] ?? ''))
  const pods = await kubectl.list('v1', 'Pod', {}, isStale)
  for (const pod of pods) await kubectl.delete(refOf(pod), { uid: pod.metadata.uid })
  return listed(pods.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`)) || 'unchanged'
}

/** What Flux applies; nothing where it is not installed. */
async function ofFlux(kubectl: Kubectl): Promise<KubeObject[]> {
  const lists = [KUSTOMIZATION, HELM_RELEASE].map(({ apiVersion, kind }) => kubectl.list(apiVersion, kind))
  return (await Promise.all(lists)).flat()
}

const isUnready = (object: KubeObject) => !['ready', 'suspended'].includes(standing(object).state)

/** The objects of Flux that are not ready, by name. */
export async function unhealthy(kubectl: Kubectl): Promise<string[]> {
  return (await ofFlux(kubectl))
    .filter(isUnready)
    .map(object => refText(refOf(object)))
    .sort()
}

/**
 * Waits until all objects of Flux are ready but those that were not ready before. Shows what the diagnosis knows of the
 * others, and ends with it: at the deadline alone, since a new address makes much fail that passes by itself.
 */
export async function waitForHealth(
  kubectl: Kubectl,
  before: readonly string[],
  options: { deadline: number; log: Pick<Log, 'progress'>; signal: AbortSignal },
): Promise<string> {
  const wasUnready = (object: KubeObject) => before.includes(refText(refOf(object)))
  const known = inquiry<Ref>(kubectl, (refs, snapshot) => obstaclesOf(refs, snapshot, wasUnready))
  return until<Seen, string>(
    async () => {
      const all = await ofFlux(kubectl)
      const open = all.filter(object => isUnready(object) && !wasUnready(object)).map(refOf)
      if (open.length === 0) {
        if (before.length > 0) return { done: `as before; not ready then: ${listed(before)}` }
        return { done: all.length > 0 ? 'everything is ready' : 'not installed' }
      }
      const line = `not ready: ${listed(open.map(refText).sort())}`
      const found = await known(open)
      options.log.progress(progressText(line, found))
      return { last: { line, found } }
    },
    {
      deadline: options.deadline,
      every: 2000,
      patience: 60_000,
      signal: options.signal,
      ...tellingWhy('find the cause with `npx tsx scripts/diagnose.ts`'),
    },
  )
}
