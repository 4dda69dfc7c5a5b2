import { ApiError } from '../../lib/kubectl/api-error.ts'
import { isOver } from '../../lib/kubectl/claims.ts'
import type { Kubectl, LogOptions } from '../../lib/kubectl/kubectl.ts'
import type { LogContainer } from '../../lib/logs/containers.ts'
import type { Line } from '../../lib/logs/lines.ts'
import {
  type LogReadOptions,
  POLL_INTERVAL,
  RECONNECT_TIMEOUT,
  readLog,
  sinceTime,
} from '../../lib/logs/read.ts'
import { type LogTarget, POD } from '../../lib/logs/target.ts'
import { ExpectedError, messageOf, UsageError } from '../../lib/script/errors.ts'
import { sleep } from '../../lib/script/wait.ts'
import { findContainers } from './target.ts'

/** What `followLogs` tells. */
export interface Follower {
  /** A line; the next of the same container is read when this is done. */
  line: (line: Line) => Promise<void>
  /** Why a container has no log or does not run; once for each reason. */
  silent: (container: LogContainer, why: string) => void
  warn: (text: string) => void
}

/**
 * Follows the logs of a target until the signal ends it: through restarts, of new pods too, and after the
 * connection was lost from where it was. That of a single pod ends with the pod.
 */
export async function followLogs(
  kubectl: Kubectl,
  target: LogTarget,
  wanted: LogReadOptions,
  { line, silent, warn }: Follower,
  signal: AbortSignal,
): Promise<void> {
  /** Runs of containers that were or are read: the time of the last line, and whether they are read now. */
  const runs = new Map<string, { last: string; open: boolean }>()
  const told = new Map<string, string>()
  const tell = (container: LogContainer, why: string) => {
    if (told.get(container.run) !== why) silent(container, why)
    told.set(container.run, why)
  }
  let connection = new AbortController()
  let failure: unknown
  let awaySince: number | undefined
  let first = true

  const read = async (container: LogContainer, options: LogOptions) => {
    const run = runs.get(container.run) ?? { last: '', open: true }
    runs.set(container.run, run)
    run.open = true
    const { last } = run
    const follow = { ...options, follow: true, signal: connection.signal }
    try {
      for await (const each of readLog(kubectl, container, follow, tell)) {
        // sinceTime counts in seconds: what was shown of that second comes again.
        if (last !== '' && each.time !== '' && each.time <= last) continue
        if (each.time !== '') run.last = each.time
        if (!wanted.keep || wanted.keep(each.text)) await line(each)
      }
    } catch (error) {
      // A lost connection is taken up again at the next look, which tells when the server is away.
      const lost = error instanceof ExpectedError && !(error.cause instanceof ApiError)
      if (!lost && !follow.signal.aborted) failure = error
    }
    run.open = false
  }

  try {
    for (;;) {
      try {
        const containers = await findContainers(kubectl, target, wanted)
        if (awaySince !== undefined) warn('the API server answers again')
        awaySince = undefined
        for (const container of containers) {
          if (container.why) tell(container, container.why)
          const run = runs.get(container.run)
          if (!container.readable || run?.open || (run && !container.running)) continue
          const start = first ? { tailLines: wanted.tailLines, sinceTime: sinceTime(wanted) } : {}
          void read(container, run?.last ? { sinceTime: run.last } : start)
        }
        first = false
        const over = containers.every(({ running, run }) => !running && !runs.get(run)?.open)
        if ('pod' in target && over && (await hasEnded(kubectl, target.pod))) return
      } catch (error) {
        signal.throwIfAborted()
        const answered = error instanceof ExpectedError && error.cause instanceof ApiError
        if (error instanceof UsageError || (answered && (error.cause as ApiError).code < 429)) throw error
        if (awaySince === undefined) warn(`${messageOf(error)}; trying again`)
        awaySince ??= performance.now()
        if (performance.now() - awaySince > RECONNECT_TIMEOUT) throw error
        // What hangs on the old connections may never notice.
        connection.abort()
        connection = new AbortController()
      }
      await sleep(POLL_INTERVAL, signal)
      if (failure) throw failure
    }
  } finally {
    connection.abort()
  }
}

/** Whether a pod has come to its end, or is gone. */
async function hasEnded(kubectl: Kubectl, ref: { namespace: string; name: string }): Promise<boolean> {
  const pod = await kubectl.get({ ...POD, ...ref })
  return !pod || isOver(pod)
}
