import { ApiError } from '../kubectl/api-error.ts'
import type { Kubectl, LogOptions } from '../kubectl/kubectl.ts'
import { ExpectedError } from '../script/errors.ts'
import type { LogContainer } from './containers.ts'
import { type Line, lines, merge } from './lines.ts'

/** Which part of the logs is wanted. */
export interface LogReadOptions {
  previous: boolean
  container?: string
  /** The last lines of each container. */
  tailLines?: number
  /** Milliseconds since the epoch, by the clock of the cluster. */
  since?: number
  until?: number
  /** Whether a line is wanted. */
  keep?: (text: string) => boolean
  /** Ends the reading with its reason: a kubelet that hangs would never. */
  signal?: AbortSignal
}

/** The log of one container. `refused` is told why the kubelet has none, when it has none. */
export async function* readLog(
  kubectl: Kubectl,
  container: LogContainer,
  options: LogOptions,
  refused: (container: LogContainer, why: string) => void,
): AsyncGenerator<Line, void> {
  const pod = { namespace: container.namespace, name: container.pod }
  try {
    yield* lines(kubectl.logs(pod, container.container, { ...options, timestamps: true }), container)
  } catch (error) {
    const cause = error instanceof ExpectedError ? error.cause : undefined
    // Whoever may not read logs may read none of them; any other answer is about this container.
    if (!(cause instanceof ApiError) || cause.code === 401 || cause.code === 403) throw error
    refused(container, cause.message.trim())
  }
}

/** The logs of these containers as far as they go now, merged by time. */
export function readLogs(
  kubectl: Kubectl,
  containers: readonly LogContainer[],
  wanted: LogReadOptions,
  refused: (container: LogContainer, why: string) => void,
): AsyncGenerator<Line, void> {
  const { tailLines, keep, until } = wanted
  // The kubelet counts before anything is left out here.
  const counted = keep || until !== undefined
  const options = {
    previous: wanted.previous || undefined,
    tailLines: counted ? undefined : tailLines,
    sinceTime: sinceTime(wanted),
    signal: wanted.signal,
  }
  const read = (container: LogContainer) => {
    const log = readLog(kubectl, container, options, refused)
    return counted ? last(wantedLines(log, wanted), tailLines) : log
  }
  return merge(containers.filter(each => each.readable).map(read))
}

/** From when on the kubelet is asked. */
export function sinceTime({ since }: LogReadOptions): string | undefined {
  return since === undefined ? undefined : new Date(since).toISOString()
}

async function* wantedLines(log: AsyncGenerator<Line, void>, { keep, until }: LogReadOptions) {
  for await (const line of log) {
    if (until !== undefined && Date.parse(line.time) >= until) return
    if (!keep || keep(line.text)) yield line
  }
}

/** The last lines of a log; all of them when no number is given. */
async function* last(log: AsyncGenerator<Line, void>, most: number | undefined): AsyncGenerator<Line, void> {
  if (most === undefined) return yield* log
  const kept: Line[] = []
  for await (const line of log) {
    kept.push(line)
    if (kept.length > most) kept.shift()
  }
  yield* kept
}

/** Milliseconds between two looks for new containers. */
export const POLL_INTERVAL = 2000

/** Milliseconds that the API server may be away while logs are followed: a server restarts in this time. */
export const RECONNECT_TIMEOUT = 300_000
