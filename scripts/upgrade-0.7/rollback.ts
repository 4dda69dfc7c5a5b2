import { relative, resolve } from 'node:path'
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { EXIT, ExpectedError, throwAll } from '../../lib/script/errors.ts'
import type { Run } from '../../lib/script/run.ts'
import { readSecrets } from '../../lib/secret-backup/cluster.ts'
import { type Backup, readBackup } from '../../lib/secret-backup/files.ts'
import { NO_KEYS } from '../../lib/secret-backup/keys.ts'
import { keepAside } from '../../lib/secret-backup/restore.ts'
import { secretNameOf, secretPlaceOf } from '../../lib/secret-backup/secret-backup.ts'
import { switchBranch, waitUntilBack, waitWhileDying } from './branch.ts'
import { gatherUpgradeFacts, type UpgradeFacts } from './facts.ts'
import { type ReconcileOptions, reconcilePlatform } from './reconcile.ts'
import { diffsOf, fillOauthKeys, giveToHelm, grownSince, lostOf, putBack, withAdded } from './secrets.ts'
import { closeState, type Ownership, type UpgradeState, writeUpgradeState } from './state.ts'
import { remainingProblems } from './upgrade.ts'

/** What a rollback changes, in lines. Pure. */
export function rollbackPlan(facts: UpgradeFacts, state: Returnable, backup: Backup): string[] {
  return [
    `the secrets as in ${backup.folder}, of ${backup.manifest.createdAt}: other values in the cluster are backed up and replaced; later additions stay`,
    `${state.owned.length} of them owned by Helm again`,
    `GitRepository flux-system/openappstack: branch ${facts.git?.spec?.ref?.branch} → ${state.before}`,
    'Flux brings HelmRelease oas-secrets back',
    'compare every value with the backup',
  ]
}

/** A state from which there is a way back. */
export type Returnable = UpgradeState & { before: string }

/** The state, when there is a way back from it that is known here. Throws when there is none. Pure. */
export function returnable(state: UpgradeState | undefined): Returnable {
  if (state?.before) return { ...state, before: state.before }
  throw new ExpectedError(
    state
      ? 'this upgrade was started by hand: the state before it is not known'
      : 'no upgrade of this cluster was started here: there is nothing to roll back',
    'by hand: runbooks/upgrade-0.7.md, "By hand"',
    { exitCode: EXIT.refused },
  )
}

/**
 * What the way back must not lose beyond the backup: 0.6's chart may replace it, and what was installed on 0.7 uses
 * it. It is backed up when the rollback starts, and remembered: later it may be gone. Returns the Secrets of the
 * backup with it, and which of all of them Helm has to own so that the chart takes them over.
 */
async function withWhatCameSince(
  kubectl: Kubectl,
  cluster: Cluster,
  state: Returnable,
  backup: Backup,
): Promise<{ secrets: KubeObject[]; owned: Ownership[] }> {
  let folder = state.added
  if (folder === undefined) {
    const places = [...backup.manifest.secrets, ...backup.manifest.absent]
    const found = await readSecrets(
      kubectl,
      places.map(({ namespace }) => namespace),
    )
    const grown = grownSince(backup, found)
    if (grown.length > 0) folder = await keepAside(kubectl, cluster, grown, 'added')
    if (folder !== undefined)
      writeUpgradeState(cluster, { ...state, added: relative(cluster.folder, folder) })
  }
  const added =
    folder === undefined ? [] : (await readBackup(resolve(cluster.folder, folder), NO_KEYS)).secrets
  const secrets = withAdded(backup.secrets, added)
  const [owner] = state.owned
  const isNew = (secret: KubeObject) => !backup.secrets.some(each => sameName(each, secret))
  const more = owner ? added.filter(isNew).map(secret => ({ ...owner, ...secretNameOf(secret) })) : []
  return { secrets, owned: [...state.owned, ...more] }
}

const sameName = (one: KubeObject, other: KubeObject) =>
  secretPlaceOf(secretNameOf(one)) === secretPlaceOf(secretNameOf(other))

/**
 * Back to 0.6. The secrets are given to Helm before the branch changes, so that the chart finds them and takes
 * them over. A chart that makes new values all the same overwrites them, and with a release that was not removed
 * yet they come with it: so they are compared, and put back, once it is there.
 */
export async function rollBack(
  run: Pick<Run, 'step' | 'log'> & { cluster: Cluster },
  options: ReconcileOptions,
  state: Returnable,
  backup: Backup,
): Promise<void> {
  const { kubectl, kinds } = options
  const { before } = state
  const { secrets, owned } = await withWhatCameSince(kubectl, run.cluster, state, backup)
  const restore = async () => {
    const written = await putBack(kubectl, { secrets }, run.cluster)
    const given = await giveToHelm(kubectl, owned)
    return written + given === 0 ? 'unchanged' : `${written} written, ${given} given to Helm`
  }
  await run.step(
    'Secrets as before, for Helm',
    `kubectl apply --server-side -f ${backup.folder}`,
    async () => {
      await waitWhileDying(options, before)
      const { owner } = await gatherUpgradeFacts(kubectl, kinds)
      return owner ? 'unchanged' : restore()
    },
  )
  await run.step(
    `Branch ${before}`,
    `kubectl -n flux-system patch gitrepository openappstack --type merge -p '{"spec":{"ref":{"branch":"${before}"}}}'`,
    () => switchBranch(options, before),
  )
  await run.step('Wait until oas-secrets is back', 'flux get helmreleases -A --watch', async () => {
    await waitUntilBack(options, before)
    return undefined
  })
  await run.step('Secrets as before', `kubectl apply --server-side -f ${backup.folder}`, restore)
  await run.step(
    'Reconcile everything',
    'flux reconcile kustomization NAME   # one after the other',
    async () => {
      await reconcilePlatform(options, () => fillOauthKeys(kubectl))
      return undefined
    },
  )
  await run.step('Compare with the backup', undefined, async () => {
    const facts = await gatherUpgradeFacts(kubectl, kinds)
    const deviations = lostOf(await diffsOf(kubectl, { secrets }))
    throwAll([
      ...remainingProblems(facts, 'ready').map(what => new ExpectedError(what, 'run the same command again')),
      ...deviations.map(
        ({ secret, problem }) =>
          new ExpectedError(`Secret ${secret} ${problem}`, 'run the same command again: it puts it back'),
      ),
    ])
    closeState(run.cluster, new Date())
    return `${secrets.length} secrets, byte by byte`
  })
}
