import { spawnSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LOCAL_STORAGE } from '../../../../lib/k3s/k3s.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { clusterNamed } from '../../../../lib/script/cluster.ts'
import type { ExpectedError } from '../../../../lib/script/errors.ts'
import { sizeText } from '../../../../lib/script/size.ts'
import { parseFacts } from '../../../../lib/server/reader.ts'
import { type BackupFacts, backupProblems, newestArchive } from '../../../../scripts/purge/backups.ts'
import { newestBackup, notProved, otherPlaces, volumesOf } from '../../../../scripts/purge/cluster.ts'
import { markFor, type PurgeFacts } from '../../../../scripts/purge/facts.ts'
import { DOCKER, FILES, LINKS, TOOL_PATHS, TREES, treesToRemove } from '../../../../scripts/purge/paths.ts'
import {
  inventoryLines,
  isEmpty,
  pathsToRemove,
  planLines,
  problemsOf,
} from '../../../../scripts/purge/plan.ts'
import { remnantQuestions, remnantText } from '../../../../scripts/purge/server.ts'
import {
  foreignMounts,
  GUARD,
  type Mount,
  PURGE_FACTS,
  placeSizes,
  type ServerSurvey,
  surveyOf,
} from '../../../../scripts/purge/survey.ts'
import { expectedFrom, temporaryFolder } from '../../helpers.ts'
import { said } from '../../lib/server/said.ts'

const HOUR = 3_600_000
const surveyFrom = (outputs: Parameters<typeof said<typeof PURGE_FACTS>>[1]) =>
  surveyOf(parseFacts(PURGE_FACTS, said(PURGE_FACTS, outputs)))
const DAY = 24 * HOUR
const NOW = Date.parse('2026-11-22T12:00:00Z')
const ago = (milliseconds: number) => new Date(NOW - milliseconds).toISOString()
const UID = '5d7c9f6e-1f3b-4f59-9a44-6a2a3b6b1c11'
const whats = (problems: readonly ExpectedError[]) => problems.map(({ message }) => message)

// Paths

test('paths are literal, absolute and without anything that a shell or realpath would change', () => {
  for (const path of [...TREES, ...FILES, ...TOOL_PATHS, DOCKER, ...LINKS.map(([link]) => link)]) {
    assert.match(path, /^(\/[\w.-]+){2,}$/)
    assert.not.match(path, /\/\.\.?(\/|$)/)
    // Two levels at least, and below a folder that is not ours alone only what is named so.
    assert.not.match(path, /^\/(var|etc|usr|root|tmp)\/(lib|log|local|cache|systemd|bin)$/)
  }
})

test("the docs' list is in it, and Docker only on request", () => {
  const none = { tools: [] }
  const paths: string[] = pathsToRemove(none, { docker: false })
  for (const name of ['rancher', 'OpenAppStack', 'kubelet', 'cni', 'etcd'])
    assert.ok(paths.includes(`/var/lib/${name}`), name)
  for (const name of ['/etc/kubernetes', '/etc/rancher', '/tmp/k3s', '/etc/systemd/system/k3s.service'])
    assert.ok(paths.includes(name), name)
  for (const name of ['OpenAppStack', 'containers', 'pods']) assert.ok(paths.includes(`/var/log/${name}`))
  assert.not.ok(paths.includes(DOCKER))
  assert.ok(pathsToRemove(none, { docker: true }).includes(DOCKER))
  // What stops k3s is needed by the next run until the folders are gone.
  assert.ok(paths.indexOf('/usr/local/bin/k3s-killall.sh') > paths.indexOf('/tmp/k3s'))
})

test('programs go only when the record on the server names them', async () => {
  assert.not.ok(pathsToRemove({ tools: [] }, { docker: false }).includes('/usr/local/bin/helm'))
  const survey = (tools: unknown) =>
    surveyFrom({
      paths: '100\t/usr/local/bin/helm\n200\t/usr/local/bin/flux\n',
      tools: JSON.stringify(tools),
    })
  const some = await survey({ paths: ['/usr/local/bin/flux', '/usr/bin/passwd', '/'] })
  assert.equal(some.tools, ['/usr/local/bin/flux'])
  assert.equal(some.paths, [{ path: '/usr/local/bin/flux', size: 200 }])
  for (const broken of [null, [], { paths: 'x' }, { paths: { includes: 1 } }])
    assert.equal((await survey(broken)).paths, [])
})

