import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { expandConfig, parseDestination, readSshConfig, resolveHost } from '../../../../lib/ssh/config.ts'
import { expectedFrom, temporaryFolder } from '../../helpers.ts'

const local = { home: '/home/ann', name: 'ann' }
const resolve = (alias: string, config: string, given = {}) => resolveHost(alias, config, given, local)
/** expandConfig on files that are given by name. */
const expand = (files: Record<string, string>) =>
  expandConfig(
    'config',
    file => files[file],
    pattern => Object.keys(files).filter(file => file === pattern || (pattern === '*' && file !== 'config')),
  )

test('without a configuration everything has the default of ssh', () => {
  assert.equal(resolve('10.0.0.1', ''), {
    hostName: '10.0.0.1',
    port: 22,
    user: 'ann',
    hostKeyAlias: undefined,
    identityFiles: ['id_ed25519', 'id_ecdsa', 'id_rsa'].map(name => `/home/ann/.ssh/${name}`),
    identitiesOnly: false,
    identityAgent: undefined,
    jumps: [],
    userKnownHosts: ['/home/ann/.ssh/known_hosts', '/home/ann/.ssh/known_hosts2'],
    globalKnownHosts: ['/etc/ssh/ssh_known_hosts', '/etc/ssh/ssh_known_hosts2'],
    hashKnownHosts: false,
  })
})

test('an alias brings what its sections say, whatever the case of the words', () => {
  const settings = resolve(
    'oas',
    `HOST oas other
  hostname %h.example.org
  PORT 2222
  user root
  IdentityFile ~/.ssh/%n_%r
  IdentityFile "/keys/a b"
  identitiesonly yes
  IdentityAgent ~/agent.sock
  UserKnownHostsFile ~/kh none
  hashknownhosts yes
Host *
  Port 1
  IdentityFile /keys/last
`,
  )
  assert.is(settings.hostName, 'oas.example.org')
  assert.is(settings.port, 2222)
  assert.is(settings.user, 'root')
  assert.equal(settings.identityFiles, ['/home/ann/.ssh/oas_root', '/keys/a b', '/keys/last'])
  assert.equal([settings.identitiesOnly, settings.hashKnownHosts], [true, true])
  assert.is(settings.identityAgent, '/home/ann/agent.sock')
  assert.equal(settings.userKnownHosts, ['/home/ann/kh'])
  assert.is(resolve('none', 'Host none\n  IdentityAgent none\n').identityAgent, 'none')
})

test('what is given comes before the configuration', () => {
  const { user, port } = resolve('a', 'User x\nPort 5\n', { user: 'bob', port: 7 })
  assert.equal([user, port], ['bob', 7])
})

test('jump hosts are taken in order, and must be servers', async () => {
  assert.equal(resolve('a', 'ProxyJump one,bob@two:2222\n').jumps, ['one', 'bob@two:2222'])
  assert.equal(resolve('a', 'ProxyJump none\n').jumps, [])
  assert.is((await expectedFrom(() => resolve('a', 'ProxyJump -oProxyCommand=x\n'))).exitCode, 2)
  assert.equal(parseDestination('ssh://bob@[::1]:22'), { host: '::1', user: 'bob', port: 22 })
  assert.equal(parseDestination('host'), { host: 'host', user: undefined, port: undefined })
  for (const bad of ['', '-x', 'a:0', 'a:70000', 'a b', '@a', 'a:b'])
    assert.is((await expectedFrom(() => parseDestination(bad))).exitCode, 2, bad)
})

test('a ProxyCommand is refused with what to use instead', async () => {
  assert.match((await expectedFrom(() => resolve('a', 'ProxyCommand nc %h %p\n'))).fix, 'ProxyJump')
  resolve('a', 'ProxyCommand none\n')
})

test('no program is run by reading a configuration', () => {
  const config = expand({
    config: 'Match exec "touch /tmp/oas-was-run"\n  User x\nCanonicalizeHostname yes\n',
  })
  assert.is(config.notes.length, 2)
  assert.is(resolve('a', config.text).user, 'ann')
})

test('what cannot be parsed, and a port that is none, are wrong usage', async () => {
  for (const bad of ['Host "a\n', 'Port abc\n', 'Port 70000\n'])
    assert.is((await expectedFrom(() => resolve('a', bad))).exitCode, 2, bad)
})

test('Includes are put in place, and the section goes on after them', () => {
  const top = expand({
    config: 'Include *\nUser fallback\n',
    x: 'Host a\n  User bob\n',
    y: 'Host b\n  Port 5\n',
  })
  assert.equal(
    ['a', 'b', 'c'].map(alias => resolve(alias, top.text).user),
    ['bob', 'fallback', 'fallback'],
  )
  const inside = expand({ config: 'Host a\n  Include x\n  Port 5\nHost b\n  User bea\n', x: 'User bob\n' })
  assert.equal([resolve('a', inside.text).user, resolve('a', inside.text).port], ['bob', 5])
  assert.is(resolve('b', inside.text).user, 'bea')
  const sections = expand({ config: 'Host a\n  Include x\n', x: 'Host b\n  User bob\n' })
  assert.match(sections.notes[0]!, 'config:2: x is not followed')
  assert.is(resolve('b', sections.text).user, 'ann')
})

test('files that include each other are told, not followed for ever', async () => {
  assert.match(
    (await expectedFrom(() => expand({ config: 'Include config\n' }))).message,
    'include each other',
  )
})

test('the first file wins; Includes are found beside it, and may be absent', () => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'conf.d'))
  writeFileSync(
    join(folder, 'config'),
    'Include conf.d/*.conf\nInclude absent absent.d/*\nHost a\n  User own\n',
  )
  writeFileSync(join(folder, 'conf.d', '1.conf'), 'Host b\n  Port 7\n')
  writeFileSync(join(folder, 'conf.d', '2.txt'), 'Port 9\n')
  writeFileSync(join(folder, 'system'), 'User system\n')
  const { text } = readSshConfig([join(folder, 'config'), join(folder, 'system'), join(folder, 'absent')])
  assert.equal([resolve('a', text).user, resolve('b', text).user], ['own', 'system'])
  assert.equal([resolve('a', text).port, resolve('b', text).port], [22, 7])
})

test.run()
