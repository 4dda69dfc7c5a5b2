/**
 * What writes into the databases of an application: it is stopped while their dumps are loaded, since whatever people
 * wrote until then would be replaced by the dump.
 */
import type { AppParts } from '../../lib/backup/back-up.ts'
import { databaseOf, HOOK } from '../../lib/backup/databases.ts'
import { HELM_RELEASE } from '../../lib/flux/flux.ts'
import { labelledReleases } from '../../lib/flux/release-labels.ts'
import { claimsOfPod, claimsOfPods, isOver } from '../../lib/kubectl/claims.ts'
import { type Kubectl, type KubeObject, type Ref, refOf } from '../../lib/kubectl/kubectl.ts'
import { NOTES, scaleBack, scaleDown } from '../../lib/kubectl/scale.ts'
import { fits } from '../../lib/kubectl/selector.ts'
import { inquiry, obstaclesOf, type Seen, tellingWhy } from '../../lib/rollout/obstacles.ts'
import { until } from '../../lib/script/wait.ts'

/** Milliseconds for the pods of the writers to end, and for those of the databases to exist. */
const STOPPING = 15 * 60_000

const releaseOf = ({ metadata: { labels } }: KubeObject) => labelledReleases(labels)[0] ?? ''

const isDatabase = ({ spec }: KubeObject) =>
  databaseOf(spec?.template?.metadata?.annotations?.[`${HOOK}/command`]) !== undefined

/** The objects of a kind in the namespaces of an application. */
export const listOf = async (kubectl: Kubectl, { namespaces }: AppParts, apiVersion: string, kind: string) =>
  (await Promise.all(namespaces.map(namespace => kubectl.list(apiVersion, kind, { namespace })))).flat()

/** The workloads of an application that no operator scales. */
async function workloadsOf(kubectl: Kubectl, parts: AppParts): Promise<KubeObject[]> {
  const kinds = ['Deployment', 'StatefulSet']
  const all = (await Promise.all(kinds.map(kind => listOf(kubectl, parts, 'apps/v1', kind)))).flat()
  return all
    .filter(({ metadata }) => !metadata.ownerReferences?.some(({ controller }) => controller))
    .filter(workload => parts.releases.includes(releaseOf(workload)))
}

/**
 * The databases among the workloads of an application, known by the hook that dumps them, and the workloads that may
 * write into these: the others of their releases, and those of releases that depend on one of them. Pure.
 */
export function writersOf(
  workloads: readonly KubeObject[],
  releases: readonly KubeObject[],
): { databases: KubeObject[]; writers: KubeObject[] } {
  const databases = workloads.filter(isDatabase)
  const theirs = new Set(databases.map(releaseOf))
  const dependsOn = (name: string) => {
    const release = releases.find(({ metadata }) => metadata.name === name)
    return ((release?.spec?.dependsOn ?? []) as { name: string }[]).some(each => theirs.has(each.name))
  }
  const writes = (name: string) => theirs.has(name) || dependsOn(name)
  return { databases, writers: workloads.filter(each => !isDatabase(each) && writes(releaseOf(each))) }
}

/**
 * Stops what may write into the databases of an application, and waits until its pods are gone and each database has
 * one. Returns those of the claims (`namespace/name`) that the databases use.
 */
export async function stopWriters(
  kubectl: Kubectl,
  parts: AppParts,
  claims: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<Set<string>> {
  const releases = await listOf(kubectl, parts, HELM_RELEASE.apiVersion, HELM_RELEASE.kind)
  const { databases, writers } = writersOf(await workloadsOf(kubectl, parts), releases)
  for (const writer of writers) await scaleDown(kubectl, refOf(writer), NOTES.restore)
  const running = databases.filter(({ spec }) => spec?.replicas !== 0)
  const known = inquiry<Ref>(kubectl, obstaclesOf)
  return until<Seen, Set<string>>(
    async () => {
      const pods = await listOf(kubectl, parts, 'v1', 'Pod')
      const of = (workload: KubeObject) => pods.filter(pod => isPodOf(workload, pod))
      const left = [
        ...writers.filter(each => of(each).length > 0).map(({ metadata }) => `${metadata.name} still runs`),
        ...running.filter(each => of(each).length === 0).map(({ metadata }) => `${metadata.name} has no pod`),
      ]
      if (left.length > 0) {
        const without = running.filter(each => of(each).length === 0)
        const refs = [...writers.flatMap(of), ...without].map(refOf)
        return { last: { line: left.join(', '), found: await known(refs) } }
      }
      return { done: new Set([...claimsOfPods(running.flatMap(of))].filter(claim => claims.has(claim))) }
    },
    {
      deadline: STOPPING,
      every: 1000,
      signal,
      ...tellingWhy('find the cause with `npx tsx scripts/diagnose.ts`, then run the same command again'),
    },
  )
}

/** Whether a pod is one that a workload counts as its own, and has not ended. Pure. */
const isPodOf = ({ metadata, spec }: KubeObject, pod: KubeObject) =>
  pod.metadata.namespace === metadata.namespace && !isOver(pod) && fits(spec?.selector, pod.metadata.labels)

const isStopped = ({ metadata }: KubeObject) => metadata.annotations?.[NOTES.restore] !== undefined

/** Starts again what a restore of an application has stopped, however many runs ago. */
export async function startWriters(kubectl: Kubectl, parts: AppParts): Promise<void> {
  for (const workload of (await workloadsOf(kubectl, parts)).filter(isStopped))
    await scaleBack(kubectl, refOf(workload), NOTES.restore)
}

/** What a restore has stopped and not started again, and would mount one of these claims: it has no pods to be known by. */
export async function stoppedWith(
  kubectl: Kubectl,
  parts: AppParts,
  claims: ReadonlySet<string>,
): Promise<Ref[]> {
  return (await workloadsOf(kubectl, parts))
    .filter(each => isStopped(each) && [...claims].some(claim => mayMount(each, claim)))
    .map(refOf)
}

/** Whether pods of a workload mount a claim (`namespace/name`), by their template. Pure. */
function mayMount(workload: KubeObject, claim: string): boolean {
  const { metadata, spec } = workload
  const [namespace, name = ''] = claim.split('/')
  const templates: KubeObject[] = spec?.volumeClaimTemplates ?? []
  return (
    namespace === metadata.namespace &&
    (claimsOfPod({ ...workload, spec: spec?.template?.spec }).includes(name) ||
      templates.some(each => name.startsWith(`${each.metadata.name}-${metadata.name}-`)))
  )
}
