import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { UsageError } from '../../../../lib/script/errors.ts'
import { decideMatches, matchScore, proposeMatches } from '../../../../scripts/migrate-data/volume-match.ts'
import {
  type FolderVolume,
  isVolumeFolder,
  mapText,
  parseMap,
  type VolumeMap,
  volumeName,
  volumeOfFolder,
  volumesOfCluster,
} from '../../../../scripts/migrate-data/volumes.ts'
import { expectedFrom } from '../../helpers.ts'

let number = 0
const uid = (n = ++number) => `5d7c9f6e-1f3b-4f59-9a44-${String(n).padStart(12, '0')}`
/** A volume of a claim, `namespace/claim`, with labels of its application. */
function volume(name: string, ...apps: string[]): FolderVolume {
  const [namespace, claim] = name.split('/') as [string, string]
  const folder = `pvc-${uid()}_${namespace}_${claim}`
  return { folder, path: `/var/lib/OpenAppStack/local-storage/${folder}`, namespace, claim, apps, pods: [] }
}
const named = (list: readonly { old: FolderVolume; new: FolderVolume }[]) =>
  Object.fromEntries(list.map(match => [volumeName(match.old), volumeName(match.new)]))

/** What a cluster of 0.7 has. */
const NEW = [
  'oas/data-single-sign-on-database-0',
  'oas/kube-prometheus-stack-grafana',
  'oas/prometheus-kube-prometheus-stack-prometheus-db-prometheus-kube-prometheus-stack-prometheus-0',
  'oas/alertmanager-kube-prometheus-stack-alertmanager-db-alertmanager-kube-prometheus-stack-alertmanager-0',
  'oas/storage-loki-0',
  'oas-apps/nextcloud-nextcloud',
  'oas-apps/data-nextcloud-mariadb-0',
  'oas-apps/rocketchat-uploads',
  'oas-apps/data-rocketchat-mongodb-0',
  'oas-apps/wordpress',
  'oas-apps/data-wordpress-mariadb-0',
  'oas-apps/data-wekan-mongodb-0',
]

for (const [old, now, why] of [
  ['oas-apps/nextcloud-nextcloud', 'oas-apps/nextcloud-nextcloud', 'the same name'],
  ['oas-apps/oas-test-files-nextcloud', 'oas-apps/nextcloud-nextcloud', 'the release of 0.3'],
  ['oas-apps/data-oas-test-files-mariadb-0', 'oas-apps/data-nextcloud-mariadb-0', 'its database'],
  ['oas-apps/nextcloud-files', 'oas-apps/nextcloud-nextcloud', 'the words in another order'],
  ['oas-apps/datadir-rocketchat-mongodb-primary-0', 'oas-apps/data-rocketchat-mongodb-0', 'noise'],
  ['oas-apps/data-wordpress-database-0', 'oas-apps/data-wordpress-mariadb-0', 'a database of some kind'],
  ['oas-apps/wordpress-wordpress-wp-uploads', 'oas-apps/wordpress', 'more words'],
  ['oas/storage-oas-test-loki-0', 'oas/storage-loki-0', 'the core'],
  ['oas/prometheus-stack-grafana', 'oas/kube-prometheus-stack-grafana', 'a part of the whole'],
  [
    'oas/prometheus-oas-test-prometheus-prometheus-db-prometheus-oas-test-prometheus-prometheus-0',
    'oas/prometheus-kube-prometheus-stack-prometheus-db-prometheus-kube-prometheus-stack-prometheus-0',
    'the operator names it after everything',
  ],
  [
    'oas/alertmanager-oas-test-prometheus-alertmanager-db-alertmanager-oas-test-prometheus-alertmanager-0',
    'oas/alertmanager-kube-prometheus-stack-alertmanager-db-alertmanager-kube-prometheus-stack-alertmanager-0',
    'it has prometheus in its name, too',
  ],
  ['monitoring/storage-loki-0', 'oas/storage-loki-0', 'another namespace'],
] as const)
  test(`${old} → ${now.slice(0, 50)}: ${why}`, () => {
    const { matches, open } = proposeMatches(
      [volume(old)],
      NEW.map(name => volume(name)),
    )
    assert.equal(named(matches), { [old]: now })
    assert.equal(open, [])
  })

for (const [old, why] of [
  ['oas-apps/data-rocketchat-postgresql-0', 'another program wrote it'],
  ['oas-apps/redis-data-oas-test-files-redis-master-0', 'there is no cache'],
  ['oas/oas-test-proxy', 'it has no counterpart'],
  ['oas-apps/data', 'it tells nothing'],
  ['oas-apps/data-mariadb-0', 'whose database?'],
  ['oas-apps/data-nextcloud-mariadb-1', 'the second member of a StatefulSet'],
] as const)
  test(`${old} is left to a person: ${why}`, () => {
    const { matches, open } = proposeMatches(
      [volume(old)],
      NEW.map(name => volume(name)),
    )
    assert.equal(named(matches), {})
    assert.equal(
      open.map(each => volumeName(each.old)),
      [old],
    )
  })

