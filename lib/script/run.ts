import type { Cluster } from './cluster.ts'
import { EXIT, ExpectedError, ExpectedErrors, messageOf, throwAll, toExpected } from './errors.ts'
import type { FlagSpecs, FlagValues } from './flags.ts'
import { type JournalEntry, type JournalStep, writeJournal } from './journal.ts'
import type { Log } from './log.ts'
import { printable, printableJson } from './printable.ts'
import { askConfirm, askText } from './prompt.ts'
import { redactedJson } from './redact.ts'
import type { CommonFlags, ScriptSpec } from './spec.ts'

/** What a script has at hand while it runs. */
export class Run<F extends FlagSpecs = FlagSpecs> {
  readonly args: string[]
  readonly flags: FlagValues<F> & FlagValues<CommonFlags>
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
    flags: FlagValues<F> & FlagValues<CommonFlags>,
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
    if (!this.#cluster) throw new Error(`${this.#spec.name} does not work on a cluster`)
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

  /** Ends the run from outside: the running wait rejects with `reason`. */
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
   * Shows the plan and asks whether to go on. False for --dry-run. Throws a UsageError without a terminal
   * to confirm on and without --yes, and ends the run (exit code 4) when the answer is no.
   */
  async agree(plan: readonly string[], question: string): Promise<boolean> {
    if (!this.#showPlan(plan)) return false
    if (this.flags.yes) return true
    if (!(await askConfirm({ message: question, flag: '--yes' })))
      throw new ExpectedError('not confirmed; nothing was changed', 'run it again when you are sure', {
        exitCode: EXIT.refused,
      })
    return true
  }

  /**
   * Shows the plan of something that destroys, and requires the name of its target: typed, or `given` by a flag
   * --confirm. --yes does not replace it. False for --dry-run; ends the run (exit code 4) for any other name.
   */
  async agreeByName(
    plan: readonly string[],
    question: string,
    name: string,
    given: string | undefined,
  ): Promise<boolean> {
    if (!this.#showPlan(plan)) return false
    const typed =
      given ?? (await askText({ message: `${question} Type ${name} to go on:`, flag: `--confirm ${name}` }))
    if (typed !== name)
      throw new ExpectedError(
        `${JSON.stringify(typed)} is not ${name}; nothing was changed`,
        `run it again with --confirm ${name} when you are sure`,
        { exitCode: EXIT.refused },
      )
    return true
  }

  /** Shows the plan. False for --dry-run, which ends with it. */
  #showPlan(plan: readonly string[]): boolean {
    this.#journal.plan = [...plan]
    this.log.heading('Plan')
    for (const line of plan) this.log.info(`  ${line}`)
    if (this.flags['dry-run']) this.log.info('Dry run: nothing was changed.')
    return !this.flags['dry-run']
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

  /** Prints what to do next, as the last lines of a run. */
  next(lines: readonly string[]): void {
    if (lines.length === 0) return
    this.log.print('')
    this.log.print('Next:')
    for (const line of lines) this.log.printLine(`  ${line}`)
  }

  /**
   * Prints a secret because somebody asked for exactly this one: the only way past the redaction. With
   * --json it is part of the document. A terminal shows control characters in it and does not obey them; a file
   * or a pipe gets it as it is.
   */
  reveal(document: unknown, text: string): void {
    this.result = document
    this.#revealed = true
    if (!this.flags.json) process.stdout.write(`${process.stdout.isTTY ? printable(text) : text}\n`)
  }

  #save(): void {
    // A run without a step changed nothing.
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
    const text = this.#revealed ? printableJson(JSON.stringify(document, null, 2)) : redactedJson(document)
    process.stdout.write(`${text}\n`)
  }
}

/** The one document of `--json`. */
export function jsonDocument(
  script: string,
  exitCode: number,
  error: ExpectedError | undefined,
  rest: object,
) {
  const problems = error instanceof ExpectedErrors ? error.problems : error ? [error] : []
  const errors = problems.length > 0 ? problems.map(({ message, fix }) => ({ message, fix })) : undefined
  return { script, exitCode, errors, ...rest }
}
