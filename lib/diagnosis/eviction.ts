import type { KubeObject } from '../kubectl/kubectl.ts'

/**
 * Whether a kubelet has evicted this pod, by the two fields that it sets. Not by a part of the reason or by
 * the message: another failed pod may be the only trace of what went wrong. Pure.
 */
export function isEvicted(pod: KubeObject): boolean {
  return pod.status?.phase === 'Failed' && pod.status?.reason === 'Evicted'
}

/** What a node was short of, by the kubelet's message. Pure. */
export function evictionCause(pod: KubeObject): string {
  const message = String(pod.status?.message ?? '')
  const [, resource, conditions, limit] =
    /low on resource: ([\w.-]*\w)|had condition: \[([\w, ]+)\]|(exceeds|exceeded) /i.exec(message) ?? []
  return resource ?? conditions ?? (limit ? 'its own limit of storage' : 'unknown')
}

/** The container for which a pod was evicted, with what it used and requests, by the kubelet's message. Pure. */
export function hogOf({ status }: KubeObject): { name: string; used: string; request: string } | undefined {
  const [, name, used, request] =
    /Container (\S+) was using (\w+), request is (\w+)/.exec(String(status?.message ?? '')) ?? []
  return name && used && request ? { name, used, request } : undefined
}
