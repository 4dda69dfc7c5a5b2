import type { Kubectl } from './kubectl.ts'

/** What a kubelet tells of its node (k8s.io/kubelet pkg/apis/stats/v1alpha1), as far as it is used here. */
export interface KubeletSummary {
  node?: { fs?: { availableBytes?: number; capacityBytes?: number } }
  pods?: {
    volume?: { usedBytes?: number; capacityBytes?: number; pvcRef?: { name: string; namespace: string } }[]
  }[]
}

/** The summaries of all kubelets. One that does not answer is left out; so are all for who may not ask. */
export async function kubeletSummaries(kubectl: Kubectl): Promise<KubeletSummary[]> {
  const nodes = await kubectl.list('v1', 'Node', { metadataOnly: true }).catch(() => [])
  const summaries = nodes.map(({ metadata }) => {
    const path = `/api/v1/nodes/${encodeURIComponent(metadata.name)}/proxy/stats/summary`
    return kubectl.call<KubeletSummary>({ path, timeout: 5000 }).catch(() => undefined)
  })
  return (await Promise.all(summaries)).filter(summary => summary !== undefined)
}
