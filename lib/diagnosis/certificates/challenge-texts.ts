import type { ChallengeProblem } from './challenge-message.ts'

/** The texts for a problem of a challenge. */
export interface ChallengeTexts {
  cause: string
  /** What to do about it. */
  text: string
  /** A command that shows more. */
  look?: string
}

const INGRESS = 'kubectl -n oas get pods,services -l app.kubernetes.io/name=traefik'

/** The source of the message: cert-manager's self-check, or the authority. */
const by = (isOver: boolean) => (isOver ? 'the authority' : 'cert-manager’s check')

/** A problem of a challenge in words: its cause, what to do, and where to look. Pure. */
export function challengeTexts(
  problem: ChallengeProblem,
  host: string,
  status: number | undefined,
  isOver: boolean,
): ChallengeTexts {
  const who = by(isOver)
  const dig = `npx tsx scripts/preflight.ts --only dns`
  const record = `_acme-challenge.${host.replace(/^\*\./, '')}`
  const curl = `curl -si http://${host}/.well-known/acme-challenge/test`
  switch (problem) {
    case 'no-backend':
      return {
        cause: `${who} got ${status} from ${host}: the ingress controller does not reach the solver pod of the challenge`,
        text: 'Check the solver pods (cm-acme-http-solver-…) and the pods of the ingress controller',
        look: 'kubectl get pods,services,ingresses -A -l acme.cert-manager.io/http01-solver=true',
      }
    case 'not-found':
      return {
        cause: `${who} got ${status} from ${host}: the server there does not know the challenge`,
        text: 'Check that the host points to this server, and that the ingress controller serves the ingress class of the issuer’s solver',
        look: curl,
      }
    case 'forbidden':
      return {
        cause: `${who} got ${status} from ${host}: a login or a filter blocks the challenge`,
        text: 'Let /.well-known/acme-challenge/ through without a login',
        look: curl,
      }
    case 'wrong-status':
      return {
        cause: `${who} got ${status} from ${host}, not 200`,
        text: 'Check which server answers',
        look: curl,
      }
    case 'wrong-answer':
      return {
        cause: `${who} got a wrong answer to the challenge from ${host}: another server answers`,
        text: 'Check where the host points to, and which server answers there',
        look: curl,
      }
    case 'redirect':
      return {
        cause: `${who} was redirected by ${host} and got no answer at the target`,
        text: 'Answer /.well-known/acme-challenge/ over plain HTTP',
        look: curl,
      }
    case 'tls':
      return {
        cause: `${who} was redirected by ${host} to a target where TLS fails`,
        text: 'Answer /.well-known/acme-challenge/ over plain HTTP',
        look: curl,
      }
    case 'dns-credentials-missing':
      return {
        cause: `the credentials of the DNS provider for ${host} are missing`,
        text: 'Create the Secret with the token of the DNS provider (for a ClusterIssuer in namespace cert-manager), or correct its name and key in the issuer’s solver',
        look: 'kubectl -n cert-manager get secrets',
      }
    case 'dns-credentials-refused':
      return {
        cause: `the DNS provider refuses the credentials for ${host}`,
        text: 'Put a valid token or key into the Secret of the issuer’s solver (with TSIG, its name and algorithm count, too): it needs the right to edit the zone. With Cloudflare a token belongs under apiTokenSecretRef, and only the global key under apiKeySecretRef',
        look: 'kubectl -n cert-manager get secrets',
      }
    case 'dns-webhook':
      return {
        cause: `the webhook of the DNS provider for ${host} is not installed, does not answer, or may not be used by cert-manager`,
        text: 'Install the webhook with the groupName of the issuer’s solver (its chart lets cert-manager use it), and see its APIService and its log',
        look: 'kubectl get apiservices',
      }
    case 'dns-zone':
      return {
        cause: `the DNS provider has no zone for ${host}`,
        text: 'Correct the zone, server, project or account in the issuer’s solver, or have the domain served by this provider',
        look: dig,
      }
    case 'dns-propagating':
      return {
        cause: `the record ${record} is not seen in DNS yet`,
        text: 'Wait some minutes; then check that the domain’s name servers are those of this provider, and that no CNAME or older record is in the way',
        look: `dig +short TXT ${record}`,
      }
    case 'dns-name-servers':
      return {
        cause: `cert-manager does not find the name servers of the domain of ${host}, and so cannot look the record up`,
        text: 'See whether the domain has NS and SOA records in public, and whether the name server that cert-manager asks hides them (split DNS): --dns01-recursive-nameservers=1.1.1.1:53 --dns01-recursive-nameservers-only in its arguments',
        look: `dig +trace NS ${host}`,
      }
    case 'dns-other-record':
      return {
        cause: `DNS has another record than that of the challenge at ${record}`,
        text: 'Delete the older TXT record (or the CNAME) where the domain is managed, wait until it is gone from DNS, then reissue the certificate',
        look: `dig +short TXT ${record}`,
      }
    case 'refused':
      return {
        cause: `${who} was refused by port 80 of ${host}: nothing listens there`,
        text: 'Repair the ingress controller and its service',
        look: INGRESS,
      }
    case 'timeout':
      return {
        cause: `${who} got no answer from port 80 of ${host}: packets are dropped on the way`,
        text: 'Open TCP 80 and 443: in the firewall of the provider, then in that of the server. If other machines reach the host, the server cannot reach its own public address',
        look: 'npx tsx scripts/preflight.ts --only ports',
      }
    case 'unreachable':
      return {
        cause: `${who} cannot connect to ${host}`,
        text: 'Check where the host points to, and the firewalls on the way',
        look: dig,
      }
    case 'no-such-host':
      return {
        cause: `${host} has no address in DNS`,
        text: 'Create its A record, or the wildcard, where the domain is managed; DNS needs minutes to publish it',
        look: dig,
      }
    case 'dns-fails':
      return {
        cause: `${host} cannot be resolved: the name servers of the domain fail`,
        text: 'See whether the domain’s name servers answer and whether its DNSSEC signatures are valid: https://dnsviz.net; if they are, have cert-manager ask others than those of the cluster (--dns01-recursive-nameservers)',
        look: dig,
      }
    case 'caa':
      return {
        cause: `the CAA records of the domain do not allow the authority to issue for ${host}`,
        text: 'Add the record CAA 0 issue "letsencrypt.org" where the domain is managed',
        look: dig,
      }
    case 'rate-limited':
      return {
        cause: `the rate limit of the authority for ${host} is reached`,
        text: 'Wait, and remove the cause of the earlier failures. Every retry before that time counts again',
      }
    case 'name-rejected':
      return {
        cause: `the authority does not issue for ${host}: its policy forbids the name`,
        text: 'Use another name: this one is blocked, reserved, or not below a public domain',
      }
    case 'not-presented':
      return {
        cause: `cert-manager cannot create the solver of the challenge for ${host}`,
        text: 'Correct what rejects its pod, service or ingress: a quota, a webhook, or a missing right',
      }
    case 'no-solver':
      return {
        cause: `the issuer has no solver for ${host}`,
        text: host.startsWith('*.')
          ? 'Add a dns01 solver to spec.acme.solvers of the issuer: no authority issues a wildcard by HTTP-01'
          : 'Correct spec.acme.solvers of the issuer',
        look: 'kubectl get clusterissuers -o yaml',
      }
    case 'server-error':
      return {
        cause: 'the authority has an internal error',
        text: 'Wait: cert-manager retries. See https://letsencrypt.status.io',
      }
    case 'unauthorized':
      return {
        cause: `the authority does not accept the answer of ${host}`,
        text: 'Check where the host points to from outside, also over IPv6',
        look: curl,
      }
    case 'queued':
      return {
        cause: `the challenge for ${host} is queued, or cert-manager does not work`,
        text: 'Wait; cert-manager works on 60 challenges at a time, and on one a host',
        look: 'kubectl -n cert-manager logs deploy/cert-manager --since=10m',
      }
    default:
      return {
        cause: `the challenge for ${host} ${isOver ? 'has failed' : 'is stuck'}`,
        text: 'Correct the problem in its message',
        look: curl,
      }
  }
}
