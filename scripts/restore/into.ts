/** A restore beside the running application: `--into NAMESPACE`. */
import { type AppParts, countingOf } from '../../lib/backup/back-up.ts'
import { claimIn, type Held, heldLines } from '../../lib/backup/restoring.ts'
import { makeScratch, restoreToScratch } from '../../lib/backup/scratch.ts'
import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { lockCluster } from '../../lib/platform/lock.ts'
import { durationText } from '../../lib/script/duration.ts'
import { ExpectedError, UsageError } from '../../lib/script/errors.ts'
import type { Run } from '../../lib/script/run.ts'
import { loadRestored } from './check.ts'

/** Plans, asks, creates the namespace and restores into it. The running application is not touched. */
export async function restoreInto(
  run: Pick<Run, 'agree' | 'abort' | 'cluster' | 'log' | 'next' | 'onEnd' | 'signal' | 'step'> & {
    result: unknown
  },
  kubectl: Kubectl,
  options: { backup: string; parts: AppParts; held: readonly Held[]; into: string; deadline: number },
): Promise<void> {
  const { backup, parts, held, into, deadline } = options
  if (!/^[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?$/.test(into))
    throw new UsageError(
      `${JSON.stringify(into)} is not a name of a namespace`,
      'take letters, digits and dashes',
    )
  const plan = [
    `create the namespace ${into}, which reaches nothing outside and is not public`,
    ...heldLines(held, `restore into ${into}:`),
    `the running ${parts.app} stays as it is`,
  ]
  if (!(await run.agree(plan, `Restore ${parts.app} of ${backup} into ${into}?`))) return
  await lockCluster(kubectl, run)
  await run.step('Namespace', `kubectl create namespace ${into}`, async () => {
    await makeScratch(kubectl, into, 'restore')
    return undefined
  })
  await run.step('Restore', `velero restore create --from-backup ${backup}`, async () => {
    const wait = { deadline, log: run.log, signal: run.signal }
    const { took } = await restoreToScratch(kubectl, { backup, madeBy: 'restore', into, parts, held }, wait)
    run.result = { into, held, seconds: Math.round(took / 1000) }
    return `${held.length} volumes in ${durationText(took)}`
  })
  await run.step('Load the dumps of its databases', undefined, async () => {
    const there = held.map(each => ({ ...each, claim: claimIn(into, each.claim) }))
    try {
      const counting = await countingOf(run, kubectl)
      return await loadRestored(
        kubectl,
        counting,
        { held: there, known: [] },
        { log: run.log, signal: run.signal },
      )
    } catch (error) {
      run.signal.throwIfAborted()
      if (!(error instanceof ExpectedError)) throw error
      // Whoever looks for a file does not need the database.
      run.log.warn(`${error.message}; its files are there as they were copied`)
      return 'not loaded'
    }
  })
  run.next([
    `kubectl -n ${into} get pods,persistentvolumeclaims`,
    `kubectl delete namespace ${into}   # when you have what you need`,
  ])
}
