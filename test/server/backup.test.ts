/**
 * A backup of real data, and its restores: the real Velero with node-agent and kopia as pods on a real kubelet, real
 * `local` volumes, MariaDB and PostgreSQL of Debian, Flux, and a bucket outside of the servers. Of the platform nothing
 * else is there; the application is called wekan, and is none (backup-objects.ts).
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import { opensRepository } from '../../lib/backup/repository.ts'
import { K3S } from '../../lib/k3s/k3s.ts'
import { kubeconfigAt } from '../../lib/k3s/kubeconfig.ts'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { ROOT } from '../../lib/script/files.ts'
import { until } from '../../lib/script/wait.ts'
import { REPLACED } from '../../scripts/restore/steps.ts'
import { builtSets } from '../bed/build/build.ts'
import { readObjects } from '../bed/build/data.ts'
import { VELERO_SET } from '../bed/build/programs.ts'
import { run as runLocal } from '../bed/build/shell.ts'
import { DATA_IMAGES, dataImages } from '../bed/server/data-images.ts'
import { CGROUP_V1 } from '../bed/server/machine-disk.ts'
import { s3Access } from '../host/servers.ts'
import { suite } from '../suite.ts'
import { installed, LIST_FILES, WRITE_FILES } from './backup-objects.ts'
import { type Bucket, startBucket } from './bucket.ts'
import { type Machine, type Outcome, ServerBed } from './harness.ts'

const test = suite('backup')
const CLUSTER = 'oas.example.org'
/** Of the repositories: not the published one. */
const REPOSITORY = 'a password of its own'
const PUBLISHED = 'static-passw0rd'
const MINUTE = 60_000
const building = {
  progress: (text: string) => console.log(`# ${text}`),
  waiting: (text: string) => console.log(`# ${text}`),
}

let bed: ServerBed
let server: Machine
let programs: string
let bucket: Bucket

const began = performance.now()
const tell = (text: string) => console.log(`# ${((performance.now() - began) / 1000).toFixed(0)} s: ${text}`)
const sh = (script: string, options: { input?: string; timeout?: number } = {}) =>
  server.exec(['sh', '-c', script], { timeout: 10 * MINUTE, ...options })
const kubectl = (args: readonly string[], input?: string) =>
  server.exec(['kubectl', ...args], { input, timeout: 10 * MINUTE })
const apply = (objects: readonly KubeObject[]) =>
  kubectl(
    ['apply', '--server-side', '-f', '-'],
    objects.map(object => JSON.stringify(object)).join('\n---\n'),
  )
const script = (name: string, args: readonly string[]): Promise<Outcome> =>
  bed.runScript(name, ['--cluster', CLUSTER, ...args], { timeout: 20 * MINUTE })
const inPod = (app: string, command: string, input?: string) =>
  kubectl(['-n', 'oas-apps', 'exec', '-i', `deploy/wekan-${app}`, '--', 'sh', '-c', command], input)

/** Runs a script that has to end well; returns its result. */
async function does(name: string, ...args: string[]) {
  const { code, stdout, stderr, seconds } = await script(name, [...args, '--json'])
  assert.is(code, 0, `${name} ended with ${code}:\n${stderr}`)
  tell(`${name} took ${seconds.toFixed(0)} s`)
  return JSON.parse(stdout).result
}

/** Installs k3s, the images, a provisioner and Velero on a server, and makes it the cluster of the scripts. */
async function install(machine: Machine): Promise<void> {
  server = machine
  await server.write(CGROUP_V1.path, CGROUP_V1.text)
  await sh('curl -sfL https://get.k3s.io | sh -')
  writeFileSync(
    join(bed.folder, CLUSTER, 'kube_config_cluster.yml'),
    kubeconfigAt(await server.exec(['cat', K3S.kubeconfig]), server.address)!,
    { mode: 0o600 },
  )
  tell('k3s is installed')
  await sh('ctr -n k8s.io images import /opt/data-images/images.tar')
  tell('images are imported')
  const provisioner = readObjects(join(ROOT, 'test/server/node-objects.yaml')).filter(
    ({ metadata }) => !metadata.name.startsWith('web'),
  )
  // As in flux2/infrastructure/local-path-provisioner: Velero does not read hostPath volumes.
  const storage = provisioner.find(({ kind }) => kind === 'StorageClass')!
  storage.metadata.annotations = { defaultVolumeType: 'local' }
  await apply(provisioner)
  await applyAll(readFileSync(bed.fluxManifest, 'utf8'))
  await apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'velero' } }])
  await setPassword(REPOSITORY)
  await applyAll(await veleroManifest())
  await kubectl(['-n', 'velero', 'rollout', 'status', 'deployment/velero', '--timeout=300s'])
  await kubectl(['-n', 'velero', 'rollout', 'status', 'daemonset/node-agent', '--timeout=300s'])
  await available()
  tell('Velero runs')
}

