/**
 * The users of 0.6: upgrade-0.7 reads them from a real PostgreSQL by a command in its pod, and creates them in the
 * real kratos. kwok plays the pod: the command runs here, with the environment that the pod has (ClusterExec of kwok). The
 * layout of that database is not public: these are two plausible ones.
 */
import { pbkdf2Sync, scryptSync } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import * as assert from 'uvu/assert'
import type { Identity } from '../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { until } from '../../lib/script/wait.ts'
import { run } from '../bed/build/shell.ts'
import { databaseProgram } from '../bed/login/database.ts'
import { person, startBrowser } from '../browser/browser.ts'
import { suite } from '../suite.ts'
import type { Bed, Outcome, ScriptOptions } from './harness.ts'
import { killedAfterWrite, killedAt, killedWriting } from './killing.ts'
import { logInAt, serve } from './login-services.ts'
import { Platform } from './upgrading.ts'

const test = suite('users of 0.6')
let platform: Platform
let bed: Bed
/** Old passwords by user, and everything else that must not be said. */
const PASSWORDS: Record<string, string> = {}
const secret: string[] = []

const psql = (sql: string, database = 'postgres') =>
  run(
    databaseProgram('psql'),
    ['-h', '127.0.0.1', '-p', bed.databasePort, '-U', 'postgres', '-d', database, '-qAtc', sql],
    { cwd: '/' },
  )

async function ask<T>(path: string, method = 'GET', body?: unknown): Promise<T> {
  const response = await fetch(`${bed.login.kratosAdmin}/admin/${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  })
  const text = await response.text()
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`)
  return (text ? JSON.parse(text) : undefined) as T
}
const everyone = () => ask<Identity[]>('identities?page_size=1000')
const identity = async (name: string) => (await everyone()).find(({ traits }) => traits.username === name)

const bcrypted = async (name: string) => {
  PASSWORDS[name] = `the old password of ${name}`
  const hash = await bcrypt.hash(PASSWORDS[name], 6)
  secret.push(PASSWORDS[name], hash)
  return hash
}
const pbkdf2 = (name: string) => {
  PASSWORDS[name] = `the old password of ${name}`
  const hash = pbkdf2Sync(PASSWORDS[name], 'salt', 20_000, 32, 'sha256').toString('base64')
  secret.push(PASSWORDS[name], hash)
  return `pbkdf2_sha256$20000$salt$${hash}`
}
const scrypted = (name: string) => {
  PASSWORDS[name] = `the old password of ${name}`
  const hash = scryptSync(PASSWORDS[name], 'salt', 64, { N: 16_384, r: 8, p: 1 }).toString('hex')
  secret.push(PASSWORDS[name], hash)
  return `scrypt:16384:8:1$salt$${hash}`
}
/** Node 20 has no argon2: what PHP's `password_hash` makes of "the old password of lea". */
const argon2 = () => {
  PASSWORDS.lea = 'the old password of lea'
  const hash = '1JJdpev//qzJhPDPQTKyxgZte25iv53aZOE0saF/Nic'
  secret.push(PASSWORDS.lea, hash)
  return `$argon2id$v=19$m=1024,t=2,p=1$TXlFNGFnTDdSaGdnSS5MQg$${hash}`
}

/** The pod of the old database, with the environment that the image of postgres has. */
async function backend(): Promise<void> {
  const name = 'single-sign-on-userbackend-postgres-0'
  const metadata = { namespace: 'oas', name }
  const container = { name: 'postgres', image: 'postgres:12' }
  const spec = { nodeName: 'sandbox', containers: [container] }
  await bed.kubectl.create({ apiVersion: 'v1', kind: 'Pod', metadata, spec })
  const env = {
    PGHOST: '127.0.0.1',
    PGPORT: bed.databasePort,
    POSTGRES_USER: 'postgres',
    POSTGRES_PASSWORD: 'x',
  }
  const envs = Object.entries(env).map(([name, value]) => ({ name, value }))
  await bed.kubectl.create({
    apiVersion: 'kwok.x-k8s.io/v1alpha1',
    kind: 'ClusterExec',
    metadata: { name },
    spec: {
      selector: { matchNamespaces: [metadata.namespace], matchNames: [name] },
      execs: [{ local: { envs, workDir: '/' } }],
    },
  } as KubeObject)
  const pod = { apiVersion: 'v1', kind: 'Pod', ...metadata }
  await until(
    async () => {
      const phase = (await bed.kubectl.get(pod))?.status?.phase
      return phase === 'Running' ? { done: true } : { last: phase }
    },
    { deadline: 60_000, every: 200, describe: last => String(last) },
  )
}

