/** Faults of certificates, on the real controllers of cert-manager, a real ACME server and a real DNS server. */

import { concernsHost } from '../../../lib/diagnosis/certificates/scope.ts'
import { probeTls } from '../../../lib/diagnosis/certificates/tls-probe.ts'
import { condition } from '../../../lib/flux/flux.ts'
import type { KubeObject, Ref } from '../../../lib/kubectl/kubectl.ts'
import { until } from '../../../lib/script/wait.ts'
import type { HttpFault, TlsFault, Whom } from '../../bed/cluster/web-faults.ts'
import type { Records } from '../certificates-bed.ts'
import type { ApartFault, Fault } from '../fault-suite.ts'
import type { Bed } from '../harness.ts'
import { made } from './made-certificates.ts'

/** A fault of one host: `cert-debug HOST` tells it apart from those of others. */
export interface CertificateFault extends Fault {
  host: string
}

const CERT_MANAGER: Ref = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  namespace: 'cert-manager',
  name: 'cert-manager',
}
const NAMESPACE = 'oas-apps'
const DOMAIN = 'oas.example.org'
const ISSUER = 'letsencrypt-staging'
/** The host of a fault. */
export const hostOf = (name: string) => `${name}.${DOMAIN}`

/** A Certificate of a host, as ingresses get one. */
export function certificate(name: string, spec: object = {}): KubeObject {
  return {
    apiVersion: 'cert-manager.io/v1',
    kind: 'Certificate',
    metadata: { name, namespace: NAMESPACE },
    spec: {
      secretName: `${name}-tls`,
      dnsNames: [hostOf(name)],
      issuerRef: { kind: 'ClusterIssuer', name: ISSUER },
      ...spec,
    },
  }
}

/** An ingress of a host, with a certificate from the issuer of the platform. */
function ingress(
  name: string,
  {
    tls,
    annotations,
    hosts = [hostOf(name)],
  }: { tls?: object[]; annotations?: object; hosts?: string[] } = {},
): KubeObject {
  const backend = { service: { name: 'kube-prometheus-stack-grafana', port: { number: 80 } } }
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: {
      name,
      namespace: 'oas',
      annotations: { ...(annotations ?? { 'cert-manager.io/cluster-issuer': ISSUER }) },
    },
    spec: {
      ingressClassName: 'nginx',
      rules: hosts.map(host => ({ host, http: { paths: [{ path: '/', pathType: 'Prefix', backend }] } })),
      tls: tls ?? [{ hosts, secretName: `${name}-tls` }],
    },
  }
}

/** The Certificate that cert-manager makes for such an ingress. */
const madeFor = (name: string): KubeObject => ({
  ...certificate(name),
  metadata: { name: `${name}-tls`, namespace: 'oas' },
})

/** An issuer of a fault's own, at the ACME server of the bed unless its spec says otherwise. */
function issuer(bed: Bed, name: string, spec?: object): KubeObject {
  const acme = {
    server: bed.certificates.server,
    email: 'admin@example.org',
    privateKeySecretRef: { name: `${name}-account` },
    solvers: [{ http01: { ingress: { ingressClassName: 'nginx' } } }],
  }
  return {
    apiVersion: 'cert-manager.io/v1',
    kind: 'Issuer',
    metadata: { name, namespace: NAMESPACE },
    spec: spec && 'ca' in spec ? spec : { acme: { ...acme, ...spec } },
  }
}

function secret(name: string, namespace: string, { cert, key }: { cert: string; key: string }): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace },
    type: 'kubernetes.io/tls',
    stringData: { 'tls.crt': cert, 'tls.key': key },
  }
}

const refTo = ({ apiVersion, kind, metadata }: KubeObject): Ref => ({
  apiVersion,
  kind,
  name: metadata.name,
  namespace: metadata.namespace,
})

/** Takes these objects away, with the Secrets that cert-manager keeps when a Certificate goes. */
export async function remove(bed: Bed, ...objects: KubeObject[]): Promise<void> {
  for (const object of objects) {
    await bed.kubectl.delete(refTo(object))
    const names = [object.spec?.secretName, object.spec?.acme?.privateKeySecretRef?.name]
    for (const entry of (object.kind === 'Ingress' ? object.spec?.tls : []) ?? [])
      names.push(entry.secretName)
    for (const name of names)
      if (name)
        await bed.kubectl.delete({
          apiVersion: 'v1',
          kind: 'Secret',
          name,
          namespace: object.metadata.namespace,
        })
  }
}

