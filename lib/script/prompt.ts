import { codeOf, EXIT, ExpectedError, UsageError } from './errors.ts'
import { asOneLine } from './printable.ts'
import { redact } from './redact.ts'

/** A question to a person, with the flag that answers it when there is no terminal. */
export interface Question {
  message: string
  /** What to give instead on the command line, e.g. `--domain`. */
  flag: string
  default?: string
  /** Returns what is wrong with an answer, or undefined. */
  check?: (answer: string) => string | undefined
}

/** Whether a person can answer: stdin and stderr are terminals, and this is not CI. */
export function interactive(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true && !process.env.CI
}

/** Throws a UsageError that names the flag, unless a person can answer. */
function needTerminal(question: { message: string; flag: string }): void {
  if (interactive()) return
  throw new UsageError(
    `no answer to "${question.message}", and no terminal to ask on`,
    `give ${question.flag}`,
  )
}

/** inquirer's prompts. Questions go to stderr, so that stdout holds nothing but the result. */
const promptsOf = (inquirer: typeof import('inquirer').default, signal: AbortSignal) =>
  inquirer.createPromptModule({ output: process.stderr, signal })

/** readline resets the mode of a terminal even when it is gone: this error is ignored. */
let tolerant = false
function tolerateLostTerminal(stdin: typeof process.stdin): void {
  if (tolerant) return
  tolerant = true
  const { setRawMode } = stdin
  stdin.setRawMode = mode => {
    try {
      return setRawMode.call(stdin, mode)
    } catch (error) {
      if (codeOf(error) !== 'EIO') throw error
      return stdin
    }
  }
}

/** One wrapper round every prompt: Ctrl-C in a question is an interruption like any other, and so is a lost terminal. */
async function ask<T>(
  question: { message: string; flag: string },
  show: (prompts: ReturnType<typeof promptsOf>, message: string) => Promise<{ answer: T }>,
): Promise<T> {
  needTerminal(question)
  const { default: inquirer } = await import('inquirer')
  const { stdin } = process
  tolerateLostTerminal(stdin)
  const abort = new AbortController()
  const end = () => abort.abort()
  for (const event of ['end', 'close', 'error']) stdin.on(event, end)
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, end)
  try {
    return (await show(promptsOf(inquirer, abort.signal), asOneLine(redact(question.message)))).answer
  } catch (error) {
    if (abort.signal.aborted || (error instanceof Error && error.name === 'ExitPromptError'))
      throw new ExpectedError('interrupted', 'run the same command again', { exitCode: EXIT.interrupted })
    throw error
  } finally {
    for (const event of ['end', 'close', 'error']) stdin.off(event, end)
    for (const signal of ['SIGTERM', 'SIGHUP']) process.off(signal, end)
  }
}

/** Asks for a line of text. */
export function askText(question: Question): Promise<string> {
  return ask(question, (prompts, message) =>
    prompts([
      {
        type: 'input',
        name: 'answer',
        message,
        default: question.default,
        validate: (text: string) => question.check?.(text.trim()) ?? true,
        filter: (text: string) => text.trim(),
      },
    ]),
  )
}

/** Asks for a secret; nothing of it is shown. */
export function askSecret(question: Question): Promise<string> {
  return ask(question, (prompts, message) =>
    prompts([
      {
        type: 'password',
        name: 'answer',
        message,
        validate: (text: string) => question.check?.(text) ?? true,
      },
    ]),
  )
}

/** Asks yes or no; Enter alone means no. */
export function askConfirm(question: Question): Promise<boolean> {
  return ask(question, (prompts, message) =>
    prompts([{ type: 'confirm', name: 'answer', message, default: false }]),
  )
}

/** Asks for one of several choices. */
export function askSelect(question: Question & { choices: readonly string[] }): Promise<string> {
  return ask(question, (prompts, message) =>
    prompts([
      {
        type: 'select',
        name: 'answer',
        message,
        choices: question.choices.map(value => ({ value, name: asOneLine(value) })),
      },
    ]),
  )
}

/** Asks for any number of several choices; at least one. */
export function askSeveral(
  question: Question & { choices: readonly { value: string; name: string; disabled?: string }[] },
): Promise<readonly string[]> {
  return ask(question, (prompts, message) =>
    prompts([
      {
        type: 'checkbox',
        name: 'answer',
        message,
        required: true,
        choices: question.choices.map(choice => ({ ...choice, name: asOneLine(choice.name) })),
      },
    ]),
  )
}

/** One after the other: there is one terminal to ask on. */
export async function inTurn<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (const item of items) results.push(await work(item))
  return results
}
