import { type Cause, type Facts, findCauses } from '../diagnosis/causes.ts'
import { gatherFacts, gitSourceOf, releasesOf, relevantFacts } from '../diagnosis/facts.ts'
import { condition, failures, handled, reconcile, standing } from '../flux/flux.ts'
import { type Kubectl, type KubeObject, refOf } from '../kubectl/kubectl.ts'
import { ExpectedError } from '../script/errors.ts'
import type { Log } from '../script/log.ts'
import { sleep, until } from '../script/wait.ts'

/** Why a Kustomization is not in order, in words; undefined when it and all its releases are ready. Pure. */
export function notInOrder(name: string, facts: Facts): string | undefined {
  const kustomization = facts.kustomizations.find(object => object.metadata.name === name)
  if (!kustomization) return 'is not there'
  if (!handled(kustomization)) return 'has not been looked at by Flux since it was asked to'
  const { state, reason, message } = standing(kustomization)
  if (state !== 'ready') return `is not ready (${reason || state}): ${message.split('\n')[0]}`
  const source = gitSourceOf(kustomization, facts)
  if (source && standing(source).state !== 'ready')
    return `waits for its source: ${standing(source).message.split('\n')[0]}`
  const revision = source?.status?.artifact?.revision
  if (revision && kustomization.status?.lastAppliedRevision !== revision) return `is not at ${revision} yet`
  const { found, absent } = releasesOf(kustomization, facts)
  if (absent.length > 0) return `lacks HelmRelease ${absent.join(', ')}`
  const unready = found.find(release => standing(release).state !== 'ready')
  if (unready)
    return `waits for HelmRelease ${unready.metadata.name}: ${standing(unready).message.split('\n')[0]}`
  return undefined
}

/** Milliseconds that sources get to answer a request to look again; the wait afterwards tells what they say. */
const SETTLE = 20_000

/** Milliseconds that the deletion of a release may take before we go on without it. */
const DELETION = 120_000

/** Asks sources to look again and waits until they have. One that does not answer in time is left to the wait. */
async function refresh(kubectl: Kubectl, sources: readonly KubeObject[], signal: AbortSignal): Promise<void> {
  for (const source of sources) await reconcile(kubectl, refOf(source))
  const end = performance.now() + SETTLE
  for (let open = [...sources]; open.length > 0 && performance.now() < end; ) {
    await sleep(300, signal)
    const now = await Promise.all(open.map(source => kubectl.get(refOf(source))))
    open = open.filter((_, i) => {
      const source = now[i]
      if (!source) return false
      // A failing source goes on reconciling; what it says is there already.
      const failing =
        condition(source, 'FetchFailed')?.status === 'True' || standing(source).state === 'failed'
      return !handled(source) || (condition(source, 'Reconciling')?.status === 'True' && !failing)
    })
  }
}

/**
 * Waits until releases that are being deleted are gone: Flux would apply onto a dying object, and then wait for
 * the health of one that is not there. Helm's uninstall may take a while; what takes longer is left to the wait.
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
 * Asks Flux to look at what is not in order of these Kustomizations now, from the source on: a correction may
 * be a new commit, a new chart in the mirror, a new value. Failed releases get new tries. What is in order is
 * not touched.
 */
export async function reconcileAll(
  kubectl: Kubectl,
  names: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const facts = await gatherFacts(kubectl)
  const wrong = facts.kustomizations.filter(
    ({ metadata }) => names.includes(metadata.name) && notInOrder(metadata.name, facts) !== undefined,
  )
  const relevant = relevantFacts(
    wrong.map(object => object.metadata.name),
    facts,
  )
  const charts = relevant.sources.filter(
    source => source.kind === 'HelmChart' && standing(source).state !== 'ready',
  )
  const suspect = new Set(charts.map(chart => chart.spec?.sourceRef?.name))
  await refresh(
    kubectl,
    relevant.sources.filter(
      source =>
        source.kind === 'GitRepository' ||
        (source.kind === 'HelmRepository' &&
          (standing(source).state !== 'ready' || suspect.has(source.metadata.name))),
    ),
    signal,
  )
  await refresh(kubectl, charts, signal)
  await waitForDeletions(
    kubectl,
    wrong.flatMap(kustomization => releasesOf(kustomization, facts).found),
    signal,
  )
  for (const kustomization of wrong) await reconcile(kubectl, refOf(kustomization))
  // A release that waits for a failing pod does not look at its corrected values before it is asked to; one
  // that only takes its time is left alone.
  const failing = findCauses(relevant).length > 0
  for (const release of wrong.flatMap(kustomization => releasesOf(kustomization, facts).found)) {
    const { state } = standing(release)
    if (state === 'failed' || failures(release) > 0 || (failing && state === 'waiting'))
      await reconcile(kubectl, refOf(release), { reset: true })
  }
}

