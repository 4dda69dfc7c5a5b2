/** Which table and columns of an unknown user backend hold what kratos needs. Pure: it reads a layout and samples. */

import { importableHash } from '../../../lib/platform/old-accounts.ts'
import { ExpectedError, throwAll, UsageError } from '../../../lib/script/errors.ts'
import type { Key, Table, TableLayout } from './layout.ts'

/** Where texts about a user stand: in a table with a key to the users, or in one that it refers to. */
export interface Link {
  /** The table with the key `user` to the users' `id`; the users' own table when that is its own `id`. */
  via: string
  user: string
  /** The users' column that `user` refers to. */
  id: string
  /** The table that `via` refers to; without it the text stands in `via` itself. */
  target?: Key
  /** The column with the text. */
  value: string
  /** Beside an application: the user's role in it, found the same way. */
  role?: { target?: Key; value: string }
}

/** Where everything is. */
export interface Mapping {
  database: string
  users: string
  id: string
  username: string
  email: string
  /** Joined by a space. */
  name: string[]
  password?: string
  active?: string
  /** The column with the `sub` that applications know people by. */
  subject: string
  /** Columns of the users that say who administers the platform, and texts that do. */
  isAdmin: string[]
  roles: Link[]
  apps: Link[]
}

/** A row of a table, as text. */
export type Sample = Record<string, string | null>

/** What `--map` may name. */
const FIELDS = [
  'database',
  'users',
  'username',
  'email',
  'name',
  'password',
  'active',
  'subject',
  'admin',
  'apps',
] as const
type Field = (typeof FIELDS)[number]
/** What the administrator says of a mapping: `users=public.people`. */
export type Corrections = Partial<Record<Field, string>>

const USERNAME = [
  'username',
  'user_name',
  'login',
  'loginname',
  'login_name',
  'nickname',
  'uid',
  'account',
  'name',
]
const EMAIL = ['email', 'email_address', 'emailaddress', 'mail', 'e_mail', 'primary_email']
const PASSWORD = [
  'password_hash',
  'hashed_password',
  'passwordhash',
  'password',
  'encrypted_password',
  'password_digest',
  'passwd',
  'pw_hash',
  'pwhash',
  'hash',
]
const FULL_NAME = ['full_name', 'fullname', 'display_name', 'displayname', 'real_name', 'name']
const FIRST_NAME = ['first_name', 'firstname', 'given_name']
const LAST_NAME = ['last_name', 'lastname', 'family_name', 'surname']
const ACTIVE = ['active', 'is_active', 'enabled', 'is_enabled']
const ADMIN = ['is_admin', 'admin', 'is_superuser', 'superuser', 'administrator', 'is_administrator']
const SUBJECT = ['sub', 'subject', 'openid_sub', 'oidc_sub', 'openid_subject']
const LABEL = ['name', 'slug', 'title', 'key', 'code', 'client_id', 'identifier', 'label']
const ROLE_COLUMN = ['role', 'role_name', 'level', 'is_admin', 'admin']
const APP_COLUMN = ['app', 'application', 'app_name', 'application_name', 'client_id', 'client', 'service']

/** The texts of `--map FIELD=COLUMN`. Throws a UsageError for any other. Pure. */
export function correctionsOf(words: readonly string[]): Corrections {
  const problems: UsageError[] = []
  const pairs = words.map(word => {
    const [field = '', ...rest] = word.split('=')
    const value = rest.join('=')
    if (!(FIELDS as readonly string[]).includes(field) || value === '')
      problems.push(
        new UsageError(
          `--map ${JSON.stringify(word)} is not FIELD=COLUMN`,
          `FIELD is one of ${FIELDS.join(', ')}; for example --map password=pw_hash`,
        ),
      )
    return [field, value]
  })
  throwAll(problems)
  return Object.fromEntries(pairs)
}

const bare = (table: string) => table.slice(table.indexOf('.') + 1)
const isAdminText = (text: string) =>
  /^(admin|admins|administrator|administrators|superuser|superusers)$/i.test(text)
/** What a row has in a column; a column may be called as what every object has. */
function cellOf(row: Sample, column: string): string {
  const cell = Object.hasOwn(row, column) ? row[column] : undefined
  return typeof cell === 'string' ? cell : ''
}
const isTextual = (type: string | undefined) => /char|text|citext|USER-DEFINED/i.test(type ?? '')
const first = (columns: Record<string, string>, names: readonly string[]) =>
  names.find(name => Object.hasOwn(columns, name))

