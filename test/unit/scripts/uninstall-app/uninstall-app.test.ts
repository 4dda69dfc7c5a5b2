/** What belongs to an application, what stands against its removal, and which backups count. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Identity } from '../../../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { grantLine, holdersOf } from '../../../../lib/platform/grants.ts'
import { savedIn } from '../../../../scripts/uninstall-app/backup.ts'
import { removalLines, removalProblems } from '../../../../scripts/uninstall-app/plan.ts'
import { type AppSurvey, claimsOf, KEPT_OF, usedBytes } from '../../../../scripts/uninstall-app/survey.ts'

const object = (kind: string, name: string, more: object = {}, metadata: object = {}): KubeObject => ({
  apiVersion: 'v1',
  kind,
  metadata: { name, namespace: 'oas-apps', uid: `uid-${name}`, ...metadata },
  ...more,
})
const helm = {
  annotations: { 'meta.helm.sh/release-name': 'wekan', 'meta.helm.sh/release-namespace': 'oas-apps' },
}
const release = object('HelmRelease', 'wekan', { spec: {} })

test('the claims of an application, and no others', () => {
  const sets = [
    object(
      'StatefulSet',
      'wekan-db',
      { spec: { volumeClaimTemplates: [{ metadata: { name: 'data' } }] } },
      helm,
    ),
  ]
  const claims = [
    object('PersistentVolumeClaim', 'wekan-files', {}, helm),
    object('PersistentVolumeClaim', 'data-wekan-db-0'),
    object('PersistentVolumeClaim', 'data-wekan-db-copy'),
    object('PersistentVolumeClaim', 'data-wekan-db-0', {}, { namespace: 'other' }),
    object('PersistentVolumeClaim', 'old', {}, { labels: { [KEPT_OF]: 'wekan' } }),
    object('PersistentVolumeClaim', 'nextcloud', {}, { labels: { [KEPT_OF]: 'nextcloud' } }),
  ]
  const found = claimsOf('wekan', { releases: [release], claims, sets })
  assert.equal(found, [claims[0], claims[1], claims[4]])
  assert.equal(claimsOf('wekan', { releases: [], claims, sets }), [claims[4]])
})

const survey = (more: Partial<AppSurvey> = {}): AppSurvey => ({
  app: 'wekan',
  kustomization: object('Kustomization', 'wekan', { spec: {} }, { namespace: 'flux-system' }),
  releases: [release],
  applied: [
    {
      kind: 'OAuth2Client',
      namespace: 'oas-apps',
      name: 'wekan',
      group: 'hydra.ory.sh',
      version: 'v1alpha1',
    },
  ],
  claims: [{ object: object('PersistentVolumeClaim', 'files'), size: '5Gi', used: 2 ** 30, lost: false }],
  overrides: ['ConfigMap oas-apps/oas-wekan-override'],
  dependents: [],
  secrets: [{ name: 'oas-wekan', namespace: 'flux-system', app: 'wekan', keys: { pass: { length: 1 } } }],
  ...more,
})

test('a plan says what goes and what stays', () => {
  const kept = removalLines(survey(), false).join('\n')
  assert.match(kept, /keep the data in volume claim oas-apps\/files \(5Gi requested, 1\.0 GiB used\)/)
  assert.match(kept, /delete the single sign-on client oas-apps\/wekan/)
  assert.match(kept, /keep pass in Secret flux-system\/oas-wekan/)
  const [client] = survey().applied
  const two = survey({
    applied: ['Ingress', 'NetworkPolicy', 'Ingress', 'NetworkPolicy'].map(kind => ({ ...client!, kind })),
  })
  assert.match(removalLines(two, false).join('\n'), /what it has applied: 2 Ingresses, 2 NetworkPolicies/)
  const deleted = removalLines(survey(), true).join('\n')
  assert.match(deleted, /DELETE the data in volume claim/)
  assert.match(deleted, /delete pass in Secret/)
  assert.match(deleted, /keep the override/)
})

test('what is in use is told where a kubelet tells it of the volume, and never made up', () => {
  const claim = object('PersistentVolumeClaim', 'files', { status: { capacity: { storage: '5Gi' } } })
  const told = (volume: object, name = 'files') =>
    usedBytes(claim, [
      {
        node: { fs: { capacityBytes: 80 * 2 ** 30 } },
        pods: [{}, { volume: [{}, { pvcRef: { name, namespace: 'oas-apps' }, ...volume }] }],
      },
    ])
  assert.is(told({ usedBytes: 2 ** 30, capacityBytes: 4.8 * 2 ** 30 }), 2 ** 30)
  assert.is(told({ usedBytes: 0, capacityBytes: 4.8 * 2 ** 30 }), 0)
  // The disk of the server, or another one that holds more than this volume.
  assert.is(told({ usedBytes: 40 * 2 ** 30, capacityBytes: 80 * 2 ** 30 }), undefined)
  assert.is(told({ usedBytes: 40 * 2 ** 30, capacityBytes: 500 * 2 ** 30 }), undefined)
  assert.is(told({ capacityBytes: 4.8 * 2 ** 30 }), undefined)
  assert.is(told({ usedBytes: 1, capacityBytes: 1 }, 'others'), undefined)
  assert.is(usedBytes(claim, []), undefined)
  const [line] = removalLines(
    survey({ claims: [{ object: claim, size: '5Gi', lost: false }] }),
    false,
  ).filter(each => each.includes('oas-apps/files'))
  assert.match(line!, '(5Gi requested, use not known)')
})

test('grants are kept with the data, and revoked with it', () => {
  const person = (username: string, apps?: Record<string, 'user' | 'admin'>): Identity => ({
    id: username,
    schema_id: 'default',
    state: 'active',
    traits: { username, email: `${username}@example.org` },
    metadata_admin: apps && { apps },
  })
  const people = [person('mia', { wekan: 'user' }), person('tom', { nextcloud: 'admin' }), person('old')]
  const holders = holdersOf('wekan', people)
  assert.equal(holders, [people[0]])
  assert.equal(holdersOf('constructor', people), [])
  assert.match(grantLine('wekan', holders, false), /^keep the grant for wekan of mia/)
  assert.match(grantLine('wekan', holders, true), /^revoke the grant for wekan of mia$/)
  assert.match(grantLine('wekan', [], true), /no user has a grant/)
  assert.match(grantLine('wekan', undefined, true), /single sign-on does not answer/)
})

test('what forbids a removal', () => {
  const of = (more: Partial<AppSurvey>, deleteData = false) =>
    removalProblems(survey(more), deleteData).map(({ message, exitCode }) => `${exitCode} ${message}`)
  assert.equal(of({}), [])
  assert.match(
    of({ releases: [object('HelmRelease', 'wekan', { spec: { suspend: true } })] })[0]!,
    /^4 .* is suspended/,
  )
  assert.match(
    of({ kustomization: object('Kustomization', 'wekan', { spec: { prune: false } }) })[0]!,
    /prune: false/,
  )
  assert.match(of({ dependents: ['mine'] })[0]!, /mine depends on wekan/)
  const claims = [{ ...survey().claims[0]!, lost: true }]
  assert.match(of({ claims })[0]!, /Helm would delete/)
  assert.equal(of({ claims }, true), [])
})

test('only a good backup that has every claim counts, and only while it is young', () => {
  const now = Date.parse('2026-01-02T00:00:00Z')
  const backup = (name: string, at: string, phase = 'Completed', expiration = '2026-02-01T00:00:00Z') =>
    object('Backup', name, {
      status: { phase, startTimestamp: at, completionTimestamp: at, expiration },
    })
  const claim = object(
    'PersistentVolumeClaim',
    'files',
    { status: { phase: 'Bound' }, spec: { volumeName: 'pv' } },
    { creationTimestamp: '2025-12-01T00:00:00Z' },
  )
  const copy = (backup: string) =>
    object(
      'PodVolumeBackup',
      `${backup}-copy`,
      {
        status: { phase: 'Completed', progress: { totalBytes: 9, bytesDone: 9 }, snapshotID: 's' },
        spec: {},
      },
      { labels: { 'velero.io/backup-name': backup, 'velero.io/pvc-uid': claim.metadata.uid } },
    )
  const volumes = [object('PersistentVolume', 'pv', { spec: { local: { path: '/x' } } })]
  const of = (backups: KubeObject[], copies: string[], maxAge = 24 * 3600_000) => {
    const objects = { volumeBackups: copies.map(copy), claims: [claim], volumes, pods: [] }
    const claims = [{ ...survey().claims[0]!, object: claim }]
    const saved = savedIn(survey({ claims }), backups, objects, { now, maxAge })
    return 'backup' in saved ? saved.backup : saved.problem.message
  }
  const [old, young] = [backup('old', '2025-12-31T00:00:00Z'), backup('young', '2026-01-01T12:00:00Z')]
  const failed = backup('failed', '2026-01-01T20:00:00Z', 'PartiallyFailed')
  const expired = backup('expired', '2026-01-01T21:00:00Z', 'Completed', '2026-01-01T22:00:00Z')
  assert.is(of([expired, failed, young, old], ['old', 'young', 'failed', 'expired']), 'young')
  assert.match(of([old], ['old']), /no good backup .* backup old is 2 d old; at most 1 d is allowed/)
  assert.match(of([young], []), /no good backup .* backup young does not have the data of oas-apps\/files/)
  assert.match(of([failed], ['failed']), /backup failed has failed in part/)
  assert.match(of([], []), /there are no backups/)
})

test.run()