/**
 * Seconds that a failure in a dependency may last at least: a new key in a shared Secret has the core look again
 * for a moment, and what is wrong in it keeps nobody waiting once that is over.
 */
const DEPENDENCY_GRACE = 10

/**
 * Milliseconds that the API server may be away while we wait: k3s restarts in less, and the lock of the cluster
 * lasts longer.
 */
const PATIENCE = 25_000

/** One line on how far Kustomizations and their releases are. Pure. */
export function progressLine(names: readonly string[], facts: Facts): string {
  const kustomizations = facts.kustomizations.filter(object => names.includes(object.metadata.name))
  const releases = kustomizations.flatMap(kustomization => releasesOf(kustomization, facts).found)
  const ready = (objects: KubeObject[]) => objects.filter(object => standing(object).state === 'ready').length
  const waiting = [...kustomizations, ...releases]
    .filter(object => standing(object).state !== 'ready')
    .map(object => object.metadata.name)
  return [
    `Kustomizations ${ready(kustomizations)}/${names.length}`,
    `HelmReleases ${ready(releases)}/${releases.length}`,
    waiting.length > 0 ? `waiting for ${[...new Set(waiting)].slice(0, 6).join(', ')}` : '',
  ]
    .filter(Boolean)
    .join(' · ')
}

/**
 * Asks Kustomizations to look again whose HelmRelease was deleted while they waited for its health: Flux goes
 * on waiting for what is not there until its own timeout, which may be 45 minutes.
 */
async function reviveAbsent(kubectl: Kubectl, names: readonly string[], facts: Facts): Promise<void> {
  for (const kustomization of facts.kustomizations)
    if (
      names.includes(kustomization.metadata.name) &&
      handled(kustomization) &&
      releasesOf(kustomization, facts).absent.length > 0
    )
      await reconcile(kubectl, refOf(kustomization))
}

/**
 * The Kustomizations whose health check has failed by releases that are ready by now, as they are after a failure
 * was corrected: Flux would look again only after their retry interval. Pure.
 */
export function outdatedFailures(names: readonly string[], facts: Facts): KubeObject[] {
  return facts.kustomizations.filter(kustomization => {
    if (!names.includes(kustomization.metadata.name)) return false
    const { state, reason } = standing(kustomization)
    if (state !== 'failed' || reason !== 'HealthCheckFailed') return false
    const { found, absent } = releasesOf(kustomization, facts)
    return (
      found.length > 0 && absent.length === 0 && found.every(release => standing(release).state === 'ready')
    )
  })
}

/** A cause as an error in two lines. */
export function causeError(cause: Cause): ExpectedError {
  return new ExpectedError(`${cause.subject}: ${cause.cause}`, cause.fix)
}

/**
 * Waits until these Kustomizations and all their HelmReleases are ready. Shows progress; ends early with the
 * cause and its remedy as soon as a failure has lasted longer than such a failure may; gives up at the
 * deadline (milliseconds) with the last state seen.
 */
export async function waitForKustomizations(
  kubectl: Kubectl,
  names: readonly string[],
  options: { deadline: number; log: Log; signal: AbortSignal },
): Promise<void> {
  const since = new Map<string, number>()
  const askedAgain = new Set<string>() // once: what fails again has another reason
  await until(
    async () => {
      const facts = await gatherFacts(kubectl)
      const wrong = names.map(name => [name, notInOrder(name, facts)] as const).filter(([, why]) => why)
      if (wrong.length === 0) return { done: undefined }
      options.log.progress(progressLine(names, facts))
      await reviveAbsent(kubectl, names, facts)
      for (const kustomization of outdatedFailures(names, facts))
        if (!askedAgain.has(kustomization.metadata.name)) {
          askedAgain.add(kustomization.metadata.name)
          await reconcile(kubectl, refOf(kustomization))
        }
      const now = performance.now()
      const causes = findCauses(relevantFacts(names, facts))
      const own = new Set(findCauses(relevantFacts(names, facts, { dependencies: false })).map(keyOf))
      for (const key of since.keys()) if (!causes.some(cause => keyOf(cause) === key)) since.delete(key)
      for (const cause of causes) {
        const seen = since.get(keyOf(cause)) ?? now
        since.set(keyOf(cause), seen)
        const grace = own.has(keyOf(cause)) ? cause.grace : Math.max(cause.grace, DEPENDENCY_GRACE)
        if (now - seen >= grace * 1000) throw causeError(cause)
      }
      return { last: wrong.map(([name, why]) => `${name} ${why}`).join('; ') }
    },
    {
      deadline: options.deadline,
      every: 700,
      patience: PATIENCE,
      describe: last => last ?? 'nothing',
      fix: 'look closer with `npx tsx scripts/diagnose.ts`, then run the same command again: it continues',
      signal: options.signal,
    },
  )
}

const keyOf = (cause: Cause) => `${cause.subject} ${cause.fix}`
