import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { clusterNamed } from '../../../../lib/script/cluster.ts'
import {
  byHand,
  checkFrom,
  jobOf,
  matchRows,
  migrationLines,
  migrationSourcesOf,
  openProblems,
  targetsOf,
  type Work,
  workProblems,
} from '../../../../scripts/migrate-data/plan.ts'
import {
  countsInWords,
  type JobState,
  parseCounts,
  parseJobs,
} from '../../../../scripts/migrate-data/server.ts'
import { type FolderVolume, volumeOfFolder } from '../../../../scripts/migrate-data/volumes.ts'
import { oldClaims, releasesIn, removeCommands } from '../../../../scripts/upgrade-0.3/old-releases.ts'
import {
  chooseClaims,
  claimRows,
  lossText,
  moveSettings,
  settingsMove,
} from '../../../../scripts/upgrade-0.3/upgrade-0.3.ts'
import { expectedFrom, temporaryFolder } from '../../helpers.ts'

const GIB = 2 ** 30
const UID = '5d7c9f6e-1f3b-4f59-9a44-6a2a3b6b1c1'
const NEW = `pvc-${UID}1_oas-apps_nextcloud-nextcloud`
const OLD = `pvc-${UID}2`
const from = '/root/old volumes'
const target: FolderVolume = { ...volumeOfFolder(NEW), path: `/data/${NEW}`, node: 'two' }
const match = { old: volumeOfFolder(OLD), new: target, score: 77 }
const job = jobOf(match, from)
const fine: JobState = {
  source: 'folder',
  target: 'folder',
  nested: false,
  mounted: false,
  size: GIB,
  files: 10,
  targetSize: 4096,
  targetFiles: 0,
  remains: 0,
  free: 2 * GIB,
  freeFiles: 100,
}
const work = (change: Partial<JobState> = {}): Work => ({ match, job, state: { ...fine, ...change } })
const problems = (...states: Partial<JobState>[]) =>
  workProblems(states.map(work), new Set()).map(({ message }) => message)

// What is where

test('a map and the folders that are there are joined; volumes of the new cluster are not of the old one', () => {
  const map = [{ ...volumeOfFolder(OLD), namespace: 'oas', claim: 'x' }, volumeOfFolder(`pvc-${UID}3`)]
  const options = { current: new Set([NEW]), named: [] }
  const joined = migrationSourcesOf(map, [OLD, NEW, `pvc-${UID}4_oas_y`, 'lost+found'], options)
  assert.equal(joined, {
    volumes: [map[0]!],
    lacking: [map[1]!],
    unknown: [`pvc-${UID}4_oas_y`, 'lost+found'],
  })
  const named = migrationSourcesOf(map, [OLD, 'lost+found'], { ...options, named: ['lost+found'] })
  assert.equal(
    named.volumes.map(({ folder }) => folder),
    [OLD, 'lost+found'],
  )
  const names = migrationSourcesOf(undefined, [OLD, NEW, `pvc-${UID}4_oas_y`, 'lost+found'], options)
  assert.equal(
    names.volumes.map(({ claim }) => claim),
    [undefined, 'y'],
  )
  assert.equal(migrationSourcesOf(map, undefined, options).volumes, map)
})

test('only folders of local-path-provisioner are filled', () => {
  const other = { ...target, folder: 'data', path: '/srv/data' }
  assert.equal(targetsOf([target, other, volumeOfFolder(OLD)]), [target])
})

test('the folder with the old data has to be an absolute path of one line', async () => {
  assert.is(checkFrom('/root//x/../old volumes/'), '/root/old volumes')
  assert.is(checkFrom('/'), '/')
  for (const path of ['old', '', '-rf', '/a\nb', '~/x', '/a\0'])
    assert.is((await expectedFrom(() => checkFrom(path))).exitCode, 2)
})

test('what is not sure is told with what it may be, each with its flags', () => {
  const [problem] = openProblems([{ old: match.old, candidates: [{ new: target, score: 50 }] }])
  assert.match(problem!.message, 'oas-apps/nextcloud-nextcloud?')
  assert.match(problem!.fix, `--skip ${OLD}`)
  assert.match(
    openProblems([{ old: match.old, candidates: [] }])[0]!.message,
    'nothing in the new cluster is like it',
  )
})

// What stands in the way

test('nothing blocks the installation of a volume that is there, and of one that is done', () => {
  assert.equal(problems({}), [])
  assert.equal(problems({ done: job.source, source: 'missing', free: 0, mounted: true }), [])
  assert.equal(problems({ copied: job.source, source: 'missing', target: 'gap', free: 0 }), [])
})

