/**
 * Makes an encrypted archive of a cluster folder together with k3s's datastore, token and certificates; lists,
 * verifies and restores such archives. It replaces the docs' advice to keep a copy of the cluster directory.
 *
 * Usage: npx tsx scripts/backup-cluster-dir.ts (--recipient AGE1… | --passphrase) [--skip-server] [--output DIR]
 * Needs: a cluster folder; SSH to the server, unless --skip-server; an age recipient or a passphrase.
 * Safe to run again: an archive gets its name only when it is whole and verified; nothing is replaced unasked.
 */

import { chooseCluster } from '../lib/script/cluster.ts'
import { UsageError } from '../lib/script/errors.ts'
import { script } from '../lib/script/script.ts'
import { table } from '../lib/script/table.ts'
import { archiveFlags } from './backup-cluster-dir/flags.ts'

await script({
  name: 'backup-cluster-dir',
  group: 'back up',
  summary: 'Archive a cluster folder with the state of k3s, encrypted; list, verify and restore archives.',
  flags: archiveFlags,
  examples: [
    [
      'npx tsx scripts/backup-cluster-dir.ts --new-identity ~/oas-backup-key.txt --remember',
      'The first time: make a key, archive, and remember to whom to encrypt',
    ],
    ['npx tsx scripts/backup-cluster-dir.ts --yes', 'From then on, also by cron'],
    [
      'npx tsx scripts/backup-cluster-dir.ts --passphrase --skip-server',
      'The folder alone, with a passphrase',
    ],
    ['npx tsx scripts/backup-cluster-dir.ts --list', 'Which archives there are'],
    [
      'npx tsx scripts/backup-cluster-dir.ts --cluster oas.example.org --restore FILE --identity ~/oas-backup-key.txt',
      'Restore the folder',
    ],
    [
      'npx tsx scripts/backup-cluster-dir.ts --restore FILE --server --identity ~/oas-backup-key.txt',
      'Give the server its state back',
    ],
  ],
  cluster: 'new',
  changes: true,
  async run(run) {
    const { sizeText } = await import('../lib/script/size.ts')
    const { list, verify, restore, server, confirm } = run.flags
    if ([list, verify !== undefined, restore !== undefined].filter(Boolean).length > 1)
      throw new UsageError('--list, --verify and --restore are different things to do', 'give one of them')
    if ((server || confirm !== undefined) && (restore === undefined || !server))
      throw new UsageError('--server and --confirm belong to --restore', 'add --restore FILE --server')
    // Only a folder to restore need not exist.
    if (restore === undefined || server)
      run.cluster = await chooseCluster(run.cluster.name, { mayBeNew: false })
    // Here, so that `--help` need not wait for them.
    const { archiveCluster } = await import('./backup-cluster-dir/backup.ts')
    const { backupsOf, lastArchive, listArchives, openArchive, verifyArchive } = await import(
      './backup-cluster-dir/store.ts'
    )
    const { archiveText, restoreToFolder, restoreToServer } = await import('./backup-cluster-dir/restore.ts')
    const { ageKeysOf } = await import('../lib/age/keys.ts')

    if (list) {
      const archives = listArchives(run.cluster, run.flags.output ?? backupsOf(run.cluster))
      const last = lastArchive(run.cluster)
      run.result = { archives, last }
      const rows = archives.map(each => [each.file, sizeText(each.size), each.modified])
      run.log.print(table([['ARCHIVE', 'SIZE', 'MADE'], ...rows]))
      if (last)
        run.log.print(`The newest that was verified: ${last.file}${last.server ? '' : ', without k3s'}`)
      return
    }
    const file = verify ?? restore
    if (file === undefined) return archiveCluster(run)
    const archive = { ...openArchive(run.cluster, file), keys: await ageKeysOf(run.flags, run.log) }
    if (server) return restoreToServer(run, archive, confirm)
    if (restore !== undefined) return restoreToFolder(run, archive)
    const { manifest } = await verifyArchive(archive.keys, archive.read(), archive.name)
    run.result = { file: archive.name, manifest }
    run.log.print(
      table([['FILE', 'BYTES', 'SHA-256'], ...manifest.files.map(f => [f.path, String(f.size), f.sha256])]),
    )
    run.log.ok(`${archive.name} is whole: ${archiveText(manifest)}`)
  },
})
