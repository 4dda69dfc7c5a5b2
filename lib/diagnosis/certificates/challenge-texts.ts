import type { ChallengeProblem } from './challenge-message.ts'

/** How a problem of a challenge is told. */
export interface ChallengeTexts {
  cause: string
  /** What to do about it. */
  text: string
  /** Where to look. */
  look?: string
}

const INGRESS = 'kubectl -n oas get pods,services -l app.kubernetes.io/name=traefik'

/** Who said it: cert-manager before it asks the authority, or the authority itself. */
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
  const curl = `curl -si http://${host}/.well-known/acme-challenge/test`
  switch (problem) {
    case 'no-backend':
      return {
        cause: `${who} got ${status} from ${host}: the ingress controller does not reach the pod that answers the challenge`,
        text: 'See to the pods of the challenge (cm-acme-http-solver-…) and of the ingress controller',
        look: 'kubectl get pods,services,ingresses -A -l acme.cert-manager.io/http01-solver=true',
      }
    case 'not-found':
      return {
        cause: `${who} got ${status} from ${host}: whoever answers there does not know the challenge`,
        text: 'See whether the host leads to this server, and whether the ingress controller serves the class of the issuer’s solver',
        look: curl,
      }
    case 'forbidden':
      return {
        cause: `${who} got ${status} from ${host}: a login or a filter stands before the challenge`,
        text: 'Let /.well-known/acme-challenge/ through without a login',
        look: curl,
      }
    case 'wrong-status':
      return { cause: `${who} got ${status} from ${host}, not 200`, text: 'See who answers', look: curl }
    case 'wrong-answer':
      return {
        cause: `${who} got another answer from ${host} than the challenge’s: another server answers in its place`,
        text: 'See where the host leads, and what answers every path there',
        look: curl,
      }
    case 'redirect':
      return {
        cause: `${who} was redirected by ${host}, and got no answer there`,
        text: 'Let /.well-known/acme-challenge/ be answered over plain HTTP',
        look: curl,
      }
    case 'tls':
      return {
        cause: `${who} was redirected by ${host} to where TLS fails`,
        text: 'Let /.well-known/acme-challenge/ be answered over plain HTTP',
        look: curl,
      }
    case 'refused':
      return {
        cause: `${who} was refused by port 80 of ${host}: nobody listens there`,
        text: 'Repair the ingress controller and its service',
        look: INGRESS,
      }
    case 'timeout':
      return {
        cause: `${who} got no answer from port 80 of ${host}: packets vanish on the way`,
        text: 'Let TCP 80 and 443 through: the firewall at the provider, then that of the server. If the host is reached from elsewhere, the server cannot reach its own public address',
        look: 'npx tsx scripts/preflight.ts --only ports',
      }
    case 'unreachable':
      return {
        cause: `${who} cannot connect to ${host}`,
        text: 'See where the host leads, and what stands between',
        look: dig,
      }
    case 'no-such-host':
      return {
        cause: `${host} has no address in DNS`,
        text: 'Create its A record, or the wildcard, where the domain is managed; it takes minutes until everybody sees it',
        look: dig,
      }
    case 'dns-fails':
      return {
        cause: `${host} cannot be looked up: the name servers of the domain fail`,
        text: 'See whether the domain’s name servers answer and whether its DNSSEC signatures are valid: https://dnsviz.net',
        look: dig,
      }
    case 'caa':
      return {
        cause: `the CAA records of the domain forbid the authority to sign for ${host}`,
        text: 'Add the record CAA 0 issue "letsencrypt.org" where the domain is managed',
        look: dig,
      }
    case 'rate-limited':
      return {
        cause: `the authority refuses further requests for ${host} for a while: there were too many`,
        text: 'Wait; remove the cause of the earlier failures meanwhile. Every try before that time counts again',
      }
    case 'name-rejected':
      return {
        cause: `the authority signs nothing for ${host}: its policy forbids the name`,
        text: 'Use another name: this one is blocked, reserved, or not below a public domain',
      }
    case 'not-presented':
      return {
        cause: `cert-manager cannot put up what answers the challenge for ${host}`,
        text: 'Correct what refuses its pod, service or ingress: a quota, a webhook, or a missing right',
      }
    case 'no-solver':
      return {
        cause: `the issuer has no solver for ${host}`,
        text: 'Correct spec.acme.solvers of the issuer',
        look: 'kubectl get clusterissuers -o yaml',
      }
    case 'server-error':
      return {
        cause: 'the authority has trouble of its own',
        text: 'Wait: cert-manager tries again. See https://letsencrypt.status.io',
      }
    case 'unauthorized':
      return {
        cause: `the authority does not accept what ${host} answers`,
        text: 'See where the host leads from outside, also by IPv6',
        look: curl,
      }
    case 'queued':
      return {
        cause: `the challenge for ${host} waits for its turn, or cert-manager does not work`,
        text: 'Wait; cert-manager works on 60 challenges at a time, and on one a host',
        look: 'kubectl -n cert-manager logs deploy/cert-manager --since=10m',
      }
    default:
      return {
        cause: `the challenge for ${host} ${isOver ? 'has failed' : 'does not get on'}`,
        text: 'Correct what its message names',
        look: curl,
      }
  }
}
