/**
 * Shows the values of an application and where each comes from, and changes them by an override: checked before, watched
 * after, rolled back when the release fails. It replaces the docs' hand-written ConfigMap ("Customize OAS applications").
 *
 * Usage: npx tsx scripts/override-app.ts APP [--set PATH=VALUE | --file FILE | --edit | --reset]
 * Needs: the application installed, and a kubeconfig of an administrator.
 * Safe to run again: an unfinished change is continued, or taken back with --rollback.
 */
import { ageFlags } from '../lib/age/flags.ts'
import { timeoutOf } from '../lib/script/duration.ts'
import { ExpectedError, UsageError } from '../lib/script/errors.ts'
import { script } from '../lib/script/script.ts'

await script({
  name: 'override-app',
  summary: 'Show the values of an application, or change them; values that fail are rolled back.',
  group: 'set up',
  args: { name: 'APP', help: 'the name of its HelmRelease: wekan, nextcloud-mariadb, ingress …', max: 1 },
  flags: {
    set: {
      type: 'string',
      value: 'PATH=VALUE',
      multiple: true,
      help: 'set one value: a.b[0].c=VALUE, in YAML',
    },
    unset: { type: 'string', value: 'PATH', multiple: true, help: 'remove one value from the override' },
    file: {
      type: 'string',
      value: 'FILE',
      help: 'set the values in this file: values, or a ConfigMap or Secret',
    },
    edit: { type: 'boolean', help: 'edit the override in $EDITOR' },
    secret: { type: 'boolean', help: 'keep the values in a Secret; --set PATH alone asks for the value' },
    reset: { type: 'boolean', help: 'remove the override; with --set or --file: replace it' },
    rollback: { type: 'boolean', help: 'take an unfinished change back' },
    all: { type: 'boolean', help: "show the chart's own defaults, too" },
    list: { type: 'boolean', help: 'list the overrides of the cluster' },
    export: {
      type: 'string',
      value: 'DIR',
      help: 'write the overrides to files, Secrets encrypted with age',
    },
    recipient: ageFlags.recipient,
    passphrase: ageFlags.passphrase,
    'allow-unknown': { type: 'boolean', help: 'set keys that the chart does not know' },
    'skip-check': { type: 'boolean', help: 'do not have Helm and the API server check the values first' },
    timeout: { type: 'string', value: 'TIME', help: 'how long the release may take (default 20m)' },
  },
  examples: [
    ['npx tsx scripts/override-app.ts wekan', 'The values in force, and where each comes from'],
    ['npx tsx scripts/override-app.ts wekan --set resources.limits.memory=1500Mi', 'More memory'],
    [
      'npx tsx scripts/override-app.ts nextcloud --file install/overrides/oas-nextcloud-override.yaml',
      "The docs' example: staging certificates",
    ],
    ['npx tsx scripts/override-app.ts wekan --reset', 'Back to the values of the platform'],
    ['npx tsx scripts/override-app.ts --export my-overrides --recipient age1…', 'Files for a repository'],
  ],
  cluster: 'existing',
  changes: true,
  async run(run) {
    const { flags } = run
    const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
    const { HELM_RELEASE } = await import('../lib/flux/flux.ts')
    const { lockCluster } = await import('../lib/platform/lock.ts')
    const { clusterChecks } = await import('../lib/preflight/preflight.ts')
    const { deployedRelease } = await import('../lib/flux/stored-release.ts')
    const layering = await import('./override-app/layers.ts')
    const { changeLines } = await import('./override-app/changes.ts')
    const { judged } = await import('./override-app/judge.ts')
    const { Draft } = await import('./override-app/editor.ts')
    const show = await import('./override-app/show.ts')
    const { obstaclesBefore, takenBack, watchRelease } = await import('./override-app/watch.ts')
    const { overridesOf, wanted, wishes } = await import('./override-app/wanted.ts')
    const files = await import('./override-app/write.ts')
    const deadline = timeoutOf(flags.timeout, 20)
    const [name] = run.args
    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    const releases = await kubectl.list(HELM_RELEASE.apiVersion, HELM_RELEASE.kind)
    if (flags.list || flags.export !== undefined) {
      const { listOrExport } = await import('./override-app/collect.ts')
      return await listOrExport(run, kubectl, releases)
    }
    if (name === undefined)
      throw new UsageError('APP is missing', `name one of: ${layering.overridableNames(releases).join(', ')}`)

    const release = layering.releaseNamed(name, releases)
    const layers = await layering.readLayers(kubectl, release)
    const stored = await deployedRelease(kubectl, release)
    const namespace = release.metadata.namespace!
    const places = files.placesOf(namespace, layers)
    const before = await files.readBefore(kubectl, places)
    if (before) run.log.warn(`a change of ${name} is unfinished: run it again, or give --rollback`)
    if (!wishes(flags) && !flags.rollback)
      return show.showValues(run, layers, stored?.chart?.values ?? {}, flags.all)
    await run.preflight([
      ...(await clusterChecks(kubectl, files.overrideRights(namespace))),
      () => layering.refuseSuspended(release),
    ])
    if (flags.rollback && !before) throw new UsageError(`no change of ${name} is unfinished`, 'omit it')

    const now = overridesOf(layers)
    const draft = new Draft(run)
    const next = flags.rollback ? now : await wanted(flags, layers, { release: name, draft })
    const target = flags.rollback ? before! : await files.contentsWith(places, next)
    const current = files.contentsOf(places)
    if (!before && target.ConfigMap === current.ConfigMap && target.Secret === current.Secret) {
      draft.inForce()
      return run.log.ok(`${name} has these values already; nothing was changed.`)
    }
    const judging = { run, release, layers: layering.withOverrides(layers, next), stored }
    const changes = flags.rollback ? [] : await judged(kubectl, judging)
    const plan = places.layers.flatMap(({ origin, secret, source }) =>
      show.overrideLines(origin, now[source!.kind], next[source!.kind], secret),
    )
    if (flags.rollback) plan.push(`write the override of ${name} as it was before the unfinished change`)
    plan.push(...changeLines(changes), `reconcile HelmRelease ${namespace}/${name}`)
    run.result = { release: name, namespace, changes: changeLines(changes) }
    if (!(await run.agree(plan, `Change the values of ${name} on ${run.cluster.name}?`))) return

    await lockCluster(kubectl, run)
    await files.refuseChanged(kubectl, places)
    const known = await obstaclesBefore(kubectl, release)
    const byHand = `kubectl -n ${namespace} apply -f ${places.layers[0]!.source!.name}.yaml`
    await run.step('Write the override', byHand, async () => {
      await files.keepBefore(kubectl, places, current)
      await files.writeContents(kubectl, places, target)
      return undefined
    })
    const watch = (patient = flags.rollback ? 300_000 : 0) =>
      watchRelease(kubectl, release, { run, deadline, known, patient })
    const flux = `flux reconcile helmrelease ${name} -n ${namespace} --reset`
    try {
      await run.step(`Wait until ready: ${name}`, flux, () => watch())
    } catch (error) {
      if (run.signal.aborted || flags.rollback || !(error instanceof ExpectedError)) throw error
      run.log.warn(error.message)
      await run.step('Roll back', flux, async () => {
        await files.writeContents(kubectl, places, before ?? current)
        await watch(300_000)
        await files.forgetBefore(kubectl, places)
        return `${name} is ready with the values before`
      })
      throw takenBack(name, error)
    }
    await files.forgetBefore(kubectl, places)
    draft.inForce()
    run.next(show.afterChange(name))
  },
})
