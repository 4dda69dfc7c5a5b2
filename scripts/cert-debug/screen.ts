import { acmeServerOf, covers, isStaging, issuerOf, namesOf } from '../../lib/diagnosis/certificates/chain.ts'
import type { HostFacts } from '../../lib/diagnosis/certificates/host-facts.ts'
import { factsOf } from '../../lib/diagnosis/certificates/host-problems.ts'
import { storedFor } from '../../lib/diagnosis/rules/stored-certificates.ts'
import type { Index } from '../../lib/diagnosis/snapshot.ts'
import { condition } from '../../lib/flux/flux.ts'
import { table } from '../../lib/script/table.ts'

/** One line for each host: its certificate, who issues it, its address, and the answers there. Pure. */
export function screen(hosts: readonly string[], index: Index): string {
  const rows = hosts.map(host => {
    const certificates = index
      .all('Certificate')
      .filter(each => namesOf(each).some(name => covers(name, host)))
    const ready = certificates.find(each => condition(each, 'Ready')?.status === 'True') ?? certificates[0]
    const stored = ready && storedFor(ready, index)
    const issuer = ready && issuerOf(ready)
    const server = issuer && acmeServerOf(index.find(issuer))
    const isReady = ready && condition(ready, 'Ready')?.status === 'True'
    return [
      isReady ? '✓' : '✗',
      host,
      stored ? `until ${stored.notAfter.slice(0, 10)}` : ready ? 'not issued' : 'no certificate',
      issuer ? `${issuer.name}${isStaging(server) ? ' (staging)' : ''}` : '',
      ...seen(factsOf(host, index), stored?.fingerprint),
    ]
  })
  return rows.length > 0 ? table(rows) : 'No ingress has a host, and no certificate exists.'
}

/** The state of a host from here: DNS, port 80, port 443. */
function seen(facts: HostFacts | undefined, fingerprint: string | undefined): string[] {
  if (!facts) return []
  const found = [...new Set(facts.dns.flatMap(({ a, aaaa }) => [...a, ...aaaa]))]
  const failed = facts.dns.find(each => each.failed)?.failed
  const [http] = facts.http
  const [first] = http?.hops ?? []
  const [tls] = facts.tls
  const leaf = tls?.chain[0]
  return [
    `DNS ${found.slice(0, 3).join(' ') || failed || 'no address'}`,
    `80: ${http?.failed?.kind ?? (first ? `${first.status}${first.location ? ` to ${first.location.split(':')[0]}` : ''}` : '-')}`,
    `443: ${leaf ? (leaf.fingerprint === fingerprint ? 'the stored one' : 'another certificate') : (tls?.failed?.kind ?? '-')}`,
  ]
}
