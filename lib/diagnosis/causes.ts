import { type Condition, handled } from '../flux/flux.ts'
import { type KubeObject, refOf, refText } from '../kubectl/kubectl.ts'
import { controllerOf } from './graph.ts'
import type { Failure } from './rules/failure.ts'
import { controllerFailure, silentFailure, suspendedFailure } from './rules/flux.ts'
import { kustomizationFailure } from './rules/kustomizations.ts'
import { releaseFailure } from './rules/releases.ts'
import { sourceFailure } from './rules/sources.ts'
import { short } from './text.ts'

/** What is looked at to find out why something does not become ready. */
export interface Facts {
  /** GitRepositories, HelmRepositories and HelmCharts. */
  sources: KubeObject[]
  kustomizations: KubeObject[]
  helmReleases: KubeObject[]
  pods: KubeObject[]
  /** The Deployments of flux-system: Flux itself. */
  controllers: KubeObject[]
  /** The kinds of which Flux is working on an object right now. */
  busy: string[]
}

/** Why something does not become ready, and what to do about it. */
export interface Cause {
  subject: string
  cause: string
  fix: string
  /** Seconds that it may last before it counts: some failures pass by themselves. */
  grace: number
}

const again = 'then run the same command again'

/**
 * The causes among the facts, the deepest first: a source before what is built from it, a pod before the
 * release that waits for it. Whatever may still become ready by itself is none. What is known of Flux's own
 * objects stands in the rules of the diagnosis. Pure.
 */
export function findCauses(facts: Facts): Cause[] {
  const deep = [
    ...facts.controllers.flatMap(object => causeOf(object, controllerFailure(object))),
    ...[...facts.sources, ...facts.kustomizations, ...facts.helmReleases].flatMap(object =>
      ignoredCause(object, facts.busy),
    ),
    ...facts.sources.flatMap(object => causeOf(object, suspended(object) ?? sourceFailure(object))),
    ...facts.pods.flatMap(podCause),
    ...facts.helmReleases.flatMap(releaseCause),
  ]
  const kustomizations = facts.kustomizations.flatMap(object =>
    causeOf(object, suspended(object) ?? kustomizationFailure(object)),
  )
  // A failed health check only repeats that something below is not ready.
  return deep.length > 0
    ? [...deep, ...kustomizations.filter(cause => !cause.cause.startsWith('health check'))]
    : kustomizations
}

/** A failure as the cause of a wait. */
function causeOf(object: KubeObject, failure: Failure | undefined): Cause[] {
  if (!failure) return []
  const { cause, fix, script, grace } = failure
  return [{ subject: refText(refOf(object)), cause, fix: script ? fix : `${fix}; ${again}`, grace }]
}

const suspended = (object: KubeObject) =>
  object.spec?.suspend === true ? suspendedFailure(object) : undefined

/**
 * An object that Flux does not look at, although it was asked to and works on no other of the kind (then it
 * would only be waiting for its turn): its controller is down, whatever the Deployment says.
 */
function ignoredCause(object: KubeObject, busy: readonly string[]): Cause[] {
  const looked = handled(object) && object.status?.conditions !== undefined
  if (
    looked ||
    object.spec?.suspend === true ||
    object.metadata.deletionTimestamp ||
    busy.includes(object.kind)
  )
    return []
  return causeOf(object, silentFailure(controllerOf(object.kind) ?? ''))
}

function releaseCause(release: KubeObject): Cause[] {
  if (suspended(release)) return causeOf(release, suspendedFailure(release))
  const failure = releaseFailure(release)
  // While Helm tries again, only what another try does not change ends a wait.
  return failure && (failure.over || failure.grace === 0) ? causeOf(release, failure) : []
}

/** Waiting reasons of a container that do not go away by themselves, with the seconds they may last. */
const containerProblems: Record<string, { grace: number; fix: (pod: string) => string }> = {
  CrashLoopBackOff: {
    grace: 5,
    fix: pod => `read why it ends: kubectl logs ${pod} --previous; correct its configuration, ${again}`,
  },
  ImagePullBackOff: {
    grace: 8, // it is the second refusal already: ErrImagePull comes first
    fix: () => `check the name of the image and that the server reaches its registry, ${again}`,
  },
  ErrImagePull: {
    grace: 30,
    fix: () => `check the name of the image and that the server reaches its registry, ${again}`,
  },
  InvalidImageName: { grace: 0, fix: () => `correct the name of the image, ${again}` },
  CreateContainerConfigError: {
    grace: 10,
    fix: () => `run install-core again: it adds the keys that a generated secret lacks; ${again}`,
  },
  RunContainerError: { grace: 15, fix: pod => `look at its events: kubectl describe pod ${pod}; ${again}` },
}

function podCause(pod: KubeObject): Cause[] {
  const { namespace, name } = pod.metadata
  const handle = `-n ${namespace} ${name}`
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])]
  for (const status of statuses) {
    const waiting = status.state?.waiting
    const problem = containerProblems[waiting?.reason ?? '']
    if (!problem) continue
    const last = status.lastState?.terminated
    const ended = last
      ? ` (ended with ${last.reason ?? 'Error'}, exit code ${last.exitCode}, ${status.restartCount} restarts)`
      : ''
    const killed = last?.reason === 'OOMKilled'
    return [
      {
        subject: refText(refOf(pod)),
        cause: `container ${status.name} is in ${waiting.reason}${ended}${waiting.message ? `: ${short(waiting.message, 400)}` : ''}`,
        fix: killed ? `it needs more memory: raise its limit by an override, ${again}` : problem.fix(handle),
        grace: problem.grace,
      },
    ]
  }
  const scheduled = (pod.status?.conditions as Condition[] | undefined)?.find(c => c.type === 'PodScheduled')
  if (scheduled?.status === 'False' && scheduled.reason === 'Unschedulable')
    return [
      {
        subject: refText(refOf(pod)),
        cause: `cannot be placed on a node: ${short(scheduled.message ?? '', 400)}`,
        fix: 'give the server more memory or CPU, or remove what it does not need; for volumes look at the storage class',
        // No node grows by itself; a volume may take a while.
        grace: /Insufficient/.test(scheduled.message ?? '') ? 15 : 45,
      },
    ]
  return []
}
