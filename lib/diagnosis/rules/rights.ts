/** Rights that are missing, as events tell; and classes of which two are the default. */
import { SOURCE_ACCOUNT } from '../../flux/own-sources.ts'
import type { KubeObject, Ref } from '../../kubectl/kubectl.ts'
import { CHECK_LABEL } from '../../platform/overrides.ts'
import { type Finding, type Rule, tell } from '../finding.ts'
import { short } from '../text.ts'
import { since } from './workload-facts.ts'

const FORBIDDEN = /User "system:serviceaccount:([\w-]+):([\w.-]+)" cannot (\w+) resource "([\w./-]+)"/

/** Accounts that were refused something within the last hour. */
const forbidden: Rule = index => {
  const refused = new Map<string, { account: Ref; event: KubeObject; verb: string; resource: string }>()
  for (const event of index.snapshot.objects) {
    if (event.kind !== 'Event' || event.type !== 'Warning') continue
    const [, namespace, name, verb, resource] = FORBIDDEN.exec(String(event.message ?? '')) ?? []
    if (!name || !verb || !resource) continue
    // An own source is refused on purpose; its Kustomization tells it.
    if (name === SOURCE_ACCOUNT) continue
    if (since(index, event.lastTimestamp, event.eventTime, event.metadata.creationTimestamp) > 3600) continue
    // A check of override-app is refused on purpose; and who is gone needs no rights.
    const there = index.get('ServiceAccount', namespace, name)
    if (there ? there.metadata.labels?.[CHECK_LABEL] : !index.blind('ServiceAccount')) continue
    const account: Ref = { apiVersion: 'v1', kind: 'ServiceAccount', namespace, name }
    refused.set(`${namespace}/${name} ${verb} ${resource}`, { account, event, verb, resource })
  }
  return [...refused.values()].map(({ account, event, verb, resource }): Finding => {
    const { namespace, name } = account
    return tell(account, {
      rule: 'rights-missing',
      cause: `may not ${verb} ${resource}: no Role that is bound to it grants that`,
      evidence: [
        `event ${event.reason} of ${event.involvedObject?.kind} ${event.involvedObject?.name}: ${short(String(event.message))}`,
      ],
      text: 'grant the right by a Role and a RoleBinding of this ServiceAccount',
      command: `kubectl auth can-i ${verb} ${resource} --as system:serviceaccount:${namespace}:${name}`,
    })
  })
}

const DEFAULT = /is-default-class$/

/** Two default classes of one kind: which of them a claim or an Ingress gets changes by the newer one. */
const twoDefaults: Rule = index =>
  ['StorageClass', 'IngressClass'].flatMap((kind): Finding[] => {
    const defaults = index
      .all(kind)
      .filter(({ metadata }) =>
        Object.entries(metadata.annotations ?? {}).some(
          ([name, value]) => DEFAULT.test(name) && value === 'true',
        ),
      )
    const [first, second] = defaults
    if (!first || !second) return []
    return [
      tell(second, {
        rule: 'two-default-classes',
        verdict: 'warning',
        cause: `${defaults.map(({ metadata }) => metadata.name).join(' and ')} are both the default ${kind}`,
        text: 'leave one of them the default: remove the annotation from the others',
        command: `kubectl get ${kind.toLowerCase()}`,
      }),
    ]
  })

export const rules: Rule[] = [forbidden, twoDefaults]
