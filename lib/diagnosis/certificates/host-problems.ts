import { caaFindings } from '../../preflight/dns-rules.ts'
import { isPublic } from '../../preflight/net.ts'
import type { Index } from '../snapshot.ts'
import type { HostFacts, HttpFacts, InsideFacts } from './host-facts.ts'

/** A problem of a host that prevents its validation. */
export interface HostProblem {
  rule:
    | 'host-dns-missing'
    | 'host-dns-fails'
    | 'host-dns-elsewhere'
    | 'host-aaaa-elsewhere'
    | 'host-caa-forbids'
    | 'host-port-80-refused'
    | 'host-port-80-filtered'
    | 'host-port-80-broken'
    | 'host-redirect'
    | 'host-answers-otherwise'
  /** The problem, as a phrase after the names of the hosts: "has no address". */
  what: string
  evidence: string[]
  fix: string
}

/** The problems in DNS and on port 80 that prevent a certificate for this host. Pure. */
export function hostProblems(facts: HostFacts): HostProblem[] {
  const dns = dnsProblems(facts)
  // Where nobody is led, or somebody else, who answers there says nothing.
  const led = dns.some(({ rule }) => rule !== 'host-aaaa-elsewhere') && !facts.directed
  // If the name servers fail, the CAA records fail with them: one cause.
  const caa = dns.some(({ rule }) => rule === 'host-dns-fails') ? [] : caaProblems(facts)
  return [...dns, ...caa, ...(led ? [] : facts.http.flatMap(each => httpProblems(facts, each)))]
}

function dnsProblems({ dns, expected, http, tls }: HostFacts): HostProblem[] {
  const answers = dns.filter(({ failed }) => failed === undefined)
  const servfail = dns.filter(({ failed }) => failed === 'ESERVFAIL')
  if (servfail.length > 0)
    return [
      {
        rule: 'host-dns-fails',
        what: 'cannot be resolved: the name servers of the domain fail',
        evidence: servfail.map(
          ({ resolver, failed }) => `the resolver ${resolver} answers ${failed?.slice(1)}`,
        ),
        fix: 'ask the operator of the domain’s name servers; https://dnsviz.net shows broken DNSSEC signatures',
      },
    ]
  if (answers.length === 0) return [] // no resolver answers: nothing is known about the host
  const all = [...new Set(answers.flatMap(({ a, aaaa }) => [...a, ...aaaa]))]
  const seen = answers.map(
    ({ resolver, a, aaaa }) => `the resolver ${resolver} says ${[...a, ...aaaa].join(', ') || 'no address'}`,
  )
  const [server = 'ADDRESS'] = expected
  if (all.length === 0)
    return [
      {
        rule: 'host-dns-missing',
        what: 'has no address in DNS',
        evidence: seen,
        fix: `create the record where the domain is managed (${type(server)} → ${server}, or a wildcard); DNS needs minutes to publish it`,
      },
    ]
  // A private address cannot be compared with a public one.
  const comparable = (address: string) =>
    expected.some(known => type(known) === type(address) && isPublic(known) === isPublic(address))
  const wrong = all.filter(address => comparable(address) && !expected.includes(address))
  if (wrong.length > 0)
    return [
      {
        rule: 'host-dns-elsewhere',
        what: `points to ${wrong.join(', ')}, not to ${server}`,
        evidence: seen,
        fix: `change the record where the domain is managed (${type(server)} → ${server}), or correct ip_address in .flux.env`,
      },
    ]
  // The server may have an IPv6 address that is not configured: what answers there tells.
  const reached = (address: string) =>
    http.some(({ at, failed }) => at === `[${address}]:80` && !failed) &&
    tls.some(({ at, failed }) => at === `[${address}]:443` && !failed)
  const strange = all.filter(
    address => address.includes(':') && !expected.includes(address) && !reached(address),
  )
  if (strange.length === 0) return []
  return [
    {
      rule: 'host-aaaa-elsewhere',
      what: `has the IPv6 address ${strange.join(', ')}, at which the platform does not answer`,
      evidence: seen,
      fix: 'remove the AAAA record, or correct it: Let’s Encrypt and browsers prefer it to the A record',
    },
  ]
}

const type = (address: string) => (address.includes(':') ? 'AAAA' : 'A')

