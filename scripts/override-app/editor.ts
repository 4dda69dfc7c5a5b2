/** Editing the values of an override in the administrator's editor. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EXIT, ExpectedError, UsageError } from '../../lib/script/errors.ts'
import { showLocal } from '../../lib/script/programs.ts'
import { interactive } from '../../lib/script/prompt.ts'

/**
 * Opens a text in $VISUAL or $EDITOR (vi without either) and returns what `read` makes of what was saved. The file is
 * for its owner alone, and is removed, unless `read` refuses the text: then it is kept, so that no work is lost. Throws a
 * UsageError without a terminal, an ExpectedError when the editor fails or nothing was edited, and what `read` throws.
 */
export async function edited<T>(text: string, read: (saved: string) => Promise<T>): Promise<T> {
  if (!interactive()) throw new UsageError('--edit needs a terminal', 'give the values with --set or --file')
  const folder = mkdtempSync(join(tmpdir(), 'oas-override-'))
  const file = join(folder, 'values.yaml')
  let keeps = false
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
    return await read(saved).catch(error => {
      if (!(error instanceof UsageError)) throw error
      keeps = true
      throw new UsageError(
        error.message,
        `${error.fix}: the text is kept in ${file}; then --reset --file ${file}`,
      )
    })
  } finally {
    if (!keeps) rmSync(folder, { recursive: true, force: true })
  }
}
