/**
 * Tries whether a backup can be restored: into a namespace of its own that reaches nothing outside, compared with the
 * proof of the backup, timed, and removed again whatever happens. The running applications are not touched.
 *
 * Usage: npx tsx scripts/restore-drill.ts [BACKUP] [--app APP]
 * Needs: Velero with its bucket, a proved backup, and space on the server for a second copy of the data.
 * Safe to run again: what a killed drill has left is removed first.
 */

import { checkApp, DATA_NAMES } from '../lib/platform/apps.ts'
import { durationText, timeoutOf } from '../lib/script/duration.ts'
import { throwAll } from '../lib/script/errors.ts'
import { script } from '../lib/script/script.ts'

await script({
  name: 'restore-drill',
  group: 'back up',
  summary: 'Restore a backup into a namespace of its own, tell how long it took, and remove it again.',
  args: { name: 'BACKUP', help: 'its name (default: the newest backup that is proved)', max: 1 },
  flags: {
    app: {
      type: 'string',
      value: 'APP',
      help: `only ${DATA_NAMES.join(', ')} (default: all installed applications)`,
    },
    schedule: {
      type: 'string',
      value: 'CRON',
      help: "let the cluster try it by itself, as '30 4 1 * *'; or `off`",
    },
    timeout: { type: 'string', value: 'TIME', help: 'how long to wait for each application (default 5h)' },
  },
  examples: [
    ['npx tsx scripts/restore-drill.ts', 'Every application, from the newest proved backup'],
    ['npx tsx scripts/restore-drill.ts --app wekan', 'One application'],
    ["npx tsx scripts/restore-drill.ts --schedule '30 4 1 * *'", 'Each month, by a job in the cluster'],
    ['npx tsx scripts/restore-drill.ts --dry-run', 'What would be restored, and how much'],
  ],
  cluster: 'existing',
  changes: true,
  async run(run) {
    const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
    const { installedConfig, storageConfig } = await import('../lib/platform/config.ts')
    const { lockCluster } = await import('../lib/platform/lock.ts')
    const { clusterChecks } = await import('../lib/preflight/preflight.ts')
    const { backupChecks, countingOf, passwordCheck } = await import('../lib/backup/back-up.ts')
    const { readBackupObjects } = await import('../lib/backup/proof.ts')
    const { heldLines } = await import('../lib/backup/restoring.ts')
    const drills = await import('./restore-drill/drill.ts')
    const { app } = run.flags
    if (app !== undefined) checkApp(app, DATA_NAMES)
    const deadline = timeoutOf(run.flags.timeout, 300)
    // What was scheduled can be ended without a bucket, too.
    const config = (run.flags.schedule === 'off' ? installedConfig : storageConfig)(run.cluster)
    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    if (run.flags.schedule !== undefined)
      return (await import('./restore-drill/schedule.ts')).scheduleDrill(run, kubectl, run.flags.schedule)
    await run.preflight([
      ...(await clusterChecks(kubectl, [
        ['create', 'velero.io', 'restores', 'velero'],
        ['create', '', 'namespaces'],
        ['delete', '', 'namespaces'],
        ['create', '', 'pods/exec'],
      ])),
      ...backupChecks(kubectl, run, config),
      passwordCheck(kubectl, run, config),
    ])
    const { backup, proof } = await drills.chooseProved(
      kubectl,
      config,
      { name: run.args[0], app },
      run.signal,
    )
    const objects = await readBackupObjects(kubectl)
    const wanted = await drills.subjects(kubectl, backup, proof, objects, app)
    const now = Date.now() + kubectl.client.clockOffset
    const plan = [
      ...wanted.flatMap(({ parts, held }) =>
        heldLines(held, `restore into ${drills.scratchName(parts.app)}:`),
      ),
      'start the databases, load their dumps, compare rows, files and checksums with the proof of the backup',
      'remove the namespaces again',
      `the newest data in it is ${durationText(Math.max(0, now - Date.parse(proof.backup.startedAt ?? '')))} old`,
    ]
    if (!(await run.agree(plan, `Try to restore ${backup}?`))) return
    await lockCluster(kubectl, run)
    const counting = await countingOf(run, kubectl)
    const { results, problems } = await drills.drillAll(kubectl, wanted, { backup, proof }, counting, {
      deadline,
      log: run.log,
      signal: run.signal,
      step: (app, work) => run.step(`Restore ${app}`, `velero restore create --from-backup ${backup}`, work),
    })
    await run.step('Verdict', undefined, async () => {
      const document = drills.verdictOf(run.cluster.name, { backup, proof, results, now })
      run.result = { ...document, file: drills.writeVerdict(run.cluster, document) }
      if (app === undefined) await drills.markDrill(kubectl, document)
      return `a restore takes ${durationText(document.rto)}, and the data would be ${durationText(document.rpo)} old`
    })
    throwAll(problems)
    run.next(['npx tsx scripts/status.ts   # shows the age of the last drill'])
  },
})
