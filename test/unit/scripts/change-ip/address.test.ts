import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Cluster } from '../../../../lib/script/cluster.ts'
import { ExpectedError } from '../../../../lib/script/errors.ts'
import { parseFacts } from '../../../../lib/server/reader.ts'
import {
  canonical,
  checkServerAddress,
  findAddress,
  mentions,
  replaceAddress,
} from '../../../../scripts/change-ip/address.ts'
import { editsOf, placesIn } from '../../../../scripts/change-ip/cluster.ts'
import { maskLine, unifiedDiff } from '../../../../scripts/change-ip/diff.ts'
import { lookupText } from '../../../../scripts/change-ip/dns.ts'
import { withAddress } from '../../../../scripts/change-ip/k3s.ts'
import { findElsewhere, oldAddress } from '../../../../scripts/change-ip/local.ts'
import {
  addressQuestions,
  needsInterface,
  planServer,
  reasonIn,
  type ServerState,
  serverStateOf,
} from '../../../../scripts/change-ip/server.ts'
import {
  type ChangeState,
  checksum,
  originalOf,
  readChangeState,
  saveOriginals,
} from '../../../../scripts/change-ip/state.ts'
import { silentKubelet } from '../../../../scripts/change-ip/verify.ts'
import { said as answersOf } from '../../lib/server/said.ts'

const CONFIG = '/etc/rancher/k3s/config.yaml'

// Finding addresses

test('an address is found as a whole word only', () => {
  const found = (text: string, address = '10.0.0.1') => findAddress(text, address).length
  for (const text of [
    '10.0.0.1',
    'https://10.0.0.1:6443',
    '--node-ip=10.0.0.1',
    '10.0.0.1/24',
    'root@10.0.0.1',
    'the address is 10.0.0.1.',
    'ip:10.0.0.1',
    '"10.0.0.1"',
  ])
    assert.is(found(text), 1, text)
  for (const text of [
    '10.0.0.11',
    '110.0.0.1',
    '10.0.0.1.5',
    '5.10.0.0.1',
    '10.0.0.1.nip.io',
    'a10.0.0.1',
    'x-10.0.0.1',
    '10.0.0.1-eth0',
    '10-0-0-1',
    '10x0.0.1',
    '::ffff:10.0.0.1',
    '',
  ])
    assert.is(found(text), 0, text)
  for (const text of [
    '2001:db8::1',
    'https://[2001:DB8::1]:6443',
    '2001:db8:0:0:0:0:0:1',
    '2001:db8::1/64',
    'k:2001:db8::1,',
    '2001:db8::1: key',
    'at 2001:db8::1.',
  ])
    assert.is(found(text, '2001:db8::1'), 1, text)
  for (const text of [
    '2001:db8::11',
    '2001:db8::1:6443',
    '2001:db8::1%eth0',
    'g2001:db8::1',
    '1:2001:db8::1',
  ])
    assert.is(found(text, '2001:db8::1'), 0, text)
})

const ipv4 = fc.ipV4()
const ipv6 = fc.ipV6().filter(address => !/\./.test(address))
const separator = fc.constantFrom(
  ' ',
  '\n',
  ',',
  '"',
  "'",
  '/',
  '=',
  '[',
  ']',
  '(',
  '@',
  ';',
  '\t',
  '|',
  '{',
  '}',
)
const pairOf = (address: fc.Arbitrary<string>) =>
  fc.tuple(address, address).filter(([a, b]) => canonical(a) !== canonical(b))

test('among any words exactly the equal ones are replaced, and everything else stays to the byte', () => {
  const pair = fc.oneof(pairOf(ipv4), pairOf(ipv6))
  fc.assert(
    fc.property(
      pair,
      fc.infiniteStream(fc.tuple(fc.oneof(ipv4, ipv6), separator, fc.nat(3))),
      ([old, now], stream) => {
        const words: string[] = []
        const separators: string[] = []
        for (const [other, between, choice] of stream) {
          // The old address, its neighbours by digits, and strangers.
          words.push([old, other, `${old}${choice}1`, `1${old}`][choice]!)
          separators.push(between)
          if (words.length === 12) break
        }
        const same = (word: string) => isIP(word) > 0 && canonical(word) === canonical(old)
        const join = (list: string[]) => list.map((word, i) => word + separators[i]).join('')
        assert.is(replaceAddress(join(words), old, now), join(words.map(word => (same(word) ? now : word))))
      },
    ),
    { numRuns: 3000 },
  )
})

