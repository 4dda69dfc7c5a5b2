import { condition } from '../../flux/flux.ts'
import type { KubeObject } from '../../kubectl/kubectl.ts'
import {
  acmeServerOf,
  ageOf,
  covers,
  isStaging,
  isStagingCertificate,
  issuerOf,
  namesOf,
} from '../certificates/chain.ts'
import { reissue } from '../certificates/renew.ts'
import { type Finding, type Remedy, tell } from '../finding.ts'
import type { CertificateFacts, Index } from '../snapshot.ts'
import { deployment, SETTLING } from './issuers.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

/** Clocks may differ by so much before a certificate counts as not valid yet. */
const CLOCK_TOLERANCE = 60_000

/** What is wrong with a stored certificate. */
interface Problem {
  rule: string
  cause: string
  evidence: readonly string[]
  /** Without one, it has to be reissued. */
  remedy?: Remedy
  /** Why it has to be reissued. */
  text?: string
  /** cert-manager sees to it by itself, unless something deeper keeps it from that. */
  heals: boolean
  verdict?: Finding['verdict']
}

/** The stored certificate of a Certificate; undefined when there is none that can be read. Pure. */
export function storedFor(certificate: KubeObject, index: Index): CertificateFacts | undefined {
  const stored = index.secret(
    certificate.metadata.namespace ?? '',
    certificate.spec?.secretName ?? '',
  )?.certificate
  return stored && !('error' in stored) ? stored : undefined
}

/** What is stored for a Certificate, and is not what it should be. Pure. */
export function storedFinding(certificate: KubeObject, index: Index): Finding | undefined {
  const facts = storedFor(certificate, index)
  const problem = facts ? validity(certificate, facts, index) : absence(certificate, index)
  if (!problem) return undefined
  const { rule, cause, evidence, heals, verdict = 'broken', text = 'Reissue it' } = problem
  const told = ['Ready', 'Issuing'].flatMap(type => {
    const { status, message } = condition(certificate, type) ?? {}
    return message && (type === 'Issuing' || status !== 'True') ? [`${type}: ${message}`] : []
  })
  return tell(certificate, {
    rule,
    verdict,
    cause,
    evidence: [...evidence, ...told],
    ...(problem.remedy ?? reissue(certificate, index, text)),
    ...(heals ? { symptom: true as const, causedBy: [deployment('cert-manager')] } : {}),
  })
}

/** A Secret that was there, and is not, or holds nothing that can be used. */
function absence(certificate: KubeObject, index: Index): Problem | undefined {
  const { namespace = '' } = certificate.metadata
  const name = String(certificate.spec?.secretName ?? '')
  // Before the first one is issued there is none.
  const wasIssued = (certificate.status?.revision ?? 0) > 0
  if (!wasIssued || index.blind('Secret') || isFresh(certificate, index)) return undefined
  const secret = index.secret(namespace, name)
  const found = secret?.certificate
  // Nobody has looked into it.
  if (secret && !found && (secret.keys['tls.crt'] ?? 0) > 0) return undefined
  return {
    rule: 'certificate-secret-unusable',
    cause: secret ? `its Secret ${name} holds no usable certificate` : `its Secret ${name} does not exist`,
    evidence: found && 'error' in found ? [`its tls.crt ${found.error}`] : [],
    heals: true,
  }
}

/** Whether it was created, or tried, only just now. */
function isFresh(certificate: KubeObject, index: Index): boolean {
  const isTrying = condition(certificate, 'Issuing')?.status === 'True'
  const age = ageOf(certificate, index.now)
  return Math.min(age, isTrying ? ageOf(certificate, index.now, 'Issuing') : age) < SETTLING
}

function validity(certificate: KubeObject, facts: CertificateFacts, index: Index): Problem | undefined {
  const [from, until] = [Date.parse(facts.notBefore), Date.parse(facts.notAfter)]
  const life = `valid from ${facts.notBefore.slice(0, 16)} to ${facts.notAfter.slice(0, 16)}, signed by ${facts.issuer}`
  const server = acmeServerOf(index.find(issuerOf(certificate)))
  if (from > index.now + CLOCK_TOLERANCE)
    return {
      rule: 'certificate-not-yet-valid',
      cause: `it is valid only from ${facts.notBefore} on: a clock is wrong`,
      evidence: [life],
      remedy: {
        text: 'Correct the clock of the server, then reissue the certificate',
        command: 'timedatectl status',
      },
      heals: false,
    }
  if (until < index.now)
    return {
      rule: 'certificate-expired',
      cause: `it has expired ${span(index.now - until)} ago, and was not renewed`,
      evidence: [life],
      heals: true,
    }
  if (isFresh(certificate, index)) return undefined
  if (isStagingCertificate(facts) && server !== undefined && !isStaging(server))
    return {
      rule: 'certificate-staging-leftover',
      cause:
        'the stored certificate is a staging certificate, from before the issuer was switched to production: browsers warn',
      evidence: [life, `the issuer’s server is ${server}`],
      text: 'Reissue it: cert-manager does not do so by itself before it is due',
      heals: false,
    }
  const missing = namesOf(certificate).filter(host => !facts.dnsNames.some(name => covers(name, host)))
  if (missing.length > 0)
    return {
      rule: 'certificate-wrong-names',
      cause: `the stored certificate is not for ${missing.join(', ')}`,
      evidence: [`it is for ${facts.dnsNames.join(', ') || 'no host'}`, life],
      heals: true,
    }
  return overdue(certificate, until, life, index)
}

/** A renewal that should have come. */
function overdue(certificate: KubeObject, until: number, life: string, index: Index): Problem | undefined {
  const { renewalTime, lastFailureTime, failedIssuanceAttempts } = certificate.status ?? {}
  const due = Date.parse(renewalTime ?? '')
  if (Number.isNaN(due) || index.now - due < Math.min(HOUR, (until - due) / 2)) return undefined
  const failures = lastFailureTime
    ? [`${failedIssuanceAttempts ?? 1} tries have failed, the last one at ${lastFailureTime}`]
    : []
  return {
    rule: 'certificate-renewal-overdue',
    verdict: 'warning',
    cause: `it should have been renewed ${span(index.now - due)} ago, and ends in ${span(until - index.now)}`,
    evidence: [life, ...failures],
    heals: true,
  }
}

/** A span of time in words. */
function span(ms: number): string {
  const [number, unit] =
    ms < 2 * HOUR
      ? [Math.round(ms / 60_000), 'minute']
      : ms < 2 * DAY
        ? [Math.round(ms / HOUR), 'hour']
        : [Math.round(ms / DAY), 'day']
  return `${number} ${unit}${number === 1 ? '' : 's'}`
}