const FLASK = 'userbackend'
/** As a small Python program keeps people: tables in between, and the hydra of 0.6 in the same database. */
async function flask(): Promise<void> {
  await psql(`CREATE DATABASE ${FLASK}`)
  await psql(
    `CREATE TABLE "user" (id serial PRIMARY KEY, username text UNIQUE, email text, name text, password_hash text, active boolean);
     CREATE TABLE role (id serial PRIMARY KEY, name text);
     CREATE TABLE application (id serial PRIMARY KEY, name text, external_url text);
     CREATE TABLE user_role (user_id integer REFERENCES "user", role_id integer REFERENCES role);
     CREATE TABLE user_application (user_id integer REFERENCES "user", application_id integer REFERENCES application);
     CREATE TABLE hydra_oauth2_access (signature text, subject text);
     INSERT INTO role (name) VALUES ('admin'), ('user');
     INSERT INTO application (name) VALUES ('nextcloud'), ('rocketchat'), ('etherpad');
     INSERT INTO "user" (username, email, name, password_hash, active) VALUES
       ('admin', 'admin@old.example.org', 'Administrator', '${await bcrypted('admin')}', true),
       ('mia', 'mia@example.org', 'Mia Muster', '${await bcrypted('mia')}', true),
       ('ben', 'ben@example.org', NULL, 'md5$unknown', true),
       ('tim', 'tim@example.org', NULL, '${await bcrypted('tim')}', false),
       ('sam', 'sam@example.org', NULL, '${scrypted('sam')}', true),
       ('lea', 'lea@example.org', NULL, '${argon2()}', true),
       ('Eva B', 'eva@example.org', NULL, NULL, true);
     INSERT INTO "user" (username, email, password_hash, active)
       SELECT 'person' || i, 'person' || i || '@example.org', NULL, true FROM generate_series(1, 60) i;
     INSERT INTO user_role SELECT u.id, r.id FROM "user" u, role r WHERE u.username = 'admin' AND r.name = 'admin';
     INSERT INTO user_application SELECT u.id, a.id FROM "user" u, application a WHERE u.username = 'mia' AND a.name <> 'rocketchat';
     INSERT INTO hydra_oauth2_access VALUES ('s', 'mia'), ('t', 'admin');`,
    FLASK,
  )
}

const DJANGO = 'accounts'
/** As Django keeps people, with ids as subjects and roles in each application. */
async function django(): Promise<void> {
  await psql(`CREATE DATABASE ${DJANGO}`)
  await psql(
    `CREATE TABLE auth_user (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), username varchar(150), email varchar(254),
       first_name varchar(150), last_name varchar(150), password varchar(128), is_active boolean, is_superuser boolean);
     CREATE TABLE auth_group (id serial PRIMARY KEY, name varchar(150));
     CREATE TABLE app_role (user_id uuid REFERENCES auth_user, application varchar(60), role varchar(20));
     INSERT INTO auth_user (username, email, first_name, last_name, password, is_active, is_superuser) VALUES
       ('zoe', 'zoe@example.org', 'Zoe', 'Zauber', '${pbkdf2('zoe')}', true, true),
       ('max', 'max@example.org', 'Max', '', '${pbkdf2('max')}', true, false),
       ('mia', 'other@example.org', 'Another', 'Mia', '${pbkdf2('another')}', true, false);
     INSERT INTO app_role SELECT id, 'Nextcloud', 'admin' FROM auth_user WHERE username = 'max';
     INSERT INTO app_role SELECT id, 'wekan', 'user' FROM auth_user WHERE username = 'max';
     CREATE TABLE hydra_client (id text);
     CREATE TABLE hydra_oauth2_authentication_session (id text, subject text);
     INSERT INTO hydra_oauth2_authentication_session SELECT 's', id::text FROM auth_user WHERE username = 'max';`,
    DJANGO,
  )
}

const upgrade = (args: readonly string[] = [], options?: ScriptOptions) =>
  platform.upgrade(args, { timeout: 900_000, ...options })
async function upgraded(): Promise<Outcome> {
  const outcome = await upgrade()
  assert.is(outcome.code, 0, outcome.stderr)
  return outcome
}

test.before(async () => {
  platform = await Platform.start(undefined, { login: true })
  bed = platform.bed
  for (const [service, port, container] of [
    ['kratos-public', 80, 4433],
    ['kratos-admin', 80, 4434],
    ['hydra-admin', 4445, 4445],
  ] as const)
    await serve(bed, service, port, container)
  await flask()
  await backend()
  // 0.7 creates `admin` by itself, with a password and an address of its own.
  await ask('identities', 'POST', {
    schema_id: 'default',
    traits: { username: 'admin', email: 'admin@example.org' },
    metadata_admin: { admin: true, apps: {}, subject: 'of-0.7' },
    credentials: { password: { config: { password: 'the first password of 0.7' } } },
  })
})

test.after(() => platform?.bed.stop())

test('a dry run shows the mapping and who is carried over, and writes nothing', async () => {
  const outcome = await upgrade(['--dry-run'])
  assert.is(outcome.code, 0, outcome.stderr)
  for (const text of [
    `carry over 66 users of 0.6, from pod oas/single-sign-on-userbackend-postgres-0 (postgres), database ${FLASK}`,
    'table public.user: user name username, e-mail email, name name, password password_hash, active active',
    'subject of the tokens: username, as old sessions of hydra have it',
    '5 with their password; 61 with a one-time code',
    'not taken: Eva B',
    'application "etherpad" is not one of 0.7',
  ])
    assert.ok(outcome.stderr.includes(text), `${text}\n${outcome.stderr}`)
  assert.is((await everyone()).length, 1)
  assert.is(platform.state(), undefined)
})

