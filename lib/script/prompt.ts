import { EXIT, ExpectedError, UsageError } from './errors.ts'

/** A question to a person, with the flag that answers it where there is none. */
export interface Question {
  message: string
  /** What to give instead on the command line, e.g. `--domain`. */
  flag: string
  default?: string
  /** Returns what is wrong with an answer, or undefined. */
  check?: (answer: string) => string | undefined
}

/** Whether somebody is there to answer: both ends have to be a terminal, and CI is nobody. */
export function interactive(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true && !process.env.CI
}

/** Throws a UsageError that names the flag, unless somebody is there to be asked. */
function needTerminal(question: { message: string; flag: string }): void {
  if (interactive()) return
  throw new UsageError(
    `no answer to "${question.message}", and no terminal to ask on`,
    `give ${question.flag}`,
  )
}

/** One wrapper round every prompt: Ctrl-C in a question is an interruption like any other. */
async function ask<T>(
  question: { message: string; flag: string },
  show: (inquirer: typeof import('inquirer').default) => Promise<{ answer: T }>,
): Promise<T> {
  needTerminal(question)
  const { default: inquirer } = await import('inquirer')
  try {
    return (await show(inquirer)).answer
  } catch (error) {
    if (error instanceof Error && error.name === 'ExitPromptError')
      throw new ExpectedError('interrupted', 'run the same command again', { exitCode: EXIT.interrupted })
    throw error
  }
}

/** Questions go to stderr, so that stdout holds nothing but the result. */
const context = { output: process.stderr }

/** Asks for a line of text. */
export function askText(question: Question): Promise<string> {
  return ask(question, inquirer =>
    inquirer.createPromptModule(context)([
      {
        type: 'input',
        name: 'answer',
        message: question.message,
        default: question.default,
        validate: (text: string) => question.check?.(text.trim()) ?? true,
        filter: (text: string) => text.trim(),
      },
    ]),
  )
}

/** Asks for a secret; nothing of it is shown. */
export function askSecret(question: Question): Promise<string> {
  return ask(question, inquirer =>
    inquirer.createPromptModule(context)([
      {
        type: 'password',
        name: 'answer',
        message: question.message,
        validate: (text: string) => question.check?.(text) ?? true,
      },
    ]),
  )
}

/** Asks yes or no; Enter alone means no. */
export function askConfirm(question: Question): Promise<boolean> {
  return ask(question, inquirer =>
    inquirer.createPromptModule(context)([
      { type: 'confirm', name: 'answer', message: question.message, default: false },
    ]),
  )
}

/** Asks for one of several choices. */
export function askSelect(question: Question & { choices: readonly string[] }): Promise<string> {
  return ask(question, inquirer =>
    inquirer.createPromptModule(context)([
      { type: 'select', name: 'answer', message: question.message, choices: [...question.choices] },
    ]),
  )
}

/** Asks for any number of several choices; at least one. */
export function askSeveral(
  question: Question & { choices: readonly { value: string; name: string; disabled?: string }[] },
): Promise<readonly string[]> {
  return ask(question, inquirer =>
    inquirer.createPromptModule(context)([
      {
        type: 'checkbox',
        name: 'answer',
        message: question.message,
        required: true,
        choices: question.choices.map(choice => ({ ...choice })),
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
