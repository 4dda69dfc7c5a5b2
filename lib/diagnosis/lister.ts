import { ApiError } from '../kubectl/api-error.ts'
import { type Kubectl, type KubeObject, type ListOptions, MOST_OBJECTS } from '../kubectl/kubectl.ts'
import { ExpectedError, TransientError } from '../script/errors.ts'
import { factOf } from './allowed/object.ts'

/** Lists that are read at once: a page of each is in memory. */
const AT_ONCE = 8

/** Lists kinds as facts, or as what `keep` makes of an object. Of a page only that stays in memory. */
export function factLister(kubectl: Kubectl) {
  let count = 0
  let free = AT_ONCE
  /** Why nothing more is asked: a server that did not answer one list in time would take its time for each. */
  let lost: unknown
  const waiting: (() => void)[] = []
  return async function list<T = KubeObject>(
    apiVersion: string,
    kind: string,
    options?: ListOptions,
    keep: (object: KubeObject) => T = factOf as (object: KubeObject) => T,
  ): Promise<T[]> {
    if (free === 0) await new Promise<void>(resolve => waiting.push(resolve))
    else free--
    try {
      if (lost) throw lost
      const kept: T[] = []
      for await (const page of kubectl.pages(apiVersion, kind, options)) {
        count += page.length
        if (count > MOST_OBJECTS)
          throw new ExpectedError(
            `listing ${kind}: the cluster has more than ${MOST_OBJECTS} objects`,
            'delete what is not needed, e.g. finished Jobs and evicted pods: npx tsx scripts/delete-evicted-pods.ts',
          )
        for (const object of page) kept.push(keep(object))
      }
      return kept
    } catch (error) {
      if (error instanceof TransientError && !(error.cause instanceof ApiError)) lost = error
      throw error
    } finally {
      const next = waiting.shift()
      if (next) next()
      else free++
    }
  }
}
