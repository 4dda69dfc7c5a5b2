import type { DnsAnswer } from '../../preflight/dns.ts'
import type { CaaRecord } from '../../preflight/dns-rules.ts'
import type { CertificateFacts } from '../snapshot.ts'

/** The facts of one host from DNS, its ports and TLS, seen from this machine. */
export interface HostFacts {
  host: string
  /** The addresses that it should point to: the known ones of the server. */
  expected: string[]
  /** Whether its ports were probed at a given address instead of the one in DNS. */
  directed?: true
  dns: DnsAnswer[]
  /** The CAA records of the host and of every name above it. */
  caa: { name: string; records: CaaRecord[] | { failed: string } }[]
  /** The answers on port 80, at each address. */
  http: HttpFacts[]
  /** The certificates on port 443, at each address. */
  tls: TlsFacts[]
  /** The answer of the ingress controller inside the cluster. */
  inside?: InsideFacts
}

/** Whether the ingress controller's service answers a request through the API server. */
export interface InsideFacts {
  service: string
  /** The status of its answer, whichever it is. */
  status?: number
  failed?: string
}

/** The result of a request over plain HTTP, at one address. */
export interface HttpFacts {
  /** The address and port of the request. */
  at: string
  path: string
  /** The Challenge whose answer was requested; without one the path is a test path. */
  challenge?: string
  /** Every answer, redirects first. */
  hops: Hop[]
  /** Whether the last answer was that of the challenge. */
  matches?: boolean
  /** Why there was no answer (after the hops). */
  failed?: ProbeFailure
}

/** One answer over HTTP. */
export interface Hop {
  url: string
  status: number
  server?: string
  /** The target of a redirect. */
  location?: string
}

/** Why a connection failed. */
export interface ProbeFailure {
  kind: 'refused' | 'timeout' | 'silent' | 'unreachable' | 'reset' | 'tls' | 'redirects' | 'other'
  message: string
}

/** The certificates of a TLS server for the host's name, at one address. */
export interface TlsFacts {
  at: string
  /** The server's own certificate first. */
  chain: CertificateFacts[]
  failed?: ProbeFailure
}
