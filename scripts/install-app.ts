/**
 * Installs applications and waits until they are Ready, then prints their addresses and where their
 * passwords are. It replaces the docs' `./install/install-app.sh` and `watch flux get helmreleases`.
 *
 * Usage: npx tsx scripts/install-app.ts [APP…]
 * Needs: a cluster with the core installed (install-core).
 * Safe to run again: ready applications are left alone, broken ones are reconciled.
 */

import { installedNames } from '../lib/flux/flux.ts'
import type { Kubectl } from '../lib/kubectl/kubectl.ts'
import { APP_NAMES, APPS, CORE_KUSTOMIZATIONS } from '../lib/platform/apps.ts'
import type { Config } from '../lib/platform/config.ts'
import { surroundingsFlags } from '../lib/preflight/flags.ts'
import { timeoutOf } from '../lib/script/duration.ts'
import { ExpectedError } from '../lib/script/errors.ts'
import { script } from '../lib/script/script.ts'
import { appKustomization } from './install-app/kustomization.ts'

await script({
  name: 'install-app',
  group: 'set up',
  summary: 'Install applications, wait until they are Ready, and print their addresses.',
  args: {
    name: 'APP…',
    help: `${APP_NAMES.join(', ')}; chosen from a list when none is named`,
    choices: APP_NAMES,
  },
  flags: {
    ...surroundingsFlags,
    'skip-backup': { type: 'boolean', help: 'with velero: do not make and prove a first backup' },
    timeout: {
      type: 'string',
      value: 'TIME',
      help: 'how long to wait for them to become ready (default 60m)',
    },
  },
  examples: [
    ['npx tsx scripts/install-app.ts nextcloud', 'Install Nextcloud with OnlyOffice'],
    ['npx tsx scripts/install-app.ts rocketchat wekan --yes', 'Install two applications without a question'],
    ['npx tsx scripts/install-app.ts --dry-run wordpress', 'Show the plan'],
  ],
  cluster: 'existing',
  changes: true,
  async run(run) {
    const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
    const { applyPlanned, applyText, planApply } = await import('../lib/flux/apply.ts')
    const { installedConfig, storageConfig } = await import('../lib/platform/config.ts')
    const { lockCluster } = await import('../lib/platform/lock.ts')
    const { checkSurroundings, clusterChecks } = await import('../lib/preflight/preflight.ts')
    const { PlatformPart } = await import('../lib/rollout/platform-part.ts')
    const deadline = timeoutOf(run.flags.timeout, 60)
    const config = installedConfig(run.cluster)
    const names = [...new Set(run.args.length > 0 ? run.args : await choose(config))]
    if (names.includes('velero')) storageConfig(run.cluster, config)
    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    await run.preflight([
      ...(await clusterChecks(kubectl, [
        ['create', '', 'secrets', 'flux-system'],
        ...(names.includes('velero') ? [['create', '', 'secrets', 'velero'] as const] : []),
        ['create', 'kustomize.toolkit.fluxcd.io', 'kustomizations', 'flux-system'],
      ])),
      () => checkCore(kubectl),
      () =>
        checkSurroundings(run, config, {
          hosts: APPS.filter(({ name }) => names.includes(name)).flatMap(app => app.hosts(config)),
          needsBackup: names.includes('velero'),
        }),
    ])

    const part = await PlatformPart.of(run, kubectl, { kustomizations: names, apps: names })
    const kustomizations = await Promise.all(names.map(appKustomization))
    const { backUp } = await import('../lib/backup/back-up.ts')
    const { newestBackups } = await import('../lib/backup/velero.ts')
    const hasBackup = async () =>
      (await newestBackups(kubectl)).some(({ status }) => status?.phase === 'Completed')
    const needsBackup = names.includes('velero') && !run.flags['skip-backup'] && !(await hasBackup())
    const plan = [
      ...(await part.planSecrets()),
      ...applyText(await planApply(kubectl, kustomizations)),
      ...(await part.planReconciliation()),
      ...(needsBackup ? ['make a first backup, and prove it'] : []),
    ]
    const apps = names.map(name => describe(name, config))
    run.result = { apps: apps.map(({ lines: _lines, ...app }) => app) }
    if (plan.length === 0) {
      await part.keepCopies()
      run.log.ok(`${names.join(', ')}: already installed and ready; nothing was changed.`)
    } else {
      if (!(await run.agree(plan, `Install ${names.join(', ')} on ${run.cluster.name}?`))) return
      await lockCluster(kubectl, run)
      await part.createSecrets()
      const files = names.map(name => `-f flux2/cluster/apps/${name}.yaml`).join(' ')
      await run.step('Kustomizations', `kubectl apply --server-side ${files}`, async () =>
        applyPlanned(kubectl, await planApply(kubectl, kustomizations)),
      )
      await part.reconcile(
        `Wait until ready: ${names.join(', ')}`,
        'flux get helmreleases -A --watch',
        deadline,
      )
    }
    if (needsBackup) {
      const request = { config, madeBy: 'install-app', ttl: '720h', deadline }
      run.result = { apps, backup: await backUp(run, kubectl, request) }
    }
    for (const app of apps) for (const line of app.lines) run.log.printLine(line)
    run.next(['npx tsx scripts/status.ts   # everything on one screen'])
  },
})

/** The lines about an installed application: its addresses, the first user, and where the password is. */
function describe(name: string, config: Config) {
  const app = APPS.find(candidate => candidate.name === name)!
  const addresses = app.hosts(config).map(host => `https://${host}`)
  const password = app.login && `npx tsx scripts/secrets.ts --show ${app.login.key}`
  const lines = [
    `${app.title}${addresses.length > 0 ? `: ${addresses.join(' and ')}` : ' is running'}`,
    ...(password ? [`  user ${app.login?.user}, password: ${password}`] : []),
  ]
  return { name, addresses, user: app.login?.user, password, lines }
}

/** Asks which applications to install; velero can be chosen only when it is configured. */
async function choose(config: Config): Promise<readonly string[]> {
  const { askSeveral } = await import('../lib/script/prompt.ts')
  const noBackup = config.backup_s3_enabled !== 'true' && 'not configured in .flux.env'
  return askSeveral({
    message: 'Which applications?',
    flag: 'the names of applications, for example `install-app.ts nextcloud`',
    choices: APPS.map(({ name, title }) => ({
      value: name,
      name: title,
      ...(name === 'velero' && noBackup ? { disabled: noBackup } : {}),
    })),
  })
}

/** The core has been installed. Whether it is healthy is found out while waiting, with the cause. */
async function checkCore(kubectl: Kubectl): Promise<void> {
  const installed = await installedNames(kubectl)
  const missing = CORE_KUSTOMIZATIONS.filter(name => !installed.includes(name))
  if (missing.length === 0) return
  throw new ExpectedError(
    `the core is not installed: Kustomization ${missing.join(', ')} is missing`,
    'run `npx tsx scripts/install-core.ts` first',
  )
}
