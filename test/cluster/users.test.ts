/**
 * The script `users` as a process, through the real API server's service proxy to the real kratos and hydra. kwok
 * plays their pods; the pod network of the sandbox leads to where they really listen.
 */
import { spawn, spawnSync } from 'node:child_process'
import { pbkdf2Sync, scryptSync } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import { load } from 'js-yaml'
import * as assert from 'uvu/assert'
import { type Identity, SHORTEST_PASSWORD } from '../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { lockCluster } from '../../lib/platform/lock.ts'
import { ROOT } from '../../lib/script/files.ts'
import { sleep } from '../../lib/script/wait.ts'
import { suite } from '../suite.ts'
import { Bed, type Outcome, runScript } from './harness.ts'
import { logInAt, prepareNamespace, serve, serveAccounts } from './login-services.ts'

const test = suite('users')
let bed: Bed
/** Every password and code that was handed over. */
const handed: string[] = []

const users = (...args: string[]) => runScript('users', [...args, '--yes'])
async function done(...args: string[]): Promise<Outcome> {
  const outcome = await users(...args)
  assert.is(outcome.code, 0, `users ${args.join(' ')}: ${outcome.stderr}`)
  return outcome
}
/** A refusal: its exit code, and what it says. */
async function refused(code: number, message: RegExp, ...args: string[]): Promise<void> {
  const outcome = await users(...args)
  assert.is(outcome.code, code, `users ${args.join(' ')}: ${outcome.stderr}`)
  assert.match(outcome.stderr, message)
}
/** What a command hands over. */
async function handover(
  ...args: string[]
): Promise<{ password?: string; code?: { code: string; address: string } }> {
  const outcome = await runScript('users', [...args, '--yes', '--json'], { reveals: true })
  assert.is(outcome.code, 0, outcome.stderr)
  const { result } = JSON.parse(outcome.stdout)
  handed.push(...[result.password, result.code?.code, result.code?.address].filter(Boolean))
  return result
}

async function ask<T>(url: string, init: RequestInit = {}): Promise<T> {
  const response = await fetch(url, { headers: { 'content-type': 'application/json' }, ...init })
  const text = await response.text()
  assert.ok(response.ok, `${url}: ${response.status} ${text}`)
  return JSON.parse(text)
}
const identity = async (name: string): Promise<Identity | undefined> =>
  (await ask<Identity[]>(`${bed.login.kratosAdmin}/admin/identities?credentials_identifier=${name}`))[0]
const everyone = () => ask<Identity[]>(`${bed.login.kratosAdmin}/admin/identities?page_size=1000`)

const logIn = (identifier: string, password: string) => logInAt(bed, identifier, password)
async function hasSession(token: string | undefined): Promise<boolean> {
  const headers = { 'x-session-token': token ?? '' }
  return (await fetch(`${bed.login.kratosPublic}/sessions/whoami`, { headers })).ok
}

test.before(async () => {
  bed = await Bed.start({ login: true })
  await prepareNamespace(bed)
})

test.after(() => bed?.stop())

test('without single sign-on the error says so, and names the command that installs it', async () => {
  await refused(1, /single sign-on is not installed[\s\S]*install-core/, 'list')
})

test('while the pods are not ready, the error says so', async () => {
  await serve(bed, 'kratos-public', 80, 4433)
  await bed.kubectl.create({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { namespace: 'oas', name: 'kratos-admin' },
    spec: { selector: { none: 'none' }, ports: [{ name: 'http', port: 80, targetPort: 4434 }] },
  })
  await refused(1, /kratos-admin is not ready/, 'list')
  await bed.kubectl.delete({ apiVersion: 'v1', kind: 'Service', namespace: 'oas', name: 'kratos-admin' })
  await serveAccounts(bed)
})