test('killed at every stage and run again: everybody is there once, as before', async () => {
  const before = await platform.secrets()
  for (const options of [
    killedWriting('users-of-0.6.sealed'),
    killedWriting('state.json'),
    killedAt(/Carry over 66 users/),
    killedAfterWrite(20),
    killedWriting('one-time-codes.csv'),
  ]) {
    const killed = await upgrade([], options)
    assert.is(killed.code, null, `it was not killed:\n${killed.stderr}`)
  }
  const outcome = await upgraded()
  await platform.upgraded(outcome, before)
  const people = await everyone()
  assert.is(people.length, 66, 'admin among them, and nobody twice')
  const { metadata_admin, traits, state } = (await identity('mia'))!
  assert.equal(metadata_admin, { subject: 'mia', admin: false, apps: { nextcloud: 'user' } })
  assert.equal([traits.name, state], ['Mia Muster', 'active'])
  const admin = (await identity('admin'))!
  assert.equal([admin.metadata_admin!.subject, admin.metadata_admin!.admin], ['admin', true])
  assert.is(admin.traits.email, 'admin@example.org', 'his address stays that of 0.7')
  assert.is((await identity('tim'))!.state, 'inactive')
})

test('the old passwords still log people in; whoever has none finds a code in a file that only root reads', async () => {
  for (const name of ['mia', 'admin', 'sam', 'lea']) {
    assert.ok(await logInAt(bed, name, PASSWORDS[name]!), name)
    assert.not(await logInAt(bed, name, 'another password'), name)
  }
  assert.not(await logInAt(bed, 'tim', PASSWORDS.tim!), 'a disabled user stays out')
  const file = join(bed.cluster, platform.state()!.backup, 'one-time-codes.csv')
  const rows = readFileSync(file, 'utf8').trim().split('\n')
  assert.is(rows.length, 1 + 61)
  assert.match(rows[1]!, /^ben,ben@example\.org,https:\/\/admin\./)
  secret.push(...rows.slice(1).map(row => row.split(',').at(-1)!))

  const [, , address = '', code = ''] = rows[1]!.split(',')
  const browser = await startBrowser()
  try {
    const page = await (await person(browser)).newPage()
    await page.goto(address)
    await page.getByRole('textbox').fill(code)
    await page.locator('main').getByRole('button').first().click()
    const section = page.getByRole('region', { name: 'Password' })
    PASSWORDS.ben = 'a password that ben has chosen'
    await section.getByLabel('Password').fill(PASSWORDS.ben)
    await section.getByRole('button').click()
    await page.getByText('Saved.').waitFor()
  } finally {
    await browser.close()
  }
  assert.ok(await logInAt(bed, 'ben', PASSWORDS.ben))
})

test('a second run changes nobody', async () => {
  const before = await everyone()
  assert.match((await upgraded()).stderr, /nothing was changed/)
  assert.equal(await everyone(), before)
})

test('a rollback leaves the users; the second upgrade, from a database of another layout, adds its own', async () => {
  const values = await platform.secrets()
  await platform.rolledBack(values)
  await psql(`DROP DATABASE ${FLASK}`)
  await django()
  const wrong = await upgrade(['--dry-run', '--map', 'password=pw_hash'])
  assert.is(wrong.code, 2, wrong.stderr)
  assert.match(wrong.stderr, 'pw_hash')
  const corrected = await upgrade(['--dry-run', '--map', 'name=first_name', '--map', 'apps=none'])
  assert.match(corrected.stderr, 'name first_name, password password')
  assert.match(corrected.stderr, 'applications: none found')
  const plan = await upgrade(['--dry-run'])
  assert.is(plan.code, 0, plan.stderr)
  for (const text of [
    `carry over 3 users of 0.6, from pod oas/single-sign-on-userbackend-postgres-0 (postgres), database ${DJANGO}`,
    'table public.auth_user: user name username, e-mail email, name first_name + last_name, password password',
    'subject of the tokens: id, as old sessions of hydra have it',
  ])
    assert.ok(plan.stderr.includes(text), `${text}\n${plan.stderr}`)
  const outcome = await upgraded()
  assert.match(outcome.stderr, /user mia of 0\.6 was not carried over: somebody else has the name on 0\.7/)
  const max = (await identity('max'))!
  assert.match(max.metadata_admin!.subject!, /^[0-9a-f-]{36}$/)
  assert.equal(max.metadata_admin!.apps, { nextcloud: 'admin', wekan: 'user' })
  assert.is((await identity('zoe'))!.metadata_admin!.admin, true)
  assert.is((await identity('mia'))!.metadata_admin!.subject, 'mia', 'who was carried over first stays')
  for (const name of ['zoe', 'max']) assert.ok(await logInAt(bed, name, PASSWORDS[name]!), name)
})

test('no password, hash or code stands in what was said, nor in a journal', () => {
  assert.ok(secret.length > 60 && existsSync(join(bed.cluster, 'journal')))
  assert.equal(bed.leaks(secret), [])
})

test.run()
