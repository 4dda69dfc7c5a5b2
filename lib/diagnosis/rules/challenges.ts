import { type KubeObject, type Ref, refOf } from '../../kubectl/kubectl.ts'
import { acmeServerOf, ageOf, covers, isStaging, issuanceChainOf, issuerOf } from '../certificates/chain.ts'
import { type ChallengeProblem, parseReason, parseRecord } from '../certificates/challenge-message.ts'
import { challengeTexts } from '../certificates/challenge-texts.ts'
import { factsOf, hopsText, isCauseGone } from '../certificates/host-problems.ts'
import { allowance } from '../certificates/rate-limits.ts'
import { renewal } from '../certificates/renew.ts'
import { type Finding, type Remedy, type Rule, tell } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { warnings } from './certificate-events.ts'
import { hostsOf, isSolver } from './ingresses.ts'
import { SETTLING, settlingOf } from './issuers.ts'

/** Orders and Challenges of certificates that are not issued yet: the deepest that say why. */
const issuance: Rule = index => {
  const findings = index.all('Certificate').flatMap((certificate): Finding[] => {
    const { order, challenges } = issuanceChainOf(certificate, index)
    if (!order) return []
    const failed = challenges.flatMap(challenge => challengeFinding(certificate, challenge, index))
    const valid = challenges.length > 0 && challenges.every(({ status }) => status?.state === 'valid')
    return [
      ...failed,
      ...orderFinding(certificate, order, failed.length > 0, index),
      ...(valid ? forgotten(order, index) : []),
    ]
  })
  return alike(findings)
}

/** A Challenge that is not answered, or was answered wrongly. */
function challengeFinding(certificate: KubeObject, challenge: KubeObject, index: Index): Finding[] {
  const { state = '', reason = '', processing, presented } = challenge.status ?? {}
  if (state === 'valid' || state === 'ready') return []
  const isOver = state !== '' && state !== 'pending' && state !== 'processing'
  // A new one is answered with 404 or 503 until the ingress controller knows of it.
  if (!isOver && ageOf(challenge, index.now) < settlingOf(certificate, index)) return []
  const host = String(challenge.spec?.dnsName ?? '')
  const parsed = challenge.spec?.type === 'DNS-01' ? parseRecord(reason) : parseReason(reason)
  const problem: ChallengeProblem =
    parsed.problem === 'unknown' && !reason && !processing && !isOver ? 'queued' : parsed.problem
  const { cause, text, look } = challengeTexts(problem, host, parsed.status, isOver)
  return [
    tell(challenge, {
      rule: `challenge-${problem}`,
      cause,
      evidence: [
        ...(reason
          ? [short(reason)]
          : [`state ${state || 'not known yet'}, ${presented ? 'presented' : 'not presented'}`]),
        ...warnings(challenge, index),
        ...probed(host, index),
      ],
      ...remedy(certificate, [host], { text, command: look }, index, isOver ? undefined : challenge),
      symptom: true,
      causedBy: [
        ...index.ownedBy(challenge).map(refOf),
        ...quotas(reason, challenge),
        ...mistakenBy(host, index),
        ...ingressControllers(index),
      ],
    }),
  ]
}

/** The Ingresses that ask for a certificate of a host which none of them serves: the host is mistaken there. */
function mistakenBy(host: string, index: Index): Ref[] {
  const asking = index
    .all('Ingress')
    .filter(({ spec }) =>
      ((spec?.tls ?? []) as { hosts?: string[] }[]).some(({ hosts }) => hosts?.includes(host)),
    )
  const isServed = index
    .all('Ingress')
    .some(ingress => !isSolver(ingress) && hostsOf(ingress).some(name => covers(name, host)))
  return isServed ? [] : asking.map(refOf)
}

/** The quota that a message names: "exceeded quota: NAME, requested: …". */
function quotas(reason: string, { metadata }: KubeObject): Ref[] {
  const [, name] = /exceeded quota: ([\w.-]+)/.exec(reason) ?? []
  return name ? [{ apiVersion: 'v1', kind: 'ResourceQuota', namespace: metadata.namespace, name }] : []
}

/**
 * An Order of which all challenges are valid, and that is not completed: cert-manager has missed a change of them.
 * Source: https://github.com/cert-manager/cert-manager/issues/5602
 */
function forgotten(order: KubeObject, index: Index): Finding[] {
  if (order.status?.state !== 'pending' || ageOf(order, index.now) < 2 * SETTLING) return []
  return [
    tell(order, {
      rule: 'order-forgotten',
      cause: 'it is still pending, although all of its challenges are valid',
      text: 'Restart cert-manager, which then reads the challenges again; if it stays pending, delete it',
      command: 'kubectl -n cert-manager rollout restart deployment cert-manager',
    }),
  ]
}