function caaProblems({ host, caa }: HostFacts): HostProblem[] {
  return caaFindings([host], new Map(caa.map(({ name, records }) => [name, records]))).map(
    ({ what, fix }) => ({
      rule: 'host-caa-forbids' as const,
      what: 'gets no certificate because of the CAA records of its domain',
      evidence: [what],
      fix,
    }),
  )
}

function httpProblems({ host, inside }: HostFacts, http: HttpFacts): HostProblem[] {
  const { at, failed, hops, challenge, matches } = http
  const last = hops.at(-1)
  const evidence = [hopsText(http)]
  const behind = hops.length > 0 // a failure after a redirect is a failure of the redirect
  // Any path except that of a challenge may be redirected to https, even if nothing listens there yet.
  if (failed && behind && challenge === undefined && failed.kind !== 'redirects') return []
  if (failed && behind)
    return [
      {
        rule: 'host-redirect',
        what: `redirects the request of the authority to a target that fails (${failed.message})`,
        evidence,
        fix: 'answer /.well-known/acme-challenge/ over plain HTTP, or redirect it to a server that answers it',
      },
    ]
  // A machine without IPv6 cannot probe an IPv6 address.
  if (failed?.kind === 'unreachable' || failed?.kind === 'other') return []
  if (failed) {
    const rules = { refused: 'host-port-80-refused', timeout: 'host-port-80-filtered' } as const
    const isKnown = failed.kind === 'refused' || failed.kind === 'timeout'
    return [
      {
        rule: isKnown ? rules[failed.kind as 'refused' | 'timeout'] : 'host-port-80-broken',
        what:
          failed.kind === 'refused'
            ? `is not served on port 80: ${at} refuses connections`
            : failed.kind === 'timeout'
              ? `cannot be reached on port 80: packets to ${at} are dropped`
              : failed.kind === 'silent'
                ? `is not served on port 80: ${at} accepts connections but does not answer`
                : `is not served on port 80: ${at} closes the connection (${failed.message})`,
        evidence: inside ? [...evidence, insideText(inside)] : evidence,
        fix:
          failed.kind === 'timeout'
            ? 'open TCP 80 and 443: in the firewall of the provider (security group), then in that of the server'
            : 'check the ingress controller: kubectl -n oas get pods,services -l app.kubernetes.io/name=traefik',
      },
    ]
  }
  if (challenge === undefined || matches) return []
  const redirected = hops.length > 1
  return [
    {
      rule: redirected ? 'host-redirect' : 'host-answers-otherwise',
      what: redirected
        ? `redirects the request of the authority to ${last?.url.replace(/\?.*/, '')}, which answers ${last?.status}`
        : last?.status === 200
          ? 'gives a wrong answer to the challenge: another server answers'
          : `answers the challenge with ${last?.status}`,
      evidence,
      fix: redirected
        ? 'answer /.well-known/acme-challenge/ over plain HTTP'
        : `check which server answers: curl -si http://${host}${http.path}`,
    },
  ]
}

function insideText({ service, status, failed }: InsideFacts): string {
  return `inside the cluster, the service ${service} ${status ? `answers (${status})` : `does not answer: ${failed}`}`
}

/** The answers on the way, as one line. Pure. */
export function hopsText({ at, path, hops, failed }: HttpFacts): string {
  const told = hops.map(
    ({ status, server, location }) =>
      `${status}${server ? ` by ${server}` : ''}${location ? ` to ${location}` : ''}`,
  )
  return `GET ${path.replace(/(acme-challenge\/.{8}).+/, '$1…')} at ${at}: ${[...told, ...(failed ? [failed.message] : [])].join(', then ')}`
}

/** The facts of a host. Pure. */
export function factsOf(host: string, index: Index): HostFacts | undefined {
  return index.snapshot.hosts?.find(facts => facts.host === host)
}

/**
 * Whether the cause that prevented the validation of these hosts is gone, seen from outside: all were probed,
 * and none has a problem. Pure.
 */
export function isCauseGone(hosts: readonly string[], index: Index): boolean {
  return hosts.every(host => {
    const facts = factsOf(host, index)
    return facts?.http.some(({ failed }) => !failed) === true && hostProblems(facts).length === 0
  })
}
