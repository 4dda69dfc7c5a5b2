/** Own sources that could do more than add-source lets them: what keeps one in its namespace is missing or was changed. */
import { SOURCE_ACCOUNT, SOURCE_LABEL, SOURCE_RIGHTS } from '../../flux/own-sources.ts'
import { type KubeObject, refOf, refText } from '../../kubectl/kubectl.ts'
import { quote } from '../../script/quote.ts'
import { type Finding, type Rule, tell } from '../finding.ts'
import type { Failure } from './failure.ts'
import { hostsOf, isSolver } from './ingresses.ts'

/**
 * What add-source creates to limit a source, and to let Flux apply it, with what is wrong without it. Without the
 * account Flux forgets what it has applied, instead of removing it (kustomize-controller's finalize).
 */
const PARTS = [
  ['NetworkPolicy', 'own-source', 'its pods reach those of the platform', 'warning'],
  ['ResourceQuota', 'own-source', 'its pods may use all memory and storage of the server', 'warning'],
  ['ServiceAccount', SOURCE_ACCOUNT, 'Flux cannot remove what it has applied from its repository', 'broken'],
  ['Role', SOURCE_ACCOUNT, 'Flux may not apply its repository', 'broken'],
  ['RoleBinding', SOURCE_ACCOUNT, 'Flux may not apply its repository', 'broken'],
] as const

const CONFINEMENT = 'pod-security.kubernetes.io/enforce'

/** The levels of Pod Security that keep pods from the node. */
const CONFINED: readonly unknown[] = ['baseline', 'restricted']

const remedy = (name: string, url: unknown) => ({
  text: 'Add the source again: that restores its limits and rights, and keeps its data and settings',
  command: `npx tsx scripts/add-source.ts ${name} ${typeof url === 'string' ? quote(url) : 'URL'}`,
})

/** The Kustomizations of own sources, each with its source. */
const ownOf = (index: Parameters<Rule>[0]) =>
  index.all('Namespace').flatMap(({ metadata: { name, labels } }) => {
    const source = labels?.[SOURCE_LABEL]
    if (source === undefined) return []
    return index
      .within('Kustomization', name)
      .map(kustomization => ({ name, kustomization, url: index.get('GitRepository', name, name)?.spec?.url }))
  })

const unbound: Rule = index =>
  ownOf(index)
    .filter(({ kustomization }) => kustomization.spec?.serviceAccountName !== SOURCE_ACCOUNT)
    .map(
      ({ name, kustomization, url }): Finding =>
        tell(kustomization, {
          rule: 'own-source-unbound',
          cause: `is not applied as the account ${SOURCE_ACCOUNT}, so that its repository may write everywhere in the cluster`,
          evidence: [`spec.serviceAccountName is ${kustomization.spec?.serviceAccountName ?? 'not set'}`],
          ...remedy(name, url),
        }),
    )

const incomplete: Rule = index =>
  ownOf(index).flatMap(({ name, kustomization, url }) =>
    PARTS.filter(([kind, part]) => !index.blind(kind) && index.get(kind, name, part) === undefined).map(
      ([kind, part, effect, verdict]): Finding =>
        tell(kustomization, {
          rule: 'own-source-incomplete',
          verdict,
          cause: `${kind} ${name}/${part} does not exist, so that ${effect}`,
          ...remedy(name, url),
        }),
    ),
  )

const unconfined: Rule = index =>
  ownOf(index).flatMap(({ name, kustomization, url }): Finding[] => {
    const level = index.get('Namespace', undefined, name)?.metadata.labels?.[CONFINEMENT]
    if (CONFINED.includes(level)) return []
    return [
      tell(kustomization, {
        rule: 'own-source-unconfined',
        verdict: 'warning',
        cause: `Namespace ${name} lets in pods of every kind, so that those of its repository may take over the server`,
        evidence: [`the label ${CONFINEMENT} is ${level ?? 'not set'}`],
        ...remedy(name, url),
      }),
    ]
  })