test('whatever is glued to an address makes it another word', () => {
  const glue = fc.constantFrom(...'0123456789abcdefxyzABCXYZ_-')
  fc.assert(
    fc.property(fc.oneof(ipv4, ipv6), glue, fc.boolean(), (address, letter, before) => {
      const text = before ? `${letter}${address}` : `${address}${letter}`
      // A digit may make it another spelling of the same address: 0db8 is db8.
      const same = isIP(text) > 0 && canonical(text) === canonical(address)
      assert.is(mentions(text, address), same)
    }),
    { numRuns: 3000 },
  )
})

test('any text survives, and what was replaced can be replaced back', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), pairOf(ipv4), (text, [old, now]) => {
      fc.pre(!mentions(text, now) && !text.includes(now))
      const whole = `${text} ${old} ${text}`
      const replaced = replaceAddress(whole, old, now)
      assert.not.ok(mentions(replaced, old))
      assert.is(replaceAddress(replaced, now, old), whole)
    }),
    { numRuns: 1000 },
  )
})

test('no text takes long', () => {
  for (const text of [
    '10.0.0.1'.repeat(20_000),
    ':'.repeat(200_000),
    'a:'.repeat(100_000),
    '10.0.0.1 '.repeat(20_000),
  ]) {
    const started = performance.now()
    findAddress(text, '10.0.0.1')
    findAddress(text, '2001:db8::1')
    assert.ok(performance.now() - started < 10_000, `${text.slice(0, 10)}… takes too long`)
  }
})

test('addresses that no server can have are refused with the reason', () => {
  for (const good of ['203.0.113.7', '10.77.0.50', '2001:db8::1', 'fd00::1'])
    assert.is(checkServerAddress(good), undefined, good)
  for (const bad of [
    '',
    'example.org',
    '1.2.3',
    '010.0.0.1',
    '1.2.3.4 ',
    '1.2.3.4\n',
    '1.2.3.4/24',
    '-1.2.3.4',
    '$(id)',
    '127.0.0.1',
    '0.0.0.0',
    '169.254.1.1',
    '224.0.0.1',
    '255.255.255.255',
    '10.42.0.7',
    '10.43.0.1',
    '::',
    '::1',
    'fe80::1',
    'fe80::1%eth0',
    'ff02::1',
    '::ffff:1.2.3.4',
    '::ffff:102:304',
  ])
    assert.type(checkServerAddress(bad), 'string', bad)
})

// The diff

test('the diff is what diff -U0 says, with the key of YAML and without secrets', () => {
  const before = 'tls-san:\n  - a.org\n  - 10.0.0.1\ntoken: hunter22\nx: 1\n'
  const after = 'tls-san:\n  - a.org\n  - 10.0.0.2\ntoken: hunter23\nx: 1\nnode-ip: 10.0.0.2\n'
  assert.equal(unifiedDiff({ name: 'server:/x', before, after }), [
    '--- server:/x',
    '+++ server:/x',
    '@@ -3,2 +3,2 @@ tls-san:',
    '-  - 10.0.0.1',
    '-token: (hidden)',
    '+  - 10.0.0.2',
    '+token: (hidden)',
    '@@ -5,0 +6 @@',
    '+node-ip: 10.0.0.2',
  ])
  assert.equal(unifiedDiff({ name: 'x', before: 'a\n', after: 'a\n' }), [])
  assert.equal(unifiedDiff({ name: 'x', before: undefined, after: 'a\n' }).slice(0, 2), [
    '--- /dev/null',
    '+++ x',
  ])
})

test('no secret shows in a line', () => {
  for (const line of [
    'token: s3cr3t',
    'K3S_TOKEN=s3cr3t',
    "    '--token=s3cr3t' \\",
    'datastore-endpoint: "mysql://u:s3cr3t@tcp(10.0.0.1:3306)/k3s"',
    'outgoing_mail_smtp_password=s3cr3t',
    'backup_s3_aws_secret_access_key=s3cr3t',
    '    client-key-data: s3cr3t',
    'url: https://user:s3cr3t@10.0.0.1/x',
  ])
    assert.not.match(maskLine(line), 's3cr3t', line)
  assert.is(maskLine('    server: https://10.0.0.1:6443'), '    server: https://10.0.0.1:6443')
})

