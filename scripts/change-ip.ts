/**
 * Changes the IP address of a cluster's server: in the configuration of k3s, the kubeconfig, the inventory,
 * `.flux.env`, the cluster's variables and DNS. It replaces the docs' "Change the IP of your cluster".
 *
 * Usage: npx tsx scripts/change-ip.ts NEW | --rollback
 * Needs: a server that answers at the new address already.
 * Safe to run again: a change that was cut off is completed, or taken back with --rollback; one that fails is taken back.
 */

import { timeoutOf } from '../lib/script/duration.ts'
import { ExpectedError, UsageError } from '../lib/script/errors.ts'
import { script } from '../lib/script/script.ts'
import { sshFlags } from '../lib/ssh/flags.ts'
import { readChangeState } from './change-ip/state.ts'

await script({
  name: 'change-ip',
  group: 'repair',
  summary:
    'Change the IP address of the server of a cluster, everywhere it is used; or roll the change back.',
  args: { name: 'NEW', help: 'the new address, at which the server answers already', max: 1 },
  flags: {
    ...sshFlags,
    rollback: { type: 'boolean', help: 'take the last change back, complete or not', formerly: 'undo' },
    'old-ip': {
      type: 'string',
      value: 'OLD',
      help: 'the address to replace, when the files do not agree',
      formerly: 'from',
    },
    provider: {
      type: 'string',
      value: 'PROVIDER',
      help: 'cosmos or digitalocean: change the DNS records there; the token is read from COSMOS_API_TOKEN or DIGITALOCEAN_TOKEN',
    },
    'provider-url': { type: 'string', value: 'URL', help: 'another address of its API' },
    timeout: {
      type: 'string',
      value: 'TIME',
      help: 'how long to wait for nodes and for Flux (default 10m)',
    },
  },
  examples: [
    ['npx tsx scripts/change-ip.ts 203.0.113.8 --dry-run', 'Show what would change'],
    ['npx tsx scripts/change-ip.ts 203.0.113.8', 'Change it'],
    ['npx tsx scripts/change-ip.ts 203.0.113.8 --provider cosmos', 'Change the DNS records, too'],
    ['npx tsx scripts/change-ip.ts --rollback', 'Take the change back'],
  ],
  cluster: 'existing',
  changes: true,
  async run(run) {
    const deadline = timeoutOf(run.flags.timeout, 10)
    const { rollback } = run.flags
    if (!rollback && run.args[0] === undefined)
      throw new UsageError(
        'NEW is missing',
        'give the new address, or --rollback to take the last change back',
      )
    if (rollback && (run.flags['old-ip'] || run.args[0] !== undefined))
      throw new UsageError('--rollback takes neither NEW nor --old-ip', 'it takes back the last change')
    // Here, so that `--help` need not wait for them.
    const { canRollBack, lookAhead, lookBack, providerOf } = await import('./change-ip/plan.ts')
    const { applyChange, planRollback, rollBackChange } = await import('./change-ip/steps.ts')
    const { ClusterLock } = await import('./change-ip/api.ts')
    const { holdServer } = await import('../lib/server/server.ts')
    const provider = providerOf(run.flags, run.signal)
    const last = readChangeState(run.cluster)
    const found = rollback
      ? await lookBack(run, last, provider)
      : await lookAhead(run, run.args[0]!, run.flags['old-ip'], last, provider)
    run.result = found.result
    if (found.done) {
      run.log.ok(found.done)
      return run.next(found.left)
    }
    if (!(await run.agree(found.plan, found.question))) return

    await holdServer(found.ssh, run)
    await found.check()
    const context = { run, provider, deadline, lock: new ClusterLock(run), ...found }
    const { cluster } = run
    const { ssh, state, edits } = found
    if (rollback) {
      await rollBackChange(context, edits)
      run.log.ok(`${cluster.name} is at ${state.old} again.`)
      return run.next(found.left)
    }
    let places: string[]
    try {
      places = await applyChange(context, edits)
    } catch (error) {
      if (!canRollBack(error, run.signal)) throw error
      run.log.error(error.message)
      run.log.heading('The change is taken back')
      await rollBackChange(context, await planRollback({ cluster, ssh, state }))
      throw new ExpectedError(`${error.message}; everything was put back as it was`, error.fix, {
        cause: error,
      })
    }
    run.log.ok(`${cluster.name} has the address ${state.new}.`)
    run.next([
      ...found.left,
      ...places.map(place => `${place} still has ${state.old}`),
      ...(state.before.hasOld
        ? [`when nothing leads to ${state.old} any more, take it from the server`]
        : []),
      `npx tsx scripts/status.ts --cluster ${cluster.name}`,
    ])
  },
})
