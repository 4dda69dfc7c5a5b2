import { isIP } from 'node:net'
import { EXIT, ExpectedError, UsageError } from '../errors.ts'
import { suggestion } from '../flags.ts'
import { sleep, until } from '../wait.ts'
import { NoAnswer, oneLine, type ProviderClient } from './provider-client.ts'

/** A server as the API tells of it; only what is used. */
export interface Droplet {
  id: number
  name: string
  status?: string
  tags?: string[]
  networks?: Partial<Record<'v4' | 'v6', { ip_address: string; type?: string }[]>>
}

/** The server to be created. */
export interface DropletOrder {
  name: string
  region: string
  size: string
  image: string
  sshKeyId: number
  /** Tells our server from others of its name; left out where the provider knows no tags. */
  tag?: string
}

/** A DNS record. `name` is relative to the domain, `@` the domain itself. */
export interface DomainRecord {
  type: string
  name: string
  data: string
}

/** What can be chosen for a new server, and what an order of it is checked against. */
export interface Offer {
  size?: { slug: string; memory?: number; vcpus?: number; available?: boolean; regions?: string[] }[]
  region?: { slug: string; available?: boolean }[]
  image?: { id: number; slug?: string | null }[]
  sshKey?: { id: number; name?: string }[]
}

/** The address at which a server is reached from outside; IPv4 before IPv6. */
export function addressOf(droplet: Droplet): string | undefined {
  for (const family of ['v4', 'v6'] as const)
    for (const { ip_address: address, type } of droplet.networks?.[family] ?? [])
      if ((type ?? 'public') === 'public' && isIP(address)) return address
  return undefined
}

/** The tag of the servers of a cluster: letters, digits, `:`, `-` and `_` are allowed in one. */
export function tagOf(clusterName: string): string {
  return `openappstack:${clusterName.replaceAll('.', '_')}`
}

/** The body of the request that creates a server. Pure. */
export function dropletBody(order: DropletOrder): Record<string, unknown> {
  const { name, region, size, image, sshKeyId, tag } = order
  return {
    name,
    region,
    size,
    image: /^\d+$/.test(image) ? Number(image) : image,
    ssh_keys: [sshKeyId],
    ...(tag === undefined ? {} : { tags: [tag] }),
  }
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
    // Without the dot at the end the API takes a name for one below the domain.
    { type: 'CNAME', name: subdomain === undefined ? '*' : `*.${subdomain}`, data: `${host}.` },
  ]
}

/** What is there for a wanted record: the same, one that contradicts it, or nothing. */
export type RecordState = { state: 'there' | 'missing' } | { state: 'conflict'; with: DomainRecord }

/**
 * Compares a wanted record with those of its domain. A name with a CNAME can have no other record, and two
 * addresses for one name would lead every other visitor elsewhere, so both are conflicts. Pure.
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

/** The servers and DNS records of an account. Nothing is created here without having looked for it before. */
export class Provider {
  readonly client: ProviderClient
  readonly #signal: AbortSignal | undefined
  /** Milliseconds between two looks. */
  readonly #every: number

  constructor(client: ProviderClient, options: { signal?: AbortSignal; every?: number } = {}) {
    this.client = client
    this.#signal = options.signal
    this.#every = options.every ?? 2000
  }

  /** The server with this id. Throws when there is none. */
  async droplet(id: number): Promise<Droplet> {
    const droplet = await this.client.get<Droplet>(`/droplets/${id}`, 'droplet')
    if (droplet) return droplet
    throw new ExpectedError(
      `there is no server ${id} at ${this.client.spec.title}`,
      'take the id from the list of your servers there; is it an account that this token belongs to?',
    )
  }

  /**
   * The server that an earlier run of this order has created, if any. Throws (exit code 4) when servers of
   * the name are there that cannot be told from strangers: a second one of the name is never ordered.
   */
  async ordered(order: Pick<DropletOrder, 'name' | 'tag'>): Promise<Droplet | undefined> {
    const all = (await this.client.list<Droplet>('/droplets', 'droplets')) ?? []
    const named = all.filter(droplet => droplet.name === order.name)
    const ours = named.filter(droplet => order.tag === undefined || droplet.tags?.includes(order.tag))
    if (ours.length === named.length && ours.length <= 1) return ours[0]
    const ids = named.map(droplet => droplet.id).join(', ')
    throw new ExpectedError(
      `there is a server ${order.name} at ${this.client.spec.title} already, not made for this cluster or more than one (id ${ids})`,
      'to use one of them, give --droplet-id ID in place of --create-droplet; else give another --create-hostname',
      { exitCode: EXIT.refused },
    )
  }

  /** What can be ordered. A list that the API does not have is left out. */
  async offer(): Promise<Offer> {
    const [size, region, image, sshKey] = await Promise.all([
      this.client.list<NonNullable<Offer['size']>[number]>('/sizes', 'sizes'),
      this.client.list<NonNullable<Offer['region']>[number]>('/regions', 'regions'),
      this.client.list<NonNullable<Offer['image']>[number]>('/images', 'images'),
      this.client.list<NonNullable<Offer['sshKey']>[number]>('/account/keys', 'ssh_keys'),
    ])
    return { size, region, image, sshKey }
  }

  /** The records of a domain. Throws when the account does not have the domain. */
  async records(zone: string): Promise<DomainRecord[]> {
    const path = `/domains/${encodeURIComponent(zone)}/records`
    const records = await this.client.list<DomainRecord>(path, 'domain_records')
    // Some kinds have no name or data.
    if (records)
      return records.map(({ type, name, data }) => ({
        type,
        name: String(name ?? '@'),
        data: String(data ?? ''),
      }))
    throw new ExpectedError(
      `there is no domain ${zone} at ${this.client.spec.title}`,
      'give the domain as it is listed there, and what stands before it with --subdomain; or make the records by hand, without --create-domain-records',
    )
  }