// The guard, as a shell runs it

function guard(path: string): string {
  const { stdout, stderr } = spawnSync('sh', ['-c', `${GUARD}guard "$1"`, 'sh', path], { encoding: 'utf8' })
  assert.is(stderr, '')
  return stdout
}

test('the guard lets plain folders and what is absent pass, and tells links wherever they are in a path', () => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'data', 'rancher'), { recursive: true })
  mkdirSync(join(folder, 'lib'))
  symlinkSync(join(folder, 'data', 'rancher'), join(folder, 'lib', 'rancher'))
  symlinkSync(join(folder, 'data'), join(folder, 'linked'))
  symlinkSync('/nowhere', join(folder, 'lib', 'dangling'))
  assert.is(guard(join(folder, 'data', 'rancher')), '')
  assert.is(guard(join(folder, 'absent')), '')
  assert.is(
    guard(join(folder, 'lib', 'rancher')),
    `elsewhere\t${folder}/lib/rancher\t${folder}/data/rancher\n`,
  )
  assert.is(
    guard(join(folder, 'linked', 'rancher')),
    `elsewhere\t${folder}/linked/rancher\t${folder}/data/rancher\n`,
  )
  assert.is(guard(join(folder, 'lib', 'dangling')), `elsewhere\t${folder}/lib/dangling\t/nowhere\n`)
})

test('the guard tells mounts at and below a path, and not those of a neighbour', () => {
  assert.match(guard('/proc'), /^mount\t\/proc\t\/proc\tproc\t/m)
  assert.is(guard('/pro'), '')
  assert.is(guard('/proc2'), '')
  assert.match(guard('/dev'), /^mount\t\/dev\t\/dev\/pts\tdevpts\tdevpts$/m)
})

// What the server says

test('the survey is parsed, with names that hold anything', async () => {
  const survey = await surveyFrom({
    paths: '1048576\t/var/lib/rancher\n4096\t/var/lib/docker\n',
    kept: '10\t/var/backups/openappstack\n',
    guard:
      'elsewhere\t/var/lib/kubelet\t/data/kubelet\n' +
      'mount\t/var/lib/OpenAppStack\t/var/lib/OpenAppStack/my\\040disk\text4\t/dev/sdb1\n',
    links: '/usr/local/bin/kubectl\n',
    folders: `8192\t./pvc-${UID}_oas_data\x004096\t./a\tb\nc\0`,
    k3sFolders: '100\t./pvc-1_shop_data\0',
    datastore: '4096\t/var/lib/rancher/k3s/server/db\n',
    units: 'k3s.service active\n',
    containers: '2\n',
  })
  assert.equal(survey, {
    paths: [
      { path: '/var/lib/rancher', size: 1048576 },
      { path: '/var/lib/docker', size: 4096 },
    ],
    elsewhere: [{ path: '/var/lib/kubelet', real: '/data/kubelet' }],
    mounts: [
      {
        below: '/var/lib/OpenAppStack',
        target: '/var/lib/OpenAppStack/my disk',
        type: 'ext4',
        source: '/dev/sdb1',
      },
    ],
    tools: [],
    links: ['/usr/local/bin/kubectl'],
    kept: [{ path: '/var/backups/openappstack', size: 10 }],
    folders: [
      { place: `${LOCAL_STORAGE}/pvc-${UID}_oas_data`, name: `pvc-${UID}_oas_data`, size: 8192 },
      { place: `${LOCAL_STORAGE}/a\tb\nc`, name: 'a\tb\nc', size: 4096 },
      { place: '/var/lib/rancher/k3s/storage/pvc-1_shop_data', name: 'pvc-1_shop_data', size: 100 },
    ],
    datastore: 4096,
    units: new Map([['k3s.service', 'active']]),
    containers: 2,
    elsewhereData: undefined,
  })
  const nothing = await surveyFrom({})
  assert.equal([nothing.paths, nothing.datastore, nothing.containers], [[], undefined, undefined])
})

const empty: ServerSurvey = await surveyFrom({})
const mount = (below: string, target: string, type: string, source = '/dev/sdb1'): Mount => ({
  below,
  target,
  type,
  source,
})

