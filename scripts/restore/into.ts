/** A restore beside the running application: `--into NAMESPACE`. */
import type { AppParts } from '../../lib/backup/back-up.ts'
import { type Held, heldLines } from '../../lib/backup/restoring.ts'
import { makeScratch, restoreToScratch } from '../../lib/backup/scratch.ts'
import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { lockCluster } from '../../lib/platform/lock.ts'
import { durationText } from '../../lib/script/duration.ts'
import { UsageError } from '../../lib/script/errors.ts'
import type { Run } from '../../lib/script/run.ts'

/** Plans, asks, creates the namespace and restores into it. The running application is not touched. */
export async function restoreInto(
  run: Pick<Run, 'agree' | 'abort' | 'log' | 'next' | 'onEnd' | 'signal' | 'step'> & { result: unknown },
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
  run.next([
    `kubectl -n ${into} get pods,persistentvolumeclaims`,
    `kubectl delete namespace ${into}   # when you have what you need`,
  ])
}
