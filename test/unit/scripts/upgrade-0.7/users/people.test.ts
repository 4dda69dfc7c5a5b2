import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Identity } from '../../../../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import type { KubeObject } from '../../../../../lib/kubectl/kubectl.ts'
import { exitCodeOf } from '../../../../../lib/kubectl/run-in-container.ts'
import { ExpectedError } from '../../../../../lib/script/errors.ts'
import { redact } from '../../../../../lib/script/redact.ts'
import { carrying, createBody, joinBody } from '../../../../../scripts/upgrade-0.7/users/carry.ts'
import { backendOf, givenPlace } from '../../../../../scripts/upgrade-0.7/users/database.ts'
import { keepUsers, keptUsers } from '../../../../../scripts/upgrade-0.7/users/file.ts'
import type { Mapping } from '../../../../../scripts/upgrade-0.7/users/mapping.ts'
import { type OldUser, oldUsersOf, peopleLines } from '../../../../../scripts/upgrade-0.7/users/people.ts'
import { temporaryFolder } from '../../../helpers.ts'

const bcrypt = `$2b$12$${'b'.repeat(53)}`
const mapping: Mapping = {
  ...{ database: 'db', users: 'public.user', id: 'id', username: 'username', email: 'email', name: [] },
  ...{ subject: 'username', isAdmin: [], roles: [] },
  apps: [{ via: 'public.app', user: 'user_id', id: 'id', value: 'app' }],
}
const row = (id: string, more: object = {}) => ({
  ...{
    id,
    username: id,
    email: `${id}@example.org`,
    name: null,
    password: null,
    active: null,
    subject: id,
    admin: false,
  },
  ...more,
})
const answer = (people: object[], roles: object[] = [], apps: object[] = []) =>
  JSON.stringify({ people, roles, apps })

test('rows become users: label, grants, state, hash; who cannot be taken is named', () => {
  const read = oldUsersOf(
    answer(
      [
        row('mia', { name: ' Mia ', password: bcrypt, active: 'true' }),
        row('ben', { active: 'f', admin: true }),
        row('eva', { password: 'plain-and-long' }),
        row('Eva'),
        row('max', { email: null }),
        row('mia2', { email: 'MIA@example.org' }),
        row('tim', { subject: 'mia' }),
        row('zoe', { subject: '' }),
      ],
      [
        { id: 'eva', value: 'Administrators', role: null },
        { id: 'mia', value: 'user', role: null },
      ],
      [
        { id: 'mia', value: 'Rocket.Chat', role: null },
        { id: 'mia', value: 'nextcloud', role: 'admin' },
        { id: 'mia', value: 'nextcloud', role: 'user' },
        { id: 'mia', value: 'etherpad', role: null },
      ],
    ),
    mapping,
  )
  assert.equal(read.users, [
    {
      traits: { username: 'mia', email: 'mia@example.org', name: 'Mia' },
      metadata: { subject: 'mia', admin: false, apps: { rocketchat: 'user', nextcloud: 'admin' } },
      active: true,
      hash: bcrypt,
    },
    {
      traits: { username: 'ben', email: 'ben@example.org' },
      metadata: { subject: 'ben', admin: true, apps: {} },
      active: false,
    },
    {
      traits: { username: 'eva', email: 'eva@example.org' },
      metadata: { subject: 'eva', admin: true, apps: {} },
      active: true,
    },
  ])
  assert.equal(
    read.left.map(({ name }) => name),
    ['Eva', 'max', 'mia2', 'tim', 'zoe'],
  )
  const lines = peopleLines(read).join('\n')
  for (const text of [
    '1 with their password; 1 with a one-time code: eva',
    '1 disabled: ben',
    '"etherpad"',
    'not taken: mia2',
  ])
    assert.match(lines, text)
  assert.not.match(redact(`${bcrypt} plain-and-long`), /bbb|plain/)
  const open = oldUsersOf(answer([row('mia')]), { ...mapping, apps: [] })
  assert.not('apps' in open.users[0]!.metadata, 'without any grants the rule for users of before holds')
})

test('whatever the database answers, it is read or refused', () => {
  const cell = fc.oneof(fc.string(), fc.constant(null), fc.boolean(), fc.integer())
  const rows = fc.array(
    fc.dictionary(
      fc.constantFrom('id', 'username', 'email', 'password', 'subject', 'active', 'value', 'admin'),
      cell,
    ),
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.json(),
        fc.record({ people: rows, roles: rows, apps: rows }).map(each => JSON.stringify(each)),
      ),
      text => {
        try {
          const { users, left } = oldUsersOf(text, mapping)
          const names = users.map(({ traits }) => traits.username)
          assert.is(new Set(names).size, names.length)
          assert.ok(left.every(({ why }) => why !== ''))
        } catch (error) {
          assert.instance(error, ExpectedError)
        }
      },
    ),
  )
})

const user = (username: string, more: Partial<OldUser> = {}): OldUser => ({
  traits: { username, email: `${username}@example.org` },
  metadata: { subject: `old-${username}`, admin: false, apps: {} },
  active: true,
  ...more,
})
const identity = (username: string, more: Partial<Identity> = {}): Identity => ({
  ...{ id: `id-${username}`, schema_id: 'default', state: 'active' },
  traits: { username, email: `${username}@example.org` },
  ...more,
})

