/** The steps of a restore that change the cluster. Each looks at the cluster first, so that it can be run again. */

import type { AppParts } from '../../lib/backup/back-up.ts'
import type { Held } from '../../lib/backup/held.ts'
import { throwFlaws } from '../../lib/backup/judge.ts'
import { isUnfinished, VELERO } from '../../lib/backup/objects.ts'
import { readVolumeRestores, restoreObject, wrongWithRestore } from '../../lib/backup/restoring.ts'
import { untilEnded, veleroRef } from '../../lib/backup/velero.ts'
import { HELM_RELEASE, KUSTOMIZATION, reconcile } from '../../lib/flux/flux.ts'
import { Kubectl, type KubeObject, type Ref } from '../../lib/kubectl/kubectl.ts'
import { ownersOf, podsUsing, untilUnused } from '../../lib/kubectl/scale.ts'
import { mountsClaim } from '../../lib/kubectl/volumes.ts'
import { countText } from '../../lib/script/count.ts'
import { throwAll } from '../../lib/script/errors.ts'
import type { Log } from '../../lib/script/log.ts'
import type { Run } from '../../lib/script/run.ts'
import { until } from '../../lib/script/wait.ts'
import { releasesWith } from './plan.ts'

/** The label of a volume that a restore has replaced: its data is still on the server. */
export const REPLACED = 'openappstack.net/replaced-by-restore'

/** How far an unfinished restore is: kept in the cluster, so that any machine can continue it. */
export interface RestoreState {
  app: string
  backup: string
  /** The backup of the state before, once it is proved. */
  safety?: string
  /** The Restore of Velero, once it was created. */
  restore?: string
  /** Whether the dumps of the databases are loaded: people may have worked since. */
  loaded?: 'yes'
}

const stateRef = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  namespace: VELERO,
  name: 'oas-restore-state',
} as const

/** The unfinished restore, if there is one. */
export async function readRestoreState(kubectl: Kubectl): Promise<RestoreState | undefined> {
  const data = (await kubectl.get(stateRef))?.data as RestoreState | undefined
  return data?.app && data.backup ? data : undefined
}

/** Keeps how far it is. */
export async function keepRestoreState(kubectl: Kubectl, state: RestoreState): Promise<void> {
  const { apiVersion, kind, name, namespace } = stateRef
  await kubectl.apply({ apiVersion, kind, metadata: { name, namespace }, data: { ...state } })
}

/** Keeps it, and tells at the end of a run that does not complete it where it stands and what continues it. */
export async function beginRestore(
  run: Pick<Run, 'cluster' | 'log' | 'onEnd'>,
  kubectl: Kubectl,
  state: RestoreState,
): Promise<void> {
  await keepRestoreState(kubectl, state)
  run.onEnd(async () => {
    // Without the run's signal: an interrupted run tells it, too.
    const asking = await Kubectl.connect(run.cluster.kubeconfig)
    const left = await readRestoreState(asking).finally(() => asking.client.close())
    if (!left) return
    const command = `npx tsx scripts/restore.ts ${left.backup} --app ${left.app}`
    run.log.warn(`${standText(left)}; continue: ${command}`)
  })
}

/** Where an unfinished restore stands. Pure. */
export function standText({ app, backup, safety, restore, loaded }: RestoreState): string {
  const kept = safety ? `, and what it had is in backup ${safety}` : ''
  if (loaded)
    return `${app} has the data of ${backup}${kept}; Flux does not work on it yet, or it is not ready`
  if (restore)
    return `${app} is suspended in Flux, and its volumes are being restored from ${backup} (Restore ${restore})${kept}`
  return `${app} may be suspended in Flux and stopped${kept}; the volumes stay on the server`
}

/** Forgets it: the restore has ended well. */
export async function forgetRestoreState(kubectl: Kubectl): Promise<void> {
  await kubectl.delete(stateRef)
}

/** What to do when a restore has ended and something is not as it was. Pure. */
export function wayBack({ app, safety }: RestoreState): string {
  const back = safety ? `npx tsx scripts/restore.ts ${safety} --app ${app}` : 'restore another backup'
  return `see why: npx tsx scripts/app-debug.ts ${app}; back to the state before: ${back}`
}

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
 * Removes the workloads that use these claims, and the claims. Their volumes are kept (`Retain`) with a label: the
 * newer data stays on the server. Throws when a pod has no owner that can be removed.
 */
export async function removeData(
  kubectl: Kubectl,
  app: string,
  claims: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<string> {
  const all = await kubectl.list('v1', 'PersistentVolumeClaim')
  const doomed = all.filter(({ metadata }) => claims.has(`${metadata.namespace}/${metadata.name}`))
  for (const { spec } of doomed) {
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
  for (const { ref } of workloads) await kubectl.delete(ref)
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
  return `${countText(workloads.length, 'workload')}, ${countText(doomed.length, 'claim')}; the volumes are kept`
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

const flawsOf = async (kubectl: Kubectl, restore: KubeObject, held: readonly Held[]) =>
  wrongWithRestore(restore, await readVolumeRestores(kubectl), held)
