import { isIP } from 'node:net'
import { oneLine } from '../../lib/provider/provider-client.ts'
import { EXIT, ExpectedError } from '../../lib/script/errors.ts'

/** A DNS record. `name` is relative to the domain, `@` the domain itself. */
export interface DomainRecord {
  type: string
  name: string
  data: string
}

/** The body of the request that creates a record. 1800 s is the default of DigitalOcean. Pure. */
export function recordBody(record: DomainRecord): Record<string, unknown> {
  return { ...record, ttl: 1800 }
}

/**
 * The records of a platform at `subdomain` of a domain, or at the domain itself: the address and the wildcard
 * (docs 0.7.0, "Configure DNS"). Pure.
 */
export function wantedRecords(zone: string, subdomain: string | undefined, address: string): DomainRecord[] {
  const host = subdomain === undefined ? zone : `${subdomain}.${zone}`
  return [
    { type: isIP(address) === 6 ? 'AAAA' : 'A', name: subdomain ?? '@', data: address },
    // Without the dot at the end the API appends the domain to the name.
    { type: 'CNAME', name: subdomain === undefined ? '*' : `*.${subdomain}`, data: `${host}.` },
  ]
}

/** The state of a wanted record: it exists, it is missing, or another record conflicts with it. */
export type RecordState = { state: 'there' | 'missing' } | { state: 'conflict'; with: DomainRecord }

/**
 * Compares a wanted record with those of its domain. A name with a CNAME can have no other record, and two
 * addresses for one name would send every other visitor elsewhere, so both are conflicts. Pure.
 */
export function recordState(
  wanted: DomainRecord,
  existing: readonly DomainRecord[],
  zone: string,
): RecordState {
  const name = relativeName(wanted.name, zone)
  const here = existing.filter(record => relativeName(record.name, zone) === name)
  const same = here.filter(
    ({ type, data }) => type === wanted.type && sameData(type, data, wanted.data, zone),
  )
  const other = here.find(
    record =>
      !same.includes(record) &&
      (record.type === wanted.type || wanted.type === 'CNAME' || record.type === 'CNAME'),
  )
  if (other) return { state: 'conflict', with: other }
  return { state: same.length > 0 ? 'there' : 'missing' }
}

/** `*.oas` for `*.oas.example.org.` in example.org; `@` for the domain itself. */
function relativeName(name: string, zone: string): string {
  const plain = name.toLowerCase().replace(/\.$/, '')
  if (plain === '' || plain === '@' || plain === zone) return '@'
  return plain.endsWith(`.${zone}`) ? plain.slice(0, -zone.length - 1) : plain
}

/** APIs give the target of a CNAME with and without the dot, as `@`, or relative to the domain. */
function sameData(type: string, a: string, b: string, zone: string): boolean {
  return type === 'CNAME' ? relativeName(a, zone) === relativeName(b, zone) : a === b
}

/** The refusal to change a record that points elsewhere. */
export function recordConflict(zone: string, wanted: DomainRecord, other: DomainRecord): ExpectedError {
  const show = ({ type, name, data }: DomainRecord) => oneLine(`${type} ${name} → ${data}`)
  return new ExpectedError(
    `${zone} has the record ${show(other)}, which conflicts with ${show(wanted)}`,
    'delete it in the control panel of the provider if nothing needs it; or omit --create-domain-records',
    { exitCode: EXIT.refused },
  )
}
