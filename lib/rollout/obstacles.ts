import { diagnose } from '../diagnosis/diagnose.ts'
import { type Remedy, type RootCause, remedyText } from '../diagnosis/finding.ts'
import { gather } from '../diagnosis/gather.ts'
import { graceOf } from '../diagnosis/grace.ts'
import { controllerOf, dependenciesOf, keyOf, reach } from '../diagnosis/graph.ts'
import { RULES } from '../diagnosis/rules/index.ts'
import { keptObjects } from '../diagnosis/rules/terminating.ts'
import { Index, type Snapshot } from '../diagnosis/snapshot.ts'
import { handled, inventory, standing } from '../flux/flux.ts'
import { type Kubectl, type KubeObject, type Ref, refOf, refText } from '../kubectl/kubectl.ts'
import { ExpectedError } from '../script/errors.ts'
import { gitSourceOf, kustomizationsOf } from './standing.ts'

/** What keeps a wait from its end, and what to do about it. */
export interface Obstacle {
  subject: string
  cause: string
  fix: string
  /** Seconds that it may last before it ends the wait. */
  grace: number
  /** What else it keeps waiting; undefined where the diagnosis has not found it. */
  explains?: readonly string[]
}

/** An obstacle as an error in two lines. */
export function obstacleError({ subject, cause, fix }: Obstacle): ExpectedError {
  return new ExpectedError(`${subject}: ${cause}`, fix)
}

/**
 * A cause of the diagnosis as an obstacle: whatever it explains may end the wait as well, unless the cause passes by
 * itself. Pure.
 */
export function obstacleOf(cause: RootCause): Obstacle {
  return {
    subject: refText(cause.subject),
    cause: cause.cause,
    fix: fixOf(cause.remedy),
    grace: Math.min(...[cause, ...(cause.timing === 'passing' ? [] : cause.explains)].map(graceOf)),
    explains: cause.explains.map(({ subject }) => refText(subject)),
  }
}

function fixOf(remedy: Remedy): string {
  const fix = remedyText(remedy)
  return remedy.action?.do === 'script' ? fix : `${fix}; then run the same command again`
}

/**
 * What everything that a diagnosis reads says of an obstacle, which was found by the few kinds that a wait reads: so
 * a wait ends with the words of `diagnose`. The obstacle itself where the diagnosis does not mention it.
 */
export async function diagnosed(
  kubectl: Kubectl,
  obstacle: Obstacle,
  names: readonly string[],
  namespace?: string,
): Promise<Obstacle> {
  if (!obstacle.explains) return obstacle
  const found = obstacles(new Index(await gather(kubectl)), names, namespace)
  return (
    found.find(({ subject }) => subject === obstacle.subject) ??
    found.find(({ explains }) => explains?.includes(obstacle.subject)) ??
    obstacle
  )
}

/**
 * Seconds that a failure in a dependency may last at least: a new key in a shared Secret has the core reconciled
 * for a moment, and what is wrong in it keeps nobody waiting once that is over.
 */
const DEPENDENCY_GRACE = 10

/**
 * What keeps Kustomizations of a namespace, that of the platform by default, from becoming ready, by the rules of the
 * diagnosis, the most important first. Neither a broken application beside them counts, nor what a new commit is about
 * to replace. Pure.
 */
export function obstacles(index: Index, names: readonly string[], namespace?: string): Obstacle[] {
  const starts = kustomizationsOf(names, index, namespace).map(refOf)
  const everything = keysOf(reach(starts, index))
  const current = keysOf(reach(starts, index, object => stops(object, index, names)))
  const own = keysOf(reach(starts, index, object => stops(object, index, names, { dependencies: false })))
  const counts = (cause: RootCause) => {
    const key = keyOf(cause.subject)
    // What is suspended works, but gets no changes: a wait for them never ends.
    if (cause.verdict !== 'broken' && !cause.rule.endsWith('-suspended')) return false
    // What lies outside, a quota or a webhook, counts by what it is the cause of.
    if (everything.has(key)) return current.has(key)
    return cause.explains.some(({ subject }) => current.has(keyOf(subject)))
  }
  return diagnose(index.snapshot, RULES, { only: counts }).causes.map(cause => {
    const obstacle = obstacleOf(cause)
    const isOwn = own.has(keyOf(cause.subject))
    return isOwn ? obstacle : { ...obstacle, grace: Math.max(obstacle.grace, DEPENDENCY_GRACE) }
  })
}

const keysOf = (refs: readonly Ref[]) => new Set(refs.map(keyOf))

/** Milliseconds after which a release that was requested to reconcile has replaced what it was going to replace. */
const REPLACING = 20_000

/** What of an object's dependencies counts for a wait: all unless this says otherwise. */
function stops(
  object: KubeObject,
  index: Index,
  names: readonly string[],
  options: { dependencies: boolean } = { dependencies: true },
): boolean | Ref[] {
  const { kind, metadata } = object
  if (kind === 'Kustomization') {
    // Flux waits only for dependencies that are not ready, and so do we.
    if (!names.includes(metadata.name) && standing(object).state === 'ready') return true
    const applied = awaitsRevision(object, index) ? inventory(object) : []
    const replaced = new Set(applied.map(({ kind, namespace, name }) => `${kind} ${namespace}/${name}`))
    return dependenciesOf(object, index).filter(
      ref => !replaced.has(keyOf(ref)) && (options.dependencies || ref.kind !== 'Kustomization'),
    )
  }
  if (kind !== 'HelmRelease' || !isReplacing(object, index)) return false
  return dependenciesOf(object, index).filter(
    ({ kind, namespace }) => /^Helm|^Secret$|^ConfigMap$/.test(kind) || namespace === 'flux-system',
  )
}

