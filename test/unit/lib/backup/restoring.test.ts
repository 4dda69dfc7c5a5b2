import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Held, heldBy } from '../../../../lib/backup/held.ts'
import { restoreObject, spaceProblems, wrongWithRestore } from '../../../../lib/backup/restoring.ts'
import { scratchObjects } from '../../../../lib/backup/scratch.ts'
import { backupObject, veleroProgress } from '../../../../lib/backup/velero.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'

const copy = (kind: string, of: string, status: object): KubeObject => ({
  apiVersion: 'velero.io/v1',
  kind,
  metadata: {
    name: `${of}-1`,
    namespace: 'velero',
    labels: {
      'velero.io/backup-name': of,
      'velero.io/restore-name': of,
      'velero.io/pvc-uid': 'of another server',
    },
    annotations: { 'velero.io/pvc-name': 'data' },
  },
  spec: { pod: { namespace: 'oas-apps', name: 'wekan-0' }, volume: 'storage' },
  status,
})
const held: Held[] = [{ claim: 'oas-apps/data', bytes: 4096, pod: 'wekan-0', volume: 'storage' }]

test('what a backup holds is known by names: the claims of another server have other uids', () => {
  const whole = { phase: 'Completed', snapshotID: 'a', progress: { totalBytes: 4096 } }
  assert.equal(heldBy('b', [copy('PodVolumeBackup', 'b', whole)]), held)
  for (const other of [{ ...whole, phase: 'Failed' }, { ...whole, snapshotID: '' }, {}])
    assert.equal(heldBy('b', [copy('PodVolumeBackup', 'b', other)]), [])
  assert.equal(heldBy('other', [copy('PodVolumeBackup', 'b', whole)]), [])
})

test('a restore is whole only when each of its volumes is', () => {
  const restore = (status: object): KubeObject => ({
    apiVersion: 'velero.io/v1',
    kind: 'Restore',
    metadata: { name: 'r' },
    status,
  })
  const wrong = (status: object, copies: KubeObject[]) =>
    wrongWithRestore(restore(status), copies, held).map(({ what }) => what)
  const done = [copy('PodVolumeRestore', 'r', { phase: 'Completed' })]
  assert.equal(wrong({ phase: 'Completed' }, done), [])
  assert.match(
    wrong({ phase: 'Completed' }, []).join(),
    /oas-apps\/data was not restored \(Velero has not started/,
  )
  const failed = copy('PodVolumeRestore', 'r', { phase: 'Failed', message: 'no space left' })
  assert.match(wrong({ phase: 'Completed' }, [failed]).join(), /\(Failed: no space left\)/)
  assert.match(
    wrong({ phase: 'Completed' }, [copy('PodVolumeRestore', 'other', { phase: 'Completed' })]).join(),
    /not/,
  )
  assert.match(wrong({ phase: 'Failed', failureReason: 'gone' }, done).join(), /has ended as Failed: gone/)
})

test('a restore in place brings data and workloads, one beside it no Ingress, and keeps sparse files sparse', () => {
  const options = { backup: 'b', madeBy: 'restore', releases: ['b', 'a'], namespaces: ['oas-apps'] }
  const { spec } = restoreObject('r', options)
  assert.not.ok(spec.includedResources.includes('secrets'))
  assert.is(spec.namespaceMapping, undefined)
  assert.is(spec.uploaderConfig.writeSparseFiles, true)
  assert.equal(spec.orLabelSelectors[0].matchExpressions[0].values, ['a', 'b'])
  const beside = restoreObject('r', { ...options, into: 'look' }).spec
  assert.equal(beside.namespaceMapping, { 'oas-apps': 'look' })
  for (const kind of ['ingresses', 'certificates', 'oauth2clients', 'jobs', 'cronjobs', 'helmreleases'])
    assert.not.ok(
      beside.includedResources.some((each: string) => each.startsWith(kind)),
      kind,
    )
})

test('a namespace beside the running one reaches itself and DNS, and nothing outside', () => {
  const [namespace, policy] = scratchObjects('look', 'restore', 'look-1')
  assert.is(namespace!.metadata.labels?.['openappstack.net/made-by'], 'restore')
  assert.equal(policy!.spec.policyTypes, ['Ingress', 'Egress'])
  assert.equal(policy!.spec.ingress, [{ from: [{ podSelector: {} }] }])
  assert.equal(
    policy!.spec.egress.flatMap(({ to, ports }: { to?: object[]; ports?: { port: number }[] }) => [
      ...(to ?? []),
      ...(ports ?? []).map(({ port }) => port),
    ]),
    [{ podSelector: {} }, 53, 53],
  )
})

test('a backup of everything leaves out Velero itself, one of an application the others', () => {
  const of = (more: object) => backupObject('b', { madeBy: 'backup', ttl: '1h', ...more }).spec
  assert.equal(of({}).excludedNamespaces, ['velero'])
  assert.is(of({}).defaultVolumesToFsBackup, true)
  const one = of({ releases: ['wekan'], namespaces: ['oas-apps'] })
  assert.equal(one.includedNamespaces, ['oas-apps'])
  assert.is(one.orLabelSelectors.length, 2)
})

test('the progress of a backup counts objects, volumes and bytes', () => {
  const backup = {
    ...copy('Backup', 'b', { phase: 'InProgress', progress: { totalItems: 9, itemsBackedUp: 3 } }),
  }
  const volumes = [
    copy('PodVolumeBackup', 'b', { phase: 'Completed', progress: { totalBytes: 2048, bytesDone: 2048 } }),
    copy('PodVolumeBackup', 'b', { phase: 'InProgress', progress: { totalBytes: 2048, bytesDone: 1024 } }),
  ]
  assert.match(
    veleroProgress(backup, volumes),
    /InProgress, 3 of 9 objects, 1 of 2 volumes, 3\.0 KiB of 4\.0 KiB$/,
  )
})

test('space: the emptiest disk counts; where no kubelet tells, nothing stands against it', () => {
  const held = [{ claim: 'a/b', bytes: 10 * 2 ** 30, pod: 'p', volume: 'v' }]
  const node = (availableBytes?: number) => ({ node: { fs: { availableBytes } } })
  assert.equal(spaceProblems(held, []), [])
  assert.equal(spaceProblems(held, [{}, node()]), [])
  assert.equal(spaceProblems(held, [node(2 ** 30), node(12 * 2 ** 30)]), [])
  assert.match(spaceProblems(held, [node(2 ** 30)])[0]!.message, /needs 11 GiB .*and 1.0 GiB are free/)
})

test.run()
