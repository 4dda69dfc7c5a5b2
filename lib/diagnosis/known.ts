import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readConfig } from '../platform/config.ts'
import { messageOf } from '../script/errors.ts'
import type { Run } from '../script/run.ts'
import { withoutCredentials } from './allowed/pick.ts'
import { IGNORED_FILE, type Ignored, readIgnored } from './ignore.ts'
import type { Snapshot } from './snapshot.ts'

/** What the folder of a cluster adds to what is read from the cluster. */
export interface Known {
  /** For `gather`: what the platform follows by `.flux.env`. */
  config: Snapshot['config']
  /** For `diagnose`. */
  ignored: readonly Ignored[]
}

/** Everything that the folder of a cluster adds to a diagnosis. Throws a UsageError for a wrong list of ignored findings. */
export async function readKnown(run: Pick<Run, 'cluster' | 'log'>): Promise<Known> {
  return { config: repositoryOf(run), ignored: await readIgnored(join(run.cluster.folder, IGNORED_FILE)) }
}

/**
 * What the cluster's `.flux.env` says of the repository; nothing when it cannot be read: a cluster works without. Its
 * secrets are registered.
 */
export function repositoryOf({ cluster, log }: Pick<Run, 'cluster' | 'log'>): Snapshot['config'] {
  if (!existsSync(cluster.env)) return undefined
  try {
    const { git_url, git_branch } = readConfig(cluster.env)
    return { git_url: git_url && withoutCredentials(git_url), git_branch }
  } catch (error) {
    log.warn(`${cluster.env} is not used: ${messageOf(error)}`)
    return undefined
  }
}
