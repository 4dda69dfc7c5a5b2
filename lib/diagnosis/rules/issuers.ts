import { condition } from '../../flux/flux.ts'
import { type KubeObject, type Ref, refOf, refText } from '../../kubectl/kubectl.ts'
import { ageOf, issuerOf } from '../certificates/chain.ts'
import { parseReason } from '../certificates/challenge-message.ts'
import { type Finding, patching, type Rule, restarting, tell } from '../finding.ts'
import { keyOf } from '../graph.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { warnings } from './certificate-events.ts'
import { OWN_CERTIFICATE, SHARED } from './shared-causes.ts'

/** Milliseconds that cert-manager may take to look at something; on a quiet cluster it takes one second. */
export const SETTLING = 20_000

/** Milliseconds that the renewal of a certificate may take which is good for another day: nobody suffers from it. */
const RENEWING = 60_000

/** Milliseconds that the issuance of a certificate may take before it is told. Pure. */
export const settlingOf = ({ status }: KubeObject, index: Index): number =>
  Date.parse(status?.notAfter ?? '') - index.now > 86_400_000 ? RENEWING : SETTLING

const NAMESPACE = 'cert-manager'
const CONFIGS: Ref = {
  apiVersion: 'kustomize.toolkit.fluxcd.io/v1',
  kind: 'Kustomization',
  namespace: 'flux-system',
  name: 'infrastructure-configs',
}

/** cert-manager's Deployments: what stops when they do. */
const DEPLOYMENTS: Readonly<Record<string, string>> = {
  'cert-manager': 'no certificate is issued or renewed',
  'cert-manager-webhook': 'nothing of cert-manager can be created or changed',
  'cert-manager-cainjector': 'the API server does not get the CA of the webhook',
}

/** The Ref of one of cert-manager's Deployments. Pure. */
export function deployment(name: string): Ref {
  return { apiVersion: 'apps/v1', kind: 'Deployment', namespace: NAMESPACE, name }
}

/** cert-manager's own Deployments: there, and not switched off. Why one that is wanted is not ready others say. */
const certManager: Rule = index => {
  const isUsed = index.all('Certificate').length + index.all('ClusterIssuer').length > 0
  if (!isUsed || index.blind('Deployment')) return []
  return Object.entries(DEPLOYMENTS).flatMap(([name, consequence]): Finding[] => {
    const found = index.get('Deployment', NAMESPACE, name)
    if (!found)
      return [
        tell(deployment(name), {
          rule: 'cert-manager-absent',
          cause: `it does not exist: ${consequence}`,
          text: 'Have Flux install cert-manager again',
          command: `flux reconcile helmrelease cert-manager -n ${NAMESPACE} --force`,
          symptom: true,
          causedBy: [
            { apiVersion: '', kind: 'HelmRelease', namespace: NAMESPACE, name: 'cert-manager' },
            { ...CONFIGS, name: 'infrastructure' },
          ],
        }),
      ]
    if (found.spec?.replicas !== 0) return []
    return [
      tell(found, {
        rule: 'cert-manager-stopped',
        cause: `it is scaled down to 0: ${consequence}`,
        evidence: ['spec.replicas: 0'],
        text: 'Scale it up, if nobody has a reason for that',
        command: `kubectl -n ${NAMESPACE} scale deployment ${name} --replicas=1`,
        action: patching(found, { spec: { replicas: 1 } }, 'scale it up to 1'),
      }),
    ]
  })
}

/** Whether a certificate should have been renewed an hour ago, and cert-manager has not even begun. */
function isForgotten(object: KubeObject, now: number): boolean {
  const { renewalTime, lastFailureTime } = object.status ?? {}
  const isTrying = condition(object, 'Issuing')?.status === 'True'
  return now - Date.parse(renewalTime) > 3_600_000 && !isTrying && !lastFailureTime
}

