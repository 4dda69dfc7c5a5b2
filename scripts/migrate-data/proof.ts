import { checkProof } from '../../lib/backup/guard.ts'
import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { ExpectedError } from '../../lib/script/errors.ts'

/**
 * What stands against filling these claims (`namespace/name`): where Velero is installed, a proved backup of a day at
 * most has to have their present data. Nothing on a cluster without Velero.
 */
export async function unprovedTargets(
  kubectl: Kubectl,
  claims: ReadonlySet<string>,
): Promise<ExpectedError[]> {
  const only = ({ metadata }: { metadata: { namespace?: string; name: string } }) =>
    claims.has(`${metadata.namespace}/${metadata.name}`)
  const { problems } = await checkProof(kubectl, only)
  return problems.map(
    ({ message, fix, exitCode }) =>
      new ExpectedError(message, `${fix}; or, if nobody needs the present data, --skip-proof`, { exitCode }),
  )
}
