import { condition, standing } from '../../flux/flux.ts'
import { type KubeObject, type Ref, refOf, refText } from '../../kubectl/kubectl.ts'
import type { Action, Finding, Rule } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { findingOf, isFetching, refTo, sourceOf } from './failure.ts'
import { kustomizationOf } from './workload-facts.ts'

/** What a Kustomization or a release waits for, by its dependsOn. Pure. */
function dependenciesIn({ kind, metadata, spec }: KubeObject): Ref[] {
  const named = (spec?.dependsOn ?? []) as { name: string; namespace?: string }[]
  return named.map(({ name, namespace }) => refTo(kind, namespace ?? metadata.namespace, name))
}

const keyOf = ({ namespace, name }: Ref) => `${namespace}/${name}`

/**
 * The circle of dependencies in which an object stands, told by the first of its members in the alphabet alone.
 * Pure.
 */
function cycleOf(object: KubeObject, index: Index): Ref[] | undefined {
  const start = refOf(object)
  const walk = (ref: Ref, path: readonly Ref[]): Ref[] | undefined => {
    const found = index.find(ref)
    for (const next of found ? dependenciesIn(found) : []) {
      if (keyOf(next) === keyOf(start)) return [...path]
      if (seen.has(keyOf(next))) continue
      seen.add(keyOf(next))
      const circle = walk(next, [...path, next])
      if (circle) return circle
    }
    return undefined
  }
  const seen = new Set<string>()
  const circle = walk(start, [start])
  return circle?.every(other => keyOf(start) <= keyOf(other)) ? circle : undefined
}

/**
 * Whether an object waits for something that does not become ready by itself: a dependency that has failed, is
 * absent or suspended, or that waits for such a one. Pure.
 */
function blocked(object: KubeObject, index: Index, seen: Set<string> = new Set()): boolean {
  return dependenciesIn(object).some(ref => {
    if (seen.has(keyOf(ref))) return true // they wait for each other
    const found = index.find(ref)
    if (!found) return true
    const { state, message } = standing(found)
    if (state === 'failed') return !isFetching(found, message, index)
    if (state === 'suspended') return condition(found, 'Ready')?.status !== 'True'
    return blocked(found, index, new Set([...seen, keyOf(ref)]))
  })
}

/** Dependencies that never become ready: each other, or missing ones. For releases as well. */
const depending: Rule = index =>
  ['Kustomization', 'HelmRelease'].flatMap(kind =>
    index.all(kind).flatMap((object): Finding[] => {
      const dependencies = dependenciesIn(object)
      const cycle = cycleOf(object, index)
      if (cycle)
        return [
          findingOf(
            object,
            {
              rule: 'dependency-circle',
              cause: `waits for itself: ${[...cycle, cycle[0]!].map(({ name }) => name).join(' → ')}`,
              fix: 'remove one of these dependsOn from flux2/ and commit that; then have Flux reconcile, which a new commit alone does not trigger in a circle',
            },
            { action: fromTheTop(object, index) },
          ),
        ]
      const absent = index.blind(kind) ? [] : dependencies.filter(ref => !index.find(ref))
      if (absent.length > 0)
        return [
          findingOf(object, {
            rule: 'dependency-missing',
            cause: `depends on ${absent.map(refText).join(', ')}, which does not exist`,
            fix: 'install what it depends on (`npx tsx scripts/install-core.ts` for the core), or correct its dependsOn in flux2/',
          }),
        ]
      if (condition(object, 'Ready')?.reason !== 'DependencyNotReady' || !blocked(object, index)) return []
      return [
        findingOf(object, {
          rule: 'dependency-not-ready',
          cause: short(condition(object, 'Ready')?.message ?? ''),
          fix: `repair ${dependencies.map(refText).join(', ')} first`,
          symptom: true,
        }),
      ]
    }),
  )

/**
 * Reconciles the Kustomization that has applied an object. kustomize-controller tells the Kustomizations of a
 * new revision in the order of their dependencies, and none of them when these are a circle (requestsForRevisionChangeOf
 * in https://github.com/fluxcd/kustomize-controller/blob/v1.9.5/internal/controller/kustomization_indexers.go).
 */
function fromTheTop(kustomization: KubeObject, index: Index): Action | undefined {
  const owner = kustomizationOf(kustomization, index)
  const source = owner && sourceOf(owner, index)
  return owner && { do: 'reconcile', ref: refOf(owner), ...(source ? { source: refOf(source) } : {}) }
}

/** What waits for each other, for missing objects, and for what does not become ready. */
export const rules: Rule[] = [depending]