test('data of k3s elsewhere are found, in whatever role, and refused', async () => {
  const encoded = (text: string) => Buffer.from(text).toString('base64')
  const [path, text] = [encoded('/etc/rancher/k3s/config.yaml.d/data.yml'), encoded('data-dir: /data/k3s\n')]
  for (const role of ['serverFiles', 'agentFiles']) {
    const survey = await surveyFrom({ [role]: `config 600 0:0 ${path} ${path} ${text}\n` })
    const facts = { server: survey, cluster: undefined, volumes: [], archive: undefined, now: NOW }
    const [problem] = problemsOf(facts, { docker: false, discardData: true, maxAge: DAY }, false)
    assert.is(problem?.exitCode, 4)
    assert.match(
      problem!.message,
      'k3s keeps its data in /data/k3s (data-dir in /etc/rancher/k3s/config.yaml.d/data.yml)',
    )
  }
})

test('mounts of pods are their own, everything else is foreign', () => {
  const own = [
    mount('/var/lib/kubelet', '/var/lib/kubelet/pods/u/volumes/kubernetes.io~projected/token', 'tmpfs'),
    mount('/var/lib/kubelet', '/var/lib/kubelet/pods/u/volumes/kubernetes.io~nfs/data', 'nfs4'),
    mount('/var/lib/rancher', '/var/lib/rancher/k3s/agent/containerd/x/rootfs', 'overlay'),
  ]
  const foreign = [
    mount('/var/lib/rancher', '/var/lib/rancher', 'ext4'),
    mount('/var/lib/rancher', '/var/lib/rancher/k3s/agent/containerd', 'ext4'),
    mount('/var/lib/rancher', '/var/lib/rancher/k3s/agent/containerd/disk', 'xfs'),
    mount('/var/lib/OpenAppStack', '/var/lib/OpenAppStack/local-storage/nfs', 'nfs4'),
    mount('/var/lib/OpenAppStack', '/var/lib/OpenAppStack/tmp', 'tmpfs'),
    mount('/var/lib/kubelet', '/var/lib/kubelet', 'ext4'),
    mount('/var/lib/kubelet', '/var/lib/kubelet/pods', 'ext4'),
  ]
  assert.equal(foreignMounts({ mounts: [...own, ...foreign] }, { docker: false }), foreign)
  const docker = [
    mount(DOCKER, `${DOCKER}/overlay2/x/merged`, 'overlay'),
    mount(DOCKER, `${DOCKER}/volumes/disk`, 'ext4'),
    mount(DOCKER, DOCKER, 'overlay'),
  ]
  assert.equal(foreignMounts({ mounts: docker }, { docker: false }), [])
  assert.equal(foreignMounts({ mounts: docker }, { docker: true }), docker.slice(1))
})

test('remnants are told in one line', () => {
  const questions = remnantQuestions(['/tmp/k3s'])
  const { path, process } = parseFacts(
    questions,
    said(questions, { path: '/tmp/k3s\n', process: '12 /usr/local/bin/k3s\n' }),
  )
  const all = [
    ...path.map(what => ({ kind: 'path' as const, what })),
    ...process.map(what => ({ kind: 'process' as const, what })),
  ]
  assert.is(remnantText(all), 'path /tmp/k3s, process 12 /usr/local/bin/k3s')
})

// What the cluster says

function backup(name: string, age: number, spec: object = {}, phase = 'Completed'): KubeObject {
  return {
    apiVersion: 'velero.io/v1',
    kind: 'Backup',
    metadata: { name, namespace: 'velero' },
    spec,
    status: { phase, completionTimestamp: ago(age), expiration: ago(age - 30 * DAY) },
  }
}
function saved(backupName: string, uid: string, phase = 'Completed'): KubeObject {
  const labels = { 'velero.io/backup-name': backupName, 'velero.io/pvc-uid': uid }
  return {
    apiVersion: 'velero.io/v1',
    kind: 'PodVolumeBackup',
    metadata: { name: `${backupName}-${uid}`, labels },
    status: { phase },
  }
}

