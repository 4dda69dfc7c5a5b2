/**
 * The hooks that make a dump of each database before its volume is copied, run as they are in the manifests. The
 * programs that dump are stand-ins: short shell scripts that write what a test wants.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { load } from 'js-yaml'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT } from '../../../lib/script/files.ts'

const HOOK = 'pre.hook.backup.velero.io/command'

/** The command of the hook in a file of values. */
function hookOf(file: string): string[] {
  const text = readFileSync(join(ROOT, 'flux2', file), 'utf8')
  const annotation = new RegExp(`${HOOK}: (>-\\n(?: {8}.*\\n)+|.*\\n)`).exec(text)![0]
  const { [HOOK]: command } = load(annotation.replaceAll(/^ {8}/gm, '  ')) as { [HOOK]: string }
  return JSON.parse(command)
}

const WHOLE_SQL = 'printf "rows\\n-- Dump completed on 2026-01-01\\n"'
const DATABASES = [
  [
    'nextcloud',
    'apps/nextcloud/values-mariadb.yaml',
    '/var/lib/mysql',
    'mariadb-dump',
    'velero-dump.sql',
    WHOLE_SQL,
  ],
  [
    'wordpress',
    'apps/wordpress/values-mariadb.yaml',
    '/var/lib/mysql',
    'mariadb-dump',
    'velero-dump.sql',
    WHOLE_SQL,
  ],
  [
    'single sign-on',
    'core/single-sign-on/database/values.yaml',
    '/var/lib/postgresql/data',
    'pg_dumpall',
    'dump.sql',
    'printf "rows\\n--\\n-- PostgreSQL database cluster dump complete\\n--\\n\\n"',
  ],
  [
    'rocketchat',
    'apps/rocketchat/values-mongodb.yaml',
    '/data/db',
    'mongodump',
    'velero-dump.archive',
    'printf "rows\\377\\377\\377\\377" > velero-dump.archive.new',
  ],
] as const

test('MariaDB does not take the folder that Velero leaves in a restored volume for a database', () => {
  for (const [, file, , program] of DATABASES)
    if (program === 'mariadb-dump')
      assert.match(readFileSync(join(ROOT, 'flux2', file), 'utf8'), /^ +- --ignore-db-dirs=\.velero$/m)
})

for (const [name, file, data, program, dump, whole] of DATABASES)
  test(`the dump of ${name}: only a whole one takes the place of the last one`, () => {
    const folder = mkdtempSync(join(tmpdir(), 'oas-dump-'))
    try {
      const run = (script: string) => {
        writeFileSync(join(folder, program), `#!/bin/sh\n${script}\n`)
        chmodSync(join(folder, program), 0o755)
        const [shell, ...args] = hookOf(file).map(part => part.replaceAll(data, folder))
        const env = { PATH: `${folder}:${process.env.PATH}`, MARIADB_ROOT_PASSWORD: 'x' }
        return spawnSync(shell!, args, { env, timeout: 20_000 }).status
      }
      const last = () => readFileSync(join(folder, dump), 'latin1')

      assert.is(run(whole), 0)
      const good = last()
      assert.match(good, 'rows')
      assert.is(statSync(join(folder, dump)).mode & 0o077, 0, 'nobody else reads it')
      // It fails in the middle; it is cut off without an error; it writes nothing at all.
      const half = whole.replace(/(rows)[^"]*"/, 'half"')
      for (const broken of [`${half}; exit 3`, half, 'true']) {
        assert.is.not(run(broken), 0, broken)
        assert.is(last(), good)
      }
      assert.is(run(whole), 0)
      assert.not.ok(existsSync(join(folder, `${dump}.new`)))
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

test('the dump of Wekan copies its SQLite databases, and fails without one or with a damaged one', () => {
  const folder = mkdtempSync(join(tmpdir(), 'oas-dump-'))
  const text = readFileSync(join(ROOT, 'flux2/apps/wekan/release.yaml'), 'utf8')
  const [, program = ''] = /- name: DUMP\n\s+value: \|\n((?: {30}.*\n)+)/.exec(text) ?? []
  const python = (script: string) => spawnSync('python3', ['-c', script], { timeout: 20_000 })
  const dump = () => python(program.replaceAll(/^ {30}/gm, '').replaceAll('/state', folder)).status
  try {
    assert.is(dump(), 1, 'there is no database')
    const database = join(folder, 'wekan.sqlite')
    const make = `import sqlite3; c = sqlite3.connect('${database}'); c.execute('create table t (a)'); c.execute('insert into t values (7)'); c.commit()`
    assert.is(python(make).status, 0)
    writeFileSync(`${database}.new-dump`, 'what a killed backup has left')
    assert.is(dump(), 0)
    const good = readFileSync(`${database}.velero-dump`)
    assert.is(good.subarray(0, 15).toString(), 'SQLite format 3')
    writeFileSync(database, 'no database any more, but something else')
    assert.is.not(dump(), 0)
    assert.equal(readFileSync(`${database}.velero-dump`), good)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test.run()
