/**
 * Proves that a platform works: addresses and certificates from outside, applications, Prometheus, the server, single
 * sign-on, backups, and people in a browser. It replaces the docs' testinfra and Taiko tests (chapters 5 and 9.2).
 *
 * Usage: npx tsx scripts/test-cluster.ts [--only certs,app,…] [--app APP] [--fqdn DOMAIN] [--browser]
 * Needs: a cluster folder with a kubeconfig; with --fqdn nothing but the domain name; with --browser Chromium.
 * Changes nothing; with --browser it creates two users and removes them.
 * Safe to run again: it reads everything again, and removes users that a killed run has left.
 */
import { connectToFlag, resolverFlag } from '../lib/preflight/flags.ts'
import { ExpectedError, Findings } from '../lib/script/errors.ts'
import { checkOutputPath, writeFileAtomic } from '../lib/script/files.ts'
import { script } from '../lib/script/script.ts'
import { sleep } from '../lib/script/wait.ts'
import { sshFlags } from '../lib/ssh/flags.ts'
import { attempt, counted, TEST_SECTIONS, type TestCheck, type TestSection } from './test-cluster/checks.ts'

const NAMES = Object.keys(TEST_SECTIONS) as TestSection[]
/** Milliseconds between two rounds. */
const PAUSE = 3000

await script({
  name: 'test-cluster',
  group: 'watch',
  summary:
    'Prove that the platform works, from its addresses to its backups; exit code 3 when a check fails.',
  flags: {
    only: {
      type: 'string',
      value: 'SECTIONS',
      choices: NAMES,
      multiple: true,
      help: `test only these, separated by commas: ${NAMES.join(', ')}`,
    },
    app: { type: 'string', value: 'APP', help: 'test only this application, its addresses and its login' },
    fqdn: { type: 'string', value: 'DOMAIN', help: 'test a platform that is only a domain name' },
    browser: {
      type: 'boolean',
      help: 'also log people in with Chromium, and work in every application; creates two users and removes them',
    },
    timeout: { type: 'string', value: 'TIME', help: 'repeat failed checks for so long (default 30s)' },
    junit: { type: 'string', value: 'FILE', help: 'write the checks as JUnit XML, for CI servers' },
    html: { type: 'string', value: 'FILE', help: 'write the checks as a page' },
    nagios: { type: 'boolean', help: 'print one status line in place of the checks, for monitoring' },
    all: { type: 'boolean', help: 'list checks that passed, too' },
    ...resolverFlag,
    ...connectToFlag,
    ...sshFlags,
  },
  examples: [
    ['npx tsx scripts/test-cluster.ts', 'Everything'],
    ['npx tsx scripts/test-cluster.ts --only certs,backup', 'Some of it'],
    ['npx tsx scripts/test-cluster.ts --app nextcloud', 'One application'],
    ['npx tsx scripts/test-cluster.ts --fqdn oas.example.org', 'From outside, without a cluster folder'],
    ['npx tsx scripts/test-cluster.ts --junit result.xml --timeout 5m', 'In CI, after an installation'],
    ['npx tsx scripts/test-cluster.ts --only browser --app nextcloud', 'One application as people use it'],
    ["npx tsx scripts/test-cluster.ts --json | jq '.result.counts'", 'For other programs'],
  ],
  cluster: 'existing',
  offline: flags => flags.fqdn !== undefined,
  changes: false,
  async run(run) {
    const { html, junit, resolver } = run.flags
    const { wantedOf } = await import('./test-cluster/wanted.ts')
    const { wanted, app, fqdn, deadline } = wantedOf(run.flags)
    if (junit !== undefined) checkOutputPath('--junit', junit)
    if (html !== undefined) checkOutputPath('--html', html)
    const { openTest } = await import('./test-cluster/look.ts')
    const { junitOf, nagiosLine, showChecks, showCollected, testPage } = await import(
      './test-cluster/output.ts'
    )

    const started = performance.now()
    const spent = () => performance.now() - started
    const test = await openTest(run, { wanted, app, fqdn, resolver, connectTo: run.flags['connect-to'] })
    const round = async () => {
      const { parts, snapshot } = test.look()
      const asked = parts.filter(([section]) => wanted.includes(section))
      const found = asked.map(([section, work]) => attempt(section, work, run.signal))
      return { checks: (await Promise.all(found)).flat(), snapshot: await snapshot }
    }
    let { checks, snapshot } = await round()
    while (troubled(checks).length > 0 && spent() + PAUSE < deadline) {
      run.log.progress(`${troubled(checks).length} checks did not pass: trying again`)
      await sleep(PAUSE, run.signal)
      ;({ checks, snapshot } = await round())
    }
    if (wanted.includes('browser')) {
      run.log.progress('testing the applications in a browser: this takes some minutes')
      const { browserTests } = await import('./test-cluster/browser/browser.ts')
      checks.push(...(await browserTests(run, { app, connectTo: run.flags['connect-to'], deadline })))
    }
    const { collect } = await import('./test-cluster/collect.ts')
    const isBad = troubled(checks).length > 0
    const collected =
      isBad && test.kubectl && snapshot ? await collect(test.kubectl, snapshot, run.signal) : undefined
    const seconds = spent() / 1000
    const counts = counted(checks)
    run.result = { passed: !isBad, counts, seconds, checks, collected }
    if (junit !== undefined)
      writeFileAtomic(junit, junitOf(checks, { name: fqdn ?? run.cluster.name, seconds }), 0o644)
    if (html !== undefined)
      writeFileAtomic(html, testPage(checks, { name: fqdn ?? run.cluster.name, seconds }))
    if (run.flags.nagios) run.log.print(nagiosLine(checks, seconds))
    else {
      showChecks(checks, run.log, run.flags.all)
      if (collected) showCollected(collected, run.log)
      run.log.print(
        `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped, ${seconds.toFixed(1)} s`,
      )
    }
    if (counts.unknown > 0)
      throw new ExpectedError(
        `${counts.unknown} ${counts.unknown === 1 ? 'check has' : 'checks have'} no answer`,
        'see the lines that begin with `?`: repair that first, then run the same command again',
      )
    if (counts.failed > 0) throw new Findings()
  },
})

/** The checks that did not pass. */
function troubled(checks: readonly TestCheck[]): TestCheck[] {
  return checks.filter(({ state }) => state === 'failed' || state === 'unknown')
}
