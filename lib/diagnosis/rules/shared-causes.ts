/** What several sources and issuers fail by at once, and what is told once for all of them. */
import { condition } from '../../flux/flux.ts'
import { type KubeObject, type Ref, refOf, refText } from '../../kubectl/kubectl.ts'
import { type Finding, type Rule, tell } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { refTo } from './failure.ts'

/**
 * Traefik's own certificate, which it serves for names that it does not know
 * (https://github.com/traefik/traefik/blob/v3.5/pkg/tls/generate/generate.go).
 */
export const OWN_CERTIFICATE =
  /certificate is valid for [\w.*-]+\.traefik\.default|TRAEFIK DEFAULT CERT|ingress\.local|Kubernetes Ingress Controller Fake/

/** The object that each shared cause is told of. */
export const SHARED = {
  'no-space': refTo('Deployment', 'flux-system', 'source-controller'),
  names: { apiVersion: '', kind: 'Host', name: 'names outside of the cluster, which nobody resolves' },
  'own-ingress': { apiVersion: '', kind: 'Host', name: 'names outside of the cluster' },
} satisfies Record<string, Ref>

/** What a source or an issuer says of its failure. */
function messageOf(object: KubeObject): string {
  const told = ['FetchFailed', 'Ready'].map(type => {
    const found = condition(object, type)
    return found?.status === (type === 'FetchFailed' ? 'True' : 'False') ? (found.message ?? '') : ''
  })
  return told.find(Boolean) ?? ''
}

const asking = (index: Index) =>
  ['GitRepository', 'HelmRepository', 'HelmChart', 'OCIRepository', 'ClusterIssuer', 'Issuer'].flatMap(kind =>
    index.all(kind),
  )

const evidenceOf = (objects: readonly KubeObject[]) =>
  objects.slice(0, 3).map(object => `${refText(refOf(object))}: ${short(messageOf(object))}`)

/** The disk to which source-controller writes is full: that of its node. */
const noSpace: Rule = index => {
  const suffering = asking(index).filter(object =>
    /no space left on device|disk quota exceeded/i.test(messageOf(object)),
  )
  if (suffering.length === 0) return []
  const pods = index.all('Pod').filter(({ metadata }) => metadata.name.startsWith('source-controller-'))
  const nodes = pods.flatMap(({ spec }) => (spec?.nodeName ? [refTo('Node', undefined, spec.nodeName)] : []))
  return [
    tell(SHARED['no-space'], {
      rule: 'source-controller-no-space',
      cause: `it cannot write: the disk of ${nodes[0] ? `node ${nodes[0].name}` : 'its node'} is full, or the limit of its emptyDir is reached`,
      evidence: evidenceOf(suffering),
      text: 'make room on the disk of the server, then restart source-controller, which empties its /tmp',
      command: 'npx tsx scripts/ssh.ts -- df -h',
      causedBy: nodes,
    }),
  ]
}

/** A name server that does not answer, or answers with a failure. */
export const NAMES = /lookup ([\w.-]+) on \S{3,60}: (server misbehaving|.{0,80}(timeout|refused))/

/** No name outside of the cluster is resolved: the name server behind CoreDNS is at fault, not the one who asks. */
const namesFail: Rule = index => {
  const suffering = asking(index).filter(object => NAMES.test(messageOf(object)))
  if (suffering.length < 2) return []
  return [
    tell(SHARED.names, {
      rule: 'outside-names-unresolved',
      cause: 'the name server of the cluster, or the one of this server that it asks, does not resolve them',
      evidence: evidenceOf(suffering),
      text: 'correct the name servers in /etc/resolv.conf of the server, let it reach them on port 53, then restart coredns',
      command: 'npx tsx scripts/ssh.ts -- cat /etc/resolv.conf',
      symptom: true,
      causedBy: [refTo('Deployment', 'kube-system', 'coredns')],
    }),
  ]
}

/** Names outside of the cluster that lead to its own ingress: a wildcard record, and a search domain below it. */
const ownIngress: Rule = index => {
  const suffering = asking(index).filter(object => OWN_CERTIFICATE.test(messageOf(object)))
  if (suffering.length === 0) return []
  return [
    tell(SHARED['own-ingress'], {
      rule: 'outside-names-lead-here',
      cause:
        'they lead to this server’s own ingress, which answers with its default certificate: the search domain of the server and a wildcard record match every name',
      evidence: evidenceOf(suffering),
      text: 'remove the search domain from /etc/resolv.conf of the server (or give k3s another file by --resolv-conf), then restart coredns and the pods that fail',
      command: 'npx tsx scripts/ssh.ts -- cat /etc/resolv.conf',
    }) satisfies Finding,
  ]
}

export const rules: Rule[] = [noSpace, namesFail, ownIngress]
