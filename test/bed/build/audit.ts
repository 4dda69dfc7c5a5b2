import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Layout } from '../cluster/layout.ts'

/** Every request, without what it sent and what it got: Secrets would be in that. */
const POLICY = `apiVersion: audit.k8s.io/v1
kind: Policy
rules:
  - level: Metadata
`

/** The API server's audit log. */
export function auditLog(layout: Layout): string {
  return join(layout.logs, 'audit.log')
}

/** What makes the API server write it: its arguments and files. */
export function auditing(layout: Layout): { args: string[]; files: Record<string, string> } {
  const policy = join(layout.state, 'audit-policy.yaml')
  return {
    args: [
      `--audit-policy-file=${policy}`,
      `--audit-log-path=${auditLog(layout)}`,
      // A request is in the log before it is answered.
      '--audit-log-mode=blocking',
      // Not in use for so long that anything is lost to a second file.
      '--audit-log-maxsize=4096',
      '--audit-log-maxbackup=1',
    ],
    files: { [policy]: POLICY },
  }
}

/** A request in the audit log. */
export interface AuditedRequest {
  verb: string
  /** `PLURAL[.GROUP][/SUBRESOURCE] [NAMESPACE/]NAME`, or the path of a request for no resource. */
  target: string
  user: string
  userAgent: string
}

/** The verbs that change something. */
const WRITES = new Set(['create', 'update', 'patch', 'delete', 'deletecollection'])

/** Whether a request changes something, or would without `dryRun`. Reviews of access and tokens store nothing. */
export function isWrite({ verb, target }: AuditedRequest): boolean {
  return WRITES.has(verb) && !/^[a-z]+\.(authorization|authentication)\.k8s\.io/.test(target)
}

/** Where the audit log ends now. */
export function auditMark(layout: Layout): number {
  return statSync(auditLog(layout)).size
}

/** The requests since a mark, each once, in the order in which they came. */
export function requestsSince(layout: Layout, mark: number): AuditedRequest[] {
  const file = openSync(auditLog(layout), 'r')
  try {
    const text = Buffer.alloc(fstatSync(file).size - mark)
    readSync(file, text, 0, text.length, mark)
    return auditedRequests(text.toString())
  } finally {
    closeSync(file)
  }
}

/** The requests in a piece of an audit log. Pure. */
export function auditedRequests(log: string): AuditedRequest[] {
  const requests = new Map<string, AuditedRequest>()
  for (const line of log.split('\n')) {
    if (line === '') continue
    const event = JSON.parse(line)
    // The first of its stages is in the log before the request has any effect; the others tell the same again.
    if (requests.has(event.auditID)) continue
    requests.set(event.auditID, {
      verb: event.verb,
      target: targetOf(event),
      user: event.user?.username ?? '',
      userAgent: event.userAgent ?? '',
    })
  }
  return [...requests.values()]
}

function targetOf({
  objectRef,
  requestURI,
}: {
  objectRef?: Record<string, string>
  requestURI: string
}): string {
  if (!objectRef) return requestURI.replace(/\?.*/, '')
  const { resource, apiGroup, subresource, namespace, name } = objectRef
  const kind = `${resource}${apiGroup ? `.${apiGroup}` : ''}${subresource ? `/${subresource}` : ''}`
  // A Namespace is told as lying in itself.
  const path = [resource === 'namespaces' ? '' : namespace, name].filter(part => part).join('/')
  return path ? `${kind} ${path}` : kind
}
