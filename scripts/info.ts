/**
 * Tells how to reach a cluster and how its servers are: the export line for KUBECONFIG, addresses, versions, disk,
 * load, folders. It replaces the docs' `openappstack NAME info`.
 *
 * Usage: npx tsx scripts/info.ts
 * Needs: a cluster folder; SSH to the servers of inventory.yml for what they have to say. Changes nothing.
 */

import { installedNames } from '../lib/flux/flux.ts'
import { APPS } from '../lib/platform/apps.ts'
import { messageOf } from '../lib/script/errors.ts'
import { script } from '../lib/script/script.ts'
import { table } from '../lib/script/table.ts'
import { sshFlags } from '../lib/ssh/flags.ts'

await script({
  name: 'info',
  group: 'watch',
  summary:
    'Tell how to reach a cluster, and how its servers are: export line, addresses, versions, disk, load.',
  flags: {
    ...sshFlags,
    journal: { type: 'boolean', help: 'list the runs that changed something, and nothing else' },
    'skip-ssh': { type: 'boolean', help: 'do not ask the servers', formerly: 'no-ssh' },
  },
  examples: [
    ['npx tsx scripts/info.ts', 'Everything about the only cluster'],
    ['npx tsx scripts/info.ts --skip-ssh', 'Without the servers'],
    ['npx tsx scripts/info.ts --journal', 'Who changed what, and when'],
    ['npx tsx scripts/info.ts --cluster oas.example.org --json', 'For other programs'],
  ],
  cluster: 'existing',
  changes: false,
  async run(run) {
    if (run.flags.journal) {
      const { outcomeText, readJournal } = await import('../lib/script/journal.ts')
      const runs = readJournal(run.cluster.journal, 200)
      run.result = { runs, folder: run.cluster.journal }
      const rows = runs.map(each => [each.startedAt, each.script, outcomeText(each), each.command])
      run.log.print(table([['STARTED', 'SCRIPT', 'OUTCOME', 'COMMAND'], ...rows]))
      run.log.info(`Transcripts: ${run.cluster.journal}`)
      return
    }
    const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
    const { fluxRelease } = await import('../lib/flux/flux-install.ts')
    const { installedConfig } = await import('../lib/platform/config.ts')
    const config = installedConfig(run.cluster)
    const versions: Record<string, string> = { 'flux (pinned here)': (await fluxRelease()).version }
    let installed: string[] = []
    let server = 'unknown'
    try {
      const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
      server = kubectl.client.server
      versions.kubernetes = await kubectl.serverVersion()
      const flux = await kubectl.get({ apiVersion: 'v1', kind: 'Namespace', name: 'flux-system' })
      versions.flux = flux?.metadata.labels?.['app.kubernetes.io/version'] ?? 'not installed'
      installed = await installedNames(kubectl)
    } catch (error) {
      // The folders and addresses are worth telling when the cluster is down, too.
      run.log.warn(`the cluster was not asked: ${messageOf(error)}`)
    }
    const { askServers, serverRows } = await import('./info/server-info.ts')
    const servers = run.flags['skip-ssh'] ? [] : await askServers(run)
    for (const asked of servers)
      if ('problem' in asked) run.log.warn(`the server ${asked.ssh} was not asked: ${asked.problem}`)
    const apps = APPS.filter(app => installed.includes(app.name) && app.hosts(config).length > 0)
    const addresses: Record<string, string[]> = Object.fromEntries([
      ['user panel', [`https://admin.${config.domain}`]],
      ['grafana', [`https://grafana.${config.domain}`]],
      ['prometheus', [`https://prometheus.${config.domain}`]],
      ['alertmanager', [`https://alertmanager.${config.domain}`]],
      ...apps.map(app => [app.name, app.hosts(config).map(host => `https://${host}`)]),
    ])
    const folders = {
      cluster: run.cluster.folder,
      configuration: run.cluster.env,
      journal: run.cluster.journal,
    }
    const exportLine = `export KUBECONFIG='${run.cluster.kubeconfig.replaceAll("'", `'\\''`)}'`
    run.result = {
      export: exportLine,
      server,
      ipAddress: config.ip_address,
      domain: config.domain,
      addresses,
      versions,
      servers,
      folders,
    }
    run.log.print('To use kubectl with this cluster, copy this into your terminal:')
    run.log.print(exportLine)
    run.log.print('')
    run.log.print(
      table([
        ['API server', server],
        ['IP address', config.ip_address ?? ''],
        ['domain', config.domain ?? ''],
        ...Object.entries(versions),
        ...servers.flatMap(serverRows),
        ...Object.entries(addresses).map(([name, urls]) => [name, urls.join(' ')]),
        ...Object.entries(folders),
      ]),
    )
  },
})
