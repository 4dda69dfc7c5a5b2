import { condition } from '../../flux/flux.ts'
import type { KubeObject, Ref } from '../../kubectl/kubectl.ts'
import type { Index } from '../snapshot.ts'

/** The objects of cert-manager's current attempt to issue a certificate, or of the last one that failed. */
export interface IssuanceChain {
  request?: KubeObject
  order?: KubeObject
  challenges: KubeObject[]
}

/** The chain below a Certificate: Certificate → CertificateRequest → Order → Challenges. Pure. */
export function issuanceChainOf(certificate: KubeObject, index: Index): IssuanceChain {
  // Objects of revisions that were issued are history, in whatever state.
  const next = String((certificate.status?.revision ?? 0) + 1)
  const request = newest(
    owned(certificate, 'CertificateRequest', index).filter(
      ({ metadata }) => metadata.annotations?.['cert-manager.io/certificate-revision'] === next,
    ),
  )
  const order = request && newest(owned(request, 'Order', index))
  return { request, order, challenges: order ? owned(order, 'Challenge', index) : [] }
}

function owned(owner: KubeObject, kind: string, index: Index): KubeObject[] {
  return index.ownedBy(owner).filter(each => each.kind === kind && !each.metadata.deletionTimestamp)
}

function newest(objects: readonly KubeObject[]): KubeObject | undefined {
  return [...objects].sort((a, b) => created(b) - created(a))[0]
}

const created = ({ metadata }: KubeObject) => Date.parse(metadata.creationTimestamp ?? '') || 0

/** The host names of a Certificate, in lower case. Pure. */
export function namesOf(certificate: KubeObject): string[] {
  const { dnsNames = [], commonName } = certificate.spec ?? {}
  const names = [...(dnsNames as string[]), ...(commonName ? [String(commonName)] : [])]
  return [...new Set(names.map(name => name.toLowerCase()))]
}

/** The issuer that a Certificate, or an object created for it, names. Pure. */
export function issuerOf({ spec, metadata }: KubeObject): Ref {
  const { kind = 'Issuer', name = '', group } = spec?.issuerRef ?? {}
  return {
    apiVersion: `${group || 'cert-manager.io'}/v1`,
    kind,
    name,
    ...(kind === 'ClusterIssuer' ? {} : { namespace: metadata.namespace }),
  }
}

/** The address of the ACME server that an issuer asks; undefined for other kinds of issuers. Pure. */
export function acmeServerOf(issuer: KubeObject | undefined): string | undefined {
  return issuer?.spec?.acme?.server
}

/** Whether an ACME server is a staging server, whose certificates no browser trusts. Pure. */
export function isStaging(server: string | undefined): boolean {
  return server !== undefined && /\bstaging\b/i.test(server)
}

/** Whether a certificate was signed by one: Let's Encrypt marks its issuers' names (https://letsencrypt.org/docs/staging-environment/). Pure. */
export function isStagingCertificate({ issuer }: { issuer: string }): boolean {
  return /\(STAGING\)|\bFake LE\b/.test(issuer)
}

/** Whether a name of a certificate is for a host. Pure. */
export function covers(name: string, host: string): boolean {
  if (name.toLowerCase() === host) return true
  return name.startsWith('*.') && host.slice(host.indexOf('.') + 1) === name.slice(2).toLowerCase()
}

/** Milliseconds since a condition of an object has last changed, or since its creation. Pure. */
export function ageOf(object: KubeObject, now: number, type?: string): number {
  const changed = type && condition(object, type)?.lastTransitionTime
  return now - (Date.parse(changed || object.metadata.creationTimestamp || '') || now)
}
