import { isIP } from 'node:net'
import type { DnsAnswer } from './dns.ts'
import { error, listed, type PreflightFinding, quotedAnswer, warning } from './findings.ts'

/** A CAA record as Node gives it: `critical`, and a property by its tag. */
export type CaaRecord = { critical: number } & Record<string, string | number>

/** What the names have to lead to. */
export interface DnsTarget {
  domain: string
  address: string
  /** Further addresses that the server has. */
  alsoIts: readonly string[]
}

type Verdict = 'right' | 'missing' | 'wrong' | 'failed'

/** What a resolver's answer is worth. */
function judge(answer: DnsAnswer, { address }: DnsTarget): Verdict {
  if (answer.failed !== undefined) return 'failed'
  const records = isIP(address) === 6 ? answer.aaaa : answer.a
  if (records.length === 0) return 'missing'
  return records.every(record => sameAddress(record, address)) ? 'right' : 'wrong'
}

/** Findings that differ in nothing but the name are one, which lists the names. */
class Grouped {
  readonly #groups = new Map<string, { names: string[]; tell: (names: string[]) => PreflightFinding }>()

  add(key: string, name: string, tell: (names: string[]) => PreflightFinding): void {
    const group = this.#groups.get(key) ?? { names: [], tell }
    group.names.push(name)
    this.#groups.set(key, group)
  }

