/** What the API server has refused an account, in its words: whom the account belongs to, and what was to grant it. */
import { type KubeObject, type Ref, refOf } from '../../kubectl/kubectl.ts'
import type { Index } from '../snapshot.ts'

const FORBIDDEN =
  /User "system:serviceaccount:([\w-]+):([\w.-]+)" cannot (\w+) resource "([\w./-]+)"(?: in API group "[^"\n]{0,200}")?(?: in the namespace "([\w-]+)")?/

/** What an account may not do. */
export interface RefusedRight {
  account: Ref
  verb: string
  /** In the plural, as in a Role. */
  resource: string
  /** The namespace in which; undefined for all. */
  place: string | undefined
}

/** Where a right is lacking, in words: nothing where it is everywhere. */
export const placeOfRight = ({ place }: RefusedRight) => (place ? ` in the namespace ${place}` : '')

/** What says whether an account has a right by now. */
export const askForRight = ({ account, verb, resource, place }: RefusedRight) =>
  `kubectl auth can-i ${verb} ${resource}${place ? ` -n ${place}` : ''} --as system:serviceaccount:${account.namespace}:${account.name}`

/** The right that words say an account lacks; undefined when they say none. Pure. */
export function refusedRight(words: string): RefusedRight | undefined {
  // Programs that log in JSON escape the quotes.
  const [, namespace, name, verb, resource, place] = FORBIDDEN.exec(words.replaceAll('\\"', '"')) ?? []
  if (!name || !verb || !resource) return undefined
  return { account: { apiVersion: 'v1', kind: 'ServiceAccount', namespace, name }, verb, resource, place }
}

/** The bindings that mean an account, and name it in a namespace where it is not. Pure. */
export function boundElsewhere({ account, place }: RefusedRight, index: Index): Ref[] {
  type Subject = { kind?: string; name?: string; namespace?: string }
  const found = [...index.within('RoleBinding', place), ...index.all('ClusterRoleBinding')].filter(
    ({ subjects = [] }: KubeObject) => {
      const named = (subjects as Subject[]).filter(
        ({ kind, name }) => kind === 'ServiceAccount' && name === account.name,
      )
      return named.length > 0 && named.every(({ namespace }) => namespace !== account.namespace)
    },
  )
  return found.map(refOf)
}

/** The RoleBindings by which an account has a ClusterRole, which counts in their namespaces alone. Pure. */
export function roleBindingsOf({ account }: RefusedRight, index: Index): KubeObject[] {
  type Subject = { kind?: string; name?: string; namespace?: string }
  return index
    .all('RoleBinding')
    .filter(
      ({ metadata, roleRef, subjects = [] }) =>
        roleRef?.kind === 'ClusterRole' &&
        (subjects as Subject[]).some(
          ({ kind, name, namespace = metadata.namespace }) =>
            kind === 'ServiceAccount' && name === account.name && namespace === account.namespace,
        ),
    )
}

/** The right that some container says it lacks for an object. Pure. */
export function rightLackingFor({ kind, metadata }: KubeObject, index: Index): RefusedRight | undefined {
  const { complaints = [], lastLines = [] } = index.snapshot
  for (const line of [...complaints, ...lastLines].flatMap(({ text }) => text.split('\n'))) {
    const right = line.includes(metadata.name) ? refusedRight(line) : undefined
    const isHere = right?.place === undefined || right.place === metadata.namespace
    // The plural of a kind is not known here: `ingresses`, `networkpolicies`.
    if (right && isHere && right.resource.startsWith(kind.toLowerCase().slice(0, -1))) return right
  }
  return undefined
}