for (const [state, what] of [
  [{ source: 'missing' }, 'is not there'],
  [{ source: 'link' }, 'is a link'],
  [{ target: 'missing' }, 'it is the volume of oas-apps/nextcloud-nextcloud'],
  [{ target: 'link' }, 'is a link'],
  [{ nested: true }, 'are the same folder'],
  [{ mounted: true }, 'is mounted on the server'],
  [{ done: '/elsewhere' }, 'was filled from /elsewhere before'],
  [{ target: 'gap', copied: '/elsewhere/x' }, 'half filled: the copy of /elsewhere/x'],
  [{ free: GIB }, '/data has 1.0 GiB free, and 1.1 GiB are needed'],
  [{ freeFiles: 9 }, 'can take 9 more files, and 10 are needed'],
] as const)
  test(`${JSON.stringify(state)} stands in the way`, () => {
    const found = problems(state)
    assert.is(found.length, 1)
    assert.match(found[0]!, what)
  })

test('space is counted together, and what broke off is given back', () => {
  assert.equal(problems({ free: 2 * GIB }, { free: 2 * GIB }).length, 1)
  assert.equal(problems({ free: 2 * GIB, remains: GIB }, { free: 2 * GIB }), [])
  assert.equal(problems({ free: 2 * GIB, freeFiles: undefined }, { done: job.source, free: 2 * GIB }), [])
})

test('a pod that is known to use a mounted volume is told otherwise', () => {
  assert.equal(workProblems([work({ mounted: true })], new Set(['oas-apps/nextcloud-nextcloud'])), [])
})

test('the plan says what is copied, stopped, set aside and started', () => {
  const ref = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'x', namespace: 'a' }
  const workload = { ref, name: '-n a deployment x', replicas: 2 }
  const lines = migrationLines([work({ targetFiles: 3 }), work({ done: job.source })], {
    stop: [workload],
    start: [workload],
  })
  assert.is(lines.length, 4)
  assert.match(lines[0]!, 'copy 1.0 GiB from /root/old volumes/pvc-')
  assert.match(lines[1]!, 'deployment x --replicas=0')
  assert.match(lines[2]!, /the 3 files that are in it \(4.0 KiB\) are set aside in \/data\/\.migration\//)
  assert.match(lines[3]!, 'deployment x --replicas=2')
  assert.equal(migrationLines([work({ copied: job.source })], { stop: [], start: [] }).length, 1)
  assert.equal(matchRows([match], new Map([[OLD, 2048]]))[1]!.slice(2), [
    '2.0 KiB',
    'oas-apps/nextcloud-nextcloud',
    '77 %',
  ])
})

