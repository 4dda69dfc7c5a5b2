import { gatherWatched } from '../diagnosis/gather.ts'
import { reach } from '../diagnosis/graph.ts'
import { Index } from '../diagnosis/snapshot.ts'
import { condition, failures, handled, reconcile, standing } from '../flux/flux.ts'
import type { FluxKinds } from '../flux/flux-versions.ts'
import { isNotFound } from '../kubectl/api-error.ts'
import { type Kubectl, type KubeObject, refOf } from '../kubectl/kubectl.ts'
import type { Log } from '../script/log.ts'
import { sleep, until } from '../script/wait.ts'
import { diagnosed, obstacleError, obstacles, Patience, progressText } from './obstacles.ts'
import { kustomizationsOf, outdatedFailures, progressLine, releasesOf, unreadyReason } from './standing.ts'

/** What a wait looks at, at the versions of Flux 2.9 unless told. */
export async function watched(kubectl: Kubectl, kinds?: FluxKinds): Promise<Index> {
  return new Index(await gatherWatched(kubectl, kinds))
}

/** Milliseconds that sources get to answer a request to reconcile; the wait afterwards tells what they say. */
const SETTLE = 20_000

/** Milliseconds that the deletion of a release may take before we go on without it. */
const DELETION = 120_000

/** Has an object reconciled; one that was deleted since it was read is left to the wait, which tells of it. */
async function ask(kubectl: Kubectl, object: KubeObject, options: { reset?: boolean } = {}): Promise<void> {
  try {
    await reconcile(kubectl, refOf(object), options)
  } catch (error) {
    const absent = error instanceof Error && isNotFound(error.cause)
    if (!absent || (await kubectl.get(refOf(object)))) throw error
  }
}

/** Asks sources to reconcile and waits until they have. One that does not answer in time is left to the wait. */
async function refresh(kubectl: Kubectl, sources: readonly KubeObject[], signal: AbortSignal): Promise<void> {
  for (const source of sources) await ask(kubectl, source)
  const end = performance.now() + SETTLE
  for (let open = [...sources]; open.length > 0 && performance.now() < end; ) {
    await sleep(300, signal)
    const now = await Promise.all(open.map(source => kubectl.get(refOf(source))))
    open = open.filter((_, i) => {
      const source = now[i]
      if (!source) return false
      // A failing source goes on reconciling; what it says is known already.
      const failing =
        condition(source, 'FetchFailed')?.status === 'True' || standing(source).state === 'failed'
      return !handled(source) || (condition(source, 'Reconciling')?.status === 'True' && !failing)
    })
  }
}

/**
 * Waits until releases that are being deleted are gone: Flux would apply onto a dying object, and then wait for
 * the health of one that does not exist. Helm's uninstall may take a while; what takes longer is left to the wait.
 */
async function waitForDeletions(
  kubectl: Kubectl,
  releases: readonly KubeObject[],
  signal: AbortSignal,
): Promise<void> {
  const end = performance.now() + DELETION
  for (let open = releases.filter(release => release.metadata.deletionTimestamp); open.length > 0; ) {
    if (performance.now() >= end) return
    await sleep(500, signal)
    const now = await Promise.all(open.map(release => kubectl.get(refOf(release))))
    open = open.filter((release, i) => now[i]?.metadata.uid === release.metadata.uid)
  }
}

/**
 * Has Flux reconcile what is not ready of these Kustomizations now, from the source on: a correction may be a new
 * commit, a new chart in the mirror, a new value. Failed releases are retried. What is ready is not touched. They are
 * in the namespace of the platform, unless another one is given.
 */
