/** Judging other values before anything is written: by the chart's keys, by Helm, by the API server. */

import { unknownKeys } from '../../lib/flux/chart-keys.ts'
import type { HelmRevision } from '../../lib/flux/stored-release.ts'
import { pathText } from '../../lib/flux/values.ts'
import { type Kubectl, type KubeObject, refOf, refText } from '../../lib/kubectl/kubectl.ts'
import { ExpectedError, throwAll } from '../../lib/script/errors.ts'
import type { Run } from '../../lib/script/run.ts'
import { changeDiff, changesBetween, dryRunProblems, type ObjectChange } from './changes.ts'
import { rendered } from './check.ts'
import { merged, type ValuesLayer } from './layers.ts'

/** What is judged, and how strictly. */
export interface Judging {
  run: Pick<Run, 'log' | 'signal'> & { flags: { 'allow-unknown': boolean; 'skip-check': boolean } }
  release: KubeObject
  /** The layers as they would be. */
  layers: readonly ValuesLayer[]
  stored: HelmRevision | undefined
}

/**
 * The objects that other values would change, shown as a diff; none when that is not known. Throws an ExpectedError for every key
 * that the chart does not know, for values that Helm refuses, and for objects that the API server refuses.
 */
export async function judged(kubectl: Kubectl, judging: Judging): Promise<ObjectChange[]> {
  const { run, release, layers, stored } = judging
  const platform = merged(layers.filter(({ override }) => !override))
  const unknown = stored
    ? unknownKeys(merged(layers.filter(({ override }) => override)), stored, platform)
    : []
  const problems = unknown.map(
    ({ path, meant }) =>
      new ExpectedError(
        `the chart ${stored?.chart?.metadata?.name} does not know ${pathText(path)}`,
        meant
          ? `did you mean ${pathText([...path.slice(0, -1), meant])}? To set it nevertheless: --allow-unknown`
          : 'correct the key; to set it nevertheless: --allow-unknown',
      ),
  )
  if (!run.flags['allow-unknown']) throwAll(problems)
  for (const { message } of problems) run.log.warn(message)
  if (run.flags['skip-check']) {
    run.log.warn(
      'not checked (--skip-check): Helm and the API server judge the values when they are installed',
    )
    return []
  }
  run.log.progress('Helm renders the chart with the new values, and installs nothing')
  const { manifest } = await rendered(kubectl, release, { layers, signal: run.signal })
  if (!stored?.manifest || manifest === undefined) {
    run.log.warn(`${refText(refOf(release))} is not installed yet: there is nothing to compare with`)
    return []
  }
  const namespace = release.spec?.targetNamespace ?? release.metadata.namespace
  const changes = changesBetween(stored.manifest, manifest, namespace)
  for (const line of changes.flatMap(changeDiff)) run.log.info(`  ${line}`)
  throwAll(await dryRunProblems(kubectl, changes))
  return changes
}
