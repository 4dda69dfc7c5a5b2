import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CONFIG_KEYS } from '../../../../lib/platform/config-keys.ts'
import { registerSecret } from '../../../../lib/script/redact.ts'
import { scrub, scrubbedJson } from '../../../../lib/script/scrub.ts'
import { boundedFacts, withoutSecrets } from '../../../../scripts/bundle/bundle.ts'
import { indexText } from '../../../../scripts/bundle/index-text.ts'
import { logText } from '../../../../scripts/bundle/logs.ts'

const KEY = '-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n+/xyz\n-----END RSA PRIVATE KEY-----'
const JWT = 'eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5ldGVz.c2lnbmF0dXJl'

for (const [what, text, expected] of [
  ['a private key', `a ${KEY} b`, 'a *** (a private key) b'],
  ['a private key that is cut off', 'a -----BEGIN EC PRIVATE KEY-----\nMII', 'a *** (a private key)'],
  ['an age identity', 'AGE-SECRET-KEY-1QQPZRY9X8', '***'],
  ['an access key', 'id AKIAIOSFODNN7EXAMPLE.', 'id ***.'],
  ['a token', `sent ${JWT}, refused`, 'sent ***, refused'],
  ['a header', 'Authorization: Bearer abcdef123456', 'Authorization: Bearer ***'],
  ['a header of a user', 'authorization: Basic dXNlcjpwYXNz', 'authorization: Basic ***'],
  ['credentials in a URL', 'postgres://u:p4ss@db:5432/x', 'postgres://***@db:5432/x'],
  ['a field', 'user=a password=hunter2 ok', 'user=a password=*** ok'],
  ['a field of JSON', '{"client_secret":"abc","a":1}', '{"client_secret":"***","a":1}'],
  [
    'a field of JSON in a string',
    '"{\\"password\\":\\"a b\\",\\"x\\":1}"',
    '"{\\"password\\":\\"***\\",\\"x\\":1}"',
  ],
  ['a field with a quote in it', '{"password":"a\\"b","x":1}', '{"password":"***","x":1}'],
  [
    'the same in a string',
    JSON.stringify('{"password":"a\\"b","x":1}'),
    JSON.stringify('{"password":"***","x":1}'),
  ],
  ['a field of YAML', 'password: hunter2', 'password: ***'],
  ['a field in quotes', "DB_PASSWORD='a b' next", "DB_PASSWORD='***' next"],
  ['a parameter', 'GET /x?api_key=abc&y=1', 'GET /x?api_key=***&y=1'],
] as const)
  test(`${what} is taken out, and nothing else`, () => assert.is(scrub(text), expected))

test('what is no secret stays as it is', () => {
  for (const text of [
    'Secret "oas-nextcloud-variables" not found',
    'secretName: hydra-public.tls',
    'name=a kind=Pod reason=BackOff type=Warning count=2 msg="back-off"',
    'token: the request has no token',
    '-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----',
    'https://files.oas.example.org/path?x=1',
    'tokenExpirationSeconds: 3607',
  ])
    assert.is(scrub(text), text)
})

test('fuzz: scrubbed JSON stays JSON of the same shape, and no registered value is left in it', () => {
  registerSecret('s3cr"t\\value\n€')
  const shape = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map(shape)
      : value !== null && typeof value === 'object'
        ? Object.values(value).map(shape)
        : typeof value
  const part = fc.constantFrom('s3cr"t\\value\n€', 'password=', '"', '\\', '://u@', KEY, 'Bearer ', 'x')
  const text = fc.array(part).map(parts => parts.join(''))
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.oneof(text, fc.array(text), fc.integer(), fc.boolean())),
      value => {
        const json = scrubbedJson(value)
        assert.equal(shape(JSON.parse(json)), shape(JSON.parse(JSON.stringify(value))))
        assert.not.match(json, JSON.stringify('s3cr"t\\value\n€').slice(1, -1))
      },
    ),
  )
})

test('a hostile log does not keep anybody waiting', () => {
  const units = [
    'a',
    ' ',
    'eyJ-',
    'x://',
    'password=',
    'password: ',
    '"password":"',
    '\\"token\\":\\"',
    'Bearer ',
    '-----BEGIN RSA PRIVATE KEY-----',
    "secret='",
    'AKIA',
    '\\',
  ]
  for (const unit of units) {
    const started = process.cpuUsage()
    scrub(unit.repeat(300_000 / unit.length))
    scrub(`password="${unit.repeat(300_000 / unit.length)}`)
    const taken = process.cpuUsage(started).user / 1000
    assert.ok(taken < 2000, `${JSON.stringify(unit)}: ${taken} ms`)
  }
})

