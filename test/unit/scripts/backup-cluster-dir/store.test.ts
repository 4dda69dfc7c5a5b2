import { chmodSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { newIdentity } from '../../../../lib/age/keys.ts'
import type { Cluster } from '../../../../lib/script/cluster.ts'
import { writeArchive } from '../../../../scripts/backup-cluster-dir/archive.ts'
import { storeArchive } from '../../../../scripts/backup-cluster-dir/store.ts'
import { temporaryFolder } from '../../helpers.ts'

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

test.run()
