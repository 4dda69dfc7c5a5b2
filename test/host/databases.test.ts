/**
 * How rows are counted and dumps loaded, by the scripts that run in containers of databases: with a PostgreSQL and a
 * MariaDB of this machine, dumped by the hooks of our releases. MongoDB is a stand-in. SQLite's needs Python, as its
 * container has.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { load } from 'js-yaml'
import * as assert from 'uvu/assert'
import { type DatabaseKind, databaseOf, tablesOf } from '../../lib/backup/databases.ts'
import { ROOT } from '../../lib/script/files.ts'
import { until } from '../../lib/script/wait.ts'
import { readObjects } from '../bed/build/data.ts'
import { all, suite } from '../suite.ts'

const test = suite('databases')
const folder = mkdtempSync(join(tmpdir(), 'oas-databases-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

/** A script of a container, where its folder is one of ours. */
const here = (script: string, path: string, to: string) => script.replaceAll(path, to)

/** The hook in values of ours, and the kind of database that it dumps. */
function hookOf(file: string): { hook: string[]; kind: DatabaseKind } {
  const [values] = readObjects(join(ROOT, 'flux2', file))
    .filter(({ kind, data }) => kind === 'ConfigMap' && data['values.yaml'])
    .map(({ data }) => load(data['values.yaml']) as { podAnnotations: Record<string, string> })
  const hook = values!.podAnnotations['pre.hook.backup.velero.io/command']!
  return { hook: JSON.parse(hook), kind: databaseOf(hook)! }
}

