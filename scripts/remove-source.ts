/**
 * Removes an own source that add-source has added: what Flux applied from it, its rights and its single sign-on client.
 * Its volumes are kept, unless --delete-data is given.
 *
 * Usage: npx tsx scripts/remove-source.ts NAME [--delete-data]
 * Needs: a cluster folder with a kubeconfig; Flux has to run.
 * Safe to run again: a run that was cut off is continued.
 */
import { timeoutOf } from '../lib/script/duration.ts'
import { script } from '../lib/script/script.ts'

await script({
  name: 'remove-source',
  group: 'set up',
  summary: 'Remove an own source and what Flux applied from it; keeps its volumes unless told otherwise.',
  args: { name: 'NAME', help: 'the name of the source; add-source lists them', max: 1 },
  flags: {
    'delete-data': { type: 'boolean', help: 'delete its volumes, too' },
    confirm: { type: 'string', value: 'NAME', help: 'the name, instead of typing it: --delete-data' },
    timeout: { type: 'string', value: 'TIME', help: 'how long Flux may take to remove it (default 10m)' },
  },
  examples: [
    ['npx tsx scripts/remove-source.ts shop --dry-run', 'Show what would go'],
    ['npx tsx scripts/remove-source.ts shop', 'Remove it, keep its volumes'],
    ['npx tsx scripts/remove-source.ts shop --delete-data', 'Remove it with its data'],
  ],
  cluster: 'existing',
  changes: true,
  async run(run) {
    const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
    const { CLIENTS, parseSourceName } = await import('../lib/flux/own-sources.ts')
    const grants = await import('../lib/platform/grants.ts')
    const { lockCluster } = await import('../lib/platform/lock.ts')
    const { clusterChecks } = await import('../lib/preflight/preflight.ts')
    const { refusePowerless, removeApplied, removeParts, sourceRemovalLines, surveySource } = await import(
      './remove-source/steps.ts'
    )
    const deadline = timeoutOf(run.flags.timeout, 10)
    const deletesData = run.flags['delete-data']
    const name = parseSourceName(run.args[0] ?? '')
    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    const survey = await surveySource(kubectl, name)
    await run.preflight([
      ...(await clusterChecks(kubectl, [
        ['delete', 'kustomize.toolkit.fluxcd.io', 'kustomizations', name],
        ['delete', 'source.toolkit.fluxcd.io', 'gitrepositories', name],
        ['delete', 'hydra.ory.sh', 'oauth2clients', CLIENTS],
        ['patch', '', 'persistentvolumeclaims', name],
        ['delete', '', 'namespaces'],
      ])),
      () => refusePowerless(survey),
    ])
    const plan = sourceRemovalLines(survey, deletesData)
    const goes = deletesData || survey.volumes.length === 0
    const holders = survey.login.length > 0 ? await grants.readHolders(kubectl, name) : []
    if (survey.login.length > 0) plan.push(grants.grantLine(name, holders, goes))
    run.result = { name, volumes: survey.volumes.map(({ metadata }) => metadata.name), deletesData }
    // A run that was killed may have left keys and rights.
    const left = [survey.kustomization, survey.repository, ...survey.login, ...survey.parts].filter(Boolean)
    if (survey.volumes.length > 0 && !deletesData && left.length === 0) {
      run.log.ok(
        `only its volumes are left in namespace ${name}; nothing was changed. To delete them: --delete-data`,
      )
      return
    }
    const question = `Remove ${name} from ${run.cluster.name}?`
    const agreed =
      deletesData && survey.volumes.length > 0
        ? await run.agreeByName(plan, question, name, run.flags.confirm)
        : await run.agree(plan, question)
    if (!agreed) return
    await lockCluster(kubectl, run)
    await run.step('Remove what Flux has applied', `kubectl -n ${name} delete kustomization ${name}`, () =>
      removeApplied(kubectl, survey, { deadline, log: run.log, signal: run.signal, deletesData }),
    )
    if (goes && holders && holders.length > 0)
      // Whoever adds another source of this name shall not find people in it.
      await run.step('Revoke its grants', `npx tsx scripts/users.ts revoke NAME ${name}`, () =>
        grants.revokeGrants(kubectl, name, run.signal),
      )
    await run.step(
      'Remove the source, its rights and its client',
      `kubectl -n ${name} delete gitrepository ${name}`,
      () => removeParts(kubectl, survey, deletesData),
    )
  },
})
