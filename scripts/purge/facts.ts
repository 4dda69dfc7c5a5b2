import { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { EXIT, ExpectedError, messageOf, UsageError } from '../../lib/script/errors.ts'
import type { ServerRun } from '../../lib/server/server.ts'
import {
  identityProblem,
  type KnownIdentity,
  type Mark,
  type ServerIdentity,
} from '../../lib/server/server-identity.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'
import { newestArchive, type SavedArchive } from './backups.ts'
import { type ClusterSurvey, otherPlaces, surveyCluster, type Volume, volumesOf } from './cluster.ts'
import { treesToRemove } from './paths.ts'
import { measurePlaces, type ServerSurvey, surveyServer } from './survey.ts'

/** Everything that is known before a purge. */
export interface PurgeFacts {
  server: ServerSurvey
  /** Undefined when the API server was not asked, or did not answer. */
  cluster: ClusterSurvey | undefined
  volumes: Volume[]
  archive: SavedArchive | undefined
  /** Milliseconds since the epoch, here. */
  now: number
}

/** Looks at the server, and asks its API server as far as it answers. Changes nothing. */
export async function gatherPurgeFacts(
  run: ServerRun,
  ssh: Ssh,
  identities: { identity: ServerIdentity; known: KnownIdentity },
  options: { docker: boolean; maxAge: number },
): Promise<PurgeFacts> {
  const [server, cluster] = await Promise.all([surveyServer(ssh), askCluster(run, identities, options)])
  // Volumes may be anywhere: what lies below a folder that is removed goes with it.
  const others = otherPlaces(server, cluster?.volumes ?? [], treesToRemove(options))
  const measured = await measurePlaces(ssh, others)
  const archive = newestArchive(run.cluster)
  return { server, cluster, volumes: volumesOf(server, cluster, measured), archive, now: Date.now() }
}

/** Asks the API server of the kubeconfig, when the k3s on this server is proven to be the one behind it. */
async function askCluster(
  run: ServerRun,
  { identity, known }: { identity: ServerIdentity; known: KnownIdentity },
  { maxAge }: { maxAge: number },
): Promise<ClusterSurvey | undefined> {
  if (!identity.serverCa || identity.serverCa !== known.serverCa) return undefined
  try {
    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    run.onEnd(async () => kubectl.client.close())
    return await surveyCluster(kubectl, maxAge)
  } catch (error) {
    run.signal.throwIfAborted()
    run.log.warn(`the cluster was not asked: ${messageOf(error)}`)
    return undefined
  }
}

/** The mark of a server; a new one where it was installed without. Throws (exit code 4) for any other server. */
export function markFor(identity: ServerIdentity, known: KnownIdentity): Mark {
  const problem = identityProblem(identity, known)
  if (problem)
    throw new ExpectedError(
      `${identity.hostname} is not known to be the server of ${known.cluster}: ${problem}; nothing was changed`,
      'check ansible_host in inventory.yml and --cluster: only a server that is proven to be this one is purged',
      { exitCode: EXIT.refused },
    )
  if (identity.marked) return identity.marked
  if (!known.domain)
    throw new UsageError(`the configuration of ${known.cluster} has no domain`, 'set domain in its .flux.env')
  const { machineId } = identity
  return { cluster: known.cluster, domain: known.domain, machineId, markedAt: new Date().toISOString() }
}

/** The facts for --json. Pure. */
export function factsDocument(identity: ServerIdentity, { server, cluster, ...rest }: PurgeFacts) {
  return {
    identity,
    server: { ...server, units: Object.fromEntries(server.units) },
    cluster: cluster && {
      nodes: cluster.nodes,
      releases: cluster.releases,
      pods: cluster.pods,
      backup: cluster.backup && { ...cluster.backup, claims: cluster.backup.claims.size },
    },
    ...rest,
  }
}
