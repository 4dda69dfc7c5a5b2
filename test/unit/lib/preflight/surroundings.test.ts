import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type DnsAnswer, defaultResolvers, parseResolver, upwards } from '../../../../lib/preflight/dns.ts'
import { type CaaRecord, caaFindings, dnsFindings } from '../../../../lib/preflight/dns-rules.ts'
import { connectionProblem, isPublic, portFindings } from '../../../../lib/preflight/net.ts'
import { backupProblem, S3Error } from '../../../../lib/preflight/s3.ts'
import { mailProblem } from '../../../../lib/preflight/smtp.ts'
import { expectedFrom } from '../../helpers.ts'

// Addresses and names

test('addresses that the internet cannot reach are told from others', () => {
  for (const address of ['9.9.9.9', '1.2.3.4', '2620:fe::9', '2a00:c98::1'])
    assert.is(isPublic(address), true, address)
  for (const address of [
    ...['127.0.0.1', '10.77.0.2', '172.16.0.1', '172.31.255.1', '192.168.1.1', '100.64.0.1', '169.254.1.1'],
    ...['0.0.0.0', '203.0.113.7', '::1', '::', 'fe80::1', 'fd00::1', '2001:db8::1', '', 'example.org'],
  ])
    assert.is(isPublic(address), false, address)
})

test('resolvers are given with or without a port', async () => {
  for (const [text, resolver] of [
    ['9.9.9.9', '9.9.9.9'],
    ['9.9.9.9:53', '9.9.9.9'],
    ['127.0.0.1:5353', '127.0.0.1:5353'],
    ['127.0.0.1#5353', '127.0.0.1:5353'],
    ['2620:fe::9', '2620:fe::9'],
    ['2620:fe::9#5353', '[2620:fe::9]:5353'],
    ['[2620:fe::9]:5353', '[2620:fe::9]:5353'],
    ['[::1]', '::1'],
  ] as const)
    assert.is(parseResolver(text), resolver)
  for (const text of [
    '',
    'example.org',
    '1.2.3',
    '1.2.3.4:0',
    '1.2.3.4:99999',
    '-v',
    '1.2.3.4 ',
    ':53',
    '::g',
  ])
    assert.match(
      (await expectedFrom(() => parseResolver(text))).message,
      /is not the address of a resolver/,
      text,
    )
})

test('public resolvers are asked only about servers that the public can reach', () => {
  assert.ok(defaultResolvers('9.9.9.10').includes('9.9.9.9'))
  assert.not.ok(defaultResolvers('10.77.0.2').includes('9.9.9.9'))
})

test('a name is looked up to the top', () => {
  assert.equal(upwards('a.b.org'), ['a.b.org', 'b.org', 'org'])
})

// DNS

const IP = '203.0.113.7'
const target = { domain: 'd.org', address: IP, alsoIts: [] as string[] }
const answer = (name: string, resolver: string, rest: Partial<DnsAnswer> = {}): DnsAnswer => ({
  name,
  resolver,
  a: [IP],
  aaaa: [],
  ttl: 300,
  ...rest,
})
/** The answers of two resolvers about three names, some of them changed. */
function answers(change: (name: string, resolver: string) => Partial<DnsAnswer>): DnsAnswer[] {
  return ['d.org', 'sso.d.org', '*.d.org'].flatMap(name =>
    ['one', 'two'].map(resolver => answer(name, resolver, change(name, resolver))),
  )
}
const dns = (change: Parameters<typeof answers>[0], where = target) =>
  dnsFindings(answers(change), where).map(({ severity, what }) => `${severity}: ${what}`)

test('names that lead to the server everywhere have no findings', () => {
  assert.equal(
    dns(() => ({})),
    [],
  )
})

test('names without a record are one finding, with what to create', () => {
  const findings = dnsFindings(
    answers(() => ({ a: [], ttl: undefined })),
    target,
  )
  assert.equal(
    findings.map(({ severity, what }) => [severity, what]),
    [['error', 'd.org, sso.d.org, *.d.org has no A record']],
  )
  assert.match(findings[0]!.fix, /A d\.org → 203\.0\.113\.7, CNAME \*\.d\.org → d\.org/)
})

test('a missing wildcard alone is a warning', () => {
  assert.equal(
    dns(name => (name.startsWith('*') ? { a: [] } : {})),
    ['warning: there is no wildcard record *.d.org, only a record for each host'],
  )
})

test('names that lead elsewhere are told with where they lead', () => {
  assert.equal(
    dns(name => (name === 'sso.d.org' ? { a: ['198.51.100.1'] } : {})),
    ['error: sso.d.org points to 198.51.100.1, not to 203.0.113.7'],
  )
  // One of two addresses is a coin thrown at each visit.
  assert.match(
    dns(name => (name === 'sso.d.org' ? { a: [IP, '198.51.100.1'] } : {}))[0]!,
    /^error: .* points to/,
  )
})

