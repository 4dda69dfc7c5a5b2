import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { unprovedData } from '../../../../lib/backup/guard.ts'
import { WRONG_IN_BUCKET } from '../../../../lib/backup/objects.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'

const NOW = Date.parse('2026-03-02T00:00:00Z')
const backup: KubeObject = {
  apiVersion: 'velero.io/v1',
  kind: 'Backup',
  metadata: { namespace: 'velero', name: 'nightly' },
  spec: { defaultVolumesToFsBackup: true },
  status: {
    phase: 'Completed',
    startTimestamp: '2026-03-01T12:00:00Z',
    expiration: '2026-04-01T00:00:00Z',
  },
}
const claim = (name: string, creationTimestamp = '2026-01-01T00:00:00Z'): KubeObject => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { namespace: 'oas-apps', name, uid: name, creationTimestamp },
  spec: {},
  status: { phase: 'Bound' },
})
const copy: KubeObject = {
  apiVersion: 'velero.io/v1',
  kind: 'PodVolumeBackup',
  metadata: {
    namespace: 'velero',
    name: 'copy',
    labels: { 'velero.io/backup-name': 'nightly', 'velero.io/pvc-uid': 'saved' },
  },
  status: { phase: 'Completed', snapshotID: 'x', progress: { totalBytes: 1, bytesDone: 1 } },
}
const objects = (...claims: KubeObject[]) => ({ claims, volumes: [], pods: [], volumeBackups: [copy] })
const messages = (...args: Parameters<typeof unprovedData>) =>
  unprovedData(...args).map(({ message, exitCode }) => {
    assert.is(exitCode, 4)
    return message
  })
const proof = { name: 'nightly', backup }

test('a proved backup of today with all data: nothing stands against it', () => {
  assert.equal(messages(proof, objects(claim('saved')), { now: NOW }), [])
})

test('no proof, a backup that is gone, an old one: refused, although Velero has completed backups', () => {
  const saved = objects(claim('saved'))
  assert.equal(messages({}, saved, { now: NOW }), ['no backup of the volumes is proved'])
  assert.match(messages({ name: 'nightly' }, saved, { now: NOW })[0]!, /nightly, does not exist any more/)
  assert.match(messages(proof, saved, { now: NOW + 86_400_000 })[0]!, /is 1 d 12 h old; at most 1 d/)
})

test('a proved backup whose files were found damaged since: refused', () => {
  const annotations = { [WRONG_IN_BUCKET]: 'nightly.tar.gz was changed' }
  const damaged = { ...backup, metadata: { ...backup.metadata, annotations } }
  assert.equal(messages({ ...proof, backup: damaged }, objects(claim('saved')), { now: NOW }), [
    'backup nightly was found damaged: nightly.tar.gz was changed',
  ])
})

test('a volume that the proved backup lacks, and one that came later, are named; others do not matter', () => {
  const many = objects(claim('saved'), claim('alone'), claim('new', '2026-03-01T20:00:00Z'))
  const said = messages(proof, many, { now: NOW })
  assert.is(said.length, 2)
  assert.match(said[0]!, /does not have the data of oas-apps\/alone: no pod uses it/)
  assert.match(said[1]!, /oas-apps\/new was created after backup nightly was started/)
  assert.equal(messages(proof, many, { now: NOW, only: ({ metadata }) => metadata.name === 'saved' }), [])
})

test.run()