// The configuration of k3s

const complete = async (texts: Record<string, string>, unit = '', nodeIp = false) =>
  Object.fromEntries(
    (
      await withAddress(
        {
          configs: Object.entries(texts).map(([path, text]) => ({ path, text })),
          units: [{ path: '/etc/systemd/system/k3s.service', text: unit }],
          environments: [],
        },
        { address: '10.0.0.2', nodeIp },
      )
    ).map(({ path, text }) => [path, text]),
  )

test('tls-san gets the address in whatever form it has, and nothing else changes', async () => {
  const dropIn = `${CONFIG}.d/1.yaml`
  assert.equal(await complete({}), { [CONFIG]: 'tls-san:\n  - 10.0.0.2\n' })
  assert.equal(await complete({}, '', true), { [CONFIG]: 'tls-san:\n  - 10.0.0.2\nnode-ip: 10.0.0.2\n' })
  assert.equal(await complete({ [CONFIG]: '# top\na:  1   # why\ntls-san:\n    - a.org # b\nc: [d,e]' }), {
    [CONFIG]: '# top\na:  1   # why\ntls-san:\n    - a.org # b\n    - 10.0.0.2\nc: [d,e]',
  })
  assert.equal(await complete({ [CONFIG]: 'tls-san: [a.org]\n' }), {
    [CONFIG]: 'tls-san: [a.org, 10.0.0.2]\n',
  })
  assert.equal(await complete({ [CONFIG]: 'tls-san: a.org,b.org\n' }), {
    [CONFIG]: 'tls-san: a.org,b.org,10.0.0.2\n',
  })
  assert.equal(await complete({ [CONFIG]: 'tls-san: "a.org"\n' }), {
    [CONFIG]: 'tls-san: "a.org,10.0.0.2"\n',
  })
  assert.equal(await complete({ [CONFIG]: 'tls-san: [a.org, 10.0.0.2]\n' }), {})
  // The last file counts, unless its key ends with +.
  assert.equal(await complete({ [CONFIG]: 'tls-san: 10.0.0.2\n', [dropIn]: 'tls-san+: [c]\n' }), {})
  assert.equal(await complete({ [CONFIG]: 'tls-san: 10.0.0.2\n', [dropIn]: 'tls-san: [c]\n' }), {
    [dropIn]: 'tls-san: [c, 10.0.0.2]\n',
  })
})

test('names of the unit and of the files add up; node-ip that is set is left alone', async () => {
  const unit = "ExecStart=/usr/local/bin/k3s \\\n server \\\n '--tls-san' \\\n 'a.org' \\\n"
  assert.equal(await complete({}, unit), { [CONFIG]: 'tls-san:\n  - 10.0.0.2\n' })
  assert.equal(await complete({}, unit.replace('a.org', '10.0.0.2')), {})
  assert.equal(await complete({ [CONFIG]: 'tls-san: 10.0.0.2\nnode-ip: 192.168.0.1\n' }, '', true), {})
  const inner = unit.replace('tls-san', 'node-ip').replace('a.org', '192.168.0.1')
  assert.equal(await complete({ [CONFIG]: 'tls-san: 10.0.0.2\n' }, inner, true), {})
})

test('a key that adds stays one', async () => {
  const dropIn = `${CONFIG}.d/1.yml`
  assert.equal(await complete({ [CONFIG]: 'tls-san+: [a.org]\n' }), {
    [CONFIG]: 'tls-san+: [a.org, 10.0.0.2]\n',
  })
  assert.equal(await complete({ [CONFIG]: 'tls-san: [a.org]\n', [dropIn]: 'tls-san+: [b.org]\n' }), {
    [dropIn]: 'tls-san+: [b.org, 10.0.0.2]\n',
  })
})

test('a configuration that is no YAML is told, not guessed at', async () => {
  await complete({ [CONFIG]: 'a: [\n' }).then(
    () => assert.unreachable(),
    error => {
      assert.instance(error, ExpectedError)
      assert.match(error.message, CONFIG)
    },
  )
})

// The server

