import {
  type AdminMetadata,
  type Identity,
  isAdmin,
  type Role,
  type Traits,
} from '../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import { importableHash, traitProblems } from '../../lib/platform/old-accounts.ts'
import { ExpectedError, throwAll } from '../../lib/script/errors.ts'
import { suggestion } from '../../lib/script/flags.ts'
import { registerSecret } from '../../lib/script/redact.ts'
import { csvRows, csvText } from './csv.ts'

/** A user of a file. What the file has no column for is undefined. */
export interface Person {
  traits: Traits
  admin?: boolean
  apps?: Record<string, Role>
  /** The hash of a password that another user backend has kept, as kratos imports it. */
  hash?: string
}

/** What an export has; an import may have the hash of a password, too. */
const COLUMNS = ['username', 'email', 'name', 'admin', 'apps'] as const
const HASH = 'password_hash'
type Column = (typeof COLUMNS)[number] | typeof HASH
const YES = ['yes', 'true', 'on', '1']
const NO = ['no', 'false', 'off', '0', '']

/** `APP` or `APP=admin`, each an application that is registered. Throws what is wrong, all at once. Pure. */
export function grantsOf(words: readonly string[], known: readonly string[]): Record<string, Role> {
  const problems: ExpectedError[] = []
  const grants = words.map((word): [string, Role] => {
    const [app = '', role = 'user', ...more] = word.split('=')
    if (!known.includes(app))
      problems.push(
        new ExpectedError(
          `application ${JSON.stringify(app)} is not registered`,
          known.length > 0 ? suggestion(app, known) : 'install it first: npx tsx scripts/install-app.ts',
        ),
      )
    if ((role !== 'user' && role !== 'admin') || more.length > 0)
      problems.push(new ExpectedError(`${JSON.stringify(word)} is not a grant`, 'write APP or APP=admin'))
    return [app, role === 'admin' ? 'admin' : 'user']
  })
  throwAll(problems)
  return Object.fromEntries(grants)
}

/** The grants of a user as words: `nextcloud wekan=admin`; undefined when none were ever set. Pure. */
export function grantWords(metadata: AdminMetadata | null | undefined): string | undefined {
  return (
    metadata?.apps &&
    Object.entries(metadata.apps)
      .map(([app, role]) => (role === 'admin' ? `${app}=admin` : app))
      .sort()
      .join(' ')
  )
}

/** The people of a CSV file. Throws everything that is wrong with it at once, with the lines. Pure. */
export function peopleOf(text: string, known: readonly string[]): Person[] {
  const [heading, ...rows] = csvRows(text)
  const columns = (heading?.cells ?? []).map(name => name.toLowerCase())
  const unknown = columns.filter(name => name !== HASH && !(COLUMNS as readonly string[]).includes(name))
  const missing = ['username', 'email'].filter(name => !columns.includes(name))
  if (unknown.length > 0 || missing.length > 0 || new Set(columns).size < columns.length)
    throw new ExpectedError(
      `the first line does not name the columns: ${[...missing.map(name => `${name} is missing`), ...unknown.map(name => `${JSON.stringify(name)} is unknown`)].join(', ') || 'a column appears twice'}`,
      `begin the file with: ${COLUMNS.join(',')}`,
    )
  const problems: ExpectedError[] = []
  const seen = new Map<string, number>()
  const people = rows.map(({ line, cells }): Person => {
    const wrong = (message: string, fix = `correct line ${line}`) =>
      problems.push(new ExpectedError(`line ${line}: ${message}`, fix))
    if (cells.length !== columns.length) wrong(`${cells.length} cells in place of ${columns.length}`)
    const cell = (column: Column) =>
      columns.includes(column) ? (cells[columns.indexOf(column)] ?? '') : undefined
    const traits = { username: cell('username') ?? '', email: cell('email') ?? '', name: cell('name') }
    for (const problem of traitProblems(traits)) wrong(problem)
    for (const value of [traits.username, traits.email.toLowerCase()]) {
      const before = seen.get(value)
      if (before !== undefined) wrong(`${value} appears twice, first in line ${before}`)
      seen.set(value, line)
    }
    const stored = cell(HASH)
    if (stored) registerSecret(stored)
    const hash = stored ? importableHash(stored) : undefined
    if (stored && !hash)
      wrong(
        `the ${HASH} of ${traits.username} is of a kind that kratos cannot import`,
        'leave the cell empty, and hand out a code: reset-password',
      )
    if (hash) registerSecret(hash)
    const admin = cell('admin')?.toLowerCase()
    if (admin !== undefined && ![...YES, ...NO].includes(admin)) wrong('admin is neither yes nor no')
    let apps: Record<string, Role> | undefined
    try {
      apps =
        cell('apps') === undefined
          ? undefined
          : grantsOf(
              cell('apps')!
                .split(/[\s;]+/)
                .filter(Boolean),
              known,
            )
    } catch (error) {
      if (!(error instanceof ExpectedError)) throw error
      const { problems: all = [error] } = error as { problems?: ExpectedError[] }
      for (const { message, fix } of all) wrong(message, fix)
    }
    return { traits, admin: admin === undefined ? undefined : YES.includes(admin), apps, hash }
  })
  throwAll(problems)
  return people
}

/** Users as a file that `import` reads; deleted ones are left out. Pure. */
export function exportText(people: readonly Identity[]): string {
  const rows = people
    .filter(person => !person.metadata_admin?.deleted)
    .map(({ traits: { username, email, name }, metadata_admin }) => [
      username,
      email,
      name ?? '',
      metadata_admin?.admin ? 'yes' : 'no',
      grantWords(metadata_admin) ?? '',
    ])
  return csvText([COLUMNS, ...rows])
}

/** The state of a user, in one word. Pure. */
export function stateOf(person: Identity): string {
  if (person.metadata_admin?.deleted) return 'deleted'
  return person.state === 'active' ? 'active' : 'disabled'
}

/** What a table says of a user; `legacy`: whoever has no grants may open everything. Pure. */
export function rowOf(person: Identity, legacy: boolean): string[] {
  const { username, email, name } = person.traits
  const granted = grantWords(person.metadata_admin)
  const without = legacy ? 'all: no grants yet' : 'nothing: no grants yet'
  const access = isAdmin(person)
    ? 'all, as administrator'
    : granted === undefined
      ? without
      : granted || 'nothing'
  return [username, email, name ?? '', stateOf(person), access]
}
