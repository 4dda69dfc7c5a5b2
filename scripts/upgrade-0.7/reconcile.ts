import { reach } from '../../lib/diagnosis/graph.ts'
import { condition, failures, handled, reconcile, standing } from '../../lib/flux/flux.ts'
import type { FluxKinds } from '../../lib/flux/flux-versions.ts'
import { type Kubectl, type KubeObject, refOf, refText } from '../../lib/kubectl/kubectl.ts'
import {
  diagnosed,
  type Obstacle,
  obstacleError,
  obstacles,
  Patience,
  progressText,
} from '../../lib/rollout/obstacles.ts'
import { kustomizationsOf, progressLine, releasesOf, unreadyReason } from '../../lib/rollout/standing.ts'
import { ExpectedError, TransientError } from '../../lib/script/errors.ts'
import type { Log } from '../../lib/script/log.ts'
import { sleep } from '../../lib/script/wait.ts'
import { dependsOnNames, gatherUpgradeFacts, kustomizationNamed, type UpgradeFacts } from './facts.ts'

/** How often this run has requested that Flux reconciles an object, and when last; by `refText`. */
export type RequestedReconciles = Map<string, { at: number; times: number }>

/** Milliseconds between two requests for the same object. */
const RETRY = 10_000
/** How often something that fails is tried before its cause is told. */
export const TRIES = 5
/** Milliseconds that the API server may be away; the lock of the cluster lasts longer. */
const PATIENCE = 25_000
/** Seconds that a failure may last at least: a change of the branch goes through everything. */
const GRACE = 20
/** Seconds that a pod may fail. */
const POD_GRACE = 120

const keyOf = (object: KubeObject) => refText(refOf(object))
const messageOf = (release: KubeObject) =>
  ['Ready', 'Released', 'Stalled'].map(type => {
    const found = condition(release, type)
    return `${found?.reason} ${found?.message}`
  })

/** An issue that the docs know ("Potential upgrade issues"). */
export type KnownIssue = 'empty client secret' | 'retries exhausted'

/** Which of the issues of the docs a HelmRelease has. Pure. */
export function knownIssue(release: KubeObject): KnownIssue | undefined {
  if (standing(release).state === 'ready') return undefined
  const texts = messageOf(release)
  if (texts.some(text => /b64enc\W.*(expected string|invalid value|wrong type)/s.test(text)))
    return 'empty client secret'
  const exhausted = /retries (exhausted|exceeded)|RetriesExceeded|exceeded maximum retries/
  return texts.some(text => exhausted.test(text)) ? 'retries exhausted' : undefined
}

const CURES: Record<KnownIssue, string> = {
  'empty client secret': 'its Kustomization takes the secrets again, then it is retried',
  'retries exhausted': 'it is retried',
}

/** The issues of the docs that releases of the platform have. Pure. */
function issuesOf(facts: UpgradeFacts): [release: string, issue: KnownIssue][] {
  return releasesIn(facts).flatMap(release => {
    const issue = knownIssue(release)
    return issue ? [[keyOf(release), issue] as [string, KnownIssue]] : []
  })
}

/** The releases that Kustomizations of the platform have applied. */
function releasesIn({ index, scope }: UpgradeFacts): KubeObject[] {
  return kustomizationsOf(scope, index).flatMap(kustomization => releasesOf(kustomization, index).found)
}

/** An object that Flux is asked to reconcile. */
export interface ReconcileRequest {
  object: KubeObject
  /** Whether its failures are reset. */
  reset: boolean
  /** Whether the client secrets have to be complete before. */
  cure: boolean
}

/**
 * What has to be requested of Flux now. Every Kustomization once in a run, as soon as what it depends on is ready:
 * what it has substituted may be from before the secrets were there, and nothing tells. Then each of its releases.
 * What fails is asked again, some times. Pure.
 */
export function nextAsks(facts: UpgradeFacts, asked: RequestedReconciles, now: number): ReconcileRequest[] {
  const asks: ReconcileRequest[] = []
  const mayAsk = (object: KubeObject) => {
    const before = asked.get(keyOf(object))
    return !before || (before.times < TRIES && now - before.at >= RETRY && handled(object))
  }
  const ask = (object: KubeObject, reset = false, cure = false) => {
    if (mayAsk(object)) asks.push({ object, reset, cure })
  }
  for (const name of facts.scope) {
    const kustomization = kustomizationNamed(name, facts)!
    if (kustomization.spec?.suspend === true || kustomization.metadata.deletionTimestamp) continue
    const { found, absent } = releasesOf(kustomization, facts.index)
    if (!asked.has(keyOf(kustomization))) {
      if (dependsOnNames(kustomization).every(dependency => isSettled(dependency, facts, asked)))
        ask(kustomization)
      continue
    }
    const empty = found.some(release => knownIssue(release) === 'empty client secret')
    if (empty || absent.length > 0 || standing(kustomization).state === 'failed')
      ask(kustomization, false, empty)
    for (const release of found) {
      if (release.metadata.deletionTimestamp || release.spec?.suspend === true) continue
      const { state } = standing(release)
      const failed = state === 'failed' || (state !== 'ready' && handled(release) && failures(release) > 0)
      if (failed || (handled(kustomization) && !asked.has(keyOf(release)))) ask(release, failed)
    }
  }
  const needed = reach(kustomizationsOf(facts.scope, facts.index).map(refOf), facts.index)
  for (const source of needed.flatMap(ref => facts.index.find(ref) ?? []))
    if (/^Helm(Repository|Chart)$/.test(source.kind) && standing(source).state === 'failed') ask(source)
  return asks
}

