import { X509Certificate } from 'node:crypto'
import { rmSync } from 'node:fs'
import { Api } from '../bed/cluster/api.ts'
import { pebbleUrl } from '../bed/cluster/certificates.ts'
import type { Layout } from '../bed/cluster/layout.ts'
import { LOOPBACK, type Ports } from '../bed/cluster/spec.ts'
import { readSandboxState } from '../bed/cluster/state.ts'
import {
  editFaults,
  faultsFile,
  type HttpFault,
  type TlsFault,
  type Whom,
} from '../bed/cluster/web-faults.ts'

/** Records of a name in the DNS server of the bed. What is left away is as for every name: A 127.0.0.1 alone. */
export interface Records {
  a?: readonly string[]
  aaaa?: readonly string[]
  caa?: readonly { tag: string; value: string }[]
  cname?: string
  /** It fails for this name, whatever is asked. */
  servfail?: boolean
}

/** What a test does to the certificates of a bed: `Bed.start({ certificates: true })`. */
export class CertificatesBed {
  readonly #layout: Layout
  readonly #api: Api
  /** The names that have records of their own. */
  readonly #names = new Set<string>()

  constructor(layout: Layout) {
    this.#layout = layout
    this.#api = new Api(layout)
  }

  /**
   * Where things listen, all on 127.0.0.1: `web` is port 80 of every host, `webTls` its port 443, `dns` a DNS server
   * (UDP and TCP), `pebble` the ACME server.
   */
  get ports(): Ports {
    return readSandboxState(this.#layout).ports as Ports
  }

  /** The directory of the ACME server, for issuers of a test's own. They need no `caBundle`. */
  get server(): string {
    return pebbleUrl(this.ports)
  }

  /** Makes port 80 of a host fail, for the ACME server or the self-check alone if `only` says so; undefined heals. */
  fault(host: string, fault: HttpFault | undefined, only?: Whom): void {
    editFaults(faultsFile(this.#layout), ({ http }) => {
      if (fault === undefined) delete http[host]
      else http[host] = { fault, only }
    })
  }

  /** Makes port 443 of a host serve another certificate than the stored one; undefined heals. */
  tls(host: string, fault: TlsFault | undefined): void {
    editFaults(faultsFile(this.#layout), ({ tls }) => {
      if (fault === undefined) delete tls[host]
      else tls[host] = fault
    })
  }

  /** Gives a name these records and no others. */
  async dns(name: string, records: Records): Promise<void> {
    this.#names.add(name)
    for (const type of ['a', 'aaaa', 'caa', 'cname', 'servfail'])
      await this.#tellDns(`clear-${type}`, { host: name })
    const { a, aaaa, caa, cname, servfail } = records
    if (a?.length) await this.#tellDns('add-a', { host: name, addresses: a })
    if (aaaa?.length) await this.#tellDns('add-aaaa', { host: name, addresses: aaaa })
    if (caa?.length) await this.#tellDns('add-caa', { host: name, policies: caa })
    if (cname) await this.#tellDns('set-cname', { host: name, target: cname })
    if (servfail) await this.#tellDns('set-servfail', { host: name })
  }

  /** The address of every name that has none of its own; an empty one for none. */
  async defaultAddress(ip: string): Promise<void> {
    await this.#tellDns('set-default-ipv4', { ip })
  }

  /** Heals everything. */
  async heal(): Promise<void> {
    rmSync(faultsFile(this.#layout), { force: true })
    for (const name of this.#names) await this.dns(name, {})
    await this.defaultAddress(LOOPBACK)
  }

  /** The certificate of the CA that signs, at the end of the chain that is served. Made anew when pebble starts. */
  async root(): Promise<X509Certificate> {
    const { body } = await this.#api.request(`https://${LOOPBACK}:${this.ports.pebbleManagement}/roots/0`)
    return new X509Certificate(body)
  }

  /** Closes its connections. */
  close(): void {
    this.#api.close()
  }

  async #tellDns(what: string, body: object): Promise<void> {
    const url = `http://${LOOPBACK}:${this.ports.dnsManagement}/${what}`
    const answer = await this.#api.request(url, { method: 'POST', body: JSON.stringify(body) })
    if (answer.status !== 200)
      throw new Error(`the DNS server refuses ${what}: ${answer.status} ${answer.body}`)
  }
}
