import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { Cluster } from '../../lib/script/cluster.ts'
import { ExpectedError, ExpectedErrors } from '../../lib/script/errors.ts'

const folders: string[] = []
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** A folder that is gone when the tests end. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'oas-unit-'))
  folders.push(folder)
  return folder
}

/** The ExpectedError that `work` throws or rejects with; anything else fails the test. */
export async function expectedFrom(work: () => unknown): Promise<ExpectedError> {
  try {
    await work()
  } catch (error) {
    if (error instanceof ExpectedError) return error
    const text = error instanceof Error ? error.stack : String(error)
    assert.unreachable(`not an ExpectedError: ${text}`)
  }
  return assert.unreachable('nothing was thrown') as never
}

/** The messages of an ExpectedError, one for each of its problems. */
export function messagesOf(error: ExpectedError): string[] {
  return (error instanceof ExpectedErrors ? error.problems : [error]).map(problem => problem.message)
}

/** A cluster with a folder of its own, with `text` as its `.flux.env`. */
export function cluster(text?: string): Cluster {
  const folder = join(temporaryFolder(), 'oas')
  if (text !== undefined) {
    mkdirSync(folder)
    writeFileSync(join(folder, '.flux.env'), text)
  }
  return {
    name: 'oas',
    folder,
    env: join(folder, '.flux.env'),
    kubeconfig: join(folder, 'k'),
    journal: folder,
  }
}
