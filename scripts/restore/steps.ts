/** The steps of a restore that change the cluster. Each looks at the cluster first, so that it can be run again. */

import type { AppParts } from '../../lib/backup/back-up.ts'
import type { Counting } from '../../lib/backup/contents.ts'
import type { Held } from '../../lib/backup/held.ts'
import { throwFlaws } from '../../lib/backup/judge.ts'
import { isUnfinished } from '../../lib/backup/objects.ts'
import type { Waiting } from '../../lib/backup/restored.ts'
import { readVolumeRestores, restoreObject, wrongWithRestore } from '../../lib/backup/restoring.ts'
import { giveUpRestore } from '../../lib/backup/scratch.ts'
import { RESTORED_BY, untilEnded, veleroRef } from '../../lib/backup/velero.ts'
import { HELM_RELEASE, KUSTOMIZATION, reconcile } from '../../lib/flux/flux.ts'
import { mountsClaim, podsUsing } from '../../lib/kubectl/claims.ts'
import type { Kubectl, KubeObject, Ref } from '../../lib/kubectl/kubectl.ts'
import { ownersOf, untilUnused } from '../../lib/kubectl/scale.ts'
import { countText } from '../../lib/script/count.ts'
import { throwAll } from '../../lib/script/errors.ts'
import type { Log } from '../../lib/script/log.ts'
import { until } from '../../lib/script/wait.ts'
import { loadData } from './check.ts'
import { releasesWith } from './plan.ts'
import { keepRestoreState, type RestoreState } from './state.ts'
import { stoppedWith, stopWriters } from './writers.ts'

/** The label of a volume that a restore has replaced: its data is still on the server. */
export const REPLACED = 'openappstack.net/replaced-by-restore'

const fluxObjects = ({ app, releases, namespaces }: AppParts): Ref[] => [
  { ...KUSTOMIZATION, namespace: 'flux-system', name: app },
  ...releases.map(name => ({ ...HELM_RELEASE, namespace: namespaces[0]!, name })),
]

/** Suspends what Flux has of the application: it would bring back what a restore removes. Returns a note. */
export async function suspendApp(kubectl: Kubectl, parts: AppParts): Promise<string> {
  let suspended = 0
  for (const ref of fluxObjects(parts)) {
    const object = await kubectl.get(ref)
    if (!object || object.spec?.suspend === true) continue
    await kubectl.patch(ref, { spec: { suspend: true } })
    suspended++
  }
  return suspended === 0 ? 'unchanged' : `${suspended} objects of Flux`
}

/** Resumes it, releases first, and has Helm apply its objects again. */
export async function resumeApp(kubectl: Kubectl, parts: AppParts): Promise<string> {
  for (const ref of fluxObjects(parts).reverse()) {
    if (!(await kubectl.get(ref))) continue
    await kubectl.patch(ref, { spec: { suspend: false } })
    await reconcile(kubectl, ref, ref.kind === HELM_RELEASE.kind ? { reset: true, force: true } : {})
  }
  return 'Flux works on it again'
}

/**
 * Removes the workloads that use these claims, and the claims, once nothing of a replaced restore fills them. Their
 * volumes are kept (`Retain`) with a label: the newer data stays on the server. Those that a failed Restore of this run
 * has filled go: the backup has what is in them. Throws when a pod has no owner that can be removed.
 */
export async function removeData(
  kubectl: Kubectl,
  { app, replaces, restore }: RestoreState,
  parts: AppParts,
  claims: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<string> {
  if (replaces) await giveUpRestore(kubectl, replaces, signal)
  const all = await kubectl.list('v1', 'PersistentVolumeClaim')
  const doomed = all.filter(({ metadata }) => claims.has(`${metadata.namespace}/${metadata.name}`))
  for (const { spec, metadata } of doomed) {
    if (restore !== undefined && metadata.labels?.[RESTORED_BY] === restore) continue
    const volume = { apiVersion: 'v1', kind: 'PersistentVolume', name: String(spec?.volumeName ?? '') }
    if (volume.name === '' || !(await kubectl.get(volume))) continue
    await kubectl.patch(volume, {
      metadata: { labels: { [REPLACED]: app } },
      spec: { persistentVolumeReclaimPolicy: 'Retain' },
    })
  }
  const using = podsUsing(await kubectl.list('v1', 'Pod', {}, mountsClaim), claims)
  const { workloads, problems } = await ownersOf(kubectl, using)
  throwAll(problems)
  const refs = [...workloads.map(({ ref }) => ref), ...(await stoppedWith(kubectl, parts, claims))]
  for (const ref of refs) await kubectl.delete(ref)
  await untilUnused(kubectl, claims, signal)
  for (const { apiVersion, kind, metadata } of doomed) await kubectl.delete({ apiVersion, kind, ...metadata })
  await until(
    async () => {
      const left = (await kubectl.list('v1', 'PersistentVolumeClaim')).filter(({ metadata }) =>
        doomed.some(({ metadata: { uid } }) => uid === metadata.uid),
      )
      return left.length === 0
        ? { done: true }
        : { last: left.map(({ metadata }) => metadata.name).join(', ') }
    },
    { deadline: 300_000, describe: last => `claims ${last} are still there`, signal },
  )
  return `${countText(refs.length, 'workload')}, ${countText(doomed.length, 'claim')}; replaced volumes are kept`
}

/**
 * Has Velero restore, or waits for the Restore that an earlier run has created; one that has failed is taken up again
 * by `again`, which removes what it has left. Throws everything that is wrong with the result.
 */
export async function restoreData(
  kubectl: Kubectl,
  state: RestoreState,
  parts: AppParts,
  held: readonly Held[],
  wait: { deadline: number; log: Log; signal: AbortSignal },
  again: () => Promise<unknown>,
): Promise<string> {
  const known = state.restore && (await kubectl.get(veleroRef('Restore', state.restore)))
  const useless = known && !isUnfinished(known) && (await flawsOf(kubectl, known, held)).length > 0
  if (!known || useless) {
    if (useless) await again()
    state.restore = `${state.backup}-${Math.floor(Date.now() / 1000)}`
    await keepRestoreState(kubectl, state)
    const releases = releasesWith(held, parts.releases)
    const options = { backup: state.backup, madeBy: 'restore', releases, namespaces: parts.namespaces }
    await kubectl.create(restoreObject(state.restore, options))
  }
  const ended = await untilEnded(kubectl, veleroRef('Restore', state.restore!), wait)
  throwFlaws(await flawsOf(kubectl, ended, held))
  return `${held.length} of ${held.length} volumes`
}

/**
 * Loads the dumps of the databases, while nothing else of the application runs, and keeps that it is done before people
 * can write again. Returns a note.
 */
export async function loadOnce(
  kubectl: Kubectl,
  counting: Counting,
  { state, parts, claims }: { state: RestoreState; parts: AppParts; claims: ReadonlySet<string> },
  wait: Waiting,
): Promise<string> {
  const databases = await stopWriters(kubectl, parts, claims, wait.signal)
  const note = await loadData(kubectl, counting, databases, wait)
  await keepRestoreState(kubectl, { ...state, loaded: 'yes' })
  return note
}

const flawsOf = async (kubectl: Kubectl, restore: KubeObject, held: readonly Held[]) =>
  wrongWithRestore(restore, await readVolumeRestores(kubectl), held)
