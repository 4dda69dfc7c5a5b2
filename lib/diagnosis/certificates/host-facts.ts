import type { DnsAnswer } from '../../preflight/dns.ts'
import type { CaaRecord } from '../../preflight/dns-rules.ts'
import type { CertificateFacts } from '../snapshot.ts'

/** What DNS, the ports and TLS say of one host, as they were seen from the machine that asked. */
export interface HostFacts {
  host: string
  /** The addresses that it should lead to: those of the server, as far as they are known. */
  expected: string[]
  /** Whether its ports were asked at an address that was given, instead of where DNS leads. */
  directed?: true
  dns: DnsAnswer[]
  /** The CAA records of the host and of every name above it. */
  caa: { name: string; records: CaaRecord[] | { failed: string } }[]
  /** What answers on port 80, at each address. */
  http: HttpFacts[]
  /** What is served on port 443, at each address. */
  tls: TlsFacts[]
  /** What the ingress controller answers inside of the cluster. */
  inside?: InsideFacts
}

/** Whether the ingress controller's service answers a question that came by way of the API server. */
export interface InsideFacts {
  service: string
  /** What it answered; any status is an answer. */
  status?: number
  failed?: string
}

/** What a question over plain HTTP met, at one address. */
export interface HttpFacts {
  /** The address and port that were asked. */
  at: string
  path: string
  /** The Challenge object whose answer was asked for; a path that nobody knows was asked for without one. */
  challenge?: string
  /** Each answer on the way, redirects first. */
  hops: Hop[]
  /** Whether the last answer was what the challenge wants. */
  matches?: boolean
  /** Why there was no answer (after the hops). */
  failed?: ProbeFailure
}

/** One answer over HTTP. */
export interface Hop {
  url: string
  status: number
  server?: string
  /** Where it leads to, for a redirect. */
  location?: string
}

/** Why a connection came to nothing. */
export interface ProbeFailure {
  kind: 'refused' | 'timeout' | 'silent' | 'unreachable' | 'reset' | 'tls' | 'redirects' | 'other'
  message: string
}

/** What a TLS server showed for the host's name, at one address. */
export interface TlsFacts {
  at: string
  /** The server's own certificate first. */
  chain: CertificateFacts[]
  failed?: ProbeFailure
}
