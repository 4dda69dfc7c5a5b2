import { condition } from '../../flux/flux.ts'
import { type KubeObject, type Ref, refOf } from '../../kubectl/kubectl.ts'
import { covers, namesOf } from '../certificates/chain.ts'
import type { HostFacts, TlsFacts } from '../certificates/host-facts.ts'
import { hostProblems } from '../certificates/host-problems.ts'
import { type Finding, type Rule, tell } from '../finding.ts'
import type { CertificateFacts, Index } from '../snapshot.ts'
import { ingressControllers } from './challenges.ts'
import { hostsOf, isSolver } from './ingresses.ts'
import { storedFor } from './stored-certificates.ts'

const hostRef = (name: string): Ref => ({ apiVersion: '', kind: 'Host', name })

/** Hosts that no authority can validate, as they were seen from outside. What several have in common is told once. */
const reachable: Rule = index => {
  const groups = new Map<string, { host: string; problem: ReturnType<typeof hostProblems>[number] }[]>()
  for (const facts of index.snapshot.hosts ?? [])
    for (const problem of hostProblems(facts)) {
      // What the answer to a challenge is worth is told of the challenge.
      const isAboutChallenge = problem.rule === 'host-answers-otherwise' || problem.rule === 'host-redirect'
      if (isAboutChallenge && facts.http.some(({ challenge }) => challenge !== undefined)) continue
      // Once for a host, at however many addresses.
      const key = `${problem.rule} ${problem.what} ${problem.fix}`
      const group = groups.get(key) ?? []
      if (!group.some(({ host }) => host === facts.host)) group.push({ host: facts.host, problem })
      groups.set(key, group)
    }
  return [...groups.values()].flatMap(group => {
    const isBroken = group.some(({ host }) => !isServed(host, index))
    const { host, problem } = group[0]!
    const deeper = isPortProblem(problem.rule) ? ingressControllers(index) : []
    const first: Finding = tell(hostRef(host), {
      rule: problem.rule,
      verdict: isBroken ? 'broken' : 'warning',
      cause: `${listed(group.map(each => each.host))} ${problem.what}`,
      evidence: problem.evidence,
      text: upper(problem.fix),
      ...(deeper.length > 0 ? { symptom: true as const, causedBy: deeper } : {}),
    })
    if (!isBroken) return [first]
    const others = group.slice(1).map(
      (other): Finding => ({
        ...first,
        subject: hostRef(other.host),
        cause: `${other.host} ${other.problem.what}`,
        evidence: other.problem.evidence,
        symptom: true,
        causedBy: [first.subject],
      }),
    )
    return [first, ...others]
  })
}

const isPortProblem = (rule: string) => rule.startsWith('host-port-')

const upper = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)

function listed(names: readonly string[]): string {
  return names.length > 4 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ')
}

/** The Certificates for a host. */
function certificatesFor(host: string, index: Index): KubeObject[] {
  return index.all('Certificate').filter(each => namesOf(each).some(name => covers(name, host)))
}

function isServed(host: string, index: Index): boolean {
  return certificatesFor(host, index).every(each => condition(each, 'Ready')?.status === 'True')
}

/** Whether a Certificate is issued, and not being reissued right now. */
function isSettled(certificate: KubeObject): boolean {
  return (
    condition(certificate, 'Ready')?.status === 'True' && condition(certificate, 'Issuing')?.status !== 'True'
  )
}

/** The ingresses that serve a host. */
function ingressesFor(host: string, index: Index): KubeObject[] {
  return index.all('Ingress').filter(each => !isSolver(each) && hostsOf(each).includes(host))
}

/** What is served on port 443, against what is stored. */
const served: Rule = index =>
  (index.snapshot.hosts ?? []).flatMap(facts => {
    const certificates = certificatesFor(facts.host, index)
    // Before there is a certificate another one is served, as for a host that no ingress serves: nothing new.
    if (!certificates.every(isSettled) || ingressesFor(facts.host, index).length === 0) return []
    const stored = certificates.flatMap(each => storedFor(each, index) ?? [])
    return facts.tls.slice(0, 4).flatMap(tls => servedFinding(facts, tls, certificates, stored, index))
  })

function servedFinding(
  { host }: HostFacts,
  { at, chain, failed }: TlsFacts,
  certificates: readonly KubeObject[],
  stored: readonly CertificateFacts[],
  index: Index,
): Finding[] {
  const [leaf] = chain
  const told = (
    rule: string,
    cause: string,
    evidence: readonly string[],
    text: string,
    command?: string,
  ): Finding[] => [
    tell(hostRef(host), {
      rule,
      cause,
      evidence,
      text,
      command,
      symptom: true,
      causedBy: [...certificates, ...ingressesFor(host, index)].map(refOf).concat(ingressControllers(index)),
    }),
  ]
  const restart = 'kubectl -n oas rollout restart deployment traefik'
  if (!leaf) {
    // Nobody expects an answer where there is no certificate; and a machine without IPv6 gets none from one.
    if (certificates.length === 0 || !failed || failed.kind === 'unreachable') return []
    return told(
      'host-port-443-closed',
      `it is not served over HTTPS: ${failed.kind === 'timeout' ? `packets to ${at} vanish` : failed.kind === 'refused' ? `${at} refuses connections` : `TLS with ${at} fails`}`,
      [`at ${at}: ${failed.message}`],
      failed.kind === 'timeout'
        ? 'Let TCP 443 through: the firewall at the provider, then that of the server'
        : 'Repair the ingress controller',
      'kubectl -n oas get pods,services -l app.kubernetes.io/name=traefik',
    )
  }
  const seen = [
    `served at ${at}: for ${leaf.dnsNames.join(', ') || leaf.subject}, until ${leaf.notAfter.slice(0, 10)}, signed by ${leaf.issuer}`,
    ...stored.map(each => `stored: until ${each.notAfter.slice(0, 10)}, signed by ${each.issuer}`),
  ]
  if (stored.some(each => each.fingerprint === leaf.fingerprint))
    return Date.parse(leaf.notAfter) < index.now
      ? told('host-served-expired', 'its certificate has expired', seen, 'Repair the Certificate')
      : []
  if (!leaf.dnsNames.some(name => covers(name, host)))
    return told(
      'host-served-wrong',
      `it is served with a certificate that is not for it: ${leaf.dnsNames.join(', ') || leaf.subject}`,
      seen,
      stored.length > 0
        ? 'The right one is stored: see whether the host leads to this server, then restart the ingress controller'
        : 'The ingress controller serves it when it has no other: repair the Certificate',
      stored.length > 0 ? restart : undefined,
    )
  if (stored.length === 0) return []
  return told(
    'host-served-differs',
    'it is served with another certificate than the stored one',
    seen,
    'See whether the host leads to this server, then restart the ingress controller: it has not taken the new one',
    restart,
  )
}

/** The rules for what was seen of hosts from outside. */
export const rules: readonly Rule[] = [reachable, served]
