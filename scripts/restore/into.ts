/** A restore beside the running application: `--into NAMESPACE`. */
import { isDeepStrictEqual } from 'node:util'
import { type AppParts, countingOf } from '../../lib/backup/back-up.ts'
import type { Held } from '../../lib/backup/held.ts'
import { isUnfinished } from '../../lib/backup/objects.ts'
import { claimIn, heldLines, readVolumeRestores, wrongWithRestore } from '../../lib/backup/restoring.ts'
import { makeScratch, removeScratch, restoreToScratch, scratchRestore } from '../../lib/backup/scratch.ts'
import { veleroRef } from '../../lib/backup/velero.ts'
import { releaseSelectors } from '../../lib/flux/release-labels.ts'
import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { lockCluster } from '../../lib/platform/lock.ts'
import { durationText } from '../../lib/script/duration.ts'
import { EXIT, ExpectedError, UsageError } from '../../lib/script/errors.ts'
import type { Run } from '../../lib/script/run.ts'
import { loadData } from './check.ts'
import { checkSpace } from './plan.ts'

/** Which backup of what is restored, and where. */
interface Beside {
  backup: string
  parts: AppParts
  held: readonly Held[]
  into: string
}

/**
 * Creates the namespace, or takes that of a killed run; one in which a restore has failed is created again, since
 * Velero leaves alone what exists. Returns the name of its Restore. Throws (exit code 4) when it has other data.
 */
async function namespaceFor(
  kubectl: Kubectl,
  { backup, parts, held, into }: Beside,
  signal: AbortSignal,
): Promise<string> {
  const name = await makeScratch(kubectl, into, 'restore')
  const earlier = await kubectl.get(veleroRef('Restore', name))
  if (!earlier) return name
  const { backupName, orLabelSelectors } = earlier.spec
  if (backupName !== backup || !isDeepStrictEqual(orLabelSelectors, releaseSelectors(parts.releases)))
    throw new ExpectedError(`the namespace ${into} has other data, of ${backupName}`, 'give another name', {
      exitCode: EXIT.refused,
    })
  if (isUnfinished(earlier)) return name
  if (wrongWithRestore(earlier, await readVolumeRestores(kubectl), held).length === 0) return name
  await removeScratch(kubectl, into, 'restore', signal)
  return makeScratch(kubectl, into, 'restore')
}

/** Plans, asks, creates the namespace and restores into it. The running application is not touched. */
export async function restoreInto(
  run: Pick<Run, 'agree' | 'abort' | 'cluster' | 'log' | 'next' | 'onEnd' | 'signal' | 'step'> & {
    result: unknown
  },
  kubectl: Kubectl,
  options: Beside & { deadline: number },
): Promise<void> {
  const { backup, parts, held, into, deadline } = options
  if (!/^[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?$/.test(into))
    throw new UsageError(
      `${JSON.stringify(into)} is not a name of a namespace`,
      'take letters, digits and dashes',
    )
  await checkSpace(kubectl, held, await scratchRestore(kubectl, into))
  const plan = [
    `create the namespace ${into}, which reaches nothing outside and is not public`,
    ...heldLines(held, `restore into ${into}:`),
    `the running ${parts.app} stays as it is`,
  ]
  if (!(await run.agree(plan, `Restore ${parts.app} of ${backup} into ${into}?`))) return
  await lockCluster(kubectl, run)
  let restore = ''
  await run.step('Namespace', `kubectl create namespace ${into}`, async () => {
    restore = await namespaceFor(kubectl, options, run.signal)
    return undefined
  })
  await run.step('Restore', `velero restore create --from-backup ${backup}`, async () => {
    const wait = { deadline, log: run.log, signal: run.signal }
    const filling = { backup, madeBy: 'restore', into, parts, held }
    const { took } = await restoreToScratch(kubectl, restore, filling, wait)
    run.result = { into, held, seconds: Math.round(took / 1000) }
    return `${held.length} volumes in ${durationText(took)}`
  })
  await run.step('Load the dumps of its databases', undefined, async () => {
    const there = new Set(held.map(({ claim }) => claimIn(into, claim)))
    try {
      return await loadData(kubectl, await countingOf(run, kubectl), there, run)
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