/** An Order that has failed by itself, or whose Challenges are gone, or that does not begin. */
function orderFinding(
  certificate: KubeObject,
  order: KubeObject,
  hasFailedChallenge: boolean,
  index: Index,
): Finding[] {
  const { state = '', reason = '' } = order.status ?? {}
  const events = warnings(order, index)
  const isOver = state === 'errored' || state === 'invalid' || state === 'expired'
  const isStuck =
    state !== 'valid' && (state === '' || events.length > 0) && ageOf(order, index.now) > SETTLING
  if (!isOver && !isStuck) return []
  const hosts = (order.spec?.dnsNames ?? []) as string[]
  const { problem } = parseReason(reason || events.join(' '))
  const named = [
    'rate-limited',
    'name-rejected',
    'caa',
    'no-solver',
    'server-error',
    'dns-other-record',
  ] as ChallengeProblem[]
  const { cause, text, look } = hasFailedChallenge
    ? { cause: `it is ${state}: a validation has failed`, text: 'Repair the challenge', look: undefined }
    : named.includes(problem)
      ? challengeTexts(problem, hosts.join(', '), undefined, true)
      : isOver
        ? {
            cause: `the authority has ended it as ${state}${reason ? `: ${short(reason, 160)}` : ', and does not say why'}`,
            text: /accountDoesNotExist/.test(reason)
              ? 'Delete the Secret with the account’s key that the issuer names: cert-manager registers a new account'
              : /orderNotReady|badNonce|serverInternal/.test(reason)
                ? 'Nothing has to be corrected: the error was temporary; reissue the certificate'
                : /invalidProfile/.test(reason)
                  ? 'Correct spec.acme.profile of the issuer: the directory of the authority lists those that it has; then reissue the certificate'
                  : 'Correct what it names, then reissue the certificate',
            look: `kubectl describe order -n ${order.metadata.namespace} ${order.metadata.name}`,
          }
        : {
            cause: 'the authority has not taken it yet',
            text: 'See whether cert-manager reaches the authority',
            look: 'npx tsx scripts/logs.ts cert-manager --since 10m',
          }
  return [
    tell(order, {
      rule: `order-${named.includes(problem) ? problem : isOver ? 'failed' : 'pending'}`,
      cause,
      evidence: [
        ...(reason ? [short(reason)] : []),
        ...events,
        ...(state ? [`state ${state}`] : ['it has no state yet']),
      ],
      ...remedy(certificate, hosts, { text, command: look }, index, undefined, problem),
      ...(hasFailedChallenge || !named.includes(problem) ? { symptom: true as const } : {}),
    }),
  ]
}

/**
 * What may be done: nothing before the cause is gone and the authority would take another request. A challenge
 * that still waits is deleted, so that cert-manager creates a new one; after a failure the certificate is reissued.
 */
function remedy(
  certificate: KubeObject,
  hosts: readonly string[],
  otherwise: Pick<Remedy, 'text' | 'command'>,
  index: Index,
  waiting: KubeObject | undefined,
  problem?: ChallengeProblem,
): Remedy {
  const { allowed, until, why } = allowance(certificate, index)
  if (!allowed)
    return { text: `${otherwise.text}. Do not retry before ${until}: ${why}`, command: otherwise.command }
  const isRefused = problem === 'rate-limited' || problem === 'name-rejected' || problem === 'no-solver'
  if (isRefused || !isCauseGone(hosts, index)) return otherwise
  const { namespace, name } = certificate.metadata
  return waiting
    ? {
        text: 'The cause is gone: delete the challenge, cert-manager creates a new one at once',
        command: `kubectl -n ${namespace} delete challenges.acme.cert-manager.io ${waiting.metadata.name}`,
        action: { do: 'delete', ref: refOf(waiting), uid: waiting.metadata.uid ?? '' },
      }
    : {
        text: 'The cause is gone: reissue the certificate instead of waiting for cert-manager’s next try',
        command: `cmctl renew -n ${namespace} ${name}`,
        action: renewal(certificate, index),
      }
}

/** What was seen of a host’s port 80 from outside. */
function probed(host: string, index: Index): string[] {
  return (factsOf(host, index)?.http ?? []).slice(0, 2).map(each => `from here: ${hopsText(each)}`)
}

/** What serves port 80: Traefik, or what else somebody has installed in its place. */
export function ingressControllers(index: Index): Ref[] {
  return ['Deployment', 'DaemonSet']
    .flatMap(kind => index.all(kind))
    .filter(({ metadata }) =>
      ['traefik', 'ingress-nginx'].includes(metadata.labels?.['app.kubernetes.io/name'] ?? ''),
    )
    .map(refOf)
}

/** Many challenges that fail by what all of them go through are one: the others follow the first. */
function alike(findings: readonly Finding[]): Finding[] {
  const first = new Map<string, Finding>()
  return findings.map(finding => {
    const isCommon = /^challenge-(refused|timeout|unreachable|dns-fails)$/.test(finding.rule)
    if (!isCommon || finding.remedy.action) return finding
    const known = first.get(finding.rule)
    if (known) return { ...finding, causedBy: [...(finding.causedBy ?? []), known.subject] }
    first.set(finding.rule, finding)
    return finding
  })
}

/** Certificates of an environment for trials beside others that are not. */
const staging: Rule = index => {
  const certificates = index.all('Certificate').map(certificate => {
    const server = acmeServerOf(index.find(issuerOf(certificate)))
    return { certificate, server }
  })
  if (!certificates.some(({ server }) => server !== undefined && !isStaging(server))) return []
  return certificates
    .filter(({ server }) => isStaging(server))
    .map(({ certificate, server }): Finding => {
      const { namespace, name } = certificate.metadata
      return tell(certificate, {
        rule: 'certificate-staging',
        verdict: 'warning',
        cause: 'it is issued by a staging environment, other certificates are not: browsers warn',
        evidence: [`its issuer is ${issuerOf(certificate).name}, at ${server}`],
        text: 'Use letsencrypt-production: set cluster_issuer in .flux.env and install-core, or where an override sets the annotation',
        command: `kubectl -n ${namespace} get certificate ${name} -o yaml`,
      })
    })
}

/** The rules for Orders and Challenges. */
export const rules: readonly Rule[] = [issuance, staging]
