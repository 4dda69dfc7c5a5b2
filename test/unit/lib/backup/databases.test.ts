/** How the load of PostgreSQL judges what psql says, with a stand-in for psql: the real one is in test/host. */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { databaseOf } from '../../../../lib/backup/databases.ts'
import { suite } from '../../../suite.ts'

const test = suite('databases')
const folder = mkdtempSync(join(tmpdir(), 'oas-load-'))
test.after(() => rmSync(folder, { recursive: true }))

/** Loads a dump with a psql that, asked to read it, does this. */
function load(does: string) {
  const psql = join(folder, 'psql')
  writeFileSync(psql, `#!/bin/sh\ncase "$*" in *-f\\ dump.sql*) ${does} ;; esac\n`)
  chmodSync(psql, 0o755)
  writeFileSync(join(folder, 'dump.sql'), '-- PostgreSQL database cluster dump complete\n')
  const script = databaseOf('pg_dumpall')!.load.replace('/var/lib/postgresql/data', folder)
  const env = { PATH: `${folder}:${process.env.PATH}` }
  return spawnSync('sh', ['-c', script], { encoding: 'utf8', env })
}
const says = (text: string, status = 0) => `echo '${text}' >&2; exit ${status}`

test('a load is good when every statement was taken, and a role that exists is not an error', () => {
  const there = 'psql:dump.sql:14: ERROR:  role "postgres" already exists'
  for (const does of ['exit 0', says(there), says('psql:dump.sql:3: NOTICE:  no error here')])
    assert.is(load(does).status, 0, does)
})

test('a load that the server refuses, or that breaks off, is not good, and says why', () => {
  for (const [text, status] of [
    ['psql:dump.sql:9: ERROR:  relation "a" does not exist', 0],
    ['psql:dump.sql:9: FATAL:  terminating connection due to administrator command', 2],
    ['psql:dump.sql:9: error: connection to server was lost', 2],
    ['psql:dump.sql:9: error: You are currently not connected to a database.', 0],
    ['PANIC:  could not write to file "pg_wal/xlogtemp.9": No space left on device', 2],
  ] as const) {
    const { status: ended, stderr } = load(says(text, status))
    assert.is(ended, 1, text)
    assert.match(stderr, text)
  }
  // Older versions do not call it an error.
  assert.match(load(says('server closed the connection unexpectedly', 2)).stderr, 'psql has ended with 2')
  assert.is(load('kill -9 $$').status, 1)
})

test.run()