  /** Orders the server unless that was done before. `created` says which of both. */
  async order(order: DropletOrder): Promise<{ droplet: Droplet; created: boolean }> {
    const [droplet, created] = await this.#once(
      `the server ${order.name}`,
      () => this.ordered(order),
      () => this.client.post<Droplet>('/droplets', dropletBody(order), 'droplet'),
    )
    return { droplet, created }
  }

  /** Creates a record unless it is there. Throws (exit code 4) when another one contradicts it. */
  async ensureRecord(zone: string, wanted: DomainRecord): Promise<boolean> {
    const [, created] = await this.#once(
      `the record ${wanted.name} of ${zone}`,
      async () => {
        const found = recordState(wanted, await this.records(zone), zone)
        if (found.state === 'conflict') throw recordConflict(zone, wanted, found.with)
        return found.state === 'there' ? wanted : undefined
      },
      () =>
        this.client.post(`/domains/${encodeURIComponent(zone)}/records`, recordBody(wanted), 'domain_record'),
    )
    return created
  }

  /** Waits until a server is active and has an address. */
  async ready(
    id: number,
    deadline: number,
    tell: (state: string) => void,
  ): Promise<{ droplet: Droplet; address: string }> {
    return until<string, { droplet: Droplet; address: string }>(
      async () => {
        const droplet = await this.droplet(id)
        const address = addressOf(droplet)
        if (droplet.status === 'active' && address) return { done: { droplet, address } }
        const last = `server ${id} is ${droplet.status ?? 'in no known state'}, ${address ?? 'without an address'}`
        tell(last)
        return { last }
      },
      {
        deadline,
        every: this.#every,
        describe: last => last ?? 'nothing',
        fix: 'look at the server in the control panel of the provider, then run the same command again: it continues',
        signal: this.#signal,
      },
    )
  }

  /** Looks, creates what is not there, and after a lost answer looks again instead of creating twice. */
  async #once<T>(
    what: string,
    look: () => Promise<T | undefined>,
    create: () => Promise<T>,
  ): Promise<[found: T, created: boolean]> {
    const found = await look()
    if (found !== undefined) return [found, false]
    try {
      return [await create(), true]
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error
      // What was accepted may take a moment until it is listed.
      for (let attempt = 0; attempt < 3; attempt++) {
        await sleep(this.#every, this.#signal)
        const made = await look()
        if (made !== undefined) return [made, true]
      }
      throw new ExpectedError(
        `whether ${what} was created is not known: ${error.message}`,
        'look in the control panel of the provider after a minute, then run the same command again: it looks first',
        { cause: error },
      )
    }
  }
}

/** The refusal to touch a record that leads elsewhere. */
export function recordConflict(zone: string, wanted: DomainRecord, other: DomainRecord): ExpectedError {
  const show = ({ type, name, data }: DomainRecord) => oneLine(`${type} ${name} → ${data}`)
  return new ExpectedError(
    `${zone} has the record ${show(other)}, which contradicts ${show(wanted)}`,
    'if nothing needs it any more, delete it in the control panel of the provider; or leave out --create-domain-records',
    { exitCode: EXIT.refused },
  )
}

/** All that is wrong with an order: what cannot be had, and what cannot be had together. Pure. */
export function checkOrder(order: DropletOrder, offer: Offer): UsageError[] {
  const problems: UsageError[] = []
  const expect = (flag: string, value: string, known: readonly string[] | undefined) => {
    if (known && !known.includes(value))
      problems.push(
        new UsageError(
          `${flag} ${value} is not offered`,
          known.length > 0 ? suggestion(value, known.slice(0, 40)) : 'none is offered to this account',
        ),
      )
  }
  expect('--size', order.size, choicesOf(offer, 'size'))
  expect('--region', order.region, choicesOf(offer, 'region'))
  expect('--image', order.image, choicesOf(offer, 'image'))
  expect('--ssh-key-id', String(order.sshKeyId), choicesOf(offer, 'sshKey'))
  const regions = offer.size?.find(({ slug }) => slug === order.size)?.regions
  if (problems.length === 0 && regions && !regions.includes(order.region))
    problems.push(
      new UsageError(
        `--size ${order.size} is not offered in --region ${order.region}`,
        `it is in: ${regions.join(', ') || 'none'}`,
      ),
    )
  return problems
}

/** What can be given for a flag of an order; undefined when the API does not tell in a way we know. Pure. */
export function choicesOf(offer: Offer, what: keyof Offer): string[] | undefined {
  if (what === 'image') return offer.image?.flatMap(({ id, slug }) => [...(slug ? [slug] : []), String(id)])
  if (what === 'sshKey') return offer.sshKey?.map(({ id }) => String(id))
  const slugs = offer[what]?.filter(({ available, slug }) => slug && available !== false)
  return slugs?.length === 0 && offer[what]?.some(({ slug }) => !slug)
    ? undefined
    : slugs?.map(({ slug }) => slug)
}

/** The ways in which a size is smaller than what the docs ask for: 6 cores and 12 GB. Pure. */
export function tooSmall(size: string, offer: Offer): string | undefined {
  const found = offer.size?.find(({ slug }) => slug === size)
  if (!found || ((found.vcpus ?? 6) >= 6 && (found.memory ?? 12_288) >= 12_000)) return undefined
  return `size ${size} has ${found.vcpus} cores and ${found.memory} MB of memory; all applications together need 6 cores and 12 GB`
}
