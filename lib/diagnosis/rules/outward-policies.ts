/** NetworkPolicies that keep their pods from what they have to reach: the names of others, and these themselves. */
import { refOf } from '../../kubectl/kubectl.ts'
import { fits, selectorText, selectsAll } from '../../kubectl/selector.ts'
import { each, type Rule } from '../finding.ts'
import {
  admitsSomebody,
  isBrought,
  isFelt,
  mayBeAdmitted,
  type OutwardRule,
  type Port,
} from './policy-facts.ts'
import { describing, podsIn, since } from './workload-facts.ts'

/** Policies that let their pods out only to pods that do not exist. */
const toNobody = each('NetworkPolicy', (policy, index) => {
  const { namespace, creationTimestamp } = policy.metadata
  const rules = (policy.spec?.egress ?? []) as OutwardRule[]
  if (since(index, creationTimestamp) < 600 || index.blind('Namespace') || isBrought(policy)) return undefined
  // A name server need not be a pod of the cluster.
  const leadsSomewhere = ({ to = [], ports = [] }: OutwardRule) =>
    to.length > 0 && !ports.some(({ port }) => port === 53)
  const meant = rules.filter(leadsSomewhere)
  const empty = meant.filter(
    ({ to = [] }) => !to.some(peer => peer.ipBlock || admitsSomebody(peer, [], namespace, index)),
  )
  const [lost] = empty
  const guarded = podsIn(namespace, index).filter(pod => fits(policy.spec?.podSelector, pod.metadata.labels))
  if (!lost || guarded.length === 0) return undefined
  const wanted = lost.to!.map(({ namespaceSelector, podSelector }) =>
    [
      namespaceSelector && `namespaces ${selectorText(namespaceSelector) || 'of any label'}`,
      podSelector && `pods ${selectorText(podSelector) || 'of any label'}`,
    ]
      .filter(Boolean)
      .join(' with '),
  )
  return {
    rule: 'policy-leads-to-nobody',
    verdict: empty.length === meant.length ? 'broken' : 'warning',
    cause: `it lets its pods out to ${wanted.join(' or ')}, and no pod is there`,
    evidence: guarded.slice(0, 3).map(pod => `it selects Pod ${namespace}/${pod.metadata.name}`),
    text: 'correct the labels of this egress rule, or label the pods or the namespace that are meant',
    command: describing(policy),
  }
})

/** Policies that forbid what every pod needs: names, which kube-dns resolves. */
const withoutNames = each('NetworkPolicy', (policy, index, told) => {
  const { namespace, name, creationTimestamp } = policy.metadata
  const types = (policy.spec?.policyTypes ?? []) as string[]
  const egress = (policy.spec?.egress ?? []) as OutwardRule[]
  // Policies that are applied together are all there by then.
  if (!types.includes('Egress') || since(index, creationTimestamp) < 60) return undefined
  const guarded = podsIn(namespace, index).filter(pod => fits(policy.spec?.podSelector, pod.metadata.labels))
  const leads = ({ port }: Port) => port === undefined || port === 53 || /^dns/.test(String(port))
  // Names are asked for by UDP; what names no protocol means TCP.
  const resolves = ({ ports, to }: OutwardRule) =>
    (!to?.length || to.some(({ namespaceSelector, ipBlock }) => namespaceSelector || ipBlock)) &&
    (!ports?.length || ports.some(each => leads(each) && each.protocol === 'UDP'))
  const others = index
    .within('NetworkPolicy', namespace)
    .filter(other => other !== policy)
    .filter(other => guarded.some(({ metadata }) => fits(other.spec?.podSelector, metadata.labels)))
    .flatMap(other => (other.spec?.egress ?? []) as typeof egress)
  if (guarded.length === 0 || [...egress, ...others].some(resolves)) return undefined
  if (mayBeAdmitted(policy, index, told)) return undefined
  // What may send nothing at all may be meant so, as long as no program suffers from it. Where the policy selects pods it
  // is: a database answers, and asks nobody.
  const isMeant = egress.length === 0 && !isFelt(policy, told)
  if (isMeant && !selectsAll(policy.spec?.podSelector)) return undefined
  return [
    {
      rule: 'policy-without-names',
      verdict: isMeant ? 'warning' : 'broken',
      subject: refOf(policy),
      cause:
        egress.length > 0
          ? `it lets its pods out, but not to DNS (port 53 ${egress.some(({ ports }) => ports?.some(({ port }) => port === 53)) ? 'by UDP: it names TCP only' : 'by UDP'}): no name can be resolved in them`
          : 'it blocks all egress of its pods, also to DNS: no name can be resolved in them',
      evidence: guarded.slice(0, 3).map(pod => `it selects Pod ${namespace}/${pod.metadata.name}`),
      remedy: {
        text: 'add an egress rule for port 53, UDP and TCP, to kube-system',
        command: `kubectl -n ${namespace} edit networkpolicy ${name}`,
      },
    },
  ]
})

export const rules: Rule[] = [toNobody, withoutNames]