/** Whether a Kustomization still has to apply what its source has fetched: its old releases tell nothing. */
function awaitsRevision(kustomization: KubeObject, index: Index): boolean {
  const revision = gitSourceOf(kustomization, index)?.status?.artifact?.revision
  return (
    standing(kustomization).state === 'waiting' &&
    revision !== undefined &&
    kustomization.status?.lastAttemptedRevision !== revision
  )
}

/** Whether a release was requested to reconcile a moment ago: Flux answers when Helm has ended. */
function isReplacing(release: KubeObject, { now, snapshot }: Index): boolean {
  const requested = Date.parse(release.metadata.annotations?.['reconcile.fluxcd.io/requestedAt'] ?? '')
  // The request has the time of this machine.
  return !handled(release) && now - snapshot.clockOffset * 1000 - requested < REPLACING
}

/** Ends a wait as soon as an obstacle has lasted longer than it may. */
export class Patience {
  readonly #since = new Map<string, number>()
  readonly #least: number

  /** `least`: seconds that every obstacle may last which another try may remove. */
  constructor(least = 0) {
    this.#least = least
  }

  /** The first obstacle that has lasted too long. */
  exhausted(found: readonly Obstacle[]): Obstacle | undefined {
    const now = performance.now()
    const keyOf = ({ subject, fix }: Obstacle) => `${subject} ${fix.replaceAll(/\d+/g, '')}`
    const present = new Set(found.map(keyOf))
    for (const key of this.#since.keys()) if (!present.has(key)) this.#since.delete(key)
    return found.find(obstacle => {
      const since = this.#since.get(keyOf(obstacle)) ?? now
      this.#since.set(keyOf(obstacle), since)
      const grace = obstacle.grace === 0 ? 0 : Math.max(obstacle.grace, this.#least)
      return now - since >= grace * 1000
    })
  }
}

/** A line of progress with what is in the way, if that is known. Pure. */
export function progressText(line: string, [first]: readonly Obstacle[]): string {
  return first ? `${line} · ${first.subject}: ${first.cause}` : line
}

/**
 * What is wrong with objects of any kind, or with what they depend on, by the rules of the diagnosis, the most
 * important first. Pure.
 */
export function obstaclesOf(
  refs: readonly Ref[],
  snapshot: Snapshot,
  stops?: Parameters<typeof reach>[2],
): Obstacle[] {
  const index = new Index(snapshot)
  const theirs = keysOf(reach(refs, index, stops))
  const counts = (cause: RootCause) =>
    cause.verdict === 'broken' && [cause, ...cause.explains].some(({ subject }) => theirs.has(keyOf(subject)))
  return diagnose(snapshot, RULES, { index, only: counts }).causes.map(obstacleOf)
}

/**
 * What keeps objects that are to go: of those that were deleted, and of the controllers of Flux, which have to remove
 * what a Kustomization and a release stand for. Pure.
 */
export function keepersOf(left: readonly KubeObject[], snapshot: Snapshot): Obstacle[] {
  const deleted = left.filter(({ metadata }) => metadata.deletionTimestamp)
  const found = obstaclesOf(deleted.map(refOf), snapshot, ({ kind }) => {
    const name = controllerOf(kind)
    return name ? [{ apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'flux-system', name }] : false
  })
  if (found.length > 0) return found
  // A diagnosis tells of a finalizer after minutes only; during a wait it is the best answer from the start.
  const keys = keysOf(deleted.map(refOf))
  return keptObjects(new Index(snapshot)).flatMap(({ object, cause, remedy }) =>
    remedy && keys.has(keyOf(refOf(object))) && controllerOf(object.kind) === undefined
      ? [{ subject: refText(refOf(object)), cause, fix: fixOf(remedy), grace: Number.POSITIVE_INFINITY }]
      : [],
  )
}

/** Milliseconds between two diagnoses during a wait: a diagnosis reads everything, a wait looks more often. */
const DIAGNOSED_EVERY = 15_000

/**
 * A function that tells a wait what is wrong with the objects that it waits for, in the words of `diagnose`: as of the
 * last diagnosis, of which there is none in the first seconds, when most waits end.
 */
export function inquiry<T>(
  kubectl: Kubectl,
  judge: (objects: readonly T[], snapshot: Snapshot) => Obstacle[],
): (objects: readonly T[]) => Promise<Obstacle[]> {
  let asked = performance.now()
  let found: Obstacle[] = []
  return async objects => {
    if (performance.now() - asked < DIAGNOSED_EVERY) return found
    found = judge(objects, await gather(kubectl))
    asked = performance.now()
    return found
  }
}

/** What a wait has seen last: how far it is, and what is in the way, if that is known. */
export interface Seen {
  line: string
  found: readonly Obstacle[]
}

/** How a wait ends at its deadline: it tells what is in the way and its remedy, or else `fix`. */
export function tellingWhy(fix: string) {
  return {
    describe: (last?: Seen) => (last ? progressText(last.line, last.found) : 'nothing'),
    fix: (last?: Seen) => last?.found[0]?.fix ?? fix,
  }
}