export async function reconcileAll(
  kubectl: Kubectl,
  names: readonly string[],
  signal: AbortSignal,
  namespace?: string,
): Promise<void> {
  const index = await watched(kubectl)
  const wrong = kustomizationsOf(names, index, namespace).filter(
    ({ metadata }) => unreadyReason(metadata.name, index, namespace) !== undefined,
  )
  const needed = reach(wrong.map(refOf), index).flatMap(ref => index.find(ref) ?? [])
  const charts = needed.filter(({ kind }) => kind === 'HelmChart').filter(isUnready)
  const suspect = new Set(charts.map(chart => chart.spec?.sourceRef?.name))
  await refresh(
    kubectl,
    needed.filter(
      source =>
        source.kind === 'GitRepository' ||
        (source.kind === 'HelmRepository' && (isUnready(source) || suspect.has(source.metadata.name))),
    ),
    signal,
  )
  await refresh(kubectl, charts, signal)
  const releases = wrong.flatMap(kustomization => releasesOf(kustomization, index).found)
  await waitForDeletions(kubectl, releases, signal)
  for (const kustomization of wrong) await ask(kubectl, kustomization)
  // A release that waits for a failing pod does not take its corrected values before it is asked to; one that only
  // takes its time is not disturbed.
  const failing = obstacles(
    index,
    wrong.map(({ metadata }) => metadata.name),
    namespace,
  ).some(({ grace }) => grace < Number.POSITIVE_INFINITY)
  for (const release of releases) {
    const { state } = standing(release)
    if (state === 'failed' || failures(release) > 0 || (failing && state === 'waiting'))
      await ask(kubectl, release, { reset: true })
  }
}

const isUnready = (object: KubeObject) => standing(object).state !== 'ready'

/**
 * Milliseconds that the API server may be away while we wait: k3s restarts in less, and the lock of the cluster
 * lasts longer.
 */
export const PATIENCE = 25_000

/**
 * Has Kustomizations reconciled whose HelmRelease was deleted while they waited for its health: Flux goes on
 * waiting for an object that does not exist until its own timeout, which may be 45 minutes.
 */
async function reviveAbsent(kubectl: Kubectl, kustomizations: readonly KubeObject[], index: Index) {
  for (const kustomization of kustomizations)
    if (handled(kustomization) && releasesOf(kustomization, index).absent.length > 0)
      await ask(kubectl, kustomization)
}

/**
 * Waits until these Kustomizations and all their HelmReleases are ready. Shows progress, and what is in the way as
 * soon as that is known; ends early with the cause and its remedy once it has lasted longer than it may; gives up
 * at the deadline (milliseconds) with the last state seen. `namespace` is where they are, that of the platform by
 * default; `lasts`: seconds that a failure of a source or a Kustomization may last, instead of what its rule says, and
 * any other at least.
 */
export async function waitForKustomizations(
  kubectl: Kubectl,
  names: readonly string[],
  options: { deadline: number; log: Log; signal: AbortSignal; namespace?: string; lasts?: number },
): Promise<void> {
  const { namespace, lasts } = options
  const patience = new Patience(lasts)
  const askedAgain = new Set<string>() // once: what fails again has another reason
  await until(
    async () => {
      const index = await watched(kubectl)
      const wrong = names
        .map(name => [name, unreadyReason(name, index, namespace)] as const)
        .filter(([, why]) => why)
      if (wrong.length === 0) return { done: undefined }
      await reviveAbsent(kubectl, kustomizationsOf(names, index, namespace), index)
      for (const kustomization of outdatedFailures(names, index, namespace))
        if (!askedAgain.has(kustomization.metadata.name)) {
          askedAgain.add(kustomization.metadata.name)
          await ask(kubectl, kustomization)
        }
      const found = obstacles(index, names, namespace).map(each =>
        /^(GitRepository|Kustomization) /.test(each.subject) ? { ...each, grace: lasts ?? each.grace } : each,
      )
      options.log.progress(progressText(progressLine(names, index, namespace), found))
      const exhausted = patience.exhausted(found)
      if (exhausted) throw obstacleError(await diagnosed(kubectl, exhausted, names, namespace))
      return { last: wrong.map(([name, why]) => `${name} ${why}`).join('; ') }
    },
    {
      deadline: options.deadline,
      every: 700,
      patience: PATIENCE,
      describe: last => last ?? 'nothing',
      fix: 'find the cause with `npx tsx scripts/diagnose.ts`, then run the same command again: it continues',
      signal: options.signal,
    },
  )
}
