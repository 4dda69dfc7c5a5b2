import type { KubeObject } from './kubectl.ts'

/** The names of the claims that a pod uses. */
export function claimsOfPod(pod: KubeObject): string[] {
  return ((pod.spec?.volumes ?? []) as { persistentVolumeClaim?: { claimName?: string } }[]).flatMap(
    ({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName ?? [],
  )
}

/** The pods by each claim (`namespace/name`) that they use. Pure. */
export function podsByClaim(pods: readonly KubeObject[]): Map<string, KubeObject[]> {
  const found = new Map<string, KubeObject[]>()
  for (const pod of pods)
    for (const claim of new Set(claimsOfPod(pod))) {
      const name = `${pod.metadata.namespace}/${claim}`
      const known = found.get(name)
      if (known) known.push(pod)
      else found.set(name, [pod])
    }
  return found
}

/** Whether a pod uses a claim. Most of the pods of a large list do not. */
export const mountsClaim = (pod: KubeObject): boolean => claimsOfPod(pod).length > 0

/** Whether a pod has come to its end, and counts no more. Pure. */
export const isOver = ({ status }: KubeObject) => status?.phase === 'Succeeded' || status?.phase === 'Failed'

/** The pods that use one of these claims (`namespace/name`) now, or are about to. Pure. */
export function podsUsing(pods: readonly KubeObject[], claims: ReadonlySet<string>): KubeObject[] {
  return pods.filter(
    pod => !isOver(pod) && claimsOfPod(pod).some(name => claims.has(`${pod.metadata.namespace}/${name}`)),
  )
}

/** The claims that these pods use, as `namespace/name`. Pure. */
export function claimsOfPods(pods: readonly KubeObject[]): Set<string> {
  return new Set(pods.flatMap(pod => claimsOfPod(pod).map(name => `${pod.metadata.namespace}/${name}`)))
}
