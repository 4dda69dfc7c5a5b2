/**
 * Upgrades a platform of 0.6 to 0.7 and loses nothing: backs up the secrets that the upgrade removes, changes the
 * branch, waits until they are gone, puts them back, reconciles everything, and carries the users over. It replaces
 * the docs' "Upgrading to 0.7.0" with its two scripts and its waiting.
 *
 * Usage: npx tsx scripts/upgrade-0.7.ts [--branch v0.7] [--rollback]
 * Needs: a cluster folder with the administrator's kubeconfig, and a cluster with Flux that runs 0.6.
 * Safe to run again: every step checks the cluster first; the first backup is never replaced.
 */
import { resolve } from 'node:path'
import { ageFlags } from '../lib/age/flags.ts'
import { Kubectl } from '../lib/kubectl/kubectl.ts'
import { timeoutOf } from '../lib/script/duration.ts'
import { EXIT, ExpectedError } from '../lib/script/errors.ts'
import type { FlagSpecs } from '../lib/script/flags.ts'
import { script } from '../lib/script/script.ts'

const flags = {
  branch: { type: 'string', value: 'NAME', help: 'the branch of 0.7 (default v0.7)' },
  rollback: { type: 'boolean', help: 'go back to the branch and the secrets that were before' },
  backup: {
    type: 'string',
    value: 'DIR',
    help: 'continue an upgrade that was started by hand, with this backup of backup-secrets',
  },
  'skip-users': { type: 'boolean', help: 'carry over nobody of the user backend of 0.6' },
  'users-from': { type: 'string', value: 'NAMESPACE/POD/CONTAINER', help: 'where its PostgreSQL runs' },
  map: {
    type: 'string',
    value: 'FIELD=COLUMN',
    multiple: true,
    help: 'correct what the plan says of its tables, for example password=pw_hash',
  },
  'skip-proof': { type: 'boolean', help: 'upgrade without a proved backup of the volumes' },
  identity: ageFlags.identity,
  timeout: { type: 'string', value: 'TIME', help: 'how long to wait in each step (default 60m)' },
} satisfies FlagSpecs

await script({
  name: 'upgrade-0.7',
  group: 'upgrade',
  summary: 'Upgrade a platform of 0.6 to 0.7 without losing a secret; or go back.',
  flags,
  examples: [
    ['npx tsx scripts/upgrade-0.7.ts --dry-run', 'What would be done'],
    ['npx tsx scripts/upgrade-0.7.ts', 'Upgrade; run it again to go on after any interruption'],
    ['npx tsx scripts/upgrade-0.7.ts --rollback', 'Back to 0.6, with the secrets as they were'],
  ],
  cluster: 'existing',
  changes: true,
  async run(run) {
    const deadline = timeoutOf(run.flags.timeout, 60)
    const upgrade = await import('./upgrade-0.7/parts.ts')

    let state = upgrade.readUpgradeState(run.cluster)
    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    const kinds = await upgrade.servedKinds(kubectl)
    run.log.ok(`Flux runs: ${upgrade.kindsText(kinds)}`)
    const options = { kubectl, kinds, deadline, log: run.log, signal: run.signal }
    const facts = await upgrade.gatherUpgradeFacts(kubectl, kinds)
    const from = upgrade.branchOf(facts.git)
    const opened = async (folder: string) => {
      const backup = await upgrade.readBackup(folder, await upgrade.keysFor(run))
      if (backup.manifest.cluster === run.cluster.name) return backup
      throw new ExpectedError(
        `${folder} is a backup of ${backup.manifest.cluster}, not of ${run.cluster.name}`,
        'give the one of this cluster: they are in clusters/NAME/secrets-backup/',
        { exitCode: EXIT.refused },
      )
    }
    const checks = (branch: string) => [
      () => upgrade.checkRights(kubectl, upgrade.RIGHTS),
      () => upgrade.checkClock(kubectl),
      () => upgrade.checkDisk(run.cluster.folder),
      () => upgrade.checkBranch(facts.git!, branch, run),
    ]

    if (run.flags.rollback) {
      const begun = upgrade.returnable(state)
      const backup = await opened(upgrade.backupOf(run.cluster, begun))
      await run.preflight(checks(begun.before))
      const plan = upgrade.rollbackPlan(facts, begun, backup)
      if (!(await run.agree(plan, `Roll ${run.cluster.name} back to ${begun.before}?`))) return
      await upgrade.lockCluster(kubectl, run)
      await upgrade.rollBack(run, options, begun, backup)
      run.log.ok(`${run.cluster.name} is back at ${begun.before}, with the secrets as they were`)
      return run.next(['npx tsx scripts/status.ts   # everything on one screen'])
    }

    const target = run.flags.branch ?? 'v0.7'
    const given = run.flags.backup === undefined ? undefined : resolve(run.flags.backup)
    const begins = upgrade.beginning(facts, state, { target, backup: given })
    if (state?.finishedAt !== undefined) {
      upgrade.checkFinished(facts)
      return run.log.ok(`the upgrade was finished at ${state.finishedAt}; nothing was changed.`)
    }
    const first = [() => upgrade.checkHealth(facts), () => upgrade.checkData(kubectl, run)]
    await run.preflight([...checks(target), ...(begins === 'new' ? first : [])])
    const old = begins === 'new' ? undefined : await opened(given ?? upgrade.backupOf(run.cluster, state!))
    const subject = old ? undefined : await upgrade.readSubject(kubectl, facts.owner!)
    const about = old ? { secrets: old.secrets, absent: old.manifest.absent } : subject!
    const people = await upgrade.planUsers(run, kubectl, state, from !== target)
    const planned = (folder: string) =>
      upgrade.upgradePlan(facts, { from, target, folder, ...about, users: people.lines })
    const question = `Upgrade ${run.cluster.name} to ${target}?`
    if (run.flags['dry-run'])
      return void (await run.agree(planned(old?.folder ?? 'created first, in secrets-backup/'), question))

    // Before the backup: two runs must not both take theirs for the first.
    await upgrade.lockCluster(kubectl, run)
    const startedAt = new Date().toISOString()
    let folder = old?.folder
    if (subject)
      await run.step('Back up the secrets and prove it', 'npx tsx scripts/backup-secrets.ts', async () => {
        folder = await upgrade.backUpSecrets(kubectl, run.cluster, subject, facts.owner!)
        const { owned } = subject
        state = upgrade.writeUpgradeState(run.cluster, {
          target,
          before: from,
          backup: folder,
          owned,
          startedAt,
        })
        return `${subject.secrets.length} secrets in ${folder}`
      })
    const backup = await opened(folder!)
    if (!(await run.agree(planned(backup.folder), question))) return
    state ??= upgrade.writeUpgradeState(run.cluster, { target, backup: backup.folder, owned: [], startedAt })
    state = await upgrade.keepOldUsers(run, state, people, backup.folder)
    await upgrade.goForward(run, options, state, backup)
    run.log.ok(`${run.cluster.name} is at ${target}, everything is ready, and every secret is as it was`)
    run.next([
      `keep ${backup.folder} until you are sure`,
      'npx tsx scripts/upgrade-0.7.ts --rollback   # back to what was before',
      'npx tsx scripts/install-core.ts             # gives mail and backups their accounts',
      'npx tsx scripts/status.ts                   # everything on one screen',
    ])
  },
})
