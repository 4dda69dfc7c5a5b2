import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  completeConfig,
  editConfig,
  installedConfig,
  missingKeys,
  parseConfig,
  readConfig,
  saveOver,
} from '../../../../lib/platform/config.ts'
import { CONFIG_KEYS, checkValue } from '../../../../lib/platform/config-keys.ts'
import { ExpectedError, type ExpectedErrors, UsageError } from '../../../../lib/script/errors.ts'
import { ROOT } from '../../../../lib/script/files.ts'
import { redact } from '../../../../lib/script/redact.ts'
import { PRINTABLE } from '../../../fixtures/printable.ts'
import { cluster, expectedFrom, messagesOf, temporaryFolder } from '../../helpers.ts'

const domains = {
  good: ['oas.example.org', 'a.b', 'xn--bcher-kva.example', '0.example.org', `${'a'.repeat(63)}.org`],
  bad: [
    'localhost',
    'Example.org',
    'example.org.',
    '.example.org',
    'a..b',
    '-a.org',
    'a-.org',
    '203.0.113.7',
    '256.1.1.1',
    'bücher.example',
    'a_b.org',
    'a b.org',
    'https://a.org',
    'a.org/x',
    'a.org:80',
    '*.a.org',
    `${'a'.repeat(64)}.org`,
    `${'a.'.repeat(100)}org`,
  ],
}
const mails = {
  good: ['admin@example.org', 'a.b+c-d_e@oas.example.org', 'admin@Example.org'],
  bad: [
    'admin',
    '@example.org',
    'admin@',
    'a@b@c.org',
    'a b@c.org',
    'a@localhost',
    'a@c.org,b@c.org',
    'A <a@c.org>',
  ],
}
const switches = { good: ['true', 'false'], bad: ['yes', 'True', '1', 'on', 'true false'] }
const secrets = {
  good: ['x', 'A/b+c==', 'with blank', '#hash', ': {}[]', '=', 'ümlaut', 'x'.repeat(1024)],
  bad: [],
}
const urls = {
  good: ['https://s3.example.org', 'http://127.0.0.1:9000', 'https://[::1]:9000/a/b?c=d'],
  bad: [
    's3.example.org',
    'ftp://a.org',
    'file:///etc/passwd',
    'https://',
    'https:a.org',
    'https:/a.org',
    'https://a.org/ #b',
    'https://a b.org',
    'https://u@a.org',
    'https://u:p@a.org',
    'javascript:alert(1)',
  ],
}

