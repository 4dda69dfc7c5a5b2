import { Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'
import { oneLine, type ProviderClient } from '../../lib/provider/provider-client.ts'
import { codeOf, ExpectedError } from '../../lib/script/errors.ts'
import { canonical } from './address.ts'
import type { RecordEdit } from './state.ts'

/** What DNS says of a host: its addresses, or why nothing was found out. */
export interface Lookup {
  host: string
  addresses: string[]
  problem?: string
}

/** Asks the resolvers of this machine for the addresses of hosts, of the family of `like`. */
export async function lookUpHosts(hosts: readonly string[], like: string): Promise<Lookup[]> {
  const resolver = new Resolver({ timeout: 2000, tries: 2 })
  return Promise.all(
    hosts.map(async host => {
      try {
        const found = isIP(like) === 6 ? await resolver.resolve6(host) : await resolver.resolve4(host)
        return { host, addresses: found.map(canonical).sort() }
      } catch (error) {
        const code = codeOf(error)
        return {
          host,
          addresses: [],
          problem:
            code === 'ENOTFOUND' || code === 'ENODATA'
              ? 'it has no address'
              : `DNS does not answer (${code})`,
        }
      }
    }),
  )
}

/** The warning about a lookup, or undefined where it leads to the address already. Pure. */
export function lookupText({ host, addresses, problem }: Lookup, address: string): string | undefined {
  if (addresses.length === 1 && addresses[0] === address) return undefined
  return `${host}: ${problem ?? addresses.join(', ')}; it must point to ${address}`
}

interface ApiRecord {
  id: number
  type: string
  name?: string | null
  data?: string | null
}

const pathOf = (zone: string) => `/domains/${encodeURIComponent(zone)}/records`

/**
 * The records of a provider that hold the old address. Those of the platform's own hosts have to change; others of
 * the same domain are somebody else's decision. Throws when no domain of these hosts is at the provider.
 */
export async function planRecords(
  client: ProviderClient,
  hosts: readonly string[],
  old: string,
  address: string,
): Promise<{ edits: RecordEdit[]; others: string[] }> {
  const edits: RecordEdit[] = []
  const others: string[] = []
  const zones = new Map<string, ApiRecord[] | undefined>()
  for (const zone of hosts.flatMap(zonesOf))
    if (!zones.has(zone)) zones.set(zone, await client.list<ApiRecord>(pathOf(zone), 'domain_records'))
  for (const [zone, records] of zones)
    for (const { id, type, name, data } of records ?? []) {
      if ((type !== 'A' && type !== 'AAAA') || canonical(String(data)) !== old) continue
      const host = hostOf(String(name ?? '@'), zone)
      if (hosts.some(each => host === each || host.endsWith(`.${each}`)))
        edits.push({ zone, id, type, name: String(name ?? '@'), before: String(data), after: address })
      else others.push(oneLine(`DNS ${zone}: ${type} ${name} → ${data}`))
    }
  if ([...zones.values()].some(records => records !== undefined)) return { edits, others }
  throw new ExpectedError(
    `none of ${[...zones.keys()].join(', ')} is a domain at ${client.spec.title}`,
    'leave out --provider, and change the records where the domain is managed',
  )
}

/** The domains that a host may be managed in, the narrowest first. Pure. */
function zonesOf(host: string): string[] {
  const labels = host.split('.')
  return labels.slice(0, -1).map((_, i) => labels.slice(i).join('.'))
}

function hostOf(name: string, zone: string): string {
  const plain = name.toLowerCase().replace(/\.$/, '')
  if (plain === '@' || plain === '' || plain === zone) return zone
  return plain.endsWith(`.${zone}`) ? plain : `${plain}.${zone}`
}

/** The body of the request that changes a record. Pure. */
function recordChange({ type, after }: RecordEdit): Record<string, unknown> {
  return { type, data: after }
}

/** Brings a record to what it is to become. Looks first: 'unchanged', or how it was changed. */
export async function writeRecord(client: ProviderClient, edit: RecordEdit): Promise<string> {
  const { zone, id, type, name, before, after } = edit
  const look = async () =>
    (await client.list<ApiRecord>(pathOf(zone), 'domain_records'))?.find(record => record.id === id)
  const now = await look()
  if (now && canonical(String(now.data)) === canonical(after)) return 'unchanged'
  if (!now || canonical(String(now.data)) !== canonical(before))
    throw new ExpectedError(
      oneLine(
        `the record ${type} ${name} of ${zone} was changed by somebody else: ${now ? now.data : 'it is gone'}`,
      ),
      `set it to ${after} by hand if that is right`,
    )
  await client.put(`${pathOf(zone)}/${id}`, recordChange(edit), 'domain_record')
  return `${before} → ${after}`
}