test('the Job of the first user refuses a password that kratos would refuse from a user', async () => {
  const file = join(ROOT, 'flux2/core/single-sign-on/admin-user/job.yaml')
  const job = load(readFileSync(file, 'utf8')) as KubeObject
  const [shell, flags, text] = job.spec.template.spec.containers[0].command as [string, string, string]
  const script = text.replace('http://kratos-admin/admin', `${bed.login.kratosAdmin}/admin`)
  const played = (ADMIN_PASSWORD: string) =>
    spawnSync(shell, [flags, script], {
      env: { PATH: process.env.PATH, ADMIN_EMAIL: 'first@example.org', ADMIN_PASSWORD },
      encoding: 'utf8',
    })
  for (const password of ['abc', '', 'nine char']) {
    const { status, stderr } = played(password)
    assert.is(status, 1)
    assert.match(stderr, 'fewer than 10 characters')
    assert.is(await identity('admin'), undefined)
  }
  assert.match(played('ten charac').stdout, 'The user admin was created.')
  assert.ok(await logIn('admin', 'ten charac'))
  assert.match(played('another password').stdout, 'The user admin exists.')
  const { id } = (await identity('admin'))!
  await fetch(`${bed.login.kratosAdmin}/admin/identities/${id}`, { method: 'DELETE' })
})

test('reset-admin without the user admin creates it', async () => {
  await refused(2, /not a valid e-mail address[\s\S]*--email/, 'reset-admin', '--email', 'nowhere')
  const { password } = await handover('reset-admin', '--email', 'admin@example.org')
  assert.ok(await logIn('admin', password!))
  assert.is((await identity('admin'))!.metadata_admin!.admin, true)
  const again = await handover('reset-admin')
  assert.not.equal(again.password, password)
  assert.not(await logIn('admin', password!))
  assert.ok(await logIn('admin', again.password!))
})

test('create, show, edit, grant, revoke, admin: the accounts in kratos are what was asked for', async () => {
  const { code } = await handover(
    'create',
    'mia',
    '--email',
    'mia@example.org',
    '--name',
    'Mia',
    '--grant',
    'nextcloud',
  )
  assert.match(code!.address, /^https:\/\/admin\.oas\.localhost:\d+\/recovery/)
  await refused(
    1,
    /the name mia is taken[\s\S]*reset-password mia/,
    'create',
    'mia',
    '--email',
    'other@example.org',
  )
  await refused(1, /mia@example\.org is the address of mia/, 'create', 'ben', '--email', 'mia@example.org')
  await refused(2, /"Mia" is not a valid user name/, 'create', 'Mia', '--email', 'm@example.org')
  await refused(1, /application "nextclod" is not registered[\s\S]*nextcloud/, 'grant', 'mia', 'nextclod')
  await refused(1, /user "mai" does not exist[\s\S]*mia/, 'show', 'mai')

  await done('grant', 'mia', 'wekan=admin', 'rocketchat')
  await done('revoke', 'mia', 'rocketchat')
  assert.match((await done('revoke', 'mia', 'rocketchat')).stderr, /revoke all tokens of mia/)
  await done('admin', 'mia', 'on', 'nextcloud')
  await done('edit', 'mia', '--email', 'm@example.org', '--name', 'Mia Muster')
  assert.equal((await identity('mia'))!.metadata_admin!.apps, { nextcloud: 'admin', wekan: 'admin' })
  assert.match(
    (await done('show', 'mia')).stdout,
    /mia\s+m@example\.org\s+Mia Muster\s+active\s+nextcloud=admin wekan=admin/,
  )
  await done('admin', 'mia', 'off', 'nextcloud')
  await done('admin', 'mia', 'on')
  const listed = JSON.parse((await done('list', '--json')).stdout).result
  assert.equal(
    listed.map(({ username, admin, apps }: { username: string; admin: boolean; apps: object }) => [
      username,
      admin,
      apps,
    ]),
    [
      ['admin', true, {}],
      ['mia', true, { nextcloud: 'user', wekan: 'admin' }],
    ],
  )
  await done('admin', 'mia', 'off')
  assert.match((await done('grant', 'mia', 'wekan=admin')).stderr, /nothing was changed/)
  const plan = await done('revoke', 'mia', 'wekan', '--dry-run')
  assert.match(plan.stderr, /change mia: applications nextcloud wekan=admin → nextcloud/)
  assert.equal((await identity('mia'))!.metadata_admin!.apps, { nextcloud: 'user', wekan: 'admin' })
})

