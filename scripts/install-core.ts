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
import { surroundingsFlags } from '../lib/preflight/flags.ts'
import { timeoutOf } from '../lib/script/duration.ts'
import { script } from '../lib/script/script.ts'

const nextSteps = [
  'npx tsx scripts/secrets.ts --show userbackend_admin_password   # the password of the user admin',
  'npx tsx scripts/install-app.ts                                 # install applications',
  'npx tsx scripts/status.ts                                      # everything on one screen',
]

await script({
  name: 'install-core',
  summary:
    'Install the core of OpenAppStack on a cluster: secrets, Flux, infrastructure, single sign-on, monitoring.',
  flags: {
    kubeconfig: {
      type: 'string',
      value: 'FILE',
      help: 'install on this existing cluster; the file is copied into the cluster folder',
    },
    set: {
      type: 'string',
      value: 'KEY=VALUE',
      multiple: true,
      help: 'set a key of .flux.env (not for passwords); may be repeated',
    },
    'flux-manifest': {
      type: 'string',
      value: 'FILE',
      help: "Flux's install.yaml, for a machine without internet",
    },
    ...surroundingsFlags,
    timeout: { type: 'string', value: 'TIME', help: 'how long to wait until all is ready (default 60m)' },
  },
  examples: [
    [
      'npx tsx scripts/install-core.ts --cluster oas.example.org --kubeconfig ~/k3s.yaml',
      'Install on an existing cluster; asks for missing settings',
    ],
    ['npx tsx scripts/install-core.ts --cluster sandbox --yes', 'Install on the sandbox without questions'],
    ['npx tsx scripts/install-core.ts --dry-run', 'Show the plan'],
  ],
  cluster: 'new',
  changes: true,
  async run(run) {
    const { Kubectl, refOf } = await import('../lib/kubectl/kubectl.ts')
    const { applyPlanned, applyText, planApply, planCreate } = await import('../lib/flux/apply.ts')
    const { fluxRelease, loadFluxManifest } = await import('../lib/flux/flux-install.ts')
    const { clusterVariables } = await import('../lib/platform/config.ts')
    const { checkConfig, configure, diffVariables, parseSettings, saveConfig, variablesOf } = await import(
      '../lib/platform/configure.ts'
    )
    const { lockCluster } = await import('../lib/platform/lock.ts')
    const { coreHosts } = await import('../lib/preflight/hosts.ts')
    const { checkSurroundings, clusterChecks } = await import('../lib/preflight/preflight.ts')
    const { waitForFlux } = await import('../lib/rollout/flux.ts')
    const { PlatformPart } = await import('../lib/rollout/platform-part.ts')
    const { adoptKubeconfig, kubeconfigFor } = await import('./install-core/kubeconfig.ts')
    const { gitRepository, namespaces, rootKustomization, variablesSecret } = await import(
      './install-core/platform.ts'
    )
    const deadline = timeoutOf(run.flags.timeout, 60)
    const settings = parseSettings(run.flags.set)
    const source = await kubeconfigFor(run.cluster, run.flags.kubeconfig)
    await run.preflight([
      () => checkConfig(run.cluster, settings),
      async () => void (await (await Kubectl.connect(source)).serverVersion()),
    ])
    const { config, text, changed } = await configure(run.cluster, settings)
    const kubectl = await Kubectl.connect(source, run.signal)
    const manifest = await loadFluxManifest(run.flags['flux-manifest'] ?? (config.flux_manifest || undefined))
    await run.preflight([
      ...clusterChecks(kubectl, [
        ['create', '', 'namespaces'],
        ['create', '', 'secrets', 'flux-system'],
        ['create', 'apiextensions.k8s.io', 'customresourcedefinitions'],
        ['create', 'rbac.authorization.k8s.io', 'clusterrolebindings'],
        ['update', 'coordination.k8s.io', 'leases', 'kube-system'],
      ]),
      () => checkSurroundings(run, config, { hosts: [config.domain!, ...coreHosts(config)] }),
    ])

    const release = await fluxRelease()
    const core = await PlatformPart.of(run, kubectl, { kustomizations: CORE_KUSTOMIZATIONS, apps: ['core'] })
    const variables = variablesSecret(config)
    const planBase = async () => [
      ...(await planCreate(kubectl, namespaces())),
      ...(await planApply(kubectl, [variables])),
    ]
    const flux = await planApply(kubectl, manifest)
    const planPlatform = () => planApply(kubectl, [gitRepository(config), rootKustomization()])
    const before = variablesOf(await kubectl.get(refOf(variables)))
    const fluxChanges = applyText(flux).length
    const plan = [
      ...(changed ? [`write ${run.cluster.env}`] : []),
      ...applyText(await planBase()),
      ...diffVariables(before, clusterVariables(config)).map(line => `  ${line}`),
      ...(await core.planSecrets()),
      ...(fluxChanges > 0
        ? [`install Flux ${release.version}: ${fluxChanges} of ${flux.length} objects`]
        : []),
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
    saveConfig(run.cluster, text)
    adoptKubeconfig(run.cluster, source)
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
      async () => applyPlanned(kubectl, await planPlatform()),
    )
    await core.reconcile('Wait until the core is ready', 'flux get kustomizations --watch', deadline)
    run.log.ok(`The core of OpenAppStack is ready at https://admin.${config.domain}`)
    run.next(nextSteps)
  },
})