/** A program in a folder that is searched first. */
function program(name: string, script: string): void {
  writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`)
  chmodSync(join(folder, name), 0o755)
}

if (all) {
  const VERSIONS = '/usr/lib/postgresql'
  const data = join(folder, 'data')
  const socket = join(folder, 'socket')
  const [newest = ''] = readdirSync(VERSIONS).sort((a, b) => Number(b) - Number(a))
  const PATH = `${join(VERSIONS, newest, 'bin')}:${process.env.PATH}`
  /** As its user: PostgreSQL refuses to run as root. */
  const sh = (script: string, input = '') =>
    spawnSync(
      'setpriv',
      [
        '--reuid=postgres',
        '--regid=postgres',
        '--clear-groups',
        '--',
        'sh',
        '-c',
        here(script, '/var/lib/postgresql/data', data),
      ],
      { encoding: 'utf8', cwd: '/', input, env: { PATH, PGHOST: socket, HOME: '/tmp' } },
    )
  const {
    hook,
    kind: { count, load: restore },
  } = hookOf('core/single-sign-on/database/values.yaml')

  test.before(() => {
    const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
    for (const each of [folder, data, socket]) {
      mkdirSync(each, { recursive: true })
      chownSync(each, id('-u'), id('-g'))
    }
    const started = sh(
      `initdb -D ${data}/pg -A trust -U postgres -N >/dev/null && pg_ctl -D ${data}/pg -o "-h '' -k ${socket} -F" -w -l ${folder}/log start >/dev/null`,
    )
    assert.is(started.status, 0, started.stderr)
  })
  test.after(() => {
    sh(`pg_ctl -D ${data}/pg -m immediate stop`)
  })

  test('PostgreSQL: rows of every table; a dump is loaded over what is there, while somebody is connected', () => {
    sh(
      'psql -q -U postgres',
      `create role owner login password 'x';\ncreate database "of one's own" owner owner;\n\\c "of one's own"
       create table items (id serial primary key, text text);
       insert into items (text) select 'item ' || i from generate_series(1, 5000) i;
       create table "Odd.Name" (v text); insert into "Odd.Name" values ('x'); create schema s; create table s.t (a int);\n`,
    )
    const whole = {
      "of one's own.public.Odd.Name": 1,
      "of one's own.public.items": 5000,
      "of one's own.s.t": 0,
    }
    const counted = () => tablesOf(sh(count).stdout)
    assert.equal(counted(), whole)
    assert.is(sh(restore).status, 4)
    const [shell = '', flag = '', script = ''] = hook
    assert.equal([shell, flag], ['/bin/sh', '-c'])
    const dumped = sh(script)
    assert.is(dumped.status, 0, dumped.stderr)
    sh(`psql -U postgres -d "of one's own" -c 'delete from items where id > 10' -c 'drop table s.t'`)
    sh(`(psql -U postgres -d "of one's own" -c 'select pg_sleep(60)' >/dev/null 2>&1 &) ; sleep 1`)
    const loaded = sh(restore)
    assert.is(loaded.status, 0, loaded.stderr)
    assert.equal(counted(), whole)
  })

  test('PostgreSQL: a dump that was cut off is not loaded; one that the server refuses is told', () => {
    copyFileSync(join(data, 'dump.sql'), join(folder, 'kept'))
    assert.is(sh('cd /var/lib/postgresql/data && head -c 900 dump.sql > half && mv half dump.sql').status, 0)
    assert.is(sh(restore).status, 4)
    copyFileSync(join(folder, 'kept'), join(data, 'dump.sql'))
    sh(
      'cd /var/lib/postgresql/data && (echo "select no_such_function();"; echo "-- PostgreSQL database cluster dump complete") >> dump.sql',
    )
    const { status, stderr } = sh(restore)
    assert.is(status, 1)
    assert.match(stderr, /no_such_function/)
    copyFileSync(join(folder, 'kept'), join(data, 'dump.sql'))
  })

  test('PostgreSQL: a load whose connection breaks off is told, and loads the dump when it runs again', () => {
    for (const [ends, told] of [
      [
        'select pg_terminate_backend(pg_backend_pid());',
        /FATAL: +terminating connection due to administrator/,
      ],
      // The process that serves this connection is killed, and the server recovers.
      ["copy (select 1) to program 'kill -9 $PPID';", /psql has ended with 2|connection to server was lost/],
    ] as const) {
      const whole = readFileSync(join(folder, 'kept'), 'utf8')
      writeFileSync(join(data, 'dump.sql'), whole.replace('\nCREATE ROLE', `\n${ends}\nCREATE ROLE`))
      const { status, stderr } = sh(restore)
      assert.is(status, 1, stderr)
      assert.match(stderr, told)
    }
    copyFileSync(join(folder, 'kept'), join(data, 'dump.sql'))
    sh('until psql -U postgres -c "select 1"; do sleep 0.2; done')
    const again = sh(restore)
    assert.is(again.status, 0, again.stderr)
    assert.is(tablesOf(sh(count).stdout)["of one's own.public.items"], 5000)
  })

  /** As its user, in place of the container's: it refuses to run as root, too. */
  const mariadb = join(folder, 'mariadb-data')
  const password = 'a "root" password'
  const asMysql = ([shell = '', ...args]: readonly string[]) =>
    spawnSync(
      'setpriv',
      [
        ...['--reuid=mysql', '--regid=mysql', '--clear-groups', '--', shell],
        ...args.map(each => here(each, '/var/lib/mysql', mariadb)),
      ],
      {
        encoding: 'utf8',
        cwd: '/',
        env: { PATH: `${folder}:${process.env.PATH}:/usr/sbin`, MARIADB_ROOT_PASSWORD: password },
      },
    )
  const sql = (text: string, ...args: string[]) =>
    execFileSync(join(folder, 'mariadb'), ['--user=root', `--password=${password}`, ...args], {
      encoding: 'utf8',
      input: text,
    })
  let server: ChildProcess

  test('MariaDB: rows of every table; a dump of our hook is loaded over what is there, users too', async () => {
    const id = (flag: string) => Number(execFileSync('id', [flag, 'mysql'], { encoding: 'utf8' }))
    chmodSync(folder, 0o755)
    mkdirSync(mariadb)
    chownSync(mariadb, id('-u'), id('-g'))
    // The clients ask this server, whatever the settings of this machine say.
    for (const name of ['mariadb', 'mariadb-dump'])
      program(name, `exec /usr/bin/${name} --no-defaults --socket=${mariadb}/socket "$@"`)
    const made = asMysql([
      'mariadb-install-db',
      ...[
        '--no-defaults',
        `--datadir=${mariadb}`,
        '--skip-test-db',
        '--auth-root-authentication-method=normal',
      ],
    ])
    assert.is(made.status, 0, made.stderr)
    server = spawn(
      'setpriv',
      [
        ...['--reuid=mysql', '--regid=mysql', '--clear-groups', '--', '/usr/sbin/mariadbd', '--no-defaults'],
        ...[
          `--datadir=${mariadb}`,
          `--socket=${mariadb}/socket`,
          '--skip-networking',
          '--innodb-flush-method=fsync',
        ],
      ],
      { stdio: 'ignore' },
    )
    process.once('exit', () => server.kill('SIGKILL'))
    await until(async () => (existsSync(`${mariadb}/socket`) ? { done: true } : { last: 'it starts' }), {
      deadline: 60_000,
      every: 200,
      describe: String,
    })
    execFileSync(join(folder, 'mariadb'), ['--user=root'], {
      input: `set names utf8mb4; create database nextcloud; create user nextcloud identified by 'its own';
        grant all on nextcloud.* to nextcloud; create database \`of one's own\`;
        create table nextcloud.files (id int primary key, name text, etag blob) character set utf8mb4;
        insert into nextcloud.files select seq, concat('file ', seq, ' 🗎 \\'"\\n'), unhex(sha2(seq, 256)) from nextcloud.seq_1_to_5000;
        create table \`of one's own\`.\`odd \`\`.name\` (a int); create view nextcloud.v as select 1;
        set password for root@localhost = password('${password}')`,
    })
    const whole = { 'nextcloud.files': 5000, "of one's own.odd `.name": 0 }
    const { hook, kind } = hookOf('apps/nextcloud/values-mariadb.yaml')
    assert.equal(hookOf('apps/wordpress/values-mariadb.yaml').hook, hook)
    const shell = (script: string) => asMysql(['sh', '-c', script])
    const counted = () => tablesOf(shell(kind.count).stdout)
    assert.equal(counted(), whole, shell(kind.count).stderr)
    assert.is(shell(kind.load).status, 4)
    const sums = () => sql('select sum(crc32(concat(id, name, hex(etag)))) from nextcloud.files', '-N')
    const before = sums()
    const dumped = asMysql(hook)
    assert.is(dumped.status, 0, dumped.stderr)
    sql("delete from nextcloud.files where id > 10; drop database `of one's own`; drop user nextcloud")
    const loaded = shell(kind.load)
    assert.is(loaded.status, 0, loaded.stderr)
    assert.equal([counted(), sums()], [whole, before])
    const login = [
      '--user=nextcloud',
      '--password=its own',
      '-N',
      '-e',
      'select count(*) from nextcloud.files',
    ]
    assert.is(execFileSync(join(folder, 'mariadb'), login, { encoding: 'utf8' }).trim(), '5000')
  })

  test('MariaDB: a dump that is cut off leaves the last one as it is, and is not loaded; a wrong one is told', () => {
    const { hook, kind } = hookOf('apps/nextcloud/values-mariadb.yaml')
    const dump = join(mariadb, 'velero-dump.sql')
    const good = readFileSync(dump)
    const [bash = '', flag = '', script = ''] = hook
    // The disk is full for it at 100 KiB, it is killed, its server is gone.
    const full = asMysql([bash, flag, `ulimit -f 100; ${script}`])
    assert.is.not(full.status, 0)
    assert.ok(readFileSync(`${dump}.new`).length > 0 && readFileSync(`${dump}.new`).length < good.length)
    program('mariadb-dump', `exec /usr/bin/mariadb-dump --no-defaults --socket=${mariadb}/nobody "$@"`)
    assert.is.not(asMysql(hook).status, 0)
    program(
      'mariadb-dump',
      `/usr/bin/mariadb-dump --no-defaults --socket=${mariadb}/socket "$@" | head -c 70000`,
    )
    assert.is.not(asMysql(hook).status, 0)
    assert.equal(readFileSync(dump), good)
    copyFileSync(`${dump}.new`, dump)
    assert.is(asMysql(['sh', '-c', kind.load]).status, 4)
    writeFileSync(dump, Buffer.concat([Buffer.from('select no_such_function();\n'), good]))
    const { status, stderr } = asMysql(['sh', '-c', kind.load])
    assert.is(status, 1)
    assert.match(stderr, /no_such_function/)
  })
  test.after(() => void server?.kill('SIGKILL'))
}

