import { type Condition, condition } from '../../flux/flux.ts'
import { type KubeObject, refOf } from '../../kubectl/kubectl.ts'
import type { Action, Remedy } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { issuanceChainOf, issuerOf, namesOf } from './chain.ts'
import { allowance } from './rate-limits.ts'

/**
 * Has cert-manager reissue a certificate, as `cmctl renew` does: by the condition Issuing in its status
 * (https://github.com/cert-manager/cmctl, pkg/renew). The old one stays in use until then. The resourceVersion has
 * the API server refuse it when cert-manager was faster. Pure.
 */
export function renewal(certificate: KubeObject, index: Index): Action {
  const issuing = {
    type: 'Issuing',
    status: 'True',
    reason: 'ManuallyTriggered',
    message: 'Certificate re-issuance manually triggered',
    observedGeneration: certificate.metadata.generation,
    lastTransitionTime: new Date(index.now).toISOString().replace(/\.\d+Z$/, 'Z'),
  }
  const others = ((certificate.status?.conditions ?? []) as Condition[]).filter(
    ({ type }) => type !== 'Issuing',
  )
  return {
    do: 'patch',
    ref: refOf(certificate),
    subresource: 'status',
    why: 'reissue it',
    patch: {
      metadata: { resourceVersion: certificate.metadata.resourceVersion },
      status: { conditions: [...others, issuing] },
    },
  }
}

/**
 * The remedy of reissuing a certificate. It can be done by a script unless that is under way already, its
 * issuer cannot, or the authority would refuse it. Pure.
 */
export function reissue(certificate: KubeObject, index: Index, text: string): Remedy {
  const { namespace, name } = certificate.metadata
  const { allowed, until, why } = allowance(certificate, index)
  const look = `kubectl describe certificate -n ${namespace} ${name}`
  if (!allowed) return { text: `${text}, but not before ${until}: ${why}`, command: look }
  const issuer = index.find(issuerOf(certificate))
  const canIssue = issuer !== undefined && condition(issuer, 'Ready')?.status === 'True'
  const isUnderWay =
    condition(certificate, 'Issuing')?.status === 'True' ||
    issuanceChainOf(certificate, index).order !== undefined
  if (!canIssue || isUnderWay) return { text, command: look }
  const host = namesOf(certificate)[0]
  return {
    text,
    command: host ? `npx tsx scripts/cert-debug.ts ${host} --fix` : look,
    action: renewal(certificate, index),
  }
}
