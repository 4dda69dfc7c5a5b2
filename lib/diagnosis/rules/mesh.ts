/** What a service mesh refuses: plain connections to pods that take mutual TLS alone. */
import { type KubeObject, refOf, refText } from '../../kubectl/kubectl.ts'
import { fits } from '../../kubectl/selector.ts'
import type { Index } from '../snapshot.ts'
import type { Meaning } from './last-words.ts'
import { describing, podsBehind, workloadOf } from './workload-facts.ts'

/** The namespace of Istio, whose PeerAuthentication counts for the whole mesh. */
const ROOT = 'istio-system'

const hasSidecar = ({ spec }: KubeObject) =>
  ([...(spec?.containers ?? []), ...(spec?.initContainers ?? [])] as { name?: string }[]).some(
    ({ name }) => name === 'istio-proxy',
  )

/**
 * What it means that a Service breaks connections off, where a PeerAuthentication of Istio admits to its pods only who has
 * a sidecar, and the caller has none; undefined where that is not so.
 * Source: https://istio.io/latest/docs/reference/config/security/peer_authentication/. Pure.
 */
export function refusedByMesh(
  known: Meaning,
  service: KubeObject | undefined,
  pod: KubeObject,
  index: Index,
): Meaning | undefined {
  if (
    !service ||
    hasSidecar(pod) ||
    !/reset by peer|\bEOF\b|connection (was )?closed/i.test(known.line ?? known.cause)
  )
    return undefined
  const [server] = podsBehind(service, index)
  const strict = [service.metadata.namespace, ROOT]
    .flatMap(namespace => index.within('PeerAuthentication', namespace))
    .find(
      ({ spec }) =>
        spec?.mtls?.mode === 'STRICT' && (!spec.selector || fits(spec.selector, server?.metadata.labels)),
    )
  if (!strict || !server || !hasSidecar(server)) return undefined
  const { namespace } = pod.metadata
  const workload = workloadOf(pod, index)
  return {
    ...known,
    cause: `${refText(refOf(strict))} admits only connections of its mesh (mTLS STRICT) to Service ${service.metadata.name}, and this pod has no sidecar: ${known.cause}`,
    fix: () =>
      `label namespace ${namespace} istio-injection=enabled and restart ${workload.kind} ${workload.metadata.name}; or set mode PERMISSIVE in ${refText(refOf(strict))}`,
    command: describing(strict),
  }
}
