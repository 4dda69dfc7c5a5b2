/**
 * Packs what a remote helper needs into one file: facts, findings, status, logs, transcripts
 * and versions, without the secrets. It replaces sending the output of twenty commands one by one.
 *
 * Usage: npx tsx scripts/bundle.ts [--since AGE] [--skip-logs] [--output FILE]
 * Needs: a cluster folder with a kubeconfig. Changes nothing in the cluster.
 * Safe to run again: each run creates another file.
 */

import { join, resolve } from 'node:path'
import { countText } from '../lib/script/count.ts'
import { duration } from '../lib/script/duration.ts'
import { ExpectedError } from '../lib/script/errors.ts'
import { privateFolder } from '../lib/script/files.ts'
import { script } from '../lib/script/script.ts'
import { sizeText } from '../lib/script/size.ts'
import { fileTime } from '../lib/script/timestamp.ts'

await script({
  name: 'bundle',
  group: 'repair',
  summary: 'Pack facts, findings, logs and transcripts into one file for a helper, without secrets.',
  flags: {
    output: {
      type: 'string',
      value: 'FILE',
      help: 'the new file (default clusters/NAME/bundles/NAME-TIME.tar.gz)',
    },
    since: { type: 'string', value: 'AGE', help: 'logs younger than this: 30m, 1h, 2d (default 1d)' },
    'skip-logs': { type: 'boolean', help: 'leave the logs out', formerly: 'no-logs' },
  },
  examples: [
    ['npx tsx scripts/bundle.ts', 'Everything that a helper needs'],
    ['npx tsx scripts/bundle.ts --since 2h', 'With the logs of the last two hours'],
    ['npx tsx scripts/bundle.ts --skip-logs --output /tmp/facts.tar.gz', 'Without logs'],
  ],
  cluster: 'existing',
  changes: false,
  async run(run) {
    const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
    const { repositoryOf } = await import('../lib/diagnosis/known.ts')
    const { cluster, signal, log, flags } = run
    const age = duration('--since', flags.since ?? '1d')
    const [bundle, { addLogs }, { registerEverySecret }, { indexText }, { checkOutput, writeBundle }] =
      await Promise.all([
        import('./bundle/bundle.ts'),
        import('./bundle/logs.ts'),
        import('./bundle/known-secrets.ts'),
        import('./bundle/index-text.ts'),
        import('./bundle/write.ts'),
      ])
    const madeAt = new Date()
    const name = `${cluster.name}-${fileTime(madeAt)}.tar.gz`
    const file = resolve(flags.output ?? join(privateFolder(join(cluster.folder, 'bundles')), name))
    checkOutput(file)

    // All secrets are known before anything is added.
    const collector = new bundle.Collector()
    // One question first: what cannot be reached is not waited for again by each part.
    const kubectl = await collector.attempt('the cluster', signal, async () => {
      const connected = await Kubectl.connect(cluster.kubeconfig, signal)
      await connected.serverVersion()
      return connected
    })
    const known =
      kubectl &&
      (await collector.attempt('the Secrets', signal, async () => {
        await registerEverySecret(kubectl, cluster.folder)
        return true
      }))
    const config = repositoryOf(run)
    bundle.addFolder(collector, cluster)
    log.progress('reading the cluster')
    const snapshot = kubectl && (await bundle.addFacts(collector, kubectl, config, signal))
    const versions = bundle.versionsOf(snapshot)
    collector.addJson('versions.json', 'of the toolkit, Kubernetes, charts and images', versions)

    if (flags['skip-logs']) collector.leftOut.push({ what: 'logs', why: 'not wanted (--skip-logs)' })
    else if (!kubectl || !known)
      collector.leftOut.push({
        what: 'logs',
        why: 'the Secrets could not be read, so logs might show one',
      })
    else {
      log.progress('reading the logs')
      const now = Date.now() + kubectl.client.clockOffset
      const pods = snapshot?.objects.filter(({ kind }) => kind === 'Pod') ?? []
      await addLogs(collector, kubectl, pods, { since: now - age, now, signal })
    }

    const about = {
      cluster: cluster.name,
      madeAt: madeAt.toISOString(),
      toolkit: versions.toolkit,
      since: new Date(madeAt.getTime() - age).toISOString(),
    }
    collector.add('README.txt', 'this text', indexText(collector, about))
    const size = await writeBundle(file, collector.files, signal)
    const { gaps, leftOut } = collector
    run.result = { file, size, files: collector.files.map(({ path }) => path), gaps, leftOut }
    log.print(`${file} (${collector.files.length} files, ${sizeText(size)})`)
    for (const { what, why } of gaps) log.warn(`${what}: ${why}`)
    run.next([
      `check its content before you send it: tar -xzf ${file} -C /tmp`,
      'README.txt in it lists its content and what is missing',
    ])
    if (gaps.length > 0)
      throw new ExpectedError(
        `the bundle is written, but ${countText(gaps.length, 'thing')} could not be read: ${gaps.map(({ what }) => what).join(', ')}`,
        'send it anyway (its README.txt says why they are missing), or repair them first, then run it again',
      )
  },
})