  findings(): PreflightFinding[] {
    return [...this.#groups.values()].map(({ names, tell }) => tell(names))
  }
}

/** What is wrong with the addresses of names, as several resolvers tell them. Pure. */
export function dnsFindings(answers: readonly DnsAnswer[], target: DnsTarget): PreflightFinding[] {
  const { domain, address } = target
  const type = isIP(address) === 6 ? 'AAAA' : 'A'
  const create = `create these records where the domain is managed: ${type} ${domain} → ${address}, CNAME *.${domain} → ${domain}; new ones take minutes`
  const found = new Grouped()
  const silent = new Set<string>()
  for (const resolver of new Set(answers.map(answer => answer.resolver))) {
    const codes = new Set(answers.filter(a => a.resolver === resolver).map(a => a.failed))
    if (codes.has(undefined)) continue
    silent.add(resolver)
    found.add(`silent ${resolver}`, resolver, () =>
      warning(
        `the resolver ${resolver} does not answer (${[...codes].join(', ')})`,
        'nothing, if others answer; it may be blocked on the way, or choose your own with --resolver',
      ),
    )
  }

  const names = [...new Set(answers.map(answer => answer.name))]
  const seen = names.map(name => {
    const told = answers.filter(answer => answer.name === name && !silent.has(answer.resolver))
    return { name, told: told.map(answer => ({ ...answer, verdict: judge(answer, target) })) }
  })
  const wildcard = `*.${domain}`
  const onlyWildcardMissing = seen.every(
    ({ name, told }) => (name === wildcard) === told.every(({ verdict }) => verdict === 'missing'),
  )
  for (const { name, told } of seen) {
    const isRight = told.some(({ verdict }) => verdict === 'right')
    for (const { resolver, verdict, failed, ttl, ...answer } of told) {
      const records = (type === 'A' ? answer.a : answer.aaaa).join(', ')
      if (verdict === 'failed')
        found.add(`failed ${failed} ${resolver}`, name, all =>
          error(
            `the resolver ${resolver} fails for ${listed(all)} (${failed})`,
            failed === 'ESERVFAIL'
              ? 'the name servers of the domain do not answer, or its DNSSEC signatures are broken: see https://dnsviz.net'
              : 'ask it by hand: dig NAME @RESOLVER',
          ),
        )
      else if (verdict !== 'right' && isRight) {
        const what = verdict === 'missing' ? 'knows no address' : `still says ${records}`
        const rest = ttl ? `, for ${ttl} s at most` : ''
        found.add(`stale ${resolver} ${what}`, name, all =>
          warning(
            `the resolver ${resolver} ${what} for ${listed(all)}${rest}, others say ${address}`,
            'wait until its copy has expired; if it stays so, the name servers of the domain disagree',
          ),
        )
      } else if (verdict === 'missing' && name === wildcard && onlyWildcardMissing)
        found.add('wildcard', name, () =>
          warning(
            `there is no wildcard record ${wildcard}, only a record for each host`,
            `create CNAME ${wildcard} → ${domain}, or remember to add a record for each new application`,
          ),
        )
      else if (verdict === 'missing')
        found.add('missing', name, all =>
          error(`${listed(all.filter(unique))} has no ${type} record`, create),
        )
      else if (verdict === 'wrong')
        found.add(`wrong ${records}`, name, all =>
          error(
            `${listed(all.filter(unique))} points to ${records}, not to ${address}`,
            `change the record where the domain is managed (${type} ${domain} → ${address}, and a wildcard), or correct ip_address in .flux.env`,
          ),
        )
      const others = (type === 'A' ? answer.aaaa : answer.a).filter(
        other => !target.alsoIts.some(its => sameAddress(its, other)),
      )
      if (others.length > 0 && verdict !== 'failed')
        found.add(`other ${others.join()}`, name, all =>
          warning(
            `${listed(all.filter(unique))} has also the address ${others.join(', ')}, which is not known as the server's`,
            "Let's Encrypt and browsers go there, too: remove the record unless it is an address of the server",
          ),
        )
    }
  }
  return found.findings()
}

const unique = (item: string, i: number, all: readonly string[]) => all.indexOf(item) === i

/** Whether both texts are the same address: IPv6 can be written in many ways. */
function sameAddress(one: string, other: string): boolean {
  const canonical = (address: string) =>
    isIP(address) === 6 ? new URL(`http://[${address.replace(/%.*/, '')}]`).hostname : address
  return canonical(one) === canonical(other)
}

/** The authority of both certificate issuers of the platform, as it is named in CAA records. */
const AUTHORITY = 'letsencrypt.org'

/** Properties that an authority has to know (RFC 8659, RFC 9495, RFC 9657, CA/Browser Forum). */
const KNOWN_TAGS = ['issue', 'issuewild', 'iodef', 'issuemail', 'issuevmc', 'contactemail', 'contactphone']

/**
 * What keeps Let's Encrypt from signing for these hosts. For each the nearest name upwards that has any CAA record
 * decides (RFC 8659, section 3). No wildcard certificate is ever ordered, so that `issuewild` does not count. Pure.
 */
export function caaFindings(
  hosts: readonly string[],
  records: ReadonlyMap<string, readonly CaaRecord[] | { failed: string }>,
): PreflightFinding[] {
  const found = new Grouped()
  for (const host of hosts) {
    const labels = host.split('.')
    for (const name of labels.map((_, i) => labels.slice(i).join('.'))) {
      const here = records.get(name)
      if (here === undefined || (Array.isArray(here) && here.length === 0)) continue
      if ('failed' in here) {
        found.add(`failed ${name}`, host, all =>
          error(
            `the CAA records of ${name} cannot be looked up (${here.failed}): Let's Encrypt then signs nothing for ${listed(all)}`,
            'the name servers of the domain have to answer questions of type CAA: ask who runs them',
          ),
        )
        break
      }
      const problem = caaProblem(here)
      if (problem)
        found.add(`caa ${name}`, host, all =>
          error(
            `the CAA records of ${name} keep Let's Encrypt from signing for ${listed(all)}: ${problem}`,
            `add the record CAA ${name} 0 issue "${AUTHORITY}"`,
          ),
        )
      break
    }
  }
  return found.findings()
}

/** Why a set of CAA records keeps Let's Encrypt from signing; undefined when it does not. */
function caaProblem(records: readonly CaaRecord[]): string | undefined {
  const unknown = records.find(
    record => record.critical !== 0 && !Object.keys(record).some(tag => KNOWN_TAGS.includes(tag)),
  )
  if (unknown) return 'one of them is critical and of an unknown kind'
  const issuers = records.flatMap(record => (record.issue === undefined ? [] : [String(record.issue)]))
  if (issuers.length === 0) return undefined
  const parsed = issuers.map(value => value.split(';').map(part => part.trim()))
  const ours = parsed.filter(([domain]) => domain?.toLowerCase() === AUTHORITY)
  if (ours.length === 0)
    return `they allow ${listed(parsed.map(([domain]) => quotedAnswer(domain ?? '') || 'nobody').filter(unique))} only`
  const methods = ours.map(([, ...parameters]) =>
    parameters.find(parameter => /^validationmethods\s*=/i.test(parameter))?.replace(/^.*?=\s*/, ''),
  )
  if (methods.every(method => method !== undefined && !method.split(',').includes('http-01')))
    return `they allow the validation by ${quotedAnswer(methods.join(', '))} only, not by http-01`
  return undefined
}
