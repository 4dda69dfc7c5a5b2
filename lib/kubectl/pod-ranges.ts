import type { Kubectl } from './kubectl.ts'

/** The ranges of addresses from which the nodes of a cluster give their pods one, IPv4 and IPv6. */
export async function podRangesOf(kubectl: Kubectl): Promise<string[]> {
  const nodes = await kubectl.list('v1', 'Node')
  const ranges = nodes.flatMap(({ spec }) => (spec?.podCIDRs ?? []) as string[])
  return [...new Set(ranges)].filter(range => /^[\da-f.:]{2,45}\/\d{1,3}$/.test(range)).sort()
}
