/**
 * Images of real programs that keep data: Velero from its sources, MariaDB and PostgreSQL from Debian's packages, for
 * servers whose containerd imports them. The databases start as the charts' images do, under the charts' restrictions:
 * another user than root, a read-only root, no capabilities; where a chart leaves them root, they become that user.
 */
import { chmodSync, copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Building, builtSets } from '../build/build.ts'
import { cached, cacheKey } from '../build/cache.ts'
import { VELERO_SET } from '../build/programs.ts'
import { run } from '../build/shell.ts'
import { baseLayer, type Image, imageFrom, type Layer, layerOf, saveArchive } from './images.ts'

/** The names by which tests call them. */
export const DATA_IMAGES = {
  velero: 'docker.io/velero/velero:bed',
  plugin: 'docker.io/velero/velero-plugin-for-aws:bed',
  mariadb: 'docker.io/library/mariadb:bed',
  postgres: 'docker.io/library/postgres:bed',
  files: 'docker.io/library/files:bed',
} as const

/** Raise it when a change of this file leads to other images of the same programs and packages. */
const RECIPE = 2
const TOOLS = [
  'base-files',
  'bash',
  'coreutils',
  'sed',
  'grep',
  'findutils',
  'gzip',
  'util-linux',
  'hostname',
]

/** Has root go on as the user that owns these folders. */
const as = (user: number, ...folders: string[]) => `if [ "$(id -u)" = 0 ]; then
  mkdir -p ${folders.join(' ')}
  chown -R ${user}:${user} ${folders.join(' ')}
  exec setpriv --reuid=${user} --regid=${user} --clear-groups "$0" "$@"
fi`
const MARIADB = `#!/bin/bash
set -e
${as(999, '/var/lib/mysql', '/run/mysqld')}
data=/var/lib/mysql
if [ ! -d $data/mysql ]; then
  mariadb-install-db --no-defaults --datadir=$data --auth-root-authentication-method=normal --skip-test-db --force >/dev/null
  word=\${MARIADB_ROOT_PASSWORD//\\\\/\\\\\\\\}
  word=\${word//\\'/\\'\\'}
  printf '%s\\n' 'FLUSH PRIVILEGES;' "ALTER USER root@localhost IDENTIFIED BY '$word';" |
    mariadbd --no-defaults --datadir=$data --bootstrap --skip-networking
fi
exec mariadbd --no-defaults --datadir=$data --socket=/run/mysqld/mysqld.sock --skip-name-resolve "$@"
`
const POSTGRES = `#!/bin/bash
set -e
${as(998, '/var/lib/postgresql/data', '/var/run/postgresql')}
mkdir -p /var/run/postgresql "$PGDATA"
chmod 700 "$PGDATA" # a kubelet gives the group more, and PostgreSQL refuses that
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --pwfile=<(printf '%s' "$POSTGRES_PASSWORD") --username=postgres --auth-local=trust --auth-host=scram-sha-256 --locale=C.UTF-8 >/dev/null
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql "$@"
`
const USERS = [
  ['root', 0],
  ['mysql', 999],
  ['postgres', 998],
  ['nobody', 65534],
] as const

