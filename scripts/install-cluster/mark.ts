import { EXIT, ExpectedError } from '../../lib/script/errors.ts'
import { type Mark, readIdentity, writeMark } from '../../lib/server/server-identity.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'

/**
 * Marks a server as that of a cluster. Returns 'unchanged' when it was marked so already. Throws an ExpectedError
 * (exit code 4) when it belongs to another cluster, or when its purge is not complete.
 */
export async function markServer(
  ssh: Ssh,
  { cluster, domain }: { cluster: string; domain: string },
): Promise<'unchanged' | undefined> {
  const { marked, machineId } = await readIdentity(ssh)
  const refuse = (what: string, fix: string) => {
    throw new ExpectedError(`${ssh.name} ${what}`, fix, { exitCode: EXIT.refused })
  }
  if (marked && (marked.cluster !== cluster || marked.domain !== domain))
    refuse(
      `is the server of the cluster ${marked.cluster} (${marked.domain}) already`,
      'check the address in inventory.yml; to reuse a server, purge it first',
    )
  checkPurged(ssh.name, marked)
  if (machineId === '') refuse('has no machine-id', 'give it one: systemd-machine-id-setup')
  if (marked?.machineId === machineId) return 'unchanged'
  await writeMark(ssh, { cluster, domain, machineId, markedAt: new Date().toISOString() })
  return undefined
}

/** Throws (exit code 4) when the server with this mark has an unfinished purge. */
export function checkPurged(server: string, marked: Mark | undefined): void {
  if (!marked?.purging) return
  throw new ExpectedError(
    `the purge of ${server} is unfinished (started ${marked.purging.since})`,
    `complete it first: npx tsx scripts/purge.ts --cluster ${marked.cluster}`,
    { exitCode: EXIT.refused },
  )
}