test('a user of before there were grants: the list says what he may open, as the cluster was told', async () => {
  await ask(`${bed.login.kratosAdmin}/admin/identities`, {
    method: 'POST',
    body: JSON.stringify({ schema_id: 'default', traits: { username: 'old', email: 'old@example.org' } }),
  })
  const kept = await done('list')
  assert.match(kept.stdout, /old\s.*all: no grants yet/)
  assert.match(kept.stderr + kept.stdout, /legacy_access=false/)
  await bed.kubectl.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'flux-system' } })
  await bed.kubectl.create({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { namespace: 'flux-system', name: 'oas-cluster-variables' },
    stringData: { legacy_access: 'false' },
  })
  assert.match((await done('list')).stdout, /old\s.*nothing: no grants yet/)
  await done('grant', 'old', 'wekan')
  assert.match((await done('show', 'old')).stdout, /active\s+wekan/)
})

test('reset-password, sessions, disable, enable: who can log in, and whose session ends', async () => {
  const { password } = await handover('reset-password', 'mia', '--generate')
  const { subject } = (await identity('mia'))!.metadata_admin!
  const session = await logIn('mia', password!)
  assert.ok(await hasSession(session))
  await refused(2, /--end/, 'sessions', 'mia')
  await done('sessions', 'mia', '--end')
  assert.not(await hasSession(session))

  const second = await logIn('m@example.org', password!)
  await done('edit', 'mia', '--name', 'Mia M.')
  assert.ok(await logIn('mia', password!), 'a change keeps the password')
  await done('disable', 'mia')
  assert.not(await hasSession(second))
  assert.match((await done('disable', 'mia')).stderr, /end all sessions of mia, who is disabled already/)
  assert.not(await logIn('mia', password!))
  await done('enable', 'mia')
  assert.ok(await logIn('mia', password!))
  assert.is((await identity('mia'))!.metadata_admin!.subject, subject)
  const { code } = await handover('reset-password', 'mia')
  assert.ok(code)
  assert.ok(await logIn('mia', password!), 'the old password stays until the code was used')
})

