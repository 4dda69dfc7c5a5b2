/** Editing the values of an override in the administrator's editor. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EXIT, ExpectedError, UsageError } from '../../lib/script/errors.ts'
import { showLocal } from '../../lib/script/programs.ts'
import { interactive } from '../../lib/script/prompt.ts'

/**
 * Opens a text in $VISUAL or $EDITOR (vi without either) and returns what was saved. The file is for its owner alone,
 * and is removed. Throws a UsageError without a terminal, an ExpectedError when the editor fails or nothing was edited.
 */
export async function edited(text: string): Promise<string> {
  if (!interactive()) throw new UsageError('--edit needs a terminal', 'give the values with --set or --file')
  const folder = mkdtempSync(join(tmpdir(), 'oas-override-'))
  try {
    const file = join(folder, 'values.yaml')
    writeFileSync(file, text, { mode: 0o600 })
    const words = (process.env.VISUAL || process.env.EDITOR || 'vi').split(/\s+/).filter(Boolean)
    const [program = 'vi', ...args] = words
    const ended = await showLocal([program, ...args, file], { timeout: 0, on: 'terminal' })
    if (!ended) throw new UsageError(`the editor ${program} is not installed`, 'set EDITOR to one that is')
    if (!ended.ok) throw new ExpectedError(`${program} failed`, 'nothing was changed; run it again')
    const saved = readFileSync(file, 'utf8')
    if (saved === text)
      throw new ExpectedError('the text was not edited; nothing was changed', 'run it again', {
        exitCode: EXIT.refused,
      })
    return saved
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
