/**
 * Installs the core of OpenAppStack on a cluster: namespaces, secrets, Flux, and through Flux the
 * infrastructure, single sign-on, monitoring and logs. It replaces the pasted commands of the docs'
 * "Step 1: Install core applications".
 *
 * Usage: npx tsx scripts/install-core.ts [--cluster NAME] [--kubeconfig FILE] [--set KEY=VALUE …]
 * Needs: a cluster with Kubernetes 1.33 or newer and its administrator's kubeconfig.
 * Safe to run again: it reads the cluster first, changes only differences, and never a password.
 */
import { CORE_KUSTOMIZATIONS } from '../lib/platform/apps.ts'
import { timeoutOf } from '../lib/script/duration.ts'
import { script } from '../lib/script/script.ts'
import { examples, flags, nextSteps } from './install-core/flags.ts'

await script({
  name: 'install-core',
  group: 'set up',
  summary:
    'Install the core of OpenAppStack on a cluster: secrets, Flux, infrastructure, single sign-on, monitoring.',
  flags,
  examples,
  cluster: 'new',
  changes: true,
  async run(run) {
    const { Kubectl, refOf } = await import('../lib/kubectl/kubectl.ts')
    const { applyPlanned, applyText, planApply } = await import('../lib/flux/apply.ts')
    const { fluxRelease } = await import('../lib/flux/flux-install.ts')
    const { loadFluxManifest } = await import('./install-core/flux-manifest.ts')
    const { checkConfig, configure, diffVariables, parseSettings, settingsWriter } = await import(
      './install-core/settings.ts'
    )
    const { lockCluster } = await import('../lib/platform/lock.ts')
    const { coreHosts } = await import('../lib/preflight/hosts.ts')
    const { checkSurroundings, clusterChecks } = await import('../lib/preflight/preflight.ts')
    const { unreadyOfFlux, waitForFlux } = await import('./install-core/wait-for-flux.ts')
    const { PlatformPart } = await import('../lib/rollout/platform-part.ts')
    const { adoptKubeconfig, kubeconfigFor } = await import('./install-core/kubeconfig.ts')
    const {
      gitRepository,
      namespaces,
      notifications,
      planCreate,
      rootKustomization,
      settingsOf,
      settingsSecrets,
    } = await import('./install-core/platform.ts')
    const { podRangesOf } = await import('../lib/kubectl/pod-ranges.ts')
    const { DeployKey, loginSecret } = await import('../lib/flux/deploy-key.ts')
    const { chooseLegacyAccess } = await import('./install-core/legacy-access.ts')
    const { checkSource, chooseSource, followedSource } = await import('./install-core/source.ts')
    const deadline = timeoutOf(run.flags.timeout, 60)
    const given = parseSettings(run.flags.set)
    const source = await kubeconfigFor(run.cluster, run.flags.kubeconfig)
    await run.preflight([
      () => checkConfig(run.cluster, given),
      async () => void (await (await Kubectl.connect(source)).serverVersion()),
    ])
    const kubectl = await Kubectl.connect(source, run.signal)
    const followed = await followedSource(kubectl)
    const settings = {
      ...given,
      ...(await chooseSource(run.cluster, given, followed)),
      ...(await chooseLegacyAccess(run, kubectl, given)),
    }
    const configured = await configure(run.cluster, settings)
    const { config } = configured
    const writeSettings = settingsWriter(run, configured)
    const login = loginSecret(config, followed)
    const deployKey = await DeployKey.lacking(kubectl, run.cluster, config, login)
    const manifest = await loadFluxManifest(run.flags['flux-manifest'] ?? (config.flux_manifest || undefined))
    await run.preflight([
      ...(await clusterChecks(kubectl, [
        ['create', '', 'namespaces'],
        ['create', '', 'secrets', 'flux-system'],
        ['create', 'apiextensions.k8s.io', 'customresourcedefinitions'],
        ['create', 'rbac.authorization.k8s.io', 'clusterrolebindings'],
      ])),
      () => checkSurroundings(run, config, { hosts: [config.domain!, ...coreHosts(config)] }),
      () => checkSource(run, config, deployKey?.ssh),
    ])

    const release = await fluxRelease()
    const core = await PlatformPart.of(run, kubectl, { kustomizations: CORE_KUSTOMIZATIONS, apps: ['core'] })
    const settingsNow = settingsSecrets(config, await podRangesOf(kubectl))
    const planBase = async () => [
      ...(await planCreate(kubectl, namespaces())),
      ...(await planApply(kubectl, settingsNow)),
    ]
    const flux = await planApply(kubectl, manifest)
    const told = await notifications(manifest)
    const planPlatform = () =>
      planApply(kubectl, [gitRepository(config, login), rootKustomization(), ...told])
    const before = settingsOf(await Promise.all(settingsNow.map(each => kubectl.get(refOf(each)))))
    const fluxChanges = applyText(flux).length
    const starting = await unreadyOfFlux(kubectl, manifest)
    const plan = [
      ...(configured.changed ? [`write ${run.cluster.env}`] : []),
      ...(deployKey ? [deployKey.plan] : []),
      ...applyText(await planBase()),
      ...diffVariables(before, settingsOf(settingsNow)).map(line => `  ${line}`),
      ...(await core.planSecrets()),
      ...(fluxChanges > 0
        ? [`install Flux ${release.version}: ${fluxChanges} of ${flux.length} objects`]
        : starting.map(name => `wait until ${name} of Flux ${release.version} is ready`)),
      ...applyText(await planPlatform()),
      ...(await core.planReconciliation()),
    ]
    run.result = { address: `https://admin.${config.domain}` }
    if (plan.length === 0) {
      await core.keepCopies()
      adoptKubeconfig(run.cluster, source)
      run.log.ok(`The core is installed and ready on ${run.cluster.name}; nothing was changed.`)
      run.next(nextSteps)
      return
    }
    if (!(await run.agree(plan, `Install the core of OpenAppStack on ${kubectl.client.server}?`))) return
    await lockCluster(kubectl, run)
    writeSettings()
    adoptKubeconfig(run.cluster, source)
    if (deployKey) await run.step('Deploy key', deployKey.command, async () => deployKey.admit(run))
    await run.step('Namespaces and variables', `kubectl apply -k ${run.cluster.folder}`, async () =>
      applyPlanned(kubectl, await planBase()),
    )
    await core.createSecrets()
    await run.step(`Flux ${release.version}`, 'kubectl apply --server-side -f install.yaml', async () => {
      const applied = await applyPlanned(kubectl, await planApply(kubectl, manifest))
      await waitForFlux(kubectl, manifest, run)
      return applied
    })
    await run.step(
      'Source and Kustomizations',
      'flux create source git openappstack …; flux create kustomization openappstack …',
      async () => {
        if (deployKey) await kubectl.create(deployKey.secret)
        return applyPlanned(kubectl, await planPlatform())
      },
    )
    await core.reconcile('Wait until the core is ready', 'flux get kustomizations --watch', deadline)
    run.log.ok(`The core of OpenAppStack is ready at https://admin.${config.domain}`)
    run.next(nextSteps)
  },
})
