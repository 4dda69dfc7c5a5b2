import type { Kubectl, KubeObject, Ref } from '../kubectl/kubectl.ts'

/** The APIs of Flux 2.9 (the betas are gone from it). */
export const GIT_REPOSITORY = { apiVersion: 'source.toolkit.fluxcd.io/v1', kind: 'GitRepository' } as const
export const HELM_REPOSITORY = { apiVersion: 'source.toolkit.fluxcd.io/v1', kind: 'HelmRepository' } as const
export const HELM_CHART = { apiVersion: 'source.toolkit.fluxcd.io/v1', kind: 'HelmChart' } as const
export const KUSTOMIZATION = { apiVersion: 'kustomize.toolkit.fluxcd.io/v1', kind: 'Kustomization' } as const
export const HELM_RELEASE = { apiVersion: 'helm.toolkit.fluxcd.io/v2', kind: 'HelmRelease' } as const

/**
 * The names of the Kustomizations of the platform, by which its parts and applications are installed: those in
 * flux-system. One of the same name elsewhere is somebody else's. Throws what `Kubectl.list` does.
 */
export async function installedNames(kubectl: Kubectl): Promise<string[]> {
  const { apiVersion, kind } = KUSTOMIZATION
  return (await kubectl.list(apiVersion, kind, { namespace: 'flux-system' })).map(
    ({ metadata }) => metadata.name,
  )
}

/** A condition in an object's status. */
export interface Condition {
  type: string
  status: 'True' | 'False' | 'Unknown'
  reason?: string
  message?: string
  lastTransitionTime?: string
  observedGeneration?: number
}

/** The state of an object. `waiting` covers everything that may still become ready by itself. */
export interface Standing {
  state: 'ready' | 'waiting' | 'failed' | 'suspended'
  reason: string
  message: string
}

/** One condition of an object. */
export function condition(object: KubeObject, type: string): Condition | undefined {
  return (object.status?.conditions as Condition[] | undefined)?.find(c => c.type === type)
}

/** Whether Flux has handled the last reconciliation that an annotation requested. */
export function handled(object: KubeObject): boolean {
  const requested = object.metadata.annotations?.['reconcile.fluxcd.io/requestedAt']
  return requested === undefined || requested === object.status?.lastHandledReconcileAt
}

/** How often Helm has failed to reach the desired state of a release; a reset sets it back to 0. */
export function failures(release: KubeObject): number {
  const { failures = 0, installFailures = 0, upgradeFailures = 0 } = release.status ?? {}
  return failures + installFailures + upgradeFailures
}

/** Reasons that only mean that something else is not ready yet. */
const waitingReasons = new Set([
  'DependencyNotReady',
  'Progressing',
  'ProgressingWithRetry',
  'ArtifactOutdated',
  'HealthCheckCanceled', // a new commit came during the health check of the last one
])

/**
 * The state of a Flux object, by its conditions. A condition counts only for the generation that it was
 * observed at, and only after the last requested reconciliation was handled. The status's own
 * observedGeneration counts for success alone: the controllers raise it on success or a stall, not on a
 * failure that they will retry. Pure.
 * Source: https://fluxcd.io/flux/components/kustomize/kustomizations/#conditions
 */
export function standing(object: KubeObject): Standing {
  const ready = condition(object, 'Ready')
  const reason = ready?.reason ?? ''
  const message = ready?.message ?? 'not looked at by Flux yet'
  if (object.spec?.suspend === true) return { state: 'suspended', reason: 'Suspended', message: 'suspended' }
  if (object.metadata.deletionTimestamp)
    return { state: 'waiting', reason: 'Deleting', message: 'is being deleted' }
  const generation = object.metadata.generation
  const current = (c: Condition) => c.observedGeneration === undefined || c.observedGeneration === generation
  const unhandled = !handled(object)
  const stalled = condition(object, 'Stalled')
  if (stalled?.status === 'True' && current(stalled) && !unhandled)
    // What the retries were exhausted by stands in Ready.
    return {
      state: 'failed',
      reason: stalled.reason ?? reason,
      message: ready?.message || (stalled.message ?? ''),
    }
  if (!ready || !current(ready) || unhandled) return { state: 'waiting', reason, message }
  if (ready.status === 'True') {
    const observed = object.status?.observedGeneration
    return { state: observed === undefined || observed === generation ? 'ready' : 'waiting', reason, message }
  }
  if (ready.status === 'False' && !waitingReasons.has(reason)) return { state: 'failed', reason, message }
  return { state: 'waiting', reason, message }
}

/**
 * Requests a reconciliation now: the annotation that `flux reconcile` sets. `reset` also resets the
 * exhausted retries of a HelmRelease; `force` makes Helm run even without a change.
 */
export async function reconcile(
  kubectl: Kubectl,
  ref: Ref,
  options: { reset?: boolean; force?: boolean } = {},
): Promise<void> {
  const at = new Date().toISOString()
  const spec = options.reset && isBeforeReset(ref) ? await newGeneration(kubectl, ref) : undefined
  await kubectl.patch(ref, {
    metadata: {
      annotations: {
        'reconcile.fluxcd.io/requestedAt': at,
        ...(options.reset ? { 'reconcile.fluxcd.io/resetAt': at } : {}),
        ...(options.force ? { 'reconcile.fluxcd.io/forceAt': at } : {}),
      },
    },
    ...(spec ? { spec } : {}),
  })
}

/** Whether a HelmRelease is of an API that has no resetAt: it came with v2beta2 (Flux 2.2). */
function isBeforeReset({ apiVersion }: Ref): boolean {
  return apiVersion === 'helm.toolkit.fluxcd.io/v2beta1'
}

/**
 * A change of a HelmRelease's spec without an effect. Before v2beta2 only a new generation set the failures back
 * to 0, and `flux reconcile` alone did not (HelmReleaseProgressing in
 * https://github.com/fluxcd/helm-controller/blob/v0.36.0/api/v2beta1/helmrelease_types.go); people suspended and
 * resumed the release for that. Adding or removing `suspend: false` does the same in one step.
 */
async function newGeneration(kubectl: Kubectl, ref: Ref): Promise<{ suspend: false | null } | undefined> {
  const suspend = (await kubectl.get(ref))?.spec?.suspend
  return suspend === true ? undefined : { suspend: suspend === undefined ? false : null }
}

/** One object in a Kustomization's inventory. */
export interface InventoryEntry {
  namespace: string
  name: string
  group: string
  kind: string
  version: string
}

/**
 * What a Kustomization has applied. An id in the inventory is `namespace_name_group_kind`
 * (https://fluxcd.io/flux/components/kustomize/kustomizations/#inventory). Pure.
 */
export function inventory(kustomization: KubeObject): InventoryEntry[] {
  const entries = (kustomization.status?.inventory?.entries ?? []) as { id: string; v: string }[]
  return entries.map(({ id, v }) => {
    // The names of RBAC objects may hold colons, which stand there as two underscores.
    const [, namespace = '', name = '', group = '', kind = ''] =
      /^([^_]*)_(.*)_([^_]*)_([^_]*)$/.exec(id) ?? []
    return { namespace, name: name.replaceAll('__', ':'), group, kind, version: v }
  })
}
