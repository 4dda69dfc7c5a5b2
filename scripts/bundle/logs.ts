import { NAMESPACES } from '../../lib/diagnosis/status.ts'
import { isOver } from '../../lib/kubectl/claims.ts'
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
import { type LogContainer, logContainersOf } from '../../lib/logs/containers.ts'
import type { Line } from '../../lib/logs/lines.ts'
import { lineOf, lokiOf, nanoseconds } from '../../lib/logs/loki.ts'
import { AHEAD, backward } from '../../lib/logs/loki-pages.ts'
import { PRESETS } from '../../lib/logs/presets.ts'
import { readLogs } from '../../lib/logs/read.ts'
import { logQl } from '../../lib/logs/selection.ts'
import { ExpectedError, messageOf } from '../../lib/script/errors.ts'
import { printable } from '../../lib/script/printable.ts'
import { scrub } from '../../lib/script/scrub.ts'
import type { Collector } from './bundle.ts'

/** The last lines of each container, and of each question to Loki. */
const LINES = 1000
/** Characters of a line, of a log, and of all logs together: a bundle is sent by mail. */
const LINE = 4096
const LOG = 1 << 20
const ALL = 64 << 20
/** Pods whose logs are read. */
const MOST_PODS = 300
/** Milliseconds after which a log is left out, and Loki. */
const PATIENCE = 20_000
/** Presets that Loki is asked for: lines of deleted pods, and expired events. */
const ASKED = ['errors', 'warnings']

/** The period of the logs. */
export interface LogWindow {
  /** Milliseconds since the epoch. */
  since: number
  now: number
  signal: AbortSignal
}

/**
 * Adds the logs of the platform's containers among these pods, also of their previous run, and the errors in Loki.
 * Pods that have not ended come first.
 */
export async function addLogs(
  collector: Collector,
  kubectl: Kubectl,
  pods: readonly KubeObject[],
  options: LogWindow,
): Promise<void> {
  const { signal } = options
  let left = ALL
  const add = (path: string, what: string, lines: readonly Line[]) => {
    const text = logText(lines)
    if (text.length > left) {
      collector.leftOut.push({ what: path, why: 'all logs together are too large' })
      return
    }
    left -= text.length
    collector.add(path, what, text)
  }
  await addFromLoki(collector, kubectl, options, add)
  const ours = pods.filter(({ metadata }) => NAMESPACES.some(name => name === metadata.namespace))
  const first = [...ours.filter(pod => !isOver(pod)), ...ours.filter(isOver)].slice(0, MOST_PODS)
  if (ours.length > first.length)
    collector.leftOut.push({ what: `logs of ${ours.length - first.length} further pods`, why: 'too many' })
  for (const pod of first)
    for (const previous of [false, true])
      for (const container of logContainersOf(pod, previous).filter(({ readable }) => readable)) {
        const { namespace, pod: name } = container
        const path = `logs/${namespace}/${name}/${container.container}${previous ? '.previous' : ''}.log`
        await collector.attempt(path, signal, async () => {
          const refused = (why: string) => collector.leftOut.push({ what: path, why })
          const lines = await linesOf(kubectl, container, previous, options.since, refused)
          if (lines.length > 0) add(path, 'the last lines of containers', lines)
        })
      }
}

/** The last lines of a container. A node that hangs must not block the bundle. */
async function linesOf(
  kubectl: Kubectl,
  container: LogContainer,
  previous: boolean,
  since: number,
  refused: (why: string) => void,
): Promise<Line[]> {
  const patience = new AbortController()
  const late = new ExpectedError(
    `its kubelet does not send the log within ${PATIENCE / 1000} s`,
    'check its node: npx tsx scripts/diagnose.ts',
  )
  const timer = setTimeout(() => patience.abort(late), PATIENCE)
  try {
    const lines: Line[] = []
    const wanted = { previous, tailLines: LINES, since, signal: patience.signal }
    for await (const line of readLogs(kubectl, [container], wanted, (_, why) => refused(why)))
      lines.push(line)
    return lines
  } finally {
    clearTimeout(timer)
  }
}

async function addFromLoki(
  collector: Collector,
  kubectl: Kubectl,
  { since, now, signal }: LogWindow,
  add: (path: string, what: string, lines: readonly Line[]) => void,
): Promise<void> {
  const ask = lokiOf(kubectl, signal, PATIENCE)
  try {
    for (const preset of PRESETS.filter(({ name }) => ASKED.includes(name))) {
      const search = { query: logQl(preset), start: nanoseconds(since), end: nanoseconds(now) + AHEAD }
      const entries = await backward(ask, search, LINES, { warn: () => {} })
      add(`loki/${preset.name}.log`, 'lines from Loki, also of deleted pods', entries.map(lineOf))
    }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    collector.leftOut.push({
      what: 'logs from Loki',
      why: messageOf(error),
    })
  }
}

/** Lines as text, the newest that fit. Secrets are removed before a cut: half a secret is a secret, too. */
export function logText(lines: readonly Line[]): string {
  const whole = lines.map(({ time, namespace, pod, container, text }) => {
    const from = `${time} ${pod || namespace}/${container} `
    const clean = printable(scrub(text))
    return `${from}${clean.length > LINE ? `${clean.slice(0, LINE)}…` : clean}\n`
  })
  let size = 0
  let first = whole.length
  while (first > 0 && size + whole[first - 1]!.length <= LOG) size += whole[--first]!.length
  const cut = first > 0 ? `(${first} older lines are left out)\n` : ''
  return cut + whole.slice(first).join('')
}
