/**
 * Brings the data of an old cluster's volumes into those of a new one: matches them by namespace, claim and
 * application, shows that, then copies on the new server with owners, proves the copy, and puts it in place. It
 * replaces the docs' "You have to manually match the folders from your backup with the new folders".
 *
 * Usage: npx tsx scripts/migrate-data.ts --from FILE --old-folder DIR [--match OLD=NEW]
 * Needs: the old volumes in a folder on the new server, which is only read; SSH; a cluster with the applications.
 * Safe to run again: volumes that are filled are left alone, and what broke off is completed.
 */

import { EXIT, ExpectedError, throwAll } from '../lib/script/errors.ts'
import { script } from '../lib/script/script.ts'
import { table } from '../lib/script/table.ts'
import { migrateFlags } from './migrate-data/flags.ts'

await script({
  name: 'migrate-data',
  group: 'upgrade',
  summary: "Bring the data of an old cluster's volumes into the volumes of a new cluster.",
  flags: migrateFlags,
  examples: [
    [
      'npx tsx scripts/migrate-data.ts --old-kubeconfig old.yml --output old-volumes.json',
      'First, on the old cluster: which folder holds which data',
    ],
    [
      'npx tsx scripts/migrate-data.ts --from old-volumes.json --old-folder /root/old-volumes --dry-run',
      'On the new cluster: what would go where',
    ],
    [
      'npx tsx scripts/migrate-data.ts --from old-volumes.json --old-folder /root/old-volumes --scale-down',
      'Copy and check it, stop the applications, put it in place, start them',
    ],
  ],
  cluster: 'existing',
  changes: true,
  async run(run) {
    const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
    const { claimsOfPods, mountsClaim, podsUsing } = await import('../lib/kubectl/claims.ts')
    const { readVolumes, volumeName } = await import('./migrate-data/volumes.ts')
    const { connectServer, holdServer } = await import('../lib/server/server.ts')
    const plans = await import('./migrate-data/plan.ts')
    const { matchedClaims, decideMatches } = await import('./migrate-data/volume-match.ts')
    const { decideOpen, readOld, saveMap } = await import('./migrate-data/inputs.ts')
    const { from, map: old } = await readOld(run)
    const file = run.flags.output
    if (old && file !== undefined) return saveMap(run, old, file)

    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    run.onEnd(async () => kubectl.client.close())
    const fresh = await readVolumes(kubectl)
    if (old?.cluster && old.cluster === fresh.cluster)
      throw new ExpectedError(
        `the old cluster and ${run.cluster.name} are the same`,
        'give the new cluster with --cluster, and the old one with --old-kubeconfig or --from',
        { exitCode: EXIT.refused },
      )
    for (const { claim, why } of fresh.others) run.log.info(`= ${claim} of the new cluster: ${why}`)
    for (const { claim, why } of old?.others ?? []) run.log.warn(`${claim} of the old cluster: ${why}`)
    const news = plans.targetsOf(fresh.volumes)
    const server = await import('./migrate-data/server.ts')
    const ssh = run.flags.print && old ? undefined : await connectServer(run)
    const folders = ssh && (await server.listFolders(ssh, from))
    const sources = plans.migrationSourcesOf(
      old?.volumes,
      folders?.map(({ name }) => name),
      {
        current: new Set(fresh.volumes.map(({ folder }) => folder)),
        named: [...run.flags.match.map(text => text.slice(0, text.lastIndexOf('='))), ...run.flags.skip],
      },
    )
    for (const volume of sources.lacking)
      run.log.warn(`${volumeName(volume)}: its folder ${volume.folder} is not in ${from}`)
    for (const name of sources.unknown) run.log.info(`= ${from}/${name}: no volume that is known`)

    const choices = { match: run.flags.match, leave: run.flags.skip }
    const { matches, open, left } = decideMatches(sources.volumes, news, choices)
    run.log.print(table(plans.matchRows(matches, new Map(folders?.map(({ name, size }) => [name, size])))))
    for (const volume of left) run.log.info(`= ${volumeName(volume)} is left out`)
    matches.push(...(await decideOpen(run, open, matches, news)))
    run.result = {
      matches: matches.map(({ old, new: now, score }) => ({
        old: old.folder,
        from: volumeName(old),
        to: volumeName(now),
        score,
      })),
      lacking: sources.lacking.map(volumeName),
    }

    const scaling = await import('../lib/kubectl/scale.ts')
    const usersOf = async (list: typeof matches) => {
      const pods = podsUsing(await kubectl.list('v1', 'Pod', {}, mountsClaim), matchedClaims(list))
      return { ...(await scaling.ownersOf(kubectl, pods)), inUse: claimsOfPods(pods) }
    }
    if (run.flags.print || !ssh) {
      const commands = plans.byHand(matches, from, (await usersOf(matches)).workloads)
      run.result = { ...(run.result as object), commands }
      run.log.print(commands)
      return
    }
    const jobs = matches.map(match => plans.jobOf(match, from))
    const states = await server.lookAtJobs(ssh, jobs)
    const work = matches.map((match, i) => ({ match, job: jobs[i]!, state: states[i]! }))
    const pending = work.filter(each => !plans.isDone(each))
    for (const each of work)
      if (plans.isDone(each))
        run.log.ok(`${volumeName(each.match.new)} has the data of ${each.job.source} already`)
    const stopped = await scaling.scaledDown(kubectl)
    const { workloads, problems, inUse } = await usersOf(pending.map(({ match }) => match))
    if (!run.flags['scale-down'] && workloads.length + problems.length > 0)
      problems.push(
        new ExpectedError(
          `the new volumes are in use: ${workloads.map(({ name }) => name).join(', ') || 'see above'}`,
          'give --scale-down, which stops it for the moment in which the data is put in place',
          { exitCode: EXIT.refused },
        ),
      )
    if (pending.length > 0 && !run.flags['skip-proof']) {
      const { unprovedTargets } = await import('./migrate-data/proof.ts')
      problems.push(...(await unprovedTargets(kubectl, matchedClaims(pending.map(({ match }) => match)))))
    }
    const { clusterChecks } = await import('../lib/preflight/preflight.ts')
    const rights = ['deployments', 'statefulsets'].map(kind => ['patch', 'apps', kind] as const)
    await run.preflight(await clusterChecks(kubectl, rights))
    const all = [...plans.workProblems(work, inUse), ...problems]
    if (!run.flags['dry-run']) throwAll(all)
    if (pending.length === 0 && stopped.length === 0) return run.log.ok('nothing to do; nothing was changed.')
    const start = [...workloads, ...stopped.filter(({ name }) => !workloads.some(each => each.name === name))]
    const agreed = await run.agree(
      plans.migrationLines(work, { stop: workloads, start }),
      `Fill ${pending.length} volumes of ${run.cluster.name}?`,
    )
    throwAll(all)
    if (!agreed) return

    const { lockCluster } = await import('../lib/platform/lock.ts')
    await holdServer(ssh, run)
    await lockCluster(kubectl, run)
    await (await import('./migrate-data/fill.ts')).fill(run, { kubectl, ssh, pending, workloads })
    run.log.ok(`${pending.length} volumes are filled; ${from} is as it was.`)
    run.next([
      `npx tsx scripts/status.ts --cluster ${run.cluster.name}   # do the applications start?`,
      'give the applications the database passwords of the old cluster (runbooks/migrate-data.md, "Passwords")',
      'once everything works: remove the .migration folders beside the volumes on the server',
    ])
  },
})
