import { isDeepStrictEqual } from 'node:util'
import { type Kubectl, type KubeObject, refOf, refText } from '../kubectl/kubectl.ts'
import { countText } from '../script/count.ts'

/** The effect of applying one object. */
export interface ApplyPlan {
  object: KubeObject
  action: 'create' | 'change' | 'keep'
}

/** An object without the fields that the server changes at every write, for a comparison. */
function essence(object: KubeObject): unknown {
  const { managedFields: _m, resourceVersion: _r, generation: _g, ...metadata } = object.metadata
  const { status: _s, ...rest } = object
  return { ...rest, metadata }
}

/**
 * Plans a server-side apply of these objects by a dry run on the server, so that a
 * second run writes nothing. Objects whose namespace or kind does not exist yet count as `create`.
 */
export async function planApply(kubectl: Kubectl, objects: readonly KubeObject[]): Promise<ApplyPlan[]> {
  return Promise.all(
    objects.map(async (object): Promise<ApplyPlan> => {
      const existing = await kubectl.get(refOf(object))
      if (!existing) return { object, action: 'create' }
      const applied = await kubectl.apply(object, { dryRun: true })
      return { object, action: isDeepStrictEqual(essence(existing), essence(applied)) ? 'keep' : 'change' }
    }),
  )
}

/** The objects to create or change, as lines of a plan. */
export function applyText(plans: readonly ApplyPlan[]): string[] {
  return plans
    .filter(plan => plan.action !== 'keep')
    .map(plan => `${plan.action} ${refText(refOf(plan.object))}`)
}

/** Creates or changes the planned objects, in the order given. Returns 'unchanged' or how many objects. */
export async function applyPlanned(kubectl: Kubectl, plans: readonly ApplyPlan[]): Promise<string> {
  const todo = plans.filter(plan => plan.action !== 'keep')
  for (const plan of todo) await kubectl.apply(plan.object)
  return todo.length === 0 ? 'unchanged' : countText(todo.length, 'object')
}