/** A controller that runs, and does nothing: objects that were never looked at, renewals that were never begun. */
const hanging: Rule = index => {
  const controller = index.get('Deployment', NAMESPACE, 'cert-manager')
  if (!controller || controller.spec?.replicas === 0 || !((controller.status?.readyReplicas ?? 0) > 0))
    return []
  const objects = [...index.all('Certificate'), ...index.all('ClusterIssuer'), ...index.all('Issuer')]
  const evidence = objects.flatMap(object => {
    const seconds = Math.round(ageOf(object, index.now) / 1000)
    if (!object.status?.conditions?.length)
      return seconds * 1000 > SETTLING
        ? [`${refText(refOf(object))} was created ${seconds} s ago and has no status`]
        : []
    return isForgotten(object, index.now)
      ? [`${refText(refOf(object))} should have been renewed at ${object.status.renewalTime}`]
      : []
  })
  if (evidence.length === 0) return []
  const more = evidence.length - 3
  return [
    tell(controller, {
      rule: 'cert-manager-hangs',
      cause: 'it reports Ready but is not processing requests',
      evidence: [...evidence.slice(0, 3), ...(more > 0 ? [`${more} more wait for it`] : [])],
      text: 'Restart it; if that does not help, read its log',
      command: `kubectl -n ${NAMESPACE} rollout restart deployment cert-manager`,
      action: restarting(controller, index, 'restart it'),
    }),
  ]
}

/** Issuers that certificates name, and that do not exist. */
const missing: Rule = index => {
  const users = new Map<string, { issuer: Ref; certificates: KubeObject[] }>()
  for (const certificate of index.all('Certificate')) {
    const issuer = issuerOf(certificate)
    const isOurs = issuer.kind === 'ClusterIssuer' || issuer.kind === 'Issuer'
    if (!isOurs || index.blind(issuer.kind) || index.find(issuer)) continue
    const known = users.get(keyOf(issuer)) ?? { issuer, certificates: [] }
    users.set(keyOf(issuer), { issuer, certificates: [...known.certificates, certificate] })
  }
  return [...users.values()].map(({ issuer, certificates }): Finding => {
    const first = certificates[0]!
    const others = [...index.all('ClusterIssuer'), ...index.all('Issuer')]
      .filter(
        ({ kind, metadata }) => kind === 'ClusterIssuer' || metadata.namespace === first.metadata.namespace,
      )
      .map(({ kind, metadata }) => `${kind} ${metadata.name}`)
    const sameName = index.get('ClusterIssuer', undefined, issuer.name)
    const ingress = first.metadata.ownerReferences?.find(({ kind }) => kind === 'Ingress')?.name
    return tell(issuer, {
      rule: 'issuer-missing',
      cause: `there is no such issuer, and ${certificates.length === 1 ? refText(refOf(first)) : `${certificates.length} certificates`} should be issued by it`,
      evidence: [`there ${others.length === 1 ? 'is' : 'are'}: ${others.join(', ') || 'no issuer at all'}`],
      text: sameName
        ? 'It is a ClusterIssuer: name it by the annotation cert-manager.io/cluster-issuer, not cert-manager.io/issuer'
        : 'Correct the issuer’s name: cluster_issuer in .flux.env and install-core, or the override that sets the annotation',
      command: ingress
        ? `kubectl -n ${first.metadata.namespace} get ingress ${ingress} -o yaml`
        : `kubectl -n ${first.metadata.namespace} get certificate ${first.metadata.name} -o yaml`,
      symptom: true,
      causedBy: [CONFIGS],
    })
  })
}

/** Issuers that are there, and cannot issue. */
const notReady: Rule = index =>
  [...index.all('ClusterIssuer'), ...index.all('Issuer')].flatMap((issuer): Finding[] => {
    const ready = condition(issuer, 'Ready')
    if (!ready || ready.status === 'True' || ageOf(issuer, index.now, 'Ready') < 5000) return []
    const isUsed = index
      .all('Certificate')
      .some(certificate => keyOf(issuerOf(certificate)) === keyOf(refOf(issuer)))
    return [
      {
        ...issuerProblem(issuer, ready.reason ?? '', ready.message ?? '', index),
        verdict: isUsed ? 'broken' : 'warning',
        subject: refOf(issuer),
        evidence: [short(`${ready.reason}: ${ready.message}`), ...warnings(issuer, index)],
      },
    ]
  })