test('a resolver with an old copy is named, with how long it may keep it', () => {
  const stale = dns((_, resolver) => (resolver === 'two' ? { a: ['198.51.100.1'], ttl: 1200 } : {}))
  assert.equal(stale, [
    'warning: the resolver two still says 198.51.100.1 for d.org, sso.d.org, *.d.org, for 1200 s at most, others say 203.0.113.7',
  ])
  const absent = dns((_, resolver) => (resolver === 'two' ? { a: [], ttl: undefined } : {}))
  assert.match(absent[0]!, /^warning: the resolver two knows no address for d\.org/)
})

test('a resolver that is silent is a warning, one that fails for a name an error', () => {
  const silent = dns((_, resolver) => (resolver === 'two' ? { a: [], failed: 'ETIMEOUT' } : {}))
  assert.equal(silent, ['warning: the resolver two does not answer (ETIMEOUT)'])
  const broken = dns(name => (name === 'sso.d.org' ? { a: [], failed: 'ESERVFAIL' } : {}))
  assert.equal(broken, [
    'error: the resolver one fails for sso.d.org (ESERVFAIL)',
    'error: the resolver two fails for sso.d.org (ESERVFAIL)',
  ])
})

test('an address of the other kind is a warning, unless the server has it', () => {
  const six = () => ({ aaaa: ['2a00:c98::1'] })
  assert.equal(dns(six), [
    "warning: d.org, sso.d.org, *.d.org has also the address 2a00:c98::1, which is not known as the server's",
  ])
  assert.equal(dns(six, { ...target, alsoIts: ['2a00:0c98:0:0::1'] }), [])
})

test('a server with an IPv6 address needs AAAA records, however they are written', () => {
  const six = { ...target, address: '2A00:C98:0:0:0:0:0:1' }
  assert.equal(
    dns(() => ({ a: [], aaaa: ['2a00:c98::1'] }), six),
    [],
  )
  assert.match(dns(() => ({ a: [] }), six)[0]!, /has no AAAA record$/)
})

// CAA

const issue = (value: string, critical = 0): CaaRecord => ({ critical, issue: value })
const caa = (records: { [name: string]: CaaRecord[] | { failed: string } | undefined }) =>
  caaFindings(['files.d.org'], new Map(Object.entries(records as Record<string, CaaRecord[]>))).map(
    ({ what }) => what,
  )

test('CAA records that let Let’s Encrypt sign have no findings', () => {
  for (const records of [
    {},
    { 'd.org': [] },
    { 'd.org': [issue('letsencrypt.org')] },
    { 'd.org': [issue('digicert.com'), issue('LetsEncrypt.org')] },
    { 'd.org': [issue('letsencrypt.org; validationmethods=dns-01,http-01')] },
    { 'd.org': [{ critical: 0, iodef: 'mailto:a@d.org' }] },
    { 'd.org': [{ critical: 0, issuewild: ';' }] },
    // The nearest set decides, whatever stands above it.
    { 'files.d.org': [issue('letsencrypt.org')], 'd.org': [issue('digicert.com')], org: [issue(';')] },
    { 'files.d.org': [{ critical: 0, iodef: 'mailto:a@d.org' }], 'd.org': [issue('digicert.com')] },
  ])
    assert.equal(caa(records), [], JSON.stringify(records))
})

test('CAA records that keep Let’s Encrypt from signing are told with where they stand', () => {
  const start = "the CAA records of d.org keep Let's Encrypt from signing for files.d.org: "
  for (const [records, why] of [
    [[issue('digicert.com'), issue('sectigo.com')], 'they allow digicert.com, sectigo.com only'],
    [[issue(';')], 'they allow nobody only'],
    [[issue('notletsencrypt.org')], 'they allow notletsencrypt.org only'],
    [
      [issue('letsencrypt.org;validationmethods=dns-01')],
      'they allow the validation by dns-01 only, not by http-01',
    ],
    [
      [issue('letsencrypt.org'), { critical: 128, tbs: 'x' }],
      'one of them is critical and of an unknown kind',
    ],
  ] as const)
    assert.equal(caa({ 'd.org': [...records] }), [start + why])
  assert.match(
    caa({ 'd.org': { failed: 'ESERVFAIL' } })[0]!,
    /^the CAA records of d\.org cannot be looked up/,
  )
  // Below it nothing may be assumed to be nothing.
  assert.equal(caa({ 'files.d.org': [issue('letsencrypt.org')], 'd.org': { failed: 'ESERVFAIL' } }), [])
})

// Ports and connections

