/** How far an unfinished restore is, kept in the cluster. */
import { VELERO } from '../../lib/backup/objects.ts'
import { giveUpRestore } from '../../lib/backup/scratch.ts'
import { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { lockCluster } from '../../lib/platform/lock.ts'
import { EXIT, ExpectedError } from '../../lib/script/errors.ts'
import type { Run } from '../../lib/script/run.ts'

/** How far an unfinished restore is: kept in the cluster, so that any machine can continue it. */
export interface RestoreState {
  app: string
  backup: string
  /** The backup of the state before, once it is proved; `none` where it was omitted. Nothing is removed without either. */
  safety?: string
  /** Whether the backup was accepted without a proof. */
  unproved?: 'yes'
  /** The Restore of Velero, once it was created. */
  restore?: string
  /** The Restore of the one whose place it takes: Velero may still work on it. */
  replaces?: string
  /** Whether the dumps of the databases are loaded: people may have worked since. */
  loaded?: 'yes'
}

/** In place of the name of a safety backup: there is none. */
const NONE = 'none'

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

/**
 * The restore that a run begins; or the same one unfinished, which it continues. One that brings back the state before
 * an unfinished one takes its place. Throws (exit code 4) when another one is unfinished. Pure.
 */
export function restoreToDo(
  unfinished: RestoreState | undefined,
  asked: { app: string; backup: string; flags: { 'skip-safety': boolean; 'accept-unproved': boolean } },
): RestoreState {
  const { app, backup, flags } = asked
  const unproved = flags['accept-unproved'] ? ({ unproved: 'yes' } as const) : {}
  const skipped = flags['skip-safety'] ? { safety: NONE } : {}
  if (!unfinished) return { app, backup, ...skipped, ...unproved }
  const isOurs = unfinished.app === app
  if (isOurs && unfinished.backup === backup) return { ...skipped, ...unfinished, ...unproved }
  if (isOurs && unfinished.safety === backup) {
    // Of what is loaded people may have new data; before, what lies there is from the other backup, or gone.
    const isKept = unfinished.loaded !== undefined && !flags['skip-safety']
    const working = unfinished.restore ?? unfinished.replaces
    const replaces = working === undefined ? {} : { replaces: working }
    return { app, backup, ...(isKept ? {} : { safety: NONE }), ...replaces, ...unproved }
  }
  throw new ExpectedError(
    `the restore of ${unfinished.app} from ${unfinished.backup} is unfinished`,
    waysOn(unfinished),
    { exitCode: EXIT.refused },
  )
}

/** What can be done about an unfinished restore, in one line. Pure. */
function waysOn(state: RestoreState): string {
  const safety = safetyBackup(state)
  return [
    `finish it: ${continueCommand(state)}`,
    ...(safety ? [`or go back: npx tsx scripts/restore.ts ${safety} --app ${state.app}`] : []),
    `or give it up: npx tsx scripts/restore.ts ${state.backup} --app ${state.app} --abandon`,
  ].join('; ')
}

/** The command that continues it: with what was accepted at its beginning. Pure. */
export function continueCommand({ app, backup, safety, unproved }: RestoreState): string {
  const accepted = `${unproved ? ' --accept-unproved' : ''}${safety === NONE ? ' --skip-safety' : ''}`
  return `npx tsx scripts/restore.ts ${backup} --app ${app}${accepted}`
}

/** The safety backup, where there is one. Pure. */
export function safetyBackup({ safety }: RestoreState): string | undefined {
  return safety === NONE ? undefined : safety
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
    run.log.warn(`${standText(left)}; ${waysOn(left)}`)
  })
}

/** Where an unfinished restore stands. Pure. */
export function standText(state: RestoreState): string {
  const { app, backup, restore, loaded } = state
  const safety = safetyBackup(state)
  const kept = safety ? `, and what it had is in backup ${safety}` : ''
  if (loaded) return `${app} has the data of ${backup}${kept}; it is still suspended in Flux, or not ready`
  if (restore)
    return `${app} is suspended in Flux, and its volumes are being restored from ${backup} (Restore ${restore})${kept}`
  return `${app} may be suspended in Flux and stopped${kept}; the volumes stay on the server`
}

/** Forgets it: the restore has ended, or is given up. */
export async function forgetRestoreState(kubectl: Kubectl): Promise<void> {
  await kubectl.delete(stateRef)
}

/**
 * Gives up the unfinished restore, after the application was named: Velero ends its Restore and the one whose place it
 * takes, it is forgotten, and nothing else is changed. Throws (exit code 4) when the one that is unfinished is another
 * one.
 */
export async function abandonRestore(
  run: Pick<Run, 'abort' | 'agreeByName' | 'log' | 'next' | 'onEnd' | 'step' | 'signal'>,
  kubectl: Kubectl,
  { app, backup, confirm }: { app: string; backup: string; confirm: string | undefined },
): Promise<void> {
  const state = await readRestoreState(kubectl)
  if (!state) return run.log.ok('No restore is unfinished; nothing was changed.')
  if (state.app !== app || state.backup !== backup)
    throw new ExpectedError(
      `the unfinished restore is that of ${state.app} from ${state.backup}`,
      waysOn(state),
      { exitCode: EXIT.refused },
    )
  const restores = [state.restore, state.replaces].filter(name => name !== undefined)
  const plan = [
    ...restores.map(name => `have Velero end Restore ${name}`),
    `forget the restore of ${app} from ${backup}`,
    `everything else stays: ${standText(state)}`,
    'what is suspended in Flux stays suspended, so that another backup can be restored',
  ]
  if (!(await run.agreeByName(plan, `This gives up the restore of ${app}.`, app, confirm))) return
  await lockCluster(kubectl, run)
  await run.step('Forget it', `kubectl -n ${VELERO} delete configmap ${stateRef.name}`, async () => {
    for (const name of restores) await giveUpRestore(kubectl, name, run.signal)
    await forgetRestoreState(kubectl)
    return undefined
  })
  const safety = safetyBackup(state)
  // Of what is loaded people may have new data.
  const flag = state.loaded ? '' : ' --skip-safety'
  run.next([
    `npx tsx scripts/restore.ts ${safety ?? 'BACKUP'} --app ${app}${flag}   # ${safety ? 'back to the state before' : 'another backup'}`,
    `flux resume kustomization ${app}   # to use it as it is: its releases first, see "By hand" in runbooks/restore.md`,
  ])
}

/** What to do when a restore has ended and something is not as it was. Pure. */
export function wayBack(state: RestoreState): string {
  const { app } = state
  const safety = safetyBackup(state)
  const back = safety ? `npx tsx scripts/restore.ts ${safety} --app ${app}` : 'restore another backup'
  return `see why: npx tsx scripts/app-debug.ts ${app}; back to the state before: ${back}`
}
