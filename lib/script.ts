import { type Cluster, chooseCluster } from './cluster.ts'
import { codeOf, EXIT, ExpectedError, ExpectedErrors, messageOf, throwAll, UsageError } from './errors.ts'
import { type FlagSpecs, type FlagValues, parseFlags, suggestion } from './flags.ts'
import { type JournalEntry, type JournalStep, writeJournal } from './journal.ts'
import { createLog, type Log, table } from './log.ts'
import { askConfirm } from './prompt.ts'
import { redactedJson } from './redact.ts'

const commonFlags = {
  json: { type: 'boolean', help: 'print one JSON document on stdout; progress goes to stderr' },
  verbose: { type: 'boolean', help: 'say more, and show the stack of an error' },
} satisfies FlagSpecs
const clusterFlags = {
  cluster: {
    type: 'string',
    value: 'NAME',
    help: 'the cluster folder in clusters/ (or OAS_CLUSTER; the only one is taken)',
  },
} satisfies FlagSpecs
const changeFlags = {
  'dry-run': { type: 'boolean', help: 'print the plan and change nothing' },
  yes: { type: 'boolean', help: 'do not ask for confirmation' },
} satisfies FlagSpecs

type Common = typeof commonFlags & typeof clusterFlags & typeof changeFlags

/** What a script is, for `--help` and for the frame round it. */
export interface ScriptSpec<F extends FlagSpecs> {
  /** The file's name without `.ts`. */
  name: string
  /** One sentence. */
  summary: string
  /** Positional arguments, if it takes any; `choices` are checked, with a suggestion for a typing error. */
  args?: { name: string; help: string; min?: number; max?: number; choices?: readonly string[] }
  flags: F
  /** Real command lines, each with what it does. */
  examples: readonly (readonly [command: string, what: string])[]
  /** Which cluster it works on; `new` allows a name that has no folder yet. */
  cluster: 'none' | 'existing' | 'new'
  /** Whether it changes anything: then it has --dry-run, --yes and a journal. */
  changes: boolean
  run: (run: Run<F>) => Promise<void>
}

/** Thrown to end a run with findings (exit code 3) after the result has been printed. */
export class Findings extends Error {}

/** What a script has at hand while it runs. */
export class Run<F extends FlagSpecs = FlagSpecs> {
  readonly args: string[]
  readonly flags: FlagValues<F> & FlagValues<Common>
  readonly log: Log
  /** The result for --json. */
  result: unknown
  readonly #spec: ScriptSpec<F>
  readonly #abort = new AbortController()
  readonly #cleanups: (() => Promise<void>)[] = []
  readonly #journal: JournalEntry
  #cluster: Cluster | undefined
  #steps = 0
  #revealed = false

