/** The users of the old backend as kratos takes them. Pure. */
import type { AdminMetadata, Role, Traits } from '../../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import { APP_NAMES } from '../../../lib/platform/apps.ts'
import { importableHash, traitProblems } from '../../../lib/platform/old-accounts.ts'
import { ExpectedError } from '../../../lib/script/errors.ts'
import { registerSecret } from '../../../lib/script/redact.ts'
import { answerOf, quoted, quotedTable } from './layout.ts'
import { isYes, type Link, type Mapping, type Sample, saysAdmin } from './mapping.ts'

/** A user of 0.6 who is taken to 0.7. */
export interface OldUser {
  traits: Traits
  metadata: AdminMetadata & { subject: string }
  active: boolean
  /** The password's hash as kratos imports it; without it the user gets a one-time code. */
  hash?: string
}

/** What was read of the old backend. */
export interface OldUsers {
  users: OldUser[]
  /** Who cannot be taken, each with the reason. */
  left: { name: string; why: string }[]
  /** What of somebody's access cannot be taken, in words. */
  notes: string[]
}

/** Users beyond which a table is not that of a platform of this size. */
const MOST_USERS = 20_000
/** Texts that a subject, a name or a hash may be long; longer ones are something else. */
const LONGEST = 1024

const text = (table: string, column: string) => `${table}.${quoted(column)}::text`

/** Asks for some rows of the users' table, every column as text. Pure. */
export function sampleSql(table: string, columns: readonly string[]): string {
  const cells = columns.map(column => `left(${text('u', column)}, ${LONGEST}) AS ${quoted(column)}`)
  return `SELECT coalesce(json_agg(row_to_json(t)), '[]') FROM (SELECT ${cells.join(', ')} FROM ${quotedTable(table)} u LIMIT 50) t`
}

/** Asks for whom the old single sign-on has given tokens to, where hydra has kept that. Pure. */
export function subjectsSql(tables: readonly string[]): string {
  const each = tables.map(table => `SELECT subject::text FROM ${quotedTable(table)}`)
  return `SELECT coalesce(json_agg(subject), '[]') FROM (SELECT DISTINCT subject FROM (${each.join(' UNION ALL ')}) s WHERE subject <> '' LIMIT 1000) t`
}

/** Asks for everything of everybody in one statement, so that it is all of one moment. Pure. */
export function peopleSql(mapping: Mapping): string {
  const { users, id, username, email, name, password, active, subject, isAdmin, roles, apps } = mapping
  const column = (key: string | undefined, as: string) => `${key ? text('u', key) : 'NULL::text'} AS ${as}`
  const full =
    name.length > 0 ? `concat_ws(' ', ${name.map(each => text('u', each)).join(', ')})` : 'NULL::text'
  const admin =
    isAdmin.map(each => `coalesce(${text('u', each)} IN ('true', '1'), false)`).join(' OR ') || 'false'
  const people = [
    column(id, 'id'),
    column(username, 'username'),
    column(email, 'email'),
    `${full} AS name`,
    column(password, 'password'),
    column(active, 'active'),
    column(subject, 'subject'),
    `${admin} AS admin`,
  ]
  const rows = (sql: string) => `(SELECT coalesce(json_agg(row_to_json(t)), '[]') FROM (${sql}) t)`
  const links = (list: readonly Link[]) =>
    list.length === 0
      ? `'[]'::json`
      : rows(list.map(each => `(${linkSql(mapping, each)})`).join(' UNION ALL '))
  return `SELECT json_build_object(
  'people', ${rows(`SELECT ${people.join(', ')} FROM ${quotedTable(users)} u ORDER BY 2 LIMIT ${MOST_USERS + 1}`)},
  'roles', ${links(roles)},
  'apps', ${links(apps)})`
}

function linkSql({ users, id: own }: Mapping, { via, user, id, target, value, role }: Link): string {
  const joined = (key: Link['target'], as: string) =>
    key
      ? `LEFT JOIN ${quotedTable(key.table)} ${as} ON ${as}.${quoted(key.target)} = v.${quoted(key.column)}`
      : ''
  const said = role ? text(role.target ? 'r' : 'v', role.value) : 'NULL::text'
  return `SELECT ${text('u', own)} AS id, ${text(target ? 't' : 'v', value)} AS value, ${said} AS role
    FROM ${quotedTable(users)} u JOIN ${quotedTable(via)} v ON v.${quoted(user)} = u.${quoted(id)}
    ${joined(target, 't')} ${joined(role?.target, 'r')}`
}

interface Row {
  id: string | null
  username: string | null
  email: string | null
  name: string | null
  password: string | null
  active: string | null
  subject: string | null
  admin: boolean
}
interface Told {
  id: string | null
  value: string | null
  role: string | null
}

