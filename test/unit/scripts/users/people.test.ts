import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ExpectedError, ExpectedErrors } from '../../../../lib/script/errors.ts'
import { csvRows, csvText } from '../../../../scripts/users/csv.ts'
import { importPlan } from '../../../../scripts/users/import.ts'
import { peopleOf } from '../../../../scripts/users/people.ts'

const cells = (text: string) => csvRows(text).map(row => row.cells)

test('CSV: quotes, commas, line ends, empty lines and a byte order mark', () => {
  assert.equal(cells('\uFEFFa,b\r\n"x, ""y""\nz",\n\n,\nlast,one'), [
    ['a', 'b'],
    ['x, "y"\nz', ''],
    ['last', 'one'],
  ])
  assert.equal(
    csvRows('a\n"x\ny"\nb').map(({ line }) => line),
    [1, 2, 4],
  )
  const rows = [
    ['a', 'b, "c"'],
    ['', 'd'],
  ]
  assert.equal(cells(csvText(rows)), rows)
})

test('CSV: a quote in a wrong place is named with its line, and a large hostile file ends soon', () => {
  assert.throws(() => csvRows('a,b\nc"d,e\n'), /line 2: a quote/)
  const started = performance.now()
  assert.throws(() => csvRows(`"${'""'.repeat(2_000_000)}`), /quote/)
  assert.throws(() => csvRows('a'.repeat(5 << 20)), /larger/)
  assert.throws(() => csvRows('a\n'.repeat(30_000)), /more than/)
  assert.ok(performance.now() - started < 10_000)
})

test('people: every mistake of a file at once', () => {
  const wrong = () =>
    peopleOf('username,email,admin,apps\nA,a@b.c,maybe,x\nb,b@b.c\nc,b@b.c,no,', ['nextcloud'])
  try {
    wrong()
    assert.unreachable()
  } catch (error) {
    assert.instance(error, ExpectedErrors)
    const texts = (error as ExpectedErrors).problems.map(({ message }) => message)
    assert.is(texts.length, 5)
    assert.ok(texts.every(text => /^line [234]: /.test(text)))
  }
  assert.throws(
    () => peopleOf('user,email\n', []),
    (error: unknown) => error instanceof ExpectedError,
  )
})

test('import: a column that is missing changes nothing', () => {
  const mia = {
    id: '1',
    schema_id: 'default',
    state: 'active' as const,
    traits: { username: 'mia', email: 'mia@example.org', name: 'Mia' },
    metadata_admin: { admin: true, apps: { wekan: 'admin' as const } },
  }
  const planned = (text: string) =>
    importPlan(peopleOf(text, ['wekan']), [mia]).actions.map(({ line }) => line)
  assert.equal(planned('username,email\nmia,mia@example.org\n'), [])
  assert.equal(planned('username,email,apps\nmia,m@example.org,wekan\n'), [
    'change mia: email mia@example.org → m@example.org, applications wekan=admin → wekan',
  ])
  assert.throws(() => planned('username,email\nbob,mia@example.org\n'), /is the address of mia/)
  assert.throws(() => planned('username,email,admin\nmia,mia@example.org,no\n'), /only administrator/)
})

test('an import tells of a password of before without showing it, and names a hash that cannot be taken', () => {
  const bcrypt = `$2b$12$${'a'.repeat(53)}`
  const file = (hash: string) => `username,email,password_hash\nmia,mia@example.org,${hash}\n`
  const [{ line, action } = assert.unreachable() as never] = importPlan(
    peopleOf(file(bcrypt), []),
    [],
  ).actions
  assert.match(line, 'with the password of before')
  assert.not.match(line, bcrypt)
  assert.ok(action.does === 'create' && action.hash === bcrypt)
  try {
    peopleOf(file('plain-text-secret'), [])
    assert.unreachable()
  } catch (error) {
    const text = error instanceof ExpectedErrors ? error.problems.map(String).join() : String(error)
    assert.match(text, 'line 2: the password_hash of mia')
    assert.not.match(text, 'plain-text-secret')
  }
})

test.run()
