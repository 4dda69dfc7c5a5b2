import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { newIdentity } from '../../../../lib/age/keys.ts'
import type { Cluster } from '../../../../lib/script/cluster.ts'
import { writeArchive } from '../../../../scripts/backup-cluster-dir/archive.ts'
import { serverCommand } from '../../../../scripts/backup-cluster-dir/restore.ts'
import { openArchive, storeArchive } from '../../../../scripts/backup-cluster-dir/store.ts'
import { expectedFrom, temporaryFolder } from '../../helpers.ts'

const now = new Date('2026-11-22T10:00:00Z')
const newCluster = (folder = temporaryFolder()): Cluster => ({
  name: 'oas.example.org',
  folder,
  env: join(folder, '.flux.env'),
  kubeconfig: join(folder, 'kube_config_cluster.yml'),
  journal: join(folder, 'journal'),
})
const mode = (path: string) => statSync(path).mode & 0o7777

/** Stores an archive without files in a folder. Returns its path. */
async function stored(cluster: Cluster, folder: string): Promise<string> {
  const { recipient } = await newIdentity()
  const archive = writeArchive({ cluster: cluster.name, createdAt: now.toISOString() }, [])
  return (await storeArchive(cluster, folder, now, { recipients: [recipient] }, archive)).file
}

test('an archive is private in a folder of others, whose mode stays; a new folder is private', async () => {
  const cluster = newCluster()
  for (const existing of [0o1777, 0o770, 0o755]) {
    const folder = temporaryFolder()
    chmodSync(folder, existing)
    assert.is(mode(await stored(cluster, folder)), 0o600)
    assert.is(mode(folder), existing)
  }
  const created = join(temporaryFolder(), 'disk', 'archives')
  assert.is(mode(await stored(cluster, created)), 0o600)
  assert.is(mode(created), 0o700)
  assert.is(mode(join(cluster.folder, 'backups')), 0o700)
})

test('the command that restores the server names the archive and its keys wherever they are', async () => {
  const cluster = newCluster()
  const disk = join(temporaryFolder(), "a disk's")
  for (const folder of [disk, join(cluster.folder, 'backups')]) mkdirSync(folder)
  for (const file of [join(disk, 'x.tar.age'), join(cluster.folder, 'backups', 'y.tar.age')])
    writeFileSync(file, '')
  const { name, file } = openArchive(cluster, join(disk, 'x.tar.age'))
  assert.equal([name, file], ['x.tar.age', join(disk, 'x.tar.age')])
  assert.is(openArchive(cluster, 'y.tar.age').file, join(cluster.folder, 'backups', 'y.tar.age'))
  assert.match((await expectedFrom(() => openArchive(cluster, 'x.tar.age'))).message, 'there is no archive')
  assert.is(
    serverCommand(cluster.name, "/mnt/a disk's/x.tar.age", ['/root/key.txt', 'b']),
    `npx tsx scripts/backup-cluster-dir.ts --cluster oas.example.org --restore '/mnt/a disk'\\''s/x.tar.age' --server --identity /root/key.txt --identity ${join(process.cwd(), 'b')}`,
  )
  assert.match(serverCommand(cluster.name, '/mnt/x.tar.age', []), / --restore \/mnt\/x\.tar\.age --server$/)
})

test.run()