test('fields that are called like a secret have no value', () => {
  const value = { db_password: 'x', token: 'y', secretName: 'z', keys: { db_password: 12 }, passwd: '' }
  assert.equal(JSON.parse(scrubbedJson(value)), {
    db_password: '***',
    token: '***',
    secretName: 'z',
    keys: { db_password: 12 },
    passwd: '',
  })
})

test('a configuration shows what is known and no secret, and nothing else', () => {
  const secret = CONFIG_KEYS.filter(key => key.secret).map(({ name }) => name)
  assert.ok(secret.length > 0)
  const lines = [
    '# comment',
    '# outgoing_mail_smtp_password=old',
    'domain=a.org',
    ...secret.map(name => `${name}=hidden-${name}`),
    'unknown_key=hidden',
    ' hidden line',
    '',
  ]
  const text = withoutSecrets(lines.join('\n'))
  assert.not.match(text, 'hidden')
  assert.not.match(text, 'old')
  assert.match(text, /^# comment\n# \(left out\)\ndomain=a\.org\n/)
  for (const name of secret) assert.match(text, `\n${name}=***\n`)
})

const line = (text: string, pod = 'p') => ({ time: 'T', namespace: 'n', pod, container: 'c', text })

test('a log is cut after its secrets are out, and its newest lines stay', () => {
  registerSecret('a-known-value-of-a-secret')
  // The cut falls into the secret. Other tests of this process have secrets, too, and none is in the filler.
  const cut = logText([line(`${'- '.repeat(2045)}a-known-value-of-a-secret`)])
  assert.match(cut, /- \*\*\*\n$/)
  assert.is(logText([line('a'), line('b', '')]), 'T p/c a\nT n/c b\n')
  const many = logText(Array.from({ length: 2000 }, (_, i) => line(`${i} ${'- '.repeat(1000)}`)))
  assert.ok(many.length <= (1 << 20) + 100)
  assert.match(many, /^\(\d+ older lines are left out\)\nT p\/c \d+ -/)
  assert.match(many.slice(-2100), 'T p/c 1999 -')
})

test('the index says what is there, what is not, and why', () => {
  const files = [
    { path: 'facts.json', what: 'all objects', text: 'x' },
    { path: 'logs/oas/a/b.log', what: 'lines', text: 'xx' },
    { path: 'logs/oas/a/c.log', what: 'lines', text: 'yy' },
  ]
  const about = { cluster: 'a.org', madeAt: 'M', toolkit: '1', since: 'S' }
  const gaps = [{ what: 'Certificates', why: 'forbidden' }]
  const text = indexText({ files, gaps, leftOut: [] }, about)
  for (const part of [
    '- facts.json: all objects (1 B)',
    '- logs/: lines (2 files, 4 B)',
    'Could not be read:\n- Certificates: forbidden\n',
    'Left out:\n- nothing\n',
    'cluster a.org',
  ])
    assert.match(text, part)
  assert.match(indexText({ files, gaps: [], leftOut: [] }, about), 'everything could be read')
})

test('of more objects than a bundle takes, those that have ended are left out first', () => {
  const pod = (i: number, phase: string) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `${phase}-${i}` },
    status: { phase },
  })
  const all = Array.from({ length: 2500 }, (_, i) => pod(i, i % 5 === 0 ? 'Running' : 'Succeeded'))
  const node = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'a' } }
  const { objects, omitted } = boundedFacts([...all, node])
  assert.is(objects.length, 2001)
  assert.is(objects.filter(({ status }) => status?.phase === 'Running').length, 500)
  assert.equal(omitted, [{ what: '500 of 2500 objects of kind Pod', why: 'too many' }])
  assert.equal(boundedFacts([node]), { objects: [node], omitted: [] })
})

test('the beginning of a password that cuts its address off is hidden; ports stay', () => {
  const said = 'parse "postgres://hydra:mR4q": invalid port ":mR4q" after host'
  assert.is(scrub(said), 'parse "postgres://hydra:***": invalid port ":***" after host')
  assert.is(scrub(said.replaceAll('"', '\\"')).includes('mR4q'), false)
  for (const kept of [
    'https://git.example.org:8443/x',
    'GET http://10.42.0.3:80',
    'redis://cache:6379',
    'https://[2001:db8::1]:6443/api',
  ])
    assert.is(scrub(kept), kept)
})

test.run()
