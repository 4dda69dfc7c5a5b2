/**
 * Installs k3s, a small Kubernetes, on the server of a cluster, with the tools for it, or upgrades it. It replaces
 * the docs' `python -m openappstack NAME install`.
 *
 * Usage: npx tsx scripts/install-cluster.ts [--cluster NAME] [--upload | --airgap DIR] [--mirror URL]
 * Needs: clusters/NAME/ (create-cluster), a server with Debian, a key that it accepts, root or sudo there.
 * Safe to run again, also after it was killed: it looks first, and does only what is missing.
 */

import { timeoutOf } from '../lib/script/duration.ts'
import { script } from '../lib/script/script.ts'
import { installFlags } from './install-cluster/flags.ts'

await script({
  name: 'install-cluster',
  group: 'set up',
  summary: 'Install k3s and its tools on the server of a cluster, or upgrade them.',
  flags: installFlags,
  examples: [
    [
      'npx tsx scripts/install-cluster.ts --cluster oas.example.org',
      'Install, or upgrade to the pinned version',
    ],
    ['npx tsx scripts/install-cluster.ts --dry-run', 'Show what would be done, with the diff of config.yaml'],
    ['npx tsx scripts/install-cluster.ts --airgap ./releases', 'For a server without internet'],
  ],
  cluster: 'existing',
  changes: true,
  async run(run) {
    const limits = { deadline: timeoutOf(run.flags.timeout, 15), signal: run.signal, log: run.log }
    // Here, so that `--help` need not wait for them.
    const { checkInstallFlags, K3sCluster } = await import('./install-cluster/cluster.ts')
    const { bringDownloads, installHost, joinToken, verifyHost } = await import('./install-cluster/host.ts')
    checkInstallFlags(run.flags)

    const k3s = await K3sCluster.connect(run, limits)
    await k3s.survey()
    const plan = await k3s.plan()
    const [server, ...agents] = k3s.hosts
    const { version } = server!.plan
    run.result = { server: k3s.server.name, version, changed: false }
    if (plan.length === 0) {
      run.log.ok(`Nothing to do: ${await k3s.ready()}.`)
      return
    }
    if (!(await run.agree(plan, `Install k3s ${version} on ${k3s.server.name}?`))) return

    await bringDownloads(run, k3s.hosts, k3s.installation)
    const { savedTo } = await installHost(run, server!, k3s.server, k3s.installation, limits)
    await run.step('Access from here', `scp ${k3s.server.name}:/etc/rancher/k3s/k3s.yaml …`, () =>
      k3s.access(),
    )
    const token = await joinToken(k3s.server)
    for (const agent of agents) await installHost(run, agent, k3s.server, k3s.installation, limits, token)
    await run.step('Verify', undefined, async () => {
      for (const host of k3s.hosts) await verifyHost(host, k3s.installation, token)
      return k3s.ready()
    })

    run.result = {
      server: k3s.server.name,
      version,
      changed: true,
      node: server!.plan.node,
      kubeconfig: run.cluster.kubeconfig,
      savedTo,
      agents: agents.map(agent => agent.ssh.name),
    }
    run.log.ok(`k3s ${version} runs on ${k3s.server.name}.`)
    run.next([
      `export KUBECONFIG=${run.cluster.kubeconfig}   # for kubectl, helm, flux and velero here`,
      `npx tsx scripts/install-core.ts --cluster ${run.cluster.name}   # go on with OpenAppStack`,
    ])
  },
})
