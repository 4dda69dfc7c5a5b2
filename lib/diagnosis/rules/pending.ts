import { condition } from '../../flux/flux.ts'
import { type KubeObject, refOf } from '../../kubectl/kubectl.ts'
import type { Finding, Rule } from '../finding.ts'
import type { SecretShape } from '../snapshot.ts'
import { findingOf, goDurationSeconds, refTo } from './failure.ts'

const pendingStatus = /^pending-(install|upgrade|rollback)$/

/** Actions of Helm that were cut off: the controller was killed, or somebody's own helm. */
const pending: Rule = index =>
  index.snapshot.secrets.flatMap((secret): Finding[] => {
    const status = secret.labels?.status ?? ''
    if (secret.labels?.owner !== 'helm' || !pendingStatus.test(status)) return []
    const release = index.all('HelmRelease').find(each => storesIn(each, secret))
    if (!release) return []
    const age = (index.now - Date.parse(secret.created ?? '')) / 1000
    const working = /^Running '/.test(condition(release, 'Ready')?.message ?? '')
    const limit = working ? goDurationSeconds(release.spec?.timeout ?? '5m') + 15 : 60
    if (!(age > limit)) return []
    const old = release.apiVersion === 'helm.toolkit.fluxcd.io/v2beta1'
    return [
      findingOf(
        release,
        {
          rule: 'release-pending',
          cause: `Helm was interrupted: revision ${secret.labels?.version} has been ${status} for ${Math.round(age / 60)} min, and no action is running`,
          fix: old
            ? 'delete the Secret of the revision that is pending, then Flux tries again'
            : 'have helm-controller reconcile it: it unlocks the release and tries again',
          symptom: true,
        },
        {
          evidence: [`Secret ${secret.namespace}/${secret.name} has the status ${status}`],
          action:
            old && secret.uid
              ? {
                  do: 'delete',
                  ref: { ...refTo('Secret', secret.namespace, secret.name), apiVersion: 'v1' },
                  uid: secret.uid,
                }
              : { do: 'reconcile', ref: refOf(release), reset: true },
        },
      ),
    ]
  })

function storesIn({ metadata, spec, status }: KubeObject, secret: SecretShape): boolean {
  const target = spec?.targetNamespace
  const name = spec?.releaseName ?? (target ? `${target}-${metadata.name}` : metadata.name)
  const namespace = status?.storageNamespace ?? spec?.storageNamespace ?? metadata.namespace
  return secret.namespace === namespace && secret.labels?.name === name
}

/** What Helm has left behind half-done. */
export const rules: Rule[] = [pending]
