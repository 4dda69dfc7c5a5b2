import { Index } from '../../lib/diagnosis/snapshot.ts'
import { condition, standing } from '../../lib/flux/flux.ts'
import { type KubeObject, refOf, refText } from '../../lib/kubectl/kubectl.ts'
import { obstaclesTo } from '../../lib/rollout/flux.ts'
import { type Obstacle, obstacles } from '../../lib/rollout/obstacles.ts'
import { applierOf, applies, dependsOnNames, kustomizationNamed, type UpgradeFacts } from './facts.ts'

/** Whether what a GitRepository has fetched is of this branch: `v0.7@sha1:…`, in old versions `v0.7/…`. Pure. */
export function isFetched(git: KubeObject | undefined, branch: string): boolean {
  const revision = String(git?.status?.artifact?.revision ?? '')
  // A branch's name may hold slashes; a commit's does not.
  return (
    revision.replace(/[@/](sha1:|sha256:)?[0-9a-f]+$/, '') === branch && git?.spec?.ref?.branch === branch
  )
}

const again = 'then run the same command again'

const noBranch =
  'the branch is not in the repository: give the one of 0.7 with --branch NAME after --rollback; nothing was removed yet'

/**
 * What keeps the HelmRelease of the secrets in the cluster although the branch was changed, the deepest first:
 * the source, then the Kustomization that has to prune it, then Helm. Empty while there is only to wait. Pure.
 */
export function blockersOf(facts: UpgradeFacts, branch: string, now: number): Obstacle[] {
  const { owner } = facts
  if (!owner) return []
  if (owner.metadata.deletionTimestamp) return dying(owner, facts, now)
  const applier = applierOf(owner)
  const subject = refText(refOf(owner))
  const { namespace, name } = owner.metadata
  const byHand = `to remove it: kubectl -n ${namespace} delete helmreleases.helm.toolkit.fluxcd.io ${name} (the secrets are in the backup), ${again}`
  if (!applier)
    return [
      { subject, cause: 'no Kustomization has applied it, so that none removes it', fix: byHand, grace: 0 },
    ]
  const kustomization = facts.index.get('Kustomization', applier.namespace, applier.name)
  if (!kustomization)
    return [
      {
        subject,
        cause: `Kustomization ${applier.name}, which has applied it, does not exist any more`,
        fix: byHand,
        grace: 15,
      },
    ]
  // Releases and pods may fail as they like: what is superfluous is removed before their health is checked.
  const causes = obstacles(withoutHealth(facts.index), [applier.name]).filter(
    ({ grace }) => grace < Number.POSITIVE_INFINITY,
  )
  const git = facts.git && refText(refOf(facts.git))
  const source = causes
    .filter(cause => cause.subject === git)
    .map(cause =>
      /remote ref|reference not found/.test(cause.cause)
        ? { ...cause, fix: noBranch, explains: undefined }
        : cause,
    )
  if (!isFetched(facts.git, branch)) return source
  return [
    ...source,
    ...unpruned(kustomization, owner, facts, byHand),
    ...causes.filter(cause => cause.subject !== git),
  ]
}

/** A snapshot without what Flux waits for after it has applied and pruned. */
function withoutHealth({ snapshot }: Index): Index {
  const left =
    /^(HelmRelease|HelmChart|Pod|Deployment|StatefulSet|DaemonSet|ReplicaSet|Job|PersistentVolumeClaim)$/
  const { objects, unread = [] } = snapshot
  const of = ({ kind, metadata }: KubeObject) => left.test(kind) && metadata.namespace !== 'flux-system'
  const releases = objects.filter(object => of(object) || object.kind === 'HelmRelease')
  return new Index({
    ...snapshot,
    objects: objects.filter(object => !releases.includes(object)),
    unread: [...unread, 'HelmRelease'],
  })
}

/** Why a Kustomization does not remove the release. */
function unpruned(
  kustomization: KubeObject,
  owner: KubeObject,
  facts: UpgradeFacts,
  byHand: string,
): Obstacle[] {
  const subject = refText(refOf(kustomization))
  const { name, namespace } = kustomization.metadata
  const pruning = 'kustomize.toolkit.fluxcd.io/prune'
  const kept =
    owner.metadata.annotations?.[pruning] === 'disabled' || owner.metadata.labels?.[pruning] === 'disabled'
  if (kustomization.spec?.prune !== true || kept)
    return [
      {
        subject,
        cause: kept
          ? `must not remove ${refText(refOf(owner))}: it is marked ${pruning}: disabled`
          : 'removes nothing: its spec.prune is not true',
        fix: byHand,
        grace: 0,
      },
    ]
  const revision = facts.git?.status?.artifact?.revision
  if (kustomization.status?.lastAppliedRevision === revision && applies(kustomization, owner))
    return [
      {
        subject,
        cause: `is at ${revision}, and still contains ${owner.metadata.name}: it is not a 0.7 branch`,
        fix: 'give the right one with --branch; or go back with --rollback',
        grace: 15,
      },
    ]
  const waitsFor = dependsOnNames(kustomization).filter(dependency => {
    const found = kustomizationNamed(dependency, facts)
    return !found || standing(found).state !== 'ready'
  })
  if (waitsFor.length > 0)
    return [
      {
        subject,
        cause: `waits for Kustomization ${waitsFor.join(', ')}, on which it depends`,
        fix: `see what is wrong with it: kubectl -n ${namespace} describe kustomizations.kustomize.toolkit.fluxcd.io ${waitsFor[0]}, ${again}`,
        grace: 300,
      },
    ]
  if (kustomization.status?.lastAttemptedRevision === revision) return []
  return [
    {
      subject,
      cause: `has not applied ${revision} yet`,
      fix: `see whether kustomize-controller works: npx tsx scripts/logs.ts kustomize-controller --grep ${name}, ${again}`,
      grace: 120,
    },
  ]
}

/** What keeps a release that is being deleted. */
function dying(owner: KubeObject, facts: UpgradeFacts, now: number): Obstacle[] {
  const subject = refText(refOf(owner))
  const { namespace, name, deletionTimestamp = '' } = owner.metadata
  const finalizers = ((owner.metadata as { finalizers?: string[] }).finalizers ?? []).filter(
    each => each !== 'finalizers.fluxcd.io',
  )
  const ready = condition(owner, 'Ready')
  const seconds = Math.max(0, Math.round((now - Date.parse(deletionTimestamp)) / 1000))
  const controller = obstaclesTo(['helm-controller'], facts.index.snapshot)
  const failed = ready?.status === 'False' && /^Uninstall/.test(ready.reason ?? '')
  return [
    ...controller,
    ...(failed
      ? [
          {
            subject,
            cause: `Helm cannot uninstall it: ${(ready.message ?? '').split('\n')[0]}`,
            fix: `remove the cause, ${again}; Flux goes on trying`,
            grace: 60,
          },
        ]
      : []),
    finalizers.length > 0
      ? {
          subject,
          cause: `is held by the finalizer ${finalizers.join(', ')}, which is not Flux's`,
          fix: `find out whose it is; to take it away: kubectl -n ${namespace} edit helmreleases.helm.toolkit.fluxcd.io ${name}, ${again}`,
          grace: 30,
        }
      : {
          subject,
          cause: `has been terminating for ${seconds} s, and helm-controller has not finished with it (its finalizer finalizers.fluxcd.io remains)`,
          fix: `read its log: npx tsx scripts/logs.ts helm-controller; see whether it runs: kubectl -n flux-system get pods -l app=helm-controller, ${again}`,
          grace: 300,
        },
  ]
}
