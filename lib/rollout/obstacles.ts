import { diagnose } from '../diagnosis/diagnose.ts'
import type { RootCause } from '../diagnosis/finding.ts'
import { gather } from '../diagnosis/gather.ts'
import { graceOf } from '../diagnosis/grace.ts'
import { dependenciesOf, keyOf, reach } from '../diagnosis/graph.ts'
import { RULES } from '../diagnosis/rules/index.ts'
import { Index } from '../diagnosis/snapshot.ts'
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
  const { text, command, action } = cause.remedy
  const fix = command && !text.includes(command) ? `${text}: ${command}` : text
  return {
    subject: refText(cause.subject),
    cause: cause.cause,
    fix: action?.do === 'script' ? fix : `${fix}; then run the same command again`,
    grace: Math.min(...[cause, ...(cause.timing === 'passing' ? [] : cause.explains)].map(graceOf)),
    explains: cause.explains.map(({ subject }) => refText(subject)),
  }
}

/**
 * What everything that a diagnosis reads says of an obstacle, which was found by the few kinds that a wait reads: so
 * a wait ends with the words of `diagnose`. The obstacle itself where the diagnosis does not mention it.
 */
export async function diagnosed(
  kubectl: Kubectl,
  obstacle: Obstacle,
  names: readonly string[],
): Promise<Obstacle> {
  if (!obstacle.explains) return obstacle
  const found = obstacles(new Index(await gather(kubectl)), names)
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
 * What keeps Kustomizations from becoming ready, by the rules of the diagnosis, the most important first. Neither a
 * broken application beside them counts, nor what a new commit is about to replace. Pure.
 */
export function obstacles(index: Index, names: readonly string[]): Obstacle[] {
  const starts = kustomizationsOf(names, index).map(refOf)
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
