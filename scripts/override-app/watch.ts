/** Having a release reconciled with other values, and waiting for what becomes of it. */

import { isDeepStrictEqual } from 'node:util'
import { reconcile, standing } from '../../lib/flux/flux.ts'
import { deployedRelease, type HelmValue, isMap } from '../../lib/flux/stored-release.ts'
import { type Kubectl, type KubeObject, refOf, refText } from '../../lib/kubectl/kubectl.ts'
import {
  diagnosed,
  type Obstacle,
  obstacleError,
  obstacles,
  Patience,
  progressText,
} from '../../lib/rollout/obstacles.ts'
import { PATIENCE, watched } from '../../lib/rollout/rollout.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import type { Run } from '../../lib/script/run.ts'
import { until } from '../../lib/script/wait.ts'
import { merged, readLayers } from './layers.ts'

/**
 * Milliseconds in which helm-controller notices a labelled override by itself. To ask at once would have it start
 * twice: the second start cuts off Helm's first.
 */
const NOTICED = 5000

/** The name of the Kustomization that has applied a release. */
function kustomizationName({ metadata }: KubeObject): string[] {
  const name = metadata.labels?.['kustomize.toolkit.fluxcd.io/name']
  return name ? [name] : []
}

/** Milliseconds after which a release has replaced what it failed by before. */
const FORGIVEN = 30_000

const keyOfObstacle = ({ subject, cause }: Obstacle) => `${subject}: ${cause}`

/** What is in the way of a release already, so that a change is not blamed for it. */
export async function obstaclesBefore(kubectl: Kubectl, release: KubeObject): Promise<Set<string>> {
  const found = obstacles(await watched(kubectl), kustomizationName(release))
  return new Set(found.map(keyOfObstacle))
}

/** How a release is waited for. */
export interface Watching {
  run: Pick<Run, 'log' | 'signal'>
  /** Milliseconds. */
  deadline: number
  /** What was in the way before, by `obstaclesBefore`. */
  known?: ReadonlySet<string>
  /** Milliseconds in which no obstacle ends the wait: values that are taken back still show the failure before. */
  patient?: number
}

/**
 * Waits until Flux has reconciled a release, asking it to where that is needed, and Helm has installed the values that
 * its sources have now, and everything of it is ready. Throws an ExpectedError with the cause as soon as that is known.
 */
export async function watchRelease(
  kubectl: Kubectl,
  release: KubeObject,
  { run, deadline, known = new Set(), patient = 0 }: Watching,
): Promise<undefined> {
  const values = merged(await readLayers(kubectl, release))
  const ref = refOf(release)
  const names = kustomizationName(release)
  const patience = new Patience()
  const started = performance.now()
  let asked = false
  await until(
    async () => {
      const index = await watched(kubectl)
      const now = index.find(ref)
      if (!now) return { last: `${refText(ref)} does not exist` }
      const { state, reason, message } = standing(now)
      if (state === 'suspended')
        throw new ExpectedError(
          `${refText(ref)} is suspended`,
          `resume it: flux resume hr ${ref.name} -n ${ref.namespace}`,
        )
      if ((state === 'ready' || state === 'failed') && !asked && performance.now() - started > NOTICED) {
        asked = true
        await reconcile(kubectl, ref, { reset: true })
      }
      if (state === 'ready') {
        const config = (await deployedRelease(kubectl, now))?.config ?? {}
        if (isDeepStrictEqual(withoutNulls(config), withoutNulls(values))) return { done: undefined }
        return { last: 'Helm has not installed the new values yet' }
      }
      // What the release itself failed by before is over, or it fails by it again.
      const young = performance.now() - started < FORGIVEN
      const found = obstacles(index, names).filter(
        each => !known.has(keyOfObstacle(each)) || (each.subject === refText(ref) && !young),
      )
      const line = `${ref.name} ${reason || state}: ${message.split('\n')[0]}`
      run.log.progress(progressText(line, found))
      const exhausted = performance.now() - started < patient ? undefined : patience.exhausted(found)
      if (exhausted) throw obstacleError(await diagnosed(kubectl, exhausted, names))
      if (state === 'failed' && names.length === 0)
        throw new ExpectedError(`${refText(ref)}: ${message.split('\n')[0]}`, 'correct the values')
      return { last: line }
    },
    {
      deadline,
      every: 700,
      patience: PATIENCE,
      describe: last => last ?? 'nothing',
      fix: 'find the cause with `npx tsx scripts/diagnose.ts`',
      signal: run.signal,
    },
  )
  return undefined
}

/** Values without those that only remove a default: Helm may store them or not. */
function withoutNulls(value: HelmValue): HelmValue {
  if (!isMap(value)) return value
  const kept = Object.entries(value).filter(([, item]) => item !== null)
  return Object.fromEntries(kept.map(([key, item]) => [key, withoutNulls(item)]))
}

/** What a run ends with that was taken back. Pure. */
export function takenBack(name: string, { message }: ExpectedError): ExpectedError {
  return new ExpectedError(
    `${name} did not become ready with the new values, which were rolled back: ${message}`,
    `give other values; ${name} runs with those before`,
  )
}
