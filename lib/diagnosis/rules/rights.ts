/** Rights that are missing, as events tell; what waits to be granted; and classes of which two are the default. */
import { SOURCE_ACCOUNT } from '../../flux/own-sources.ts'
import type { KubeObject } from '../../kubectl/kubectl.ts'
import { CHECK_LABEL } from '../../platform/overrides.ts'
import { durationText } from '../../script/duration.ts'
import { type Finding, type Rule, tell } from '../finding.ts'
import { keyOf } from '../graph.ts'
import { short } from '../text.ts'
import { refTo } from './failure.ts'
import {
  askForRight,
  boundElsewhere,
  placeOfRight,
  type RefusedRight,
  refusedRight,
} from './refused-rights.ts'
import { since, suffersFrom, timesSeen } from './workload-facts.ts'

/** What an account was refused: an event tells it. */
interface Refused extends RefusedRight {
  event: KubeObject
}

/** Accounts that were refused something within the last hour. */
const forbidden: Rule = (index, told = []) => {
  const refused = new Map<string, Refused>()
  // Whoever acts as that account may say so itself.
  const known = new Set(
    told.filter(({ rule }) => rule === 'rights-missing').map(({ subject }) => keyOf(subject)),
  )
  for (const event of index.snapshot.objects) {
    if (event.kind !== 'Event' || event.type !== 'Warning') continue
    const right = refusedRight(String(event.message ?? ''))
    if (!right) continue
    const { namespace, name } = right.account
    // An own source is refused on purpose; its Kustomization tells it.
    if (name === SOURCE_ACCOUNT) continue
    const ago = since(index, event.lastTimestamp, event.eventTime, event.metadata.creationTimestamp)
    // What was refused once may have been granted a moment later.
    if (ago > (timesSeen(event) > 1 ? 3600 : 900)) continue
    // A check of override-app is refused on purpose; and who is gone needs no rights.
    const there = index.get('ServiceAccount', namespace, name)
    if (there ? there.metadata.labels?.[CHECK_LABEL] : !index.blind('ServiceAccount')) continue
    refused.set(`${namespace}/${name} ${right.verb} ${right.resource} ${right.place}`, { ...right, event })
  }
  return [...refused.values()].map((right): Finding => {
    const { account, event, verb, resource } = right
    const about = refTo(
      event.involvedObject?.kind ?? '',
      event.involvedObject?.namespace,
      event.involvedObject?.name ?? '',
    )
    const there = placeOfRight(right)
    return tell(account, {
      rule: 'rights-missing',
      cause: `may not ${verb} ${resource}${there}: no Role that is bound to it grants that`,
      evidence: [
        `event ${event.reason} of ${event.involvedObject?.kind} ${event.involvedObject?.name}: ${short(String(event.message))}`,
      ],
      text: `grant the right by a Role and a RoleBinding of this ServiceAccount${there}`,
      command: askForRight(right),
      ...suffersFrom([...(known.has(keyOf(about)) ? [about] : []), ...boundElsewhere(right, index)]),
    })
  })
}

/** Requests for a certificate of the cluster that nobody has approved: a kubelet without one answers no `kubectl logs`. */
const unapproved: Rule = index => {
  const waiting = index
    .all('CertificateSigningRequest')
    .filter(
      ({ metadata, status }) =>
        (status?.conditions ?? []).length === 0 && since(index, metadata.creationTimestamp) > 600,
    )
  const [first, ...more] = waiting
  if (!first) return []
  const { signerName, username } = first.spec ?? {}
  return [
    tell(first, {
      rule: 'certificate-request-not-approved',
      verdict: 'warning',
      cause: `has waited for approval for ${durationText(since(index, first.metadata.creationTimestamp) * 1000)}${more.length > 0 ? ` (and ${more.length} more)` : ''}: ${short(String(username))} gets no certificate of ${short(String(signerName))}`,
      text: 'approve it if it is of a node or a person that you know',
      command: `kubectl certificate approve ${first.metadata.name}`,
    }),
  ]
}

const DEFAULT = /is-default-class$/

/** Whether an object is what others get that name none. */
const isDefault = ({ metadata, spec }: KubeObject) =>
  spec?.default === true ||
  Object.entries(metadata.annotations ?? {}).some(([name, value]) => DEFAULT.test(name) && value === 'true')

/** Two defaults of one kind: which of them a claim, an Ingress or a backup gets changes by the newer one. */
const twoDefaults: Rule = index =>
  ['StorageClass', 'IngressClass', 'BackupStorageLocation'].flatMap((kind): Finding[] => {
    const [first, second, ...more] = index.all(kind).filter(isDefault)
    if (!first || !second || first.metadata.namespace !== second.metadata.namespace) return []
    const names = [first, second, ...more].map(({ metadata }) => metadata.name).join(' and ')
    return [
      tell(second, {
        rule: 'two-default-classes',
        verdict: 'warning',
        cause: `${names} are both the default ${kind}`,
        text: `leave one of them the default: ${kind === 'BackupStorageLocation' ? 'set spec.default of the others to false' : 'remove the annotation from the others'}`,
        command: `kubectl get ${kind.toLowerCase()}${second.metadata.namespace ? ` -n ${second.metadata.namespace}` : ''}`,
      }),
    ]
  })

export const rules: Rule[] = [forbidden, unapproved, twoDefaults]
