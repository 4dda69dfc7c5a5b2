import type { KubeObject, Ref } from '../../kubectl/kubectl.ts'
import { UsageError } from '../../script/errors.ts'
import { nearest } from '../../script/flags.ts'
import type { RootCause } from '../finding.ts'
import { hostsOf } from '../rules/ingresses.ts'
import type { Index } from '../snapshot.ts'
import { covers, issuerOf, namesOf } from './chain.ts'

/** Kinds that belong to certificates only. */
const KINDS = ['Certificate', 'CertificateRequest', 'Order', 'Challenge', 'Issuer', 'ClusterIssuer', 'Host']

/** Every host that has or needs a certificate, sorted. Pure. */
function hostsIn(objects: readonly KubeObject[]): string[] {
  const hosts = objects.flatMap(object => {
    if (object.kind === 'Certificate') return namesOf(object)
    if (object.kind !== 'Ingress' || object.metadata.labels?.['acme.cert-manager.io/http01-solver']) return []
    return hostsOf(object)
  })
  return [...new Set(hosts)].filter(host => !host.startsWith('*.')).sort()
}

/** The given host, or all. Throws a UsageError for a host that nothing here serves. Pure. */
export function chosenHosts(host: string | undefined, objects: readonly KubeObject[]): string[] {
  const known = hostsIn(objects)
  if (host === undefined) return known
  if (known.includes(host) || objects.some(each => each.kind === 'Certificate' && isFor(each, host)))
    return [host]
  const near = nearest(host, known)
  throw new UsageError(
    `no ingress and no certificate here is for ${host}`,
    near
      ? `did you mean ${near}?`
      : known.length > 0
        ? `known hosts: ${known.slice(0, 12).join(', ')}${known.length > 12 ? ', …' : ''}`
        : 'install something first: npx tsx scripts/install-app.ts',
  )
}

const isFor = (certificate: KubeObject, host: string) => namesOf(certificate).some(name => covers(name, host))

/** Whether a cause is about certificates, and about the given host. Pure. */
export function concernsHost(cause: RootCause, host: string | undefined, index: Index): boolean {
  const told = [cause, ...cause.explains]
  const about = told.filter(
    ({ rule, subject }) =>
      KINDS.includes(subject.kind) || /^(ingress-(?!service-|class-)|cert-manager-)/.test(rule),
  )
  if (host === undefined) return about.length > 0
  return about.some(({ subject }) => subjectIsFor(subject, host, index))
}

function subjectIsFor(subject: Ref, host: string, index: Index): boolean {
  const object = index.find(subject)
  const users = () =>
    index.all('Certificate').filter(certificate => {
      const issuer = issuerOf(certificate)
      return issuer.kind === subject.kind && issuer.name === subject.name && isFor(certificate, host)
    })
  switch (subject.kind) {
    case 'Host':
      return subject.name === host
    case 'Issuer':
    case 'ClusterIssuer':
      return users().length > 0
    case 'Ingress':
      return object !== undefined && [...hostsOf(object), ...tlsHosts(object)].includes(host)
    case 'Challenge':
      return object?.spec?.dnsName === host
    case 'Certificate':
    case 'Order':
      return object !== undefined && isFor(object, host)
    case 'CertificateRequest': {
      const owner = object?.metadata.ownerReferences?.find(({ kind }) => kind === 'Certificate')
      const certificate = owner && index.get('Certificate', object?.metadata.namespace, owner.name)
      return certificate !== undefined && isFor(certificate, host)
    }
    default:
      return true // cert-manager itself
  }
}

function tlsHosts(ingress: KubeObject): string[] {
  return ((ingress.spec?.tls ?? []) as { hosts?: string[] }[]).flatMap(({ hosts }) => hosts ?? [])
}