/** Applies a manifest with kinds that it brings itself: at first they are not served yet. */
async function applyAll(manifest: string): Promise<void> {
  const applied = () =>
    kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], manifest).then(
      () => ({ done: true }),
      (error: Error) => ({ last: error.message }),
    )
  await until(applied, { deadline: 2 * MINUTE, every: 2000, describe: String })
}

/** Sets the password of the repositories, as install-app does before the first backup. */
const setPassword = (password: string) =>
  apply([
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { namespace: 'velero', name: 'velero-repo-credentials' },
      stringData: { 'repository-password': password },
    },
  ])

/** Has Flux install the application, and waits until it runs. */
async function installApp(): Promise<void> {
  await apply(installed(bed.gitUrl))
  const now = `reconcile.fluxcd.io/requestedAt=${new Date().toISOString()}`
  await kubectl(['-n', 'flux-system', 'annotate', '--overwrite', 'kustomization', 'wekan', now])
  const wait = ['wait', '--timeout=600s']
  await until(
    () =>
      kubectl(['-n', 'oas-apps', ...wait, '--for=condition=Ready', 'helmrelease/wekan']).then(
        () => ({ done: true }),
        (error: Error) => ({ last: error.message }),
      ),
    { deadline: 10 * MINUTE, every: 2000, describe: String },
  )
  await kubectl(['-n', 'oas-apps', ...wait, '--for=condition=Available', 'deployment', '--all'])
  tell('the application runs')
}

/** What `velero install` itself applies, with the limits of memory of our release. */
async function veleroManifest(): Promise<string> {
  const secret = join(bed.folder, 'credentials')
  writeFileSync(
    secret,
    `[default]\naws_access_key_id=${s3Access.id}\naws_secret_access_key=${s3Access.secret}\n`,
    { mode: 0o600 },
  )
  // It wants to know a cluster, and asks it nothing.
  const env = { KUBECONFIG: join(bed.folder, CLUSTER, 'kube_config_cluster.yml') }
  const location = `region=ceph,s3ForcePathStyle=true,s3Url=${bucket.url},checksumAlgorithm=`
  try {
    const args = [
      ...['install', '--dry-run', '-o', 'json', '--provider', 'aws', '--bucket', 'backups'],
      ...['--image', DATA_IMAGES.velero, '--plugins', DATA_IMAGES.plugin],
      ...['--secret-file', secret, '--backup-location-config', location],
      ...['--use-volume-snapshots=false', '--use-node-agent', '--uploader-type', 'kopia'],
      ...['--velero-pod-mem-limit', '512Mi', '--node-agent-pod-mem-limit', '1024Mi'],
    ]
    return await runLocal(join(programs, 'velero'), args, { env })
  } finally {
    rmSync(secret)
  }
}

async function available(): Promise<void> {
  await until(
    async () => {
      const phase = await kubectl([
        ...['-n', 'velero', 'get', 'backupstoragelocation', 'default', '-o', 'jsonpath={.status}'],
      ])
      return phase.includes('"Available"') ? { done: true } : { last: phase }
    },
    { deadline: 5 * MINUTE, describe: String },
  )
}

test.before(async () => {
  ;[programs = ''] = await builtSets(building, [VELERO_SET])
  const images = await dataImages(building)
  bed = await ServerBed.start({
    disk: '24G',
    binds: { '/opt/data-images': dirname(images) },
  })
  tell('servers run')
  bucket = await startBucket(bed)
  mkdirSync(join(bed.folder, CLUSTER))
  const env = {
    domain: CLUSTER,
    admin_email: 'admin@example.org',
    ip_address: bed.servers[0]!.address,
    ...bucket.settings,
  }
  writeFileSync(
    join(bed.folder, CLUSTER, '.flux.env'),
    Object.entries(env)
      .map(([key, value]) => `${key}=${value}\n`)
      .join(''),
  )
  await install(bed.servers[0]!)
  await installApp()
})
test.after(async () => {
  bucket?.stop()
  await bed?.stop()
})

