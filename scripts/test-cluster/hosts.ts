import type { HostFacts } from '../../lib/diagnosis/certificates/host-facts.ts'
import { hostProblems } from '../../lib/diagnosis/certificates/host-problems.ts'
import { exchangeHttp, type HttpAnswer } from '../../lib/diagnosis/certificates/http-probe.ts'
import { probeFailureOf } from '../../lib/diagnosis/certificates/probe-failure.ts'
import type { ConnectTo } from '../../lib/preflight/host-name.ts'
import { durationText } from '../../lib/script/duration.ts'
import { checkOf, passedCheck, skippedCheck, type TestCheck } from './checks.ts'

/** Days that a certificate has to be valid for: it is renewed 30 days before its end. */
const LEAST = 14
const DAY = 86_400_000

/** What a browser meets at a host: on port 80 and on port 443. */
export interface Front {
  host: string
  http: HttpAnswer | string
  https: HttpAnswer | string
}

/** Asks the first page of a host on both ports, as a browser does. A failure is a text. Throws only the signal's reason. */
export async function askFront(host: string, to: ConnectTo, signal: AbortSignal): Promise<Front> {
  const ask = async (protocol: 'http' | 'https'): Promise<HttpAnswer | string> => {
    try {
      return await exchangeHttp(
        new URL(`${protocol}://${host}/`),
        { address: to.address, port: to[protocol] },
        signal,
      )
    } catch (error) {
      signal.throwIfAborted()
      return probeFailureOf(error).message
    }
  }
  const [http, https] = await Promise.all([ask('http'), ask('https')])
  return { host, http, https }
}

/** Where a host is reached: at the given address, else at the first one in DNS; undefined where it has none. Pure. */
export function addressOf(facts: HostFacts, connectTo: ConnectTo | undefined): ConnectTo | undefined {
  if (connectTo) return connectTo
  const [address] = facts.dns.flatMap(({ a, aaaa }) => [...a, ...aaaa])
  return address === undefined ? undefined : { address, http: 80, https: 443 }
}

const debug = (host: string) => `npx tsx scripts/cert-debug.ts ${host}`

/** What is wrong with the certificate that a host is served with; undefined for a good one. Pure. */
export function certificateProblem(
  host: string,
  { distrust, notAfter }: Pick<HttpAnswer, 'distrust' | 'notAfter'>,
  now: number,
): [what: string, fix: string] | undefined {
  const texts: Record<string, string> = {
    CERT_HAS_EXPIRED: 'its certificate has expired',
    CERT_NOT_YET_VALID: 'its certificate is not valid yet: a clock is wrong',
    ERR_TLS_CERT_ALTNAME_INVALID: 'it is served with a certificate for another host',
    DEPTH_ZERO_SELF_SIGNED_CERT: 'it is served with a self-signed certificate',
    UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'the chain of its certificate is not complete, or no browser trusts it',
  }
  if (distrust === 'CERT_NOT_YET_VALID')
    return [texts[distrust]!, `compare \`date -u\` here and on the server, then run ${debug(host)}`]
  if (distrust !== undefined)
    return [texts[distrust] ?? `no browser trusts its certificate (${distrust})`, `run ${debug(host)}`]
  const left = notAfter === undefined ? undefined : Date.parse(notAfter) - now
  if (left !== undefined && left < LEAST * DAY)
    return [`its certificate expires in ${durationText(left)} and was not renewed`, `run ${debug(host)}`]
  return undefined
}

/** What is wrong with the answer on port 80, which has to lead to https. Pure. */
export function redirectProblem(
  host: string,
  answer: HttpAnswer | string,
): [what: string, fix: string] | undefined {
  if (typeof answer === 'string')
    return [`port 80 does not answer: ${answer}`, `run npx tsx scripts/preflight.ts --only dns,ports`]
  const location = answer.headers.location ?? ''
  const to = URL.canParse(location, `http://${host}/`) ? new URL(location, `http://${host}/`) : undefined
  if (answer.status >= 301 && answer.status <= 308 && to?.protocol === 'https:' && to.hostname === host)
    return undefined
  const seen = location ? `${answer.status} to ${location.slice(0, 100)}` : String(answer.status)
  return [`port 80 does not lead to https://${host}: it answers ${seen}`, `run ${debug(host)}`]
}

/** What is wrong with the answer on port 443, besides its certificate. Pure. */
export function answerProblem(host: string, { status }: HttpAnswer): [what: string, fix: string] | undefined {
  const app = `run npx tsx scripts/diagnose.ts`
  if (status >= 500) return [`https://${host} answers ${status}: nothing behind it is ready`, app]
  if (status === 404) return [`https://${host} answers 404: no ingress leads there`, app]
  return undefined
}

const withHsts = ({ headers }: HttpAnswer) =>
  Number(/max-age=(\d{1,12})/.exec(String(headers['strict-transport-security'] ?? ''))?.[1] ?? 0) > 0

/** Everything about a host as it is seen from outside. `front` is undefined where it has no address. Pure. */
export function hostChecks(facts: HostFacts, front: Front | undefined, now: number): TestCheck[] {
  const { host } = facts
  const [dns] = hostProblems(facts).filter(({ rule }) => /^host-(dns|aaaa|caa)-/.test(rule))
  const address = facts.dns.flatMap(({ a, aaaa }) => [...a, ...aaaa])[0]
  const checks = [
    {
      ...checkOf('certs', `${host}: DNS`, dns && [`${host} ${dns.what}`, dns.fix], address),
    },
  ]
  if (dns) checks[0]!.problem!.seen = dns.evidence
  const names = ['certificate', 'redirect to https', 'answer', 'HSTS'].map(name => `${host}: ${name}`)
  if (!front) return [...checks, ...names.map(name => skippedCheck('certs', name, 'the host has no address'))]
  const [certificate = '', redirect = '', answer = '', hsts = ''] = names
  checks.push(checkOf('certs', redirect, redirectProblem(host, front.http)))
  const { https } = front
  if (typeof https === 'string')
    return [
      ...checks,
      checkOf('certs', certificate, [`port 443 does not answer: ${https}`, `run ${debug(host)}`]),
      skippedCheck('certs', answer, 'port 443 does not answer'),
      skippedCheck('certs', hsts, 'port 443 does not answer'),
    ]
  return [
    ...checks,
    checkOf(
      'certs',
      certificate,
      certificateProblem(host, https, now),
      `until ${https.notAfter?.slice(0, 10)}`,
    ),
    checkOf('certs', answer, answerProblem(host, https), String(https.status)),
    withHsts(https)
      ? passedCheck('certs', hsts)
      : checkOf('certs', hsts, [
          `https://${host} sends no Strict-Transport-Security`,
          'run npx tsx scripts/install-core.ts: flux2/infrastructure-configs/hsts.yaml has the middleware',
        ]),
  ]
}