/** Waits until a Certificate is issued. */
export async function issued(bed: Bed, object: KubeObject): Promise<KubeObject> {
  return until<KubeObject | undefined, KubeObject>(
    async () => {
      const found = await bed.kubectl.get(refTo(object))
      const isReady = found && condition(found, 'Ready')?.status === 'True'
      return isReady && condition(found, 'Issuing')?.status !== 'True' ? { done: found } : { last: found }
    },
    { deadline: 180_000, every: 200, describe: last => JSON.stringify(last?.status) },
  )
}

/** Waits until a Certificate was issued a second time. */
async function reissued(bed: Bed, object: KubeObject): Promise<void> {
  await until<unknown, true>(
    async () => {
      const { revision } = (await issued(bed, object)).status ?? {}
      return revision > 1 ? { done: true } : { last: revision }
    },
    { deadline: 180_000, every: 200, describe: last => `revision ${last}` },
  )
}

/** What looks at hosts has to be led to the ports of the bed. */
export function probing(bed: Bed): string[] {
  const { dns, web, webTls } = bed.certificates.ports
  return ['--resolver', `127.0.0.1:${dns}`, '--connect-to', `127.0.0.1:${web}:${webTls}`]
}

/** A challenge that is answered wrongly on port 80. */
function onPort80(
  name: string,
  what: string,
  fault: HttpFault,
  rule: string,
  more: { only?: Whom; fix?: boolean; subject?: RegExp } = {},
): CertificateFault {
  const object = certificate(name)
  const host = hostOf(name)
  return {
    name: what,
    layer: 'challenge',
    host,
    async seed(bed) {
      bed.certificates.fault(host, fault, more.only)
      await bed.kubectl.apply(object)
    },
    expect: { rule, subject: more.subject ?? new RegExp(`^Challenge ${NAMESPACE}/${name}-`) },
    ...(more.fix
      ? {
          fix: {
            script: 'cert-debug' as const,
            after: async bed => bed.certificates.fault(host, undefined),
          },
        }
      : {}),
    async heal(bed) {
      bed.certificates.fault(host, undefined)
      await remove(bed, object)
    },
  }
}

/** A host whose records in DNS are wrong, with a certificate that was issued before. */
function inDns(name: string, what: string, records: Records, rule: string, remedy: RegExp): CertificateFault {
  const object = ingress(name)
  const host = hostOf(name)
  return {
    name: what,
    layer: 'DNS',
    host,
    async seed(bed) {
      await bed.kubectl.apply(object)
      await issued(bed, madeFor(name))
      await bed.certificates.dns(host, records)
    },
    expect: { rule, subject: new RegExp(`^Host ${host}$`), remedy },
    async heal(bed) {
      await bed.certificates.dns(host, {})
      await remove(bed, object)
    },
  }
}

/** A host that is served with something else than what is stored. */
function served(name: string, what: string, fault: TlsFault, rule: string): CertificateFault {
  const object = ingress(name)
  const host = hostOf(name)
  return {
    name: what,
    layer: 'port 443',
    host,
    async seed(bed) {
      await bed.kubectl.apply(object)
      await issued(bed, madeFor(name))
      // What is served from now on is what was served before; then there is a new one.
      await probeTls({ host, address: '127.0.0.1', https: bed.certificates.ports.webTls })
      bed.certificates.tls(host, fault)
      if (fault !== 'stale') return
      await bed.kubectl.delete({ apiVersion: 'v1', kind: 'Secret', namespace: 'oas', name: `${name}-tls` })
      await reissued(bed, madeFor(name))
    },
    expect: { rule, subject: new RegExp(`^Host ${host}$`) },
    async heal(bed) {
      bed.certificates.tls(host, undefined)
      await remove(bed, object)
    },
  }
}

/** An issuer that cannot issue. */
function withIssuer(
  name: string,
  what: string,
  spec: (bed: Bed) => Promise<object> | object,
  rule: string,
): CertificateFault {
  const object = certificate(name, { issuerRef: { kind: 'Issuer', name } })
  return {
    name: what,
    layer: 'issuer',
    host: hostOf(name),
    async seed(bed) {
      await bed.kubectl.apply(issuer(bed, name, await spec(bed)))
      await bed.kubectl.apply(object)
    },
    expect: { rule, subject: new RegExp(`^Issuer ${NAMESPACE}/${name}$`) },
    async heal(bed) {
      await remove(bed, object, issuer(bed, name))
    },
  }
}

