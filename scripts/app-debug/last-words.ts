import { keyOf } from '../../lib/diagnosis/graph.ts'
import { Index, type Snapshot } from '../../lib/diagnosis/snapshot.ts'
import type { Kubectl, KubeObject, Ref } from '../../lib/kubectl/kubectl.ts'
import { printable } from '../../lib/script/printable.ts'
import { scrub } from '../../lib/script/scrub.ts'

/** Characters of a log that are looked at: a line may have no end. */
const LONGEST = 64 << 10

/** Of how many containers the log is read: each is a request. */
const MOST = 3

/** The last line of a container's log before it ended. */
export interface LastWords {
  container: string
  text: string
}

/**
 * The last line of containers in a chain that keep crashing, of the run before. Known secrets are blacked out. A log
 * that cannot be read is left out: it only illustrates.
 */
export async function lastWords(
  kubectl: Kubectl,
  snapshot: Snapshot,
  chain: { refs: readonly Ref[] },
): Promise<LastWords[]> {
  const keys = new Set(chain.refs.map(keyOf))
  const crashing = new Index(snapshot)
    .all('Pod')
    .filter(({ kind, metadata }) => keys.has(keyOf({ apiVersion: '', kind, ...metadata })))
    .flatMap(pod => crashingIn(pod).map(container => ({ pod, container })))
  const told = await Promise.all(
    crashing.slice(0, MOST).map(async ({ pod, container }): Promise<LastWords[]> => {
      const { namespace = '', name } = pod.metadata
      let log = ''
      try {
        for await (const piece of kubectl.logs({ namespace, name }, container, {
          previous: true,
          tailLines: 5,
        }))
          log = (log + piece).slice(-LONGEST)
      } catch {
        return []
      }
      const line = log.trimEnd().split('\n').at(-1) ?? ''
      return line ? [{ container: `${name}/${container}`, text: printable(scrub(line)).slice(0, 300) }] : []
    }),
  )
  return told.flat()
}

function crashingIn(pod: KubeObject): string[] {
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])]
  return statuses
    .filter(status => status.state?.waiting?.reason === 'CrashLoopBackOff')
    .map(status => status.name)
}
