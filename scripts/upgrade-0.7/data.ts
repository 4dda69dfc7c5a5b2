import { checkProof } from '../../lib/backup/guard.ts'
import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { ExpectedError, throwAll } from '../../lib/script/errors.ts'
import type { Log } from '../../lib/script/log.ts'

/**
 * Throws unless a proved backup of a day at most has the data of all volumes, where Velero is installed; a cluster
 * without it is warned of. The upgrade keeps volumes, but new versions of databases change what is in them.
 */
export async function checkData(
  kubectl: Kubectl,
  { flags, log }: { flags: { 'skip-proof': boolean }; log: Pick<Log, 'warn'> },
): Promise<void> {
  if (flags['skip-proof']) return
  const { problems, velero } = await checkProof(kubectl)
  if (!velero)
    log.warn(
      'Velero is not installed: the data of the applications is in no backup, and new versions change it',
    )
  throwAll(
    problems.map(
      ({ message, fix, exitCode }) =>
        new ExpectedError(message, `${fix}; or, when the volumes are saved otherwise, --skip-proof`, {
          exitCode,
        }),
    ),
  )
}
