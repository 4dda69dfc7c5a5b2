import { failures, handled, reconcile, standing } from '../../lib/flux/flux.ts'
import { refOf } from '../../lib/kubectl/kubectl.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import { blockersOf, isFetched } from './blockers.ts'
import { applierOf, applies, gatherUpgradeFacts, OAS_SECRETS, type UpgradeFacts } from './facts.ts'
import { type ReconcileOptions, watch } from './reconcile.ts'

/** Seconds that whatever holds the release may last at least: Flux fetches, builds and prunes first. */
const GRACE = 15

/** Points the GitRepository to a branch and has Flux fetch it now. Returns 'unchanged' when it followed that branch. */
export async function switchBranch(options: ReconcileOptions, branch: string): Promise<string> {
  const { git } = await gatherUpgradeFacts(options.kubectl, options.kinds)
  if (!git) throw new ExpectedError('the GitRepository does not exist any more', 'run the same command again')
  const before = git.spec?.ref?.branch
  if (before !== branch)
    await options.kubectl.patch(refOf(git), {
      metadata: { resourceVersion: git.metadata.resourceVersion },
      spec: { ref: { branch } },
    })
  await reconcile(options.kubectl, refOf(git))
  return before === branch ? 'unchanged' : `${before} → ${branch}`
}

/** Requests once that the Kustomization reconciles which has to remove, or to bring, the release. */
async function nudge({ kubectl }: ReconcileOptions, facts: UpgradeFacts, asked: Set<string>): Promise<void> {
  const { git, owner } = facts
  const revision = git?.status?.artifact?.revision
  const applier = owner && applierOf(owner)
  const names = applier ? [applier.name] : facts.scope
  // Those of the same names elsewhere are somebody else's.
  for (const kustomization of facts.index.within('Kustomization', applier?.namespace ?? 'flux-system')) {
    const { name } = kustomization.metadata
    if (!names.includes(name) || asked.has(`${name} ${revision}`) || !handled(kustomization)) continue
    if (kustomization.status?.lastAttemptedRevision === revision && standing(kustomization).state === 'ready')
      continue
    asked.add(`${name} ${revision}`)
    await reconcile(kubectl, refOf(kustomization))
  }
}

/**
 * Waits until Flux has fetched the branch and the HelmRelease of the secrets is gone. What holds it is told as
 * soon as it has lasted longer than it may, and at the deadline.
 */
export async function waitUntilGone(options: ReconcileOptions, branch: string): Promise<void> {
  const asked = new Set<string>()
  await watch(options, GRACE, async facts => {
    const fetched = isFetched(facts.git, branch)
    if (!facts.owner && fetched) return undefined
    if (fetched && !facts.owner?.metadata.deletionTimestamp) await nudge(options, facts, asked)
    const causes = blockersOf(facts, branch, Date.now() + options.kubectl.client.clockOffset)
    return { open: fetched ? `${OAS_SECRETS} still exists` : `Flux has not fetched ${branch} yet`, causes }
  })
}

/** Waits until a release that Flux is removing is gone: its uninstallation would take new secrets along. */
export async function waitWhileDying(options: ReconcileOptions, branch: string): Promise<void> {
  await watch(options, GRACE, async facts => {
    if (!facts.owner?.metadata.deletionTimestamp) return undefined
    const causes = blockersOf(facts, branch, Date.now() + options.kubectl.client.clockOffset)
    return { open: `${OAS_SECRETS} is being deleted`, causes }
  })
}

/** Waits until Flux has brought the HelmRelease of the secrets back from this branch, and Helm has installed it. */
export async function waitUntilBack(options: ReconcileOptions, branch: string): Promise<void> {
  const asked = new Set<string>()
  let tries = 0
  await watch(options, GRACE, async facts => {
    const { owner, git } = facts
    const fetched = isFetched(git, branch)
    if (fetched) await nudge(options, facts, asked)
    const revision = git?.status?.artifact?.revision
    const applied = facts.index
      .all('Kustomization')
      .some(object => owner && applies(object, owner) && object.status?.lastAttemptedRevision === revision)
    const ready = owner && !owner.metadata.deletionTimestamp && standing(owner).state === 'ready'
    if (fetched && applied && ready) return undefined
    if (owner && applied && handled(owner) && failures(owner) > 0 && tries < 3) {
      tries++
      await reconcile(options.kubectl, refOf(owner), { reset: true })
    }
    const causes = owner?.metadata.deletionTimestamp
      ? blockersOf(facts, branch, Date.now() + options.kubectl.client.clockOffset)
      : []
    const what = owner ? standing(owner).message.split('\n')[0]! : 'does not exist yet'
    return { open: fetched ? `${OAS_SECRETS}: ${what}` : `Flux has not fetched ${branch} yet`, causes }
  })
}
