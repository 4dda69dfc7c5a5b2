import { NoAnswer, type ProviderClient } from '../../lib/provider/provider-client.ts'
import { EXIT, ExpectedError } from '../../lib/script/errors.ts'
import { sleep, until } from '../../lib/script/wait.ts'
import { type DomainRecord, recordBody, recordConflict, recordState } from './dns-records.ts'
import { type Droplet, type DropletOrder, dropletBody, type Offer, publicAddressOf } from './droplet.ts'

/** The servers and DNS records of an account. Each object is searched for before it is created. */
export class Provider {
  readonly client: ProviderClient
  readonly #signal: AbortSignal | undefined
  /** Milliseconds between two checks. */
  readonly #every: number

  constructor(client: ProviderClient, options: { signal?: AbortSignal; every?: number } = {}) {
    this.client = client
    this.#signal = options.signal
    this.#every = options.every ?? 2000
  }

  /** The server with this id. Throws when it does not exist. */
  async droplet(id: number): Promise<Droplet> {
    const droplet = await this.client.get<Droplet>(`/droplets/${id}`, 'droplet')
    if (droplet) return droplet
    throw new ExpectedError(
      `server ${id} does not exist at ${this.client.spec.title}`,
      'take the id from the list of your servers there, and check that the token belongs to that account',
    )
  }

  /**
   * The server that an earlier run of this order has created, if any. Throws (exit code 4) when servers of
   * this name exist that may belong to something else: a second one of the name is never ordered.
   */
  async ordered(order: Pick<DropletOrder, 'name' | 'tag'>): Promise<Droplet | undefined> {
    const all = (await this.client.list<Droplet>('/droplets', 'droplets')) ?? []
    const named = all.filter(droplet => droplet.name === order.name)
    const ours = named.filter(droplet => order.tag === undefined || droplet.tags?.includes(order.tag))
    if (ours.length === named.length && ours.length <= 1) return ours[0]
    const ids = named.map(droplet => droplet.id).join(', ')
    throw new ExpectedError(
      `server ${order.name} already exists at ${this.client.spec.title}, for something else or more than once (id ${ids})`,
      'give --droplet-id ID in place of --create-droplet to use one of them, or another --create-hostname',
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
      `domain ${zone} does not exist at ${this.client.spec.title}`,
      'give the domain as it is listed there, and the part in front of it with --subdomain; or create the records by hand, without --create-domain-records',
    )
  }

  /** Orders the server unless it exists. `created` tells whether it was ordered now. */
  async order(order: DropletOrder): Promise<{ droplet: Droplet; created: boolean }> {
    const [droplet, created] = await this.#once(
      `the server ${order.name}`,
      () => this.ordered(order),
      () => this.client.post<Droplet>('/droplets', dropletBody(order), 'droplet'),
    )
    return { droplet, created }
  }

  /** Creates a record unless it exists. Throws (exit code 4) when another one contradicts it. */
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
        const address = publicAddressOf(droplet)
        if (droplet.status === 'active' && address) return { done: { droplet, address } }
        const last = `server ${id} is ${droplet.status ?? 'in an unknown state'}, ${address ?? 'without an address'}`
        tell(last)
        return { last }
      },
      {
        deadline,
        every: this.#every,
        describe: last => last ?? 'nothing',
        fix: 'check the server in the control panel of the provider, then run the same command again: it continues',
        signal: this.#signal,
      },
    )
  }

  /** Searches, creates what is missing, and after a lost answer searches again instead of creating twice. */
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
      // An accepted object may take a moment until it is listed.
      for (let attempt = 0; attempt < 3; attempt++) {
        await sleep(this.#every, this.#signal)
        const made = await look()
        if (made !== undefined) return [made, true]
      }
      throw new ExpectedError(
        `${what} may have been created or not: ${error.message}`,
        'check the control panel of the provider after a minute, then run the same command again: it checks first',
        { cause: error },
      )
    }
  }
}