/** An ingress that asks for its certificate in a wrong way. */
function withIngress(
  name: string,
  what: string,
  object: KubeObject,
  rule: string,
  also: { first?: (bed: Bed) => Promise<void>; beside?: KubeObject[] } = {},
): CertificateFault {
  return {
    name: what,
    layer: 'ingress',
    host: hostOf(name),
    async seed(bed) {
      await also.first?.(bed)
      for (const each of also.beside ?? []) await bed.kubectl.apply(each)
      await bed.kubectl.apply(object)
    },
    expect: { rule, subject: new RegExp(`^Ingress oas/${name}$`) },
    async heal(bed) {
      await remove(bed, object, ...(also.beside ?? []))
    },
  }
}

const anotherCa = async () => ({
  caBundle: Buffer.from((await made({})).cert).toString('base64'),
})

/** Switches an issuer that signed as one for trials to the ACME server, as the administrator of a new cluster does. */
const leftover: CertificateFault = (() => {
  const name = 'leftover'
  const object = certificate(name, { issuerRef: { kind: 'Issuer', name } })
  const ca = { ...secret(`${name}-ca`, NAMESPACE, { cert: '', key: '' }) }
  return {
    name: 'a staging certificate remains after the switch to production',
    layer: 'certificate',
    host: hostOf(name),
    async seed(bed) {
      const pair = await made({ name: '(STAGING) Counterfeit Cashew R10' })
      await bed.kubectl.apply(secret(`${name}-ca`, NAMESPACE, pair))
      await bed.kubectl.apply(issuer(bed, name, { ca: { secretName: `${name}-ca` } }))
      await bed.kubectl.apply(object)
      await issued(bed, object)
      await bed.kubectl.apply(issuer(bed, name))
    },
    expect: {
      rule: 'certificate-staging-leftover',
      subject: new RegExp(`^Certificate ${NAMESPACE}/${name}$`),
    },
    fix: { script: 'cert-debug' },
    async heal(bed) {
      await remove(bed, object, issuer(bed, name), ca)
    },
  }
})()