/** Values that each key takes and refuses; those that no key takes come below. */
const cases: Record<string, { good: string[]; bad: string[] }> = {
  ip_address: {
    good: ['203.0.113.7', '2001:db8::1', '127.0.0.1'],
    bad: ['203.0.113', '1.2.3.256', 'a.org', '1.2.3.4/24', '01.2.3.4'],
  },
  domain: domains,
  admin_email: mails,
  outgoing_mail_enabled: switches,
  outgoing_mail_from_address: mails,
  outgoing_mail_from_local_part: { good: ['admin', 'a.b+c'], bad: ['a@b', 'a b', 'a,b'] },
  outgoing_mail_domain: domains,
  outgoing_mail_smtp_user: secrets,
  outgoing_mail_smtp_password: secrets,
  outgoing_mail_smtp_host: {
    good: ['smtp.example.org', 'mail', '192.0.2.1'],
    bad: ['2001:db8::1', 'smtp.example.org:587', 'a b', '-', '-x', 'smtp://a.org', 'a..b'],
  },
  outgoing_mail_smtp_authtype: { good: ['LOGIN', 'PLAIN'], bad: ['login', 'NONE', 'LOGIN PLAIN'] },
  outgoing_mail_smtp_port: {
    good: ['1', '25', '587', '65535'],
    bad: ['0', '65536', '99999', '-1', '587.0', '0x24B', '00587', '5e2', 'smtp'],
  },
  backup_s3_enabled: switches,
  backup_s3_url: urls,
  backup_s3_region: { good: ['eu-central-1', 'ceph'], bad: ['eu central', 'a/b', 'a.b'] },
  backup_s3_bucket: {
    good: ['abc', 'my-bucket.1'],
    bad: ['ab', 'My-Bucket', '-abc', 'abc-', 'a/b', 'a'.repeat(64)],
  },
  backup_s3_prefix: { good: ['oas', 'a/b_c.d-e'], bad: ['/a', '-a', 'a b', 'a?b'] },
  backup_s3_aws_access_key_id: secrets,
  backup_s3_aws_secret_access_key: secrets,
  cluster_issuer: {
    good: ['letsencrypt-production', 'letsencrypt-staging'],
    bad: ['letsencrypt', 'letsencrypt-staging2'],
  },
  wordpress_domain: domains,
  legacy_access: switches,
  charts_mirror: urls,
  acme_server: urls,
  flux_manifest: { good: ['/srv/install.yaml'], bad: ['install.yaml', './x', '~/x'] },
  git_url: {
    good: ['https://open.greenhost.net/a/b.git', 'http://127.0.0.1:1/x.git', 'ssh://git@a.org/x.git'],
    bad: [
      'git@a.org:x.git',
      '/srv/x.git',
      'file:///x',
      'https://u:p@a.org/x',
      'https://a.org/x y',
      'https:a.org',
    ],
  },
  git_branch: {
    good: ['main', 'v0.7', 'feature/x-1_2'],
    bad: ['-x', '/x', 'a..b', 'a//b', 'a b', 'a~1', 'refs^', 'a:b', '@{u}'],
  },
}
/** What no variable may hold, whatever the key: YAML and Flux's substitution would misread it. */
const misread = ['"', "'", '`', '$', '\\']
/** What no value at all may hold. */
const hostile = ['\n', '\r', '\0', '\t', '\x1b[31m', '\x7f', '\x85', '\u2028', '\u2029', '\ufeff', '\ud800']

test('every key has values that it takes and refuses', () => {
  assert.equal(
    Object.keys(cases),
    CONFIG_KEYS.map(key => key.name),
  )
})

for (const key of CONFIG_KEYS) {
  const { good, bad } = cases[key.name]!
  test(`${key.name} takes what is valid`, () => {
    for (const value of ['', ...good]) assert.is(checkValue(key, value), undefined, value)
    if (key.default && !key.default.includes('DOMAIN')) assert.is(checkValue(key, key.default), undefined)
  })
  test(`${key.name} refuses what is not`, () => {
    for (const value of bad) assert.type(checkValue(key, value), 'string', `takes ${JSON.stringify(value)}`)
    for (const text of [...hostile, ...(key.use === 'reference' ? [] : misread)])
      for (const value of [`${good[0]}${text}`, `${text}${good[0]}`, text])
        assert.type(checkValue(key, value), 'string', `takes ${JSON.stringify(value)}`)
    for (const value of [` ${good[0]}`, `${good[0]} `, 'x'.repeat(1025)])
      assert.type(checkValue(key, value), 'string', `takes ${JSON.stringify(value)}`)
  })
}

test('passwords and keys that others chose hold every printable character', () => {
  const references = CONFIG_KEYS.filter(key => key.use === 'reference')
  assert.equal(
    references.map(key => key.name),
    [
      'outgoing_mail_smtp_user',
      'outgoing_mail_smtp_password',
      'backup_s3_aws_access_key_id',
      'backup_s3_aws_secret_access_key',
    ],
  )
  for (const key of references) {
    assert.is(checkValue(key, PRINTABLE), undefined)
    assert.equal(parseConfig(`${key.name}=${PRINTABLE}`), { [key.name]: PRINTABLE })
    assert.equal(parseConfig(editConfig('', { [key.name]: PRINTABLE })), { [key.name]: PRINTABLE })
  }
})

test('a file is read as key=value up to the end of the line', () => {
  const text =
    '# a comment\n\n  domain = oas.example.org\r\nip_address=203.0.113.7\noutgoing_mail_smtp_user=a=b #c\ncharts_mirror='
  assert.equal(parseConfig(text), {
    domain: 'oas.example.org',
    ip_address: '203.0.113.7',
    outgoing_mail_smtp_user: 'a=b #c',
    charts_mirror: '',
  })
  assert.equal(parseConfig(''), {})
  assert.equal(parseConfig('\ufeffdomain=a.org'), { domain: 'a.org' })
})

