/** What an object of whatever kind says of itself: conditions, phases and replicas. */
import { type Condition, condition, standing } from '../../flux/flux.ts'
import type { KubeObject, Ref } from '../../kubectl/kubectl.ts'
import { isOfOthers } from '../allowed/object.ts'
import type { Remedy } from '../finding.ts'
import { eventTime, type Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { remedyOf } from './advice.ts'
import { storageFix } from './backup-runs.ts'
import { goDurationSeconds, recognise } from './failure.ts'
import {
  ABILITY,
  conditionsOf,
  FAILED,
  isBad,
  isBare,
  isNeverSet,
  isResting,
  listedParts,
  PART_WORKS,
  RESTS,
  SETTLES,
  statesOf,
  TROUBLE,
} from './own-words.ts'
import { refusals } from './refusals.ts'
import { isFollowed } from './run-history.ts'
import { describing, eventsOf, since, timesSeen } from './workload-facts.ts'

/** Seconds that anything may take to start: images are pulled and databases are prepared in that time. */
export const START_PATIENCE = 600

/** What is not told yet of an object, as a finding. */
export interface Unsettled {
  object: KubeObject
  cause: string
  lasts: number
  remedy?: Remedy
  rule?: string
}

/** The sources, Kustomizations and releases of Flux: how long they may take is in their spec. */
const FLUX = /^(GitRepository|HelmRepository|HelmChart|OCIRepository|Bucket|Kustomization|HelmRelease)$/

/** Kinds with rules that tell all of their states, and kinds of which what has failed is history. */
const SETTLED =
  /^(Pod|Node|HorizontalPodAutoscaler|Deployment|ReplicaSet|StatefulSet|DaemonSet|Job|CertificateRequest|Order|Backup|Restore|BackupRepository|BackupStorageLocation|Schedule|PodVolume(Backup|Restore)|PersistentVolume)$/

/** Every object that says of itself that it does not work, however long. Pure. */
export function unsettledObjects(index: Index): Unsettled[] {
  return index.kinds().flatMap(kind =>
    index.all(kind).flatMap(object => {
      if (object.metadata.deletionTimestamp || SETTLED.test(kind)) return []
      const state = stateOf(object, kind, index)
      return state && !isFollowed(object, index) ? [state] : []
    }),
  )
}

/** What an object says of itself that it does not work by, if it does: the first that knows it tells. */
function stateOf(object: KubeObject, kind: string, index: Index): Unsettled | undefined {
  if (FLUX.test(kind)) return ofFlux(object, index)
  if (object.kind === 'PersistentVolumeClaim') return ofClaim(object, index)
  if (isResting(object)) return undefined
  return (
    ofAddress(object, index) ??
    ofExperiment(object) ??
    ofConditions(object, index) ??
    ofPhase(object, index) ??
    ofSteps(object, index) ??
    ofReplicas(object, index)
  )
}

function ofFlux(object: KubeObject, index: Index): Unsettled | undefined {
  const { state, message } = standing(object)
  const ready = condition(object, 'Ready')
  if (state !== 'failed' && !(state === 'waiting' && ready && ready.status !== 'True')) return undefined
  // What it depends on is told itself, as long as that is not ready.
  if (ready?.reason === 'DependencyNotReady' && dependencies(object, index).some(isUnready)) return undefined
  const lasts = since(index, ready?.lastTransitionTime, object.metadata.creationTimestamp)
  const timeout = goDurationSeconds(String(object.spec?.timeout ?? ''))
  return { object, cause: short(message), lasts: lasts - timeout }
}

function ofClaim(object: KubeObject, index: Index): Unsettled | undefined {
  const { metadata, status = {} } = object
  const bad = conditionsOf(object).find(isBad)
  if (bad) return ofCondition(object, bad, index)
  const isSettled = ['Bound', 'Lost'].includes(status.phase)
  // Until a pod uses it there may be nothing to bind.
  const isUnused = !metadata.annotations?.['volume.kubernetes.io/selected-node']
  if (isSettled || isUnused) return undefined
  return { object, cause: `is ${status.phase ?? 'not handled'}, not bound`, lasts: age(object, index) }
}

/** A port of a Service that its load balancer has refused. */
function ofAddress(object: KubeObject, index: Index): Unsettled | undefined {
  type Addresses = { ports?: { port?: number; error?: string }[] }[]
  const refused = ((object.status?.loadBalancer?.ingress ?? []) as Addresses)
    .flatMap(({ ports = [] }) => ports)
    .find(({ error }) => error)
  if (!refused) return undefined
  const cause = `port ${refused.port} of its address: ${short(refused.error!)}`
  return { object, cause, lasts: age(object, index) }
}

function ofExperiment(object: KubeObject): Unsettled | undefined {
  const { apiVersion, kind, metadata } = object
  if (!/(^|\.)chaos-mesh\.org\//.test(apiVersion)) return undefined
  const place = metadata.namespace ? `-n ${metadata.namespace} ` : ''
  return {
    object,
    rule: 'experiment-running',
    cause: 'it is an experiment of Chaos Mesh, which brings faults about on purpose',
    lasts: START_PATIENCE,
    remedy: {
      text: 'delete it, unless somebody tests the cluster now',
      command: `kubectl ${place}delete ${kind.toLowerCase()}.chaos-mesh.org ${metadata.name}`,
    },
  }
}

function ofConditions(object: KubeObject, index: Index): Unsettled | undefined {
  const all = conditionsOf(object)
  const isTrue = (types: RegExp) => all.some(({ type, status }) => status === 'True' && types.test(type))
  const isSettled = isTrue(SETTLES)
  const isUpdated = isTrue(/^(Available|Ready)$/) && isTrue(/^Progressing$/)
  const isFine = (each: Condition) =>
    (isSettled && each.status === 'False' && ABILITY.test(each.type)) ||
    // Argo Rollouts says no more while an update is under way.
    (isUpdated && each.type === 'Healthy' && isBare(each)) ||
    isNeverSet(each, object) ||
    (/^NoPods/.test(each.type) && runsNone(object.spec?.targetRef, object, index))
  const bad = all.filter(
    each =>
      (isBad(each) && !isFine(each)) || (!isSettled && each.status === 'False' && PART_WORKS.test(each.type)),
  )
  const telling = bad.find(({ message }) => TROUBLE.test(message ?? '')) ?? bad[0]
  if (!telling || (telling.reason && isAccepted(object, telling.reason, index))) return undefined
  const { status = {} } = object
  // A phase that says so, or why, says more than a condition without a reason.
  const more = status.phaseReason || statesOf(object).some(state => FAILED.test(state) || RESTS.test(state))
  const words = `${telling.reason ?? ''} ${telling.message ?? ''}`
  const warning = isBare(telling) ? warningOf(object, index) : undefined
  if (warning)
    return {
      ...ofCondition(object, telling, index),
      cause: `${telling.type} is ${telling.status}: ${short(String(warning.message ?? ''))}`,
      remedy: remedyOf(object, String(warning.message ?? words)),
    }
  if (TROUBLE.test(telling.message ?? '')) return ofCondition(object, telling, index)
  const [, why] =
    Object.entries(status).find(([field]) => /^last\w+\.(message|description)$/.test(field)) ?? []
  const message = TROUBLE.test(String(why)) ? `${telling.message}: ${why}` : telling.message
  return more ? undefined : ofCondition(object, { ...telling, message }, index)
}

/** Whether what an object is for has no pods on purpose, or only now and then. */
function runsNone(ref: Partial<Ref> | undefined, { metadata }: KubeObject, index: Index): boolean {
  const target = index.get(ref?.kind ?? '', metadata.namespace, ref?.name ?? '')
  return target !== undefined && (target.kind === 'CronJob' || target.spec?.replicas === 0)
}

/** The warnings about an object of the last hour, the newest first. */
const warningsOf = (object: KubeObject, index: Index): KubeObject[] =>
  eventsOf(index, object, /./).filter(({ type }) => type === 'Warning')

/** What the controller of an object has warned of several times within the last hour: mostly that is the reason. */
const warningOf = (object: KubeObject, index: Index): KubeObject | undefined =>
  warningsOf(object, index).find(event => timesSeen(event) >= 3)

/** A step of an object that is not done. */
interface Step {
  phase: string
  message: string
}

/** By these words something says that a part of it has failed, and not why. */
const OF_CHILD = /^(child|step|task|stage|node) \S{1,200} (has )?failed$/i

/** A step of something that is under way and waits for what it was refused, or that has failed by its verdict. */
function ofSteps(object: KubeObject, index: Index): Unsettled | undefined {
  const { status = {} } = object
  const [waiting] = ((status.stuck ?? []) as Step[]).filter(
    ({ phase, message }) => /^(pending|fail(ed)?)$/i.test(phase) && TROUBLE.test(message),
  )
  if (!waiting || !isOfOthers(object)) return undefined
  const known = recognise(refusals, object, waiting.message)
  return {
    object,
    cause: `a step of it ${/^fail/i.test(waiting.phase) ? 'has failed' : `is ${waiting.phase}`}: ${short(waiting.message)}`,
    lasts: age(object, index),
    ...(known ? { remedy: { text: known.fix, command: describing(object) } } : {}),
  }
}

/** Databases and the like of which an operator counts the replicas: none is ready. */
function ofReplicas(object: KubeObject, index: Index): Unsettled | undefined {
  const { replicas, instances, readyReplicas, readyInstances } = object.status ?? {}
  const wanted = replicas ?? instances
  if (!isOfOthers(object) || !(wanted > 0) || (readyReplicas ?? readyInstances) !== 0) return undefined
  return {
    object,
    cause: `${wanted === 1 ? 'its replica is not' : `none of its ${wanted} replicas is`} ready`,
    lasts: lastsAtMost(object, index),
    remedy: {
      text: 'see what the controller that runs it logs, and whether it has made any pods',
      command: describing(object),
    },
  }
}

function ofPhase(object: KubeObject, index: Index): Unsettled | undefined {
  const { status = {} } = object
  const phases = statesOf(object)
  const isFailed = (each: unknown) =>
    FAILED.test(String(each)) || (/ /.test(String(each)) && TROUBLE.test(String(each)))
  const phase = String(phases.find(isFailed) ?? phases.find(Boolean) ?? '')
  const ofParts = listedParts(status).flatMap(({ errors = [] }) => errors.map(({ message }) => message))
  const [error] = [status.errors, status.error?.message ?? status.error, ofParts].flat().filter(Boolean)
  const { message = named(status), health, phaseReason, reason, failureReason } = status
  const told = error ?? message ?? health?.message ?? phaseReason ?? reason ?? failureReason
  // What names only a part of it, or nothing, is told by that part.
  const [step] = ((status.stuck ?? []) as Step[]).filter(({ phase: of }) => !/^pending$/i.test(of))
  const words = step && (!told || OF_CHILD.test(String(told))) ? step.message : told
  const hasBad = conditionsOf(object).some(isBad)
  if (!isFailed(phase) && !error && !(hasBad && phaseReason) && !(phase === 'pending' && words))
    return undefined
  const [warning] = index.events(object).filter(({ type }) => type === 'Warning')
  // What says that it was created well says nothing of why a part of it fails.
  const said = /success/i.test(String(words)) ? '' : short(String(words ?? warning?.message ?? ''))
  const fix = object.apiVersion.startsWith('velero.io/') ? storageFix(said) : undefined
  return {
    object,
    // What is a sentence stands for itself.
    cause: `${/ /.test(phase) ? phase : phase ? `is ${phase}` : 'does not work'}${said ? `: ${said}` : ''}`,
    lasts: lastsAtMost(object, index),
    ...(fix ? { remedy: { text: fix } } : {}),
  }
}

/** Words of a status in a field with a longer name: `failureMessage`. */
const named = (status: Record<string, unknown>) =>
  Object.entries(status).find(
    ([field, value]) => /\wMessages?$/.test(field) && typeof value === 'string',
  )?.[1]

/** Seconds since an object was created. */
const age = ({ metadata }: KubeObject, index: Index) => since(index, metadata.creationTimestamp)

/**
 * Seconds for which an object may have been as it is, where it does not say since when: since it was created, one of its
 * bad conditions or its pods have changed, or a server was started, whatever is the least.
 */
function lastsAtMost(object: KubeObject, index: Index): number {
  const starts = ['Starting', 'Rebooted'].flatMap(reason => index.eventsOfReason(reason))
  const started = starts
    .filter(({ involvedObject }) => involvedObject?.kind === 'Node')
    .map(event => (index.now - eventTime(event)) / 1000)
  // A condition that is not bad may come and go with each try.
  const changes = [
    ...conditionsOf(object).filter(isBad),
    ...podsOwnedBy(object, index).map(pod => condition(pod, 'Ready')),
  ].flatMap(found => (found?.lastTransitionTime ? [since(index, found.lastTransitionTime)] : []))
  return Math.min(age(object, index), ...changes, ...started)
}

/** The pods of an object, past a Deployment and its ReplicaSet, or whatever else is between. */
const podsOwnedBy = (object: KubeObject, index: Index, levels = 3): KubeObject[] =>
  index
    .ownedBy(object)
    .flatMap(each => (each.kind === 'Pod' ? [each] : levels > 1 ? podsOwnedBy(each, index, levels - 1) : []))

/** Whether the owner of an object has the same to say, and works: Knative runs nothing while nobody asks. */
const isAccepted = ({ metadata }: KubeObject, reason: string, index: Index) =>
  (metadata.ownerReferences ?? []).some(({ kind, name }) => {
    const owner = index.get(kind, metadata.namespace, name)
    return (
      owner && !isUnready(owner) && owner.status.conditions.some((each: Condition) => each.reason === reason)
    )
  })

const isUnready = (object: KubeObject | undefined) => condition(object ?? NOTHING, 'Ready')?.status !== 'True'
const NOTHING: KubeObject = { apiVersion: '', kind: '', metadata: { name: '' } }

/** What a Kustomization or release names in dependsOn. */
const dependencies = ({ kind, metadata, spec }: KubeObject, index: Index) =>
  ((spec?.dependsOn ?? []) as { name: string; namespace?: string }[]).map(each =>
    index.get(kind, each.namespace ?? metadata.namespace, each.name),
  )

function ofCondition(object: KubeObject, found: Condition, index: Index): Unsettled {
  const { type, status, reason = '', message = '' } = found
  return {
    object,
    cause: short(
      `${status ? `${type} is ${status}` : type}${reason ? ` (${reason})` : ''}${message ? `: ${message}` : ''}`,
    ),
    remedy: remedyOf(
      object,
      `${reason} ${message}`,
      ...warningsOf(object, index).map(event => String(event.message ?? '')),
    ),
    lasts: since(index, found.lastTransitionTime, object.metadata.creationTimestamp),
  }
}