/** Faults that leave each other alone, each at its own host. */
const ofHosts: readonly CertificateFault[] = [
  onPort80('no-backend', 'the docs’ example: the challenge gets 503', 503, 'challenge-no-backend', {
    fix: true,
  }),
  onPort80('not-found', 'another server answers the challenge with 404', 404, 'challenge-not-found'),
  onPort80('login', 'the challenge needs a login (401)', 401, 'challenge-forbidden'),
  onPort80(
    'parked',
    'a parked domain answers the challenge with its own page',
    'wrong',
    'challenge-wrong-answer',
    {
      fix: true,
    },
  ),
  onPort80(
    'redirected',
    'the challenge is redirected to https, where nothing answers',
    'redirect',
    'challenge-redirect',
  ),
  onPort80('silent', 'port 80 accepts connections and never answers', 'hang', 'host-port-80-broken', {
    subject: /^Host silent\./,
  }),
  onPort80('outside', 'the challenge works inside; the authority gets 503', 503, 'challenge-no-backend', {
    only: 'acme',
    fix: true,
  }),
  inDns(
    'caa',
    'CAA records allow only another authority',
    { caa: [{ tag: 'issue', value: 'ca.example.net' }] },
    'host-caa-forbids',
    /letsencrypt\.org/,
  ),
  inDns(
    'aaaa',
    'an AAAA record points to another server',
    { aaaa: ['2001:db8::7'] },
    'host-aaaa-elsewhere',
    /AAAA/,
  ),
  inDns(
    'moved',
    'the A record points to another server',
    { a: ['192.0.2.7'] },
    'host-dns-elsewhere',
    /change the record/i,
  ),
  inDns('dnssec', 'the name servers fail (SERVFAIL)', { servfail: true }, 'host-dns-fails', /dnsviz/),
  served('stale', 'the ingress controller serves the old certificate', 'stale', 'host-served-differs'),
  served('default', 'the ingress controller serves its default certificate', 'default', 'host-served-wrong'),
  served('closed', 'nobody listens on port 443', 'refuse', 'host-port-443-closed'),
  withIssuer(
    'nowhere',
    'the ACME server cannot be reached',
    () => ({ server: 'https://127.0.0.1:1/dir' }),
    'issuer-unreachable',
  ),
  withIssuer(
    'untrusted',
    'the ACME server’s certificate is not trusted (wrong caBundle)',
    anotherCa,
    'issuer-untrusted',
  ),
  withIssuer(
    'refused',
    'the ACME server rejects the account (bad e-mail address)',
    () => ({ email: 'nobody' }),
    'issuer-account-refused',
  ),
  withIssuer(
    'keyless',
    'the Secret with a CA’s key does not exist',
    () => ({ ca: { secretName: 'keyless-ca' } }),
    'issuer-key-missing',
  ),
  {
    name: 'the issuer’s name is misspelt',
    layer: 'issuer',
    host: hostOf('misspelt'),
    seed: async bed => {
      await bed.kubectl.apply(
        certificate('misspelt', { issuerRef: { kind: 'ClusterIssuer', name: 'letsencrypt-produktion' } }),
      )
    },
    expect: {
      rule: 'issuer-missing',
      subject: /^ClusterIssuer letsencrypt-produktion$/,
      remedy: /cluster_issuer/,
    },
    heal: bed => remove(bed, certificate('misspelt')),
  },
  {
    name: 'a ClusterIssuer is referenced as an Issuer',
    layer: 'issuer',
    host: hostOf('wrong-kind'),
    seed: async bed => {
      await bed.kubectl.apply(certificate('wrong-kind', { issuerRef: { kind: 'Issuer', name: ISSUER } }))
    },
    expect: {
      rule: 'issuer-missing',
      subject: /^Issuer oas-apps\/letsencrypt-staging$/,
      remedy: /cluster-issuer/,
    },
    heal: bed => remove(bed, certificate('wrong-kind')),
  },
  {
    name: 'the authority’s policy forbids the name',
    layer: 'order',
    host: 'blocked.example.org',
    seed: async bed => {
      await bed.kubectl.apply(certificate('blocked', { dnsNames: ['blocked.example.org'] }))
    },
    expect: { rule: 'order-name-rejected', subject: /^Order oas-apps\/blocked-/, remedy: /another name/ },
    heal: bed => remove(bed, certificate('blocked')),
  },
  {
    name: 'the issuer has no solver for the host',
    layer: 'order',
    host: hostOf('unsolved'),
    seed: async bed => {
      const solver = {
        selector: { dnsNames: ['other.example.org'] },
        http01: { ingress: { ingressClassName: 'nginx' } },
      }
      await bed.kubectl.apply(issuer(bed, 'unsolved', { solvers: [solver] }))
      await bed.kubectl.apply(certificate('unsolved', { issuerRef: { kind: 'Issuer', name: 'unsolved' } }))
    },
    expect: { rule: 'order-no-solver', subject: /^Order oas-apps\/unsolved-/ },
    heal: bed => remove(bed, certificate('unsolved'), issuer(bed, 'unsolved')),
  },
  {
    name: 'two Certificates use one Secret',
    layer: 'certificate',
    host: hostOf('second'),
    seed: async bed => {
      const first = certificate('first')
      await bed.kubectl.apply(first)
      await issued(bed, first)
      await bed.kubectl.apply(certificate('second', { secretName: 'first-tls' }))
    },
    expect: { rule: 'certificate-secret-shared', subject: /^Certificate oas-apps\/second$/ },
    heal: bed => remove(bed, certificate('second'), certificate('first')),
  },
  {
    name: 'the Secret of a certificate was deleted; the new challenge gets 503',
    layer: 'certificate',
    host: hostOf('lost'),
    seed: async bed => {
      const object = certificate('lost')
      await bed.kubectl.apply(object)
      await issued(bed, object)
      bed.certificates.fault(hostOf('lost'), 503)
      await bed.kubectl.delete({ apiVersion: 'v1', kind: 'Secret', namespace: NAMESPACE, name: 'lost-tls' })
    },
    expect: { rule: 'challenge-no-backend', subject: /^Challenge oas-apps\/lost-/ },
    fix: { script: 'cert-debug', after: async bed => bed.certificates.fault(hostOf('lost'), undefined) },
    heal: async bed => {
      bed.certificates.fault(hostOf('lost'), undefined)
      await remove(bed, certificate('lost'))
    },
  },
  leftover,
  withIngress(
    'no-secret',
    'an ingress asks for a certificate without naming a Secret',
    ingress('no-secret', { tls: [{ hosts: [hostOf('no-secret')] }] }),
    'ingress-tls-incomplete',
  ),
  withIngress(
    'no-tls',
    'an ingress asks for a certificate and has no spec.tls',
    ingress('no-tls', { tls: [] }),
    'ingress-without-tls',
  ),
  withIngress(
    'twice',
    'an ingress names one Secret in two blocks',
    ingress('twice', {
      hosts: [hostOf('twice'), hostOf('twice2')],
      tls: [
        { hosts: [hostOf('twice')], secretName: 'twice-tls' },
        { hosts: [hostOf('twice2')], secretName: 'twice-tls' },
      ],
    }),
    'ingress-without-certificate',
  ),
  withIngress(
    'nobody',
    'an ingress names a Secret that no Certificate fills',
    ingress('nobody', { annotations: {} }),
    'ingress-secret-missing',
  ),
  withIngress(
    'uncovered',
    'an ingress serves a host that is not in its spec.tls',
    ingress('uncovered', {
      hosts: [hostOf('uncovered'), hostOf('covered')],
      tls: [{ hosts: [hostOf('covered')], secretName: 'uncovered-tls' }],
    }),
    'ingress-host-not-covered',
  ),
  withIngress(
    'taken',
    'two ingresses with different hosts share a Secret',
    ingress('taken', { tls: [{ hosts: [hostOf('taken')], secretName: 'taker-tls' }] }),
    'ingress-wrong-host',
    {
      beside: [ingress('taker')],
      first: async bed => {
        await bed.kubectl.apply(ingress('taker'))
        await issued(bed, madeFor('taker'))
      },
    },
  ),
  withIngress(
    'expired',
    'a certificate provided by hand has expired',
    ingress('expired', { annotations: {} }),
    'ingress-secret-expired',
    {
      first: async bed => {
        await bed.kubectl.apply(
          secret('expired-tls', 'oas', await made({ hosts: [hostOf('expired')], until: -1 })),
        )
      },
    },
  ),
  withIngress(
    'strange',
    'a certificate provided by hand is for another host',
    ingress('strange', { annotations: {} }),
    'ingress-wrong-host',
    {
      first: async bed => {
        await bed.kubectl.apply(secret('strange-tls', 'oas', await made({ hosts: ['other.example.org'] })))
      },
    },
  ),
  withIngress(
    'garbled',
    'the Secret of an ingress holds no certificate',
    ingress('garbled', { annotations: {} }),
    'ingress-secret-unusable',
    {
      first: async bed => {
        await bed.kubectl.apply(secret('garbled-tls', 'oas', { cert: 'no PEM', key: 'no PEM' }))
      },
    },
  ),
]