function isSettled(name: string, facts: UpgradeFacts, asked: RequestedReconciles): boolean {
  const found = kustomizationNamed(name, facts)
  if (!found) return false
  return (
    (!facts.scope.includes(name) || asked.has(keyOf(found))) && unreadyReason(name, facts.index) === undefined
  )
}

/** What is not done yet, in words; empty when everything was requested and is ready. Pure. */
export function unsettled(facts: UpgradeFacts, asked: RequestedReconciles): string[] {
  return facts.scope.flatMap(name => {
    const why = unreadyReason(name, facts.index)
    if (why !== undefined) return [`${name} ${why}`]
    const kustomization = kustomizationNamed(name, facts)!
    const { found } = releasesOf(kustomization, facts.index)
    const open = [kustomization, ...found].filter(object => !asked.has(keyOf(object)))
    return open.length > 0 ? [`${open[0]!.metadata.name} waits for its turn`] : []
  })
}

/**
 * The causes that more requests do not remove: those of objects that have been asked often enough. A pod has longer
 * than elsewhere: the next try of its release, with the secrets, may replace it. Pure.
 */
export function lasting(facts: UpgradeFacts, asked: RequestedReconciles): Obstacle[] {
  return obstacles(facts.index, facts.scope)
    .filter(({ subject, cause }) => {
      const ours = /^(Kustomization|HelmRelease|HelmChart|HelmRepository) /.test(subject)
      return !ours || cause.startsWith('is suspended') || (asked.get(subject)?.times ?? 0) >= TRIES
    })
    .map(cause =>
      cause.subject.startsWith('Pod ') ? { ...cause, grace: Math.max(cause.grace, POD_GRACE) } : cause,
    )
}

/** What `reconcilePlatform` and the waits before it need. */
export interface ReconcileOptions {
  kubectl: Kubectl
  kinds: FluxKinds
  /** Milliseconds. */
  deadline: number
  log: Log
  signal: AbortSignal
}

/**
 * Looks at the facts until `look` has nothing left to wait for. `look` returns what is waited for, in words, with
 * the causes that are known for it. An API server that is away for a moment is waited for. At the deadline the
 * first cause is told, or the last state.
 */
export async function watch(
  { kubectl, kinds, deadline, log, signal }: ReconcileOptions,
  least: number,
  look: (facts: UpgradeFacts) => Promise<{ open: string; causes: Obstacle[] } | undefined>,
): Promise<void> {
  const began = performance.now()
  const patience = new Patience(least)
  let answered = began
  for (;;) {
    signal.throwIfAborted()
    try {
      const facts = await gatherUpgradeFacts(kubectl, kinds)
      const seen = await look(facts)
      if (!seen) return
      answered = performance.now()
      const line = `${progressLine(facts.scope, facts.index)} · ${seen.open}`
      log.progress(progressText(line, seen.causes))
      const exhausted = patience.exhausted(seen.causes)
      if (exhausted) throw obstacleError(await diagnosed(kubectl, exhausted, facts.scope))
      if (performance.now() - began >= deadline) {
        const [cause] = seen.causes
        throw new ExpectedError(
          `gave up after ${Math.round(deadline / 1000)} s: ${cause ? `${cause.subject}: ${cause.cause}` : seen.open}`,
          cause?.fix ?? 'run the same command again: it continues; a longer --timeout waits longer',
        )
      }
    } catch (error) {
      if (!(error instanceof TransientError) || performance.now() - answered >= PATIENCE) throw error
    }
    await sleep(700, signal)
  }
}

/**
 * Has Flux reconcile everything in the order of dependence, and what fails again, until all Kustomizations of
 * the platform and their releases are ready. `cure` is called for an empty client secret before its release is
 * tried again. Returns the issues that were met, in words.
 */
export async function reconcilePlatform(
  options: ReconcileOptions,
  cure: () => Promise<unknown>,
): Promise<string[]> {
  const { kubectl, log } = options
  const asked: RequestedReconciles = new Map()
  const met = new Set<string>()
  await watch(options, GRACE, async facts => {
    const asks = nextAsks(facts, asked, performance.now())
    for (const [release, issue] of issuesOf(facts)) {
      const text = `${release}: ${issue}`
      if (!met.has(text)) log.warn(`${text}; ${CURES[issue]}`)
      met.add(text)
    }
    for (const { object, reset, cure: first } of asks) {
      if (first) await cure()
      const key = keyOf(object)
      await reconcile(kubectl, refOf(object), { reset })
      asked.set(key, { at: performance.now(), times: (asked.get(key)?.times ?? 0) + 1 })
    }
    const open = unsettled(facts, asked)
    // What was asked for just now is not in these facts yet.
    if (open.length === 0 && asks.length === 0) return undefined
    return { open: open[0] ?? 'what was asked for last', causes: lasting(facts, asked) }
  })
  return [...met]
}