/** An archive with all of them, as `docker save` makes it: from the cache, or built into it. */
export async function dataImages(building: Building): Promise<string> {
  const [programs] = await builtSets(building, [VELERO_SET])
  const key = cacheKey([programs!, MARIADB, POSTGRES, ...TOOLS, `recipe ${RECIPE}`])
  const damaged = (what: string) => building.progress(`the cache is damaged and is rebuilt: ${what}`)
  const folder = await cached(`data-images-${key}`, { ...building, damaged }, async into => {
    building.progress('making images of Velero, MariaDB and PostgreSQL (once; a minute)')
    const work = join(into, 'work')
    rmSync(work, { recursive: true, force: true })
    mkdirSync(work, { recursive: true })
    const base = await baseLayer(work)
    const images: Record<string, Image> = {
      [DATA_IMAGES.files]: imageFrom([base], { entrypoint: ['/bin/sh'] }),
      [DATA_IMAGES.velero]: imageFrom([base, await veleroLayer(work, programs!)], {
        entrypoint: ['/velero'],
      }),
      [DATA_IMAGES.plugin]: imageFrom([base, await pluginLayer(work, programs!)], {
        entrypoint: ['/bin/sh', '-c', 'cp /plugins/* /target/'],
      }),
      [DATA_IMAGES.mariadb]: imageFrom(
        [await debianLayer(work, 'mariadb', ['mariadb-server', 'mariadb-client'], MARIADB)],
        { entrypoint: ['/entry'] },
      ),
      [DATA_IMAGES.postgres]: imageFrom(
        [await debianLayer(work, 'postgres', ['postgresql-15', 'postgresql-client-15'], POSTGRES)],
        { entrypoint: ['/entry'], env: ['PGDATA=/var/lib/postgresql/data/pg'] },
      ),
    }
    await saveArchive(images, work, join(into, 'images.tar'))
    rmSync(work, { recursive: true })
  })
  return join(folder, 'images.tar')
}

function veleroLayer(work: string, programs: string): Promise<Layer> {
  const root = join(work, 'velero.root')
  mkdirSync(root)
  for (const name of ['velero', 'velero-restore-helper', 'velero-helper'])
    place(join(programs, name), join(root, name))
  return layerOf(root, 'velero')
}

function pluginLayer(work: string, programs: string): Promise<Layer> {
  const root = join(work, 'plugin.root')
  mkdirSync(join(root, 'plugins'), { recursive: true })
  const name = 'velero-plugin-for-aws'
  place(join(programs, name), join(root, 'plugins', name))
  return layerOf(root, 'plugin')
}

function place(from: string, to: string): void {
  copyFileSync(from, to)
  chmodSync(to, 0o755)
}

/** A root of Debian's packages, unpacked without their scripts: what those would write and a server needs is written here. */
async function debianLayer(
  work: string,
  name: string,
  packages: readonly string[],
  entry: string,
): Promise<Layer> {
  const [root, debs] = [join(work, `${name}.root`), join(work, `${name}.debs`)]
  mkdirSync(root)
  mkdirSync(join(debs, 'partial'), { recursive: true })
  const options = [
    ...['Dir::State::status=/dev/null', `Dir::Cache::archives=${debs}`],
    ...['Debug::NoLocking=1', 'APT::Sandbox::User=root'],
  ].flatMap(option => ['-o', option])
  const fix = 'run `apt-get update`, and check the package mirror of this machine'
  await run(
    'apt-get',
    ['-qq', '-y', '--no-install-recommends', ...options, '--download-only', 'install', ...TOOLS, ...packages],
    { timeout: 600_000, fix },
  )
  await run('sh', ['-c', 'for d in "$1"/*.deb; do dpkg -x "$d" "$2" || exit 1; done', 'sh', debs, root], {
    timeout: 600_000,
  })
  await run('rm', [
    '-rf',
    debs,
    ...['doc', 'man', 'locale', 'info'].map(each => join(root, 'usr/share', each)),
  ])
  symlinkSync('bash', join(root, 'bin/sh'))
  for (const program of ['initdb', 'postgres', 'psql', 'pg_dumpall', 'pg_dump', 'pg_isready'])
    if (name === 'postgres')
      await run('ln', ['-sf', `/usr/lib/postgresql/15/bin/${program}`, join(root, 'usr/bin', program)])
  writeFileSync(
    join(root, 'etc/passwd'),
    USERS.map(([user, id]) => `${user}:x:${id}:${id}::/:/bin/sh\n`).join(''),
  )
  writeFileSync(join(root, 'etc/group'), USERS.map(([user, id]) => `${user}:x:${id}:\n`).join(''))
  for (const folder of ['var/lib/mysql', 'var/lib/postgresql/data', 'tmp'])
    mkdirSync(join(root, folder), { recursive: true })
  chmodSync(join(root, 'tmp'), 0o1777)
  writeFileSync(join(root, 'entry'), entry)
  chmodSync(join(root, 'entry'), 0o755)
  return layerOf(root, name)
}