test('only a port that packets vanish at is a finding', () => {
  assert.equal(portFindings(IP, { 80: 'refused', 443: 'open' }), [])
  const [finding] = portFindings(IP, { 80: 'filtered', 443: 'filtered', 6443: 'refused' })
  assert.match(finding!.what, /port 80, 443: packets vanish/)
  assert.match(finding!.fix, /let TCP 80, 443 through/)
})

test('failures of connections are told in words, however they are wrapped', () => {
  const wrapped = (code: string, message = 'x') =>
    new TypeError('fetch failed', { cause: Object.assign(new Error(message), { code }) })
  for (const [failure, expected] of [
    [wrapped('ENOTFOUND'), /host name of it is not known/],
    [wrapped('ECONNREFUSED'), /it refuses connections/],
    [wrapped('UND_ERR_CONNECT_TIMEOUT'), /it does not answer/],
    [wrapped('CERT_HAS_EXPIRED'), /certificate of it has expired/],
    [wrapped('DEPTH_ZERO_SELF_SIGNED_CERT', 'self-signed certificate'), /signed by nobody known/],
    [wrapped('ERR_TLS_CERT_ALTNAME_INVALID'), /for another host/],
    [wrapped('EPROTO', 'wrong version number'), /does not speak TLS/],
    [new Error('Error initiating TLS - certificate has expired'), /has expired/],
  ] as const)
    assert.match(connectionProblem(failure, 'it')!.what, expected)
  assert.is(connectionProblem(new Error('something else'), 'it'), undefined)
})

// S3 and SMTP: answers that the real servers of the tests do not give

const s3 = { backup_s3_url: 'https://s3.d.org', backup_s3_bucket: 'b', backup_s3_region: 'eu' }
const xml = (code: string, rest = '') => `<?xml version="1.0"?><Error><Code>${code}</Code>${rest}</Error>`

test('answers of S3 services are told in words', () => {
  for (const [failure, expected] of [
    [new S3Error(404, xml('NoSuchBucket')), /^there is no bucket b at https:\/\/s3\.d\.org$/],
    [
      new S3Error(
        403,
        xml('RequestTimeTooSkewed'),
        new Headers({ date: new Date(Date.now() + 1.2e6).toUTCString() }),
      ),
      /differ by 20 minutes$/,
    ],
    [
      new S3Error(301, xml('PermanentRedirect', '<Endpoint>b.s3.us.d.org</Endpoint>')),
      /but at b\.s3\.us\.d\.org/,
    ],
    [
      new S3Error(302, '', new Headers({ location: 'https://d.org/login' })),
      /does not answer like an S3 service: status 302, it points to https:\/\/d\.org\/login/,
    ],
    [
      new S3Error(200, '<html><title>Welcome to\x1b[2J nginx</title></html>'),
      /does not answer like an S3 service: status 200 \(Welcome to \[2J nginx\)$/,
    ],
    [
      new S3Error(503, xml('SlowDown', '<Message>Please &lt;slow&gt; &quot;down&#34;</Message>')),
      /SlowDown: Please <slow> "down"$/,
    ],
    [new S3Error(403, xml('QuotaExceeded')), /QuotaExceeded/],
    [new DOMException('The operation was aborted due to timeout', 'TimeoutError'), /was not done in time$/],
  ] as const)
    assert.match(backupProblem(failure, 'write', s3)[0], expected)
  const [denied, fix] = backupProblem(new S3Error(403, xml('AccessDenied')), 'delete', s3)
  assert.match(denied, /^deleting from the bucket b .* is refused: AccessDenied/)
  assert.match(fix, 's3:DeleteObject on this bucket')
})

const smtp = {
  outgoing_mail_smtp_host: 'mail.d.org',
  outgoing_mail_smtp_port: '587',
  outgoing_mail_smtp_user: 'u',
}
test('answers of SMTP servers are told in words, in one line', () => {
  const failure = (rest: object) => Object.assign(new Error('Invalid login'), rest)
  for (const [rest, expected] of [
    [
      { code: 'EAUTH', responseCode: 535, response: '535-5.7.8 no\r\n535 see\x1b[0m https://x' },
      /refuses the login of u: 535-5\.7\.8 no 535 see \[0m https:\/\/x$/,
    ],
    [{ code: 'EAUTH', responseCode: 454, response: '454 4.7.0 later' }, /did not complete the login: 454/],
    [{ code: 'EPROTOCOL', response: 'SSH-2.0-OpenSSH_9.2' }, /does not answer like one: SSH-2\.0/],
    [{ code: 'ESOCKET', originalCode: 'ECONNREFUSED' }, /mail\.d\.org:587 refuses connections$/],
    [
      { code: 'EDNS', originalCode: 'ENOTFOUND' },
      /host name of the SMTP server mail\.d\.org:587 is not known/,
    ],
  ] as const)
    assert.match(mailProblem(failure(rest), smtp)[0], expected)
})

test.run()
