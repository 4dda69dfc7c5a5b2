import { condition } from '../../flux/flux.ts'
import type { KubeObject, Ref } from '../../kubectl/kubectl.ts'
import { acmeServerOf, ageOf, covers, namesOf } from '../certificates/chain.ts'
import { type Finding, type Rule, tell } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { warnings } from './certificate-events.ts'
import { deployment, SETTLING } from './issuers.ts'

/** One entry of an ingress’s spec.tls. */
interface Tls {
  hosts?: string[]
  secretName?: string
}

/** Whether an ingress is one that cert-manager has put up for a challenge. Pure. */
export function isSolver({ metadata }: KubeObject): boolean {
  return (
    metadata.labels?.['acme.cert-manager.io/http01-solver'] !== undefined ||
    (metadata.ownerReferences ?? []).some(({ kind }) => kind === 'Challenge')
  )
}

/** The host names that an ingress serves. Pure. */
export function hostsOf(ingress: KubeObject): string[] {
  const rules = (ingress.spec?.rules ?? []) as { host?: string }[]
  return [...new Set(rules.flatMap(({ host }) => (host ? [host.toLowerCase()] : [])))]
}

/** The issuer that an ingress asks a certificate of, by the annotations of cert-manager. Pure. */
function wantedIssuer({ metadata }: KubeObject): Ref | undefined {
  const { 'cert-manager.io/cluster-issuer': cluster, 'cert-manager.io/issuer': own } =
    metadata.annotations ?? {}
  if (cluster) return { apiVersion: 'cert-manager.io/v1', kind: 'ClusterIssuer', name: cluster }
  return own
    ? { apiVersion: 'cert-manager.io/v1', kind: 'Issuer', name: own, namespace: metadata.namespace }
    : undefined
}

const finding = (
  ingress: KubeObject,
  rule: string,
  cause: string,
  evidence: readonly string[],
  text: string,
): Finding =>
  tell(ingress, {
    rule,
    cause,
    evidence,
    text,
    command: `kubectl -n ${ingress.metadata.namespace} get ingress ${ingress.metadata.name} -o yaml`,
  })

/** Ingresses whose hosts have no certificate, or a Secret that is not for them. */
const ingresses: Rule = index =>
  index
    .all('Ingress')
    .filter(ingress => !isSolver(ingress) && ageOf(ingress, index.now) > SETTLING)
    .flatMap(ingress => {
      const tls = (ingress.spec?.tls ?? []) as Tls[]
      const found = tls.flatMap(entry => entryFindings(ingress, entry, index))
      // Of several blocks that fail for one reason, the first tells it.
      const once = found.filter((each, i) => found.findIndex(({ rule }) => rule === each.rule) === i)
      return [...once, ...uncovered(ingress, tls)]
    })

function entryFindings(ingress: KubeObject, { hosts = [], secretName }: Tls, index: Index): Finding[] {
  const { namespace = '' } = ingress.metadata
  const issuer = wantedIssuer(ingress)
  const events = warnings(ingress, index)
  if (!secretName || hosts.length === 0)
    return isWanted(ingress)
      ? [
          finding(
            ingress,
            'ingress-tls-incomplete',
            `it asks for a certificate, and names no ${secretName ? 'host' : 'Secret'} for it`,
            events,
            'Complete spec.tls: hosts and secretName, by the values of the application',
          ),
        ]
      : []
  const certificate = index
    .all('Certificate')
    .find(each => each.metadata.namespace === namespace && each.spec?.secretName === secretName)
  const names = hosts.join(', ')
  if (certificate) return notCovered(ingress, certificate, hosts)
  if (isWanted(ingress)) {
    // Without an account nothing is issued to anybody: that is told of the issuer.
    if (issuer && !canIssue(issuer, index)) return []
    return [
      {
        ...finding(
          ingress,
          'ingress-without-certificate',
          `it asks for a certificate for ${names}, and cert-manager has made none`,
          events,
          events.some(event => /determine issuer/.test(event))
            ? 'Name its issuer in the annotation cert-manager.io/cluster-issuer, or give cert-manager a default issuer'
            : events.length > 0
              ? 'Correct what the event names'
              : 'See cert-manager’s log: npx tsx scripts/logs.ts cert-manager',
        ),
        ...(events.length > 0 ? {} : { symptom: true as const }),
        causedBy: [deployment('cert-manager')],
      },
    ]
  }
  if (index.blind('Secret') || isMadeForAnother(namespace, secretName, index)) return []
  const secret = index.secret(namespace, secretName)
  if (!secret)
    return [
      finding(
        ingress,
        'ingress-secret-missing',
        `the Secret ${secretName} with the certificate for ${names} does not exist, and nobody issues it`,
        ['it has no annotation cert-manager.io/cluster-issuer, and no Certificate names the Secret'],
        'Add the annotation cert-manager.io/cluster-issuer by the values of the application, or put the Secret there',
      ),
    ]
  const facts = secret.certificate
  // Nobody has looked into it.
  if (!facts && (secret.keys['tls.crt'] ?? 0) > 0) return []
  if (!facts || 'error' in facts)
    return [
      finding(
        ingress,
        'ingress-secret-unusable',
        `the Secret ${secretName} holds no usable certificate`,
        facts ? [`its tls.crt ${facts.error}`] : ['it has no tls.crt'],
        'Put the certificate and its key there, or have cert-manager issue it (annotation cert-manager.io/cluster-issuer)',
      ),
    ]
  const strange = hosts.filter(host => !facts.dnsNames.some(name => covers(name, host.toLowerCase())))
  const isOver = Date.parse(facts.notAfter) < index.now
  if (strange.length === 0 && !isOver) return []
  return [
    finding(
      ingress,
      isOver ? 'ingress-secret-expired' : 'ingress-wrong-host',
      isOver
        ? `the certificate for ${names} has expired, and nobody renews it`
        : `the certificate in the Secret ${secretName} is not for ${strange.join(', ')}`,
      [
        `it is for ${facts.dnsNames.join(', ')}, valid until ${facts.notAfter.slice(0, 10)}, and no Certificate renews it`,
      ],
      'Put the right certificate there, or have cert-manager issue it (annotation cert-manager.io/cluster-issuer)',
    ),
  ]
}

