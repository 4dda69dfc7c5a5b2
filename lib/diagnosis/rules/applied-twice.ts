/** Objects that two Kustomizations apply: each sets what the other has set back, as often as it is reconciled. */
import { condition, inventory } from '../../flux/flux.ts'
import { type KubeObject, type Ref, refOf, refText } from '../../kubectl/kubectl.ts'
import { type Finding, type Rule, tell } from '../finding.ts'
import { keyOf } from '../graph.ts'
import type { Index } from '../snapshot.ts'
import { refTo, sourceOf } from './failure.ts'

/** Kinds whose objects differ where they are applied twice; several folders may well bring the same Namespace. */
const DIFFERS = /^(Deployment|StatefulSet|DaemonSet|CronJob|Job|HelmRelease|Ingress|Service|ConfigMap)$/

/** Whether a Kustomization has applied what its source has: an object that moves from one to another is in both until then. */
function isSettled(kustomization: KubeObject, index: Index): boolean {
  const { spec, status } = kustomization
  return (
    !spec?.suspend &&
    condition(kustomization, 'Ready')?.status === 'True' &&
    sourceOf(kustomization, index)?.status?.artifact?.revision === status?.lastAppliedRevision
  )
}

/** What the inventories of two Kustomizations both name. */
function twice(index: Index): { ref: Ref; by: KubeObject[] }[] {
  const found = new Map<string, { ref: Ref; by: KubeObject[] }>()
  for (const each of index.all('Kustomization')) {
    if (!isSettled(each, index)) continue
    for (const { kind, namespace, name } of inventory(each)) {
      if (!DIFFERS.test(kind)) continue
      const ref = refTo(kind, namespace || undefined, name)
      const entry = found.get(keyOf(ref)) ?? { ref, by: [] }
      entry.by.push(each)
      found.set(keyOf(ref), entry)
    }
  }
  return [...found.values()].filter(({ by }) => by.length > 1)
}

const appliedTwice: Rule = index => {
  // Two that overlap mostly do so in many objects.
  const pairs = new Map<string, { ref: Ref; by: KubeObject[]; more: number }>()
  for (const { ref, by } of twice(index)) {
    const pair = by.map(each => refText(refOf(each))).join(' and ')
    const known = pairs.get(pair)
    pairs.set(pair, known ? { ...known, more: known.more + 1 } : { ref, by, more: 0 })
  }
  return [...pairs].map(([pair, { ref, by, more }]): Finding => {
    const others = more > 0 ? ` (and ${more} more)` : ''
    return tell(by[1]!, {
      rule: 'applied-twice',
      verdict: 'warning',
      cause: `${pair} both apply ${refText(ref)}${others}: each undoes what the other has set`,
      text: 'remove it from the folder of one of them, or let that one set another namespace or name',
      command: `kubectl -n ${by[1]!.metadata.namespace} get kustomizations`,
    })
  })
}

export const rules: readonly Rule[] = [appliedTwice]