test('all that is wrong in a file is told at once, with its line', async () => {
  const text =
    'domain\n=x\ndomian=a.org\nip_address=1.2.3.4\nip_address=x\n__proto__=x\nexport domain=a.org\nconstructor=1'
  const error = await expectedFrom(() => parseConfig(text, 'F'))
  assert.equal(messagesOf(error), [
    'F line 1 is not of the form key=value',
    'F line 2 is not of the form key=value',
    'F line 3: unknown key domian',
    'F line 5: ip_address is given twice',
    'F line 5: ip_address must be an IP address, like 203.0.113.7',
    'F line 6: unknown key __proto__',
    'F line 7 is not of the form key=value',
    'F line 8: unknown key constructor',
  ])
  assert.is((error as ExpectedErrors).problems[2]!.fix, 'did you mean domain?')
  assert.is(error.exitCode, 2)
  assert.is(({} as Record<string, unknown>).x, undefined)
})

test('no value of a secret stands in a message, and it is hidden from then on', async () => {
  for (const key of CONFIG_KEYS.filter(each => each.secret)) {
    const value = `hunter2-${key.name}"`
    const text = `${key.name}=${value}\n${key.name}=${value}\n${key.name}x=${value}\n${value}\n${value}=x`
    const error = await expectedFrom(() => parseConfig(text))
    assert.not.match(messagesOf(error).join(), 'hunter2')
    assert.is(redact(`<${value}>`), '<***>')
  }
  assert.equal(
    CONFIG_KEYS.filter(key => key.secret).map(key => key.name),
    ['outgoing_mail_smtp_password', 'backup_s3_aws_access_key_id', 'backup_s3_aws_secret_access_key'],
  )
})

const anyLine = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc
    .tuple(
      fc.constantFrom(...CONFIG_KEYS.map(key => key.name), '__proto__', 'toString'),
      fc.string({ unit: 'binary' }),
    )
    .map(pair => pair.join('=')),
)

test('no text makes it throw anything but an expected error', () => {
  fc.assert(
    fc.property(fc.array(anyLine), fc.constantFrom('\n', '\r\n', '\r'), (lines, end) => {
      try {
        const values = parseConfig(lines.join(end))
        for (const [name, value] of Object.entries(values))
          assert.is(checkValue(CONFIG_KEYS.find(key => key.name === name)!, value), undefined)
        completeConfig(values)
        missingKeys(values)
      } catch (error) {
        if (!(error instanceof ExpectedError)) throw error
        assert.is(error.exitCode, 2)
      }
    }),
    { numRuns: 500 },
  )
})

test('a file that cannot be one is refused', async () => {
  assert.match((await expectedFrom(() => parseConfig('x'.repeat(20_001)))).message, /larger than 20 kB/)
  assert.match((await expectedFrom(() => parseConfig(`${'x'.repeat(19_000)}=1`))).message, /unknown key/)
  await expectedFrom(() => parseConfig('x=\n'.repeat(6_000)))
})

const someValues = fc.record(
  Object.fromEntries(CONFIG_KEYS.map(key => [key.name, fc.constantFrom('', ...cases[key.name]!.good)])),
  { requiredKeys: [] },
) as fc.Arbitrary<Record<string, string>>

test('what is edited into a file is read from it, and all else stays', () => {
  const comment = fc.string().map(text => `#${text.replaceAll(/[\r\n]/g, '')}`)
  fc.assert(
    fc.property(
      someValues,
      someValues,
      fc.array(comment),
      fc.constantFrom('\n', ''),
      (old, values, comments, end) => {
        const lines = Object.entries(old).map(([name, value]) => ` ${name} = ${value}`)
        const before = [...comments, ...lines].join('\n') + end
        const after = editConfig(before, values)
        assert.equal(parseConfig(after), { ...old, ...values })
        assert.ok(after.endsWith('\n'))
        for (const line of [...comments, ...lines.filter(line => !(line.trim().split(' ')[0]! in values))])
          assert.ok(after.split('\n').includes(line), line)
        assert.is(editConfig(after, values), after)
      },
    ),
    { numRuns: 300 },
  )
})

