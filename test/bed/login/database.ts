import { chownSync, existsSync, mkdtempSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ExpectedError } from '../../../lib/script/errors.ts'
import { until } from '../../../lib/script/wait.ts'
import { run } from '../build/shell.ts'
import type { Processes } from './processes.ts'

/** Debian keeps every major version's programs in a folder of its own. */
const VERSIONS = '/usr/lib/postgresql'

function programs(): string {
  const [newest = ''] = readdirSync(VERSIONS).sort((a, b) => Number(b) - Number(a))
  return join(VERSIONS, newest, 'bin')
}

/** The path of one of PostgreSQL's programs. */
export function databaseProgram(name: string): string {
  return join(programs(), name)
}

/** Throws an ExpectedError when PostgreSQL is not installed. */
export function checkDatabase(): void {
  if (!existsSync(VERSIONS))
    throw new ExpectedError(
      `single sign-on needs PostgreSQL, and ${VERSIONS} does not exist`,
      'install it: apt-get install postgresql; or omit --login',
    )
}

/** PostgreSQL refuses to run as root. */
const AS_POSTGRES = ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups', '--']

/** What flux2/core/single-sign-on/database/values.yaml creates. */
const DATABASES = ['hydra', 'kratos']

/**
 * Starts PostgreSQL on a loopback port, with the databases and roles of hydra and kratos. Returns the folder of its
 * data, which has to be one that its user reaches: whoever stops it removes that.
 */
export async function startDatabase(processes: Processes, port: number): Promise<string> {
  const bin = programs()
  const isRoot = process.getuid?.() === 0
  // A temporary folder of root's own, as the sandbox gives its processes one, would be closed to that user.
  const data = mkdtempSync(join(isRoot ? '/tmp' : tmpdir(), 'oas-postgresql-'))
  const as = (...command: string[]) => (isRoot ? [...AS_POSTGRES, ...command] : command)
  if (isRoot) {
    const idOf = async (flag: string) => Number(await run('id', [flag, 'postgres']))
    chownSync(data, await idOf('-u'), await idOf('-g'))
  }
  const [program = '', ...args] = as(join(bin, 'initdb'), '-D', data, '-A', 'trust', '-U', 'postgres', '-N')
  await run(program, args, { cwd: '/' })
  processes.start(
    'postgresql',
    as(join(bin, 'postgres'), '-D', data, '-p', String(port), '-h', '127.0.0.1', '-k', '', '-F'),
  )
  const psql = (sql: string) =>
    run(join(bin, 'psql'), ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', '-qc', sql], {
      cwd: '/',
    })
  await until(
    () =>
      psql('SELECT 1').then(
        () => ({ done: true }),
        () => ({ last: undefined }),
      ),
    { deadline: 60_000, every: 200, describe: () => processes.log('postgresql').slice(-400) },
  )
  for (const name of DATABASES) {
    await psql(`CREATE ROLE ${name} LOGIN`)
    await psql(`CREATE DATABASE ${name} OWNER ${name}`)
  }
  return data
}
