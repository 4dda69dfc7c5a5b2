/** Objects that were deleted and stay: who keeps them, and what would let them go. */
import { type KubeObject, refText } from '../../kubectl/kubectl.ts'
import { durationText } from '../../script/duration.ts'
import type { Remedy } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import type { Unsettled } from './own-state.ts'
import { askForRight, placeOfRight, rightLackingFor } from './refused-rights.ts'
import { eventsOf, since } from './workload-facts.ts'

/** Every object that was deleted and that a finalizer keeps, however long. Pure. */
export const keptObjects = (index: Index): Unsettled[] =>
  index.kinds().flatMap(kind =>
    index.all(kind).flatMap(object => {
      const { deletionTimestamp, finalizers = [] } = object.metadata as Kept
      return deletionTimestamp && finalizers.length > 0 ? [leaving(object, finalizers, index)] : []
    }),
  )

type Kept = KubeObject['metadata'] & { finalizers?: string[] }

/** An object that was deleted, and that a finalizer keeps. */
function leaving(object: KubeObject, finalizers: readonly string[], index: Index): Unsettled {
  const { kind, metadata } = object
  const lasts = since(index, metadata.deletionTimestamp)
  const told = (why: string, remedy: Remedy): Unsettled => ({
    object,
    rule: 'stuck-terminating',
    cause: `was deleted ${durationText(lasts * 1000)} ago, and ${why}`,
    lasts,
    remedy,
  })
  const kept = finalizers.join(', ')
  const budget = budgetOf(object, lasts, index)
  if (budget)
    return told(`waits for its pods: PodDisruptionBudget ${budget} lets none of them go`, {
      text: `raise the replicas of the pods of PodDisruptionBudget ${budget}, or lower its minAvailable: then it ends by itself. Do not remove its finalizer: what it stands for would be left behind`,
      command: `kubectl get poddisruptionbudget -n ${budget.replace('/', ' ')}`,
    })
  const right = rightLackingFor(object, index)
  if (right) {
    const there = placeOfRight(right)
    const { account, verb, resource } = right
    return told(`keeps its finalizer ${kept}: ${refText(account)} may not ${verb} ${resource}${there}`, {
      text: `grant the right by a Role and a RoleBinding of that ServiceAccount${there}: then it ends by itself`,
      command: askForRight(right),
    })
  }
  const place = metadata.namespace ? `-n ${metadata.namespace} ` : ''
  return told(`nothing has removed its finalizer ${kept}`, {
    text: 'see why the program of the finalizer does not run or cannot do its work; if it was removed for good, remove the finalizer',
    command: `kubectl ${place}patch ${kind.toLowerCase()} ${metadata.name} --type merge -p '{"metadata":{"finalizers":null}}'`,
  })
}

/** The budget (`namespace/name`) that keeps the pods of an object that was deleted so many seconds ago, as it was told since. */
function budgetOf(object: KubeObject, lasts: number, index: Index): string | undefined {
  // Karpenter says of the node why its claim stays.
  const node =
    object.kind === 'NodeClaim' ? index.get('Node', undefined, object.status?.nodeName ?? '') : undefined
  const said = [object, ...(node ? [node] : [])].flatMap(each => eventsOf(index, each, /./, lasts))
  return /PodDisruptionBudget=\[([\w./-]{3,300})\]/.exec(said.map(({ message }) => message).join('\n'))?.[1]
}
