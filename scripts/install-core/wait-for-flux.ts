import { gather, gatherWatched } from '../../lib/diagnosis/gather.ts'
import { type Kubectl, type KubeObject, refOf } from '../../lib/kubectl/kubectl.ts'
import { obstaclesTo } from '../../lib/rollout/flux.ts'
import { obstacleError, Patience, progressText } from '../../lib/rollout/obstacles.ts'
import { PATIENCE } from '../../lib/rollout/rollout.ts'
import type { Log } from '../../lib/script/log.ts'
import { until } from '../../lib/script/wait.ts'

/** Milliseconds that Flux may take to start: its images are pulled in that time. */
const DEADLINE = 300_000

const isAwaited = ({ kind }: KubeObject) => kind === 'CustomResourceDefinition' || kind === 'Deployment'

/** Which CRDs and Deployments of Flux's manifest are not up yet: their names. */
export async function unreadyOfFlux(kubectl: Kubectl, objects: readonly KubeObject[]): Promise<string[]> {
  const awaited = objects.filter(isAwaited)
  const states = await Promise.all(awaited.map(object => kubectl.get(refOf(object))))
  return awaited.filter((_, i) => !isUp(states[i])).map(({ metadata }) => metadata.name)
}

/**
 * Waits until the CRDs of Flux are established and its Deployments run as they were applied last. Shows which are up,
 * and what keeps the others; ends early with the cause once that has lasted longer than it may.
 */
export async function waitForFlux(
  kubectl: Kubectl,
  objects: readonly KubeObject[],
  { log, signal }: { log: Log; signal: AbortSignal },
): Promise<void> {
  const count = objects.filter(isAwaited).length
  const patience = new Patience()
  await until(
    async () => {
      const missing = await unreadyOfFlux(kubectl, objects)
      if (missing.length === 0) return { done: undefined }
      const found = obstaclesTo(missing, await gatherWatched(kubectl, {}))
      const ready = `Flux ${count - missing.length}/${count}`
      log.progress(progressText(`${ready} · waiting for ${missing.join(', ')}`, found))
      const exhausted = patience.exhausted(found)
      if (exhausted) {
        const [known = exhausted] = obstaclesTo(missing, await gather(kubectl))
        throw obstacleError(known)
      }
      return { last: [missing.join(', '), ...found.map(({ subject, cause }) => `${subject}: ${cause}`)] }
    },
    {
      deadline: DEADLINE,
      signal,
      every: 700,
      patience: PATIENCE,
      describe: (last = []) => `not ready: ${last.join('; ')}`,
      fix: 'find the cause with `npx tsx scripts/diagnose.ts`, then run the same command again: it continues',
    },
  )
  kubectl.rediscover()
}

/**
 * Whether a CRD is established, or all pods of a Deployment are ready and of the version that was applied last: those
 * of the version before stay ready as long as a new one does not start. False for an object that does not exist. Pure.
 * Source: https://github.com/kubernetes/kubectl/blob/v0.36.4/pkg/polymorphichelpers/rollout_status.go
 */
export function isUp(object: KubeObject | undefined): boolean {
  if (object?.kind === 'Deployment') {
    const {
      observedGeneration = 0,
      replicas = 0,
      updatedReplicas = 0,
      readyReplicas = 0,
    } = object.status ?? {}
    const expected = object.spec?.replicas ?? 1
    return (
      observedGeneration >= (object.metadata.generation ?? 0) &&
      updatedReplicas >= expected &&
      replicas === updatedReplicas &&
      readyReplicas >= expected
    )
  }
  const conditions = (object?.status?.conditions ?? []) as { type: string; status: string }[]
  return conditions.some(condition => condition.type === 'Established' && condition.status === 'True')
}
