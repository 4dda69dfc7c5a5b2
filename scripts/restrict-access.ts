/**
 * Restricts which addresses reach the applications: all of them, or one. It replaces the docs' `oas-nginx-override`
 * by hand, and tries the ranges on the ingress first, so that nobody locks himself out.
 *
 * Usage: npx tsx scripts/restrict-access.ts [--allow CIDR… | --open] [--app APP]   (shows without a flag)
 * Needs: a cluster with the core installed, and port 443 of the server reachable from here.
 * Safe to run again: the ranges given replace those before, and the same ones change nothing.
 */
import { connectToFlag } from '../lib/preflight/flags.ts'
import { EXIT, ExpectedError } from '../lib/script/errors.ts'
import { script } from '../lib/script/script.ts'
import { table } from '../lib/script/table.ts'

await script({
  name: 'restrict-access',
  group: 'set up',
  summary: 'Restrict which addresses reach the applications; show and lift the restriction.',
  flags: {
    allow: {
      type: 'string',
      value: 'CIDR…',
      multiple: true,
      help: 'only these addresses and ranges, separated by commas; replaces those before',
    },
    app: { type: 'string', value: 'APP', help: 'only for this application, or this host; all by default' },
    open: { type: 'boolean', help: 'lift the restriction' },
    show: { type: 'boolean', help: 'show what is restricted: the default' },
    'behind-proxy': {
      type: 'string',
      value: 'CIDR…',
      multiple: true,
      help: 'a proxy in front of the server: its addresses; X-Forwarded-For from it counts',
    },
    'lock-me-out': { type: 'boolean', help: 'restrict even though this machine will be refused' },
    ...connectToFlag,
    timeout: { type: 'string', value: 'TIME', help: 'how long to wait for the ingress (default 10m)' },
  },
  examples: [
    ['npx tsx scripts/restrict-access.ts', 'Show what is restricted'],
    ['npx tsx scripts/restrict-access.ts --allow 203.0.113.0/24,2001:db8:1::/48', 'Only from these networks'],
    ['npx tsx scripts/restrict-access.ts --app nextcloud --allow 203.0.113.7', 'One application'],
    ['npx tsx scripts/restrict-access.ts --open', 'Everybody again'],
  ],
  cluster: 'existing',
  changes: true,
  async run(run) {
    const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
    const { installedConfig } = await import('../lib/platform/config.ts')
    const { lockCluster } = await import('../lib/platform/lock.ts')
    const { clusterChecks } = await import('../lib/preflight/preflight.ts')
    const { readAccessFlags } = await import('./restrict-access/flags.ts')
    const { restrictableHosts, ingressAddresses, surveyAccess } = await import('./restrict-access/survey.ts')
    const { accessPlan, accessRows, refuseOtherPlan, remarks } = await import('./restrict-access/plan.ts')
    const { Trial } = await import('./restrict-access/trial.ts')
    const steps = await import('./restrict-access/steps.ts')

    const { given, proxies, connectTo, deadline } = readAccessFlags(run.flags)
    const { app, open, 'lock-me-out': locksOut } = run.flags
    const config = installedConfig(run.cluster)
    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    const survey = await surveyAccess(kubectl, config)
    if (given.length === 0 && !open) {
      run.result = { restrictions: accessRows(survey), remarks: remarks(survey) }
      run.log.print(table([['HOST', 'ALLOWED'], ...accessRows(survey)]))
      for (const remark of remarks(survey)) run.log.warn(remark)
      return
    }

    await run.preflight(await clusterChecks(kubectl, steps.ACCESS_RIGHTS))
    const hosts =
      app === undefined
        ? []
        : restrictableHosts(app, config, [...survey.served, ...survey.hosts.map(each => each.host)])
    const wishes = { given, proxies, hosts }
    const plan = accessPlan(survey, wishes)
    run.result = { ranges: given, own: survey.own, hosts, changed: plan.lines.length > 0 }
    if (plan.lines.length === 0) {
      run.log.ok(
        `${open ? 'nothing is restricted there' : 'these ranges are in force'}; nothing was changed.`,
      )
      return
    }
    if (!open) for (const remark of remarks(survey)) run.log.warn(remark)
    const question = `Change who reaches ${app ?? 'the applications'} on ${run.cluster.name}?`
    if (!(await run.agree(plan.lines, question))) return
    await lockCluster(kubectl, run)
    const now = await surveyAccess(kubectl, config)
    refuseOtherPlan(plan, accessPlan(now, wishes))
    const targets = connectTo
      ? [connectTo]
      : (await ingressAddresses(config)).map(address => ({ address, http: 80, https: 443 }))
    const trial = await Trial.start(
      kubectl,
      { given: open ? survey.own : given, all: [...given, ...survey.own], hosts, targets },
      run,
    ).catch(error => {
      if (!open || run.signal.aborted) throw error
      run.log.warn(`not checked from here: ${error.message}`)
      return undefined
    })
    const wasRefused = ((await trial?.refusedNow()) ?? []).length > 0
    // Who is refused already cannot try; behind a proxy only the change makes its word count.
    const canTry = !open && proxies.length === 0 && !wasRefused
    let refused: readonly string[] = []
    if (trial && canTry)
      await run.step('Try the ranges on the ingress', undefined, async () => {
        const out = await trial.lockedOut()
        refused = await trial.willBeRefused()
        if (out.length === 0) return 'this machine is let in, others are refused'
        if (locksOut) return 'this machine is not among them'
        throw new ExpectedError(
          `the ranges would lock this machine out at ${out.join(', ')}; nothing was changed`,
          'add the address that you come from to --allow, or give --lock-me-out',
          { exitCode: EXIT.refused },
        )
      })
    const rollOut = () => steps.rollOut(kubectl, deadline, run)
    const apply = () =>
      hosts.length > 0
        ? steps.writeHosts(kubectl, plan.objects, open)
        : steps.writeOverride(kubectl, now.secret, plan.text).then(rollOut)
    const takeBack = () =>
      hosts.length > 0
        ? steps.restoreHosts(kubectl, plan.objects, plan.objectsBefore)
        : steps.takeBackOverride(kubectl, plan).then(rollOut)
    await run.step(open ? 'Lift the restriction' : 'Restrict', plan.byHand, async () => {
      try {
        await apply()
        if (!trial || (locksOut && !open && !canTry)) return 'not checked from here'
        await trial.verify(refused, hosts)
        return refused.length > 0 ? 'this machine is refused' : 'this machine is let in'
      } catch (error) {
        run.signal.throwIfAborted()
        if (open || (hosts.length === 0 && plan.text === plan.textBefore)) throw error
        run.log.warn('it did not succeed: taking the change back')
        await takeBack().catch(failure =>
          run.log.warn(`${failure.message}: if you are refused, run this with --open`),
        )
        throw error
      }
    })
    if (!open) run.next(['npx tsx scripts/restrict-access.ts --open   # lift it'])
  },
})
