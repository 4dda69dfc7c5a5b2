import { join } from 'node:path'
import { reconcile } from '../flux/flux.ts'
import type { Kubectl } from '../kubectl/kubectl.ts'
import { ExpectedError } from '../script/errors.ts'
import { ROOT } from '../script/files.ts'
import { showLocal } from '../script/programs.ts'
import { type Action, isDeletedAlone } from './finding.ts'

/** Carries out a remedy. Throws an ExpectedError when the cluster refuses it, or a script of ours fails. */
export async function act(kubectl: Kubectl, action: Action, cluster: string): Promise<void> {
  switch (action.do) {
    case 'reconcile':
      if (action.source) await reconcile(kubectl, action.source)
      return reconcile(kubectl, action.ref, { reset: action.reset, force: action.force })
    case 'resume':
      await kubectl.patch(action.ref, { spec: { suspend: false } })
      return
    case 'delete':
      await kubectl.delete(
        action.ref,
        { uid: action.uid },
        isDeletedAlone(action.ref) ? 'Orphan' : 'Background',
      )
      return
    case 'patch':
      await kubectl.patch(action.ref, action.patch, { subresource: action.subresource })
      return
    case 'script':
      return runScript(action.script, action.args, cluster)
  }
}

/** Milliseconds that a script may take: longer than all of its own deadlines together. */
const LONGEST = 3 * 60 * 60_000

/** Runs one of our scripts as a process of its own, with its output on stderr like all progress. */
async function runScript(name: string, args: readonly string[], cluster: string): Promise<void> {
  const script = join(ROOT, 'scripts', `${name}.ts`)
  const ended = await showLocal(
    [process.execPath, '--import', 'tsx', script, ...args, '--cluster', cluster, '--yes'],
    { on: 'stderr', timeout: LONGEST },
  )
  if (!ended?.ok)
    throw new ExpectedError(
      `scripts/${name}.ts ended with ${ended?.signal ?? `exit code ${ended?.exitCode}`}`,
      'see its message above: correct the cause, then run the same command again',
    )
}
