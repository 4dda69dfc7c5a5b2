/**
 * "On a new server, from nothing to running" of runbooks/restore.md, as it is written there. The platform runs with data
 * on one server; that is purged and switched off, and the folder of the cluster is gone. Another server gets everything
 * back from the bucket, the archive of the folder and its key. Velero with node-agent and kopia, MariaDB and PostgreSQL
 * are the real ones under the names that the stand-in charts give them; the other images are stand-ins.
 */
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import { editConfig } from '../../lib/platform/config.ts'
import { ROOT } from '../../lib/script/files.ts'
import { until } from '../../lib/script/wait.ts'
import { builtSets } from '../bed/build/build.ts'
import { VELERO_SET } from '../bed/build/programs.ts'
import { run as runLocal } from '../bed/build/shell.ts'
import { DATA_IMAGES, dataImages } from '../bed/server/data-images.ts'
import { CGROUP_V1 } from '../bed/server/machine-disk.ts'
import { partsOf, suite } from '../suite.ts'
import { LIST_FILES, WRITE_FILES } from './backup-objects.ts'
import { type Bucket, startBucket } from './bucket.ts'
import { type Machine, ServerBed } from './harness.ts'

const test = suite('lost server')
const NAME = 'oas.example.org'
const MINUTE = 60_000
/** What our releases say of an image. */
const released = (file: string, pattern: RegExp) =>
  pattern.exec(readFileSync(join(ROOT, 'flux2', file), 'utf8'))?.[1] ?? ''
/** The tag of an image, without the digest that the charts of the bed leave out. */
const tagIn = (file: string) => released(file, /tag: "?([\w.]+)/)
/** How the charts call the images that are real here. */
const CALLED: readonly [string, string][] = [
  [DATA_IMAGES.velero, `docker.io/velero/velero:${tagIn('apps/velero/values.yaml')}`],
  [DATA_IMAGES.plugin, released('apps/velero/values.yaml', /image: (\S*velero-plugin-for-aws:\S+)/)],
  [DATA_IMAGES.mariadb, `docker.io/library/mariadb:${tagIn('apps/nextcloud/values-mariadb.yaml')}`],
  [DATA_IMAGES.postgres, `docker.io/library/postgres:${tagIn('core/single-sign-on/database/values.yaml')}`],
]
const building = {
  progress: (text: string) => console.log(`# ${text}`),
  waiting: (text: string) => console.log(`# ${text}`),
}

let bed: ServerBed
/** The server of the platform: first the one, then the other. */
let server: Machine
let bucket: Bucket
let programs = ''
/** What is left when the server and the folder are lost, beside the bucket. */
const safe = mkdtempSync(join(tmpdir(), 'oas-safe-'))
const KEY = join(safe, 'key.txt')
let [archive, backup] = ['', '']

const began = performance.now()
const tell = (text: string) => console.log(`# ${((performance.now() - began) / 1000).toFixed(0)} s: ${text}`)
const folder = () => join(bed.folder, NAME)
const kubectl = (args: readonly string[], input?: string) =>
  server.exec(['kubectl', ...args], { input, timeout: 10 * MINUTE })

/** Runs a script that has to end well; returns what it says. */
async function does(name: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr, seconds } = await bed.runScript(name, args, { timeout: 20 * MINUTE })
  assert.is(code, 0, `${name} ${args.join(' ')} ended with ${code}:\n${stdout}${stderr}`)
  tell(`${name} took ${seconds.toFixed(0)} s`)
  return stdout
}

/** Gives k3s the images of the real programs, and the kinds of Velero that the stand-in chart does not bring. */
async function giveImages(): Promise<void> {
  const ctr = (...args: string[]) =>
    server.exec(['ctr', '-n', 'k8s.io', 'images', ...args], { timeout: 10 * MINUTE })
  await ctr('import', '/opt/data-images/images.tar')
  for (const [ours, theirs] of CALLED) await ctr('tag', ours, theirs)
  const env = { KUBECONFIG: join(folder(), 'kube_config_cluster.yml') }
  const kinds = await runLocal(
    join(programs, 'velero'),
    ['install', '--crds-only', '--dry-run', '-o', 'json'],
    { env },
  )
  await kubectl(['apply', '--server-side', '-f', '-'], kinds)
}