const QUESTIONS = addressQuestions('10.0.0.1', '10.0.0.2')
/** What a server says that has these files, each of the kind that stands before its path. */
const stateFrom = (files: Record<string, string | Buffer>, elsewhere = '') => {
  const lines = Object.entries(files).map(([name, content]) => {
    const [kind, path = ''] = name.split(' ')
    const [name64, content64] = [Buffer.from(path), Buffer.from(content)].map(each => each.toString('base64'))
    return `${kind} 600 0:0 ${name64} ${name64} ${content64}\n`
  })
  const [others, own] = [true, false].map(other => lines.filter(line => line.startsWith('other') === other))
  return serverStateOf(
    parseFacts(
      QUESTIONS,
      answersOf(QUESTIONS, {
        files: own!.join(''),
        others: others!.join(''),
        units: 'k3s.service active\n',
        elsewhere,
      }),
    ),
  )
}

test('what a server says is parsed, whatever its files hold', () => {
  const state = stateFrom(
    {
      [`config ${CONFIG}`]: 'a: é\n',
      'other /etc/hosts': '',
      'environment /etc/x': Buffer.from([0xff, 0xfe]),
      'unit /usr/lib/systemd/system/k3s.service': 'of a package',
    },
    '/etc/a b\x00' + '3:x: 10.0.0.1\n/etc/hosts\x00' + '1:10.0.0.1 a\n',
  )
  assert.is(state.k3s, 'active')
  assert.equal(
    state.files.map(({ path, text, mode }) => [path, text, mode]),
    [
      [CONFIG, 'a: é\n', 0o600],
      ['/etc/hosts', '', 0o600],
    ],
  )
  assert.equal(state.binary, ['/etc/x'])
  assert.equal(state.elsewhere, [{ path: '/etc/a b', line: 3, text: 'x: 10.0.0.1' }])
})

test('every file of the server is edited once, and one that is not there is made', async () => {
  const unit = '/etc/systemd/system/k3s.service'
  const state = stateFrom({
    'other /etc/hosts': '10.0.0.1 a\n10.0.0.11 b\n',
    [`unit ${unit}`]: "ExecStart=k3s '--bind-address=10.0.0.1'\n",
  })
  const edits = await planServer(state, { old: '10.0.0.1', address: '10.0.0.2', nodeIp: true })
  assert.equal(
    edits.map(({ path, before, after }) => [path, before, after]),
    [
      [unit, "ExecStart=k3s '--bind-address=10.0.0.1'\n", "ExecStart=k3s '--bind-address=10.0.0.2'\n"],
      ['/etc/hosts', '10.0.0.1 a\n10.0.0.11 b\n', '10.0.0.2 a\n10.0.0.11 b\n'],
      [CONFIG, undefined, 'tls-san:\n  - 10.0.0.2\nnode-ip: 10.0.0.2\n'],
    ],
  )
  assert.equal(needsInterface(edits, '10.0.0.2'), ['node-ip', 'bind-address'])
  // Its own edits leave nothing to do.
  const after: ServerState = {
    ...state,
    files: edits.map(edit => ({
      path: edit.path,
      text: edit.after!,
      kind:
        edit.path === CONFIG
          ? ('config' as const)
          : edit.path === unit
            ? ('unit' as const)
            : ('other' as const),
      mode: 0o600,
      owner: '0:0',
      isBinary: false,
    })),
  }
  assert.equal(await planServer(after, { old: '10.0.0.1', address: '10.0.0.2', nodeIp: true }), [])
  // Without k3s there is nothing to complete.
  assert.equal(
    await planServer(
      { ...state, files: [], k3s: 'absent' },
      { old: '1.1.1.1', address: '10.0.0.2', nodeIp: false },
    ),
    [],
  )
})

test('why k3s did not start is its own last word, else what systemd says', () => {
  const systemd = 'k3s.service: Control process exited, code=exited, status=1/FAILURE'
  const more = `Starting k3s\n${systemd}\nk3s.service: Failed with result 'exit-code'.\nFailed to start k3s`
  assert.is(
    reasonIn(`modprobe: FATAL: Module overlay not found\n${more}`),
    "k3s.service: Failed with result 'exit-code'.",
  )
  assert.is(
    reasonIn(`time="x" level=info msg="a"\ntime="x" level=fatal msg="no \\"node-ip\\" here"\n${more}`),
    'no \\"node-ip\\" here',
  )
  assert.is(reasonIn(''), undefined)
})

