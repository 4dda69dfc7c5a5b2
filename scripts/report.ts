/**
 * Writes what there is to know of a platform into one page for people who do not use a terminal: health and remedies,
 * certificates, volumes, releases, backups, users in numbers, the last runs.
 *
 * Usage: npx tsx scripts/report.ts [--since FILE] [--markdown] [--output FILE]
 * Needs: a cluster folder with a kubeconfig. Changes nothing in the cluster.
 * Safe to run again: each run writes another file.
 */
import { join } from 'node:path'
import { checkOutputPath, privateFolder, writeFileAtomic } from '../lib/script/files.ts'
import { script } from '../lib/script/script.ts'
import { fileTime } from '../lib/script/timestamp.ts'

await script({
  name: 'report',
  group: 'watch',
  summary: 'Write a page about the platform: health, certificates, volumes, releases, backups, users.',
  flags: {
    output: {
      type: 'string',
      value: 'FILE',
      help: 'the new page (default clusters/NAME/reports/NAME-TIME.html)',
    },
    markdown: { type: 'boolean', help: 'write Markdown in place of HTML' },
    since: {
      type: 'string',
      value: 'FILE',
      help: 'tell what has changed since this report: the .json file beside its page',
    },
  },
  examples: [
    ['npx tsx scripts/report.ts', 'A page to open in a browser, to print, or to send'],
    [
      'npx tsx scripts/report.ts --since reports/oas-2026-05-01T06-00-00Z.json',
      'With what has changed since then',
    ],
    ['npx tsx scripts/report.ts --markdown --output report.md', 'For a wiki'],
    ["npx tsx scripts/report.ts --json | jq '.result.report.certificates'", 'For other programs'],
  ],
  cluster: 'existing',
  changes: false,
  async run(run) {
    const { output, markdown, since } = run.flags
    if (output !== undefined) checkOutputPath('--output', output)
    const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
    const { scrubbedJson } = await import('../lib/script/scrub.ts')
    const { earlierReport, readReport } = await import('./report/read.ts')
    const { changesSince } = await import('./report/facts.ts')
    const { reportHtml, reportMarkdown } = await import('./report/pages.ts')

    const before = since === undefined ? undefined : earlierReport(since)
    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    run.log.progress('reading the cluster')
    const report = await readReport(run, kubectl)
    const changes = before && { at: before.madeAt, changes: changesSince(before, report) }

    const name = `${run.cluster.name}-${fileTime(new Date())}`
    const ending = markdown ? 'md' : 'html'
    const file = output ?? join(privateFolder(join(run.cluster.folder, 'reports')), `${name}.${ending}`)
    const facts = `${file.replace(/\.(html|md)$/, '')}.json`
    writeFileAtomic(file, markdown ? reportMarkdown(report, changes) : reportHtml(report, changes))
    writeFileAtomic(facts, `${scrubbedJson(report)}\n`)
    run.result = { file, facts, changes: changes?.changes, report }

    for (const line of changes?.changes ?? []) run.log.printLine(line)
    run.log.print(file)
    for (const { what, why } of report.gaps) run.log.warn(`${what}: not known: ${why}`)
    run.next([`open it in a browser; --since ${facts} tells later what has changed`])
  },
})
