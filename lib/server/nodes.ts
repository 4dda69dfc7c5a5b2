import { X509Certificate } from 'node:crypto'
import { K3S } from '../k3s/k3s.ts'
import type { Log } from '../script/log.ts'
import { until } from '../script/wait.ts'
import type { Ssh } from '../ssh/ssh.ts'
import { fileText } from './facts.ts'
import { type Fact, linesOf, mapped, program, readFacts, shell, type ValuesOf } from './reader.ts'

/** A node, as the API server tells it. */
export interface NodeFact {
  name: string
  isServer: boolean
  isReady: boolean
  /** Of its kubelet. */
  version: string
  /** Why it is Ready or not, in the kubelet's words. */
  message: string
}

/** The nodes of the cluster, asked on its server; undefined where the API server does not answer. */
export const NODES = program(
  [
    ...([
      'timeout',
      '30',
      K3S.binary,
      'kubectl',
      'get',
      'nodes',
      '--request-timeout=10s',
      '--output',
    ] as const),
    `jsonpath={range .items[*]}${[
      '{.metadata.name}',
      '{.metadata.labels.node-role\\.kubernetes\\.io/control-plane}',
      '{.status.conditions[?(@.type=="Ready")].status}',
      '{.status.nodeInfo.kubeletVersion}',
      '{.status.conditions[?(@.type=="Ready")].message}',
    ].join('{"\\t"}')}{"\\n"}{end}`,
  ],
  (answer): NodeFact[] | undefined =>
    answer.code === 0
      ? linesOf(answer).flatMap(line => {
          const [name = '', server, ready, version = '', message] = line.split('\t')
          // A message may have several lines.
          if (message === undefined) return []
          return [{ name, isServer: server === 'true', isReady: ready === 'True', version, message }]
        })
      : undefined,
)

/**
 * The name under which the kubelet of a host registered, which its client certificate holds: `system:node:NAME`
 * (github.com/k3s-io/k3s pkg/agent/config/config.go, getNodeNamedCrt). Undefined where it never did.
 */
export const KUBELET_NAME = mapped(fileText(`${K3S.data}/agent/client-kubelet.crt`), text => {
  try {
    const { subject } = new X509Certificate(text ?? '')
    return /^CN=system:node:(\S+)$/m.exec(subject)?.[1]
  } catch {
    return undefined
  }
})

/** Milliseconds since the epoch at which a service was started; undefined where it does not run. */
export function serviceStart(service: string): Fact<number | undefined> {
  return shell(
    `started=$(systemctl show --property=ExecMainStartTimestamp --value "$1")
[ -n "$started" ] || exit 1
date -d "$started" +%s`,
    [service],
    ({ text, code }) => (code === 0 ? Number(text) * 1000 : undefined),
  )
}

/** What tells which nodes are Ready by kubelets that run now: after a restart the state from before it stands for a while. */
export const NODE_SIGNS = {
  started: serviceStart(K3S.service),
  /** The last sign of life of each kubelet, by its node. */
  leases: program(
    [
      ...(['timeout', '30', K3S.binary, 'kubectl', 'get', 'leases', '--namespace=kube-node-lease'] as const),
      '--request-timeout=10s',
      '--output=jsonpath={range .items[*]}{.metadata.name}{"\\t"}{.spec.renewTime}{"\\n"}{end}',
    ],
    answer =>
      new Map(
        linesOf(answer).map(line => {
          const [name = '', time = ''] = line.split('\t')
          return [name, Date.parse(time)] as const
        }),
      ),
  ),
  nodes: NODES,
}

/** Those of these nodes that are not Ready since k3s was started, each with the reason. Pure. */
export function nodesNotReady(
  { started, leases, nodes }: ValuesOf<typeof NODE_SIGNS>,
  names: readonly string[],
): string[] {
  if (started === undefined || nodes === undefined) return ['the API server does not answer']
  return names.flatMap(name => {
    const node = nodes.find(each => each.name === name)
    if (!node) return [`node ${name} does not exist`]
    if (!((leases.get(name) ?? 0) >= started))
      return [`the kubelet of node ${name} has not reported since k3s was started`]
    if (node.isReady) return []
    return [`node ${name} is not Ready${node.message && `: ${node.message}`}`]
  })
}

/**
 * Waits until nodes that were Ready before a change are Ready again, asked on their server. Throws an ExpectedError
 * that names those that are not: a node that got another name leaves its volumes behind.
 */
export async function waitForFormerNodes(
  server: Ssh,
  names: readonly string[],
  options: { deadline: number; signal: AbortSignal; log: Pick<Log, 'progress'> },
): Promise<string> {
  if (names.length === 0) return 'no node was Ready before'
  return until<string, string>(
    async () => {
      const signs = await readFacts(server, NODE_SIGNS, { sudo: true, title: 'reading the nodes' })
      const last = nodesNotReady(signs, names).join('; ')
      if (last === '') return { done: `${names.join(', ')} ${names.length === 1 ? 'is' : 'are'} Ready` }
      options.log.progress(`  ${last}`)
      return { last }
    },
    {
      deadline: options.deadline,
      signal: options.signal,
      every: 2000,
      describe: last => `${names.join(', ')} ${names.length === 1 ? 'was' : 'were'} Ready before: ${last}`,
      fix: `compare node-name in ${K3S.config} with \`k3s kubectl get nodes\` on the server, and read journalctl -u k3s -n 50`,
    },
  )
}
