/**
 * uvu's suites, with hooks that do not fail in silence: uvu drops what a hook throws, runs none of the tests that
 * are left, and ends with exit code 0. A test file that has hooks takes `suite` or `test` from here.
 */
import { type Callback, type Test, suite as uvuSuite } from 'uvu'

/** Whether all tests run: by `npm run test:all`, and in a file that is started by hand. `npm test` leaves some out. */
export const all = process.env.OAS_TESTS !== 'main'

/** A suite of uvu in which all tests after a failed hook fail, with what the hook has thrown. */
export function suite(name?: string): Test {
  const test = uvuSuite(name)
  const { before, after, run } = test
  /** Of the tests up to the next `run`: files that run in one process share the suite without a name. */
  let state: { failure?: unknown } = {}

  test.before = Object.assign(
    (hook: Callback) => {
      const mine = state
      before(async context => {
        try {
          await hook(context)
        } catch (error) {
          mine.failure = error
        }
      })
      before.each(() => {
        if (mine.failure !== undefined) throw mine.failure
      })
    },
    { each: before.each },
  )
  test.after = Object.assign((hook: Callback) => after(hook), {
    each: (hook: Callback) => {
      const mine = state
      after.each(async context => {
        if (mine.failure !== undefined) return // there may be nothing that it could work with
        try {
          await hook(context)
        } catch (error) {
          mine.failure = error
          throw error
        }
      })
    },
  })
  test.run = () => {
    run()
    state = {}
  }
  return test
}

/** Adds parts of one course to a suite: what comes after one that failed would fail for the same reason, and slowly. */
export function partsOf(test: Test): (title: string, work: () => Promise<void>) => void {
  let alive = true
  return (title, work) =>
    test(title, async () => {
      if (!alive) throw new Error('an earlier part has failed')
      alive = false
      await work()
      alive = true
    })
}

/** A suite without a name. */
export const test = suite()