test.before(async () => {
  ;[programs = ''] = await builtSets(building, [VELERO_SET])
  const images = await dataImages(building)
  bed = await ServerBed.start({ servers: 2, disk: '24G', binds: { '/opt/data-images': dirname(images) } })
  for (const each of bed.servers) await each.write(CGROUP_V1.path, CGROUP_V1.text)
  server = bed.servers[0]!
  bucket = await startBucket(bed)
  tell('servers run')
})
test.after(async () => {
  bucket?.stop()
  await bed?.stop()
  rmSync(safe, { recursive: true, force: true })
})

const DATABASE = [
  '-n',
  'oas',
  'exec',
  '-i',
  'single-sign-on-database-0',
  '--',
  'psql',
  '-X',
  '-A',
  '-t',
  '-q',
  '-U',
  'postgres',
]
const psql = (database: string, text: string) => kubectl([...DATABASE, '-d', database], text)
const mariadb = (text: string) =>
  kubectl(
    [
      '-n',
      'oas-apps',
      'exec',
      '-i',
      'nextcloud-mariadb-0',
      '--',
      'sh',
      '-c',
      'MYSQL_PWD=$MARIADB_ROOT_PASSWORD exec mariadb --user=root -N',
    ],
    text,
  )
const rows = async () => [
  await psql('kratos', 'select count(*), sum(hashtext(name)) from identities;'),
  await psql('hydra', 'select * from client;'),
  await mariadb('select count(*), sum(crc32(text)) from nextcloud.items;'),
]
/** The folder on the server with the files of Nextcloud. */
async function files(): Promise<string> {
  const claim = ['-n', 'oas-apps', 'get', 'persistentvolumeclaim', 'nextcloud-nextcloud']
  const volume = await kubectl([...claim, '-o', 'jsonpath={.spec.volumeName}'])
  return `${await kubectl(['get', 'persistentvolume', volume, '-o', 'jsonpath={.spec.local.path}'])}/data`
}
const listing = async () =>
  server.exec(['sh', '-c', LIST_FILES, 'sh', await files()], { timeout: 10 * MINUTE })
let [before, had] = ['', [] as string[]]

const part = partsOf(test)

part('the platform with its data: 100,000 files, a sparse one of 1 GB, users, rows', async () => {
  await does(
    'create-cluster',
    NAME,
    NAME,
    '--ip-address',
    server.address,
    '--admin-email',
    'a@example.org',
    '--yes',
  )
  copyFileSync(bed.releases.list, join(folder(), 'releases.yaml'))
  const env = join(folder(), '.flux.env')
  const settings = {
    ...bucket.settings,
    ...{
      git_url: bed.gitUrl,
      git_branch: 'main',
      charts_mirror: bed.chartsMirror,
      flux_manifest: bed.fluxManifest,
    },
  }
  writeFileSync(env, editConfig(readFileSync(env, 'utf8'), settings))
  await does('install-cluster', '--yes')
  await giveImages()
  await does('install-core', '--yes')
  await does('install-app', 'velero', 'nextcloud', '--skip-backup', '--yes')
  await server.exec(['sh', '-s', '--', await files()], { input: WRITE_FILES, timeout: 10 * MINUTE })
  await psql(
    'postgres',
    'create role kratos login; create database kratos owner kratos; create role hydra login; create database hydra owner hydra;',
  )
  await psql(
    'kratos',
    "create table identities (id serial primary key, name text); insert into identities (name) select 'user ' || i from generate_series(1, 500) i;",
  )
  await psql('hydra', "create table client (id text); insert into client values ('nextcloud');")
  await mariadb(
    "create database if not exists nextcloud; use nextcloud; create table nextcloud.items (id int primary key auto_increment, text varchar(200)); insert into nextcloud.items (text) select concat('item ', seq) from seq_1_to_5000;",
  )
  before = await listing()
  had = await rows()
  assert.match(had.join('\n'), /^500\|.*\nnextcloud\n5000\t/)
  assert.ok(before.split('\n').length > 100_050)
  tell('data is written')
})

