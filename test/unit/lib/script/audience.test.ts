/**
 * Runs whose readers go away: a pipe that is closed, and a window that is. Real pipes and a real terminal (that of
 * util-linux' script), and a script of the test's own on the frame of all scripts.
 */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT } from '../../../../lib/script/files.ts'
import { temporaryFolder } from '../../helpers.ts'

/** A script of ten steps, and a question at its end; it writes into a file what becomes of it. */
const SCRIPT = `
import { appendFileSync } from 'node:fs'
import { askConfirm } from '${ROOT}/lib/script/prompt.ts'
import { script } from '${ROOT}/lib/script/script.ts'
import { sleep } from '${ROOT}/lib/script/wait.ts'
const tell = text => appendFileSync(process.env.TOLD, text + '\\n')
await script({
  name: 'steps', summary: '', flags: {}, examples: [], cluster: 'none',
  changes: process.env.CHANGES === 'yes',
  async run(run) {
    run.onEnd(async () => tell('released'))
    for (let i = 1; i <= 10; i++) {
      await run.step('step ' + i, 'kubectl', async () => { await sleep(50, run.signal); run.log.progress('waits') })
      run.log.print('result ' + i)
    }
    if (process.env.ASK) await askConfirm({ message: 'go on?', flag: '--yes' })
    tell('done')
  },
})
`

/** Runs `command` in a shell, in which $RUN is the script above; what the script told, and its exit code. */
function start(env: Record<string, string>) {
  const folder = temporaryFolder()
  const file = join(folder, 'steps.mts')
  writeFileSync(file, SCRIPT)
  const told = join(folder, 'told')
  return {
    told: () => (existsSync(told) ? readFileSync(told, 'utf8').split('\n').filter(Boolean) : []),
    shell: (command: string, options: { terminal?: boolean } = {}) =>
      spawn(
        options.terminal ? 'script' : 'bash',
        options.terminal ? ['-qfc', command, '/dev/null'] : ['-c', command],
        {
          cwd: ROOT,
          stdio: ['ignore', 'pipe', 'ignore'],
          env: {
            ...process.env,
            CI: '',
            SHELL: 'bash', // for `script`: another shell gives a command in the background no terminal to read from
            ...env,
            TOLD: told,
            RUN: `'${process.execPath}' --import tsx '${file}'`,
          },
        },
      ),
  }
}

/** The lines that a script has told once it has told `last`. */
async function until(told: () => string[], last: RegExp): Promise<string[]> {
  for (let i = 0; i < 200 && !last.test(told().at(-1) ?? ''); i++) await sleep(50)
  return told()
}

for (const [what, redirect] of [
  ['stdout', ''],
  ['stderr', '2>&1 >/dev/null'],
  ['both streams', '2>&1'],
] as const)
  test(`a changing run goes on when the reader of ${what} is gone`, async () => {
    const { told, shell } = start({ CHANGES: 'yes' })
    shell(`{ eval "$RUN" ${redirect}; echo "exit $?" >> "$TOLD"; } | head -1`)
    assert.equal(await until(told, /^exit/), ['done', 'released', 'exit 0'])
  })

test('a run that only shows something ends with its reader, and does not claim that all is healthy', async () => {
  const { told, shell } = start({ CHANGES: 'no' })
  shell('{ eval "$RUN" 2>/dev/null; echo "exit $?" >> "$TOLD"; } | head -1')
  assert.equal(await until(told, /^exit/), ['exit 130'])
})

/** A shell that outlives its terminal, so that it can tell how the script ended; it passes SIGHUP on as bash does. */
const SHELL = `eval "exec $RUN" <&0 & trap 'kill -HUP $!' HUP; wait $!; wait $!; echo "exit $?" >> "$TOLD"`
const DEAF = `trap '' HUP; eval "$RUN"; echo "exit $?" >> "$TOLD"`

for (const [what, command, env, at, end] of [
  ['in the middle of a step', SHELL, {}, '3. step 3', ['released', 'exit 130']],
  ['at a question', SHELL, { ASK: 'yes' }, 'go on?', ['released', 'exit 130']],
  ['and that no signal tells of it', DEAF, {}, '3. step 3', ['done', 'released', 'exit 0']],
] as const)
  test(`a run whose window is closed ${what} ends in an orderly way`, async () => {
    const { told, shell } = start({ CHANGES: 'yes', ...env })
    const terminal = shell(command, { terminal: true })
    let shown = ''
    for await (const piece of terminal.stdout!) {
      shown += piece
      if (shown.includes(at)) break
    }
    terminal.kill('SIGKILL')
    assert.equal(await until(told, /^exit/), end)
  })

test.run()
