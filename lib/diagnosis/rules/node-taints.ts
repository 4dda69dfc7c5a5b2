/** Taints that keep pods off a node: of a cloud controller, of an agent, of an administrator. */
import type { KubeObject } from '../../kubectl/kubectl.ts'
import { type Finding, tell } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { byAgents } from './node-agents.ts'
import { OF_AGENT, OF_CLOUD, taintsOf, tolerates } from './taints.ts'
import { podsOf, since } from './workload-facts.ts'

/** A node that a cloud controller has to set up first: nothing is placed on it until then. */
export function reserved(node: KubeObject, index: Index): Finding[] {
  const taints = taintsOf(node)
  const taint = taints.find(({ key }) => OF_CLOUD.test(key ?? ''))
  const evicting = taints.find(
    ({ key, effect }) =>
      effect === 'NoExecute' && !/\/(not-ready|unreachable|etcd|control-plane|master)$/.test(key ?? ''),
  )
  if (evicting && OF_AGENT.test(evicting.key ?? ''))
    return [
      tell(node, {
        rule: 'node-out-of-service',
        cause: `its agent is not ready, and lets no pod stay on it until then: taint ${evicting.key}:NoExecute`,
        text: 'see why the pod of that agent on this node does not run: the taint is taken off by it',
        command: `kubectl get pods -A -o wide --field-selector spec.nodeName=${node.metadata.name}`,
        ...byAgents(node, index),
      }),
    ]
  // One that pods of it tolerate by name is there for good, as k3s' own for dedicated servers: CriticalAddonsOnly.
  const isMeant = ({ spec }: KubeObject) => spec?.nodeName === node.metadata.name && tolerates(spec, evicting)
  if (evicting && !podsOf(index).some(isMeant))
    return [
      tell(node, {
        rule: 'node-out-of-service',
        verdict: 'warning',
        cause: `a taint lets no pod stay on it: ${evicting.key}:NoExecute`,
        text: 'remove the taint when the node is back in service',
        command: `kubectl taint node ${node.metadata.name} ${evicting.key}:NoExecute-`,
      }),
    ]
  if (!taint || since(index, node.metadata.creationTimestamp) < 300) return []
  return [
    tell(node, {
      rule: 'node-uninitialized',
      cause: `it waits for a cloud controller, and takes no pods until then (taint ${taint.key})`,
      text: 'see whether the cloud controller runs, or remove cloud-provider=external from the settings of k3s',
      command: `kubectl describe node ${node.metadata.name}`,
    }),
  ]
}

/** Taints of a node that no pod tolerates, so that nothing runs on it. */
export function unused(node: KubeObject, index: Index): Finding[] {
  const taint = taintsOf(node).find(
    ({ key = '', effect }) => effect === 'NoSchedule' && !/kubernetes\.io\//.test(key) && !OF_AGENT.test(key),
  )
  if (!taint || since(index, node.metadata.creationTimestamp) < 3600) return []
  const used = podsOf(index).some(
    ({ spec }) =>
      spec?.nodeName === node.metadata.name ||
      // A pod that is meant for it tells of the taint itself.
      (!spec?.nodeName && spec?.nodeSelector?.['kubernetes.io/hostname'] === node.metadata.name) ||
      tolerates(spec, taint),
  )
  if (used) return []
  return [
    tell(node, {
      rule: 'node-unused',
      verdict: 'warning',
      cause: `nothing runs on it: no pod tolerates its taint ${taint.key}:${taint.effect}`,
      text: 'remove the taint, or give the pods that are meant a toleration',
      command: `kubectl taint node ${node.metadata.name} ${taint.key}:${taint.effect}-`,
    }),
  ]
}