/** How much a table looks like that of the users; 0 for one that cannot be it. */
function likeness({ name, columns }: Table): number {
  const username = first(columns, USERNAME)
  if (!username || !first(columns, EMAIL)) return 0
  return (
    1 +
    (username === 'name' ? 0 : 3) +
    (first(columns, PASSWORD) ? 4 : 0) +
    (/(^|_)users?$/i.test(bare(name)) ? 3 : /user|account|member|people|person/i.test(bare(name)) ? 2 : 0)
  )
}

/** Whether a layout has a table that may be that of the users. Pure. */
export function hasUsers({ tables }: TableLayout): boolean {
  return tables.some(table => likeness(table) >= 4)
}

/**
 * The table of the users: the one that looks most like it, or the one that the administrator names. Throws an
 * ExpectedError that lists what there is. Pure.
 */
export function usersTable(
  { tables, database }: TableLayout,
  { users, username, email }: Corrections,
): Table {
  const name = (each: Table) => each.name
  if (users !== undefined) {
    const found = tables.filter(table => table.name === users || bare(table.name) === users)
    if (found.length === 1) return found[0]!
    throw new UsageError(
      `--map users=${users}: ${found.length === 0 ? `the database ${database} does not have that table` : 'several schemas have that table'}`,
      `one of ${listed((found.length > 0 ? found : tables).map(name))}`,
    )
  }
  const given = [username, email].filter(column => column !== undefined)
  const scored = tables
    .map(table => ({
      table,
      score:
        likeness(table) +
        (given.length > 0 && given.every(column => Object.hasOwn(table.columns, column)) ? 4 : 0),
    }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score)
  const [best, next] = scored
  if (best && best.score > (next?.score ?? 0)) return best.table
  throw new ExpectedError(
    best
      ? `several tables of the database ${database} may be that of the users: ${listed(scored.filter(({ score }) => score === best.score).map(({ table }) => table.name))}`
      : `no table of the database ${database} looks like that of the users: it has ${listed(tables.map(name))}`,
    'say which: --map users=TABLE (and --map username=COLUMN, --map email=COLUMN where they have other names)',
  )
}

function listed(names: readonly string[]): string {
  if (names.length === 0) return 'no table'
  return `${names.slice(0, 12).join(', ')}${names.length > 12 ? ` and ${names.length - 12} more` : ''}`
}

/**
 * Where everything is. `samples` are rows of the users' table: a column whose texts look like the hashes of passwords
 * is taken for that whatever its name, and one of several names only if its texts fit. `subjects` are texts by which
 * the old single sign-on knew people; without any the user name is taken. Throws every mistake at once. Pure.
 */
export function discover(
  layout: TableLayout,
  corrections: Corrections,
  samples: readonly Sample[],
  subjects: readonly string[],
): Mapping {
  const table = usersTable(layout, corrections)
  const { columns } = table
  const problems: ExpectedError[] = []
  const pick = (field: Field, names: readonly string[], fits: (text: string) => boolean = () => true) => {
    const wanted = corrections[field]
    if (wanted === 'none') return undefined
    if (wanted !== undefined) {
      if (Object.hasOwn(columns, wanted)) return wanted
      problems.push(
        new UsageError(
          `--map ${field}=${wanted}: table ${table.name} does not have that column`,
          `one of ${Object.keys(columns).join(', ')}`,
        ),
      )
      return undefined
    }
    const texts = (column: string) => samples.map(row => cellOf(row, column)).filter(Boolean)
    const named = names.filter(name => Object.hasOwn(columns, name))
    return named.find(name => texts(name).some(fits)) ?? named.find(name => texts(name).length === 0)
  }
  const isHash = (text: string) => importableHash(text) !== undefined
  const username = pick('username', USERNAME)
  const email = pick('email', EMAIL, text => text.includes('@'))
  const password =
    pick('password', PASSWORD, isHash) ??
    (corrections.password === undefined
      ? Object.keys(columns).find(column => samples.some(row => isHash(cellOf(row, column))))
      : undefined)
  for (const [field, column] of [
    ['username', username],
    ['email', email],
  ] as const)
    if (column === undefined && problems.length === 0)
      problems.push(
        new ExpectedError(
          `no column of table ${table.name} looks like the ${field}: it has ${Object.keys(columns).join(', ')}`,
          `say which: --map ${field}=COLUMN`,
        ),
      )
  const links = linksOf(layout, table)
  const roles = links.filter(link => isRole(link))
  const apps = links.filter(link => isApp(link))
  const id =
    links.find(({ via }) => via !== table.name)?.id ?? (Object.hasOwn(columns, 'id') ? 'id' : username)
  const admin = admins(layout, table, corrections.admin, links, problems)
  const granted =
    corrections.apps === undefined ? apps : named('apps', layout, table, corrections.apps, links, problems)
  throwAll(problems)
  return {
    database: layout.database,
    users: table.name,
    id: id!,
    username: username!,
    email: email!,
    name: fullName(columns, corrections.name, username!, problems, table.name),
    password,
    active: pick('active', ACTIVE),
    subject: pick('subject', SUBJECT) ?? known(samples, subjects) ?? username!,
    isAdmin:
      admin?.columns ?? ADMIN.filter(name => Object.hasOwn(columns, name) && !isTextual(columns[name])),
    roles: admin?.links ?? roles,
    apps: granted,
  }
}

/** The column that has most of these texts: what single sign-on called people by. */
function known(samples: readonly Sample[], subjects: readonly string[]): string | undefined {
  const all = new Set(subjects)
  const hits = Object.keys(samples[0] ?? {})
    .map(column => ({ column, count: samples.filter(row => all.has(cellOf(row, column))).length }))
    .sort((a, b) => b.count - a.count)
  return hits[0] && hits[0].count > (hits[1]?.count ?? 0) ? hits[0].column : undefined
}

function fullName(
  columns: Record<string, string>,
  wanted: string | undefined,
  username: string,
  problems: ExpectedError[],
  table: string,
): string[] {
  if (wanted === 'none') return []
  if (wanted !== undefined) {
    const names = wanted.split('+')
    const missing = names.filter(name => !Object.hasOwn(columns, name))
    if (missing.length === 0) return names
    problems.push(
      new UsageError(
        `--map name=${wanted}: table ${table} does not have ${missing.join(', ')}`,
        `one of ${Object.keys(columns).join(', ')}; several: --map name=first_name+last_name`,
      ),
    )
    throwAll(problems)
  }
  const whole = FULL_NAME.find(name => Object.hasOwn(columns, name) && name !== username)
  if (whole) return [whole]
  return [first(columns, FIRST_NAME), first(columns, LAST_NAME)].filter(name => name !== undefined)
}

const isApp = ({ target, value, via }: Link) =>
  target
    ? /app|client|service/i.test(bare(target.table))
    : APP_COLUMN.includes(value) && !/token|session|consent/i.test(bare(via))
const isRole = (link: Link) =>
  !isApp(link) &&
  (link.target ? /role|group|permission/i.test(bare(link.target.table)) : link.value === 'role')

/** Every way from the users to texts about them, over one table or two. */
function linksOf({ tables }: TableLayout, users: Table): Link[] {
  const byName = new Map(tables.map(table => [table.name, table]))
  const keysOf = (table: Table) => [...table.keys, ...impliedKeys(table, tables)]
  const label = (table: Table | undefined) => table && LABEL.find(name => isTextual(table.columns[name]))
  const from = (via: Table, user: string, id: string): Link[] => {
    const targets = keysOf(via).filter(key => key.table !== users.name && key.column !== user)
    const found: Link[] = targets.flatMap(target => {
      const value = label(byName.get(target.table))
      return value ? [{ via: via.name, user, id, target, value }] : []
    })
    const texts = [...APP_COLUMN, 'role'].filter(name => isTextual(via.columns[name]))
    const isOwn = via === users
    found.push(
      ...texts.filter(value => !isOwn || value === 'role').map(value => ({ via: via.name, user, id, value })),
    )
    // A row that names an application and a role means the role in that application.
    const app = found.find(isApp)
    const role = found.find(isRole)
    if (!app) return found
    if (role) return [{ ...app, role: { target: role.target, value: role.value } }]
    const column = ROLE_COLUMN.find(name => Object.hasOwn(via.columns, name) && !isOwn)
    return [column ? { ...app, role: { value: column } } : app]
  }
  const own = Object.hasOwn(users.columns, 'id') ? from(users, 'id', 'id') : []
  return [
    ...own,
    ...tables
      .filter(table => table !== users)
      .flatMap(table => {
        const key = keysOf(table).find(each => each.table === users.name)
        return key ? from(table, key.column, key.target) : []
      }),
  ]
}

/** References that a table has without saying so: `user_id` to the `id` of a table `user` or `users`. */
function impliedKeys(table: Table, tables: readonly Table[]): Key[] {
  const said = new Set(table.keys.map(({ column }) => column))
  const schema = table.name.slice(0, table.name.indexOf('.') + 1)
  return Object.keys(table.columns).flatMap(column => {
    const stem = /^(\w+)_id$/.exec(column)?.[1]
    if (!stem || said.has(column)) return []
    const target = tables.find(
      each =>
        [stem, `${stem}s`, `auth_${stem}`].some(name => each.name === `${schema}${name}`) &&
        Object.hasOwn(each.columns, 'id'),
    )
    return target ? [{ column, table: target.name, target: 'id' }] : []
  })
}

/** What `--map admin=…` names: a column of the users, or TABLE.COLUMN. */
function admins(
  layout: TableLayout,
  users: Table,
  wanted: string | undefined,
  links: readonly Link[],
  problems: ExpectedError[],
): { columns: string[]; links: Link[] } | undefined {
  if (wanted === undefined) return undefined
  if (wanted === 'none') return { columns: [], links: [] }
  if (Object.hasOwn(users.columns, wanted))
    return isTextual(users.columns[wanted])
      ? { columns: [], links: [{ via: users.name, user: 'id', id: 'id', value: wanted }] }
      : { columns: [wanted], links: [] }
  return { columns: [], links: named('admin', layout, users, wanted, links, problems) }
}

/** The links that `--map FIELD=TABLE.COLUMN` names; none for `none`. */
function named(
  field: 'admin' | 'apps',
  { tables }: TableLayout,
  users: Table,
  wanted: string,
  links: readonly Link[],
  problems: ExpectedError[],
): Link[] {
  if (wanted === 'none') return []
  const at = wanted.lastIndexOf('.')
  const [name, column] = [wanted.slice(0, Math.max(at, 0)), wanted.slice(at + 1)]
  const table = tables.find(each => each.name === name || bare(each.name) === name)
  const found = links
    .filter(link => (link.target?.table ?? link.via) === table?.name)
    .map(({ role, ...link }) => ({ ...link, ...(field === 'apps' && role ? { role } : {}), value: column }))
  const key = table && [...table.keys, ...impliedKeys(table, tables)].find(each => each.table === users.name)
  if (found.length === 0 && key)
    found.push({ via: table.name, user: key.column, id: key.target, value: column })
  if (table && Object.hasOwn(table.columns, column) && found[0]) return [found[0]]
  const ways = [...new Set(links.map(link => `${bare(link.target?.table ?? link.via)}.${link.value}`))]
  problems.push(
    new UsageError(
      `--map ${field}=${wanted}: no way leads from table ${users.name} to that column`,
      ways.length > 0
        ? `give TABLE.COLUMN, for example ${listed(ways)}`
        : 'give TABLE.COLUMN of a table with a key to it',
    ),
  )
  return []
}

/** Whether a column of yes and no says yes. Pure. */
export function isYes(text: string): boolean {
  return ['true', 't', 'yes', 'y', 'on', '1'].includes(text.toLowerCase())
}

/** Whether a text or a column of yes and no says that somebody is an administrator. Pure. */
export function saysAdmin(text: unknown): boolean {
  return typeof text === 'string' && (isYes(text) || isAdminText(text))
}

/** A mapping in lines, for the plan. Pure. */
export function mappingLines(mapping: Mapping, subjectsKnown: number): string[] {
  const { users, username, email, name, password, active, subject, isAdmin, roles, apps } = mapping
  const way = ({ target, via, value, role }: Link) =>
    `${target?.table ?? via}.${value}${target && via !== users ? ` by ${via}` : ''}${role ? `, role ${role.target?.table ?? via}.${role.value}` : ''}`
  const or = (parts: readonly string[], none: string) => (parts.length > 0 ? parts.join('; ') : none)
  const hits = subjectsKnown > 0 ? ', as old sessions of hydra have it' : ''
  return [
    `  table ${users}: user name ${username}, e-mail ${email}, name ${or([name.join(' + ')].filter(Boolean), 'none')}, password ${password ?? 'none'}, active ${active ?? 'everybody'}`,
    `  subject of the tokens: ${subject}${hits}`,
    `  administrators: ${or([...isAdmin.map(column => `${users}.${column}`), ...roles.map(way)], 'none found')}`,
    `  applications: ${or(apps.map(way), 'none found: users keep what `legacy_access` opens')}`,
    '  correct it with --map FIELD=COLUMN',
  ]
}