test('labels tell whose database it is when the claim does not', () => {
  const news = NEW.map(name => volume(name))
  const { matches } = proposeMatches([volume('oas-apps/data-mariadb-0', 'mariadb', 'oas-test-files')], news)
  assert.equal(named(matches), { 'oas-apps/data-mariadb-0': 'oas-apps/data-nextcloud-mariadb-0' })
})

test('two that could be the same are both left to a person, with candidates', () => {
  const olds = [volume('oas-apps/nextcloud-nextcloud'), volume('oas-apps/nextcloud-nextcloud')]
  const { matches, open } = proposeMatches(olds, [volume('oas-apps/nextcloud-nextcloud')])
  assert.equal(matches, [])
  assert.equal(
    open.map(({ candidates }) => candidates.map(({ score }) => score)),
    [[100], [100]],
  )
})

test('what is found is out of the way for the others', () => {
  const olds = [volume('oas-apps/nextcloud-data'), volume('oas-apps/nextcloud-nextcloud')]
  const news = [volume('oas-apps/nextcloud-nextcloud'), volume('oas-apps/nextcloud-nextcloud-data')]
  assert.equal(named(proposeMatches(olds, news).matches), {
    'oas-apps/nextcloud-data': 'oas-apps/nextcloud-nextcloud-data',
    'oas-apps/nextcloud-nextcloud': 'oas-apps/nextcloud-nextcloud',
  })
})

const words = fc.constantFrom(
  'nextcloud',
  'files',
  'oas',
  'test',
  'data',
  'mariadb',
  'mongodb',
  'chat',
  'loki',
  'x',
  '0',
  '1',
  'db',
)
const claims = fc.tuple(fc.constantFrom('oas', 'oas-apps'), fc.array(words, { minLength: 1, maxLength: 4 }))
const volumes = fc.array(
  claims.map(([namespace, parts]) => volume(`${namespace}/${parts.join('-')}`)),
  { maxLength: 7 },
)

test('nothing is matched twice or lost, surely only, and the order of the lists has no part in it', () => {
  fc.assert(
    fc.property(volumes, volumes, fc.infiniteStream(fc.nat()), (olds, news, random) => {
      const { matches, open } = proposeMatches(olds, news)
      assert.is(new Set(matches.map(match => match.new)).size, matches.length)
      assert.equal(
        new Set([...matches, ...open].map(({ old }) => old.folder)),
        new Set(olds.map(({ folder }) => folder)),
      )
      assert.is(matches.length + open.length, olds.length)
      for (const { score } of matches) assert.ok(score! >= 60)
      const shuffled = <T>(list: readonly T[]) =>
        list
          .map(item => ({ item, at: random.next().value as number }))
          .sort((a, b) => a.at - b.at)
          .map(({ item }) => item)
      const again = proposeMatches(shuffled(olds), shuffled(news))
      const pairs = (list: typeof matches) => list.map(match => [match.old.folder, match.new.folder]).sort()
      assert.equal(pairs(again.matches), pairs(matches))
    }),
  )
})

test('a score is a whole number from 0 to 100, and 100 only for the same claim', () => {
  fc.assert(
    fc.property(claims, claims, ([a, b], [c, d]) => {
      const [old, now] = [volume(`${a}/${b.join('-')}`), volume(`${c}/${d.join('-')}`)]
      const score = matchScore(old, now)
      assert.ok(Number.isInteger(score) && score >= 0 && score <= 100)
      assert.is(score === 100, volumeName(old) === volumeName(now))
    }),
  )
})

test('what a person says wins, by folder or by name, and contradictions are refused', async () => {
  const olds = [volume('oas-apps/nextcloud-nextcloud'), volumeOfFolder(`pvc-${uid()}`)]
  const news = [volume('oas-apps/nextcloud-nextcloud'), volume('oas-apps/wordpress')]
  const [known, bare] = olds as [FolderVolume, FolderVolume]
  const decide = (match: string[], leave: string[] = []) => decideMatches(olds, news, { match, leave })
  const both = decide([`${bare.folder}=oas-apps/nextcloud-nextcloud`])
  assert.equal(named(both.matches), { [bare.folder]: 'oas-apps/nextcloud-nextcloud' })
  assert.is(both.open[0]!.old, known)
  assert.equal(decide([], [bare.folder, 'oas-apps/nextcloud-nextcloud']).left.length, 2)
  for (const [match, leave, message] of [
    [['x'], [], 'has no two sides'],
    [['oas-apps/nextclod=oas-apps/wordpress'], [], 'there is no volume "oas-apps/nextclod"'],
    [[`${bare.folder}=oas-apps/none`], [], 'there is no volume "oas-apps/none"'],
    [[`${bare.folder}=oas-apps/wordpress`], [bare.folder], 'named twice'],
    [[`${bare.folder}=oas-apps/wordpress`, `${known.folder}=oas-apps/wordpress`], [], 'named twice'],
  ] as const) {
    const error = await expectedFrom(() => decide([...match], [...leave]))
    assert.instance(error, UsageError)
    assert.match(error.message, message)
  }
  const near = await expectedFrom(() => decide(['oas-apps/nextcloud-nextclod=oas-apps/wordpress']))
  assert.is(near.fix, 'did you mean oas-apps/nextcloud-nextcloud?')
})

