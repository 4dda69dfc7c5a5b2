/**
 * Starts and stops the sandbox: a real Kubernetes control plane with the real Flux controllers on this
 * machine, reachable from this machine only, in which everything of this toolkit can be tried.
 *
 * Usage: npx tsx scripts/sandbox.ts up|down|status|reset
 * Needs: Linux, git, and for the first `up` Go, some GB of disk and up to an hour.
 * Safe to run again: yes. `up` completes what is missing; only `reset` destroys, and asks for the name.
 */
import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { EXIT, ExpectedError, throwAll, UsageError } from '../lib/errors.ts'
import { table } from '../lib/log.ts'
import { askText } from '../lib/prompt.ts'
import { Findings, type Run } from '../lib/run.ts'
import { layoutOf } from '../lib/sandbox/layout.ts'
import { script } from '../lib/script.ts'

const flags = {
  name: { type: 'string', value: 'NAME', help: 'the name of its cluster folder (default: sandbox)' },
  worktree: { type: 'boolean', help: 'up: serve the files as they are, and not the last commit' },
  'bin-dir': { type: 'string', value: 'DIR', help: 'up: use the programs in this folder; nothing is built' },
  charts: {
    type: 'string',
    value: 'DIR',
    help: 'up: serve the chart archives (*.tgz) in this folder in place of the stand-ins',
  },
  'charts-mirror': { type: 'string', value: 'URL', help: 'up: take charts from this Helm repository' },
  confirm: { type: 'string', value: 'NAME', help: 'reset: the name again, in place of typing it' },
} as const
/** The flags that one command alone takes. */
const ONLY = { up: ['worktree', 'bin-dir', 'charts', 'charts-mirror'], reset: ['confirm'] } as const
type SandboxRun = Run<typeof flags>

/** Loaded when it is needed, so that `--help` need not wait for it. */
const sandbox = () => import('../lib/sandbox/sandbox.ts')

await script({
  name: 'sandbox',
  summary:
    'Starts and stops a real Kubernetes control plane with Flux on this machine, to try everything in.',
  args: {
    name: 'COMMAND',
    help: 'up (start or complete it), down (end it, keep its state), status, reset (remove its state)',
    min: 1,
    max: 1,
    choices: ['up', 'down', 'status', 'reset'],
  },
  flags,
  examples: [
    ['npx tsx scripts/sandbox.ts up', 'start it; what it needs is built on the first day'],
    ['npx tsx scripts/sandbox.ts up --worktree', 'serve files that are not committed yet'],
    ['npx tsx scripts/sandbox.ts status', 'show its processes, ports, memory and logs'],
    ['npx tsx scripts/sandbox.ts reset --confirm sandbox', 'begin anew with an empty cluster'],
  ],
  cluster: 'none',
  changes: true,
  run: async run => {
    const { name } = layoutOf(run.flags.name ?? 'sandbox').cluster
    checkFlags(run)
    switch (run.args[0]) {
      case 'up':
        return await startIt(run, name)
      case 'down':
        return await endIt(run, name)
      case 'status':
        return await showIt(run, name)
      default:
        return await removeIt(run, name)
    }
  },
})

/** Throws everything that is wrong with the flags, before anything is done. */
function checkFlags({ args: [command], flags }: SandboxRun): void {
  const problems: UsageError[] = []
  for (const [owner, names] of Object.entries(ONLY))
    for (const name of names)
      if (flags[name] && command !== owner)
        problems.push(
          new UsageError(`--${name} is for \`${owner}\`, and this is \`${command}\``, 'leave it away'),
        )
  for (const name of ['bin-dir', 'charts'] as const)
    if (flags[name] && !statSync(flags[name], { throwIfNoEntry: false })?.isDirectory())
      problems.push(new UsageError(`--${name}: ${flags[name]} is not a folder`, 'give the path of a folder'))
  const mirror = flags['charts-mirror']
  if (mirror !== undefined && !(/^https?:/.test(mirror) && URL.canParse(mirror)))
    problems.push(
      new UsageError(
        '--charts-mirror is not an http or https URL',
        'give one like https://charts.example.org',
      ),
    )
  if (flags.charts !== undefined && mirror !== undefined)
    problems.push(new UsageError('--charts and --charts-mirror exclude each other', 'give one of them'))
  throwAll(problems)
}

