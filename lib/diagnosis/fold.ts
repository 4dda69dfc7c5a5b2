import type { KubeObject } from '../kubectl/kubectl.ts'
import type { Finding, RootCause } from './finding.ts'
import { dependenciesOf, keyOf } from './graph.ts'
import type { Index } from './snapshot.ts'

/**
 * Folds symptoms into their causes: a symptom belongs to the nearest finding that is not a symptom and that its
 * subject depends on, over any number of objects. A symptom that leads nowhere stands for itself, as does the deepest of
 * several that lead to each other. Sorted by what matters first: broken before warnings, then by how much it
 * explains. Pure.
 */
export function fold(findings: readonly Finding[], index: Index): RootCause[] {
  const bySubject = new Map<string, Finding[]>()
  for (const finding of findings) {
    const key = keyOf(finding.subject)
    bySubject.set(key, [...(bySubject.get(key) ?? []), finding])
  }
  const causes = new Map<Finding, Finding>()
  for (const finding of findings) {
    const cause = finding.symptom && causeOf(finding, bySubject, index)
    if (cause && !leadsTo(cause, finding, causes)) causes.set(finding, cause)
  }
  const explained = new Map<Finding, Finding[]>()
  for (const [finding, cause] of causes) {
    const root = rootOf(cause, causes)
    explained.set(root, [...(explained.get(root) ?? []), finding])
  }
  const roots = findings
    .filter(finding => !causes.has(finding))
    .map(finding => ({ ...finding, explains: explained.get(finding) ?? [] }))
  return roots.sort(
    (a, b) =>
      Number(a.verdict === 'warning') - Number(b.verdict === 'warning') ||
      b.explains.length - a.explains.length ||
      Number(a.symptom ?? false) - Number(b.symptom ?? false) ||
      keyOf(a.subject).localeCompare(keyOf(b.subject)),
  )
}

/** Causes that lie outside of the objects that suffer: a few of the same are one, told of the first. */
const OUTSIDE =
  /^(pod-unschedulable|pod-unreachable|image-(rate-limited|registry|disk-full)|node-network|pod-sandbox|kubelet-silent)/

/** So many equal causes are one, whatever they are: nobody reads the same sentence five times. */
const MANY = 5

/** Equal causes of objects of one kind as one with a count, which explains the others. Pure. */
export function withoutRepetition(roots: readonly RootCause[]): RootCause[] {
  const groups = new Map<string, RootCause[]>()
  for (const root of roots) {
    const { rule, verdict, subject, cause } = root
    const place = OUTSIDE.test(rule) ? '' : (subject.namespace ?? '')
    const key = [rule, verdict, subject.kind, place, cause.replaceAll(subject.name, '')].join('\n')
    groups.set(key, [...(groups.get(key) ?? []), root])
  }
  return [...groups.values()].flatMap(group => {
    const [first, ...others] = group
    if (!first || group.length < (OUTSIDE.test(first.rule) ? 2 : MANY)) return group
    const told = others.flatMap(({ explains, ...other }) => [other, ...explains])
    const cause = `${first.cause} (and ${others.length} more of the same)`
    return [{ ...first, cause, explains: [...first.explains, ...told] }]
  })
}

/** Whether a finding's causes, followed to their end, come by another one: objects may wait for each other. */
function leadsTo(finding: Finding, wanted: Finding, causes: ReadonlyMap<Finding, Finding>): boolean {
  for (let at: Finding | undefined = finding; at; at = causes.get(at)) if (at === wanted) return true
  return false
}

function rootOf(finding: Finding, causes: ReadonlyMap<Finding, Finding>): Finding {
  let root = finding
  for (let next = causes.get(root); next; next = causes.get(root)) root = next
  return root
}

/**
 * The finding that a symptom is folded into: breadth first over what its subject depends on, a cause in
 * preference to another symptom, however deep; else the deepest symptom.
 */
function causeOf(
  symptom: Finding,
  bySubject: ReadonlyMap<string, readonly Finding[]>,
  index: Index,
): Finding | undefined {
  const own = bySubject.get(keyOf(symptom.subject)) ?? []
  const beside = own.find(finding => !finding.symptom && finding.verdict === 'broken')
  if (beside) return beside
  // What names no cause itself is told by what does.
  const telling = symptom.causedBy
    ? undefined
    : own.find(({ causedBy, verdict }) => causedBy && verdict === 'broken')
  const seen = new Set([keyOf(symptom.subject)])
  let deepest: Finding | undefined
  const next = (finding: Finding | undefined, object: KubeObject | undefined) => [
    ...(finding?.causedBy ?? []),
    ...(object ? dependenciesOf(object, index) : []),
  ]
  // Another rule may name what the object depends on, too.
  let layer = [
    ...own.flatMap(({ causedBy }) => causedBy ?? []),
    ...next(symptom, index.find(symptom.subject)),
  ]
  while (layer.length > 0) {
    const deeper: typeof layer = []
    for (const ref of layer) {
      const key = keyOf(ref)
      if (seen.has(key)) continue
      seen.add(key)
      const found = (bySubject.get(key) ?? []).filter(({ verdict }) => verdict === 'broken')
      const cause = found.find(finding => !finding.symptom)
      if (cause) return cause
      if (found[0]) deepest = found[0]
      deeper.push(...next(found[0], index.find(ref)))
    }
    layer = deeper
  }
  return deepest ?? telling
}
