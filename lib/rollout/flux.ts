import { diagnose } from '../diagnosis/diagnose.ts'
import { gather, gatherWatched } from '../diagnosis/gather.ts'
import { RULES } from '../diagnosis/rules/index.ts'
import type { Snapshot } from '../diagnosis/snapshot.ts'
import { type Kubectl, type KubeObject, refOf } from '../kubectl/kubectl.ts'
import type { Log } from '../script/log.ts'
import { until } from '../script/wait.ts'
import { type Obstacle, obstacleError, obstacleOf, Patience, progressText } from './obstacles.ts'
import { PATIENCE } from './rollout.ts'

/** Milliseconds that Flux may take to start: its images are pulled in that time. */
const DEADLINE = 300_000

/**
 * Waits until the CRDs of Flux are established and its Deployments are ready. Shows which are, and what keeps the
 * others; ends early with the cause once that has lasted longer than it may.
 */
export async function waitForFlux(
  kubectl: Kubectl,
  objects: readonly KubeObject[],
  { log, signal }: { log: Log; signal: AbortSignal },
): Promise<void> {
  const awaited = objects.filter(({ kind }) => kind === 'CustomResourceDefinition' || kind === 'Deployment')
  const patience = new Patience()
  await until(
    async () => {
      const states = await Promise.all(awaited.map(object => kubectl.get(refOf(object))))
      const missing = awaited.filter((_, i) => !isUp(states[i])).map(({ metadata }) => metadata.name)
      if (missing.length === 0) return { done: undefined }
      const found = obstaclesTo(missing, await gatherWatched(kubectl, {}))
      const ready = `Flux ${awaited.length - missing.length}/${awaited.length}`
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

/** What keeps Deployments of Flux from becoming ready, by the rules of the diagnosis. Pure. */
export function obstaclesTo(names: readonly string[], snapshot: Snapshot): Obstacle[] {
  return diagnose(snapshot, RULES)
    .causes.filter(
      cause =>
        cause.verdict === 'broken' &&
        [cause, ...cause.explains].some(
          ({ subject }) =>
            subject.kind === 'Deployment' &&
            subject.namespace === 'flux-system' &&
            names.includes(subject.name),
        ),
    )
    .map(obstacleOf)
}

function isUp(object: KubeObject | undefined): boolean {
  if (object?.kind === 'Deployment')
    return (object.status?.readyReplicas ?? 0) >= (object.spec?.replicas ?? 1)
  const conditions = (object?.status?.conditions ?? []) as { type: string; status: string }[]
  return conditions.some(condition => condition.type === 'Established' && condition.status === 'True')
}
