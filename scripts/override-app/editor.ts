/** Editing the values of an override in the administrator's editor. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EXIT, ExpectedError, UsageError } from '../../lib/script/errors.ts'
import type { Log } from '../../lib/script/log.ts'
import { showLocal } from '../../lib/script/programs.ts'
import { interactive } from '../../lib/script/prompt.ts'
import type { Run } from '../../lib/script/run.ts'

/** A text that somebody edits. What was saved is kept, however the run ends, until it is in force. */
export class Draft {
  /** The file, when something was saved in it that is not in force. */
  #file: string | undefined

  constructor(run: Pick<Run, 'onEnd'> & { log: Pick<Log, 'info'> }) {
    run.onEnd(async () => {
      if (this.#file) run.log.info(`The edited text is kept: --reset --file ${this.#file}`)
    })
  }

  /**
   * Opens a text in $VISUAL or $EDITOR (vi without either) and returns what was saved. The file is for its owner alone.
   * Throws a UsageError without a terminal, an ExpectedError when the editor fails or nothing was edited.
   */
  async edit(text: string): Promise<string> {
    if (!interactive())
      throw new UsageError('--edit needs a terminal', 'give the values with --set or --file')
    const folder = mkdtempSync(join(tmpdir(), 'oas-override-'))
    const file = join(folder, 'values.yaml')
    try {
      writeFileSync(file, text, { mode: 0o600 })
      const words = (process.env.VISUAL || process.env.EDITOR || 'vi').split(/\s+/).filter(Boolean)
      const [program = 'vi', ...args] = words
      const ended = await showLocal([program, ...args, file], { timeout: 0, on: 'terminal' })
      if (!ended) throw new UsageError(`the editor ${program} is not installed`, 'set EDITOR to one that is')
      if (!ended.ok || !existsSync(file))
        throw new ExpectedError(`${program} failed`, 'nothing was changed; run it again')
      const saved = readFileSync(file, 'utf8')
      if (saved === text)
        throw new ExpectedError('the text was not edited; nothing was changed', 'run it again', {
          exitCode: EXIT.refused,
        })
      this.#file = file
      return saved
    } finally {
      if (!this.#file) rmSync(folder, { recursive: true, force: true })
    }
  }

  /** Removes the file: its values are in force. */
  inForce(): void {
    if (this.#file) rmSync(join(this.#file, '..'), { recursive: true, force: true })
    this.#file = undefined
  }
}