/** Rows of a sample, whose hashes must not be shown. Throws an ExpectedError for any other answer. */
export function samplesOf(answer: string): Sample[] {
  const rows = answerOf(answer)
  if (!Array.isArray(rows) || rows.some(row => typeof row !== 'object' || row === null)) throw strange()
  for (const row of rows as Sample[])
    for (const value of Object.values(row)) if (value && importableHash(value)) registerSecret(value)
  return rows as Sample[]
}

const strange = () =>
  new ExpectedError(
    'the database of the user backend answers with something else than its users',
    'correct the mapping: --map FIELD=COLUMN',
  )

const textOrNothing = (value: unknown) =>
  typeof value === 'string' && value.length <= LONGEST ? value.trim() : ''

/**
 * Everybody in an answer to `peopleSql`. Hashes become secrets of the log. Whoever cannot be taken is named with the
 * reason. Throws an ExpectedError for an answer that is not one.
 */
export function oldUsersOf(answer: string, mapping: Mapping): OldUsers {
  const { people, roles, apps } = (answerOf(answer) ?? {}) as Partial<
    Record<'people' | 'roles' | 'apps', unknown>
  >
  const isRows = (rows: unknown): rows is object[] =>
    Array.isArray(rows) && rows.every(row => typeof row === 'object' && row !== null)
  if (!isRows(people) || !isRows(roles) || !isRows(apps)) throw strange()
  if (people.length > MOST_USERS)
    throw new ExpectedError(
      `table ${mapping.users} has more than ${MOST_USERS} users`,
      'is it that of the users? --map users=TABLE',
    )
  const admins = new Set((roles as Told[]).filter(({ value }) => saysAdmin(value)).map(({ id }) => id))
  const granted = new Map<string | null, Told[]>()
  for (const told of apps as Told[]) granted.set(told.id, [...(granted.get(told.id) ?? []), told])
  const unknown = new Map<string, number>()
  const seen = new Map<string, string>()
  const users: OldUser[] = []
  const left: OldUsers['left'] = []
  for (const row of people as Row[]) {
    const username = textOrNothing(row.username)
    const name = textOrNothing(row.name)
    const email = textOrNothing(row.email)
    const traits: Traits = name ? { username, email, name } : { username, email }
    const subject = textOrNothing(row.subject)
    const password = typeof row.password === 'string' ? row.password : ''
    registerSecret(password)
    const problems = traitProblems(traits)
    if (subject === '') problems.push('the subject is empty')
    for (const value of new Set([username, email.toLowerCase(), `subject ${subject}`])) {
      const other = seen.get(value)
      if (other !== undefined && value !== '') problems.push(`${value} is that of ${other}, too`)
    }
    if (problems.length > 0) {
      left.push({ name: username || email || `id ${textOrNothing(row.id)}`, why: problems[0]! })
      continue
    }
    for (const value of [username, email.toLowerCase(), `subject ${subject}`]) seen.set(value, username)
    const grants: Record<string, Role> = {}
    for (const { value, role } of granted.get(row.id) ?? []) {
      const app = appOf(value)
      if (app === undefined) unknown.set(String(value), (unknown.get(String(value)) ?? 0) + 1)
      else if (grants[app] !== 'admin') grants[app] = saysAdmin(role) ? 'admin' : 'user'
    }
    const hash = importableHash(password)
    if (hash) registerSecret(hash)
    users.push({
      traits,
      metadata: {
        subject,
        admin: row.admin === true || admins.has(row.id),
        // Without any grant in the old backend nobody can have lost one: the rule of before there were grants holds.
        ...(mapping.apps.length > 0 ? { apps: grants } : {}),
      },
      active: typeof row.active !== 'string' || isYes(row.active),
      ...(hash ? { hash } : {}),
    })
  }
  const notes = [...unknown].map(
    ([app, count]) => `application ${JSON.stringify(app)} is not one of 0.7: not granted to ${count} of them`,
  )
  return { users, left, notes }
}

/** The application of 0.7 that an old one's name means: `Rocket.Chat` is rocketchat. Pure. */
function appOf(value: string | null): string | undefined {
  const name = String(value ?? '')
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '')
  return [...APP_NAMES.filter(app => app !== 'velero'), 'grafana'].find(app => app === name)
}

/** How many keep their password, who gets a one-time code, and who cannot be taken, in lines. Pure. */
export function peopleLines({ users, left, notes }: OldUsers): string[] {
  const without = users.filter(({ hash, active }) => !hash && active).map(({ traits }) => traits.username)
  const disabled = users.filter(({ active }) => !active).map(({ traits }) => traits.username)
  const admins = users.filter(({ metadata }) => metadata.admin).map(({ traits }) => traits.username)
  const some = (names: readonly string[]) => (names.length > 0 ? `: ${names.join(', ')}` : '')
  return [
    `  ${users.filter(({ hash }) => hash).length} with their password; ${without.length} with a one-time code${some(without)}`,
    `  ${admins.length} with the label "Admin"${some(admins)}; ${disabled.length} disabled${some(disabled)}`,
    ...notes.map(note => `  ${note}`),
    ...left.map(({ name, why }) => `  not taken: ${name}: ${why}`),
  ]
}
