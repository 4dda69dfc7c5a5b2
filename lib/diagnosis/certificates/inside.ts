import { ApiError } from '../../kubectl/api-error.ts'
import type { Kubectl, KubeObject } from '../../kubectl/kubectl.ts'
import { messageOf } from '../../script/errors.ts'
import type { InsideFacts } from './host-facts.ts'
import { TRIAL_PATH } from './probe.ts'

/** The services of the ingress controller, by the labels that charts give them. Pure. */
export function ingressServices(objects: readonly KubeObject[]): KubeObject[] {
  return objects.filter(
    ({ kind, metadata, spec }) =>
      kind === 'Service' &&
      spec?.type === 'LoadBalancer' &&
      ['traefik', 'ingress-nginx'].includes(metadata.labels?.['app.kubernetes.io/name'] ?? ''),
  )
}

/** The ingress controller's answer inside the cluster, through the API server. Read-only. */
export async function probeInside(
  kubectl: Kubectl,
  objects: readonly KubeObject[],
): Promise<InsideFacts | undefined> {
  const [service] = ingressServices(objects)
  const port = (service?.spec?.ports as { port: number; name?: string }[] | undefined)?.find(
    each => each.port === 80,
  )
  if (!service || !port) return undefined
  const { namespace, name } = service.metadata
  const told = { service: `${namespace}/${name}` }
  try {
    await kubectl.call({
      path: `/api/v1/namespaces/${namespace}/services/http:${name}:${port.name || port.port}/proxy${TRIAL_PATH}`,
      timeout: 8000,
    })
    return { ...told, status: 200 }
  } catch (error) {
    // The API server's own errors are objects; everything else comes from the service.
    if (error instanceof ApiError && error.reason === '') return { ...told, status: error.code }
    return { ...told, failed: messageOf(error).slice(0, 200) }
  }
}
