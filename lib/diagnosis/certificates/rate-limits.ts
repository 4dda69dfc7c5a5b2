import type { KubeObject } from '../../kubectl/kubectl.ts'
import { eventTime, type Index } from '../snapshot.ts'
import { acmeServerOf, isStaging, issuerOf, namesOf } from './chain.ts'
import { parseReason } from './challenge-message.ts'

/** Failed validations of one host and account in an hour (https://letsencrypt.org/docs/rate-limits/). */
const FAILURES_PER_HOUR = 5

/** Certificates for exactly the same names in seven days. */
const DUPLICATES_PER_WEEK = 5

const HOUR = 3_600_000
const WEEK = 7 * 24 * HOUR

/** Whether an authority would accept another request, by the earlier ones that the cluster knows. */
export interface Allowance {
  allowed: boolean
  /** Failed validations in the last hour, of the host with the most of them. */
  failures: number
  /** Certificates for the same names in the last week. */
  duplicates: number
  /** When a retry is allowed again, ISO 8601. */
  until?: string
  /** The reason against a retry, in words. */
  why?: string
}

/**
 * Counts what an authority counts, before a retry: failed validations from Challenges, Orders and
 * events (which the API server keeps for an hour), certificates from Orders. The limits of staging servers are
 * never reached. Pure.
 */
export function allowance(certificate: KubeObject, index: Index): Allowance {
  const names = namesOf(certificate)
  const issuer = index.find(issuerOf(certificate))
  const counted = acmeServerOf(issuer) !== undefined && !isStaging(acmeServerOf(issuer))
  if (!counted) return { allowed: true, failures: 0, duplicates: 0 }

  const failed = names.map(name => failuresOf(name, index)).sort((a, b) => b.length - a.length)[0] ?? []
  const issued = issuedFor(names, index)
  const counts = { failures: failed.length, duplicates: issued.length }
  const told = toldUntil(certificate, names, index)
  if (told !== undefined && told > index.now)
    return { allowed: false, ...counts, until: iso(told), why: 'the authority reports too many requests' }
  if (failed.length >= FAILURES_PER_HOUR)
    return {
      allowed: false,
      ...counts,
      until: iso(failed.at(-FAILURES_PER_HOUR)! + HOUR),
      why: `${failed.length} validations of one host failed in the last hour; the limit is ${FAILURES_PER_HOUR}`,
    }
  if (issued.length >= DUPLICATES_PER_WEEK)
    return {
      allowed: false,
      ...counts,
      until: iso(issued.at(-DUPLICATES_PER_WEEK)! + WEEK),
      why: `${issued.length} certificates for the same names were issued in the last week; the limit is ${DUPLICATES_PER_WEEK}`,
    }
  return { allowed: true, ...counts }
}

const iso = (time: number) => new Date(time).toISOString()

/** When validations of a host failed in the last hour, sorted; one Challenge fails once. */
function failuresOf(host: string, index: Index): number[] {
  const times = new Map<string, number>()
  for (const event of index.snapshot.objects) {
    if (event.kind !== 'Event' || event.involvedObject?.kind !== 'Challenge' || event.reason !== 'Failed')
      continue
    if (String(event.message).includes(`authorization error for ${host}:`))
      times.set(`${event.involvedObject.namespace}/${event.involvedObject.name}`, eventTime(event))
  }
  for (const challenge of index.all('Challenge')) {
    if (challenge.spec?.dnsName !== host || challenge.status?.state !== 'invalid') continue
    const key = `${challenge.metadata.namespace}/${challenge.metadata.name}`
    const owner = challenge.metadata.ownerReferences?.find(({ kind }) => kind === 'Order')
    const order = owner && index.get('Order', challenge.metadata.namespace, owner.name)
    const time = Date.parse(order?.status?.failureTime ?? challenge.metadata.creationTimestamp ?? '')
    if (!times.has(key) && !Number.isNaN(time)) times.set(key, time)
  }
  return [...times.values()].filter(time => index.now - time < HOUR).sort((a, b) => a - b)
}

/** When certificates for exactly these names were issued in the last week, sorted. */
function issuedFor(names: readonly string[], index: Index): number[] {
  const wanted = [...names].sort().join(' ')
  return index
    .all('Order')
    .filter(order => order.status?.state === 'valid' && namesOf(order).sort().join(' ') === wanted)
    .map(order => Date.parse(order.metadata.creationTimestamp ?? ''))
    .filter(time => index.now - time < WEEK)
    .sort((a, b) => a - b)
}

/** Until when the authority itself refuses further requests for these names. */
function toldUntil(certificate: KubeObject, names: readonly string[], index: Index): number | undefined {
  const times = index
    .all('Order')
    .filter(order => order.metadata.namespace === certificate.metadata.namespace)
    .filter(order => namesOf(order).some(name => names.includes(name)))
    .flatMap(order => {
      const { problem, retryAfter } = parseReason(String(order.status?.reason ?? ''))
      if (problem !== 'rate-limited') return []
      // Without a time: the shortest of the limits is that of an hour.
      const refused = Date.parse(order.status?.failureTime ?? order.metadata.creationTimestamp ?? '')
      return [retryAfter ? Date.parse(retryAfter) : refused + HOUR]
    })
  return times.length > 0 ? Math.max(...times) : undefined
}
