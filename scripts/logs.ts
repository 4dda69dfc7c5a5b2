/**
 * Shows the logs of an application: of all containers of all its pods, merged by time, or as they come. It
 * replaces the docs' `kubectl logs` and the search in /var/log/pods.
 *
 * Usage: npx tsx scripts/logs.ts [APP]
 * Needs: a cluster folder with a kubeconfig. Changes nothing.
 */
import { duration } from '../lib/duration.ts'
import { codeOf, EXIT, ExpectedError, UsageError } from '../lib/errors.ts'
import { Kubectl } from '../lib/kubectl.ts'
import {
  type Container,
  findContainers,
  findTarget,
  followLogs,
  type Line,
  printable,
  readLogs,
  registerClusterSecrets,
  targetNames,
  type Wanted,
} from '../lib/pod-logs.ts'
import { askSelect } from '../lib/prompt.ts'
import { redact } from '../lib/redact.ts'
import { script } from '../lib/script.ts'

await script({
  name: 'logs',
  summary: 'Show the logs of an application, of all its containers, with the generated secrets blacked out.',
  args: {
    name: 'APP',
    help: 'an application, a part of the core, a HelmRelease (hydra, loki, …), or NAMESPACE/POD',
    max: 1,
  },
  flags: {
    follow: { type: 'boolean', help: 'go on with what comes, through restarts, until Ctrl-C' },
    since: { type: 'string', value: 'AGE', help: 'only what is younger: 30m, 1h, 2d' },
    tail: {
      type: 'string',
      value: 'N',
      help: 'the last N lines of each container, or `all` (default 100; 10 with --follow; all with --since)',
    },
    previous: { type: 'boolean', help: 'of the run before the last restart' },
    container: { type: 'string', value: 'NAME', help: 'only of containers of this name' },
  },
  examples: [
    ['npx tsx scripts/logs.ts nextcloud', 'The last lines of everything that belongs to Nextcloud'],
    ['npx tsx scripts/logs.ts hydra --follow', 'One release of the core, as it comes'],
    ['npx tsx scripts/logs.ts wekan --previous', 'Why it was restarted'],
    ['npx tsx scripts/logs.ts oas-apps/nextcloud-mariadb-0 --since 1h', 'One pod'],
    [
      "npx tsx scripts/logs.ts nextcloud --json | jq -r '.result.lines[].text'",
      'One JSON document; with --follow, one for each line',
    ],
  ],
  cluster: 'existing',
  changes: false,
  async run(run) {
    const { follow, since, previous, container, json } = run.flags
    if (follow && previous)
      throw new UsageError('a run that is over cannot be followed', 'give --follow or --previous, not both')
    const wanted: Wanted = {
      previous,
      container,
      tailLines: tailLines(run.flags.tail, since !== undefined ? undefined : follow ? 10 : 100),
      sinceSeconds: since === undefined ? undefined : Math.ceil(duration('--since', since) / 1000),
    }
    // `logs … | head` closes the pipe: that is an end, and no failure.
    process.stdout.on('error', error => {
      if (codeOf(error) === 'EPIPE') process.exit(EXIT.ok)
      throw error
    })

    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    await registerClusterSecrets(kubectl)
    const target = await findTarget(kubectl, run.args[0] ?? (await choose(kubectl)))
    const nameOf = ({ pod, container }: Container | Line) => `${pod}/${container}`
    const write = async (text: string) => {
      if (!process.stdout.write(`${text}\n`))
        await new Promise<void>(resolve => process.stdout.once('drain', () => resolve()))
    }
    const show = (line: Line) => {
      // In one form, in UTC: kubelets write the time zone of their server.
      const time = line.time && `${new Date(line.time).toISOString()} `
      const text = printable(redact(line.text))
      return write(`${run.log.colour.dim(`${time}${nameOf(line)}`)} ${text}`)
    }

    if (follow)
      return followLogs(
        kubectl,
        target,
        wanted,
        {
          line: line => (json ? write(JSON.stringify({ ...line, text: redact(line.text) })) : show(line)),
          silent: (container, why) => run.log.warn(`${nameOf(container)}: ${printable(why)}`),
          warn: run.log.warn,
        },
        run.signal,
      )

    const containers = await findContainers(kubectl, target, wanted)
    if (containers.length === 0)
      throw new ExpectedError(
        `${target.name} has no pods`,
        'see what is not ready, and why: npx tsx scripts/status.ts',
      )
    const silent = new Map<Container, string>()
    for (const each of containers) if (each.why) silent.set(each, each.why)
    const kept: Line[] = []
    for await (const line of readLogs(kubectl, containers, wanted, (each, why) => silent.set(each, why)))
      if (json) kept.push(line)
      else await show(line)
    const told = containers.flatMap(each => {
      const { namespace, pod, container } = each
      const why = silent.get(each)
      return why ? [{ namespace, pod, container, why }] : []
    })
    for (const each of told) run.log.warn(`${each.pod}/${each.container}: ${printable(each.why)}`)
    run.result = { target: target.name, lines: kept, silent: told }
  },
})

/** The number of lines of `--tail`; undefined for all. */
function tailLines(value: string | undefined, otherwise: number | undefined): number | undefined {
  if (value === undefined) return otherwise
  if (value === 'all') return undefined
  if (!/^\d{1,9}$/.test(value))
    throw new UsageError(`--tail ${JSON.stringify(value)} is no number of lines`, 'give a number, or `all`')
  return Number(value)
}

/** Asks of what. */
async function choose(kubectl: Kubectl): Promise<string> {
  const choices = await targetNames(kubectl)
  if (choices.length === 0)
    throw new UsageError('OpenAppStack is not installed here', 'for any other pod give NAMESPACE/POD')
  return askSelect({
    message: 'The logs of what?',
    flag: `what the logs are wanted of: ${choices.join(', ')}, or NAMESPACE/POD`,
    choices,
  })
}
