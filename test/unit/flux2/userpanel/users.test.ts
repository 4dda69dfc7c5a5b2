import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { generatePassword } from '../../../../flux2/core/single-sign-on/userpanel/panel/password.ts'
import {
  changedIdentity,
  claimsFor,
  hasSecondFactor,
  type Identity,
  isReserved,
  problemsOf,
  roleIn,
  SHORTEST_PASSWORD,
  subjectOf,
  tombstone,
  versionOf,
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
  for (const name of ['Anna\u202e', 'An\u200bna', '\u2066Anna', 'Anna\n', '\u3164', 'a\ufe0f', '\u{e0041}'])
    assert.equal(of({ name }), ['name'], JSON.stringify(name))
  for (const name of ["Zoë O'Brien-Łukasz", '王小明', 'אברהם', 'محمد', 'Anna 🌻'])
    assert.equal(of({ name }), [], name)
})

test('names of accounts that applications have themselves are reserved; admin is for administrators', () => {
  for (const name of ['grafana-admin', 'rocket.cat', 'all', 'here', 'root', 'postmaster'])
    assert.ok(isReserved(name, true), name)
  assert.ok(isReserved('admin'))
  assert.not(isReserved('admin', true))
  assert.not(isReserved('anna'))
})

test('an address is verified when kratos says so of this very address', () => {
  const verified = (addresses: Identity['verifiable_addresses']) =>
    claimsFor({ ...anna, verifiable_addresses: addresses }, 'user').email_verified
  assert.is(verified([{ value: 'Anna@example.org', verified: true }]), true)
  assert.is(verified([{ value: 'anna@example.org', verified: false }]), false)
  assert.is(verified([{ value: 'old@example.org', verified: true }]), false)
  assert.is(verified(null), false)
  assert.is(verified(undefined), false)
})

test('every change of a user is another version, and reading is none', () => {
  const changes: Partial<Identity>[] = [
    { state: 'inactive' },
    { traits: { ...anna.traits, email: 'a@example.org' } },
    { metadata_admin: { ...anna.metadata_admin, admin: true } },
    { metadata_admin: null },
    { metadata_public: { x: 1 } },
  ]
  const versions = changes.map(change => versionOf({ ...anna, ...change }))
  assert.is(new Set([versionOf(anna), ...versions]).size, changes.length + 1)
  assert.is(versionOf({ ...anna, credentials: { totp: {} } }), versionOf(structuredClone(anna)))
})

test('an authenticator app and recovery codes are second factors; a password is none', () => {
  const has = (credentials: Identity['credentials']) => hasSecondFactor({ ...anna, credentials })
  for (const kind of ['totp', 'lookup_secret', 'webauthn']) assert.ok(has({ password: {}, [kind]: {} }), kind)
  assert.not(has({ password: {}, code: {} }))
  assert.not(has(null))
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
