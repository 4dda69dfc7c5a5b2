/**
 * The last net: whatever has not worked for minutes and is not told by any other rule is told in its own words. So
 * "nothing is broken" means that everything that was read works.
 */
import { type Condition, condition, standing } from '../../flux/flux.ts'
import { type KubeObject, type Ref, refOf } from '../../kubectl/kubectl.ts'
import { durationText } from '../../script/duration.ts'
import { kindOf } from '../allowed/kinds.ts'
import { isOfOthers } from '../allowed/object.ts'
import { type Finding, type Remedy, tell } from '../finding.ts'
import { keyOf } from '../graph.ts'
import { eventTime, type Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { adviceOn } from './advice.ts'
import { storageFix } from './backup-runs.ts'
import { warnings } from './certificate-events.ts'
import { goDurationSeconds, refTo } from './failure.ts'
import { meaningOf } from './last-words.ts'
import { isWorking, jobMaking, podTrouble } from './pod-states.ts'
import { sourceFix } from './sources.ts'
import {
  describing,
  eventsOf,
  oncePerWorkload,
  podsOf,
  since,
  timesSeen,
  workloadOf,
} from './workload-facts.ts'

/** Seconds that anything may take to start: images are pulled and databases are prepared in that time. */
const PATIENCE = 600

/** What is not told yet of an object, as a finding. */
interface Unsettled {
  object: KubeObject
  cause: string
  lasts: number
  remedy?: Remedy
  rule?: string
}

/** Findings for what no rule has told. Pure. */
export function unexplained(index: Index, told: readonly Finding[] = []): Finding[] {
  const known = new Set(told.map(({ subject }) => keyOf(subject)))
  const sick = new Set(
    told
      .filter(({ subject, verdict }) => subject.kind === 'Node' && verdict === 'broken')
      .map(({ subject }) => subject.name),
  )
  const found = [...pods(index, known), ...objects(index)].filter(
    ({ object, lasts }) => lasts >= PATIENCE && !known.has(keyOf(refOf(object))),
  )
  const once = found.map(each => {
    const node = each.object.kind === 'Pod' ? each.object.spec?.nodeName : undefined
    return {
      ...findingOf(each, index),
      ...(sick.has(node) ? { symptom: true as const, causedBy: [refTo('Node', undefined, node)] } : {}),
      of: workloadOf(each.object, index),
    }
  })
  return [...oncePerWorkload(once), ...warned(index, [...told, ...once])]
}

/** Kinds with rules of which warnings are told, too, although they work; so are those of kinds without rules. */
const WARNED = /^(Node|Pod|Service|Ingress|PersistentVolumeClaim|ServiceAccount)$/

/** Reasons of warnings that rules judge by how often and how long they come, and of mere notes: an audit, a hint. */
const JUDGED =
  /^(Unhealthy|ProbeWarning|BackOff|Failed|Evicted|FailedScheduling|FailedMount|FailedAttachVolume|InvalidDiskCapacity|Rebooted|Cgroup\w+|VolumeResizeFailed|PolicyViolation|TopologyAwareHints\w+)$/

/** Warnings that have come at least so often, for at least so many seconds, and not longer ago than that. */
const OFTEN = { times: 10, lasts: 900, ago: 600 }

/** Reasons by which something says that an object will never do as it is: twice is enough. */
const REFUSED = /^(Invalid|Rejected|BadConfig|Unsupported)/

/** What objects that work keep warning of: each warning once, with the number of those that it is about. */
function warned(index: Index, told: readonly Finding[]): Finding[] {
  const known = new Set(told.map(({ subject }) => keyOf(subject)))
  const names = new Set(told.map(({ subject }) => subject.name))
  const found = new Map<string, { object: KubeObject; event: KubeObject; others: number }>()
  for (const event of index.snapshot.objects) {
    if (event.kind !== 'Event' || event.type !== 'Warning') continue
    if (timesSeen(event) < (REFUSED.test(event.reason ?? '') ? 2 : OFTEN.times)) continue
    const { kind = '', apiVersion = '', namespace, name = '' } = event.involvedObject ?? {}
    const object = index.get(kindOf({ kind, apiVersion }), namespace, name)
    if (object && !WARNED.test(kind) && !isOfOthers(object)) continue
    if (JUDGED.test(event.reason ?? '')) continue
    const begun = since(index, event.firstTimestamp, event.metadata.creationTimestamp)
    if (!object || begun < OFTEN.lasts || index.now - eventTime(event) > OFTEN.ago * 1000) continue
    const isTold =
      [object, workloadOf(object, index)].some(each => known.has(keyOf(refOf(each)))) ||
      String(event.message)
        .match(/[\w.-]+/g)
        ?.some(word => names.has(word))
    if (isTold || (kind === 'Pod' && !isWorking(object, index))) continue
    const key = `${kind} ${event.reason} ${String(event.message).replaceAll(name, '')}`
    const earlier = found.get(key)
    if (earlier) earlier.others++
    else found.set(key, { object, event, others: 0 })
  }
  return [...found.values()].map(({ object, event, others }) =>
    tell(object, {
      rule: 'warned-repeatedly',
      verdict: 'warning',
      cause: `${object.kind === 'Pod' ? 'works, but ' : ''}keeps warning (${event.reason}): ${short(String(event.message ?? ''), 250)}${others > 0 ? ` (and ${others} more of the same)` : ''}`,
      evidence: [`${timesSeen(event)} times`],
      ...remedyOf(object, String(event.message)),
      ...(/nameserver|search line/i.test(String(event.message))
        ? {
            text: 'leave at most three name servers and few search domains in /etc/resolv.conf of the server',
          }
        : {}),
    }),
  )
}

function findingOf({ object, cause, lasts, remedy, rule }: Unsettled, index: Index): Finding {
  return {
    rule: rule ?? `${object.kind.toLowerCase()}-not-working`,
    verdict: 'broken',
    subject: refOf(object),
    cause,
    evidence: [`for ${durationText(lasts * 1000)}`, ...warnings(object, index)],
    remedy: remedy ?? remedyOf(object, cause),
    // A pod suffers from its node, a release from its pods: what is deeper is told in its place.
    ...(object.kind === 'Pod' ? {} : { symptom: true as const, causedBy: namedIn(object, cause, index) }),
  }
}

/** The objects that one of others names in its words (`SecretStore "vault"`, `Database/shop/orders`), its Job, and what it owns. */
function namedIn(object: KubeObject, words: string, index: Index): Ref[] {
  const { metadata, status } = object
  const named = [
    ...words.matchAll(
      /\b([A-Z][A-Za-z]{2,60})[ /]["'`]?(?:([a-z0-9-]{1,63})\/)?([a-z0-9][a-z0-9.-]{0,252})/g,
    ),
  ].map(([, kind = '', namespace, name = '']) => refTo(kind, namespace ?? metadata.namespace, name))
  const jobs = status?.jobName ? [refTo('Job', metadata.namespace, status.jobName)] : []
  return [...jobs, ...named.filter(ref => index.find(ref) !== undefined), ...index.ownedBy(object).map(refOf)]
}

/** For how long the controller of a pod has made one after the other, since each fails. */
function recreated(pod: KubeObject, index: Index): number {
  const [event] = eventsOf(index, workloadOf(pod, index), /^(FailedDaemonPod|Recreating\w{1,20}Pod)$/)
  return event && timesSeen(event) > 2 ? since(index, event.firstTimestamp) : 0
}

function pods(index: Index, known: ReadonlySet<string>): Unsettled[] {
  return podsOf(index).flatMap(pod => {
    if (isWorking(pod, index) || known.has(keyOf(refOf(jobMaking(pod, index) ?? pod)))) return []
    const lasts = Math.max(
      Math.min(
        since(index, pod.metadata.creationTimestamp),
        since(index, condition(pod, 'Ready')?.lastTransitionTime, pod.metadata.creationTimestamp),
      ),
      recreated(pod, index),
    )
    return [{ object: pod, lasts, ...podTrouble(pod, index) }]
  })
}

/** Conditions by which an object of whatever kind says that it works. */
const WORKS =
  /^(Ready|Available|Established|NamesAccepted|Reconciled|Synced|Healthy|Accepted|Programmed|ResolvedRefs)$/

/** Conditions by which it says that it does not, and words in which it says so of any other. */
const FAILS =
  /(Failed|Failure|NotReady|Degraded|Errors?|Stalled|Unhealthy|Conflict(ed)?|Invalid|Blocked|Un(schedulable|supported|reachable|available))$|^No(Matching|Such)|^No[A-Z]\w{0,30}Matched$/
/** Of a part, where it says nothing of the whole, and has not come to its end. */
const PART_WORKS = /[a-z](?<!Not)(Ready|Synchronized)$|^Valid$/
const TROUBLE =
  /fail|error|invalid|not ?found|no such|unable|can(no|')t|couldn't|could not|denied|refus|forbidden|missing|unavailable|timed? ?out|retrying|not (exist|installed|satisf|reachable|supported)|unrecoverable/i

/** Phases by which an object of whatever kind says that it does not. */
const FAILED =
  /^(\w{0,20}(fail(ed|ure)|_err(or)?)|(failed|err(or)?)\w{0,30}|degraded|faulted|missing|unhealthy|lost|invalid|unavailable|not ?ready|red)$/i

/** Phases that somebody has asked for: an object rests. */
const RESTS = /^(reconcil\w{0,10})?(paused|suspended|stopped|hibernated)$/i

/** Whether an object says by a condition that it does not work. */
const isBad = ({ type = '', status, reason = '', message = '' }: Partial<Condition>) =>
  !RESTS.test(reason) &&
  ((WORKS.test(type) && status !== 'True') ||
    // Argo CD's conditions have no status: one that is there counts.
    (FAILS.test(type) && (status === 'True' || status === undefined)) ||
    (status === 'False' && TROUBLE.test(`${reason} ${message}`)) ||
    (type === 'Progressing' && TROUBLE.test(reason)))

/** The sources, Kustomizations and releases of Flux: how long they may take is in their spec. */
const FLUX = /^(GitRepository|HelmRepository|HelmChart|OCIRepository|Bucket|Kustomization|HelmRelease)$/

/** Kinds with rules that tell all of their states, and kinds of which what has failed is history. */
const SETTLED =
  /^(Pod|Node|HorizontalPodAutoscaler|Deployment|ReplicaSet|StatefulSet|DaemonSet|Job|CertificateRequest|Order|Backup|Restore|BackupRepository|BackupStorageLocation|Schedule|PodVolume(Backup|Restore)|PersistentVolume)$/

function objects(index: Index): Unsettled[] {
  return index.kinds().flatMap(kind =>
    index.all(kind).flatMap(object => {
      const { deletionTimestamp, finalizers = [] } = object.metadata as Kept
      if (deletionTimestamp) return finalizers.length > 0 ? [leaving(object, finalizers, index)] : []
      return SETTLED.test(kind) ? [] : (stateOf(object, kind, index) ?? [])
    }),
  )
}

type Kept = KubeObject['metadata'] & { finalizers?: string[] }

/** What an object says of itself that it does not work by, if it does: the first that knows it tells. */
function stateOf(object: KubeObject, kind: string, index: Index): Unsettled | undefined {
  if (FLUX.test(kind)) return ofFlux(object, index)
  if (object.kind === 'PersistentVolumeClaim') return ofClaim(object, index)
  return (
    ofAddress(object, index) ??
    ofExperiment(object) ??
    ofConditions(object, index) ??
    ofPhase(object, index) ??
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
    lasts: PATIENCE,
    remedy: {
      text: 'delete it, unless somebody tests the cluster now',
      command: `kubectl ${place}delete ${kind.toLowerCase()}.chaos-mesh.org ${metadata.name}`,
    },
  }
}

function ofConditions(object: KubeObject, index: Index): Unsettled | undefined {
  const all = conditionsOf(object)
  const isSettled = all.some(({ type, status }) => status === 'True' && SETTLES.test(type))
  const bad = all.filter(
    each => isBad(each) || (!isSettled && each.status === 'False' && PART_WORKS.test(each.type)),
  )
  const telling = bad.find(({ message }) => TROUBLE.test(message ?? '')) ?? bad[0]
  if (!telling || (telling.reason && isAccepted(object, telling.reason, index))) return undefined
  const { status = {} } = object
  // A phase that says so, or why, says more than a condition without a reason.
  const more = status.phaseReason || statesOf(object).some(state => FAILED.test(state) || RESTS.test(state))
  if (TROUBLE.test(telling.message ?? '')) return ofCondition(object, telling, index)
  const [, why] =
    Object.entries(status).find(([field]) => /^last\w+\.(message|description)$/.test(field)) ?? []
  const message = TROUBLE.test(String(why)) ? `${telling.message}: ${why}` : telling.message
  return more ? undefined : ofCondition(object, { ...telling, message }, index)
}

/** Conditions by which an object says that it works as a whole, or is done. */
const SETTLES = /^(Ready|Available|Finished|Completed?|Succeeded)$/

/** How an object is, in one word each, by whatever field. */
const statesOf = ({ status = {} }: KubeObject): string[] =>
  [
    ...Object.entries(status).flatMap(([field, value]) =>
      /(status|state|phase|health)$/i.test(field) ? [value] : [],
    ),
    status.health?.status,
    status.connectionState?.lastObservedState,
    // What is degraded still works.
    status.robustness === 'faulted' ? 'faulted' : undefined,
  ].filter(value => typeof value === 'string')

/** Databases and the like of which an operator counts the replicas: none is ready. */
function ofReplicas(object: KubeObject, index: Index): Unsettled | undefined {
  const { replicas, instances, readyReplicas, readyInstances } = object.status ?? {}
  const wanted = replicas ?? instances
  if (!isOfOthers(object) || !(wanted > 0) || (readyReplicas ?? readyInstances) !== 0) return undefined
  return {
    object,
    cause: `${wanted === 1 ? 'its replica is not' : `none of its ${wanted} replicas is`} ready`,
    lasts: age(object, index),
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
  const ofParts = partsOf(status).flatMap(({ errors = [] }) => errors.map(({ message }) => message))
  const [error] = [status.errors, status.error?.message ?? status.error, ofParts].flat().filter(Boolean)
  const { message = named(status), health, phaseReason, reason, failureReason } = status
  const words = error ?? message ?? health?.message ?? phaseReason ?? reason ?? failureReason
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
    lasts: age(object, index),
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

/** The parts that a status lists, as the listeners of a Gateway. */
const partsOf = (status: object): { conditions?: Condition[]; errors?: { message?: string }[] }[] =>
  Object.values(status)
    .flatMap(value => (Array.isArray(value) ? value : []))
    .filter(each => each?.conditions || each?.errors)

/** The conditions of an object, and those of the parts that its status lists. */
function conditionsOf({ status = {} }: KubeObject): Condition[] {
  return [status, ...partsOf(status)].flatMap(({ conditions = [] }) => conditions)
}

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

/** An object that was deleted, and that a finalizer keeps. */
function leaving(object: KubeObject, finalizers: readonly string[], index: Index): Unsettled {
  const { kind, metadata } = object
  const lasts = since(index, metadata.deletionTimestamp)
  const place = metadata.namespace ? `-n ${metadata.namespace} ` : ''
  return {
    object,
    rule: 'stuck-terminating',
    cause: `was deleted ${durationText(lasts * 1000)} ago, and nothing has removed its finalizer ${finalizers.join(', ')}`,
    lasts,
    remedy: {
      text: 'see why the program of the finalizer does not run or cannot do its work; if it was removed for good, remove the finalizer',
      command: `kubectl ${place}patch ${kind.toLowerCase()} ${metadata.name} --type merge -p '{"metadata":{"finalizers":null}}'`,
    },
  }
}

/** What to do about an object that says in words of its own why it does not work. */
function remedyOf(object: KubeObject, words: string): Remedy {
  const where = `in the manifest of ${object.kind} ${object.metadata.name}`
  const read = object.kind === 'ImageRepository' ? sourceFix(object, words) : undefined
  const known = meaningOf(words)
  const meant = known && !known.rule.startsWith('container-setting') ? known.fix(where) : undefined
  return {
    text:
      read ?? adviceOn(words, where) ?? meant ?? 'correct what it says; its events and conditions tell more',
    command: describing(object),
  }
}

function ofCondition(object: KubeObject, found: Condition, index: Index): Unsettled {
  const { type, status, reason = '', message = '' } = found
  return {
    object,
    cause: short(
      `${status ? `${type} is ${status}` : type}${reason ? ` (${reason})` : ''}${message ? `: ${message}` : ''}`,
    ),
    remedy: remedyOf(object, `${reason} ${message}`),
    lasts: since(index, found.lastTransitionTime, object.metadata.creationTimestamp),
  }
}
