import { condition, handled, inventory, standing } from '../flux/flux.ts'
import { CURRENT_KINDS, type FluxKinds } from '../flux/flux-versions.ts'
import type { Kubectl, KubeObject } from '../kubectl/kubectl.ts'
import type { Facts } from './causes.ts'

/** Where the pods of the platform run. */
export const NAMESPACES = ['flux-system', 'oas', 'oas-apps', 'cert-manager', 'velero'] as const

/** Everything about Flux and its pods, read in one go; at the versions of Flux 2.9 unless told. */
export async function gatherFacts(kubectl: Kubectl, kinds: FluxKinds = CURRENT_KINDS): Promise<Facts> {
  const list = (type: { apiVersion: string; kind: string }, namespace?: string) =>
    kubectl.list(type.apiVersion, type.kind, namespace ? { namespace } : {})
  const [git, repositories, charts, kustomizations, helmReleases, controllers, replicaSets, ...pods] =
    await Promise.all([
      list(kinds.gitRepository),
      list(kinds.helmRepository),
      list(kinds.helmChart),
      list(kinds.kustomization),
      list(kinds.helmRelease),
      list({ apiVersion: 'apps/v1', kind: 'Deployment' }, 'flux-system'),
      list({ apiVersion: 'apps/v1', kind: 'ReplicaSet' }),
      ...NAMESPACES.map(namespace => list({ apiVersion: 'v1', kind: 'Pod' }, namespace)),
    ])
  return {
    sources: [...git, ...repositories, ...charts],
    kustomizations,
    helmReleases,
    controllers,
    busy: [...git, ...repositories, ...charts, ...kustomizations, ...helmReleases]
      .filter(object => condition(object, 'Reconciling')?.status === 'True')
      .map(object => object.kind),
    pods: currentPods(pods.flat(), replicaSets),
  }
}

/**
 * The pods that still count: a rolling update leaves those of the old ReplicaSet in place until the new ones
 * are ready, and with them the failure that was just corrected. Pure.
 */
export function currentPods(pods: readonly KubeObject[], replicaSets: readonly KubeObject[]): KubeObject[] {
  const ownerOf = (object: KubeObject) =>
    object.metadata.ownerReferences?.find(owner => owner.controller)?.uid
  const revisionOf = (set: KubeObject) =>
    Number(set.metadata.annotations?.['deployment.kubernetes.io/revision'] ?? 0)
  const newest = new Map<string | undefined, number>()
  for (const set of replicaSets)
    newest.set(ownerOf(set), Math.max(revisionOf(set), newest.get(ownerOf(set)) ?? 0))
  const old = new Set(
    replicaSets.filter(set => revisionOf(set) < (newest.get(ownerOf(set)) ?? 0)).map(set => set.metadata.uid),
  )
  return pods.filter(pod => !pod.metadata.deletionTimestamp && !old.has(ownerOf(pod)))
}

/** The HelmReleases that a Kustomization has applied, as far as they exist, and the names of those that do not. */
export function releasesOf(
  kustomization: KubeObject,
  facts: Facts,
): { found: KubeObject[]; absent: string[] } {
  const found: KubeObject[] = []
  const absent: string[] = []
  for (const entry of inventory(kustomization)) {
    if (entry.kind !== 'HelmRelease') continue
    const release = facts.helmReleases.find(
      object => object.metadata.name === entry.name && object.metadata.namespace === entry.namespace,
    )
    if (release) found.push(release)
    else absent.push(`${entry.namespace}/${entry.name}`)
  }
  return { found, absent }
}

/** Milliseconds after which a release that was asked to look again has replaced what it was going to replace. */
const ASKED = 20_000

/** Whether a release was asked to look again a moment ago and is not done: Flux answers when Helm has ended. */
function justAsked(release: KubeObject): boolean {
  const asked = Date.parse(release.metadata.annotations?.['reconcile.fluxcd.io/requestedAt'] ?? '')
  return !handled(release) && Date.now() - asked < ASKED
}

/** The GitRepository that a Kustomization is built from, if it exists. */
export function gitSourceOf(kustomization: KubeObject, facts: Facts): KubeObject | undefined {
  return facts.sources.find(
    ({ kind, metadata }) => kind === 'GitRepository' && metadata.name === kustomization.spec?.sourceRef?.name,
  )
}

/** Whether a Kustomization still has to look at what its source has fetched. */
function awaitsRevision(kustomization: KubeObject, facts: Facts): boolean {
  const source = gitSourceOf(kustomization, facts)
  const revision = source?.status?.artifact?.revision
  return (
    standing(kustomization).state === 'waiting' &&
    revision !== undefined &&
    kustomization.status?.lastAttemptedRevision !== revision
  )
}

/**
 * The part of the facts that these Kustomizations depend on: a broken application must not end the installation
 * of another one. Pods are told by the labels that Helm charts give them, or by the name of their workload.
 */
export function relevantFacts(
  names: readonly string[],
  facts: Facts,
  options: { dependencies: boolean } = { dependencies: true },
): Facts {
  const wanted = new Set(names)
  // dependsOn names only what comes before; a few rounds reach the whole chain.
  for (let size = -1; options.dependencies && size !== wanted.size; ) {
    size = wanted.size
    for (const kustomization of facts.kustomizations)
      if (wanted.has(kustomization.metadata.name))
        for (const dependency of kustomization.spec?.dependsOn ?? []) {
          // Flux waits only for what is not ready, and so do we.
          const found = facts.kustomizations.find(object => object.metadata.name === dependency.name)
          if (!found || standing(found).state !== 'ready') wanted.add(dependency.name)
        }
  }
  const kustomizations = facts.kustomizations.filter(object => wanted.has(object.metadata.name))
  // What a new commit is about to change tells nothing: neither its old releases nor their charts and pods.
  const settled = kustomizations.filter(kustomization => !awaitsRevision(kustomization, facts))
  const helmReleases = settled.flatMap(kustomization => releasesOf(kustomization, facts).found)
  const chartOf = (release: KubeObject) => `${release.metadata.namespace}-${release.metadata.name}`
  const charts = new Set(helmReleases.map(chartOf))
  const sources = new Set([
    ...kustomizations.map(object => object.spec?.sourceRef?.name),
    ...helmReleases.map(object => object.spec?.chart?.spec?.sourceRef?.name),
  ])
  // A release that was asked to look again a moment ago may be about to replace its pods.
  const instances = new Set(
    helmReleases
      .filter(release => !justAsked(release))
      .flatMap(object => [object.metadata.name, object.spec?.releaseName]),
  )
  const workloads = settled
    .flatMap(inventory)
    .filter(entry => /^(Deployment|StatefulSet|DaemonSet|Job)$/.test(entry.kind))
  return {
    controllers: facts.controllers,
    busy: facts.busy,
    kustomizations,
    helmReleases,
    sources: facts.sources.filter(({ kind, metadata }) =>
      kind === 'HelmChart' ? charts.has(metadata.name) : sources.has(metadata.name),
    ),
    pods: facts.pods.filter(
      ({ metadata }) =>
        instances.has(metadata.labels?.['app.kubernetes.io/instance'] ?? metadata.labels?.release ?? '-') ||
        workloads.some(
          workload =>
            workload.namespace === metadata.namespace && metadata.name.startsWith(`${workload.name}-`),
        ),
    ),
  }
}