test('in kratos already: carried over before, the same person, or somebody else', () => {
  const plan = carrying(
    ['new', 'done', 'same', 'admin', 'renamed', 'gone', 'address', 'subject'].map(name => user(name)),
    [
      identity('done', { metadata_admin: { subject: 'old-done' } }),
      identity('same'),
      identity('admin', { traits: { username: 'admin', email: 'other@example.org' } }),
      identity('renamed', { traits: { username: 'renamed', email: 'other2@example.org' } }),
      identity('gone', { metadata_admin: { deleted: '2026' } }),
      identity('somebody', { traits: { username: 'somebody', email: 'ADDRESS@example.org' } }),
      identity('holder', { metadata_admin: { subject: 'old-subject' } }),
    ],
  )
  assert.equal(
    plan.create.map(({ traits }) => traits.username),
    ['new'],
  )
  assert.equal(
    plan.done.map(({ traits }) => traits.username),
    ['done'],
  )
  assert.equal(
    plan.join.map(({ identity: { traits } }) => traits.username),
    ['same', 'admin'],
  )
  assert.equal(
    plan.conflicts.map(({ name }) => name),
    ['renamed', 'gone', 'address', 'subject'],
  )
})

test('bodies for kratos: the old subject; nobody who is there loses anything', () => {
  const body = createBody(user('mia', { hash: bcrypt, active: false })) as Record<string, never>
  assert.equal(body.metadata_admin, { subject: 'old-mia', admin: false, apps: {} })
  assert.is(body.state, 'inactive')
  assert.equal(body.credentials, { password: { config: { hashed_password: bcrypt } } })
  const there = identity('mia', { metadata_admin: { subject: 'x', admin: true, apps: { wekan: 'admin' } } })
  const old = user('mia', {
    hash: bcrypt,
    metadata: { subject: 'old', admin: false, apps: { wekan: 'user', nextcloud: 'user' } },
  })
  const joined = joinBody(old, there) as Record<string, never>
  assert.equal(joined.metadata_admin, {
    subject: 'old',
    admin: true,
    apps: { wekan: 'admin', nextcloud: 'user' },
  })
  assert.not('credentials' in joined, 'the password of 0.7 stays')
  assert.ok('credentials' in joinBody(user('admin', { hash: bcrypt }), identity('admin')), 'but for admin')
})

test('what was kept is encrypted, and read again; damage is told', async () => {
  const folder = temporaryFolder()
  const read = { users: [user('mia', { hash: bcrypt })], left: [{ name: 'x', why: 'y' }], notes: ['n'] }
  const file = await keepUsers({ folder }, folder, read)
  assert.equal(await keptUsers({ folder }, file), read)
  await keepUsers({ folder }, folder, { ...read, notes: [] })
  assert.equal((await keptUsers({ folder }, file)).notes, [], 'a second time, with the same key')
  writeFileSync(join(folder, file), 'damaged')
  const failure = async (path: string) =>
    keptUsers({ folder }, path).then(assert.unreachable as never, error => error)
  assert.instance(await failure(file), ExpectedError)
  assert.match((await failure('none')).message, 'missing')
})

const pod = (name: string, image: string, phase = 'Running'): KubeObject => ({
  ...{ apiVersion: 'v1', kind: 'Pod' },
  metadata: { namespace: 'oas', name },
  spec: {
    containers: [
      { name: 'app', image },
      { name: 'proxy', image: 'nginx' },
    ],
  },
  status: { phase },
})

test('the pod with the database: by its name, else the only PostgreSQL; a trace without it is an error', () => {
  const own = pod('single-sign-on-userbackend-0', 'docker.io/library/postgres:12')
  assert.equal(backendOf([own, pod('db', 'postgres:12')]), {
    namespace: 'oas',
    pod: 'single-sign-on-userbackend-0',
    container: 'app',
  })
  assert.is(backendOf([pod('db', 'bitnami/postgresql:11')]), undefined, 'no user backend')
  const trace = { ...pod('sso-user-backend', 'python'), kind: 'Deployment' }
  assert.is(backendOf([trace, pod('db', 'bitnami/postgresql:11')])!.pod, 'db')
  assert.throws(() => backendOf([trace]), /no running pod/)
  assert.throws(() => backendOf([trace, pod('a', 'postgres'), pod('b', 'postgres')]), /several containers/)
  assert.throws(() => backendOf([pod(own.metadata.name, 'postgres', 'Pending')]), /no running pod/)
  assert.equal(givenPlace('oas/db/main'), { namespace: 'oas', pod: 'db', container: 'main' })
  assert.throws(() => givenPlace('db'), /is not NAMESPACE/)
})

test('how a command in a container has ended', () => {
  const failed = (code: string) => ({
    status: 'Failure',
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: code }] },
  })
  assert.is(exitCodeOf('{"status":"Success"}'), 0)
  assert.is(exitCodeOf(JSON.stringify(failed('2'))), 2)
  assert.is(
    exitCodeOf('{"status":"Failure","reason":"InternalError","message":"no such container"}'),
    'no such container',
  )
  assert.is(exitCodeOf(''), 'the connection was closed before its end')
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), text => void exitCodeOf(text)))
})

test.run()
