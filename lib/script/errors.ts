/** Exit codes of every script, the same everywhere so that other programs can rely on them. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  findings: 3,
  refused: 4,
  locked: 75,
  interrupted: 130,
} as const

/**
 * A failure that we expected could happen. It is told in two lines: `message`, what is wrong, and `fix`,
 * what to do about it. No stack is shown unless `--verbose` asks for one.
 */
export class ExpectedError extends Error {
  override name = 'ExpectedError'
  readonly fix: string
  readonly exitCode: number

  constructor(message: string, fix: string, options: { exitCode?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause })
    this.fix = fix
    this.exitCode = options.exitCode ?? EXIT.failed
  }
}

/** A failure that may pass by itself: the other side starts, is overloaded, or cannot be reached for a moment. */
export class TransientError extends ExpectedError {
  override name = 'TransientError'
}

/** Wrong usage: a flag, an argument or a configuration value. Nothing was changed; exit code 2. */
export class UsageError extends ExpectedError {
  override name = 'UsageError'

  constructor(message: string, fix: string) {
    super(message, fix, { exitCode: EXIT.usage })
  }
}

/** Several expected failures that are told together, so that nobody fixes them one by one. */
export class ExpectedErrors extends ExpectedError {
  override name = 'ExpectedErrors'
  readonly problems: readonly ExpectedError[]

  constructor(problems: readonly ExpectedError[]) {
    super(`${problems.length} problems`, 'fix each of them', {
      exitCode: Math.max(...problems.map(problem => problem.exitCode)),
    })
    this.problems = problems
  }
}

/** Thrown to end a run with findings (exit code 3) after the result has been printed. */
export class Findings extends Error {}

/** Throws nothing for no problems, the problem itself for one, all together for several. */
export function throwAll(problems: readonly ExpectedError[]): void {
  if (problems.length === 1) throw problems[0]
  if (problems.length > 1) throw new ExpectedErrors(problems)
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** The `code` of a Node system error (ENOENT, ECONNREFUSED, …), also when it is wrapped as a cause. */
export function codeOf(error: unknown): string | undefined {
  for (let e = error; e instanceof Error; e = e.cause) {
    if ('code' in e && typeof e.code === 'string') return e.code
    if (e instanceof AggregateError && e.errors.length > 0) return codeOf(e.errors[0])
  }
  return undefined
}

/** Turns a system error into two lines; anything unknown stays what it is and is shown as a defect. */
export function toExpected(error: unknown): ExpectedError {
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
