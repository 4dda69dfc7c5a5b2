/**
 * Restores the volumes of an application from a backup of Velero: in place, after a backup of the present state, or
 * with --into into a namespace beside the running one. It replaces "Restore instructions will follow" of the docs.
 *
 * Usage: npx tsx scripts/restore.ts BACKUP --app APP [--into NAMESPACE | --abandon]
 * Needs: Velero with its bucket, and the application installed (on a new server: install-app first).
 * Safe to run again: an unfinished restore is continued where it was, or given up by --abandon; nothing is removed
 * before it is backed up.
 */

import type { Proof } from '../lib/backup/stored-proof.ts'
import { checkApp, DATA_NAMES } from '../lib/platform/apps.ts'
import { timeoutOf } from '../lib/script/duration.ts'
import { ExpectedError, throwAll } from '../lib/script/errors.ts'
import { script } from '../lib/script/script.ts'

await script({
  name: 'restore',
  group: 'back up',
  summary: 'Restore the volumes of an application from a backup, in place or beside the running one.',
  args: { name: 'BACKUP', help: 'its name, as `backup --list` has it', min: 1, max: 1 },
  flags: {
    app: {
      type: 'string',
      value: 'APP',
      help: `the application: ${DATA_NAMES.join(', ')}`,
    },
    into: {
      type: 'string',
      value: 'NAMESPACE',
      help: 'restore into this new namespace; the running one stays',
    },
    'accept-unproved': { type: 'boolean', help: 'restore a backup that has no proof' },
    'skip-safety': { type: 'boolean', help: 'do not back up the present state first' },
    abandon: { type: 'boolean', help: 'give up the unfinished restore of this backup, which blocks others' },
    confirm: { type: 'string', value: 'APP', help: 'the application, instead of typing it' },
    timeout: { type: 'string', value: 'TIME', help: 'how long each wait may last (default 5h)' },
  },
  examples: [
    ['npx tsx scripts/restore.ts velero-nightly-20260301023000 --app wekan', 'One application, in place'],
    ['npx tsx scripts/restore.ts --dry-run NAME --app wekan', 'What would be replaced'],
    [
      'npx tsx scripts/restore.ts NAME --app nextcloud --into look',
      'Beside it: to fetch a file of last week',
    ],
    ['npx tsx scripts/restore.ts NAME --app wekan --abandon', 'Give up an unfinished restore'],
  ],
  cluster: 'existing',
  changes: true,
  async run(run) {
    const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
    const { storageConfig } = await import('../lib/platform/config.ts')
    const { lockCluster } = await import('../lib/platform/lock.ts')
    const { clusterChecks } = await import('../lib/preflight/preflight.ts')
    const { backUp, backupChecks, countingOf, partsOfApp } = await import('../lib/backup/back-up.ts')
    const { releaseVersions, readBackupObjects } = await import('../lib/backup/proof.ts')
    const { checkSpace, dataOf, otherVersions, restorePlan, restorable } = await import('./restore/plan.ts')
    const progress = await import('./restore/state.ts')
    const steps = await import('./restore/steps.ts')
    const check = await import('./restore/check.ts')
    const { startWriters } = await import('./restore/writers.ts')
    const { restoreInto } = await import('./restore/into.ts')
    const { inquiry, obstaclesOf } = await import('../lib/rollout/obstacles.ts')
    const { waitForKustomizations } = await import('../lib/rollout/rollout.ts')
    const [backup = ''] = run.args
    const { into, confirm } = run.flags
    const app = checkApp(run.flags.app, DATA_NAMES)
    const deadline = timeoutOf(run.flags.timeout, 300)
    const config = storageConfig(run.cluster)
    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    await kubectl.serverVersion()
    if (run.flags.abandon) return progress.abandonRestore(run, kubectl, { app, backup, confirm })
    // What is restored beside the application has to do with no unfinished restore of it.
    const unfinished = into === undefined ? await progress.readRestoreState(kubectl) : undefined
    const state = progress.restoreToDo(unfinished, { app, backup, flags: run.flags })
    let proof: Proof | undefined
    await run.preflight([
      ...(await clusterChecks(kubectl, [
        ['create', 'velero.io', 'restores', 'velero'],
        ['delete', '', 'persistentvolumeclaims'],
        ['create', '', 'pods/exec'],
        ['patch', 'apps', 'deployments'],
      ])),
      ...backupChecks(kubectl, run, config),
      async () => {
        proof = await restorable(kubectl, config, state, run.signal)
      },
    ])
    const objects = await readBackupObjects(kubectl)
    const parts = await partsOfApp(kubectl, app, objects)
    const now = Date.now() + kubectl.client.clockOffset
    const { held, lacking, age } = await dataOf(kubectl, { app, backup, parts, objects, now })
    const others = otherVersions(parts, proof?.versions ?? {}, await releaseVersions(kubectl))
    for (const line of [...lacking, ...others]) run.log.warn(line)
    if (into !== undefined) return restoreInto(run, kubectl, { backup, parts, held, into, deadline })
    await checkSpace(kubectl, held, state.restore)

    const replaces = `This replaces the data of ${app}.`
    if (!(await run.agreeByName(restorePlan(state, held, age), replaces, app, confirm))) return
    await lockCluster(kubectl, run)
    const request = { config, madeBy: 'restore', ttl: '720h', deadline, parts }
    state.safety ??= (await backUp(run, kubectl, request)).proof.backup.name
    // Only from here on: until now nothing is touched, and another restore may begin.
    await progress.beginRestore(run, kubectl, state)
    await run.step('Suspend', `flux suspend kustomization ${app}`, () => steps.suspendApp(kubectl, parts))
    const claims = new Set(held.map(({ claim }) => claim))
    const known = inquiry(kubectl, obstaclesOf)
    const wait = { deadline, log: run.log, signal: run.signal, known }
    const counting = await countingOf(run, kubectl)
    // What is loaded is the application's again: people may have written since.
    if (!state.loaded) {
      const remove = () => steps.removeData(kubectl, state, parts, claims, run.signal)
      if (!state.restore) await run.step('Stop it, and remove its claims', undefined, remove)
      const byHand = `velero restore create --from-backup ${backup} --include-namespaces ${parts.namespaces.join(',')}`
      await run.step('Restore', byHand, () => steps.restoreData(kubectl, state, parts, held, wait, remove))
      const load = () => steps.loadOnce(kubectl, counting, { state, parts, claims }, wait)
      await run.step('Load the dumps of its databases', undefined, load)
    }
    let lost: string[] = []
    await run.step('Start what uses them, and compare', undefined, async () => {
      await startWriters(kubectl, parts)
      lost = await check.lossesOf(kubectl, counting, { claims, known: proof?.contents ?? [] }, wait)
      return undefined
    })
    await run.step('Resume', `flux resume kustomization ${app}`, () => steps.resumeApp(kubectl, parts))
    await run.step('Wait until it is ready', 'flux get helmreleases -A --watch', () =>
      waitForKustomizations(kubectl, [app], wait).then(() => undefined),
    )
    await run.step('Check rows, files and HTTP', undefined, async () => {
      const wrong = [...lost, ...(await check.silentServices(kubectl, parts, run.signal))]
      await progress.forgetRestoreState(kubectl) // whatever is wrong: there is nothing left to continue
      const back = progress.wayBack(state)
      throwAll(wrong.map(what => new ExpectedError(`${app} was restored and runs; ${what}`, back)))
      return undefined
    })
    const safety = progress.safetyBackup(state)
    run.result = { ...state, safety, held }
    run.log.ok(`${app} has the data of ${backup}.`)
    run.next([
      `npx tsx scripts/app-debug.ts ${app}   # log in, and check that the data is what you expect`,
      ...(safety ? [`npx tsx scripts/restore.ts ${safety} --app ${app}   # back to the state before`] : []),
      `kubectl get persistentvolumes -l ${steps.REPLACED}=${app}   # the replaced volumes: delete them when all is well`,
    ])
  },
})
