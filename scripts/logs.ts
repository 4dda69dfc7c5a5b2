/**
 * Shows logs: of an application, by all containers of all its pods, or of what the docs' LogQL queries ask for,
 * from Loki; merged by time, or as they come. It replaces the docs' `kubectl logs`, their `logcli query` and
 * the search in /var/log/pods.
 *
 * Usage: npx tsx scripts/logs.ts [APP|PRESET]
 * Needs: a cluster folder with a kubeconfig. Changes nothing.
 */
import type { LogContainer } from '../lib/logs/containers.ts'
import type { Line } from '../lib/logs/lines.ts'
import type { LogReadOptions } from '../lib/logs/read.ts'
import type { LogTarget } from '../lib/logs/target.ts'
import { script } from '../lib/script/script.ts'
import { scrub } from '../lib/script/scrub.ts'
import type { LogSource } from './logs/flags.ts'

await script({
  name: 'logs',
  group: 'watch',
  summary: 'Show the logs of an application or by a preset, with the generated secrets blacked out.',
  args: {
    name: 'APP|PRESET',
    help: 'an application, a part of the core, a HelmRelease (hydra, loki, …), NAMESPACE/POD, or a preset (--list)',
    max: 1,
  },
  flags: {
    follow: { type: 'boolean', help: 'go on with what comes, through restarts, until Ctrl-C' },
    since: {
      type: 'string',
      value: 'TIME',
      help: 'from then on: an age (30m, 2h, 3d; minutes without a unit) or 2026-06-01T12:00:00Z',
    },
    until: { type: 'string', value: 'TIME', help: 'before then: the same' },
    tail: {
      type: 'string',
      value: 'N',
      help: 'the last N lines (of each container), or `all` (default 100; 10 with --follow; all with --since)',
    },
    grep: {
      type: 'string',
      value: 'TEXT',
      multiple: true,
      help: 'only lines with this text; may be repeated',
    },
    previous: { type: 'boolean', help: 'of the run before the last restart' },
    container: { type: 'string', value: 'NAME', help: 'only of containers of this name' },
    source: { type: 'string', value: 'pods|loki', help: 'read the pods, or Loki, which keeps two weeks' },
    query: { type: 'string', value: 'LOGQL', help: 'ask Loki this, in place of a name' },
    list: { type: 'boolean', help: 'list the presets, each with its LogQL' },
  },
  examples: [
    ['npx tsx scripts/logs.ts nextcloud', 'The last lines of everything that belongs to Nextcloud'],
    ['npx tsx scripts/logs.ts wekan --previous', 'Why it was restarted'],
    ['npx tsx scripts/logs.ts hydra --follow', 'One release of the core, as it comes'],
    ['npx tsx scripts/logs.ts helm-controller --grep wordpress', 'A preset: Flux about one release'],
    ['npx tsx scripts/logs.ts errors --since 2h', 'Errors everywhere'],
    ["npx tsx scripts/logs.ts nextcloud --json | jq -r '.result.lines[].text'", 'For other programs'],
  ],
  cluster: 'existing',
  offline: flags => flags.list,
  changes: false,
  async run(run) {
    const { followLogs } = await import('./logs/follow.ts')
    const { lokiOf } = await import('../lib/logs/loki.ts')
    const { narrowed, PRESETS } = await import('../lib/logs/presets.ts')
    const { readLogs } = await import('../lib/logs/read.ts')
    const { logQl } = await import('../lib/logs/selection.ts')
    const { keeps } = await import('./logs/filter.ts')
    const { findContainers, findTarget } = await import('./logs/target.ts')
    const { eventLines } = await import('./logs/events.ts')
    const { checkLogFlags, tailLines } = await import('./logs/flags.ts')
    const { lokiLines } = await import('./logs/from-loki.ts')
    const { Output } = await import('./logs/output.ts')
    const { rangeOf } = await import('./logs/range.ts')
    const { reasonsOf } = await import('./logs/reasons.ts')
    const { registerClusterSecrets } = await import('./logs/secrets.ts')
    const { chooseTarget, logPlaceOf, lokiAnswers, noPods } = await import('./logs/source.ts')
    const { follow, previous, container, json, list, query: raw } = run.flags
    checkLogFlags(run.flags, run.args[0])
    if (list) {
      run.result = { presets: PRESETS.map(preset => ({ ...preset, query: logQl(preset) })) }
      for (const preset of PRESETS) run.log.print(`${preset.name}: ${preset.what}\n    ${logQl(preset)}`)
      return
    }
    const tail = tailLines(run.flags)

    const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    await registerClusterSecrets(kubectl)
    const now = () => Date.now() + kubectl.client.clockOffset
    const range = rangeOf(run.flags, now())
    const source = run.flags.source as LogSource | undefined
    const name = raw ?? run.args[0] ?? (await chooseTarget(kubectl))
    const preset = raw === undefined ? PRESETS.find(each => each.name === name) : undefined
    const named = () => preset ?? findTarget(kubectl, name, { mayBeGone: source === 'loki' })
    const target: LogTarget = raw === undefined ? await named() : { name, matchers: [] }
    const place = await logPlaceOf(kubectl, target, { ...range, source, previous })
    const { matchers, filters } = narrowed({ ...place, filters: preset?.filters ?? [] }, run.flags)
    const query = raw ?? logQl({ matchers, filters })

    // From Loki, or from the pods where Loki does not answer.
    const { warn } = run.log
    const ask = lokiOf(kubectl, run.signal)
    const instead = preset?.events ? 'the API server' : 'each pod'
    const mayFallBack = raw === undefined && source === undefined
    const fromLoki =
      place.source === 'loki' &&
      (await lokiAnswers(kubectl, run.signal, query, mayFallBack ? { what: instead, warn } : undefined))
    run.log.detail(fromLoki ? `Loki is asked: ${query}` : `read from ${instead}`)

    const output = new Output(run.log, json)
    const keep = filters.length > 0 ? keeps(filters) : undefined
    const wanted: LogReadOptions = { previous, container, tailLines: tail, keep, ...range }
    const silent = new Map<LogContainer, string>()
    let lines: AsyncIterable<Line>
    if (fromLoki) lines = lokiLines(ask, { query, tail, follow, now, signal: run.signal, warn, ...range })
    else if (preset?.events) lines = eventLines(kubectl, wanted, follow, run.signal)
    else if (follow) {
      const silent = async (each: LogContainer, why: string) => {
        for (const [, reason] of await reasonsOf(kubectl, new Map([[each, why]]))) output.silent(each, reason)
      }
      const follower = { line: output.line, silent, warn }
      return followLogs(kubectl, target, wanted, follower, run.signal)
    } else {
      const containers = await findContainers(kubectl, target, wanted)
      if (containers.length === 0) throw noPods(name)
      for (const each of containers) if (each.why) silent.set(each, each.why)
      lines = readLogs(kubectl, containers, wanted, (each, why) => silent.set(each, why))
    }

    const kept: Line[] = []
    let none = true
    for await (const line of lines) {
      none = false
      if (json && !follow) kept.push({ ...line, text: scrub(line.text) })
      else await output.line(line)
    }
    const told = previous ? silent : await reasonsOf(kubectl, silent)
    for (const [each, why] of told) output.silent(each, why)
    if (none && fromLoki && range.since === undefined)
      warn('nothing in the last day; for what is older give --since 7d')
    run.result = {
      target: name,
      source: fromLoki ? 'loki' : preset?.events ? 'events' : 'pods',
      query: fromLoki ? query : undefined,
      lines: kept,
      silent: [...told].map(([{ namespace, pod, container }, why]) => ({ namespace, pod, container, why })),
    }
  },
})
