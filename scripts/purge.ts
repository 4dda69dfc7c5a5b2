/**
 * Removes OpenAppStack and k3s, with all data of the applications, from the server of a cluster. It replaces the
 * docs' pasted `k3s-killall.sh; systemctl disable k3s; rm -rf …; reboot`.
 *
 * Usage: npx tsx scripts/purge.ts --cluster NAME [--confirm NAME]
 * Needs: SSH to the server, backups that are not older than a day (or --discard-data).
 * Safe to run again: a purge that broke off is known by the mark on the server, and completed.
 */
import { existsSync, renameSync } from 'node:fs'
import { duration } from '../lib/script/duration.ts'
import { throwAll } from '../lib/script/errors.ts'
import { script } from '../lib/script/script.ts'
import { fileTime } from '../lib/script/timestamp.ts'
import { sshFlags } from '../lib/ssh/flags.ts'

await script({
  name: 'purge',
  group: 'repair',
  summary: 'Remove OpenAppStack and k3s with ALL DATA from the server of a cluster, and prove it is gone.',
  flags: {
    ...sshFlags,
    confirm: { type: 'string', value: 'NAME', help: 'the name of the cluster, instead of typing it' },
    'max-backup-age': { type: 'string', value: 'AGE', help: 'how old backups may be (default 24h): 12h, 3d' },
    'discard-data': { type: 'boolean', help: 'go on without backups: whatever is not saved is lost' },
    docker: { type: 'boolean', help: 'remove /var/lib/docker, too' },
  },
  examples: [
    [
      'npx tsx scripts/purge.ts --cluster oas.example.org --dry-run',
      'Show what is installed, and what a purge would remove',
    ],
    ['npx tsx scripts/purge.ts --cluster oas.example.org', 'Show it, have the name typed, remove it'],
    [
      'npx tsx scripts/purge.ts --cluster oas.example.org --confirm oas.example.org --discard-data',
      'Without questions, and without a backup',
    ],
  ],
  cluster: 'existing',
  changes: true,
  async run(run) {
    const { name, kubeconfig } = run.cluster
    const options = {
      docker: run.flags.docker,
      discardData: run.flags['discard-data'],
      maxAge: duration('--max-backup-age', run.flags['max-backup-age'] ?? '24h'),
    }
    // Here, so that `--help` need not wait for them.
    const { connectServer, holdServer } = await import('../lib/server/server.ts')
    const { identityText, knownIdentity, IDENTITY_FILE, readIdentity } = await import(
      '../lib/server/server-identity.ts'
    )
    const { factsDocument, gatherPurgeFacts, markFor } = await import('./purge/facts.ts')
    const plans = await import('./purge/plan.ts')
    const { beginPurge, proveGone, removePaths, stopK3s, unmark } = await import('./purge/server.ts')

    const known = await knownIdentity(run.cluster)
    const ssh = await connectServer(run)
    const identity = await readIdentity(ssh)
    run.log.info(`${ssh.name} is ${identityText(identity)}`)
    // Without either there is nothing to purge any more, or nothing that proves whose server it is.
    const isKnown = identity.marked !== undefined || known.serverCa !== undefined
    if (isKnown) markFor(identity, known)
    const facts = await gatherPurgeFacts(run, ssh, { identity, known }, options)
    const { server } = facts
    if (!isKnown && plans.isEmpty(server)) {
      run.log.ok(`there is nothing of a cluster on ${ssh.name}; nothing was changed.`)
      return
    }
    const mark = markFor(identity, known)
    run.result = factsDocument(identity, facts)
    for (const lines of plans.inventoryLines(facts)) run.log.print(lines) // tables, each cell on one line
    const note = plans.dockerNote(server, options)
    if (note) run.log.info(note)
    if (mark.purging)
      run.log.warn(`the purge that started ${mark.purging.since} is unfinished, continuing it`)
    const problems = plans.problemsOf(facts, options, mark.purging !== undefined)
    const isAgent =
      mark.purging?.agent ?? (server.units.has('k3s-agent.service') && !server.units.has('k3s.service'))
    const retired =
      isAgent || !existsSync(kubeconfig) ? undefined : `${kubeconfig}.purged-${fileTime(new Date())}`
    const plan = plans.planLines(facts, options, {
      server: identity.hostname,
      kubeconfig: retired && kubeconfig,
    })
    if (!run.flags['dry-run']) throwAll(problems)
    const question = `Remove the cluster ${name} with all its data from ${ssh.name}?`
    const agreed = await run.agreeByName(plan, question, name, run.flags.confirm)
    throwAll(problems)
    if (!agreed) return

    const held = await holdServer(ssh, run)
    const paths = plans.pathsToRemove(server, options)
    let begun = mark
    await run.step(`Mark ${identity.hostname}`, plans.BY_HAND.mark, async () => {
      // Once more, now that nobody else works on it.
      begun = await beginPurge(ssh, markFor(await readIdentity(ssh), known), {
        serverCa: identity.serverCa,
        agent: isAgent || undefined,
      })
      return `being purged since ${begun.purging?.since}`
    })
    await run.step('Stop k3s', plans.BY_HAND.stop, () => stopK3s(ssh, held, begun, options))
    await run.step('Remove', plans.BY_HAND.remove(paths), async () => {
      const removed = await removePaths(ssh, begun, paths)
      return removed.length > 0 ? `${removed.length} paths` : 'unchanged'
    })
    await run.step('Reboot', 'systemctl reboot', async () => {
      await held.reboot()
      return undefined
    })
    await run.step('Verify that it is gone', 'ls /var/lib; ps ax; findmnt; ip link', () =>
      proveGone(ssh, paths),
    )
    if (retired)
      await run.step('Move the kubeconfig away', `mv ${kubeconfig} ${retired}`, async () => {
        renameSync(kubeconfig, retired)
        return undefined
      })
    await run.step('Remove the mark', `rm ${IDENTITY_FILE}`, async () => {
      await unmark(ssh, begun)
      return undefined
    })
    run.log.ok(`OpenAppStack and k3s are gone from ${ssh.name}; ${run.cluster.folder} is kept.`)
    run.next(
      isAgent
        ? [`kubectl delete node ${identity.hostname}`]
        : [`npx tsx scripts/install-cluster.ts --cluster ${name}   # to reinstall it`],
    )
  },
})