/** What is wrong with an issuer, by the texts of cert-manager's pkg/issuer/acme/setup.go. */
function issuerProblem(
  issuer: KubeObject,
  reason: string,
  message: string,
  index: Index,
): Pick<Finding, 'rule' | 'cause' | 'remedy' | 'symptom' | 'causedBy'> {
  const server = String(issuer.spec?.acme?.server ?? 'the authority')
  const host = URL.canParse(server) ? new URL(server).host : server
  const look = `kubectl describe ${issuer.kind.toLowerCase()} ${issuer.metadata.name}${issuer.metadata.namespace ? ` -n ${issuer.metadata.namespace}` : ''}`
  const told = (rule: string, cause: string, text: string, command = look) => ({
    rule,
    cause,
    remedy: { text, command },
  })
  if (OWN_CERTIFICATE.test(message))
    return {
      ...told(
        'issuer-names-lead-here',
        `the name ${host} leads to this server’s own ingress`,
        'Correct the name resolution of the server',
      ),
      symptom: true,
      causedBy: [SHARED['own-ingress']],
    }
  if (/x509:|tls:|certificate signed by/i.test(message))
    return told(
      'issuer-untrusted',
      `cert-manager does not trust the certificate of ${host}`,
      'Correct spec.acme.caBundle and the clock of the server; a proxy in between may intercept TLS',
    )
  if (
    /dial tcp|no such host|server misbehaving|i\/o timeout|deadline exceeded|connection re|unreachable|\bEOF\b/i.test(
      message,
    )
  )
    return told(
      'issuer-unreachable',
      `cert-manager cannot reach ${host}, so that it has no account there`,
      'Correct spec.acme.server, or let the server reach it (DNS, firewall, port 443)',
      'npx tsx scripts/logs.ts cert-manager --since 10m',
    )
  if (/externalAccount/i.test(message))
    return told(
      'issuer-account-refused',
      `${host} takes only accounts that are bound to one of its own`,
      'Set spec.acme.externalAccountBinding: the key id and the key that the authority gives',
    )
  const { problem, retryAfter } = parseReason(message)
  if (problem === 'rate-limited')
    return told(
      'issuer-rate-limited',
      `${host} registers no account for this server at the moment`,
      `Wait${retryAfter ? ` until ${retryAfter}` : ''}, and keep the Secret with the account’s key: each new key asks for another account`,
    )
  if (issuer.spec?.acme && /deactivated|revoked|accountDoesNotExist|not valid, has status/i.test(message)) {
    const key = issuer.spec.acme.privateKeySecretRef?.name
    return told(
      'issuer-account-closed',
      `${host} has closed the account, or does not know it`,
      `Delete Secret ${issuer.metadata.namespace ?? NAMESPACE}/${key}, which has its key: cert-manager registers a new account`,
      `kubectl -n ${issuer.metadata.namespace ?? NAMESPACE} delete secret ${key}`,
    )
  }
  if (issuer.spec?.acme && /acme:error|^4\d\d |\b40\d\b/i.test(message))
    return told(
      'issuer-account-refused',
      `${host} does not accept the account`,
      'Correct admin_email in .flux.env, then run install-core; after a change of the server delete the account’s Secret',
    )
  if (reason === 'ErrGetKeyPair' || reason === 'ErrInvalidKeyPair') {
    const name = issuer.spec?.ca?.secretName
    const namespace = issuer.metadata.namespace ?? NAMESPACE
    const notCa = /is not a CA/i.test(message)
    // What cert-manager says of it, since not every snapshot has the Secrets.
    const absent = /not found/i.test(message) && !(name && index.secret(namespace, name))
    return told(
      'issuer-key-missing',
      `the Secret ${name} with its key ${notCa ? 'is not that of a CA' : absent ? 'does not exist' : 'is not usable'}`,
      notCa
        ? `Set isCA: true in the Certificate that writes Secret ${namespace}/${name}, and reissue it (cmctl renew); or put the certificate of a CA with its key there`
        : `Restore Secret ${namespace}/${name} with a CA and its key, or correct spec.ca.secretName`,
    )
  }
  return told('issuer-not-ready', `it is not ready: ${short(message, 200)}`, 'Correct what its message names')
}

/** The rules for issuers and cert-manager itself. */
export const rules: readonly Rule[] = [certManager, hanging, missing, notReady]