test('the newest backup that is complete, not expired and of everything counts', () => {
  const spaces = new Set(['oas', 'oas-apps'])
  const newest = (...backups: KubeObject[]) => newestBackup(backups, [], spaces, NOW)
  assert.is(newest(), undefined)
  for (const phase of ['InProgress', 'PartiallyFailed', 'Failed', 'Deleting', 'FailedValidation'])
    assert.is(newest(backup('b', HOUR, {}, phase)), undefined, phase)
  assert.is(newest(backup('old', 31 * DAY)), undefined)
  assert.is(newest(backup('a', 3 * HOUR), backup('b', HOUR), backup('c', 2 * HOUR))?.name, 'b')
  const part = backup('part', HOUR, { includedNamespaces: ['oas'] })
  assert.is(newest(part, backup('whole', DAY))?.name, 'whole')
  assert.equal(newest(part)?.missing, ['oas-apps'])
  for (const spec of [
    { includedNamespaces: ['*'] },
    { includedNamespaces: ['oas-apps', 'oas', 'more'] },
    { excludedNamespaces: ['other'] },
  ])
    assert.equal(newest(backup('b', HOUR, spec))?.missing, [], JSON.stringify(spec))
  for (const spec of [
    { excludedNamespaces: ['oas', 'oas-apps'] },
    { labelSelector: { matchLabels: { app: 'x' } } },
    { orLabelSelectors: [{}] },
  ])
    assert.equal(newest(backup('b', HOUR, spec))?.missing, ['oas', 'oas-apps'], JSON.stringify(spec))
})

const volume = (name: string, path: object, claim: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name },
  spec: { ...path, claimRef: { namespace: claim.split('/')[0], name: claim.split('/')[1] } },
})
const folder = (name: string, size: number) => ({ place: `${LOCAL_STORAGE}/${name}`, name, size })
const claim = (namespace: string, name: string, uid: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { namespace, name, uid },
})

test('volumes get their sizes from the server and their names from the cluster', () => {
  const place = `${LOCAL_STORAGE}/pvc-${UID}_oas_data`
  const folders = [folder(`pvc-${UID}_oas_data`, 10), folder('left-behind', 20)]
  const claims = [claim('oas', 'data', 'u1'), claim('oas', 'far', 'u2')]
  const found = newestBackup(
    [backup('b', HOUR)],
    [saved('b', 'u1'), saved('b', 'u2', 'Failed')],
    new Set(['oas']),
    NOW,
  )
  const volumes = [
    volume('pv1', { hostPath: { path: place } }, 'oas/data'),
    volume('pv2', { nfs: { server: 'nas', path: '/' } }, 'oas/far'),
  ]
  assert.equal(volumesOf({ folders }, { volumes, claims, backup: found }, new Map()), [
    {
      name: 'left-behind',
      claim: '',
      place: `${LOCAL_STORAGE}/left-behind`,
      size: 20,
      backedUp: false,
    },
    { name: 'pv1', claim: 'oas/data', place, size: 10, backedUp: true },
    { name: 'pv2', claim: 'oas/far', place: 'nas', size: undefined, backedUp: false },
  ])
})

test('while nobody answers, the names of the folders tell the claims', () => {
  const [first, second] = volumesOf(
    {
      folders: [folder(`pvc-${UID}_oas-apps_data-nextcloud-0`, 2), folder('pvc-1_a_b_c', 1)],
    },
    undefined,
    new Map(),
  )
  assert.equal([first?.claim, first?.backedUp], ['oas-apps/data-nextcloud-0', undefined])
  assert.equal([second?.name, second?.claim], ['pvc-1_a_b_c', ''])
})

test('a volume in another folder that is removed is here as far as that folder is on the server', () => {
  const volumes = [
    volume('shop', { hostPath: { path: '/var/lib/rancher/data//shop/' } }, 'shop/data'),
    volume('tree', { local: { path: '/var/lib/rancher' } }, 'shop/tree'),
    volume('away', { local: { path: '/var/lib/kubelet/away' } }, 'shop/away'), // of another node
    volume('beside', { hostPath: { path: '/var/lib/rancher2' } }, 'shop/beside'),
    volume('docker', { hostPath: { path: `${DOCKER}/volumes/x` } }, 'shop/docker'),
    volume('found', { hostPath: { path: `${LOCAL_STORAGE}/found` } }, 'shop/found'),
    volume('far', { csi: { driver: 'd' } }, 'shop/far'),
  ]
  const folders = [folder('found', 5)]
  const docker = (all: boolean) => otherPlaces({ folders }, volumes, treesToRemove({ docker: all }))
  const below = ['/var/lib/rancher/data/shop', '/var/lib/rancher', '/var/lib/kubelet/away']
  assert.equal(docker(false), below)
  assert.equal(docker(true), [...below, `${DOCKER}/volumes/x`])

  const measured = new Map([
    ['/var/lib/rancher/data/shop', 3],
    ['/var/lib/rancher', 0],
  ])
  const cluster = { volumes, claims: [], backup: undefined }
  const all = volumesOf({ folders }, cluster, measured)
  assert.equal(
    all.filter(({ size }) => size !== undefined).map(({ name, size }) => [name, size]),
    [
      ['found', 5],
      ['shop', 3],
      ['tree', 0],
    ],
  )
  // Even one whose size nobody could tell needs a backup.
  const alone = all.filter(({ name }) => name === 'tree')
  assert.match(
    whats(backupProblems({ ...good, volumes: alone, velero: undefined })).join(),
    'no complete backup of the data of one volume',
  )
})

