/** What has to run on a node before pods can: the agents of its network, and those that its taints wait for. */
import { condition } from '../../flux/flux.ts'
import { type KubeObject, type Ref, refOf } from '../../kubectl/kubectl.ts'
import type { Index } from '../snapshot.ts'
import { OF_AGENT, taintsOf } from './taints.ts'
import { podsOf, suffersFrom, workloadOf } from './workload-facts.ts'

/** Names by which the network of pods, or what a taint belongs to, is set up: those of its DaemonSets and images. */
export const NETWORK =
  /cilium|calico|canal|flannel|weave|antrea|kube-router|aws-node|azure-cni|multus|ovn|kindnet|\bcni\b/i
const GENERIC = /^(agent|not|ready|node|csi|aws|com|io|k8s)$/

/** The pods on a node that set up its network, or that one of its taints waits for, and that do not work. */
export function agentsOn(node: KubeObject, index: Index): Ref[] {
  const waited = taintsOf(node)
    .filter(({ key }) => OF_AGENT.test(key ?? ''))
    .flatMap(({ key = '' }) => key.split(/[./-]/).filter(word => word && !GENERIC.test(word)))
  return podsOf(index)
    .filter(pod => pod.spec?.nodeName === node.metadata.name && condition(pod, 'Ready')?.status !== 'True')
    .filter(pod => {
      const owner = workloadOf(pod, index)
      const images = ((pod.spec?.containers ?? []) as { image?: string }[]).map(({ image }) => image)
      const names = [owner.metadata.name, ...images].join(' ')
      return owner.kind === 'DaemonSet' && (NETWORK.test(names) || waited.some(word => names.includes(word)))
    })
    .map(refOf)
}

/** What on a node only repeats that the pods of its network do not work. */
export const byAgents = (node: KubeObject, index: Index) => suffersFrom(agentsOn(node, index))