part(
  'it is backed up, with the folder of the cluster, and proved; then the server is purged and switched off',
  async () => {
    await does('backup-cluster-dir', '--new-identity', KEY, '--remember', '--yes')
    const { result } = JSON.parse(await does('backup', '--yes', '--json'))
    backup = result.proof.backup.name
    const captured = result.proof.backup.claims
      .filter(({ state }: { state: string }) => state === 'captured')
      .map(({ claim }: { claim: string }) => claim)
    for (const claim of [
      /^oas\/.*single-sign-on-database/,
      /^oas-apps\/.*nextcloud-mariadb/,
      /^oas-apps\/nextcloud-nextcloud$/,
    ])
      assert.ok(
        captured.some((each: string) => claim.test(each)),
        captured.join(', '),
      )
    const [kept = ''] = readdirSync(join(folder(), 'backups')).filter(name => name.endsWith('.tar.age'))
    archive = join(safe, kept)
    copyFileSync(join(folder(), 'backups', kept), archive)
    await does('purge', '--confirm', NAME)
    await server.powerOff()
    renameSync(folder(), join(safe, 'lost'))
  },
)

/** The commands of the page, each with its script. */
function commandsOfPage(): string[][] {
  const page = readFileSync(join(ROOT, 'runbooks/restore.md'), 'utf8')
  const steps = /^On a new server, from nothing to running:\n\n((?:\d\. .*\n)+)/m.exec(page)?.[1] ?? ''
  return [...steps.matchAll(/`npx tsx scripts\/([\w-]+)\.ts ?([^`]*)`/g)].map(([, name = '', args = '']) => [
    name,
    ...args
      .split(' ')
      .filter(Boolean)
      .map(arg => ({ FILE: archive, KEY, BACKUP: backup, 'oas.example.org': NAME })[arg] ?? arg),
  ])
}

part('on a new server, by the commands of the page: every file and every row is back', async () => {
  server = bed.servers[1]!
  const commands = commandsOfPage()
  assert.equal(
    commands.map(([name]) => name),
    [
      'backup-cluster-dir',
      'install-cluster',
      'install-core',
      'install-app',
      'backup',
      'restore',
      'install-app',
      'restore',
    ],
  )
  const [restoreFolder, installCluster, installCore, installVelero, list, ...restores] = commands as [
    string,
    ...string[],
  ][]
  await does(...restoreFolder!, '--yes')
  const put = (file: string, edit: (text: string) => string) => {
    const path = join(folder(), file)
    writeFileSync(path, edit(readFileSync(path, 'utf8')))
  }
  put('inventory.yml', text => text.replaceAll(bed.servers[0]!.address, server.address))
  put('.flux.env', text => editConfig(text, { ip_address: server.address }))
  rmSync(join(folder(), 'kube_config_cluster.yml'), { force: true })
  await does(...installCluster!, '--yes')
  await giveImages()
  await does(...installCore!, '--yes')
  await does(...installVelero!, '--yes')
  await until(
    async () => {
      const said = await does(...list!)
      return said.includes(backup) ? { done: true } : { last: said }
    },
    { deadline: 5 * MINUTE, every: 5000, describe: String },
  )
  for (const command of restores) {
    const app = command[command.indexOf('--app') + 1]!
    await does(...command, ...(command[0] === 'restore' ? ['--confirm', app] : ['--yes']))
  }
  const [was, is] = [new Set(before.split('\n')), new Set((await listing()).split('\n'))]
  const lost = [...was].filter(line => !is.has(line))
  const others = [...is].filter(line => !was.has(line))
  assert.equal({ lost: lost.slice(0, 20), others: others.slice(0, 20) }, { lost: [], others: [] })
  assert.equal(await rows(), had)
})

part('the core is backed up by itself there, and restored: a lost table of users is back', async () => {
  const { result } = JSON.parse(await does('backup', '--app', 'core', '--yes', '--json'))
  await psql('kratos', 'drop table identities;')
  await does('restore', result.proof.backup.name, '--app', 'core', '--confirm', 'core', '--skip-safety')
  assert.equal(await rows(), had)
})

test.run()
