import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { backupObject } from '../../../../lib/backup/velero.ts'
import type { Kubectl, KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { backupNamed, listBackups } from '../../../../scripts/backup/backups.ts'
import { expectedFrom } from '../../helpers.ts'

const NOW = Date.parse('2026-03-02T00:00:00Z')
const HOUR = 3_600_000
const nightly = (hours: number): KubeObject => ({
  apiVersion: 'velero.io/v1',
  kind: 'Backup',
  metadata: { name: 'nightly-1', labels: { 'velero.io/schedule-name': 'nightly' } },
  status: { phase: 'Completed', startTimestamp: new Date(NOW - hours * HOUR).toISOString() },
})
/** A cluster with these backups and this schedule. */
const cluster = (backups: KubeObject[], spec?: object) =>
  ({
    list: async () => backups,
    get: async () => spec && { apiVersion: 'velero.io/v1', kind: 'Schedule', metadata: {}, spec },
  }) as unknown as Kubectl

test('the newest backup of the night counts while its schedule makes more of them', async () => {
  const every = { schedule: '30 2 * * *' }
  const latest = (kubectl: Kubectl) => backupNamed(kubectl, 'latest', NOW)
  assert.is(await latest(cluster([nightly(22)], every)), 'nightly-1')
  const refused = async (kubectl: Kubectl) => (await expectedFrom(() => latest(kubectl))).message
  assert.match(await refused(cluster([], every)), /no schedule has made a backup yet/)
  assert.match(await refused(cluster([nightly(22)], { ...every, paused: true })), /is paused/)
  assert.match(await refused(cluster([nightly(22)])), /the schedule nightly does not exist any more/)
  assert.match(await refused(cluster([nightly(28 * 24)], every)), /is 28 d old/)
})

test('a list judges by the whole cluster or by one application; a backup of one alone is told as such', async () => {
  const claims = ['wekan', 'nextcloud'].map(name => ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { namespace: 'oas-apps', name, uid: name, creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: {},
    status: { phase: 'Bound' },
  }))
  const copy = (of: string, claim: string): KubeObject => ({
    apiVersion: 'velero.io/v1',
    kind: 'PodVolumeBackup',
    metadata: {
      name: `${of}-${claim}`,
      labels: { 'velero.io/backup-name': of, 'velero.io/pvc-uid': claim },
    },
    status: { phase: 'Completed', snapshotID: 'x', progress: { totalBytes: 1, bytesDone: 1 } },
  })
  const made = (name: string, more: object = {}) => ({
    ...backupObject(name, { madeBy: 'backup', ttl: '720h', ...more }),
    status: {
      phase: 'Completed',
      startTimestamp: '2026-03-01T12:00:00Z',
      expiration: '2026-04-01T00:00:00Z',
    },
  })
  const wekanAlone = { releases: ['wekan'], namespaces: ['oas-apps'] }
  const kubectl = cluster([made('whole'), made('half'), made('alone', wekanAlone), made('empty', wekanAlone)])
  const volumeBackups = [copy('whole', 'wekan'), copy('whole', 'nextcloud'), copy('half', 'wekan')]
  volumeBackups.push(copy('alone', 'wekan'))
  const objects = { claims, volumes: [], pods: [], volumeBackups }
  const states = async (parts?: { owns: (claim: KubeObject) => boolean }) =>
    (await listBackups(kubectl, objects, NOW, parts)).map(({ name, proved, row }) => [name, row[3], proved])
  assert.equal(await states(), [
    ['whole', '2 of 2', true],
    ['half', '1 of 2 ✗', false],
    ['alone', '1 of one application', true],
    ['empty', '0 of one application ✗', false],
  ])
  assert.equal(await states({ owns: ({ metadata }) => metadata.name === 'wekan' }), [
    ['whole', '1 of 1', true],
    ['half', '1 of 1', true],
    ['alone', '1 of 1', true],
    ['empty', '0 of 1 ✗', false],
  ])
})

test.run()