test('the commands for doing it by hand do it', () => {
  const [here, storage] = [join(temporaryFolder(), "o'ld\nvolumes $(x)"), temporaryFolder()]
  for (const path of [join(here, OLD), join(storage, NEW)]) mkdirSync(path, { recursive: true })
  writeFileSync(join(here, OLD, '-a\n'), 'old')
  writeFileSync(join(storage, NEW, 'b'), 'new')
  const hand = { old: match.old, new: { ...target, path: join(storage, NEW) } }
  const ref = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'x', namespace: 'a' }
  const text = byHand([hand], here, [{ ref, name: '-n a deployment x', replicas: 3 }])
  const bin = temporaryFolder()
  writeFileSync(join(bin, 'kubectl'), '#!/bin/sh\necho "$@" >> "$CALLS"\n')
  chmodSync(join(bin, 'kubectl'), 0o755)
  const { status, stderr } = spawnSync('sh', ['-c', text], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${bin}:${process.env.PATH}`, CALLS: join(bin, 'calls') },
  })
  assert.is(status, 0, stderr)
  assert.equal(readdirSync(join(storage, NEW)), ['-a\n'])
  assert.equal(readdirSync(join(storage, '.migration', NEW, 'before')), ['b'])
  assert.is(
    readFileSync(join(bin, 'calls'), 'utf8'),
    'scale -n a deployment x --replicas=0\nscale -n a deployment x --replicas=3\n',
  )
})

// What servers say

test('what servers say is taken apart', async () => {
  const said =
    'job\nsource\tfolder\nsize\t42\nfiles\t3\ntarget\tgap\nnested\nfree\t7\ncopied\tL2E=\njob\nsource\tmissing\ntarget\tmissing\nmounted\nfreeFiles\t5\n'
  const [first, second] = parseJobs(said)
  assert.equal(
    [first!.size, first!.files, first!.nested, first!.mounted, first!.copied, first!.freeFiles],
    [42, 3, true, false, '/a', undefined],
  )
  assert.equal(
    [second!.source, second!.nested, second!.mounted, second!.freeFiles, second!.done],
    ['missing', false, true, 5, undefined],
  )
  const counts = parseCounts('5 1 2 0 0 1234567890123')
  assert.is(countsInWords(counts), '5 files, 1 hard links, 2 folders, 1234567890123 bytes')
  for (const bad of ['', '1 2 3', 'a b c d e f']) await expectedFrom(() => parseCounts(bad))
})

const object = (kind: string, metadata: KubeObject['metadata'], rest: object = {}): KubeObject => ({
  apiVersion: 'v1',
  kind,
  metadata,
  ...rest,
})

// upgrade-0.3

test('releases are told by their newest revision, by number, of either Helm', () => {
  const two = (name: string, VERSION: string, STATUS: string) =>
    object('ConfigMap', {
      namespace: 'kube-system',
      name: `${name}.v${VERSION}`,
      labels: { OWNER: 'TILLER', NAME: name, VERSION, STATUS },
    })
  const three = object('Secret', {
    namespace: 'oas',
    name: 'sh.helm.release.v1.b.v1',
    labels: { owner: 'helm', name: 'b', version: '1', status: 'failed' },
  })
  const found = releasesIn([
    two('a', '9', 'SUPERSEDED'),
    two('a', '10', 'DELETED'),
    three,
    object('Secret', { name: 'x' }),
  ])
  assert.equal(found, [
    { name: 'a', helm: 2, namespace: 'kube-system', revision: 10, status: 'DELETED' },
    { name: 'b', helm: 3, namespace: 'oas', revision: 1, status: 'failed' },
  ])
  assert.equal(removeCommands(found), ['helm delete --purge a', 'helm uninstall -n oas b'])
  assert.equal(removeCommands([]), [])
})

test('claims are told with what is lost, and those that are used are refused', async () => {
  const now = Date.parse('2026-01-03T00:00:00Z')
  const claim = (name: string, volumeName?: string) =>
    object(
      'PersistentVolumeClaim',
      { namespace: 'oas-apps', name, uid: `u-${name}`, creationTimestamp: '2026-01-01T00:00:00Z' },
      {
        spec: { volumeName, resources: { requests: { storage: '2Gi' } } },
        status: { phase: volumeName ? 'Bound' : 'Pending' },
      },
    )
  const volume = (name: string, persistentVolumeReclaimPolicy: string) =>
    object(
      'PersistentVolume',
      { name },
      { spec: { persistentVolumeReclaimPolicy, hostPath: { path: `/data/${name}` } } },
    )
  const pod = object(
    'Pod',
    { namespace: 'oas-apps', name: 'p' },
    { spec: { volumes: [{ persistentVolumeClaim: { claimName: 'used' } }] } },
  )
  const claims = oldClaims(
    {
      claims: [claim('used', 'v1'), claim('kept', 'v2'), claim('bare')],
      volumes: [volume('v1', 'Delete'), volume('v2', 'Retain')],
      pods: [pod],
    },
    now,
  )
  assert.equal(claimRows(claims).slice(1), [
    ['oas-apps/bare', '2Gi', '2 d', 'Pending', 'nothing', 'none yet'],
    ['oas-apps/kept', '2Gi', '2 d', 'Bound', 'nothing', '/data/v2'],
    ['oas-apps/used', '2Gi', '2 d', 'Bound', 'p', '/data/v1'],
  ])
  const [bare, kept, used] = claims
  assert.match(lossText(bare!), 'no data is lost')
  assert.match(lossText(kept!), 'is kept (v2)')
  assert.is(lossText(used!), 'LOST: the data of oas-apps/used (2Gi, 2 d old)')
  const chosen = async (...names: string[]) => chooseClaims(claims, names, false)
  assert.equal(await chosen('oas-apps/kept', 'oas-apps/kept'), { chosen: [kept], absent: [] })
  assert.equal(await chosen(), { chosen: [], absent: [] })
  assert.equal(await chosen('oas-apps/gone-since', 'oas-apps/kep'), {
    chosen: [],
    absent: [
      'claim oas-apps/gone-since does not exist',
      'claim oas-apps/kep does not exist; did you mean oas-apps/kept?',
    ],
  })
  const refusal = async (name: string) => (await expectedFrom(() => chosen(name))).exitCode
  assert.is(await refusal('oas-apps/used'), 4)
  assert.is(await refusal('kept'), 2)
  assert.is(await refusal('kube-system/kept'), 2)
})

test('settings are moved, once, and never over others', async () => {
  const cluster = { ...clusterNamed('a'), folder: temporaryFolder() }
  assert.is(settingsMove(cluster).state, 'none')
  writeFileSync(join(cluster.folder, 'settings.yml'), 'a: b\n')
  const move = settingsMove(cluster)
  assert.is(move.state, 'move')
  moveSettings(move)
  assert.is(readFileSync(move.to, 'utf8'), 'a: b\n')
  assert.is(settingsMove(cluster).state, 'moved')
  writeFileSync(move.from, 'a: b\n')
  assert.is(settingsMove(cluster).state, 'both')
  writeFileSync(move.from, 'a: c\n')
  assert.is((await expectedFrom(() => settingsMove(cluster))).exitCode, 4)
})

test.run()
