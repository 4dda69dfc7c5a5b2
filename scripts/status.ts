/**
 * Shows the whole platform on one screen: nodes, sources, Kustomizations, HelmReleases, workloads, volumes and
 * certificates. It replaces the docs' `flux get kustomizations`, `flux get helmreleases -A` and their kin.
 *
 * Usage: npx tsx scripts/status.ts [--watch | --versions] [--all] [--html FILE] [--json]
 * Needs: a cluster folder with a kubeconfig. Changes nothing.
 */

import { ExpectedError, Findings } from '../lib/script/errors.ts'
import { checkOutputPath, writeFileAtomic } from '../lib/script/files.ts'
import { script } from '../lib/script/script.ts'
import { table } from '../lib/script/table.ts'
import { sleep } from '../lib/script/wait.ts'
import type { ChartVersion } from './status/versions.ts'

await script({
  name: 'status',
  group: 'watch',
  summary: 'Show the whole platform on one screen; exit code 3 when something is not ready.',
  flags: {
    watch: { type: 'boolean', help: 'show it again every two seconds, until everything is ready or Ctrl-C' },
    versions: {
      type: 'boolean',
      help: 'list the charts that are behind, by their repositories, and the digests of the images that run',
    },
    all: { type: 'boolean', help: 'list ready objects too, not only their number' },
    html: { type: 'string', value: 'FILE', help: 'write it as a page, too' },
  },
  examples: [
    ['npx tsx scripts/status.ts', 'What is not ready, and how much is'],
    ['npx tsx scripts/status.ts --all', 'Every object'],
    ['npx tsx scripts/status.ts --versions', 'Which charts are behind'],
    ['npx tsx scripts/status.ts --watch', 'Follow an installation'],
    ["npx tsx scripts/status.ts --json | jq '.result.notReady'", 'For other programs'],
  ],
  cluster: 'existing',
  changes: false,
  async run(run) {
    const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
    const { html } = run.flags
    if (html !== undefined) checkOutputPath('--html', html)
    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    if (run.flags.versions) {
      const { chartVersions } = await import('./status/versions.ts')
      const { imagesText, runningImages } = await import('./status/images.ts')
      const { isEvicted } = await import('../lib/diagnosis/eviction.ts')
      const charts = await chartVersions(kubectl, run.signal)
      const images = runningImages(await kubectl.list('v1', 'Pod', {}, pod => !isEvicted(pod)))
      const behind = charts.filter(chart => chart.behind)
      const unknown = charts.filter(chart => chart.gap)
      run.result = { behind, unknown, charts, images }
      run.log.print(versionsText(charts, run.flags.all))
      run.log.print(imagesText(images, run.flags.all))
      if (unknown.length > 0)
        throw new ExpectedError(
          `the newest version of ${unknown.length} of ${charts.length} charts is not known`,
          'check the repositories above, and the way from this machine to them',
        )
      if (behind.length > 0) throw new Findings()
      return
    }
    const { diagnose } = await import('../lib/diagnosis/diagnose.ts')
    const { gather } = await import('../lib/diagnosis/gather.ts')
    const { readKnown } = await import('../lib/diagnosis/known.ts')
    const { RULES } = await import('../lib/diagnosis/rules/index.ts')
    const { Index } = await import('../lib/diagnosis/snapshot.ts')
    const { isNotReady, readStatus } = await import('../lib/diagnosis/status.ts')
    const { screenText } = await import('./status/screen.ts')
    const { config, ignored } = await readKnown(run)
    for (;;) {
      const index = new Index(await gather(kubectl, { config }))
      const sections = readStatus(index, diagnose(index.snapshot, RULES, { index, ignored }))
      const notReady = sections.flatMap(section => section.items).filter(isNotReady)
      const empty = sections.every(({ title, items }) => title !== 'Kustomizations' || items.length === 0)
      run.result = { ready: notReady.length === 0 && !empty, notReady, sections }
      if (html !== undefined) {
        const { statusPage } = await import('./status/page.ts')
        writeFileAtomic(html, statusPage(run.cluster.name, sections))
      }
      if (run.flags.watch) run.log.clearScreen()
      run.log.print(`Cluster ${run.cluster.name}`)
      if (empty) run.log.print('OpenAppStack is not installed here: npx tsx scripts/install-core.ts')
      run.log.print(screenText(sections, run.flags.all, run.log.colour))
      if (notReady.length === 0 && !empty) return
      if (notReady.length > 0) run.log.info('Causes and remedies: npx tsx scripts/diagnose.ts')
      if (!run.flags.watch) throw new Findings()
      await sleep(2000, run.signal)
    }
  },
})

/** The charts that are behind or not known, and with `all` every one. */
function versionsText(charts: ChartVersion[], all: boolean): string {
  const shown = charts.filter(chart => all || chart.behind || chart.gap)
  const current = charts.filter(chart => !chart.behind && !chart.gap).length
  return [
    `${current} of ${charts.length} charts are at the newest version of their repository`,
    table(
      shown.map(({ release, chart, version, newest, behind, gap, repository }) => [
        gap ? '?' : behind ? '✗' : '✓',
        release,
        `${chart} ${version}`,
        gap ? `${repository}: ${gap}` : behind ? `→ ${newest}` : '',
      ]),
    ),
  ].join('\n')
}