test('places are measured whatever their names hold, and only those that do not exist count as absent', () => {
  const root = temporaryFolder()
  const [odd, absent, last] = [join(root, 'a\tb\nc'), join(root, 'absent'), join(root, 'last')]
  for (const path of [odd, last]) {
    mkdirSync(path)
    writeFileSync(join(path, 'file'), 'x'.repeat(100_000))
  }
  const fact = placeSizes([odd, absent, last])
  const [program, ...args] = fact.command
  const bytes = spawnSync(program, args).stdout
  const sizes = fact.parse({ bytes, text: bytes.toString(), code: 0 })
  assert.equal([...sizes.keys()], [odd, last])
  for (const size of sizes.values()) assert.ok(size >= 100_000)
  const silent = fact.parse({ bytes: Buffer.alloc(0), text: '', code: 126 })
  assert.equal([...silent.values()], [0, 0, 0])
})

// Backups

const good: BackupFacts = {
  volumes: [{ name: 'pv', claim: 'oas/data', place: '', size: 10, backedUp: true }],
  datastore: true,
  asked: true,
  velero: { name: 'nightly', completed: NOW - HOUR, missing: [], claims: new Set(['u1']) },
  archive: { file: '/backups/a.age', at: NOW - HOUR, server: true },
  now: NOW,
  maxAge: DAY,
}

test('backups that are there, new and whole are enough', () => {
  assert.equal(backupProblems(good), [])
  assert.equal(backupProblems({ ...good, volumes: [], velero: undefined, asked: false }), [])
})

test('each thing that is missing in the backups is refused, all at once', () => {
  const of = (changed: Partial<BackupFacts>) => backupProblems({ ...good, ...changed })
  const velero = good.velero!
  const archive = good.archive!
  const cases: [Partial<BackupFacts>, RegExp][] = [
    [{ velero: undefined }, /no complete backup of the data of one volume/],
    [{ asked: false }, /not known: the API server does not answer/],
    [{ velero: { ...velero, missing: ['oas'] } }, /nightly, leaves out oas$/],
    [{ velero: { ...velero, claims: new Set() } }, /holds no data of volumes/],
    [
      { velero: { ...velero, wrong: [{ what: 'backup nightly does not have the data of a/b', fix: 'x' }] } },
      /does not have the data of a\/b$/,
    ],
    [{ archive: undefined }, /no archive of the cluster folder/],
    [{ archive: { ...archive, at: NOW - 25 * HOUR } }, /archive of the cluster folder is 1 d 1 h old/],
    [{ archive: { ...archive, server: false } }, /without the datastore/],
  ]
  for (const [changed, message] of cases) {
    const problems = of(changed)
    assert.is(problems.length, 1, String(message))
    assert.match(problems[0]!.message, message)
    assert.is(problems[0]!.exitCode, 4)
    assert.match(problems[0]!.fix, '--discard-data')
  }
  assert.is(of({ velero: undefined, archive: undefined }).length, 2)
  assert.equal(of({ archive: { ...archive, server: false }, datastore: false }), [])
  assert.equal(of({ archive: { ...archive, at: NOW - 25 * HOUR }, maxAge: 2 * DAY }), [])
})