/** The folder on the server of the volume that has the files now: a restore leaves the one before. */
async function folder(): Promise<string> {
  const claim = ['-n', 'oas-apps', 'get', 'persistentvolumeclaim', 'wekan-files']
  return `/var/lib/volumes/${await kubectl([...claim, '-o', 'jsonpath={.spec.volumeName}'])}_oas-apps_wekan-files`
}

/** What is in it. */
async function listing(): Promise<string> {
  const path = await folder()
  const blocks = Number(await sh(`stat -c %b ${path}/sparse`))
  assert.ok(blocks < 8192, `the sparse file has ${blocks} blocks`)
  return server.exec(['sh', '-c', LIST_FILES, 'sh', path], { timeout: 10 * MINUTE })
}

const MARIADB = 'MYSQL_PWD=$MARIADB_ROOT_PASSWORD mariadb --user=root -N'
const rowsNow = async () => ({
  mariadb: await inPod(
    'mariadb',
    `${MARIADB} -e "select count(*), sum(crc32(text)) from shop.items; select * from shop.\\\`odd name\\\`"`,
  ),
  postgres: await inPod(
    'postgres',
    `psql -X -A -t -U postgres -d "of one's own" -c "select count(*), sum(hashtext(text)) from items" -c 'select * from "Odd.Name"'`,
  ),
})

let before: string
let rows: Awaited<ReturnType<typeof rowsNow>>
let backup: string
/** The file that grew during the backup, and the counter of MariaDB, after it. */
let grown: string
let busiest: number

test('data is written: 100,000 files, a sparse one of 1 GB, odd names, owners and modes; rows of two databases', async () => {
  await inPod('files', 'sh -s', WRITE_FILES)
  await inPod(
    'mariadb',
    MARIADB,
    `create database shop; use shop; create table shop.items (id int primary key auto_increment, text varchar(200));
     insert into shop.items (text) select concat('item ', seq) from seq_1_to_5000;
     create table shop.\`odd name\` (v text); insert into shop.\`odd name\` values ('Grüße 🦊');
     create table shop.busy (id int primary key auto_increment, at datetime(6));\n`,
  )
  await inPod(
    'postgres',
    'psql -q -U postgres',
    `create role owner login password 'x';\ncreate database "of one's own" owner owner;\n\\c "of one's own"
     create table items (id serial primary key, text text); insert into items (text) select 'item ' || i from generate_series(1, 5000) i;
     create table "Odd.Name" (v text); insert into "Odd.Name" values ('Grüße 🦊');\n`,
  )
  before = await listing()
  rows = await rowsNow()
  assert.ok(before.split('\n').length > 100_050)
  assert.match(rows.mariadb, /^5000\s/)
  assert.match(rows.postgres, /^5000\|/)
  tell('data is written')
})

const busyRows = async () => Number(await inPod('mariadb', `${MARIADB} -e "select max(id) from shop.busy"`))

test('backup, while rows and a file are written: every volume is captured, and its contents are counted', async () => {
  let busy = true
  const writing = (async () => {
    for (let line = 0; busy; line++) {
      await inPod('mariadb', `${MARIADB} -e "insert into shop.busy (at) values (now(6))"`)
      await inPod('files', `echo line ${line} >>/data/growing`)
    }
  })()
  const { proof } = await does('backup', '--yes').finally(() => {
    busy = false
  })
  await writing
  grown = await inPod('files', 'cat /data/growing')
  busiest = await busyRows()
  backup = proof.backup.name
  assert.equal(
    proof.backup.claims.map(({ claim, state }: Record<string, string>) => `${claim} ${state}`),
    ['files', 'mariadb', 'postgres'].map(name => `oas-apps/wekan-${name} captured`),
  )
  for (const { snapshot, bytes, claim } of proof.backup.claims)
    assert.ok(/^[0-9a-f]{32}$/.test(snapshot) && bytes > 1_000_000, `${claim}: ${snapshot}, ${bytes} bytes`)
  const of = (name: string) =>
    proof.contents.find(({ claim }: { claim: string }) => claim === `oas-apps/wekan-${name}`)
  assert.ok(of('files').files[0] > 100_000, JSON.stringify(of('files')))
  assert.equal(of('mariadb').tables['shop.items'], [5000, 5000])
  const [least, most] = of('mariadb').tables['shop.busy']
  assert.ok(most > least, `${least} to ${most}`)
  assert.equal(of('postgres').tables["of one's own.public.items"], [5000, 5000])
})