const complete = { domain: 'a.org', ip_address: '203.0.113.7', admin_email: 'x@a.org' }
const names = (values: Record<string, string>) => missingKeys(values).map(key => key.name)

test('only what is needed is missing', () => {
  assert.equal(names({}), ['ip_address', 'domain', 'admin_email'])
  assert.equal(names({ ...complete, domain: '' }), ['domain'])
  assert.equal(names(complete), [])
  assert.equal(names({ ...complete, outgoing_mail_enabled: 'true' }), [
    'outgoing_mail_from_address',
    'outgoing_mail_smtp_user',
    'outgoing_mail_smtp_password',
    'outgoing_mail_smtp_host',
  ])
  assert.equal(names({ ...complete, backup_s3_enabled: 'true', backup_s3_region: 'x' }), [
    'backup_s3_url',
    'backup_s3_bucket',
    'backup_s3_aws_access_key_id',
    'backup_s3_aws_secret_access_key',
  ])
})

test('a complete configuration has every key, defaults and derived values among them', () => {
  const config = completeConfig({
    ...complete,
    outgoing_mail_from_address: 'me@mail.org',
    cluster_issuer: '',
  })
  assert.equal(
    Object.keys(config),
    CONFIG_KEYS.map(key => key.name),
  )
  assert.is(config.wordpress_domain, 'www.a.org')
  assert.is(config.cluster_issuer, 'letsencrypt-production')
  assert.is(config.outgoing_mail_from_local_part, 'me')
  assert.is(config.outgoing_mail_domain, 'mail.org')
  assert.is(completeConfig({ ...complete, wordpress_domain: 'a.org' }).wordpress_domain, 'a.org')
  assert.is(
    completeConfig({ outgoing_mail_domain: 'b.org', outgoing_mail_from_address: 'x@c.org' })
      .outgoing_mail_domain,
    'b.org',
  )
})

test('readConfig names the file, and a file that is not there holds nothing', async () => {
  const file = join(temporaryFolder(), '.flux.env')
  assert.equal(readConfig(file), {})
  writeFileSync(file, 'domain=x')
  const error = await expectedFrom(() => readConfig(file))
  assert.instance(error, UsageError)
  assert.ok(error.message.startsWith(`${file} line 1: domain `), error.message)
})

test('.flux.env.example explains every key, and is itself valid', () => {
  const text = readFileSync(join(ROOT, 'install', '.flux.env.example'), 'utf8')
  assert.equal(Object.keys(parseConfig(text)).sort(), CONFIG_KEYS.map(key => key.name).sort())
  assert.equal(names({ ...parseConfig(text), ...complete }), [])
})

const required = 'domain=a.org\nip_address=203.0.113.7\nadmin_email=x@a.org\n'

test('a saved configuration is private, in a private folder', () => {
  const where = cluster(required)
  chmodSync(where.env, 0o644)
  saveOver(where, readFileSync(where.env, 'utf8'), 'domain=b.org\n')
  assert.is(statSync(where.env).mode & 0o777, 0o600)
  assert.is(statSync(where.folder).mode & 0o777, 0o700)
  assert.is(readFileSync(where.env, 'utf8'), 'domain=b.org\n')
  // For kubectl apply -k; who changes it keeps it.
  const kustomization = join(where.folder, 'kustomization.yaml')
  assert.match(readFileSync(kustomization, 'utf8'), 'oas-cluster-variables')
  writeFileSync(kustomization, 'mine')
  saveOver(where, 'domain=b.org\n', 'domain=c.org\n')
  assert.is(readFileSync(kustomization, 'utf8'), 'mine')
  // Who has changed it since it was read keeps that, too.
  assert.throws(() => saveOver(where, 'domain=b.org\n', 'domain=d.org\n'), /was changed meanwhile/)
  assert.is(readFileSync(where.env, 'utf8'), 'domain=c.org\n')
})

test('an incomplete configuration is not one of an installed cluster', async () => {
  assert.is(installedConfig(cluster(required)).domain, 'a.org')
  const error = await expectedFrom(() => installedConfig(cluster('domain=a.org\n')))
  assert.match(error.message, 'lacks ip_address, admin_email')
  assert.match(error.fix, 'install-core.ts --cluster oas')
})

test.run()
