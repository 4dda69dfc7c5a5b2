/** What tests and the benchmark of failed pods share: pods as a kubelet leaves them, on the real API server. */
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'

/** The status that the kubelet gives a pod which it evicts, for a full disk. */
export const EVICTED = {
  phase: 'Failed',
  reason: 'Evicted',
  message: 'The node was low on resource: ephemeral-storage. Threshold quantity: 10, available: 5. ',
}

/** A pod that no scheduler cares for: it stays as it is made. */
export function pod(namespace: string, name: string, more: KubeObject['metadata'] | object = {}): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace, name, ...more },
    spec: {
      schedulerName: 'none',
      automountServiceAccountToken: false,
      containers: [{ name: 'app', image: 'app' }],
    },
  }
}

/** Creates a pod and gives it a status, as a kubelet would. */
export async function createFailed(kubectl: Kubectl, object: KubeObject, status: object): Promise<void> {
  await kubectl.create(object)
  const { name, namespace } = object.metadata
  await kubectl.patch(
    { apiVersion: 'v1', kind: 'Pod', name, namespace },
    { status },
    { subresource: 'status' },
  )
}

/** Does work for the numbers from 0, 32 at a time. */
export async function inParallel(count: number, work: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0
  const worker = async () => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: 32 }, worker))
}

/** Creates this many evicted pods. */
export async function createEvicted(kubectl: Kubectl, namespace: string, count: number): Promise<void> {
  await inParallel(count, i => createFailed(kubectl, pod(namespace, `evicted-${i}`), EVICTED))
}
