import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import {
  NOTES,
  scaleBack,
  scaleDown,
  scaledDown,
  untilUnused,
  type Workload,
} from '../../lib/kubectl/scale.ts'
import type { Run } from '../../lib/script/run.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'
import { isCopied, type Work } from './plan.ts'
import { copyVolume, countsInWords, placeCopy, workFolder } from './server.ts'
import { matchedClaims } from './volume-match.ts'
import { volumeName } from './volumes.ts'

/** A volume to fill, and what uses it now. */
export interface Filling {
  kubectl: Kubectl
  ssh: Ssh
  pending: readonly Work[]
  workloads: readonly Workload[]
}

/**
 * Copies all of it while the applications run, stops them, puts the copies in place, and starts again whatever is
 * noted as stopped: also by a run that broke off.
 */
export async function fill(
  run: Pick<Run, 'step' | 'signal'> & { flags: { checksums: boolean } },
  { kubectl, ssh, pending, workloads }: Filling,
): Promise<void> {
  for (const each of pending.filter(one => !isCopied(one)))
    await run.step(
      `Copy for ${volumeName(each.match.new)}`,
      `cp -a ${each.job.source}/. ${workFolder(each.job.target)}/new/`,
      async () => {
        const counts = await copyVolume(ssh, each.job, { checksums: run.flags.checksums })
        return counts ? countsInWords(counts) : 'unchanged'
      },
    )
  if (workloads.length > 0)
    await run.step('Stop what uses the volumes', 'kubectl scale … --replicas=0', async () => {
      for (const workload of workloads) await scaleDown(kubectl, workload.ref, NOTES.migration)
      await untilUnused(kubectl, matchedClaims(pending.map(({ match }) => match)), run.signal)
      return workloads.map(({ name }) => name).join(', ')
    })
  for (const { job, match } of pending)
    await run.step(
      `Put in place ${volumeName(match.new)}`,
      `mv ${workFolder(job.target)}/new ${job.target}`,
      async () => {
        const aside = await placeCopy(ssh, job)
        return aside.length > 0 ? `the previous contents are in ${aside.join(', ')}` : undefined
      },
    )
  const noted = await scaledDown(kubectl)
  if (noted.length > 0)
    await run.step('Start again', 'kubectl scale … --replicas=…', async () => {
      for (const workload of noted) await scaleBack(kubectl, workload.ref, NOTES.migration)
      return noted.map(({ name }) => name).join(', ')
    })
}