test('the newest backup has to be the proved one, young, and with the data of every claim', () => {
  const made = { ...claim('oas', 'data', 'u1'), status: { phase: 'Bound' } }
  made.metadata.creationTimestamp = ago(10 * DAY)
  const since = { ...claim('oas', 'late', 'u2'), status: { phase: 'Bound' } }
  since.metadata.creationTimestamp = ago(1)
  const nightly = backup('nightly', HOUR)
  nightly.status.startTimestamp = ago(2 * HOUR)
  const of = (proved: string | undefined, { claims = [made], maxAge = DAY, backup = nightly } = {}) => {
    const objects = { volumeBackups: [saved('nightly', 'u1')], claims, volumes: [], pods: [] }
    const proof = proved === undefined ? {} : { name: proved, backup }
    return notProved('nightly', proof, objects, { now: NOW, maxAge }).map(({ what }) => what)
  }
  assert.equal(of('nightly'), [])
  assert.equal(of(undefined), ['backup nightly is not proved'])
  assert.equal(of('manual'), ['backup nightly is not proved; the newest proof is of manual'])
  // Its age is that of its start: what was written since is not in it.
  assert.equal(of('nightly', { maxAge: 1.5 * HOUR }), [
    'backup nightly is 2 h old; at most 1 h 30 min is allowed',
  ])
  assert.match(of('nightly', { claims: [made, since] })[0]!, /oas\/late was created after backup nightly/)
  const uid = { ...made, metadata: { ...made.metadata, uid: 'u3' } }
  assert.match(of('nightly', { claims: [uid] })[0]!, /does not have the data of oas\/data/)
  const failed = { ...nightly, status: { ...nightly.status, hookStatus: { hooksFailed: 1 } } }
  assert.match(of('nightly', { backup: failed })[0]!, /1 of 1 hooks failed/)
})

test('the record of the newest archive is read; a damaged one is told', async () => {
  process.env.OAS_CLUSTERS_DIR = temporaryFolder()
  const cluster = clusterNamed('oas')
  mkdirSync(join(cluster.folder, 'backups'), { recursive: true })
  const file = join(cluster.folder, 'backups', 'last.json')
  assert.is(newestArchive(cluster), undefined)
  writeFileSync(file, JSON.stringify({ at: ago(HOUR), file: '/b/x.age', server: true, sha256: 'x' }))
  assert.equal(newestArchive(cluster), { file: '/b/x.age', at: NOW - HOUR, server: true })
  for (const text of ['', '{}', '{"at":"yesterday","file":"/x"}', `{"at":"${ago(HOUR)}"}`]) {
    writeFileSync(file, text)
    assert.match((await expectedFrom(() => newestArchive(cluster))).message, /last\.json cannot be read/)
  }
})

// Plan and guards

const facts: PurgeFacts = {
  server: {
    ...empty,
    paths: [
      { path: '/var/lib/rancher', size: 1 << 20 },
      { path: DOCKER, size: 1 << 30 },
    ],
    links: ['/usr/local/bin/kubectl'],
    kept: [{ path: '/var/backups/openappstack', size: 2048 }],
    datastore: 4096,
    units: new Map([['k3s.service', 'active']]),
  },
  cluster: undefined,
  volumes: [
    {
      name: 'pv1',
      claim: 'oas/data',
      place: '/var/lib/OpenAppStack/local-storage/x',
      size: 2048,
      backedUp: true,
    },
    { name: 'pv2', claim: 'oas/metrics', place: '/y', size: 1024, backedUp: false },
  ],
  archive: good.archive,
  now: NOW,
}
const options = { docker: false, discardData: false, maxAge: DAY }

test('the plan names every path with its size, what is lost, and what is kept', () => {
  const names = { server: 'vps', kubeconfig: '/c/kube_config_cluster.yml' }
  const plan = planLines(facts, options, names).join('\n')
  assert.match(plan, 'remove /var/lib/rancher (1.0 MiB)')
  assert.match(plan, 'remove /usr/local/bin/kubectl')
  assert.match(plan, 'LOST: the data of oas/metrics (1.0 KiB), which the backup does not hold')
  assert.not.match(plan, 'oas/data')
  assert.match(plan, 'keep /var/lib/docker (1.0 GiB)')
  assert.match(plan, 'keep /var/backups/openappstack (2.0 KiB)')
  const all = planLines(
    facts,
    { ...options, docker: true, discardData: true },
    { ...names, kubeconfig: undefined },
  )
  assert.match(all.join('\n'), 'LOST: the data of oas/data (2.0 KiB)')
  assert.match(all.join('\n'), 'remove /var/lib/docker (1.0 GiB)')
  assert.not.match(all.join('\n'), 'kube_config')
})

