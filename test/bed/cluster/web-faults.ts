import { join } from 'node:path'
import { readIfExists, writeFileAtomic } from '../../../lib/script/files.ts'
import type { Layout } from './layout.ts'

/**
 * What port 80 does wrong: answers with this status, ends connections, redirects to https, never answers, or
 * answers with something else than what is asked for, as a parked domain does.
 */
export type HttpFault = number | 'refuse' | 'redirect' | 'hang' | 'wrong'

/** Who runs into a fault: everybody, the ACME server alone, or cert-manager's own check alone. */
export type Whom = 'acme' | 'self-check'

/** What port 443 does wrong: its default certificate, the one it served before, none; no HSTS, or answers of 503. */
export type TlsFault = 'default' | 'stale' | 'refuse' | 'no-hsts' | 'away'

/** The faults of the sandbox's web server by host. For all hosts, as `*`, port 80 can only refuse: nobody listens. */
export interface Faults {
  http: Record<string, { fault: HttpFault; only?: Whom }>
  tls: Record<string, TlsFault>
}

/** The file with the faults of the web server, which reads it at every request. */
export function faultsFile(layout: Layout): string {
  return join(layout.state, 'web-faults.json')
}

/** The faults in a file; none when there is no such file. */
export function readFaults(file: string): Faults {
  return JSON.parse(readIfExists(file) ?? '{"http":{},"tls":{}}')
}

/** Changes the faults in a file. */
export function editFaults(file: string, edit: (faults: Faults) => void): void {
  const faults = readFaults(file)
  edit(faults)
  writeFileAtomic(file, `${JSON.stringify(faults, null, 2)}\n`)
}
