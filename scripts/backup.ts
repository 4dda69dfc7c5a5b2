/**
 * Backs up the cluster, or one application, with Velero, and proves it: every volume is in the bucket, or is named
 * with the reason. Velero's own `Completed` is not believed. Also lists, verifies and deletes backups.
 *
 * Usage: npx tsx scripts/backup.ts [--app APP | --list | --verify NAME | --delete NAME]
 * Needs: a cluster with Velero (install-app velero), and its bucket.
 * Safe to run again: an unfinished backup is continued; nothing that exists is overwritten.
 */

import { ageFlags } from '../lib/age/flags.ts'
import { checkApp, DATA_NAMES } from '../lib/platform/apps.ts'
import { timeoutOf } from '../lib/script/duration.ts'
import { UsageError } from '../lib/script/errors.ts'
import { script } from '../lib/script/script.ts'
import { table } from '../lib/script/table.ts'
import { sshFlags } from '../lib/ssh/flags.ts'

await script({
  name: 'backup',
  group: 'back up',
  summary: 'Back up the cluster with Velero and prove that every volume is in the backup (exit code 1: not).',
  flags: {
    app: { type: 'string', value: 'APP', help: `one application only: ${DATA_NAMES.join(', ')}` },
    list: { type: 'boolean', help: 'list the backups and what each holds, with --app of that one' },
    verify: {
      type: 'string',
      value: 'NAME',
      help: 'prove this backup, or `latest`: the newest of the nightly ones',
    },
    delete: { type: 'string', value: 'NAME', help: 'delete this backup from the cluster and the bucket' },
    confirm: { type: 'string', value: 'NAME', help: 'with --delete: the name, instead of typing it' },
    keep: { type: 'string', value: 'TIME', help: 'how long to keep the backup (default 720h, 30 days)' },
    recipient: ageFlags.recipient,
    ...sshFlags,
    'skip-maintenance': { type: 'boolean', help: 'do not put Nextcloud into maintenance mode meanwhile' },
    timeout: { type: 'string', value: 'TIME', help: 'how long to wait for Velero (default 5h)' },
  },
  examples: [
    ['npx tsx scripts/backup.ts', 'Everything, with a proof in the journal'],
    ['npx tsx scripts/backup.ts --app nextcloud', 'One application'],
    ['npx tsx scripts/backup.ts --list', 'Which backups there are, and until when'],
    ['npx tsx scripts/backup.ts --verify latest', 'Prove the newest nightly backup; good for cron'],
  ],
  cluster: 'existing',
  changes: true,
  async run(run) {
    const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
    const { storageConfig } = await import('../lib/platform/config.ts')
    const { lockCluster } = await import('../lib/platform/lock.ts')
    const { clusterChecks } = await import('../lib/preflight/preflight.ts')
    const { backUp, backupChecks, foresee, partsOfApp, passwordCheck, proveStep, unfinishedBackup } =
      await import('../lib/backup/back-up.ts')
    const { claimLines, readBackupObjects } = await import('../lib/backup/proof.ts')
    const { deleteBackup, keptFor, listBackups, backupNamed, unsaved } = await import('./backup/backups.ts')
    const { recipientsOfRun, saveSecrets } = await import('./backup/secrets.ts')
    const { app, list, verify, delete: doomed, confirm, keep } = run.flags
    if ([list, verify !== undefined, doomed !== undefined].filter(Boolean).length > 1)
      throw new UsageError('--list, --verify and --delete are different things to do', 'give one of them')
    if (app !== undefined) checkApp(app, DATA_NAMES)
    if (confirm !== undefined && doomed === undefined)
      throw new UsageError('--confirm belongs to --delete', 'add --delete NAME')
    const deadline = timeoutOf(run.flags.timeout, 300)
    const ttl = keptFor(keep)
    const config = storageConfig(run.cluster)
    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    await kubectl.serverVersion()
    const objects = await readBackupObjects(kubectl)
    const now = Date.now() + kubectl.client.clockOffset

    const parts = app === undefined ? undefined : await partsOfApp(kubectl, app, objects)
    if (list) {
      const backups = await listBackups(kubectl, objects, now, parts)
      run.result = { backups }
      return run.log.print(
        table([['BACKUP', 'PHASE', 'AGE', 'VOLUMES', 'KEPT UNTIL'], ...backups.map(b => b.row)]),
      )
    }
    if (verify !== undefined) {
      const name = await backupNamed(kubectl, verify, now)
      if (run.flags['dry-run'] && !(await run.agree([`prove backup ${name}`], ''))) return
      const { proof, file } = await proveStep(run, kubectl, name, { config, parts })
      run.result = { proof, file }
      for (const line of claimLines(proof.backup)) run.log.printLine(line)
      return run.log.print(file)
    }
    if (doomed !== undefined) {
      const plan = [`delete backup ${doomed} from the cluster and from the bucket`]
      if (!(await run.agreeByName(plan, 'Its data cannot be had back.', doomed, confirm))) return
      await lockCluster(kubectl, run)
      return run.step('Delete', undefined, () => deleteBackup(kubectl, doomed, run.signal))
    }

    await run.preflight([
      ...(await clusterChecks(kubectl, [
        ['create', 'velero.io', 'backups', 'velero'],
        ['create', '', 'configmaps', 'velero'],
      ])),
      ...backupChecks(kubectl, run, config),
      passwordCheck(kubectl, run, config),
    ])
    const to = await recipientsOfRun(run)
    const unfinished = await unfinishedBackup(kubectl, 'backup', parts)
    const foreseen = foresee(objects, now, parts)
    const plan = [
      unfinished
        ? `continue the unfinished backup ${unfinished.metadata.name}`
        : `make a backup, kept for ${ttl}`,
      ...claimLines(foreseen),
      'prove it, and keep the proof in the journal and in the bucket',
      ...(to ? ["write the generated secrets and k3s' token beside it, encrypted"] : []),
    ]
    if (!(await run.agree(plan, `Back up ${app ?? run.cluster.name}?`))) return
    await lockCluster(kubectl, run)
    const skipMaintenance = run.flags['skip-maintenance']
    const request = { config, madeBy: 'backup', ttl, deadline, parts, skipMaintenance }
    const { proof, file } = await backUp(run, kubectl, request)
    if (to)
      await run.step("Save secrets and k3s' token", 'kubectl get secrets -o yaml | age -r RECIPIENT', () =>
        saveSecrets(run, kubectl, { backup: proof.backup.name, config, to }),
      )
    run.result = { proof, file }
    for (const line of claimLines(proof.backup)) run.log.printLine(line)
    run.log.print(file)
    run.next([
      ...unsaved(run.cluster),
      ...(app ? [] : [`npx tsx scripts/restore-drill.ts ${proof.backup.name}   # try to restore it`]),
      'npx tsx scripts/backup.ts --list',
    ])
  },
})