/** Whether another ingress asks for the certificate: then that one is looked at. */
function isMadeForAnother(namespace: string, secretName: string, index: Index): boolean {
  return index
    .all('Ingress')
    .some(
      other =>
        other.metadata.namespace === namespace &&
        isWanted(other) &&
        ((other.spec?.tls ?? []) as Tls[]).some(each => each.secretName === secretName),
    )
}

/** Whether an ingress asks cert-manager for certificates. */
function isWanted(ingress: KubeObject): boolean {
  return (
    wantedIssuer(ingress) !== undefined || ingress.metadata.annotations?.['kubernetes.io/tls-acme'] === 'true'
  )
}

/** Whether an issuer is ready, with an account where it needs one. */
function canIssue(issuer: Ref, index: Index): boolean {
  const found = index.find(issuer)
  if (!found || condition(found, 'Ready')?.status !== 'True') return false
  return acmeServerOf(found) === undefined || Boolean(found.status?.acme?.uri)
}

/** Hosts of an ingress that are not in the Certificate of its Secret. */
function notCovered(ingress: KubeObject, certificate: KubeObject, hosts: readonly string[]): Finding[] {
  const names = namesOf(certificate)
  const missing = hosts.filter(host => !names.some(name => covers(name, host.toLowerCase())))
  if (missing.length === 0) return []
  const owner = certificate.metadata.ownerReferences?.find(({ kind }) => kind === 'Ingress')?.name
  const isOthers = owner !== undefined && owner !== ingress.metadata.name
  return [
    finding(
      ingress,
      'ingress-wrong-host',
      `the certificate in its Secret ${certificate.spec?.secretName} is not for ${missing.join(', ')}`,
      [
        `Certificate ${certificate.metadata.namespace}/${certificate.metadata.name} is for ${names.join(', ')}`,
        ...(isOthers ? [`it belongs to the ingress ${owner}`] : []),
      ],
      isOthers
        ? 'Give each ingress a Secret of its own'
        : 'Make spec.tls and the Certificate name the same hosts',
    ),
  ]
}

/** Hosts that are served without being in spec.tls, where others are in it. */
function uncovered(ingress: KubeObject, tls: readonly Tls[]): Finding[] {
  const hosts = hostsOf(ingress)
  const named = tls.flatMap(entry => entry.hosts ?? []).map(host => host.toLowerCase())
  const missing = hosts.filter(host => !named.some(name => covers(name, host)))
  // An ingress that asks for no certificate at all may be meant so.
  const isIncomplete = tls.length > 0 && named.length === 0 // told by `incomplete`
  if (missing.length === 0 || isIncomplete || (tls.length === 0 && !isWanted(ingress))) return []
  return [
    finding(
      ingress,
      tls.length === 0 ? 'ingress-without-tls' : 'ingress-host-not-covered',
      tls.length === 0
        ? `it asks for a certificate, and has no spec.tls: ${missing.join(', ')} is served without one`
        : `it serves ${missing.join(', ')}, and its spec.tls has a certificate for ${named.join(', ')} only`,
      [],
      `Add ${missing.length === 1 ? 'the host' : 'the hosts'} to spec.tls, by the values of the application`,
    ),
  ]
}

/** The rules for ingresses and their certificates. */
export const rules: readonly Rule[] = [ingresses]