/** The faults of one host each: they are there all at once. */
export const apart: readonly ApartFault[] = ofHosts.map(fault => ({
  ...fault,
  concerns: (cause, index) => concernsHost(cause, fault.host, index),
  ...(fault.fix ? { fix: { ...fault.fix, args: bed => [fault.host, ...probing(bed)] } } : {}),
}))

/** Faults of what all certificates need: one at a time. */
export const together: readonly CertificateFault[] = [
  {
    name: 'cert-manager is scaled down to 0',
    layer: 'cert-manager',
    host: hostOf('unheard'),
    seed: async bed => {
      await bed.kubectl.patch(CERT_MANAGER, { spec: { replicas: 0 } })
    },
    expect: { rule: 'cert-manager-stopped', subject: /^Deployment cert-manager\/cert-manager$/ },
    look: { script: 'cert-debug', args: probing },
    fix: { script: 'cert-debug', args: probing },
    heal: async bed => {
      await bed.kubectl.patch(CERT_MANAGER, { spec: { replicas: 1 } })
    },
  },
  {
    name: 'cert-manager’s controller hangs',
    layer: 'cert-manager',
    host: hostOf('unheard'),
    seed: async bed => {
      await bed.signal('cert-manager', 'SIGSTOP')
      await bed.kubectl.apply(certificate('unheard'))
    },
    look: { script: 'cert-debug', args: probing },
    expect: {
      rule: 'cert-manager-hangs',
      subject: /^Deployment cert-manager\/cert-manager$/,
      remedy: /restart/i,
    },
    heal: async bed => {
      await bed.signal('cert-manager', 'SIGCONT')
      await remove(bed, certificate('unheard'))
    },
  },
  {
    name: 'a host has no address in DNS',
    layer: 'DNS',
    host: hostOf('nameless'),
    seed: async bed => {
      await bed.certificates.defaultAddress('')
      await bed.kubectl.apply(certificate('nameless'))
    },
    look: { script: 'cert-debug', args: probing },
    expect: { rule: 'host-dns-missing', subject: /^Host / },
    heal: async bed => {
      await bed.certificates.defaultAddress('127.0.0.1')
      await remove(bed, certificate('nameless'))
    },
  },
  {
    name: 'nobody listens on port 80',
    layer: 'port 80',
    host: hostOf('unserved'),
    seed: async bed => {
      bed.certificates.fault('*', 'refuse')
      await bed.kubectl.apply(certificate('unserved'))
    },
    look: { script: 'cert-debug', args: probing },
    expect: { rule: 'host-port-80-refused', subject: /^Host / },
    heal: async bed => {
      bed.certificates.fault('*', undefined)
      await remove(bed, certificate('unserved'))
    },
  },
]

/** The faults of certificates, for the table. */
export const faults: readonly CertificateFault[] = [...ofHosts, ...together]
