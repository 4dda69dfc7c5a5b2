import { resolve } from 'node:path'
import { Kubectl } from '../../../lib/kubectl/kubectl.ts'
import { ExpectedError, Findings } from '../../../lib/script/errors.ts'
import { mebibytes } from '../../../lib/script/size.ts'
import { table } from '../../../lib/script/table.ts'
import { createFirstUser } from '../login/first-user.ts'
import { named, type SandboxRun } from './flags.ts'
import { layoutOf } from './layout.ts'
import { down, reset, up } from './sandbox.ts'
import { status } from './status.ts'

/** Starts the control plane, or the part of it that does not run, and shows the next commands. */
async function startSandbox(run: SandboxRun, name: string): Promise<void> {
  const { certificates, loki, login } = run.flags
  const more = [
    ...(certificates ? ['cert-manager', 'an ACME server'] : []),
    ...(loki ? ['a stand-in for Loki'] : []),
    ...(login ? ['single sign-on with stand-in applications'] : []),
  ]
  const plan = [
    'build the programs, unless the cache has them',
    `start what does not run of ${['etcd', 'Kubernetes', 'kwok', ...more, 'the Flux controllers'].join(', ')} and the Git server`,
    `serve ${run.flags.worktree ? 'the files of this checkout as they are' : 'the last commit of this checkout'} to Flux`,
    `write ${layoutOf(name).cluster.folder}`,
  ]
  if (run.flags['dry-run']) return void (await run.agree(plan, ''))
  run.cluster = layoutOf(name).cluster
  const result = await up({
    name,
    binDir: absolute(run.flags['bin-dir']),
    worktree: run.flags.worktree,
    charts: absolute(run.flags.charts),
    chartsMirror: run.flags['charts-mirror'],
    certificates: run.flags.certificates,
    loki: run.flags.loki,
    login: run.flags.login,
    maester: run.flags.login,
    audit: run.flags.audit,
    signal: run.signal,
    progress: run.log.progress,
  })
  run.result = result
  const { served, started, seconds } = result
  run.log.ok(
    started.length > 0
      ? `started ${started.join(', ')} in ${seconds.toFixed(1)} s`
      : 'everything runs already',
  )
  run.log.ok(`Flux gets ${served.commit.slice(0, 12)}, from the ${served.from}`)
  if (result.moved.length > 0)
    run.log.warn(
      `other ports than before, because other programs use the old ones: ${result.moved.join(', ')}`,
    )
  const cluster = `--cluster ${name}`
  if (result.login) {
    const { kubeconfig, folder } = layoutOf(name).cluster
    const kubectl = await Kubectl.connect(kubeconfig, run.signal)
    await createFirstUser(kubectl, folder, result.login.kratosAdmin)
    run.log.ok(`log in at ${result.login.panel} as admin; the browser warns of a certificate of this sandbox`)
  }
  run.log.print(`export KUBECONFIG=${result.kubeconfig}`)
  const password = `npx tsx scripts/secrets.ts --show userbackend_admin_password ${cluster}    the password of admin`
  run.next([
    ...(result.login ? [password] : []),
    `npx tsx scripts/install-core.ts ${cluster}    install Flux and the platform in it`,
    `npx tsx scripts/sandbox.ts status${named(name)}    see its processes`,
    `npx tsx scripts/sandbox.ts down${named(name)}    stop it; its state is kept`,
  ])
}

/** Stops it; its state is kept. */
async function stopSandbox(run: SandboxRun, name: string): Promise<void> {
  if (run.flags['dry-run'])
    return void (await run.agree([`stop the processes of the sandbox ${name}; its state is kept`], ''))
  const stopped = await down(name, run.log.progress)
  run.result = { name, stopped }
  run.log.ok(stopped.length > 0 ? `stopped ${stopped.join(', ')}` : 'nothing was running')
}

/** Shows its processes. Ends with findings when one does not work. */
async function showSandbox(run: SandboxRun, name: string): Promise<void> {
  const processes = await status(name)
  if (processes === undefined)
    throw new ExpectedError(
      `the sandbox ${name} does not exist`,
      `start one: npx tsx scripts/sandbox.ts up${named(name)}`,
    )
  const memory = processes.reduce((sum, { memory }) => sum + (memory ?? 0), 0)
  const sick = processes.filter(({ state }) => state !== 'works')
  run.result = { name, kubeconfig: layoutOf(name).cluster.kubeconfig, memory, processes }
  run.log.print(
    table([
      ['PROCESS', 'STATE', 'PID', 'PORTS', 'MEMORY', 'LOG'],
      ...processes.map(each => [
        each.name,
        each.state,
        String(each.pid ?? '-'),
        each.ports.join(','),
        mebibytes(each.memory),
        each.log,
      ]),
    ]),
  )
  run.log.print(`${processes.length - sick.length} of ${processes.length} work, ${mebibytes(memory)} in all`)
  if (sick.length === 0) return
  run.next([`npx tsx scripts/sandbox.ts up${named(name)}    start what does not work`])
  throw new Findings()
}

/** Removes it after its name was typed. */
async function removeSandbox(run: SandboxRun, name: string): Promise<void> {
  const plan = [`stop the sandbox ${name}`, `remove ${layoutOf(name).state} with everything installed in it`]
  if (
    !(await run.agreeByName(
      plan,
      `Remove the sandbox ${name} with everything in it?`,
      name,
      run.flags.confirm,
    ))
  )
    return
  await reset(name, run.log.progress)
  run.result = { name, removed: true }
  run.log.ok(`the sandbox ${name} is removed`)
  run.next([`npx tsx scripts/sandbox.ts up${named(name)}    start an empty one`])
}

function absolute(path: string | undefined): string | undefined {
  return path === undefined ? undefined : resolve(path)
}

/** The commands of `sandbox.ts`, by their words. */
export const sandboxCommands = {
  up: startSandbox,
  down: stopSandbox,
  status: showSandbox,
  reset: removeSandbox,
}
