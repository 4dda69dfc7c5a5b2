import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { reconcile } from '../flux/flux.ts'
import type { Kubectl } from '../kubectl/kubectl.ts'
import { EXIT, ExpectedError } from '../script/errors.ts'
import { ROOT } from '../script/files.ts'
import type { Action } from './finding.ts'

/** Does what a remedy says. Throws an ExpectedError when the cluster refuses it, or a script of ours fails. */
export async function act(kubectl: Kubectl, action: Action, cluster: string): Promise<void> {
  switch (action.do) {
    case 'reconcile':
      if (action.source) await reconcile(kubectl, action.source)
      return reconcile(kubectl, action.ref, { reset: action.reset, force: action.force })
    case 'resume':
      await kubectl.patch(action.ref, { spec: { suspend: false } })
      return
    case 'delete':
      await kubectl.delete(action.ref, { uid: action.uid })
      return
    case 'patch':
      await kubectl.patch(action.ref, action.patch, { subresource: action.subresource })
      return
    case 'script':
      return runScript(action.script, action.args, cluster)
  }
}

/** Runs one of our scripts as a process of its own: it says what it does, on stderr like every progress. */
function runScript(name: string, args: readonly string[], cluster: string): Promise<void> {
  const script = join(ROOT, 'scripts', `${name}.ts`)
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', script, ...args, '--cluster', cluster, '--yes'],
      { stdio: ['ignore', process.stderr, process.stderr] },
    )
    child.on('error', reject)
    child.on('close', code => {
      if (code === EXIT.ok) return resolve()
      reject(
        new ExpectedError(
          `scripts/${name}.ts ended with exit code ${code}`,
          'it has said why above: correct that, then run the same command again',
        ),
      )
    })
  })
}