test('a deleted name stays reserved, is given back, or freed by its name typed', async () => {
  const { subject } = (await identity('mia'))!.metadata_admin!
  await refused(2, /--confirm mia/, 'delete', 'mia')
  await refused(4, /"mai" is not mia/, 'delete', 'mia', '--confirm', 'mai')
  await done('delete', 'mia', '--confirm', 'mia')
  assert.match((await done('delete', 'mia', '--confirm', 'mia')).stderr, /who is deleted already/)
  await done('sessions', 'mia', '--end')
  await refused(1, /the name is reserved/, 'create', 'mia', '--email', 'mia@example.org')
  assert.match((await done('list')).stdout, /mia\s.*deleted/)
  assert.not.match(JSON.stringify(await identity('mia')), /example\.org|Mia M/)
  await handover('restore', 'mia', '--email', 'mia@example.org')
  assert.equal((await identity('mia'))!.metadata_admin, { subject, apps: {} })

  await refused(1, /user mia is not deleted[\s\S]*reset-password mia/, 'restore', 'mia')
  await refused(1, /user mia is not deleted/, 'free-name', 'mia', '--confirm', 'mia')
  await done('delete', 'mia', '--confirm', 'mia')
  const warned = await done('free-name', 'mia', '--confirm', 'mia')
  assert.match(warned.stderr, /may get the old one's accounts/)
  await handover('create', 'mia', '--email', 'mia@example.org')
  assert.not.equal((await identity('mia'))!.metadata_admin!.subject, subject)
})

test('the last administrator stays; a deleted admin comes back by reset-admin, as the same person', async () => {
  for (const command of [
    ['disable', 'admin'],
    ['delete', 'admin', '--confirm', 'admin'],
    ['admin', 'admin', 'off'],
  ])
    await refused(4, /admin is the only administrator/, ...command)
  const { subject } = (await identity('admin'))!.metadata_admin!
  await done('admin', 'mia', 'on')
  await done('disable', 'admin')
  assert.ok(await logIn('admin', (await handover('reset-admin')).password!))
  await done('delete', 'admin', '--confirm', 'admin')
  const { password } = await handover('reset-admin', '--email', 'admin@example.org')
  assert.ok(await logIn('admin', password!))
  assert.equal((await identity('admin'))!.metadata_admin, { subject, admin: true, apps: {} })
  await done('admin', 'mia', 'off')
})

test('an application behind the first page of hydra can be granted', async () => {
  for (let i = 0; i < 260; i++)
    await ask(`${bed.login.hydraAdmin}/admin/clients`, {
      method: 'POST',
      body: JSON.stringify({ client_id: `app-${i}`, token_endpoint_auth_method: 'none' }),
    })
  await done('grant', 'mia', 'app-0', 'app-259', 'nextcloud')
  await done('revoke', 'mia', 'app-0', 'app-259')
})

test('no password can be typed: no flag takes one and no column of a file, and what is generated is long', async () => {
  const place = ['lars', '--email', 'lars@example.org']
  await refused(2, /--password/, 'create', ...place, '--password', 'abc')
  await refused(2, /--generate takes no value/, 'create', ...place, '--generate=abc')
  await refused(2, /--password/, 'reset-password', 'mia', '--password', 'abc')
  const file = join(bed.folder, 'passwords.csv')
  writeFileSync(file, 'username,email,password\nlars,lars@example.org,abc\n')
  await refused(1, /"password" is unknown/, 'import', file)
  writeFileSync(file, 'username,email,password_hash\nlars,lars@example.org,abc\n')
  await refused(1, /password_hash of lars is of a kind that kratos cannot import/, 'import', file)
  assert.is(await identity('lars'), undefined)
  const generated = [await handover('create', ...place, '--generate')]
  generated.push(await handover('reset-password', 'lars', '--generate'), await handover('reset-admin'))
  for (const { password } of generated) assert.ok(password!.length >= SHORTEST_PASSWORD)
  assert.not(await logIn('lars', 'abc'))
})

test('export escapes what a spreadsheet would calculate, and import reads it back', async () => {
  const formulas = ['=HYPERLINK("http://x")', '+1', '-1', '@x', "'=quoted"]
  for (const [i, name] of formulas.entries())
    await handover('create', `formula${i}`, '--email', `f${i}@example.org`, `--name=${name}`)
  const file = join(bed.folder, 'export.csv')
  await done('export', '--output', file)
  assert.is(statSync(file).mode & 0o777, 0o600)
  const text = readFileSync(file, 'utf8')
  for (const line of text.split('\n')) assert.not.match(line, /(^|,)"?[=+@-]/)
  assert.match((await done('import', file)).stderr, /nothing was changed/)
  assert.is((await done('export')).stdout, text)
  assert.equal(
    await Promise.all(formulas.map(async (_, i) => (await identity(`formula${i}`))!.traits.name)),
    formulas,
  )
})

const PEOPLE = 500

test('a file with mistakes changes nothing, and all mistakes are told', async () => {
  const file = join(bed.folder, 'wrong.csv')
  writeFileSync(file, 'username,email,apps\nA,a@example.org,\nb,nowhere,\nc,c@example.org,nothing\n')
  const before = (await everyone()).length
  const outcome = await users('import', file)
  assert.is(outcome.code, 1)
  for (const line of ['line 2: "A"', 'line 3: "nowhere"', 'line 4: application "nothing"'])
    assert.ok(outcome.stderr.includes(line), outcome.stderr)
  assert.is((await everyone()).length, before)
  await refused(2, /does not exist/, 'import', join(bed.folder, 'none.csv'))
})

test('whoever comes from another user backend keeps the password, where kratos can import its hash', async () => {
  const password = 'a password of before'
  const [salt, rounds] = ['NaCl', 20_000]
  const derived = pbkdf2Sync(password, salt, rounds, 32, 'sha256')
  const stretched = scryptSync(password, salt, 64, { N: 16_384, r: 8, p: 1 })
  const hashes = {
    django: `pbkdf2_sha256$${rounds}$${salt}$${derived.toString('base64')}`,
    werkzeug: `pbkdf2:sha256:${rounds}$${salt}$${derived.toString('hex')}`,
    scrypt: `scrypt:16384:8:1$${salt}$${stretched.toString('hex')}`,
    bcrypt: await bcrypt.hash(password, 8),
  }
  const rows = Object.entries(hashes).map(([name, hash]) => `${name},${name}@example.org,${hash}\n`)
  const file = join(bed.folder, 'old.csv')
  writeFileSync(file, `username,email,password_hash\n${rows.join('')}none,none@example.org,\n`)
  const outcome = await done('import', file)
  assert.match(
    outcome.stderr,
    /create django \(django@example\.org\): no applications, with the password of before/,
  )
  for (const name of Object.keys(hashes)) {
    assert.not(await logIn(name, 'another password'), name)
    assert.ok(await logIn(name, password), name)
  }
  handed.push(...Object.values(hashes), password)
  writeFileSync(file, 'username,email,password_hash\nmd5,md5@example.org,md5$salt$0011\n')
  await refused(1, /line 2: the password_hash of md5 is of a kind that kratos cannot import/, 'import', file)
})

test(`an import of ${PEOPLE} that was killed is completed by the next run, both within a minute`, async () => {
  const file = join(bed.folder, 'people.csv')
  const row = (i: number) => `person${i},person${i}@example.org,"Person, ${i}",no,nextcloud\n`
  writeFileSync(
    file,
    `username,email,name,admin,apps\n${Array.from({ length: PEOPLE }, (_, i) => row(i)).join('')}`,
  )
  const before = (await everyone()).length
  const plan = await done('import', file, '--dry-run')
  assert.is(plan.stderr.match(/create person\d+ /g)!.length, PEOPLE)

  const started = performance.now()
  const child = spawn(process.execPath, ['--import', 'tsx', 'scripts/users.ts', 'import', file, '--yes'], {
    cwd: ROOT,
    stdio: 'ignore',
  })
  const ended = new Promise(resolve => child.on('close', (_, signal) => resolve(signal)))
  while (child.exitCode === null && (await everyone()).length < before + 100) await sleep(50)
  child.kill('SIGKILL')
  assert.is(await ended, 'SIGKILL', 'it was killed before its end')
  const half = (await everyone()).length - before
  assert.ok(half >= 100 && half < PEOPLE, String(half))
  const outcome = await done('import', file)
  const seconds = (performance.now() - started) / 1000
  console.log(`import of ${PEOPLE}, killed after ${half}: ${seconds.toFixed(1)} s for both runs`)
  assert.ok(seconds <= 60, `${seconds} s`)
  assert.match(outcome.stderr, new RegExp(`Change ${PEOPLE - half} users`))
  assert.is((await everyone()).length, before + PEOPLE)
  assert.match((await done('import', file)).stderr, /nothing was changed/)
  assert.match((await done('show', 'person499')).stdout, /Person, 499\s+active\s+nextcloud/)
})

test('two runs that change users: the second one is refused while the first holds the lock', async () => {
  const log = { warn: () => {} } as never
  const release = await lockCluster(bed.kubectl, { log, abort: () => {}, onEnd: () => {} })
  await refused(75, /another run holds the lock/, 'disable', 'mia')
  await release()
  await done('list')
})

test('no password and no code stands in an output that was not asked for, in a journal, or in a process list', async () => {
  const seen = new Set<string>()
  let running = true
  const watching = (async () => {
    while (running) {
      for (const pid of readdirSync('/proc').filter(name => /^\d+$/.test(name))) {
        try {
          seen.add(readFileSync(`/proc/${pid}/cmdline`, 'utf8'))
        } catch {} // it has ended
      }
      await sleep(20)
    }
  })()
  const { password } = await handover('reset-password', 'person1', '--generate')
  running = false
  await watching
  assert.ok([...seen].some(line => line.includes('reset-password')))
  assert.not([...seen].some(line => line.includes(password!)))
  assert.ok(handed.length > 10 && existsSync(join(bed.cluster, 'journal')))
  assert.equal(bed.leaks(handed), [])
})

test.run()