async function startIt(run: SandboxRun, name: string): Promise<void> {
  const plan = [
    'build the programs, unless that was done before',
    'start what does not run of etcd, Kubernetes, kwok, the Flux controllers and the Git server',
    `serve ${run.flags.worktree ? 'the files of this checkout as they are' : 'the last commit of this checkout'} to Flux`,
    `write ${layoutOf(name).cluster.folder}`,
  ]
  if (run.flags['dry-run']) return void (await run.agree(plan, ''))
  run.cluster = layoutOf(name).cluster
  const result = await (await sandbox()).up({
    name,
    binDir: absolute(run.flags['bin-dir']),
    worktree: run.flags.worktree,
    charts: absolute(run.flags.charts),
    chartsMirror: run.flags['charts-mirror'],
    signal: run.signal,
    progress: run.log.progress,
  })
  run.result = result
  const { served, started, seconds } = result
  run.log.ok(
    started.length > 0
      ? `started ${started.join(', ')} in ${seconds.toFixed(1)} s`
      : 'everything was running already',
  )
  run.log.ok(`Flux is served ${served.commit.slice(0, 12)}, made from the ${served.from}`)
  if (result.moved.length > 0)
    run.log.warn(`other ports than before, since they were taken: ${result.moved.join(', ')}`)
  const cluster = `--cluster ${name}`
  run.log.print(`export KUBECONFIG=${result.kubeconfig}`)
  run.next([
    `npx tsx scripts/install-core.ts ${cluster}    install Flux and the platform in it`,
    `npx tsx scripts/sandbox.ts status${named(name)}    see its processes`,
    `npx tsx scripts/sandbox.ts down${named(name)}    end it; its state is kept`,
  ])
}

async function endIt(run: SandboxRun, name: string): Promise<void> {
  if (run.flags['dry-run'])
    return void (await run.agree([`end the processes of the sandbox ${name}; its state is kept`], ''))
  const stopped = await (await sandbox()).down(name, run.log.progress)
  run.result = { name, stopped }
  run.log.ok(stopped.length > 0 ? `ended ${stopped.join(', ')}` : 'nothing was running')
}

async function showIt(run: SandboxRun, name: string): Promise<void> {
  const processes = await (await sandbox()).status(name)
  if (processes === undefined)
    throw new ExpectedError(
      `there is no sandbox ${name}`,
      `start one: npx tsx scripts/sandbox.ts up${named(name)}`,
    )
  const memory = processes.reduce((sum, { memory }) => sum + (memory ?? 0), 0)
  const sick = processes.filter(({ state }) => state !== 'works')
  run.result = { name, kubeconfig: layoutOf(name).cluster.kubeconfig, memory, processes }
  const mib = (bytes: number | undefined) => (bytes ? `${Math.round(bytes / 2 ** 20)} MiB` : '-')
  run.log.print(
    table([
      ['PROCESS', 'STATE', 'PID', 'PORTS', 'MEMORY', 'LOG'],
      ...processes.map(each => [
        each.name,
        each.state,
        String(each.pid ?? '-'),
        each.ports.join(','),
        mib(each.memory),
        each.log,
      ]),
    ]),
  )
  run.log.print(`${processes.length - sick.length} of ${processes.length} work, ${mib(memory)} in all`)
  if (sick.length === 0) return
  run.next([`npx tsx scripts/sandbox.ts up${named(name)}    start what does not work`])
  throw new Findings()
}

async function removeIt(run: SandboxRun, name: string): Promise<void> {
  const plan = [`end the sandbox ${name}`, `remove ${layoutOf(name).state} with all that is installed in it`]
  if (run.flags['dry-run']) return void (await run.agree(plan, ''))
  for (const line of plan) run.log.info(line)
  const typed =
    run.flags.confirm ??
    (await askText({ message: `Type ${name} to remove everything in it:`, flag: `--confirm ${name}` }))
  if (typed !== name)
    throw new ExpectedError(
      `${JSON.stringify(typed)} is not the name of this sandbox; nothing was removed`,
      `give --confirm ${name} when you are sure`,
      { exitCode: EXIT.refused },
    )
  await (await sandbox()).reset(name, run.log.progress)
  run.result = { name, removed: true }
  run.log.ok(`the sandbox ${name} is removed`)
  run.next([`npx tsx scripts/sandbox.ts up${named(name)}    start an empty one`])
}

function named(name: string): string {
  return name === 'sandbox' ? '' : ` --name ${name}`
}

function absolute(path: string | undefined): string | undefined {
  return path === undefined ? undefined : resolve(path)
}
