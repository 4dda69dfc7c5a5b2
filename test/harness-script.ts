/** What tests share that run scripts as a user runs them: as processes. */
import { spawn } from 'node:child_process'
import { ROOT } from '../lib/script/files.ts'
import { scriptArgs } from './compiled.ts'

/** How a script ended, and all that it said. */
export interface Outcome {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
  seconds: number
}

/** How a script is run. */
export interface ScriptOptions {
  env?: Record<string, string | undefined>
  /** What it is given on stdin; nothing unless told. */
  input?: string
  /** Looks at everything said so far after each piece; returns the signal to send, once. */
  kill?: (stderr: string) => NodeJS.Signals | undefined
  /** Milliseconds after which it is killed and the test fails; 5 minutes unless told. */
  timeout?: number
  /** It is asked to show a secret: what it says is left out of the search for leaked ones. */
  reveals?: boolean
  /** A command that runs another one, given as its last arguments, elsewhere: in a namespace. */
  within?: readonly string[]
}

/** Everything that any script has said in this process, for the search for leaked secrets. */
export const said: string[] = []

/** Runs `scripts/NAME.ts` as a process of its own, without a terminal; compiled before, if test/run.ts has done that. */
export function runScript(
  name: string,
  args: readonly string[],
  options: ScriptOptions = {},
): Promise<Outcome> {
  const started = performance.now()
  const [program = '', ...before] = [...(options.within ?? []), process.execPath]
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...before, ...scriptArgs(name), ...args], {
      cwd: ROOT,
      env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined, ...options.env },
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    })
    let stdout = ''
    let stderr = ''
    let killed = false
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`${name} ${args.join(' ')} took too long; it said:\n${stderr}`))
    }, options.timeout ?? 300_000)
    child.stdout!.setEncoding('utf8').on('data', text => {
      stdout += text
    })
    child.stderr!.setEncoding('utf8').on('data', text => {
      stderr += text
      const signal = killed ? undefined : options.kill?.(stderr)
      if (!signal) return
      killed = true
      child.kill(signal)
    })
    child.stdin?.on('error', () => {}) // it ended before it had read everything
    child.stdin?.end(options.input)
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      if (!options.reveals) said.push(stdout, stderr)
      resolve({ code, signal, stdout, stderr, seconds: (performance.now() - started) / 1000 })
    })
  })
}
