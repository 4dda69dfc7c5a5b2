import type { KubeObject } from '../../kubectl/kubectl.ts'
import { withDerived } from './derived.ts'
import { kindOf } from './kinds.ts'
import { KUBERNETES_KINDS } from './kubernetes.ts'
import { CONDITIONS, METADATA, REF, UNKNOWN } from './parts.ts'
import type { Fields, Shape } from './pick.ts'
import { allowedPart } from './pick.ts'
import { PLATFORM_KINDS } from './platform.ts'

/** What is needed of an event: there are more of them than of anything else. */
const OF_EVENTS: Fields = { name: 'text', namespace: 'text', creationTimestamp: 'text' }

/** Of kinds that no rule knows: what they say of themselves, and the objects that they name. */
const OTHERS: Fields = { spec: { '*': REF }, status: UNKNOWN }

/** Whether an object is of a kind that no rule knows, so that only what it says of itself is read. */
export const isOfOthers = (object: Pick<KubeObject, 'apiVersion' | 'kind'>): boolean =>
  !(kindOf(object) in KUBERNETES_KINDS) && !(kindOf(object) in PLATFORM_KINDS)

/**
 * The part of an object that facts hold: the fields that are allowed for its kind, of the types that they have to be.
 * Everything else may be a secret, or harm whoever reads it: values of releases and substitutions, variables, command
 * lines, what probes send, annotations of others. Pure.
 */
export function factOf(object: KubeObject): KubeObject {
  const { apiVersion, kind } = object
  const known = kindOf(object)
  const fields = KUBERNETES_KINDS[known] ?? PLATFORM_KINDS[known] ?? OTHERS
  const {
    metadata,
    spec: picked,
    ...rest
  } = allowedPart(withDerived(object), {
    metadata: kind === 'Event' ? OF_EVENTS : METADATA,
    ...fields,
  }) as Partial<KubeObject>
  const spec = fields === OTHERS && picked ? namesIn(picked) : picked
  if (fields === OTHERS && rest.status) rest.status = { ...saidIn(object.status), ...rest.status }
  return {
    apiVersion: shared(String(apiVersion)),
    kind: shared(String(kind)),
    metadata: {
      ...metadata,
      ...(metadata?.labels ? { labels: shared(metadata.labels) } : {}),
    } as KubeObject['metadata'],
    ...(spec === undefined ? {} : { spec: shared(spec) }),
    ...rest,
  }
}

/** Of a spec the fields that name another object by their own name: `storeRef`, `providerRef`. */
const namesIn = (spec: object) =>
  Object.fromEntries(Object.entries(spec).filter(([field, { name }]) => /[a-z]Ref$/.test(field) && name))

/** Fields by which an object of others says how it is, in one word (`updateStatus: failed`), and why. */
const STATE = /^(?!last|prev|former)[\w.]{0,60}(status|state|phase|health)$/i
const WORDS = /^[\w.]{0,60}(message|error|\.description)s?$/i
/** Parts of a status that say how the whole is: `ceph.health`, `applicationState.state`. */
const INNER =
  /^(?!last|prev|former)[\w.]{0,60}(health|(state|status)\.)|^last(Update|Operation)\.(message|description)$/i
/** Parts of what is done in steps (`nodes`, `children`, `steps`), by their names or in a list, that have not worked. */
const STEPS = /^(nodes|children|steps|tasks|stages|experiments)$/i
const STUCK = /^(pending|error|failed)$/i
/** How a part that is over is judged, in a word of its own: `verdict: Fail`, beside a status in words. */
const VERDICT = /^fail(ed)?$/i
const MOST_STUCK = 20

/** What the steps of a status that are not done say. */
function stuckIn(status: Record<string, unknown>): object[] {
  return Object.entries(status)
    .filter(([field]) => STEPS.test(field))
    .flatMap(([, steps]) => (typeof steps === 'object' && steps !== null ? Object.values(steps) : []))
    .flatMap(step => {
      const isJudged = VERDICT.test(String(step?.verdict ?? ''))
      const phase = step?.phase ?? (isJudged ? step.verdict : (step?.state ?? step?.status))
      const words = isJudged && typeof step.status === 'string' ? `${step.name}: ${step.status}` : undefined
      const message = step?.message ?? words
      if (typeof phase !== 'string' || typeof message !== 'string' || !message) return []
      if (!STUCK.test(phase) && !isJudged) return []
      return [{ phase, message: allowedPart(message, 'message') }]
    })
    .slice(0, MOST_STUCK)
}

const PARTS: Shape = [{ conditions: CONDITIONS, errors: [{ message: 'message' }] }]

/** What a status says by whatever field, in its parts and of each of those that it lists. */
function saidIn(status: Record<string, unknown>): Record<string, unknown> {
  const parts = Object.entries(status).flatMap(([field, value]): [string, unknown][] =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.entries(value)
          .map(([name, inner]): [string, unknown] => [`${field}.${name}`, inner])
          .filter(([name]) => INNER.test(name))
      : [[field, Array.isArray(value) ? value.filter(each => typeof each === 'string').join('; ') : value]],
  )
  const lists = Object.entries(status).flatMap(([field, value]): [string, unknown][] => {
    const list = allowedPart(value, PARTS) as object[] | undefined
    return list?.some(each => Object.keys(each).length > 0) ? [[field, list]] : []
  })
  const stuck = stuckIn(status)
  return Object.fromEntries([
    ...(stuck.length > 0 ? [['stuck', stuck]] : []),
    ...lists,
    ...parts.flatMap(([field, value]) => {
      const isSaid = STATE.test(field)
        ? /^[a-z_]{2,40}$/i.test(String(value))
        : WORDS.test(field) && value !== ''
      const said = isSaid ? allowedPart(value, 'message') : undefined
      return said === undefined ? [] : [[field, said]]
    }),
  ])
}

/** Equal parts of objects, by their JSON: the pods of a workload have one spec, which is held once. */
const parts = new Map<string, unknown>()
const MOST_PARTS = 2000
const LONGEST_PART = 8192

function shared<T>(part: T): T {
  const json = JSON.stringify(part)
  const found = parts.get(json)
  if (found !== undefined) return found as T
  if (json.length > LONGEST_PART) return part
  if (parts.size === MOST_PARTS) parts.clear()
  parts.set(json, part)
  return part
}