  constructor(
    spec: ScriptSpec<F>,
    args: string[],
    flags: FlagValues<F> & FlagValues<Common>,
    argv: string[],
    log: Log,
  ) {
    this.#spec = spec
    this.args = args
    this.flags = flags
    this.log = log
    this.#journal = {
      script: spec.name,
      cluster: '',
      command: ['npx tsx', `scripts/${spec.name}.ts`, ...argv].join(' '),
      startedAt: new Date().toISOString(),
      plan: [],
      steps: [],
    }
  }

  /** The cluster chosen for this run. Throws for a script that declared none: a defect in the script. */
  get cluster(): Cluster {
    if (!this.#cluster) throw new Error(`${this.#spec.name} works on no cluster`)
    return this.#cluster
  }

  set cluster(cluster: Cluster) {
    this.#cluster = cluster
    this.#journal.cluster = cluster.name
  }

  /** Aborted by Ctrl-C, SIGTERM or a lost lock. Every wait takes it. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Ends the run from outside of its own thread: the running wait rejects with `reason`. */
  abort(reason: ExpectedError): void {
    this.#abort.abort(reason)
  }

  /** Registers what has to happen at the end, however the run ends. Last in, first out. */
  onEnd(cleanup: () => Promise<void>): void {
    this.#cleanups.push(cleanup)
  }

  /** Runs all checks and throws everything that is wrong at once. A check fails by throwing an ExpectedError. */
  async preflight(checks: readonly (() => Promise<void> | void)[]): Promise<void> {
    const results = await Promise.allSettled(checks.map(async check => check()))
    throwAll(
      results.flatMap(result => {
        if (result.status === 'fulfilled') return []
        const error = toExpected(result.reason)
        return error instanceof ExpectedErrors ? error.problems : [error]
      }),
    )
  }

  /**
   * Shows the plan and asks whether to go on. False for --dry-run. Throws a UsageError when nobody is there
   * to confirm and --yes is absent, and ends the run (exit code 4) when the answer is no.
   */
  async agree(plan: readonly string[], question: string): Promise<boolean> {
    this.#journal.plan = [...plan]
    this.log.heading('Plan')
    for (const line of plan) this.log.info(`  ${line}`)
    if (this.flags['dry-run']) {
      this.log.info('Dry run: nothing was changed.')
      return false
    }
    if (this.flags.yes) return true
    if (!(await askConfirm({ message: question, flag: '--yes' })))
      throw new ExpectedError('not confirmed; nothing was changed', 'run it again when you are sure', {
        exitCode: EXIT.refused,
      })
    return true
  }

  /**
   * One numbered step. `equivalent` is the command that does the same by hand. The function may return
   * 'unchanged', or a note, for the journal and the screen.
   */
  async step(
    title: string,
    equivalent: string | undefined,
    work: () => Promise<undefined | string>,
  ): Promise<void> {
    this.signal.throwIfAborted()
    const number = ++this.#steps
    const started = performance.now()
    const entry: JournalStep = { title, equivalent, startedAt: new Date().toISOString(), outcome: 'running' }
    this.#journal.steps.push(entry)
    this.log.heading(`${number}. ${title}`)
    if (equivalent) this.log.dim(`   $ ${equivalent}`)
    this.#save()
    try {
      const note = await work()
      entry.outcome = note === 'unchanged' ? 'unchanged' : 'done'
      if (note && note !== 'unchanged') entry.note = note
      this.log.ok(`${title}${note ? `: ${note}` : ''}`)
    } catch (error) {
      entry.outcome = 'failed'
      throw error
    } finally {
      entry.seconds = (performance.now() - started) / 1000
      this.#save()
    }
  }

  /** Tells what to do next, as the last thing a reader sees. */
  next(lines: readonly string[]): void {
    if (lines.length === 0) return
    this.log.print('')
    this.log.print('Next:')
    for (const line of lines) this.log.print(`  ${line}`)
  }

  /**
   * Prints a secret because somebody asked for exactly this one: the only way past the redaction. With
   * --json it is part of the document.
   */
  reveal(document: unknown, text: string): void {
    this.result = document
    this.#revealed = true
    if (!this.flags.json) process.stdout.write(`${text}\n`)
  }

  #save(): void {
    // A run that has neither a plan nor a step has nothing to tell; a plan alone changed nothing.
    if (!this.#spec.changes || !this.#cluster || this.#journal.steps.length === 0) return
    writeJournal(this.#cluster.journal, this.#journal)
  }

  /** Cleans up, closes the journal and prints the JSON document. For the frame only. */
  async finish(exitCode: number, error?: ExpectedError): Promise<void> {
    for (const cleanup of this.#cleanups.reverse()) {
      try {
        await cleanup()
      } catch (failure) {
        this.log.warn(`cleaning up: ${messageOf(failure)}`)
      }
    }
    this.#journal.finishedAt = new Date().toISOString()
    this.#journal.exitCode = exitCode
    if (error) this.#journal.error = { message: error.message, fix: error.fix }
    try {
      this.#save()
    } catch (failure) {
      this.log.warn(`the journal could not be written: ${messageOf(failure)}`)
    }
    if (!this.flags.json) return
    const document = jsonDocument(this.#spec.name, exitCode, error, {
      cluster: this.#cluster?.name,
      dryRun: this.flags['dry-run'] || undefined,
      plan: this.#journal.plan.length > 0 ? this.#journal.plan : undefined,
      steps: this.#journal.steps.length > 0 ? this.#journal.steps : undefined,
      result: this.result,
    })
    process.stdout.write(`${this.#revealed ? JSON.stringify(document, null, 2) : redactedJson(document)}\n`)
  }
}

/** The one document of `--json`. */
function jsonDocument(script: string, exitCode: number, error: ExpectedError | undefined, rest: object) {
  const problems = error instanceof ExpectedErrors ? error.problems : error ? [error] : []
  const errors = problems.length > 0 ? problems.map(({ message, fix }) => ({ message, fix })) : undefined
  return { script, exitCode, errors, ...rest }
}

/** The text of `--help`. */
export function helpText(spec: ScriptSpec<FlagSpecs>): string {
  const args = spec.args ? ` ${spec.args.min ? spec.args.name : `[${spec.args.name}]`}` : ''
  const flags = Object.entries(flagsOf(spec)).map(([name, flag]) => [
    `  --${name}${flag.type === 'string' ? ` ${flag.value ?? 'VALUE'}` : ''}`,
    flag.help,
  ])
  return [
    spec.summary,
    '',
    `Usage: npx tsx scripts/${spec.name}.ts${args} [flags]`,
    ...(spec.args ? ['', 'Arguments:', `  ${spec.args.name}  ${spec.args.help}`] : []),
    '',
    'Flags:',
    table([...flags, ['  --help', 'show this']]),
    '',
    'Examples:',
    ...spec.examples.flatMap(([command, what]) => [`  # ${what}`, `  ${command}`]),
    '',
    `Exit codes: 0 done or healthy, 1 failed, 2 wrong usage, 3 findings, 4 refused, 75 locked, 130 interrupted`,
    `Runbook page: runbooks/${spec.name}.md`,
  ].join('\n')
}

