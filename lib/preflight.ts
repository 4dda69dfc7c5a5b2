import { ExpectedError } from './errors.ts'
import type { Kubectl } from './kubectl.ts'

/** The oldest Kubernetes that Flux 2.9 runs on (https://fluxcd.io/flux/installation/#prerequisites). */
export const OLDEST_KUBERNETES = '1.33.0'

/** Milliseconds that the clocks may differ: certificates and leases tolerate less than minutes. */
const CLOCK_TOLERANCE = 120_000

/** The cluster answers, and its version is new enough for the pinned Flux. */
export async function checkKubernetes(kubectl: Kubectl): Promise<void> {
  const version = await kubectl.serverVersion()
  const { default: semver } = await import('semver')
  const parsed = semver.coerce(version)
  if (!parsed || semver.lt(parsed, OLDEST_KUBERNETES))
    throw new ExpectedError(
      `the cluster runs Kubernetes ${version}; ${OLDEST_KUBERNETES} or newer is needed`,
      'upgrade Kubernetes on the server first',
    )
}

/** This machine's clock and the server's agree. */
export async function checkClock(kubectl: Kubectl): Promise<void> {
  await kubectl.serverVersion()
  const offset = kubectl.client.clockOffset
  if (Math.abs(offset) <= CLOCK_TOLERANCE) return
  const minutes = Math.round(Math.abs(offset) / 60_000)
  throw new ExpectedError(
    `this machine's clock is ${minutes} minutes ${offset > 0 ? 'behind' : 'ahead of'} the cluster's`,
    'correct the clock that is wrong (compare `date -u` here and on the server); certificates fail otherwise',
  )
}

/** The kubeconfig's user may do each of these. All missing rights are told at once. */
export async function checkRights(
  kubectl: Kubectl,
  rights: readonly (readonly [verb: string, group: string, resource: string, namespace?: string])[],
): Promise<void> {
  const allowed = await Promise.all(rights.map(right => kubectl.may(...right)))
  const missing = rights.filter((_, i) => !allowed[i])
  if (missing.length === 0) return
  const list = missing.map(([verb, group, resource, namespace]) => {
    return `${verb} ${resource}${group ? `.${group}` : ''}${namespace ? ` in ${namespace}` : ''}`
  })
  throw new ExpectedError(
    `Forbidden: the kubeconfig's user may not ${list.join(', ')}`,
    'use the kubeconfig of the cluster administrator (on k3s /etc/rancher/k3s/k3s.yaml)',
  )
}
