import type { Snapshot } from '../diagnosis/snapshot.ts'
import { type Obstacle, obstaclesOf } from './obstacles.ts'

/**
 * What keeps Deployments of Flux from becoming ready, by the rules of the diagnosis: what is told of them, or of a pod
 * of theirs, since in an upgrade the new pod may fail beside the old one, which stays ready. Pure.
 */
export function obstaclesTo(names: readonly string[], snapshot: Snapshot): Obstacle[] {
  const deployments = names.map(name => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    namespace: 'flux-system',
    name,
  }))
  return obstaclesOf(deployments, snapshot, ({ kind }) => kind === 'Pod')
}
