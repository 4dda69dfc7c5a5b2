/**
 * Checks a server and its surroundings before anything is installed: the server itself, DNS, ports, the mail
 * account, the storage for backups. It replaces the docs' list of prerequisites and `ping`.
 *
 * Usage: npx tsx scripts/preflight.ts [--only server,dns,ports,mail,backup]
 * Needs: a cluster folder (create-cluster); for the server a key that it accepts, and root or sudo.
 * Changes nothing: a small object is written to the storage for backups and deleted at once.
 */

import type { PreflightFinding } from '../lib/preflight/findings.ts'
import { resolverFlag } from '../lib/preflight/flags.ts'
import { Findings, throwAll } from '../lib/script/errors.ts'
import { listedWords } from '../lib/script/flags.ts'
import type { Run } from '../lib/script/run.ts'
import { script } from '../lib/script/script.ts'
import { sshFlags } from '../lib/ssh/flags.ts'
import { lookAround, SECTIONS, type Section, type SectionName } from './preflight/surroundings.ts'

const NAMES = Object.keys(SECTIONS) as SectionName[]

const flags = {
  ...sshFlags,
  only: {
    type: 'string',
    value: 'SECTIONS',
    choices: NAMES,
    multiple: true,
    help: `check only these, separated by commas: ${NAMES.join(', ')}`,
  },
  ...resolverFlag,
} as const

await script({
  name: 'preflight',
  group: 'set up',
  summary:
    'Check a server, its DNS, ports, mail and backup storage before an installation; exit code 3 for errors.',
  flags,
  examples: [
    ['npx tsx scripts/preflight.ts', 'Everything that is configured, for the only cluster'],
    ['npx tsx scripts/preflight.ts --cluster oas.example.org --only dns,ports', 'Some of it'],
    ['npx tsx scripts/preflight.ts --only dns --resolver 192.0.2.53', 'What a certain resolver says'],
    ["npx tsx scripts/preflight.ts --json | jq '.result.errors'", 'For other programs'],
  ],
  cluster: 'existing',
  changes: false,
  async run(run) {
    const only = listedWords('--only', run.flags.only, NAMES, () => 'unknown section')
    const wanted = only.length > 0 ? only : NAMES
    const { parseResolver } = await import('../lib/preflight/dns.ts')
    const resolvers = run.flags.resolver.map(parseResolver)
    const { sections, problems } = await lookAround(run, wanted, resolvers)
    const count = (severity: PreflightFinding['severity']) =>
      sections.flatMap(section => section.findings).filter(finding => finding.severity === severity).length
    const [errors, warnings] = [count('error'), count('warning')]
    run.result = { healthy: errors === 0 && problems.length === 0, errors, warnings, sections }
    for (const section of sections) show(run, section)
    throwAll(problems)
    if (errors > 0) throw new Findings()
    run.log.ok(
      warnings > 0
        ? `nothing blocks the installation (${warnings} warnings)`
        : 'nothing blocks the installation',
    )
  },
})

/** Prints what a section has to tell. */
function show({ log }: Pick<Run, 'log'>, { name, state, note, findings }: Section): void {
  const isBad = state === 'failed' || findings.some(({ severity }) => severity === 'error')
  const [good, bad, so] = [log.colour.green('✓'), log.colour.red('✗'), log.colour.yellow('!')]
  const mark = state === 'skipped' ? '-' : isBad ? bad : findings.length > 0 ? so : good
  log.printLine(`${mark} ${SECTIONS[name]}${note ? `: ${note}` : ''}`)
  for (const { severity, what, fix } of findings) {
    log.printLine(`  ${severity === 'error' ? bad : so} ${what}`)
    log.printLine(`    fix: ${fix}`)
  }
}
