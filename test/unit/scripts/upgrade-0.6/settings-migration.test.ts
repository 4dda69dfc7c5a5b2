import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { missingKeys, parseConfig } from '../../../../lib/platform/config.ts'
import { clusterNamed } from '../../../../lib/script/cluster.ts'
import { ExpectedError } from '../../../../lib/script/errors.ts'
import { ROOT } from '../../../../lib/script/files.ts'
import { redact } from '../../../../lib/script/redact.ts'
import { migrateSettings } from '../../../../scripts/upgrade-0.6/settings-migration.ts'
import {
  findSettings,
  leftComments,
  planSettings,
  settingsText,
} from '../../../../scripts/upgrade-0.6/settings-plan.ts'
import { expectedFrom, temporaryFolder } from '../../helpers.ts'

/** The part of backups and applications is that of the docs ("Upgrading from 0.3.0 to 0.4.0"). */
const SETTINGS = `---
ip_address: "203.0.113.6"
domain: "OAS.example.org"
admin_email: 'admin@example.org'
release_name: test
acme_staging: no
outgoing_mail:
  enabled: yes
  from_address: no-reply@example.org
  smtp:
    user: mailer
    password: 01234567
    host: smtp.example.org
    authtype: login
    port: 587
backup:
  s3:
    # Disabled by default.
    enabled: true
    url: "https://store.greenhost.net"
    region: "ceph"
    bucket: "openappstack-backup"
    prefix: "test-instance"
docker_mirror:
  enabled: false
  token: "Mirror-token-1"
enabled_applications:
# System components, necessary for the system to function.
- 'cert-manager'
- 'letsencrypt-production'
- 'letsencrypt-staging'
- 'ingress'
- 'local-path-provisioner'
- 'single-sign-on'
# - 'velero'
- 'grafana'
- 'loki'
- 'promtail'
- 'wordpress'
- 'nextcloud'
- 'prometheus'
- 'zulip'
`

test('settings of 0.5 become those of 0.7; nothing is lost on the way', async () => {
  const { values, left, apps, unknownApps } = await migrateSettings(SETTINGS, 'settings.yaml')
  assert.equal(values, {
    ip_address: '203.0.113.6',
    domain: 'oas.example.org',
    admin_email: 'admin@example.org',
    cluster_issuer: 'letsencrypt-production',
    outgoing_mail_enabled: 'true',
    outgoing_mail_from_address: 'no-reply@example.org',
    outgoing_mail_smtp_user: 'mailer',
    outgoing_mail_smtp_password: '01234567',
    outgoing_mail_smtp_host: 'smtp.example.org',
    outgoing_mail_smtp_authtype: 'LOGIN',
    outgoing_mail_smtp_port: '587',
    backup_s3_enabled: 'true',
    backup_s3_url: 'https://store.greenhost.net',
    backup_s3_region: 'ceph',
    backup_s3_bucket: 'openappstack-backup',
    backup_s3_prefix: 'test-instance',
  })
  assert.equal([apps, unknownApps], [['nextcloud', 'wordpress'], ['zulip']])
  assert.equal(left, [
    { path: 'release_name', why: 'has no counterpart in 0.7', value: 'test' },
    { path: 'docker_mirror.enabled', why: 'has no counterpart in 0.7', value: 'false' },
    { path: 'docker_mirror.token', why: 'has no counterpart in 0.7' },
  ])
  assert.is(redact('Mirror-token-1 01234567'), '*** ***')
  assert.equal(
    missingKeys(values).map(key => key.name),
    ['backup_s3_aws_access_key_id', 'backup_s3_aws_secret_access_key'],
  )
})

test('switches and issuers in all their spellings', async () => {
  const one = async (text: string) => (await migrateSettings(`domain: a.org\n${text}\n`, 'x')).values
  for (const word of ['true', 'True', 'yes', 'on', '"yes"'])
    assert.is((await one(`acme_staging: ${word}`)).cluster_issuer, 'letsencrypt-staging', word)
  for (const word of ['false', 'no', 'Off'])
    assert.is((await one(`acme_live_environment: ${word}`)).cluster_issuer, 'letsencrypt-staging', word)
  assert.is((await one('acme_live_environment: true')).cluster_issuer, 'letsencrypt-production')
  assert.is((await one('backup: {s3: {enabled: Off}}')).backup_s3_enabled, 'false')
  assert.is((await one('backup_s3_region: eu')).backup_s3_region, 'eu')
  assert.equal(Object.keys(await one('admin_email: ""\nip_address:\nip_address2: ~')), ['domain'])
})

