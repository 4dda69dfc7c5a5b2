import { htmlPage, htmlText } from '../../lib/script/html.ts'
import type { Log } from '../../lib/script/log.ts'
import { printable } from '../../lib/script/printable.ts'
import { counted, TEST_SECTIONS, type TestCheck, type TestSection } from './checks.ts'
import type { Collected } from './collect.ts'

/** A text within XML: as within HTML, and without what XML 1.0 does not allow. Pure but for the known secrets. */
export function xmlText(text: string): string {
  return htmlText(text).replaceAll(/[\ufffe\uffff]/g, ' ')
}

/** The checks as JUnit's XML, a suite for each part, for CI servers. Pure. */
export function junitOf(checks: readonly TestCheck[], about: { name: string; seconds: number }): string {
  const suites = (Object.keys(TEST_SECTIONS) as TestSection[]).flatMap(section => {
    const ours = checks.filter(each => each.section === section)
    if (ours.length === 0) return []
    const { failed, skipped, unknown } = counted(ours)
    return [
      `  <testsuite name="${section}" tests="${ours.length}" failures="${failed}" errors="${unknown}" skipped="${skipped}">`,
      ...ours.map(caseOf),
      '  </testsuite>',
    ]
  })
  const { failed, unknown } = counted(checks)
  return `${[
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="${xmlText(about.name)}" tests="${checks.length}" failures="${failed}" errors="${unknown}" time="${about.seconds.toFixed(1)}">`,
    ...suites,
    '</testsuites>',
  ].join('\n')}\n`
}

function caseOf({ section, name, state, note, problem }: TestCheck): string {
  const open = `    <testcase classname="${section}" name="${xmlText(name)}"`
  if (state === 'passed') return `${open}/>`
  if (state === 'skipped') return `${open}><skipped message="${xmlText(note ?? '')}"/></testcase>`
  const { what = '', fix = '', seen = [] } = problem ?? {}
  const tag = state === 'unknown' ? 'error' : 'failure'
  const text = [what, `fix: ${fix}`, ...seen.map(line => `seen: ${line}`)].join('\n')
  return `${open}><${tag} message="${xmlText(what)}">${xmlText(text)}</${tag}></testcase>`
}

/** One line as Nagios and its kin read it: the state, a text, and numbers behind a bar. Pure. */
export function nagiosLine(checks: readonly TestCheck[], seconds: number): string {
  const { passed, failed, skipped, unknown } = counted(checks)
  const bad = checks.filter(({ state }) => state === 'failed' || state === 'unknown')
  const state = failed > 0 ? 'CRITICAL' : unknown > 0 ? 'UNKNOWN' : 'OK'
  const names = bad.slice(0, 5).map(({ name }) => name)
  const more = bad.length > 5 ? ` and ${bad.length - 5} more` : ''
  const text =
    bad.length > 0
      ? `${bad.length} of ${checks.length} checks did not pass: ${names.join(', ')}${more}`
      : `${passed} checks passed`
  const line = `OPENAPPSTACK ${state} - ${text}`.replaceAll(/[|\n]/g, ' ')
  return printable(
    `${line} | passed=${passed} failed=${failed} unknown=${unknown} skipped=${skipped} time=${seconds.toFixed(1)}s`,
  )
}

/** A check and what is wrong with it; the checks of a server are named by the first words of what is wrong. */
const troubleText = (name: string, what: string) => (what.startsWith(name) ? what : `${name}: ${what}`)

/** Prints each part: how much passed, and what did not; with `all` every check. */
export function showChecks(
  checks: readonly TestCheck[],
  log: Pick<Log, 'printLine' | 'colour'>,
  all: boolean,
): void {
  const { green, red, yellow } = log.colour
  for (const section of Object.keys(TEST_SECTIONS) as TestSection[]) {
    const ours = checks.filter(each => each.section === section)
    if (ours.length === 0) continue
    const { passed, failed, unknown } = counted(ours)
    const mark = failed > 0 ? red('✗') : unknown > 0 ? yellow('?') : passed > 0 ? green('✓') : '-'
    log.printLine(`${mark} ${TEST_SECTIONS[section]}: ${passed} of ${ours.length} passed`)
    for (const { name, state, note, problem } of ours) {
      if (problem) {
        log.printLine(`  ${state === 'failed' ? red('✗') : yellow('?')} ${troubleText(name, problem.what)}`)
        for (const line of problem.seen) log.printLine(`      seen: ${line}`)
        log.printLine(`      fix: ${problem.fix}`)
      } else if (all || (state === 'skipped' && passed === 0))
        log.printLine(`  ${state === 'passed' ? green('✓') : '-'} ${name}${note ? `: ${note}` : ''}`)
    }
  }
}

/** Prints what was collected of a failure: the newest warnings, and the last lines of pods that are not ready. */
export function showCollected({ events, logs }: Collected, log: Pick<Log, 'printLine'>): void {
  if (events.length > 0) log.printLine('warnings of the last hour:')
  for (const line of events.slice(-10)) log.printLine(`  ${line}`)
  for (const { pod, container, lines } of logs) {
    log.printLine(`last lines of ${pod} ${container}:`)
    for (const line of lines.slice(-5)) log.printLine(`  ${line}`)
  }
}

/** The checks as a page, in the style of `report`: what did not pass first. Pure but for the known secrets. */
export function testPage(checks: readonly TestCheck[], about: { name: string; seconds: number }): string {
  const { passed, failed, skipped, unknown } = counted(checks)
  const troubled = checks.filter(({ problem }) => problem !== undefined)
  return htmlPage({
    title: `Test of ${about.name}`,
    about: `${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC · ${about.seconds.toFixed(1)} s`,
    tiles: [
      { name: 'Passed', value: String(passed), mood: 'good' },
      { name: 'Failed', value: String(failed), mood: failed > 0 ? 'bad' : 'good' },
      { name: 'No answer', value: String(unknown), mood: unknown > 0 ? 'warn' : 'good' },
      { name: 'Skipped', value: String(skipped), mood: 'none' },
    ],
    sections: [
      {
        title: 'Did not pass',
        blocks: [
          troubled.length === 0
            ? { text: 'Every check passed.', mood: 'good' }
            : {
                findings: troubled.map(({ name, state, problem }) => ({
                  title: troubleText(name, problem!.what),
                  mood: state === 'failed' ? 'bad' : 'warn',
                  seen: problem!.seen,
                  fix: problem!.fix,
                })),
              },
        ],
      },
      ...(Object.keys(TEST_SECTIONS) as TestSection[]).flatMap(section => {
        const ours = checks.filter(each => each.section === section)
        if (ours.length === 0) return []
        const rows = ours.map(({ name, state, note }) => [
          name,
          { text: state, mood: state === 'passed' ? 'good' : state === 'skipped' ? 'none' : 'bad' } as const,
          note ?? '',
        ])
        return [{ title: TEST_SECTIONS[section], blocks: [{ head: ['check', 'state', 'seen'], rows }] }]
      }),
    ],
  })
}
