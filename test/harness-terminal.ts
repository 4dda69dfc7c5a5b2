/** What tests share that run scripts as a person does: on a terminal, answering questions. */
import { spawn } from 'node:child_process'
import * as assert from 'uvu/assert'
import { ROOT } from '../lib/script/files.ts'
import { commandLine } from '../lib/script/quote.ts'
import { sleep } from '../lib/script/wait.ts'

/** A question that a script is expected to ask, and what is typed; '' is Enter alone. */
export type Answered = readonly [question: RegExp, answer: string]

/** Where a script is run. */
export interface TerminalOptions {
  /** The checkout whose script it is; this one unless told. */
  folder?: string
  env?: Readonly<Record<string, string | undefined>>
  /** A command that runs another one, given as its last arguments, elsewhere: in a namespace. */
  within?: readonly string[]
  /** Milliseconds after which it is killed; 10 minutes unless told. */
  timeout?: number
}

/**
 * Runs `scripts/NAME.ts` of a checkout on a terminal. Every question is expected, in this order. Returns the exit code
 * and all that was on the screen. Throws unless the script has asked everything.
 */
export async function endOnTerminal(
  name: string,
  args: readonly string[],
  answers: readonly Answered[],
  options: TerminalOptions = {},
): Promise<{ code: number | null; screen: string }> {
  const command = commandLine([process.execPath, '--import', 'tsx', `scripts/${name}.ts`, ...args])
  const [program = '', ...before] = [...(options.within ?? []), 'script']
  const child = spawn(program, [...before, '-qefc', command, '/dev/null'], {
    cwd: options.folder ?? ROOT,
    env: { ...process.env, CI: undefined, NO_COLOR: '1', FORCE_COLOR: undefined, ...options.env },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const closed = new Promise<number | null>(resolve => child.once('close', resolve))
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeout ?? 600_000)
  let screen = ''
  let seen = 0
  let answered = 0
  child.stdout.setEncoding('utf8').on('data', async (text: string) => {
    screen += text
    const next = answers[answered]
    if (!next?.[0].test(screen.slice(seen))) return
    answered++
    seen = screen.length
    await sleep(300) // it draws its question first
    child.stdin.write(`${next[1]}\r`)
  })
  const code = await closed
  clearTimeout(timer)
  assert.is(answered, answers.length, screen)
  return { code, screen }
}

/** As `endOnTerminal`, of a script that ends with 0: what was on the screen. */
export async function onTerminal(...args: Parameters<typeof endOnTerminal>): Promise<string> {
  const { code, screen } = await endOnTerminal(...args)
  assert.is(code, 0, screen)
  return screen
}
