import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Kubectl, KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { backupNamed } from '../../../../scripts/backup/backups.ts'
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

test.run()