/** All flags of a script: its own and those of the frame. */
function flagsOf(spec: ScriptSpec<FlagSpecs>): FlagSpecs {
  return {
    ...spec.flags,
    ...(spec.cluster === 'none' ? {} : clusterFlags),
    ...(spec.changes ? changeFlags : {}),
    ...commonFlags,
  }
}

function checkArgs(spec: ScriptSpec<FlagSpecs>, args: readonly string[]): void {
  const { min = 0, max = Number.POSITIVE_INFINITY, name = '', choices } = spec.args ?? { max: 0 }
  const usage = `usage: npx tsx scripts/${spec.name}.ts --help`
  if (args.length > max)
    throw new UsageError(
      `unexpected argument ${JSON.stringify(args[max])}`,
      max === 0 ? `it takes none; ${usage}` : usage,
    )
  if (args.length < min) throw new UsageError(`${name} is missing`, usage)
  throwAll(
    args
      .filter(arg => choices && !choices.includes(arg))
      .map(
        arg =>
          new UsageError(
            `unknown ${name.replace(/…$/, '')} ${JSON.stringify(arg)}`,
            suggestion(arg, choices!),
          ),
      ),
  )
}

/** Turns a system error into two lines; anything unknown stays what it is and is shown as a defect. */
function toExpected(error: unknown): ExpectedError {
  if (error instanceof ExpectedError) return error
  const code = codeOf(error)
  const message = messageOf(error)
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
    return new ExpectedError(message, 'give your user the right to it, or run this as its owner', {
      cause: error,
    })
  if (code === 'ENOSPC')
    return new ExpectedError(message, 'free some disk space, then run it again', { cause: error })
  return new ExpectedError(
    `unexpected: ${message}`,
    'this is a defect: run it again with --verbose and report the stack',
    {
      cause: error,
    },
  )
}

function tell(log: Log, error: ExpectedError, verbose: boolean): void {
  const problems = error instanceof ExpectedErrors ? error.problems : [error]
  for (const problem of problems) {
    log.error(problem.message)
    log.info(`  fix: ${problem.fix}`)
  }
  if (!verbose) return
  for (let e: unknown = error; e instanceof Error; e = e.cause) log.info(e.stack ?? String(e))
}

/**
 * Runs a script: parses the command line, chooses the cluster, calls `spec.run` and ends the process with
 * the exit code of the design's table. A file under scripts/ is one call of this.
 */
export async function script<const F extends FlagSpecs>(spec: ScriptSpec<F>): Promise<never> {
  const argv = process.argv.slice(2)
  if (argv.includes('--help') || argv.includes('-h')) {
    process.stdout.write(`${helpText(spec as unknown as ScriptSpec<FlagSpecs>)}\n`)
    process.exit(EXIT.ok)
  }
  const plain = spec as unknown as ScriptSpec<FlagSpecs>
  const log = await createLog({ verbose: argv.includes('--verbose'), json: argv.includes('--json') })
  let run: Run<F>
  try {
    const { values, positionals } = parseFlags(argv, flagsOf(plain))
    checkArgs(plain, positionals)
    run = new Run(spec, positionals, values as FlagValues<F> & FlagValues<Common>, argv, log)
  } catch (error) {
    const expected = toExpected(error)
    tell(log, expected, argv.includes('--verbose'))
    if (argv.includes('--json'))
      process.stdout.write(`${redactedJson(jsonDocument(spec.name, expected.exitCode, expected, {}))}\n`)
    process.exit(expected.exitCode)
  }

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      // A second Ctrl-C does not wait for anything.
      if (run.signal.aborted) process.exit(EXIT.interrupted)
      run.log.warn('interrupted: cleaning up; press Ctrl-C again to stop at once')
      run.abort(
        new ExpectedError(
          'interrupted',
          'run the same command again: it continues where the cluster stands',
          {
            exitCode: EXIT.interrupted,
          },
        ),
      )
    })

  let exitCode: number = EXIT.ok
  let failure: ExpectedError | undefined
  try {
    if (spec.cluster !== 'none')
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
  await new Promise<void>(resolve => process.stdout.write('', () => resolve()))
  process.exit(exitCode)
}