test('what needs the address on an interface is told from what only names it', () => {
  const edit = (after: string) => [{ place: 'server' as const, path: CONFIG, mode: 0o600, before: '', after }]
  assert.equal(needsInterface(edit('tls-san:\n  - 10.0.0.2\nnode-ip: 192.168.0.1\n'), '10.0.0.2'), [])
  assert.equal(
    needsInterface(edit("x '--node-ip' \\\n '192.168.0.1' '--tls-san' '10.0.0.2'"), '10.0.0.2'),
    [],
  )
  assert.equal(needsInterface(edit("x '--node-ip' \\\n  '10.0.0.2' \\\n"), '10.0.0.2'), ['node-ip'])
  assert.equal(needsInterface(edit('node-external-ip: 10.0.0.2\n'), '10.0.0.2'), [])
})

test('a network that is configured for the old address only is warned of', () => {
  const at = (path: string, text: string) => ({ path, line: 1, text })
  const old = at('/etc/network/interfaces', 'address 10.0.0.1/24')
  assert.match(findElsewhere([old], '10.0.0.1', '10.0.0.2').warning ?? '', 'gone after a reboot')
  assert.is(
    findElsewhere([old, at('/etc/network/interfaces', 'address 10.0.0.2/24')], '10.0.0.1', '10.0.0.2')
      .warning,
    undefined,
  )
  assert.equal(findElsewhere([at('/etc/motd', 'ask 10.0.0.11')], '10.0.0.1', '10.0.0.2').places, [])
})

// The cluster

test('objects are searched with decoded Secrets, and without what follows by itself', () => {
  const object = (kind: string, rest: object, metadata: object = {}) => ({
    apiVersion: 'v1',
    kind,
    metadata: { name: 'a', namespace: 'b', ...metadata },
    ...rest,
  })
  const data = { x: Buffer.from('at 10.0.0.1!').toString('base64') }
  assert.equal(placesIn(object('Secret', { data }), '10.0.0.1'), ['data.x'])
  assert.equal(
    placesIn(object('ConfigMap', { data: { y: 'http://10.0.0.1/', z: '10.0.0.11' } }), '10.0.0.1'),
    ['data.y'],
  )
  assert.equal(
    placesIn(
      object('Service', { spec: { externalIPs: ['10.0.0.1'] }, status: { ip: '10.0.0.1' } }),
      '10.0.0.1',
    ),
    ['spec.externalIPs[0]'],
  )
  assert.equal(placesIn(object('Node', { spec: { x: '10.0.0.1' } }), '10.0.0.1'), [])
  assert.equal(placesIn(object('Secret', { data, type: 'helm.sh/release.v1' }), '10.0.0.1'), [])
  assert.equal(
    placesIn(object('Job', { x: '10.0.0.1' }, { ownerReferences: [{ controller: true }] }), '10.0.0.1'),
    [],
  )
  assert.equal(placesIn(object('Ingress', {}, { annotations: { 'a/b': '10.0.0.1' } }), '10.0.0.1'), [
    'metadata.annotations.a/b',
  ])
  assert.equal(
    editsOf(
      { ip_address: Buffer.from('10.0.0.1').toString('base64'), domain: 'YQ==' },
      '10.0.0.1',
      '10.0.0.2',
    ),
    [{ key: 'ip_address', before: '10.0.0.1', after: '10.0.0.2' }],
  )
})

test('DNS is judged by all addresses of a host', () => {
  assert.is(lookupText({ host: 'a', addresses: ['10.0.0.2'] }, '10.0.0.2'), undefined)
  assert.match(
    lookupText({ host: 'a', addresses: ['10.0.0.1', '10.0.0.2'] }, '10.0.0.2') ?? '',
    'it must point to',
  )
  assert.match(
    lookupText({ host: 'a', addresses: [], problem: 'no address' }, '10.0.0.2') ?? '',
    'no address',
  )
})

// Which address is the old one

const state = (phase: ChangeState['phase']): ChangeState => ({
  version: 1,
  old: '10.0.0.1',
  new: '10.0.0.2',
  startedAt: '2026-01-01T00:00:00Z',
  phase,
  restart: false,
  before: { hasOld: true, hasNew: true, api: true },
  nodes: [],
  files: [],
  variables: [],
  records: [],
})

