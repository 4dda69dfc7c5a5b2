/** The words in which an object of whatever kind says how it is: types of conditions, phases, and what they mean. */
import type { Condition } from '../../flux/flux.ts'
import type { KubeObject } from '../../kubectl/kubectl.ts'

/** Conditions by which an object of whatever kind says that it works. */
const WORKS =
  /^(Ready|Available|Established|NamesAccepted|Reconciled|Synced|Healthy|Accepted|Programmed|ResolvedRefs)$/

/** Words of conditions by which it says that it does not: at the end of the type of one that is True. */
const NEGATIVE =
  'Failed|Failure|NotReady|Degraded|Errors?|Stalled|Unhealthy|Conflict(?:ed)?|Invalid|Blocked|Un(?:schedulable|supported|reachable|available)'
const FAILS = new RegExp(`(?:${NEGATIVE})$|^No(?:Matching|Such)|^No[A-Z]\\w{0,30}Matched$`)
/** Types of which False is good, whatever the reason says: Cilium writes `MissingPeerConfigs` for both. */
const GOOD_IF_FALSE = new RegExp(
  `(?<!No|Not)(?:${NEGATIVE}|NotFound|Evicted|Preempted|MissingPeerConfigs|MissingAuthSecret|ConflictingClusterConfig\\w*)$`,
)
/** Types that say what may be done with an object, not how it is: `LiveMigratable`, `Upgradeable`. */
export const ABILITY = /(?<!Avail|Reach|Schedul)able$/
/** Of a part, where it says nothing of the whole, and has not come to its end. */
export const PART_WORKS = /[a-z](?<!Not)(Ready|Synchronized)$|^Valid$/
/** Words in which a condition of any other type, or whatever else, says so. */
export const TROUBLE =
  /fail|error|invalid|not ?found|no such|unable|can(no|')t|couldn't|could not|denied|refus|forbidden|missing|unavailable|timed? ?out|retrying|not (exist|installed|satisf|reachable|supported)|unrecoverable/i

/** Phases by which an object of whatever kind says that it does not. */
export const FAILED =
  /^(\w{0,20}(fail(ed|ure)|_err(or)?)|(failed|err(or)?)\w{0,30}|degraded|faulted|missing|unhealthy|lost|invalid|unavailable|not ?ready|red)$/i

/** Phases of an object that was stopped on purpose, or has no requests: it rests. */
export const RESTS = /^(reconcil\w{0,10})?(paused|suspended|stopped|halted|hibernated|sleeping|NoTraffic)$/i
/** Words by which something says that it rests. Knative: `Revision is inactive.` */
const AT_REST = /\bis (inactive|idle)\.?$/i

/** Whether an object says by a condition that it does not work. */
export const isBad = ({ type = '', status, reason = '', message = '' }: Partial<Condition>) =>
  !RESTS.test(reason) &&
  !AT_REST.test(message) &&
  ((WORKS.test(type) && status !== 'True') ||
    // Argo CD's conditions have no status: one that is there counts.
    (FAILS.test(type) && (status === 'True' || status === undefined)) ||
    (status === 'False' && !GOOD_IF_FALSE.test(type) && TROUBLE.test(`${reason} ${message}`)) ||
    (type === 'Progressing' && TROUBLE.test(reason)))

/** Conditions by which an object says that it works as a whole, or is done. */
export const SETTLES = /^(Ready|Available|Finished|Completed?|Succeeded)$/

/** Words of a fault. That something is missing is what a rest is: a machine that does not exist, as it is stopped. */
const FAULT = /fail|error|crash|denied|refus|unable|couldn't|could not|timed? ?out/i

/** Whether an object says that it was stopped on purpose, and of nothing that it has failed. */
export function isResting(object: KubeObject): boolean {
  const conditions = conditionsOf(object)
  const says = conditions.flatMap(({ status, reason = '' }) => (status === 'True' ? [reason] : []))
  const hasFailed = conditions.some(
    each => isBad(each) && (FAILS.test(each.type) || FAULT.test(`${each.reason} ${each.message}`)),
  )
  return !hasFailed && [...statesOf(object), ...says].some(each => RESTS.test(each))
}

/** Whether a condition says only that nobody has ever set something: of a part that its object works without. */
export const isNeverSet = ({ type, message = '', lastTransitionTime }: Condition, object: KubeObject) =>
  !WORKS.test(type) &&
  (FAILS.test(type) || conditionsOf(object).some(each => WORKS.test(each.type) && each.status === 'True')) &&
  /\b(is|are) (empty|not (set|configured))\b/i.test(message) &&
  Date.parse(lastTransitionTime ?? '') - Date.parse(object.metadata.creationTimestamp ?? '') < SOON

/** Milliseconds after its creation in which the first state of an object is written. */
const SOON = 300_000

/** Words that say no more than that something does not work. */
const BARE =
  /^(?:(?:[\w()'/"-]{1,60} ){0,6}(?:is|are|was|were)(?: still)? )?(?:not|n't|un)[ -]?(?:yet )?(?:healthy|ready|available|running)\b.{0,20}$/i

/** Whether a condition says that its object does not work, and not why. */
export const isBare = ({ message = '' }: Condition) => message.trim() === '' || BARE.test(message.trim())

/** How an object is, in one word each, by whatever field. */
export const statesOf = ({ status = {} }: KubeObject): string[] =>
  [
    ...Object.entries(status).flatMap(([field, value]) =>
      /(status|state|phase|health)$/i.test(field) ? [value] : [],
    ),
    status.health?.status,
    status.connectionState?.lastObservedState,
    // What is degraded still works.
    status.robustness === 'faulted' ? 'faulted' : undefined,
  ].filter(value => typeof value === 'string')

/** The parts that a status lists, as the listeners of a Gateway. */
export const listedParts = (
  status: object,
): { conditions?: Condition[]; errors?: { message?: string }[] }[] =>
  Object.values(status)
    .flatMap(value => (Array.isArray(value) ? value : []))
    .filter(each => each?.conditions || each?.errors)

/** The conditions of an object, and those of the parts that its status lists. */
export function conditionsOf({ status = {} }: KubeObject): Condition[] {
  return [status, ...listedParts(status)].flatMap(({ conditions = [] }) => conditions)
}