test('MongoDB, a stand-in: documents of every collection, our dump and its load; a cut off one changes nothing', () => {
  const data = join(folder, 'db')
  const file = join(folder, 'databases.json')
  mkdirSync(data)
  for (const name of ['mongodump', 'mongorestore', 'mongosh'])
    program(
      name,
      `exec ${process.execPath} --import ${import.meta.resolve('tsx')} ${join(ROOT, 'test/host/mongodb-stand-in.ts')} ${name} "$@"`,
    )
  const secret = 'p%40ss/w:rd'
  const run = ([shell = '', ...args]: readonly string[], more: Record<string, string> = {}) =>
    spawnSync(
      shell,
      args.map(each => here(each, '/data/db', data)),
      {
        encoding: 'utf8',
        env: {
          PATH: `${folder}:${process.env.PATH}`,
          MONGO_STATE: file,
          MONGO_PASSWORD: secret,
          MONGO_INITDB_ROOT_USERNAME: 'root',
          MONGO_INITDB_ROOT_PASSWORD: secret,
          ...more,
        },
      },
    )
  const { hook, kind } = hookOf('apps/rocketchat/values-mongodb.yaml')
  const sh = (script: string, more?: Record<string, string>) => run(['sh', '-c', script], more)
  const write = (messages: number[]) =>
    writeFileSync(file, JSON.stringify({ rocketchat: { rocketchat_message: messages, users: [1] } }))
  write([1, 2, 3])
  const whole = { 'rocketchat.rocketchat_message': 3, 'rocketchat.users': 1 }
  assert.equal(tablesOf(sh(kind.count).stdout), whole, sh(kind.count).stderr)
  assert.is(sh(kind.load).status, 4)
  const dumped = run(hook)
  assert.is(dumped.status, 0, dumped.stderr)
  const dump = join(data, 'velero-dump.archive')
  const good = readFileSync(dump)
  write([])
  assert.is.not(run(hook, { MONGO_DIES: '1' }).status, 0)
  assert.is.not(run(hook, { MONGO_INITDB_ROOT_PASSWORD: 'wrong' }).status, 0)
  assert.equal(readFileSync(dump), good)
  const loaded = sh(kind.load)
  assert.is(loaded.status, 0, loaded.stderr)
  assert.equal(tablesOf(sh(kind.count).stdout), whole)
  copyFileSync(`${dump}.new`, dump)
  assert.is(sh(kind.load).status, 4)
})

