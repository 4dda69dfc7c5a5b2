import { ExpectedErrors, toExpected } from '../../lib/script/errors.ts'

/** The parts of a test, with what each is called on the screen. */
export const TEST_SECTIONS = {
  certs: 'addresses and certificates',
  app: 'applications',
  prometheus: 'Prometheus and its alerts',
  host: 'the server',
  login: 'single sign-on and mail',
  backup: 'backups',
  browser: 'people in a browser',
} as const
/** The name of a part. */
export type TestSection = keyof typeof TEST_SECTIONS

/** What is wrong, in two lines, and what was seen of it. */
export interface TestProblem {
  what: string
  fix: string
  seen: string[]
}

/** One thing that was tested. `unknown` could not be asked, which is not the same as failed. */
export interface TestCheck {
  section: TestSection
  name: string
  state: 'passed' | 'failed' | 'skipped' | 'unknown'
  /** What was seen, or why it was skipped. */
  note?: string
  problem?: TestProblem
}

/** A check that passed. Pure. */
export const passedCheck = (section: TestSection, name: string, note?: string): TestCheck => ({
  section,
  name,
  state: 'passed',
  note,
})

/** A check that was not made, with the reason. Pure. */
export const skippedCheck = (section: TestSection, name: string, note: string): TestCheck => ({
  section,
  name,
  state: 'skipped',
  note,
})

/** A check that failed. Pure. */
export const failedCheck = (
  section: TestSection,
  name: string,
  what: string,
  fix: string,
  seen: readonly string[] = [],
): TestCheck => ({ section, name, state: 'failed', problem: { what, fix, seen: [...seen] } })

/** A check that passes without a problem, and fails with it. Pure. */
export const checkOf = (
  section: TestSection,
  name: string,
  problem: readonly [what: string, fix: string] | undefined,
  note?: string,
): TestCheck => (problem ? failedCheck(section, name, ...problem) : passedCheck(section, name, note))

/**
 * The checks of a part. What keeps the part from being looked at becomes one check that is unknown, so that the other
 * parts are told all the same. Throws nothing but the reason of the signal.
 */
export async function attempt(
  section: TestSection,
  work: () => Promise<TestCheck[]>,
  signal: AbortSignal,
): Promise<TestCheck[]> {
  try {
    return await work()
  } catch (error) {
    signal.throwIfAborted()
    const expected = toExpected(error)
    const problems = expected instanceof ExpectedErrors ? expected.problems : [expected]
    return problems.map(({ message, fix }) => ({
      section,
      name: TEST_SECTIONS[section],
      state: 'unknown',
      problem: { what: message, fix, seen: [] },
    }))
  }
}

/** How many checks came out how. Pure. */
export function counted(checks: readonly TestCheck[]): Record<TestCheck['state'], number> {
  const count = (state: TestCheck['state']) => checks.filter(each => each.state === state).length
  return {
    passed: count('passed'),
    failed: count('failed'),
    skipped: count('skipped'),
    unknown: count('unknown'),
  }
}
