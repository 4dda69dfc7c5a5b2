import { condition, reconcile } from '../flux/flux.ts'
import { ApiError } from '../kubectl/api-error.ts'
import { type Kubectl, type KubeObject, type Ref, refText } from '../kubectl/kubectl.ts'
import { lockCluster } from '../platform/lock.ts'
import { askConfirm } from '../script/prompt.ts'
import type { Run } from '../script/run.ts'
import { until } from '../script/wait.ts'
import type { Diagnosis } from './diagnose.ts'
import type { Action, RootCause } from './finding.ts'
import { controllerOf, keyOf } from './graph.ts'
import { act } from './remedy.ts'
import { actionText } from './show.ts'
import { Index, type Snapshot } from './snapshot.ts'
import { itemOf } from './status.ts'

/** A look at the cluster, and what it has come to. */
export interface Look {
  snapshot: Snapshot
  diagnosis: Diagnosis
}

/** The part of a run that remedies need. */
type FixingRun = Pick<Run, 'log' | 'signal' | 'abort' | 'onEnd' | 'step' | 'cluster'> & {
  flags: { yes: boolean; 'dry-run': boolean }
}

/** One remedy may uncover the next cause; more rounds than this are not progress. */
const ROUNDS = 4

/**
 * Offers the remedies that a script can do, one by one, does those that are agreed to, and watches until what
 * they were for is healthy. What comes to light then is offered in turn. Returns the last look. Throws an
 * ExpectedError with the last state when the deadline (milliseconds, for each round) passes.
 */
export async function fix(
  run: FixingRun,
  kubectl: Kubectl,
  first: Look,
  again: () => Promise<Look>,
  deadline: number,
): Promise<Look> {
  const tried = new Set<string>()
  let look = first
  for (let round = 0; round < ROUNDS; round++) {
    const offered = look.diagnosis.causes.filter(
      cause => cause.remedy.action && !tried.has(identity(cause)),
    ) as Fixable[]
    for (const cause of offered) tried.add(identity(cause))
    if (offered.length === 0) {
      if (round === 0) run.log.info('There is nothing that a script can do about it: see `do:` above.')
      return look
    }
    run.log.heading('Remedies')
    for (const cause of offered) run.log.info(`  ${actionText(cause.remedy.action)}`)
    if (run.flags['dry-run']) {
      run.log.info('Dry run: nothing was changed.')
      return look
    }
    const agreed: Fixable[] = []
    for (const cause of offered) if (await agree(run, cause)) agreed.push(cause)
    if (agreed.length === 0) return look
    for (const cause of agreed) await remedy(run, kubectl, cause)
    look = await watch(run, agreed, look.diagnosis.causes, again, deadline)
  }
  return look
}

type Fixable = RootCause & { remedy: { action: Action } }

const identity = ({ rule, subject, remedy }: RootCause) =>
  `${rule} ${keyOf(subject)} ${JSON.stringify(remedy.action)}`

function agree(run: FixingRun, { remedy }: Fixable): Promise<boolean> | boolean {
  return run.flags.yes || askConfirm({ message: `${upper(actionText(remedy.action))}?`, flag: '--yes' })
}

const upper = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)

/** Does one remedy, and has Flux reconcile what waited for it. */
async function remedy(run: FixingRun, kubectl: Kubectl, cause: Fixable): Promise<void> {
  const { action, command } = cause.remedy
  // A script of ours takes the lock itself.
  const release = action.do === 'script' ? undefined : await lockCluster(kubectl, run)
  await run.step(upper(actionText(action)), command, async () => {
    try {
      await act(kubectl, action, run.cluster.name)
    } catch (error) {
      if (!isOvertaken(error)) throw error
      run.log.info(`  ${refText(cause.subject)} was changed meanwhile: the diagnosis runs again.`)
    }
    for (const ref of waiting(cause))
      if (await kubectl.get(ref)) await reconcile(kubectl, ref, { reset: ref.kind === 'HelmRelease' })
    return undefined
  })
  await release?.()
}

/**
 * Whether an object was changed or removed since it was read: controllers heal by themselves, too, once the cause
 * is gone. The next look decides what is still to be done.
 */
function isOvertaken(error: unknown): boolean {
  const { cause } = error as Error
  return cause instanceof ApiError && (cause.code === 409 || cause.code === 404)
}

/** The objects that Flux would reconcile only minutes later: the one at fault and those that it keeps waiting. */
function waiting(cause: Fixable): Ref[] {
  const { action } = cause.remedy
  const asked = action.do === 'reconcile' || action.do === 'resume' ? keyOf(action.ref) : undefined
  const found = new Map([cause, ...cause.explains].map(({ subject }) => [keyOf(subject), subject]))
  return [...found.values()].filter(
    ref => ref.apiVersion && keyOf(ref) !== asked && controllerOf(ref.kind) !== undefined,
  )
}

/** Milliseconds for what follows when an object is healthy again: the ingress controller takes a new certificate. */
const AFTERMATH = 15_000

/**
 * Checks until the remedied objects are healthy, or something else is wrong with them. What was not there before
 * and has no remedy that a script can do gets a moment to pass.
 */
function watch(
  run: FixingRun,
  agreed: readonly Fixable[],
  causes: readonly RootCause[],
  again: () => Promise<Look>,
  deadline: number,
): Promise<Look> {
  const affected = agreed.flatMap(cause => [cause, ...cause.explains]).map(({ subject }) => subject)
  const nameOf = ({ rule, subject }: RootCause) => `${rule} ${keyOf(subject)}`
  const before = new Set(agreed.map(nameOf))
  const known = new Set(causes.map(nameOf))
  let healthySince: number | undefined
  return until<string, Look>(
    async () => {
      const look = await again()
      const index = new Index(look.snapshot)
      const still = look.diagnosis.causes.filter(cause => before.has(nameOf(cause)))
      const unsettled = affected.filter(ref => !settled(index.find(ref)))
      const next = look.diagnosis.causes.some(cause => cause.remedy.action && !before.has(nameOf(cause)))
      const fresh = look.diagnosis.causes.filter(cause => !known.has(nameOf(cause)))
      if (still.length === 0 && next) return { done: look }
      if (still.length === 0 && unsettled.length === 0) {
        healthySince ??= Date.now()
        if (fresh.length === 0 || Date.now() - healthySince > AFTERMATH) return { done: look }
      }
      const names = [
        ...new Set([...[...still, ...fresh].map(({ subject }) => subject), ...unsettled].map(refText)),
      ]
      run.log.progress(`waiting for ${names.slice(0, 5).join(', ')}`)
      return { last: `not healthy yet: ${names.join(', ')}` }
    },
    {
      deadline,
      every: 1500,
      patience: 25_000,
      describe: last => last ?? 'nothing',
      fix: 'run the same command again: it reads the cluster and names what is wrong by then',
      signal: run.signal,
    },
  )
}

/**
 * Whether an object is as it should be, as `status` judges it; one that is gone is. A Job is when it runs or has ended:
 * one that has failed does not become another one. Pure.
 */
export function settled(object: KubeObject | undefined): boolean {
  if (!object) return true
  const is = (type: string) => condition(object, type)?.status === 'True'
  switch (object.kind) {
    case 'ClusterIssuer':
    case 'Issuer':
      return is('Ready')
    case 'Job':
      return is('Complete') || is('Failed') || (object.status?.ready ?? 0) > 0
    default:
      return itemOf(object)?.ready ?? true
  }
}