const python = spawnSync('python3', ['-c', 'import sqlite3'])
if (python.status === 0)
  test('SQLite: rows of every table, and the copy beside a database takes its place', () => {
    const { count, load: restore } = databaseOf('exec(os.environ["DUMP"])') as DatabaseKind
    const sh = (script: string) =>
      spawnSync('sh', ['-c', here(script, '/state/', `${folder}/`)], { encoding: 'utf8' })
    const sql = (...statements: string[]) =>
      execFileSync('python3', [
        '-c',
        'import sqlite3, sys\nbase = sqlite3.connect(sys.argv[1])\nfor each in sys.argv[2:]: base.execute(each)\nbase.commit()',
        join(folder, 'wekan.sqlite'),
        ...statements,
      ])
    sql('create table cards (a)', 'create table "odd ""name" (a)', 'insert into cards values (1), (2), (3)')
    const whole = { 'wekan.sqlite.cards': 3, 'wekan.sqlite.odd "name': 0 }
    assert.equal(tablesOf(sh(count).stdout), whole)
    assert.is(sh(restore).status, 4)
    copyFileSync(join(folder, 'wekan.sqlite'), join(folder, 'wekan.sqlite.velero-dump'))
    sql('delete from cards where a > 1')
    assert.equal(tablesOf(sh(count).stdout), { ...whole, 'wekan.sqlite.cards': 1 })
    const loaded = sh(restore)
    assert.is(loaded.status, 0, loaded.stderr)
    assert.equal(tablesOf(sh(count).stdout), whole)
  })

test.run()
