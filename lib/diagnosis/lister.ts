import { ApiError } from '../kubectl/api-error.ts'
import { type Kubectl, type KubeObject, type ListOptions, MOST_OBJECTS } from '../kubectl/kubectl.ts'
import { ExpectedError, TransientError } from '../script/errors.ts'
import { factOf } from './allowed/object.ts'

/** Lists that are read at once: a page of each is in memory. */
const AT_ONCE = 8

/** An API server that did not answer in time, rather than one that refused. */
const isLost = (error: unknown) => error instanceof TransientError && !(error.cause instanceof ApiError)

/**
 * The revision at which a diagnosis reads every kind: what one object says of another of a kind that was read earlier
 * is then true of it. Undefined where none is told, be it that Namespaces may not be listed. Throws the TransientError
 * of an API server that does not answer in time.
 */
export async function revisionToRead(kubectl: Kubectl): Promise<string | undefined> {
  try {
    return await kubectl.revision()
  } catch (error) {
    if (isLost(error)) throw error
    return undefined
  }
}

/** Refused for the revision: it has been compacted, is of another storage, or the server knows no revisions. */
const isRevisionRefused = ({ cause }: { cause?: unknown }) =>
  cause instanceof ApiError && [400, 410, 500, 504].includes(cause.code)

/** The pages of a kind at a revision, or of now where it is not to be had at that one. */
async function* pagesAt(kubectl: Kubectl, apiVersion: string, kind: string, options: ListOptions) {
  const { resourceVersion, ...now } = options
  let begun = false
  try {
    for await (const page of kubectl.pages(apiVersion, kind, options)) {
      begun = true
      yield page
    }
    return
  } catch (error) {
    if (begun || !resourceVersion || !isRevisionRefused(error as Error)) throw error
  }
  yield* kubectl.pages(apiVersion, kind, now)
}

/**
 * Lists kinds as facts, or as what `keep` makes of an object, as they were at a revision where one is given. Of a page
 * only that stays in memory.
 */
export function factLister(kubectl: Kubectl, revision?: string) {
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
      // Events may be in a storage of their own, and nothing is concluded from one that is not there.
      const resourceVersion = kind === 'Event' ? undefined : revision
      for await (const page of pagesAt(kubectl, apiVersion, kind, { ...options, resourceVersion })) {
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
      if (isLost(error)) lost = error
      throw error
    } finally {
      const next = waiting.shift()
      if (next) next()
      else free++
    }
  }
}