/** Has kopia open the repository of the application with a password: Velero's own maintenance does. Returns how it ended. */
async function opened(password: string, frequency: string): Promise<string> {
  await setPassword(password)
  const repository = ['-n', 'velero', 'backuprepository', 'oas-apps-default-kopia']
  type Maintenance = { startTimestamp: string; result: string; message?: string }
  const last = async (): Promise<Maintenance | undefined> => {
    const found = await kubectl(['get', ...repository, '-o', 'jsonpath={.status.recentMaintenance[-1:]}'])
    return found === '' ? undefined : JSON.parse(found)
  }
  const before = (await last())?.startTimestamp
  // Another frequency has Velero look at once whether it is time.
  const spec = JSON.stringify({ spec: { maintenanceFrequency: frequency } })
  await kubectl(['patch', ...repository, '--type=merge', '-p', spec])
  const { result, message } = await until<string, Maintenance>(
    async () => {
      const found = await last()
      return found && found.startTimestamp !== before ? { done: found } : { last: JSON.stringify(found) }
    },
    { deadline: 5 * MINUTE, describe: String },
  )
  return `${result} ${message ?? ''}`
}

test('the bucket alone tells nothing: kopia does not open it with the published password, and no file can be read in it', async () => {
  const file = readFileSync(join(bucket.folder, 'kopia/oas-apps/kopia.repository'))
  assert.is(await opensRepository(file, PUBLISHED), 'refused')
  assert.is(await opensRepository(file, REPOSITORY), 'opened')
  const found = await runLocal('sh', [
    '-c',
    `grep -rlE "the-marker-that-nobody-may-read|item 4999" "$1" || true`,
    'sh',
    bucket.folder,
  ])
  assert.is(found, '')
  assert.match(await opened(PUBLISHED, '1s'), /^Failed .*invalid repository password/)
  assert.match(await opened(REPOSITORY, '2s'), /^Succeeded/)
})

/** What was scaled of the application as it is now: what uses its databases is stopped while dumps are loaded. */
async function scaledNow(): Promise<string[]> {
  const list = async (...what: string[]): Promise<KubeObject[]> =>
    JSON.parse(await kubectl(['-n', 'oas-apps', 'get', ...what, '-o', 'json'])).items
  const now = new Set((await list('deployments')).map(({ metadata }) => metadata.uid))
  return (await list('events', '--field-selector=reason=ScalingReplicaSet'))
    .filter(({ involvedObject }) => now.has(involvedObject.uid))
    .sort((a, b) => Date.parse(a.lastTimestamp) - Date.parse(b.lastTimestamp))
    .flatMap(({ message, involvedObject }) => {
      // Before 1.31 Kubernetes said it the other way round.
      const [from, to] =
        / from (\d+) to (\d+)$/.exec(message)?.slice(1) ??
        / to (\d+) from (\d+)$/.exec(message)?.slice(1).reverse() ??
        []
      return from === undefined ? [] : [`${involvedObject.name} ${from} to ${to}`]
    })
}

/** Restores the application in place, and compares everything with what was written. */
async function restored(): Promise<void> {
  await does('restore', backup, '--app', 'wekan', '--confirm', 'wekan', '--skip-safety')
  assert.equal(await scaledNow(), ['wekan-files 1 to 0', 'wekan-files 0 to 1'])
  const [had, has] = [new Set(before.split('\n')), new Set((await listing()).split('\n'))]
  const lost = [...had].filter(line => !has.has(line))
  const others = [...has].filter(line => !had.has(line))
  assert.equal({ lost: lost.slice(0, 20), others: others.slice(0, 20) }, { lost: [], others: [] })
  assert.equal(await rowsNow(), rows)
  const growing = await inPod('files', 'cat /data/growing')
  assert.ok(growing.length > 0 && grown.startsWith(growing), growing)
  const busy = await busyRows()
  assert.ok(busy > 0 && busy <= busiest, `${busy} of ${busiest}`)
  // What kopia does not keep, as runbooks/restore.md says: pipes, and that two names are one file.
  const path = await folder()
  assert.is(await sh(`ls ${path}/pipe 2>/dev/null || true`), '')
  assert.is(await sh(`stat -c %h ${path}/hard`), '1')
}

