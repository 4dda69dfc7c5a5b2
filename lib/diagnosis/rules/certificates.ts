import { condition } from '../../flux/flux.ts'
import { type KubeObject, refOf, refText } from '../../kubectl/kubectl.ts'
import { ageOf, issuanceChainOf, namesOf } from '../certificates/chain.ts'
import { each, type Finding, type Rule, tell } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { warnings } from './certificate-events.ts'
import { deployment, SETTLING, settlingOf } from './issuers.ts'
import { storedFinding } from './stored-certificates.ts'
import { eventsOf } from './workload-facts.ts'

/** Certificates that are not issued, or not any more. What is below them says why, or the issuer, or cert-manager. */
const certificates = each('Certificate', (certificate, index) => {
  const [kept] = eventsOf(index, certificate, /^CannotRegenerateKey$/)
  if (kept && condition(certificate, 'Ready')?.status === 'False')
    return {
      rule: 'certificate-key-kept',
      cause:
        'its private key does not match its spec, and its rotationPolicy does not let cert-manager create another one',
      evidence: [short(String(kept.message ?? ''))],
      text: 'Set spec.privateKey.rotationPolicy: Always (at its ingress: cert-manager.io/private-key-rotation-policy), or restore the earlier spec.privateKey',
      command: `kubectl -n ${certificate.metadata.namespace} get certificate ${certificate.metadata.name} -o yaml`,
    }
  const stored = storedFinding(certificate, index)
  if (stored) return [stored]
  const ready = condition(certificate, 'Ready')
  const issuing = condition(certificate, 'Issuing')
  if (!ready || ready.status === 'True' || ageOf(certificate, index.now) < SETTLING) return undefined
  // A try that has just started may end well.
  if (issuing?.status === 'True' && ageOf(certificate, index.now, 'Issuing') < settlingOf(certificate, index))
    return undefined
  const told = [ready, issuing].flatMap(each =>
    each?.message ? [short(`${each.type}: ${each.message}`)] : [],
  )
  const { namespace = '', name } = certificate.metadata
  const taken = index.secret(namespace, certificate.spec?.secretName ?? '')
  // The type of a Secret cannot be changed.
  if (taken && taken.type !== 'kubernetes.io/tls')
    return {
      rule: 'certificate-secret-taken',
      cause: `its Secret ${taken.name} exists already, and is of type ${taken.type}: no certificate can be stored in it`,
      evidence: told,
      text: `Delete Secret ${taken.name} if nobody needs it, or name another one in spec.secretName`,
      command: `kubectl -n ${namespace} describe secret ${taken.name}`,
    }
  return {
    rule: 'certificate-not-ready',
    cause: `there is no usable certificate for ${namesOf(certificate).join(', ') || 'it'}`,
    evidence: [...told, ...warnings(certificate, index)],
    text: 'See what its CertificateRequest, Order and Challenge say',
    command: `kubectl describe certificate -n ${namespace} ${name}`,
    symptom: true,
    causedBy: [deployment('cert-manager'), ...rivalsOf(certificate, index)],
  }
})

/** Certificates that write into the same Secret. */
const rivalsOf = (certificate: KubeObject, index: Index) =>
  index
    .within('Certificate', certificate.metadata.namespace)
    .filter(other => other !== certificate && other.spec?.secretName === certificate.spec?.secretName)
    .map(refOf)