test('the old address is the one that the files agree on, or that of a change that is not complete', () => {
  const files = (...addresses: string[]) => addresses.map((address, i) => ({ file: `f${i}`, address }))
  assert.is(oldAddress('10.0.0.2', files('10.0.0.1', '10.0.0.1'), undefined, undefined), '10.0.0.1')
  assert.is(oldAddress('10.0.0.2', files('10.0.0.1', '10.0.0.2'), undefined, undefined), '10.0.0.1')
  assert.throws(
    () => oldAddress('10.0.0.3', files('10.0.0.1', '10.0.0.2'), undefined, undefined),
    /several addresses/,
  )
  assert.is(oldAddress('10.0.0.3', files('10.0.0.1', '10.0.0.2'), '10.0.0.2', undefined), '10.0.0.2')
  assert.is(oldAddress('10.0.0.2', files('10.0.0.2'), undefined, state('changed')), '10.0.0.1')
  assert.is(oldAddress('10.0.0.2', files('10.0.0.2'), undefined, undefined), '10.0.0.2')
  assert.is(oldAddress('10.0.0.2', files('10.0.0.9'), undefined, state('changing')), '10.0.0.1')
  assert.throws(
    () => oldAddress('10.0.0.3', files('10.0.0.1'), undefined, state('changing')),
    /is not complete/,
  )
  assert.throws(
    () => oldAddress('10.0.0.3', files('10.0.0.1'), undefined, state('undoing')),
    /is not complete/,
  )
  assert.is(oldAddress('10.0.0.3', files('10.0.0.2'), undefined, state('changed')), '10.0.0.2')
  assert.throws(() => oldAddress('2001:db8::1', files('10.0.0.1'), undefined, undefined), /family/)
  assert.is(oldAddress('2001:db8::2', files('2001:db8::1'), undefined, undefined), '2001:db8::1')
})

// The state

test('originals are kept by checksum, 0600, once, and a damaged one is never put back', () => {
  const folder = mkdtempSync(join(tmpdir(), 'oas-address-'))
  const cluster = { name: 'a', folder } as Cluster
  try {
    const edit = { place: 'server' as const, path: '/x', mode: 0o644, before: 'old', after: 'new' }
    const now = state('changing')
    saveOriginals(cluster, now, [edit, { ...edit, path: '/y', before: undefined }])
    // A second run finds its own work, and keeps the first original.
    saveOriginals(cluster, now, [{ ...edit, before: 'new', after: 'newer' }])
    const known = readChangeState(cluster)!
    assert.equal(
      known.files.map(file => file.after),
      [checksum('newer'), checksum('new')],
    )
    assert.is(originalOf(cluster, known.files[0]!), 'old')
    assert.is(originalOf(cluster, known.files[1]!), undefined)
    const originals = join(folder, 'change-ip', 'originals')
    assert.is(statSync(join(folder, 'change-ip')).mode & 0o777, 0o700)
    assert.is(statSync(join(folder, 'change-ip', 'state.json')).mode & 0o777, 0o600)
    for (const name of readdirSync(originals)) assert.is(statSync(join(originals, name)).mode & 0o777, 0o600)
    // What somebody else has written meanwhile is what a rollback has to bring back.
    saveOriginals(cluster, now, [{ ...edit, before: 'theirs', after: 'newest' }])
    assert.is(originalOf(cluster, now.files[0]!), 'theirs')
    assert.equal(readdirSync(originals), [checksum('theirs')])
    writeFileSync(join(originals, checksum('theirs')!), 'damaged')
    assert.throws(() => originalOf(cluster, now.files[0]!), /is damaged/)
    rmSync(join(originals, checksum('theirs')!))
    assert.throws(() => originalOf(cluster, now.files[0]!), /is missing/)
    writeFileSync(join(folder, 'change-ip', 'state.json'), '{')
    assert.throws(() => readChangeState(cluster), /cannot be used/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a node without a new sign of life since a restart is not back, one without a lease is not judged', () => {
  const before = new Map([
    ['a', '10:00'],
    ['b', '10:00'],
  ])
  const now = new Map([
    ['a', '10:00'],
    ['b', '10:01'],
    ['renamed', '10:01'],
  ])
  assert.match(silentKubelet('a', before, now)!, 'the kubelet of a has given no sign of life since 10:00')
  for (const name of ['b', 'renamed', 'unknown']) assert.is(silentKubelet(name, before, now), undefined)
})

test.run()
