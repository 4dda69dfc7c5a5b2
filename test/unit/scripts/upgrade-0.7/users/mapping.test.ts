import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ExpectedError } from '../../../../../lib/script/errors.ts'
import {
  quotedTable,
  type Table,
  type TableLayout,
  tableLayoutOf,
} from '../../../../../scripts/upgrade-0.7/users/layout.ts'
import {
  correctionsOf,
  discover,
  hasUsers,
  mappingLines,
  usersTable,
} from '../../../../../scripts/upgrade-0.7/users/mapping.ts'

const bcrypt = `$2b$12$${'a'.repeat(53)}`
/** A table: its columns as `name type`, its keys as `column → table.column`. */
function table(name: string, columns: string, ...keys: string[]): Table {
  return {
    name: `public.${name}`,
    columns: Object.fromEntries(columns.split(', ').map(each => each.split(' ') as [string, string])),
    keys: keys.map(each => {
      const [column = '', to = ''] = each.split(' → ')
      const [target = '', column2 = ''] = to.split('.')
      return { column, table: `public.${target}`, target: column2 }
    }),
  }
}
const layout = (...tables: Table[]): TableLayout => ({ database: 'db', tables })
const flask = layout(
  table('user', 'id integer, username text, email text, password_hash text, active boolean'),
  table('role', 'id integer, name text'),
  table('application', 'id integer, name text, url text'),
  table('user_role', 'user_id integer, role_id integer', 'user_id → user.id', 'role_id → role.id'),
  table(
    'user_application',
    'user_id integer, application_id integer',
    'user_id → user.id',
    'application_id → application.id',
  ),
  table('session', 'id integer, user_id integer, email text, name text', 'user_id → user.id'),
)

test('tables in between: roles and applications, and the password by its name', () => {
  const mapping = discover(flask, {}, [], [])
  assert.is(mapping.users, 'public.user')
  assert.is(mapping.password, 'password_hash')
  assert.is(mapping.subject, 'username')
  assert.equal(
    mapping.apps.map(({ via, target, value }) => [via, target?.table, value]),
    [['public.user_application', 'public.application', 'name']],
  )
  assert.equal(
    mapping.roles.map(({ via, target, value }) => [via, target?.table, value]),
    [['public.user_role', 'public.role', 'name']],
  )
  assert.match(mappingLines(mapping, 0).join('\n'), 'public.role.name by public.user_role')
})

test('references that are not declared are seen by their names; a role beside an application is one in it', () => {
  const mapping = discover(
    layout(
      table(
        'users',
        'id uuid, login text, mail text, credential text, is_admin boolean, first_name text, last_name text',
      ),
      table('roles', 'id integer, name text'),
      table('apps', 'id integer, slug text'),
      table('app_roles', 'user_id uuid, app_id integer, role_id integer'),
    ),
    {},
    [{ login: 'mia', mail: 'mia@example.org', credential: bcrypt, id: 'u-1' }],
    ['u-1', 'u-2'],
  )
  assert.is(mapping.username, 'login')
  assert.is(mapping.password, 'credential', 'by what stands in it')
  assert.is(mapping.subject, 'id', 'as hydra knew it')
  assert.equal(mapping.name, ['first_name', 'last_name'])
  assert.equal(mapping.isAdmin, ['is_admin'])
  assert.equal(mapping.roles, [])
  assert.is(mapping.apps[0]!.role!.target!.table, 'public.roles')
})

test('of two columns that may be the password, the one with hashes is taken', () => {
  const both = layout(table('users', 'id integer, username text, email text, hash text, password text'))
  const row = { id: '1', username: 'a', email: 'a@b.c' }
  assert.is(discover(both, {}, [{ ...row, hash: 'x', password: bcrypt }], []).password, 'password')
  assert.is(discover(both, {}, [{ ...row, hash: bcrypt, password: 'plain' }], []).password, 'hash')
  assert.is(discover(both, {}, [{ ...row, hash: 'x', password: 'plain' }], []).password, undefined)
})

