import { checkArgs } from './args.ts'
import { outliveAudience } from './audience.ts'
import { chooseCluster } from './cluster.ts'
import { EXIT, ExpectedError, ExpectedErrors, Findings, toExpected } from './errors.ts'
import { type FlagSpecs, type FlagValues, parseFlags } from './flags.ts'
import { createLog, type Log } from './log.ts'
import { redactedJson } from './redact.ts'
import { jsonDocument, Run } from './run.ts'
import { type CommonFlags, flagsOf, type ScriptSpec } from './spec.ts'

/** Characters of one line of an error: beyond that it repeats what somebody has sent, and hides what is wrong. */
const LONGEST = 1500

const cut = (text: string) => (text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text)

/** Prints an error in two lines; with --verbose also its stack and those of its causes. */
function tell(log: Log, error: ExpectedError, verbose: boolean): void {
  const problems = error instanceof ExpectedErrors ? error.problems : [error]
  for (const problem of problems) {
    log.error(cut(problem.message))
    log.info(`  fix: ${cut(problem.fix)}`)
  }
  if (!verbose) return
  for (let e: unknown = error; e instanceof Error; e = e.cause)
    for (const line of (e.stack ?? String(e)).split('\n')) log.info(line)
}

/**
 * Runs a script: parses the command line, chooses the cluster, calls `spec.run` and ends the process with the exit
 * code of the design's table. `own` are the arguments before `--`.
 */
export async function runScript<const F extends FlagSpecs>(
  spec: ScriptSpec<F>,
  argv: string[],
  own: readonly string[],
): Promise<never> {
  outliveAudience(!spec.changes)
  const plain = spec as unknown as ScriptSpec<FlagSpecs>
  const log = await createLog({ verbose: own.includes('--verbose'), json: own.includes('--json') })
  let run: Run<F>
  try {
    const { values, positionals } = parseFlags(argv, flagsOf(plain))
    checkArgs(plain, positionals)
    run = new Run(spec, positionals, values as FlagValues<F> & FlagValues<CommonFlags>, argv, log)
  } catch (error) {
    const expected = toExpected(error)
    tell(log, expected, own.includes('--verbose'))
    if (own.includes('--json'))
      process.stdout.write(`${redactedJson(jsonDocument(spec.name, expected.exitCode, expected, {}))}\n`)
    process.exit(expected.exitCode)
  }

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      // A second Ctrl-C does not wait for anything. A closed window sends SIGHUP more than once by itself.
      if (run.signal.aborted) {
        if (signal !== 'SIGHUP') process.exit(EXIT.interrupted)
        return
      }
      run.log.warn('interrupted: cleaning up; press Ctrl-C again to stop at once')
      run.abort(
        new ExpectedError(
          'interrupted',
          'run the same command again: it continues from the current state of the cluster',
          {
            exitCode: EXIT.interrupted,
          },
        ),
      )
    })

  let exitCode: number = EXIT.ok
  let failure: ExpectedError | undefined
  try {
    if (spec.cluster !== 'none' && !spec.offline?.(run.flags))
      run.cluster = await chooseCluster(run.flags.cluster, { mayBeNew: spec.cluster === 'new' })
    await spec.run(run)
  } catch (error) {
    if (error instanceof Findings) exitCode = EXIT.findings
    else {
      failure = toExpected(run.signal.aborted ? run.signal.reason : error)
      exitCode = failure.exitCode
      tell(run.log, failure, run.flags.verbose)
    }
  }
  await run.finish(exitCode, failure)
  // process.exit does not wait for a pipe to take what was written to it.
  for (const stream of [process.stdout, process.stderr])
    await new Promise<void>(resolve => stream.write('', () => resolve()))
  process.exit(exitCode)
}
