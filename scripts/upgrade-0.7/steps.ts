import { keepCopies, SecretCopies } from '../../lib/platform/secret-copies.ts'
import { loadCatalogue } from '../../lib/platform/secrets.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { ExpectedError, Findings, throwAll } from '../../lib/script/errors.ts'
import type { Run } from '../../lib/script/run.ts'
import type { Backup } from '../../lib/secret-backup/files.ts'
import { checkStillTrue } from './backup.ts'
import { switchBranch, waitUntilGone } from './branch.ts'
import { gatherUpgradeFacts } from './facts.ts'
import { type ReconcileOptions, reconcilePlatform } from './reconcile.ts'
import { diffsOf, fillOauthKeys, lostOf, putBack } from './secrets.ts'
import { stateFile, type UpgradeState, writeUpgradeState } from './state.ts'
import { foreign, remainingProblems } from './upgrade.ts'
import { carryUsers } from './users/step.ts'

/** What the steps need of a run. */
type UpgradeRun = Pick<Run, 'step' | 'log' | 'result'> & { cluster: Cluster }

/**
 * The steps to 0.7, from wherever the cluster stands. Ends with `Findings` when everything is ready but for
 * values that are not those of the backup: which of them are right is not ours to say.
 */
export async function goForward(
  run: UpgradeRun,
  options: ReconcileOptions,
  state: UpgradeState,
  backup: Backup,
): Promise<void> {
  const { kubectl, kinds } = options
  const { target } = state
  const look = () => gatherUpgradeFacts(kubectl, kinds)
  await run.step(
    `Branch ${target}`,
    `kubectl -n flux-system patch gitrepository openappstack --type merge -p '{"spec":{"ref":{"branch":"${target}"}}}'`,
    async () => {
      await checkStillTrue(kubectl, await look(), backup, stateFile(run.cluster))
      return switchBranch(options, target)
    },
  )
  await run.step('Wait until oas-secrets is gone', 'flux get helmreleases -A --watch', async () => {
    await waitUntilGone(options, target)
    return undefined
  })
  await run.step('Put the secrets back', `kubectl apply --server-side -f ${backup.folder}`, async () => {
    const written = await putBack(kubectl, backup)
    const added = await fillOauthKeys(kubectl)
    if (written + added.length === 0) return 'unchanged'
    return [`${written} secrets`, ...added.map(key => `${key} newly generated`)].join(', ')
  })
  let issues: string[] = []
  await run.step(
    'Reconcile everything',
    'flux reconcile kustomization NAME   # one after the other',
    async () => {
      issues = await reconcilePlatform(options, () => fillOauthKeys(kubectl))
      return issues.join('; ') || undefined
    },
  )
  const users = await carryUsers(run, options, state)
  const verify = `npx tsx scripts/backup-secrets.ts --verify ${backup.folder}`
  await run.step('Compare every value with the backup', verify, async () => {
    const facts = await look()
    throwAll(
      remainingProblems(facts, 'absent').map(what => new ExpectedError(what, 'run the same command again')),
    )
    const lost = lostOf(await diffsOf(kubectl, backup))
    run.result = { backup: backup.folder, issues, lost, foreign: foreign(facts), users }
    for (const { secret, problem } of lost)
      run.log.warn(
        `Secret ${secret} ${problem}; to see it: npx tsx scripts/restore-secrets.ts --dry-run ${backup.folder}`,
      )
    for (const release of foreign(facts))
      run.log.warn(`HelmRelease ${release} is not ready; it does not belong to this platform`)
    if (lost.length > 0) throw new Findings()
    // What install-core would put back for a lost Secret must not be older than this.
    await keepCopies(kubectl, await loadCatalogue(), new SecretCopies(run.cluster.folder))
    // What a way back that was broken off has kept is no longer what the cluster has.
    writeUpgradeState(run.cluster, { ...state, added: undefined, finishedAt: new Date().toISOString() })
    return `${backup.secrets.length} secrets, byte by byte`
  })
}