test('a value that cannot stand in .flux.env is named, not written', async () => {
  const text = [
    'domain: a.org',
    'admin_email: nobody',
    "ip_address: \"{{ lookup('env', 'IP') }}\"",
    'outgoing_mail:',
    '  smtp:',
    '    password: !vault |',
    '      $ANSIBLE_VAULT;1.1;AES256',
    '      6162',
    '    host: [a, b]',
    '    user: "o\\nneill"',
    '    port: 0x24b',
    '  from: a@a.org',
    '  from_address: b@a.org',
  ].join('\n')
  const { values, left } = await migrateSettings(text, 'x')
  assert.equal(values, { domain: 'a.org', outgoing_mail_from_address: 'a@a.org' })
  const why = Object.fromEntries(left.map(({ path, why }) => [path, why]))
  assert.match(why.admin_email!, 'must be a mail address')
  assert.match(why.ip_address!, 'is a template')
  assert.match(why['outgoing_mail.smtp.password']!, 'tag !vault')
  assert.match(why['outgoing_mail.smtp.host']!, 'is a list')
  assert.match(why['outgoing_mail.smtp.user']!, 'line break')
  assert.match(why['outgoing_mail.smtp.port']!, 'must be a port')
  assert.match(why['outgoing_mail.from_address']!, 'set twice')
  assert.ok(left.every(({ key }) => key !== undefined))
})

test('what is no settings file is refused, and never quoted', async () => {
  const cases: [string, RegExp][] = [
    ['', /holds no settings/],
    ['- Hunter2', /holds no settings/],
    ['Hunter2', /holds no settings/],
    ['a: [Hunter2', /is not valid YAML: \w+ in line 1/],
    ['domain: a.org\ndomain: Hunter2.org', /is not valid YAML: DUPLICATE_KEY in line 2/],
    ['domain: a.org\n---\ndomain: b.org', /is not valid YAML: MULTIPLE_DOCS/],
    ['Hunter2: 1', /no known setting/],
    [`domain: ${'x'.repeat(200_001)}`, /larger than 200 kB/],
    [
      `a: &a [x]\n${Array.from('bcdefgh', (c, i) => `${c}: &${c} [${`*${'abcdefg'[i]},`.repeat(9)}]`).join('\n')}`,
      /no known setting|far more/,
    ],
    [
      `a: &a {k: x}\n${Array.from('bcdefgh', (c, i) => `${c}: &${c} {${Array.from('123456789', n => `k${n}: *${'abcdefg'[i]}`).join(', ')}}`).join('\n')}`,
      /far more than settings/,
    ],
  ]
  for (const [text, what] of cases) {
    const error = await expectedFrom(() => migrateSettings(text, 'FILE'))
    assert.match(error.message, what)
    assert.not.match(`${error.message}${error.fix}${error.cause}`, 'Hunter2')
  }
  await fc.assert(
    fc.asyncProperty(fc.string({ maxLength: 80 }), async text => {
      try {
        await migrateSettings(text, 'FILE')
      } catch (error) {
        assert.instance(error, ExpectedError)
      }
    }),
    { numRuns: 300 },
  )
})

test('what .flux.env says wins, but for the defaults of the example', async () => {
  const migration = await migrateSettings(SETTINGS, 'x')
  const config = {
    ip_address: '198.51.100.1',
    outgoing_mail_enabled: 'false',
    outgoing_mail_smtp_password: 'newer-password',
  }
  const plan = planSettings(migration, config, [])
  assert.equal(plan.kept, [
    'ip_address: 198.51.100.1 stays, the old settings have 203.0.113.6',
    'outgoing_mail_smtp_password: (hidden) stays, the old settings have (hidden)',
  ])
  assert.is(plan.news.outgoing_mail_enabled, 'true')
  assert.ok(plan.lines.includes('~ outgoing_mail_enabled: false → true'))
  assert.not.ok('ip_address' in plan.news)
  assert.is(planSettings(migration, config, ['ip_address']).news.ip_address, '203.0.113.6')
  assert.match((await expectedFrom(() => planSettings(migration, config, ['ip_adress']))).fix, 'ip_address')
})

test('whatever the settings hold, the text is a .flux.env, and is complete the second time', async () => {
  const entry = fc.tuple(fc.stringMatching(/^[a-z_]{1,12}$/), fc.string({ maxLength: 400, unit: 'binary' }))
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(entry, { maxLength: 80, selector: ([name]) => name }), async entries => {
      const others = entries.map(([name, value]) => `x_${name}: ${JSON.stringify(value)}`).join('\n')
      const migration = await migrateSettings(`domain: a.org\n${others}\n`, 'x').catch(error => {
        assert.match(error.message, /is not valid YAML/) // a surrogate alone
      })
      if (!migration) return
      const plan = planSettings(migration, {}, [])
      const comments = leftComments(migration, '/old/settings.yaml')
      const text = settingsText('# mine\nadmin_email=a@a.org\n', plan, comments)
      assert.equal(parseConfig(text), { domain: 'a.org', admin_email: 'a@a.org' })
      const again = planSettings(migration, parseConfig(text), [])
      assert.is(settingsText(text, again, comments), text)
    }),
  )
})

