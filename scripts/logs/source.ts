import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { logContainersOf } from '../../lib/logs/containers.ts'
import { LokiAway, lokiOf, nanoseconds } from '../../lib/logs/loki.ts'
import { PRESETS, type Preset } from '../../lib/logs/presets.ts'
import type { Matcher } from '../../lib/logs/selection.ts'
import { type LogTarget, targetNames } from '../../lib/logs/target.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import { askSelect } from '../../lib/script/prompt.ts'
import type { LogSource } from './flags.ts'
import { findWorkloads, streamsOf } from './pods.ts'
import type { Range } from './range.ts'

/** What is wanted of the logs, and where it may be. */
export interface Place {
  source: LogSource
  /** The streams in Loki. */
  matchers: readonly Matcher[]
}

/**
 * Where the logs of a target are read, unless it is told: those of a preset in Loki; those of an application by
 * its pods, or in Loki when what is wanted goes back to before their containers were started, or has an end.
 */
export async function logPlaceOf(
  kubectl: Kubectl,
  target: LogTarget | Preset,
  options: Range & { source: LogSource | undefined; previous: boolean },
): Promise<Place> {
  if ('matchers' in target) {
    const source = options.source ?? (options.previous ? 'pods' : 'loki')
    return { source, matchers: target.matchers }
  }
  const found = await findWorkloads(kubectl, target)
  const matchers = streamsOf(target, found)
  if (!matchers) throw noPods(target.name)
  const since = options.since ?? Number.POSITIVE_INFINITY
  const started = found.pods
    .flatMap(pod => logContainersOf(pod, false))
    .filter(({ running }) => running)
    .map(({ startedAt }) => Date.parse(startedAt ?? ''))
  const older = options.until !== undefined || started.some(time => time > since)
  const source = options.source ?? (older && !options.previous ? 'loki' : 'pods')
  return { source, matchers }
}

/** What is told of a target that nothing runs of. Pure. */
export function noPods(name: string): ExpectedError {
  return new ExpectedError(`${name} has no pods`, 'see what is not ready, and why: npx tsx scripts/status.ts')
}

/** Milliseconds in which Loki answers such a small question when it is well. */
const PROMPT = 15_000

/**
 * Asks Loki for one line, and returns whether it answers. When it does not and nobody has asked for Loki alone,
 * `warn` is told what is read in its place; otherwise its error is thrown.
 */
export async function lokiAnswers(
  kubectl: Kubectl,
  signal: AbortSignal,
  query: string,
  instead: { what: string; warn: (text: string) => void } | undefined,
): Promise<boolean> {
  const end = nanoseconds(Date.now())
  const start = end - nanoseconds(1000)
  try {
    await lokiOf(kubectl, signal, PROMPT)({ query, start, end, limit: 1, direction: 'backward' })
    return true
  } catch (error) {
    if (!instead || !(error instanceof LokiAway)) throw error
    instead.warn(`${error.message}; this is what ${instead.what} still has`)
    return false
  }
}

/** Asks which logs to show. */
export async function chooseTarget(kubectl: Kubectl): Promise<string> {
  const installed = await targetNames(kubectl)
  return askSelect({
    message: 'Which logs?',
    flag: `an application or a preset: ${installed.join(', ')}, NAMESPACE/POD, or a preset (--list)`,
    choices: [...installed, ...PRESETS.map(({ name }) => name)],
  })
}
