/** Selectors of nodes in the objects of a network plugin: one that fits no node leaves its agents without a peer. */
import type { KubeObject } from '../../kubectl/kubectl.ts'
import { each, type Rule } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { describing, since, whereToChange, workloadOf } from './workload-facts.ts'

const KINDS = ['BGPPeer', 'IPPool'] as const
const FIELDS = ['nodeSelector', 'peerSelector'] as const

/**
 * Whether labels fit an expression of Calico, as far as it is known: `has(a)`, `a == "b"`, `a in {"b"}`, `all()`,
 * joined by && and ||; undefined where it has more than that. Pure.
 * Source: https://docs.tigera.io/calico/latest/reference/resources/bgppeer#selectors
 */
export function fitsExpression(expression: string, labels: Record<string, string>): boolean | undefined {
  const any = expression.split('||').map(alternative => {
    const all = alternative.split('&&').map(term => fitsTerm(term.trim(), labels))
    return all.includes(false) ? false : all.includes(undefined) ? undefined : true
  })
  return any.includes(true) ? true : any.includes(undefined) ? undefined : false
}

function fitsTerm(term: string, labels: Record<string, string>): boolean | undefined {
  if (/^(all|global)\(\)$/.test(term)) return true
  const [, no, label] = /^(! ?)?has\(([\w./-]{1,253})\)$/.exec(term) ?? []
  if (label) return label in labels !== Boolean(no)
  const [, key = '', operator, value] = /^([\w./-]{1,253}) ?(==|!=) ?["']([^"']{0,63})["']$/.exec(term) ?? []
  if (operator) return (labels[key] === value) === (operator === '==')
  const [, name = '', not, list] = /^([\w./-]{1,253}) (not )?in \{([^{}]{1,1000})\}$/.exec(term) ?? []
  if (!list) return undefined
  const values = [...list.matchAll(/["']([^"']{0,63})["']/g)].map(([, each]) => each)
  return values.includes(labels[name]) !== Boolean(not)
}

/** The selectors of an object that fit no node: `peerSelector has(a)`. Pure. */
function blindSelectors({ spec }: KubeObject, index: Index): string[] {
  const nodes = index.all('Node')
  if (nodes.length === 0 || index.blind('Node')) return []
  return FIELDS.flatMap(field => {
    const expression = spec?.[field]
    if (typeof expression !== 'string' || expression === '') return []
    const isBlind = nodes.every(({ metadata }) => fitsExpression(expression, metadata.labels ?? {}) === false)
    return isBlind ? [`${field} ${expression}`] : []
  })
}

/** The objects of the network whose selectors fit no node, where a pod is one of its agents. Pure. */
export const blindNetworks = (pod: KubeObject, index: Index): KubeObject[] =>
  workloadOf(pod, index).kind === 'DaemonSet' && /calico/.test(pod.metadata.name)
    ? KINDS.flatMap(kind => index.all(kind)).filter(object => blindSelectors(object, index).length > 0)
    : []

/** Whether the agents of the network do not work, so that a selector without a node is more than untidy. */
const isFelt = (index: Index) =>
  index
    .all('DaemonSet')
    .some(({ metadata, status }) => /calico/.test(metadata.name) && status?.numberUnavailable > 0)

const withoutNode = each(KINDS, (object, index) => {
  const blind = blindSelectors(object, index)
  if (blind.length === 0 || since(index, object.metadata.creationTimestamp) < 60) return undefined
  return {
    rule: 'network-selector-without-node',
    verdict: isFelt(index) ? 'broken' : 'warning',
    cause: `its ${blind.join(' and its ')} fits no node: ${object.kind === 'BGPPeer' ? 'no node has a peer by it' : 'no node gets addresses of it'}`,
    evidence: index
      .all('Node')
      .map(node => `Node ${node.metadata.name} has ${Object.keys(node.metadata.labels ?? {}).join(', ')}`),
    text: `correct spec.${blind[0]!.split(' ')[0]} ${whereToChange(object, index)}, or label the nodes that are meant`,
    command: describing(object),
  }
})

export const rules: Rule[] = [withoutNode]