test('the file is found in every place it had, and asked for when there are several', async () => {
  process.env.OAS_CLUSTERS_DIR = temporaryFolder()
  const cluster = clusterNamed('a')
  assert.match((await expectedFrom(() => findSettings(cluster, undefined))).fix, '--settings FILE')
  mkdirSync(join(cluster.folder, 'group_vars', 'all'), { recursive: true })
  const old = join(cluster.folder, 'group_vars', 'all', 'settings.yml')
  writeFileSync(old, '')
  assert.is(findSettings(cluster, undefined), old)
  writeFileSync(join(cluster.folder, 'settings.yaml'), '')
  assert.match(
    (await expectedFrom(() => findSettings(cluster, undefined))).message,
    'there are several files',
  )
  assert.is(findSettings(cluster, '/x/y'), '/x/y')
})

// The script, as a process

function run(folder: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', 'tsx', 'scripts/upgrade-0.6.ts', '--cluster', 'oas.example.org', ...args],
    {
      cwd: ROOT,
      env: { PATH: process.env.PATH, HOME: process.env.HOME, OAS_CLUSTERS_DIR: folder },
      encoding: 'utf8',
      timeout: 300_000,
    },
  )
  return { code: status, out: stdout, err: stderr }
}

test('the script: a plan, a private file, the applications, and nothing the second time', () => {
  const folder = temporaryFolder()
  const settings = join(folder, 'old.yml')
  writeFileSync(settings, SETTINGS)
  const env = join(folder, 'oas.example.org', '.flux.env')

  const dry = run(folder, '--settings', settings, '--dry-run')
  assert.is(dry.code, 0, dry.err)
  assert.match(dry.err, '+ domain = oas.example.org')
  assert.match(dry.err, '+ outgoing_mail_smtp_password = (hidden)')
  assert.not.ok(existsSync(env))
  assert.is(run(folder, '--settings', settings).code, 2) // nobody there to confirm

  const done = run(folder, '--settings', settings, '--yes')
  assert.is(done.code, 0, done.err)
  assert.is(statSync(env).mode & 0o777, 0o600)
  const text = readFileSync(env, 'utf8')
  assert.is(parseConfig(text).outgoing_mail_smtp_password, '01234567')
  assert.match(text, '\n# applications: nextcloud wordpress zulip\n')
  assert.match(text, '\n# release_name (has no counterpart in 0.7): "test"\n')
  assert.match(text, '\n# docker_mirror.token (has no counterpart in 0.7): (not copied)\n')
  assert.match(done.err, 'application zulip: 0.7 does not have it')
  assert.match(done.err, 'still lacks backup_s3_aws_access_key_id, backup_s3_aws_secret_access_key')
  assert.match(done.out, 'install-app.ts --cluster oas.example.org nextcloud wordpress')
  assert.not.match(dry.err + done.err + done.out, '01234567')
  assert.is(readFileSync(settings, 'utf8'), SETTINGS)

  const again = run(folder, '--settings', settings)
  assert.is(again.code, 0, again.err)
  assert.match(again.err, 'nothing was changed')
  assert.is(readFileSync(env, 'utf8'), text)
})

test('the script: a value that could not be taken is a finding', () => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'oas.example.org'))
  writeFileSync(
    join(folder, 'oas.example.org', 'settings.yaml'),
    'domain: oas.example.org\nadmin_email: nobody\n',
  )
  const { code, err, out } = run(folder, '--yes', '--json')
  assert.is(code, 3, err)
  assert.match(err, '! admin_email must be a mail address')
  const { result } = JSON.parse(out)
  assert.equal([result.set, result.left.length, result.apps], [['domain'], 1, undefined])
})

test('the script: wrong usage is told in two lines', () => {
  const folder = temporaryFolder()
  for (const [args, what] of [
    [[], / has no settings\.yaml or .*group_vars/],
    [['--settings', join(folder, 'nowhere')], /nowhere does not exist/],
  ] as const) {
    const { code, err } = run(folder, ...args)
    assert.is(code, 2, err)
    assert.match(err, what)
    assert.match(err, '  fix: ')
  }
})

test.run()
