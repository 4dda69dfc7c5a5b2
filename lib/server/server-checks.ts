import type { PreflightFinding } from '../preflight/findings.ts'
import type { Cluster } from '../script/cluster.ts'
import type { Ssh } from '../ssh/ssh.ts'
import { conflicts, type Owner } from './server-conflicts.ts'
import { gatherServerFacts, type ServerFacts } from './server-facts.ts'
import { identityProblem, knownIdentity, readIdentity } from './server-identity.ts'
import { machineProblems } from './server-rules.ts'

/** Gathers the facts about the server of a cluster and judges them. Changes nothing on it. */
export async function checkServer(ssh: Ssh, cluster: Cluster): Promise<PreflightFinding[]> {
  return (await lookAtServer(ssh, cluster)).findings
}

/** The same with the facts, for whoever shows them. */
export async function lookAtServer(ssh: Ssh, cluster: Cluster) {
  const facts = await gatherServerFacts(ssh)
  const identity = await readIdentity(ssh)
  const problem = identityProblem(identity, await knownIdentity(cluster))
  const isTaken = identity.marked !== undefined || facts.k3s !== undefined
  const owner: Owner = !isTaken ? 'nobody' : problem === undefined ? 'ours' : { problem }
  return { facts, identity, findings: serverChecks(facts, owner) }
}

/** All that is wrong with a server for a platform of one node. Pure. */
export function serverChecks(facts: ServerFacts, owner: Owner = 'nobody'): PreflightFinding[] {
  // Marked as ours it may be already, by an installation that did not come far.
  const inUse = owner === 'ours' && facts.k3s !== undefined
  return [...machineProblems(facts, inUse), ...conflicts(facts, owner, inUse)]
}