// Maps

test('the names of folders tell what they are, old ones nothing but that', () => {
  const id = uid()
  assert.equal(volumeOfFolder(`pvc-${id}_oas-apps_data-x-0`), {
    folder: `pvc-${id}_oas-apps_data-x-0`,
    namespace: 'oas-apps',
    claim: 'data-x-0',
    apps: [],
    pods: [],
  })
  assert.is(volumeOfFolder(`pvc-${id}`).claim, undefined)
  for (const name of [`pvc-${id}`, `pvc-${id}_a_b.c`]) assert.ok(isVolumeFolder(name), name)
  for (const name of [
    `pvc-${id}_a`,
    `pvc-${id}_a_b\n`,
    'pvc-x',
    'lost+found',
    `pvc-${id}_a_b_c`,
    `../pvc-${id}`,
  ])
    assert.not.ok(isVolumeFolder(name), JSON.stringify(name))
})

/** Claim, volume and pod as an API server has them. */
function objects(path: object, options: { uid?: string } = {}) {
  const metadata = {
    namespace: 'oas-apps',
    name: 'data',
    uid: 'u1',
    labels: { app: 'mariadb', release: 'files' },
  }
  const claimRef = { namespace: 'oas-apps', name: 'data', uid: options.uid ?? 'u1' }
  const claims: KubeObject[] = [
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata,
      spec: { volumeName: 'pvc-u1' },
      status: { phase: 'Bound' },
    },
  ]
  const volumes: KubeObject[] = [
    {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: 'pvc-u1' },
      spec: { claimRef, capacity: { storage: '8Gi' }, ...path },
    },
  ]
  const pods: KubeObject[] = [
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { namespace: 'oas-apps', name: 'files-mariadb-0', labels: { app: 'mariadb' } },
      spec: {
        volumes: [
          { name: 'x', emptyDir: {} },
          { name: 'y', persistentVolumeClaim: { claimName: 'data' } },
        ],
      },
    },
  ]
  return { claims, volumes, pods }
}

test('a cluster tells folders, labels and pods; hostPath of old provisioners and local of new ones', () => {
  for (const place of ['hostPath', 'local']) {
    const { volumes, others } = volumesOfCluster(objects({ [place]: { path: '/data//pvc-u1/' } }))
    assert.equal(others, [])
    assert.equal(volumes, [
      {
        folder: 'pvc-u1',
        path: '/data/pvc-u1',
        namespace: 'oas-apps',
        claim: 'data',
        size: '8Gi',
        apps: ['files', 'mariadb'],
        pods: ['files-mariadb-0'],
      },
    ])
  }
})

test('volumes of claims that are gone are kept in mind, and those without a folder told', () => {
  const released = objects({ local: { path: '/data/pvc-u0' } }, { uid: 'u0' })
  const { volumes, others } = volumesOfCluster(released)
  assert.equal([volumes[0]!.folder, volumes[0]!.pods], ['pvc-u0', []])
  assert.match(others[0]!.why, 'it has no volume yet')
  const nfs = volumesOfCluster(objects({ nfs: { server: 'x', path: '/x' } }))
  assert.equal(nfs, { volumes: [], others: [{ claim: 'oas-apps/data', why: 'it is not a folder, but nfs' }] })
})

test('a map survives its file, and another file is refused by name', async () => {
  const { volumes, others } = volumesOfCluster(objects({ local: { path: '/data/pvc-u1' } }))
  const map: VolumeMap = { version: 1, cluster: 'c', madeAt: '2026-01-01T00:00:00Z', volumes, others }
  assert.equal(parseMap(mapText(map), 'x'), map)
  const bad = (change: object) => JSON.stringify({ ...map, ...change })
  const [one] = volumes
  for (const text of [
    ...['', '{', 'null', '[]', '{"version":2,"volumes":[]}', '{"version":1}'],
    ...['..', 'a/b', '', 'a\nb', '.'].map(folder => bad({ volumes: [{ ...one, folder }] })),
    ...[null, {}, { ...one, apps: 'x' }, { ...one, path: 3 }, { ...one, claim: undefined }].map(each =>
      bad({ volumes: [each] }),
    ),
  ])
    assert.match(
      (await expectedFrom(() => parseMap(text, 'old.json'))).message,
      /^old\.json is not a map of volumes/,
    )
})

test.run()
