/**
 * How rows are counted and dumps loaded, by the scripts that run in containers of databases: with a PostgreSQL of this
 * machine, dumped by the hook of our release. SQLite's needs Python, as its container has.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { chownSync, copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { load } from 'js-yaml'
import * as assert from 'uvu/assert'
import { type DatabaseKind, databaseOf, tablesOf } from '../../lib/backup/databases.ts'
import { ROOT } from '../../lib/script/files.ts'
import { readObjects } from '../bed/build/data.ts'
import { all, suite } from '../suite.ts'

const test = suite('databases')
const folder = mkdtempSync(join(tmpdir(), 'oas-databases-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

/** A script of a container, where its folder is one of ours. */
const here = (script: string, path: string, to: string) => script.replaceAll(path, to)

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
  const values = readObjects(join(ROOT, 'flux2/core/single-sign-on/database/values.yaml'))
    .filter(({ kind }) => kind === 'ConfigMap')
    .map(config => load(config.data['values.yaml']) as { podAnnotations: Record<string, string> })[0]!
  const hook = values.podAnnotations['pre.hook.backup.velero.io/command']!
  const { count, load: restore } = databaseOf(hook) as DatabaseKind

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
    const [shell = '', flag = '', script = ''] = JSON.parse(hook)
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
}

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