test('the namespace is destroyed: every file with its owner and mode, and every row is back', async () => {
  const path = await folder()
  await kubectl(['delete', 'namespace', 'oas-apps', '--timeout=300s'])
  const gone = async () =>
    (await sh(`ls -d ${path} 2>/dev/null || true`)) === '' ? { done: true } : { last: path }
  await until(gone, { deadline: 5 * MINUTE, describe: String })
  await installApp()
  assert.is(await inPod('files', 'ls /data'), '')
  await restored()
})

test('what was restored is backed up again, with dumps of both databases', async () => {
  const { proof } = await does('backup', '--yes')
  assert.equal(proof.wrong, [])
})

test('a drill starts both databases, loads their dumps, and finds everything', async () => {
  const { results, rto } = await does('restore-drill', '--yes')
  const [{ loaded, counted, differences }] = results
  assert.equal(differences, [])
  assert.is(loaded.length, 2)
  tell(`RTO ${Math.round(rto / 1000)} s; ${JSON.stringify(counted)}`)
  assert.match(
    counted.find(({ claim }: { claim: string }) => claim.endsWith('files')).text,
    /12 checksums compared/,
  )
  assert.is(await kubectl(['get', 'namespace', 'restore-drill-wekan', '--ignore-not-found']), '')
})

/** Holds that a run has failed, with this cause, and has proved nothing. */
async function fails(cause: RegExp, name: string, ...args: string[]): Promise<void> {
  const { code, stderr, seconds } = await script(name, args)
  tell(`${name} failed after ${seconds.toFixed(0)} s`)
  assert.is(code, 1, `${name} ended with ${code}:\n${stderr}`)
  assert.match(stderr, cause)
  assert.not.match(stderr, /✓ Prove/)
}

const inPlace = () => ['restore', backup, '--app', 'wekan', '--confirm', 'wekan', '--skip-safety'] as const

test('the password of the repositories is changed, and lost: named, and nothing is touched; with it again, all is well', async () => {
  const had = [await folder(), await rowsNow()]
  const [refused, lost] = [/does not open kopia\/oas-apps\/kopia\.repository/, /credentials does not exist/]
  await setPassword('another password')
  await fails(refused, 'backup', '--yes')
  await fails(refused, 'backup', '--verify', backup)
  await fails(refused, 'restore-drill', '--yes')
  await fails(refused, ...inPlace())
  await kubectl(['-n', 'velero', 'delete', 'secret', 'velero-repo-credentials'])
  await fails(/velero-repo-credentials/, 'backup', '--yes')
  await fails(lost, 'backup', '--verify', backup)
  await fails(lost, ...inPlace())
  assert.equal([await folder(), await rowsNow()], had)
  await setPassword(REPOSITORY)
  await does('backup', '--verify', backup)
  const { proof } = await does('backup', '--yes')
  assert.equal(proof.wrong, [])
})

test('volumes in the bucket are tampered with: a drill and a restore fail by that, the data stays; healed, the same command restores', async () => {
  const repository = join(bucket.folder, 'kopia/oas-apps')
  const packs = readdirSync(repository)
    .filter(name => name.startsWith('p'))
    .map(name => join(repository, name))
  const good = packs.map(pack => readFileSync(pack))
  // In the middle of each: neither the beginning nor the index at the end is needed to read a file.
  for (const [i, pack] of packs.entries()) {
    const bad = Buffer.from(good[i]!)
    bad.fill(0x55, bad.length >> 2, bad.length >> 1)
    writeFileSync(pack, bad)
  }
  const cause = /the volume of oas-apps\/wekan-\w+ was not restored \(Failed: \S/
  const path = await folder()
  await fails(cause, 'restore-drill', backup, '--yes')
  await fails(cause, ...inPlace())
  const kept = await server.exec(['sh', '-c', LIST_FILES, 'sh', path], { timeout: 10 * MINUTE })
  assert.is(kept, before)
  for (const [i, pack] of packs.entries()) writeFileSync(pack, good[i]!)
  const replaced = async () =>
    (await kubectl(['get', 'persistentvolumes', '-l', `${REPLACED}=wekan`, '-o', 'name'])).split('\n').sort()
  const earlier = await replaced()
  await restored()
  // What the failed one has filled is not kept: only what people had.
  assert.equal(await replaced(), earlier)
})

test.run()
