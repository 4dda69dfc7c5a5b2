import type { Kubectl, KubeObject } from '../kubectl/kubectl.ts'
import { asOneLine } from '../script/printable.ts'
import { scrub } from '../script/scrub.ts'
import { tellingTail } from './rules/telling-lines.ts'
import type { Snapshot } from './snapshot.ts'
import { short } from './text.ts'

/** Of how many containers the log is read: each is a request. */
const MOST = 12

/** How many lines of each are read, of which the few are kept that tell the most: what says why is above a stack. */
const LINES = 300
const KEPT = 6

/** Milliseconds that a kubelet may take to answer. */
const PATIENCE = 5000

/** Characters of a log that are looked at: a line may have no end. */
const LONGEST = 64 << 10

/** Milliseconds after which a container that runs should be ready. */
const STARTED = 300_000

interface ContainerStatus {
  name: string
  ready?: boolean
  restartCount?: number
  state?: {
    waiting?: { reason?: string }
    running?: { startedAt?: string }
    terminated?: { exitCode?: number }
  }
  lastState?: { terminated?: { exitCode?: number } }
}

/** The containers of pods that keep crashing, have failed, or do not get ready, and of which run the log tells. */
function troubled(pods: readonly KubeObject[], now: number) {
  return pods.flatMap(pod =>
    [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])].flatMap(
      ({ name, ready, restartCount = 0, state, lastState }: ContainerStatus) => {
        if ((state?.terminated?.exitCode ?? 0) !== 0) return [{ pod, name, previous: false }]
        const crashes = state?.waiting?.reason === 'CrashLoopBackOff' || restartCount >= 3
        if (crashes && (lastState?.terminated?.exitCode ?? 0) !== 0) return [{ pod, name, previous: true }]
        const since = now - Date.parse(state?.running?.startedAt ?? '')
        return ready === false && since > STARTED ? [{ pod, name, previous: false }] : []
      },
    ),
  )
}

/** The lines of a log that are kept. Pure. */
export const keptLines = (log: string): string =>
  tellingTail(log, KEPT)
    .map(line => asOneLine(scrub(short(line, 400))))
    .join('\n')

/**
 * The last lines of containers that crash or do not get ready, since often only the log tells why. Known secrets are blacked out. A log
 * that cannot be read is left out: it is evidence, not a fact that a diagnosis relies on.
 */
export async function readLastLines(
  kubectl: Kubectl,
  objects: readonly KubeObject[],
): Promise<NonNullable<Snapshot['lastLines']>> {
  const now = Date.now() + kubectl.client.clockOffset
  const found = troubled(
    objects.filter(({ kind }) => kind === 'Pod'),
    now,
  )
    .sort((a, b) => Number(b.previous) - Number(a.previous))
    .slice(0, MOST)
  const read = await Promise.all(
    found.map(async ({ pod, name, previous }) => {
      const { namespace = '', name: title } = pod.metadata
      const options = { previous, tailLines: LINES, signal: AbortSignal.timeout(PATIENCE) }
      let log = ''
      try {
        for await (const piece of kubectl.logs({ namespace, name: title }, name, options))
          log = (log + piece).slice(-LONGEST)
      } catch {
        return []
      }
      const text = keptLines(log)
      return text === '' ? [] : [{ namespace, pod: title, container: name, text }]
    }),
  )
  return read.flat()
}