test('the inventory says what is not known instead of leaving it out', () => {
  const lines = inventoryLines(facts).join('\n')
  assert.match(lines, 'k3s.service is active')
  assert.match(lines, 'not known: the API server does not answer')
  assert.match(lines, '/backups/a.age, 1 h old')
  assert.match(lines, /pv1 +oas\/data +2\.0 KiB +yes +…\/x/)
})

test('links and foreign mounts are refused, whether backups are or not', () => {
  const server: ServerSurvey = {
    ...facts.server,
    elsewhere: [
      { path: '/var/lib/rancher', real: '/data/rancher' },
      { path: DOCKER, real: '/data/docker' },
    ],
    mounts: [mount('/var/lib/OpenAppStack', '/var/lib/OpenAppStack/nas', 'nfs4', 'nas:/x')],
  }
  const problems = problemsOf({ ...facts, server }, { ...options, discardData: true }, false)
  assert.equal(whats(problems), [
    '/var/lib/rancher leads elsewhere: to /data/rancher',
    'nas:/x (nfs4) is mounted at /var/lib/OpenAppStack/nas, below /var/lib/OpenAppStack, which a purge removes',
  ])
  assert.ok(problems.every(({ exitCode }) => exitCode === 4))
  const docker = problemsOf({ ...facts, server }, { ...options, discardData: true, docker: true }, false)
  assert.match(whats(docker).join('\n'), '/var/lib/docker leads elsewhere')
})

test('backups of a purge that goes on are judged only when its cluster runs again', () => {
  const withUnit = (unit: string, state: string): PurgeFacts => ({
    ...facts,
    server: { ...facts.server, units: new Map([[unit, state]]) },
    archive: undefined,
  })
  for (const unit of ['k3s.service', 'k3s-agent.service']) {
    for (const state of ['inactive', 'failed', 'deactivating'])
      assert.is(problemsOf(withUnit(unit, state), options, true).length, 0, state)
    // It runs, though its API server does not answer us.
    for (const state of ['active', 'activating'])
      assert.is(problemsOf(withUnit(unit, state), options, true).length, 2, state)
  }
  assert.is(problemsOf(withUnit('docker.service', 'active'), options, true).length, 0)
  assert.is(problemsOf({ ...facts, archive: undefined }, options, false).length, 2)
  const cluster = {
    volumes: [],
    claims: [],
    releases: [],
    pods: 0,
    nodes: [],
    backup: undefined,
    now: NOW,
  }
  assert.is(problemsOf({ ...facts, cluster, archive: undefined }, options, true).length, 2)
})

test('a server without a mark gets one of its own; one that is not proven gets none', async () => {
  const identity = { hostname: 'vps', machineId: 'm', addresses: [], serverCa: 'AA' }
  const known = { cluster: 'oas', domain: 'oas.example.org', serverCa: 'AA' }
  const { markedAt, ...mark } = markFor(identity, known)
  assert.equal(mark, { cluster: 'oas', domain: 'oas.example.org', machineId: 'm' })
  assert.ok(Date.parse(markedAt) > 0)
  const error = await expectedFrom(() => markFor({ ...identity, serverCa: 'BB' }, known))
  assert.is(error.exitCode, 4)
  assert.match(error.message, /another certificate authority.*nothing was changed/)
  assert.is((await expectedFrom(() => markFor(identity, { ...known, domain: undefined }))).exitCode, 2)
})

test('Docker alone is nothing of a cluster', () => {
  assert.ok(isEmpty({ ...empty, paths: [{ path: DOCKER, size: 1 }] }))
  assert.not.ok(isEmpty(facts.server))
  assert.not.ok(isEmpty({ ...empty, links: ['/usr/local/bin/kubectl'] }))
})

test('sizes are for people', () => {
  assert.equal([0, 1023, 1024, 10 * 1024, 1536 * 1024, 5 * 2 ** 40, 5000 * 2 ** 40].map(sizeText), [
    '0 B',
    '1023 B',
    '1.0 KiB',
    '10 KiB',
    '1.5 MiB',
    '5.0 TiB',
    '5000 TiB',
  ])
})

test.run()
