/**
 * Removes an application: its Flux objects, pods, addresses and single sign-on client. Its data stays, and the next
 * install-app finds it again; --delete-data deletes it, after a look at the backups.
 *
 * Usage: npx tsx scripts/uninstall-app.ts APP [--delete-data --confirm APP]
 * Needs: a kubeconfig of an administrator.
 * Safe to run again: an unfinished removal is continued; without --delete-data install-app undoes it.
 */
import { APP_NAMES } from '../lib/platform/apps.ts'
import { duration, timeoutOf } from '../lib/script/duration.ts'
import { throwAll } from '../lib/script/errors.ts'
import { script } from '../lib/script/script.ts'

await script({
  name: 'uninstall-app',
  summary:
    'Remove an application. Its data stays for the next installation, or is deleted with --delete-data.',
  group: 'set up',
  args: { name: 'APP', help: APP_NAMES.join(', '), choices: APP_NAMES, min: 1, max: 1 },
  flags: {
    'delete-data': {
      type: 'boolean',
      help: 'delete its volumes and passwords, too: they cannot be brought back',
    },
    confirm: { type: 'string', value: 'APP', help: 'the name of the application, instead of typing it' },
    'max-backup-age': {
      type: 'string',
      value: 'AGE',
      help: 'how old the backup of its data may be (default 24h): 12h, 3d',
    },
    'discard-data': { type: 'boolean', help: 'delete data that no backup holds' },
    timeout: { type: 'string', value: 'TIME', help: 'how long the removal may take (default 20m)' },
  },
  examples: [
    ['npx tsx scripts/uninstall-app.ts wekan --dry-run', 'What would go, and what would stay'],
    ['npx tsx scripts/uninstall-app.ts wekan', 'Remove it, and keep its data'],
    ['npx tsx scripts/install-app.ts wekan', 'Undo that: it finds its data again'],
    ['npx tsx scripts/uninstall-app.ts wekan --delete-data', 'Remove it with its data, with a backup'],
  ],
  cluster: 'existing',
  changes: true,
  async run(run) {
    const app = run.args[0]!
    const deleteData = run.flags['delete-data']
    const deadline = timeoutOf(run.flags.timeout, 20)
    const maxAge = duration('--max-backup-age', run.flags['max-backup-age'] ?? '24h')
    const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
    const { lockCluster } = await import('../lib/platform/lock.ts')
    const { clusterChecks } = await import('../lib/preflight/preflight.ts')
    const { claimText, removalLines, removalProblems } = await import('./uninstall-app/plan.ts')
    const { surveyApp } = await import('./uninstall-app/survey.ts')
    const steps = await import('./uninstall-app/steps.ts')
    const { findSaved, savedParts } = await import('./uninstall-app/backup.ts')
    const grants = await import('../lib/platform/grants.ts')
    const { proveStep } = await import('../lib/backup/back-up.ts')
    const { installedConfig } = await import('../lib/platform/config.ts')

    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    await run.preflight(
      await clusterChecks(kubectl, [
        ['delete', 'kustomize.toolkit.fluxcd.io', 'kustomizations', 'flux-system'],
        ['patch', '', 'persistentvolumeclaims'],
      ]),
    )
    const survey = await surveyApp(kubectl, app)
    const isInstalled = survey.kustomization !== undefined || survey.releases.length > 0
    run.result = {
      app,
      installed: isInstalled,
      claims: survey.claims.map(({ object, size, used }) => ({
        namespace: object.metadata.namespace,
        name: object.metadata.name,
        size,
        used,
      })),
    }
    const holders = await grants.readHolders(kubectl, app)
    // A run that was killed may have left passwords and grants alone.
    const leftovers = [...survey.claims, ...survey.secrets, ...(holders ?? [])]
    if (!isInstalled && (!deleteData || leftovers.length === 0)) {
      run.log.ok(`${app} is not installed; nothing was changed.`)
      for (const claim of survey.claims)
        run.log.info(`  its data is kept in volume claim ${claimText(claim)}`)
      return
    }
    const plan = removalLines(survey, deleteData)
    plan.push(grants.grantLine(app, holders, deleteData))
    if (app === 'velero') plan.push('stop the nightly backups; those in the bucket stay')
    const problems = removalProblems(survey, deleteData)
    const needsBackup = deleteData && survey.claims.length > 0 && !run.flags['discard-data']
    const saved = needsBackup ? await findSaved(kubectl, survey, maxAge) : undefined
    if (saved && 'problem' in saved) problems.push(saved.problem)
    if (saved && 'backup' in saved) plan.unshift(`prove backup ${saved.backup}, which holds the data`)
    if (!run.flags['dry-run']) throwAll(problems)
    const question = `Remove ${app} from ${run.cluster.name}${deleteData ? ' WITH ALL ITS DATA' : ''}?`
    const agreed = deleteData
      ? await run.agreeByName(plan, question, app, run.flags.confirm)
      : await run.agree(plan, question)
    throwAll(problems)
    if (!agreed) return

    await lockCluster(kubectl, run)
    if (saved && 'backup' in saved)
      await proveStep(run, kubectl, saved.backup, {
        config: installedConfig(run.cluster),
        parts: savedParts(survey),
      })
    await run.step(
      'Mark its volumes',
      `kubectl label pvc NAME -n NAMESPACE openappstack.net/kept-of=${app}`,
      () => steps.markClaims(kubectl, survey),
    )
    await run.step(`Remove ${app}`, `kubectl -n flux-system delete kustomization ${app}`, () =>
      steps.removeApp(kubectl, survey, run, deadline),
    )
    await run.step('Verify that it is gone', `kubectl get helmreleases,pods,pvc -A | grep ${app}`, () =>
      steps.verifyGone(kubectl, survey),
    )
    if (deleteData) {
      await run.step('Delete its data', 'kubectl delete pvc NAME -n NAMESPACE', () =>
        steps.deleteClaims(kubectl, survey.claims, run),
      )
      await run.step('Delete its passwords', 'kubectl -n flux-system delete secret NAME', () =>
        steps.deleteSecrets(kubectl, survey.secrets),
      )
      if (holders && holders.length > 0)
        await run.step('Revoke its grants', `npx tsx scripts/users.ts revoke NAME ${app}`, () =>
          grants.revokeGrants(kubectl, app, run.signal),
        )
    }
    run.log.ok(`${app} is removed${deleteData ? ' with its data' : '; its data is kept'}.`)
    run.next([
      `npx tsx scripts/install-app.ts ${app}   # ${deleteData ? 'to install it again, empty' : 'undo: it finds its data again'}`,
    ])
  },
})
