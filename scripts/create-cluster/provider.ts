import { NoAnswer, type ProviderClient } from '../../lib/provider/provider-client.ts'
import { EXIT, ExpectedError } from '../../lib/script/errors.ts'
import { sleep, until } from '../../lib/script/wait.ts'
import { type DomainRecord, recordBody, recordConflict, recordState } from './dns-records.ts'
import { type Droplet, type DropletOrder, dropletBody, type Offer, publicAddressOf } from './droplet.ts'

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
        const address = publicAddressOf(droplet)
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
