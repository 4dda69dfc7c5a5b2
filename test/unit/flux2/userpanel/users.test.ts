import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { generatePassword } from '../../../../flux2/core/single-sign-on/userpanel/panel/password.ts'
import {
  changedIdentity,
  claimsFor,
  type Identity,
  problemsOf,
  roleIn,
  SHORTEST_PASSWORD,
  subjectOf,
  tombstone,
} from '../../../../flux2/core/single-sign-on/userpanel/panel/users.ts'

const anna: Identity = {
  id: '6a9f1f6a-0000-4000-8000-000000000001',
  schema_id: 'default',
  state: 'active',
  traits: { username: 'anna', email: 'anna@example.org', name: 'Anna' },
  metadata_admin: { subject: 'kept', apps: { nextcloud: 'user', wekan: 'admin' } },
}

test('grants decide what a user may open; the label Admin opens everything; who is disabled opens nothing', () => {
  assert.is(roleIn(anna, 'nextcloud'), 'user')
  assert.is(roleIn(anna, 'wekan'), 'admin')
  assert.is(roleIn(anna, 'grafana'), undefined)
  assert.is(roleIn({ ...anna, metadata_admin: { admin: true } }, 'grafana'), 'admin')
  assert.is(roleIn({ ...anna, state: 'inactive', metadata_admin: { admin: true } }, 'grafana'), undefined)
  const older = { ...anna, metadata_admin: null }
  assert.is(roleIn(older, 'nextcloud'), undefined)
  assert.is(roleIn(older, 'nextcloud', true), 'user')
  assert.is(roleIn({ ...anna, metadata_admin: { apps: {} } }, 'nextcloud', true), undefined)
  // Names of Object.prototype are no grants, and an unknown role is none.
  for (const app of ['constructor', '__proto__', 'toString']) assert.is(roleIn(anna, app), undefined)
  assert.is(roleIn({ ...anna, metadata_admin: { apps: { x: 'owner' as 'user' } } }, 'x'), undefined)
})

test('only administrators of an application are in its group admin', () => {
  assert.equal(claimsFor(anna, 'user').groups, ['users'])
  assert.equal(claimsFor(anna, 'admin').groups, ['admin', 'users'])
  assert.is(claimsFor({ ...anna, traits: { ...anna.traits, name: '' } }, 'user').name, 'anna')
})

test('a subject outlives every change, and that of an older user is the id of the identity', () => {
  assert.is(subjectOf(anna), 'kept')
  assert.is(subjectOf({ ...anna, metadata_admin: null }), anna.id)
  const changed = changedIdentity({ ...anna, metadata_admin: null }, { metadata_admin: { admin: true } })
  assert.equal((changed as Identity).metadata_admin, { admin: true, subject: anna.id })
})

test('a deleted user keeps the name and the subject, and nothing else', () => {
  const left = tombstone(anna, new Date('2026-01-02T03:04:05Z'), 'x'.repeat(20)) as Identity
  assert.is(left.state, 'inactive')
  assert.is(left.traits.username, 'anna')
  assert.not.match(JSON.stringify(left), /example\.org|Anna|nextcloud/)
  assert.equal(left.metadata_admin, { subject: 'kept', deleted: '2026-01-02T03:04:05.000Z' })
})

test('names and addresses are checked before kratos sees them', () => {
  const of = (change: object) => problemsOf({ ...anna.traits, ...change })
  assert.equal(of({}), [])
  for (const username of ['', 'Anna', 'an na', '../x', '--flag', 'a"b', 'a\nb', 'x'.repeat(65)])
    assert.equal(of({ username }), ['username'], JSON.stringify(username))
  for (const email of ['', 'anna', '@b', 'a@', 'a b@c', 'a@b\nc', '<a@b>'])
    assert.equal(of({ email }), ['email'], JSON.stringify(email))
  assert.equal(of({ name: 'x'.repeat(257) }), ['name'])
})

test('a generated password is long enough, and is another one each time', () => {
  const seen = new Set(Array.from({ length: 200 }, generatePassword))
  assert.is(seen.size, 200)
  for (const password of seen) {
    assert.match(password, /^[a-km-z2-9]{5}(-[a-km-z2-9]{5}){3}$/)
    assert.ok(password.length >= SHORTEST_PASSWORD)
  }
})

test('no identity gets more than it was granted, whatever its metadata holds', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.string(), (metadata, app) => {
      const identity = { ...anna, metadata_admin: metadata as never }
      const role = roleIn(identity, app)
      if (role === undefined) return
      const { admin, apps } = metadata as { admin?: unknown; apps?: Record<string, unknown> }
      assert.ok(admin === true || apps?.[app] === role)
    }),
  )
})

test.run()