test('the administrator corrects it; every mistake is told at once', () => {
  const map = correctionsOf([
    'users=role',
    'username=name',
    'email=id',
    'password=none',
    'admin=none',
    'apps=none',
  ])
  const mapping = discover(flask, map, [], [])
  assert.equal(
    [mapping.users, mapping.username, mapping.email, mapping.password],
    ['public.role', 'name', 'id', undefined],
  )
  assert.equal([mapping.apps, mapping.roles], [[], []])
  assert.equal(discover(flask, { apps: 'role.name' }, [], []).apps[0]!.via, 'public.user_role')
  assert.equal(discover(flask, { admin: 'application.url' }, [], []).roles[0]!.value, 'url')
  assert.equal(discover(flask, { admin: 'active' }, [], []).isAdmin, ['active'])
  assert.throws(
    () => discover(flask, { password: 'x', apps: 'nothing.name' }, [], []),
    /2 problems|does not have/,
  )
  assert.throws(() => usersTable(flask, { users: 'nobody' }), /does not have that table/)
  assert.throws(() => correctionsOf(['what=x']), /is not FIELD=COLUMN/)
  assert.throws(() => correctionsOf(['email=']), /is not FIELD=COLUMN/)
})

test('no table, or two that are alike: it says so, and what to give', () => {
  const users = table('users', 'id integer, username text, email text')
  assert.throws(() => discover(layout(), {}, [], []), /no table of the database db/)
  assert.throws(
    () => discover(layout(users, { ...users, name: 'other.users' }), {}, [], []),
    /several tables[\s\S]*public\.users, other\.users/,
  )
  assert.not(hasUsers(layout(table('newsletter', 'id integer, name text, email text'))))
  assert.ok(hasUsers(layout(users)))
})

test('whatever a database has, it ends in a mapping of its own columns or in an error of two lines', () => {
  const names = fc.constantFrom(
    'id',
    'username',
    'email',
    'password',
    'user_id',
    'app_id',
    'role_id',
    'name',
    'role',
    'app',
    '__proto__',
    'constructor',
    'weird"name',
  )
  const tables = fc.uniqueArray(
    fc.record({
      name: fc.constantFrom(
        'public.user',
        'public.users',
        'public.app',
        'public.role',
        'a.b.c',
        'public.user_app',
      ),
      columns: fc.dictionary(names, fc.constantFrom('text', 'integer', 'boolean')),
      keys: fc.array(
        fc.record({ column: names, table: fc.constantFrom('public.user', 'public.app', 'x'), target: names }),
        { maxLength: 3 },
      ),
    }),
    { maxLength: 6, selector: ({ name }) => name },
  )
  const sample = fc.array(fc.dictionary(names, fc.option(fc.oneof(fc.string(), fc.constant(bcrypt)))), {
    maxLength: 3,
  })
  fc.assert(
    fc.property(tables, sample, fc.array(fc.string()), (found, samples, subjects) => {
      try {
        const mapping = discover(layout(...found), {}, samples, subjects)
        const users = found.find(({ name }) => name === mapping.users)!
        for (const column of [mapping.username, mapping.email])
          assert.ok(Object.hasOwn(users.columns, column))
        mappingLines(mapping, 1)
      } catch (error) {
        assert.instance(error, ExpectedError)
      }
    }),
  )
})

test('a layout is read from what psql says; anything else is refused', () => {
  const text = JSON.stringify({
    columns: [
      ['public.users', 'id', 'integer'],
      ['public.users', '__proto__', 'text'],
      ['public.t', 'user_id', 'integer'],
    ],
    keys: [
      ['public.t', 'user_id', 'public.users', 'id'],
      ['public.t', 'x', 'gone.table', 'id'],
    ],
  })
  const { tables } = tableLayoutOf('db', text)
  assert.equal(Object.keys(tables[0]!.columns), ['id', '__proto__'])
  assert.equal(tables[1]!.keys, [{ column: 'user_id', table: 'public.users', target: 'id' }])
  assert.equal(tableLayoutOf('db', '{"columns": null, "keys": null}').tables, [])
  assert.is(quotedTable('a"b.c.d'), '"a""b"."c.d"')
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), answer => {
      try {
        tableLayoutOf('db', answer)
      } catch (error) {
        assert.instance(error, ExpectedError)
      }
    }),
  )
})

test.run()