const REFUSED =
  /User "system:serviceaccount:([\w-]{1,63}):flux-source" cannot \w{1,20} resource "([\w./-]{1,200})" in API group "([\w.-]{0,200})"(?: in the namespace "([\w-]{1,63})")?/

/** Why the cluster refuses an own source something: it is not its own, or the source has lost its rights. Pure. */
export function refusedToSource(message: string): Failure | undefined {
  const [, own, resource, group, namespace] = REFUSED.exec(message) ?? []
  if (!own || !resource) return undefined
  const isGranted = SOURCE_RIGHTS.some(([of, resources]) => of === group && resources.includes(resource))
  if (namespace === own && isGranted)
    return {
      rule: 'own-source-powerless',
      cause: `its account ${SOURCE_ACCOUNT} has lost the right to write ${resource} in namespace ${own}`,
      fix: `add the source again, which restores it: npx tsx scripts/add-source.ts ${own} URL`,
      timing: 'rule',
      symptom: true,
    }
  return {
    rule: 'own-source-refused',
    cause: `its repository holds ${resource} ${namespace ? `for namespace ${namespace}` : 'for the whole cluster'}: the cluster refuses that to an own source`,
    fix: `correct the repository: everything belongs into namespace ${own} (\`namespace: ${own}\` in its kustomization.yaml), and only kinds that add-source allows; nothing outside was changed`,
    timing: 'rule',
  }
}

/** A binding of the account beside the one that add-source creates: the source may do more than it should. */
const bound: Rule = index =>
  ['RoleBinding', 'ClusterRoleBinding'].flatMap(kind =>
    index.all(kind).flatMap((binding): Finding[] => {
      const { subjects = [], metadata } = binding
      const subject = (subjects as { kind?: string; name?: string; namespace?: string }[]).find(
        each =>
          each.kind === 'ServiceAccount' &&
          each.name === SOURCE_ACCOUNT &&
          index.get('Namespace', undefined, each.namespace ?? '')?.metadata.labels?.[SOURCE_LABEL] !==
            undefined,
      )
      const isOurs = metadata.namespace === subject?.namespace && metadata.name === SOURCE_ACCOUNT
      if (!subject || isOurs) return []
      return [
        tell(binding, {
          rule: 'own-source-bound',
          verdict: 'warning',
          cause: `gives the own source ${subject.namespace} more rights than add-source does: those of ${binding.roleRef?.kind} ${binding.roleRef?.name}`,
          text: 'Delete it, unless somebody has decided that this repository may do that',
          command: `kubectl ${metadata.namespace ? `-n ${metadata.namespace} ` : ''}delete ${kind.toLowerCase()} ${metadata.name}`,
        }),
      ]
    }),
  )

/**
 * An Ingress of a source for a host of somebody else. The cluster cannot refuse it, since Ingresses are what a source
 * may create; and by another path, or a priority in an annotation, it can take visitors over.
 */
const taking: Rule = index => {
  const sourceOf = ({ metadata }: KubeObject) =>
    index.get('Namespace', undefined, metadata.namespace ?? '')?.metadata.labels?.[SOURCE_LABEL]
  const others = new Map(
    index
      .all('Ingress')
      .filter(ingress => !isSolver(ingress) && sourceOf(ingress) === undefined)
      .flatMap(ingress => hostsOf(ingress).map(host => [host, refText(refOf(ingress))] as const)),
  )
  return index.all('Ingress').flatMap((ingress): Finding[] => {
    const source = sourceOf(ingress)
    const host = source && hostsOf(ingress).find(each => others.has(each))
    if (!host) return []
    return [
      tell(ingress, {
        rule: 'own-source-host',
        cause: `is of the own source ${source}, and serves ${host}, the host of ${others.get(host)}: visitors may reach that source`,
        text: 'Give it another host in its repository, after you have asked who changed that; or remove the source',
        command: `npx tsx scripts/remove-source.ts ${source}`,
      }),
    ]
  })
}

/** The rules of own sources, besides what Flux says of them. */
export const rules: readonly Rule[] = [unbound, incomplete, unconfined, bound, taking]
