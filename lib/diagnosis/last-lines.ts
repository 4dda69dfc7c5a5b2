import type { Kubectl, KubeObject, LogOptions } from '../kubectl/kubectl.ts'
import { asOneLine } from '../script/printable.ts'
import { scrub } from '../script/scrub.ts'
import { meaningOf } from './rules/last-words.ts'
import { OURS } from './rules/ownership.ts'
import { repeatedFailures, tellingTail } from './rules/telling-lines.ts'
import type { Said, Snapshot } from './snapshot.ts'
import { short } from './text.ts'

/** Of how many containers the log is read: each is a request. */
const MOST = 12

/** How many lines of each are read, of which the few are kept that tell the most: what says why is above a stack. */
const LINES = 300
const KEPT = 6
const REPEATED = 3

/** Milliseconds that a kubelet may take to answer. */
const PATIENCE = 5000

/** Characters of a log that are looked at: a line may have no end. */
const LONGEST = 64 << 10

/** Milliseconds after which a container that runs should be ready. */
const STARTED = 300_000

/** Seconds back from now in which what a ready container repeats still holds. */
const LATELY = 600

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

/** The containers of applications that are ready, the youngest first: what was changed last fails most. */
function ready(pods: readonly KubeObject[]) {
  return pods
    .filter(({ metadata }) => metadata.namespace === 'oas-apps' || !OURS.has(metadata.namespace ?? ''))
    .flatMap(pod =>
      ((pod.status?.containerStatuses ?? []) as ContainerStatus[])
        .filter(({ ready, state }) => ready && state?.running)
        .map(({ name, state }) => ({ pod, name, startedAt: String(state?.running?.startedAt) })),
    )
    .sort((a, b) => b.startedAt.localeCompare(a.startedAt))
}

const clean = (lines: readonly string[]) => lines.map(line => asOneLine(scrub(short(line, 400)))).join('\n')

/** The lines of a log that are kept of a container that crashes or does not get ready. Pure. */
export const keptLines = (log: string): string => clean(tellingTail(log, KEPT))

/** The lines of a log that are kept of a container that is ready: failures that it repeats. Pure. */
export function complaintsIn(log: string): string {
  const { lines, much } = repeatedFailures(log)
  return clean(lines.filter(line => much || meaningOf(line)).slice(0, REPEATED))
}

/**
 * The last lines of containers that crash or do not get ready, since often only the log tells why; and what others say
 * repeatedly to have failed, which no object tells. Known secrets are blacked out. A log that cannot be read is
 * left out: it is evidence, not a fact that a diagnosis relies on.
 */
export async function readWords(
  kubectl: Kubectl,
  objects: readonly KubeObject[],
): Promise<Required<Pick<Snapshot, 'lastLines' | 'complaints'>>> {
  const now = Date.now() + kubectl.client.clockOffset
  const pods = objects.filter(({ kind }) => kind === 'Pod')
  const first = troubled(pods, now)
    .sort((a, b) => Number(b.previous) - Number(a.previous))
    .slice(0, MOST)
  const others = ready(pods).slice(0, MOST - first.length)
  const [lastLines, complaints] = await Promise.all([
    Promise.all(first.map(({ pod, name, previous }) => readLog(kubectl, pod, name, { previous }, keptLines))),
    Promise.all(
      others.map(({ pod, name }) => readLog(kubectl, pod, name, { sinceSeconds: LATELY }, complaintsIn)),
    ),
  ])
  return { lastLines: lastLines.flat(), complaints: complaints.flat() }
}

/** What is kept of a log; nothing if it cannot be read, or tells nothing. */
async function readLog(
  kubectl: Kubectl,
  { metadata }: KubeObject,
  container: string,
  which: LogOptions,
  keep: (log: string) => string,
): Promise<Said[]> {
  const { namespace = '', name } = metadata
  const options = { ...which, tailLines: LINES, signal: AbortSignal.timeout(PATIENCE) }
  let log = ''
  try {
    for await (const piece of kubectl.logs({ namespace, name }, container, options))
      log = (log + piece).slice(-LONGEST)
  } catch {
    return []
  }
  const text = keep(log)
  return text === '' ? [] : [{ namespace, pod: name, container, text }]
}
