/**
 * Prepares a cluster older than 0.3, by the docs' "Upgrading to 0.3.0": moves `settings.yml` to its new place,
 * lists the old Helm releases with the commands that remove them, and the remaining volumes, of which
 * it deletes only those that are named.
 *
 * Usage: npx tsx scripts/upgrade-0.3.ts [--confirm NAMESPACE/NAME …] [--skip-cluster]
 * Needs: the cluster folder; for the releases and volumes also the kubeconfig of the old cluster.
 * Safe to run again: moved files and deleted claims are left alone.
 */
import type { FlagSpecs } from '../lib/script/flags.ts'
import { interactive } from '../lib/script/prompt.ts'
import { script } from '../lib/script/script.ts'
import { table } from '../lib/script/table.ts'

const flags = {
  confirm: {
    type: 'string',
    value: 'NAME',
    multiple: true,
    help: 'delete this claim, NAMESPACE/NAME, instead of typing it; may be repeated',
  },
  kubeconfig: { type: 'string', value: 'FILE', help: 'another kubeconfig of the old cluster' },
  'skip-cluster': { type: 'boolean', help: 'move the settings only', formerly: 'settings-only' },
} satisfies FlagSpecs

await script({
  name: 'upgrade-0.3',
  group: 'upgrade',
  summary:
    'Move the settings of a cluster older than 0.3, list its Helm releases, delete old volumes by name.',
  flags,
  examples: [
    ['npx tsx scripts/upgrade-0.3.ts --dry-run', 'Which releases and volumes there are'],
    ['npx tsx scripts/upgrade-0.3.ts', 'Move the settings, and ask which volumes to delete'],
    [
      'npx tsx scripts/upgrade-0.3.ts --confirm oas-apps/files-data --confirm oas/prometheus-data',
      'Delete these two volumes with their data, without a question',
    ],
  ],
  cluster: 'existing',
  changes: true,
  async run(run) {
    const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
    const { checkRights } = await import('../lib/preflight/preflight.ts')
    const { claimName, OLD_RELEASES, readOldClaims, readReleases, removeCommands } = await import(
      './upgrade-0.3/old-releases.ts'
    )
    const { chooseClaims, claimRows, deleteClaim, lossText, moveSettings, settingsMove } = await import(
      './upgrade-0.3/upgrade-0.3.ts'
    )
    const settings = settingsMove(run.cluster)
    if (settings.state === 'none') run.log.warn(`neither ${settings.from} nor ${settings.to} exists`)
    if (settings.state === 'both') run.log.warn(`${settings.from} is a copy of ${settings.to}: remove it`)
    const kubectl = run.flags['skip-cluster']
      ? undefined
      : await Kubectl.connect(run.flags.kubeconfig ?? run.cluster.kubeconfig, run.signal)
    if (kubectl) run.onEnd(async () => kubectl.client.close())
    const [stored, claims] = kubectl
      ? await Promise.all([readReleases(kubectl), readOldClaims(kubectl)])
      : [[], []]
    const isOld = (name: string) => (OLD_RELEASES as readonly string[]).includes(name)
    const releases = stored.filter(({ name }) => isOld(name))
    run.result = { settings, releases, otherReleases: stored.length - releases.length, claims }
    if (kubectl) {
      const absent = OLD_RELEASES.filter(name => !releases.some(release => release.name === name))
      run.log.print(
        table([
          ['RELEASE', 'HELM', 'NAMESPACE', 'REVISION', 'STATUS'],
          ...releases.map(({ name, helm, namespace, revision, status }) => [
            name,
            String(helm),
            helm === 2 ? '' : namespace,
            String(revision),
            status,
          ]),
          ...absent.map(name => [name, 'none']),
        ]),
      )
      if (stored.length > releases.length)
        run.log.info(`left alone: ${stored.length - releases.length} other releases`)
      run.log.print(`\n${claims.length > 0 ? table(claimRows(claims)) : 'No claims in oas and oas-apps.'}`)
    }
    for (const command of removeCommands(releases)) run.log.info(`to remove the releases: ${command}`)

    const ask = claims.length > 0 && interactive() && !run.flags['dry-run']
    const { chosen, absent } = await chooseClaims(claims, run.flags.confirm, ask)
    for (const problem of absent) run.log.warn(problem)
    const plan = [
      ...(settings.state === 'move' ? [`move ${settings.from} to ${settings.to}`] : []),
      ...chosen.flatMap(claim => [
        `delete PersistentVolumeClaim ${claimName(claim)}`,
        `  ~ ${lossText(claim)}`,
      ]),
    ]
    const names = chosen.map(claimName).join(' ')
    if (plan.length === 0) run.log.ok('nothing was changed.')
    else if (
      chosen.length > 0
        ? await run.agreeByName(plan, 'Delete these?', names, names) // they were typed already
        : await run.agree(plan, 'Move the settings?')
    ) {
      if (kubectl && chosen.length > 0) {
        const rights = chosen.map(
          ({ namespace }) => ['delete', '', 'persistentvolumeclaims', namespace] as const,
        )
        await run.preflight([
          () => checkRights(kubectl, [...rights, ['update', 'coordination.k8s.io', 'leases', 'kube-system']]),
        ])
        const { lockCluster } = await import('../lib/platform/lock.ts')
        await lockCluster(kubectl, run)
      }
      if (settings.state === 'move')
        await run.step('Settings', `mkdir -p group_vars/all && mv settings.yml group_vars/all/`, async () => {
          moveSettings(settings)
          return settings.to
        })
      for (const claim of chosen)
        await run.step(
          `Delete ${claimName(claim)}`,
          `kubectl -n ${claim.namespace} delete pvc ${claim.name}`,
          async () => {
            await deleteClaim(kubectl!, claim, run.signal)
            return claim.isKept ? `its volume ${claim.volume} is kept` : undefined
          },
        )
    }
    const left = claims.filter(claim => !chosen.includes(claim))
    run.next([
      ...removeCommands(releases).map(command => `${command}   # all data of these applications is lost`),
      ...(left.length > 0 && !ask
        ? [
            `npx tsx scripts/upgrade-0.3.ts --cluster ${run.cluster.name} --confirm NAMESPACE/NAME   # ${left.length} claims remain`,
          ]
        : []),
      `npx tsx scripts/upgrade-0.6.ts --cluster ${run.cluster.name}   # convert the settings for 0.6 and later`,
    ])
  },
})
