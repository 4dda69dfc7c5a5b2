import { type LookOptions, lookAtCertificates } from '../../lib/diagnosis/certificates/look.ts'
import { chosenHosts, concernsHost } from '../../lib/diagnosis/certificates/scope.ts'
import type { RootCause } from '../../lib/diagnosis/finding.ts'
import type { Reader } from '../../lib/diagnosis/session.ts'
import { Index, type Snapshot } from '../../lib/diagnosis/snapshot.ts'
import { screen } from './screen.ts'

/** How a cluster and its hosts are read for certificates. */
export function readerOf(options: Omit<LookOptions, 'gather'>): Reader {
  return (kubectl, gather) => lookAtCertificates(kubectl, { ...options, gather })
}

/** Whether a cause is about the certificates of a host; of any host when none is given. */
export function certificateCauses(host: string | undefined) {
  return (cause: RootCause, index: Index) => concernsHost(cause, host, index)
}

/** A line for each host. Pure. */
export function hostsText(host: string | undefined, snapshot: Snapshot): string {
  return screen(chosenHosts(host, snapshot.objects), new Index(snapshot))
}