/** Requests that say something of their own, or repeat what their Order says. */
const requests = each('Certificate', (certificate, index) => {
  const { request } = issuanceChainOf(certificate, index)
  if (!request) return undefined
  const ready = condition(request, 'Ready')
  const denied = condition(request, 'Denied')
  const approved = condition(request, 'Approved')
  const isFailed = ready?.status === 'False' && ready.reason === 'Failed'
  const isInvalid = condition(request, 'InvalidRequest')?.status === 'True'
  if (denied?.status === 'True')
    return [
      requestFinding(
        request,
        'request-denied',
        `it was denied: ${short(denied.message ?? '', 160)}`,
        denied.message,
        index,
        'Correct the Certificate, or the policy that denies it (CertificateRequestPolicy), then delete the request',
      ),
    ]
  if (isInvalid) return [requestFinding(request, 'request-invalid', 'it is not valid', ready?.message, index)]
  if (!isFailed && ageOf(request, index.now) < settlingOf(certificate, index)) return undefined
  if (isFailed) {
    // That of an ACME server is told of the Order.
    const why = /order resource/i.test(ready.message ?? '') ? '' : `: ${lastWords(ready.message ?? '')}`
    return [
      requestFinding(
        request,
        'request-failed',
        `it has failed${why}`,
        ready.message,
        index,
        why ? 'Correct it in the Certificate, or at its issuer (its CA, role or policy)' : undefined,
      ),
    ]
  }
  if (!approved)
    return [
      {
        ...requestFinding(
          request,
          'request-not-approved',
          'nobody has approved it',
          ready?.message,
          index,
          'See whether what approves requests runs: cert-manager itself, unless its approver is disabled in favour of approver-policy; by hand: cmctl approve',
        ),
        causedBy: [deployment('cert-manager')],
      },
    ]
  if (ready?.status === 'True') return undefined
  return [
    requestFinding(
      request,
      'request-waits',
      'it is not answered',
      ready?.message,
      index,
      /\bsecrets? .*not found/i.test(ready?.message ?? '')
        ? 'Create the Secret that it names if it belongs to the issuer; the key of a request is gone for good: delete the request, cert-manager makes another'
        : undefined,
    ),
  ]
})

/** The last line of a message: why. */
const lastWords = (message: string) => short(message.trim().split('\n').at(-1) ?? '', 200)

function requestFinding(
  request: KubeObject,
  rule: string,
  cause: string,
  message: string | undefined,
  index: Index,
  text = 'Correct what its message names',
): Finding {
  const { namespace, name } = request.metadata
  return tell(request, {
    rule,
    cause,
    evidence: [...(message ? [short(message)] : []), ...warnings(request, index)],
    text,
    command: `kubectl describe certificaterequest -n ${namespace} ${name}`,
    symptom: true,
  })
}

/** Two Certificates that write into the same Secret: only one of them gets it. */
const shared: Rule = index => {
  const users = new Map<string, KubeObject[]>()
  for (const certificate of index.all('Certificate')) {
    const key = `${certificate.metadata.namespace}/${certificate.spec?.secretName}`
    users.set(key, [...(users.get(key) ?? []), certificate])
  }
  return [...users.entries()].flatMap(([key, certificates]): Finding[] => {
    if (certificates.length < 2) return []
    const owner = index.secret(...(key.split('/') as [string, string]))?.annotations?.[
      'cert-manager.io/certificate-name'
    ]
    // The one that has it stays; cert-manager itself gives it to the oldest.
    const sorted = [...certificates].sort((a, b) => ageOf(b, index.now) - ageOf(a, index.now))
    const keeper = sorted.find(({ metadata }) => metadata.name === owner) ?? sorted[0]!
    return sorted
      .filter(certificate => certificate !== keeper)
      .map(certificate =>
        tell(certificate, {
          rule: 'certificate-secret-shared',
          cause: `it needs the Secret ${key}, which belongs to ${refText(refOf(keeper))}: only one of them gets it`,
          evidence: [
            `${refText(refOf(keeper))} is for ${namesOf(keeper).join(', ')}, this one for ${namesOf(certificate).join(', ')}`,
          ],
          text: 'Give one of them another Secret: secretName of the Certificate, or of its ingress',
          command: `kubectl -n ${certificate.metadata.namespace} get certificates,ingresses`,
        }),
      )
  })
}

/** The rules for Certificates, what they ask for, and what is stored of them. */
export const rules: readonly Rule[] = [certificates, requests, shared]
