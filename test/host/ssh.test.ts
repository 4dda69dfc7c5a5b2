import { spawn, spawnSync } from 'node:child_process'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { ExpectedError } from '../../lib/script/errors.ts'
import { redact } from '../../lib/script/redact.ts'
import { sleep } from '../../lib/script/wait.ts'
import { readSshConfig, resolveHost } from '../../lib/ssh/config.ts'
import { judgeHostKey, parseKnownHosts } from '../../lib/ssh/known-hosts.ts'
import { lockServer } from '../../lib/ssh/lock.ts'
import { ConnectionLost, type ConnectOptions, HostKeyError, Ssh, type SshTarget } from '../../lib/ssh/ssh.ts'
import { freePort } from '../bed/cluster/ports.ts'
import { test } from '../suite.ts'
import { agent, cleanUp, folder, local, me, newHome, newKey, newUser, runScript, Sshd } from './sshd.ts'

const said: string[] = []
const log = {
  info: (text: string) => void said.push(text),
  warn: (text: string) => void said.push(text),
  detail: (text: string) => void said.push(text),
}
const open = new Set<Ssh>()
async function connect(target: Partial<SshTarget> = {}, options: Partial<ConnectOptions> = {}): Promise<Ssh> {
  const ssh = await Ssh.connect(
    { host: '127.0.0.1', port: sshd.port, user: me, keyFile: key, ...target },
    { log, acceptNewHostKey: true, timeout: 30_000, ...options },
  )
  open.add(ssh)
  return ssh
}
/** The ExpectedError of `work`; anything else fails. */
async function failure(work: () => Promise<unknown>): Promise<ExpectedError> {
  try {
    await work()
  } catch (error) {
    if (error instanceof ExpectedError) return error
    throw error
  }
  return assert.unreachable('nothing was thrown') as never
}

let home = newHome()
const knownHosts = () => join(home, '.ssh', 'known_hosts')
const sshd = await Sshd.start()
const keys = folder()
const key = newKey(join(keys, 'key'))
const stranger = newKey(join(keys, 'stranger'))
const locked = newKey(join(keys, 'locked'), { passphrase: 'open sesame' })
const rsa = newKey(join(keys, 'rsa'), { type: 'rsa' })
const ecdsa = newKey(join(keys, 'ecdsa'), { type: 'ecdsa' })
for (const file of [key, rsa, ecdsa, locked]) sshd.authorise(file)

const password = 'correct horse battery'
const admin = newUser({ password, sudoers: 'ALL=(ALL) ALL' })
const strict = newUser({ password, sudoers: 'ALL=(ALL) ALL' })
const free = newUser({ sudoers: 'ALL=(ALL) NOPASSWD: ALL' })
const nobody = newUser({ password })

test.before.each(() => {
  home = newHome()
  said.length = 0
  delete process.env.OAS_SUDO_PASSWORD
})
test.after.each(() => {
  for (const ssh of open) ssh.close()
  open.clear()
})
test.after(cleanUp)

// Logging in

test('key files of every usual type log in', async () => {
  for (const keyFile of [key, rsa, ecdsa]) {
    const ssh = await connect({ keyFile })
    assert.is(await ssh.run(['id', '-un']), me)
    ssh.close()
  }
})

test('a wrong key, no key and no agent are told in two lines with what was offered', async () => {
  const wrong = await failure(() => connect({ keyFile: stranger }))
  assert.match(wrong.message, /^permission denied \(publickey\): .+ accepts none of .+stranger/)
  assert.match(wrong.message, 'no ssh-agent is running')
  assert.match(wrong.fix, 'authorized_keys')
  const none = await failure(() => connect({ keyFile: undefined }))
  assert.match(none.message, /^there is no key to log in to .+ with; no ssh-agent is running/)
  assert.match(none.fix, 'ssh-add')
  process.env.SSH_AUTH_SOCK = join(home, 'nobody')
  const dead = await failure(() => connect({ keyFile: undefined }))
  assert.match(dead.message, 'the ssh-agent at .*/nobody does not answer'.replace('.*', home))
  const user = await failure(() => connect({ user: 'nobody-of-this-name' }))
  assert.match(user.message, 'permission denied')
})

test('a shell that writes something before each command, and one that runs none, are told', async () => {
  const user = newUser()
  const bashrc = join('/home', user, '.bashrc')
  // Debian's bash reads it for commands of sshd, too.
  writeFileSync(bashrc, 'echo welcome to the server\n')
  const noisy = await failure(() => connect({ user }))
  assert.match(noisy.message, 'writes text of its own before each command: welcome to the server')
  assert.match(noisy.fix, '~/.bashrc')
  writeFileSync(bashrc, 'echo "This account is not available." >&2; exit 1\n')
  const none = await failure(() => connect({ user }))
  assert.match(none.message, 'does not run commands: it says This account is not available.')
  writeFileSync(bashrc, 'echo "warning: setlocale: cannot change locale" >&2\n')
  const warned = await connect({ user })
  assert.match((await failure(() => warned.run(['sh', '-c', 'exit 7']))).message, /failed: exit code 7$/)
  assert.is((await warned.exec(['sh', '-c', 'echo mine >&2'])).stderr.toString(), 'mine\n')
  writeFileSync(bashrc, '')
  await connect({ user })
})

test('a dead agent does not stand in the way of a key file', async () => {
  process.env.SSH_AUTH_SOCK = join(home, 'nobody')
  await connect()
})

test('a key with a passphrase is asked for on a terminal only, and never opened without', async () => {
  const error = await failure(() => connect({ keyFile: locked }))
  assert.match(error.message, /locked needs its passphrase, and there is no terminal/)
})

test('an agent logs in; IdentitiesOnly and many keys', async () => {
  const strangers = Array.from({ length: 7 }, (_, i) => newKey(join(home, `s${i}`)))
  process.env.SSH_AUTH_SOCK = await agent(key)
  await connect({ keyFile: undefined })
  process.env.SSH_AUTH_SOCK = await agent(...strangers, key)
  const many = await failure(() => connect({ keyFile: undefined }))
  assert.match(many.message, /too many keys offered \(8 keys of the ssh-agent/)
  assert.match(many.fix, 'IdentitiesOnly')
  // A key that the configuration names comes first, so the same agent works.
  writeFileSync(join(home, '.ssh', 'config'), `IdentityFile ${key}.pub\n`)
  await connect({ keyFile: undefined })
  writeFileSync(join(home, '.ssh', 'config'), `IdentitiesOnly yes\nIdentityFile ${stranger}\n`)
  assert.match((await failure(() => connect({ keyFile: undefined }))).message, 'IdentitiesOnly')
  process.env.SSH_AUTH_SOCK = ''
  writeFileSync(join(home, '.ssh', 'config'), `IdentityAgent ${await agent(key)}\n`)
  await connect({ keyFile: undefined })
})

// Host keys

test('an unknown host key is refused without a terminal, naming the flag; accepted keys are remembered, 0600', async () => {
  const error = await failure(() => connect({}, { acceptNewHostKey: false }))
  const [, shown] = local('ssh-keygen', ['-lf', sshd.hostKey]).split(' ')
  assert.match(error.message, shown!)
  assert.match(error.fix, '--accept-new-host-key')
  assert.is(error.exitCode, 2)
  assert.not.ok(existsSync(knownHosts()))

  writeFileSync(join(home, '.ssh', 'config'), 'HashKnownHosts no\n') // Debian's own configuration says yes
  writeFileSync(knownHosts(), '# no newline at the end', { mode: 0o644 })
  await connect()
  assert.is(statSync(knownHosts()).mode & 0o777, 0o600)
  assert.match(
    readFileSync(knownHosts(), 'utf8'),
    `# no newline at the end\n[127.0.0.1]:${sshd.port} ssh-ed25519 `,
  )
  // ssh-keygen finds what we wrote, and we need not ask again.
  assert.match(local('ssh-keygen', ['-F', `[127.0.0.1]:${sshd.port}`, '-f', knownHosts()]), 'found')
  await connect({}, { acceptNewHostKey: false })
  // Hashed by ssh-keygen, it is still known.
  local('ssh-keygen', ['-q', '-H', '-f', knownHosts()])
  assert.match(readFileSync(knownHosts(), 'utf8'), '|1|')
  await connect({}, { acceptNewHostKey: false })
})

test('HashKnownHosts, UserKnownHostsFile and HostKeyAlias of ssh_config are followed; a symbolic link stays one', async () => {
  const real = join(home, 'real')
  writeFileSync(real, '')
  symlinkSync(real, join(home, 'link'))
  writeFileSync(
    join(home, '.ssh', 'config'),
    'HashKnownHosts yes\nUserKnownHostsFile ~/link ~/other\nHostKeyAlias cluster.example.org\n',
  )
  await connect()
  assert.match(readFileSync(real, 'utf8'), /^\|1\|\S+\|\S+ ssh-ed25519 /)
  assert.match(local('ssh-keygen', ['-F', 'cluster.example.org', '-f', real]), 'found')
  await connect({}, { acceptNewHostKey: false })
})

test('a changed host key is refused with both places, even with --accept-new-host-key', async () => {
  const other = readFileSync(`${stranger}.pub`, 'utf8').split(' ').slice(0, 2).join(' ')
  writeFileSync(knownHosts(), `# one\n[127.0.0.1]:${sshd.port} ${other}\n`)
  const error = await failure(() => connect())
  assert.instance(error, HostKeyError)
  assert.match(error.message, `${knownHosts()}:2`)
  assert.match(error.message, 'has changed')
  assert.match(error.fix, `ssh-keygen -R '[127.0.0.1]:${sshd.port}'`)
  // Also when it is known by a key of another type only.
  const type = readFileSync(`${rsa}.pub`, 'utf8').split(' ').slice(0, 2).join(' ')
  writeFileSync(knownHosts(), `[127.0.0.1]:${sshd.port} ${type}\n`)
  assert.match((await failure(() => connect())).message, 'has changed')
})

test('a revoked host key is refused; a certificate authority alone does not make a host known', async () => {
  const own = readFileSync(`${sshd.hostKey}.pub`, 'utf8').split(' ').slice(0, 2).join(' ')
  writeFileSync(knownHosts(), `[127.0.0.1]:${sshd.port} ${own}\n@revoked * ${own}\n`)
  const error = await failure(() => connect())
  assert.instance(error, HostKeyError)
  assert.match(error.message, `revoked in ${knownHosts()}:2`)
  writeFileSync(knownHosts(), `@cert-authority * ${own}\n`)
  assert.match((await failure(() => connect({}, { acceptNewHostKey: false }))).message, 'not known yet')
  assert.ok(said.some(text => text.includes('@cert-authority is not used')))
})

test('a server that got another address is known there by its key at the old one, and nobody else is', async () => {
  writeFileSync(join(home, '.ssh', 'config'), 'HashKnownHosts no\n')
  await connect()
  const line = readFileSync(knownHosts(), 'utf8')
  const old = line.replace(`[127.0.0.1]:${sshd.port}`, `[192.0.2.1]:${sshd.port}`)
  const moved = { hostKeyAs: '192.0.2.1' }
  const unasked = { acceptNewHostKey: false }
  writeFileSync(knownHosts(), old)
  await connect(moved, unasked)
  assert.is(readFileSync(knownHosts(), 'utf8'), old + line)
  await connect(moved, unasked)
  assert.is(readFileSync(knownHosts(), 'utf8'), old + line, 'it is remembered once')

  // The old address had another key: whoever answers at the new one is not this server.
  const [, type, key] = readFileSync(`${stranger}.pub`, 'utf8').split(' ').toSpliced(0, 0, '')
  writeFileSync(knownHosts(), `[192.0.2.1]:${sshd.port} ${type} ${key}\n${line}`)
  const other = await failure(() => connect(moved, { acceptNewHostKey: true }))
  assert.instance(other, HostKeyError)
  assert.match(other.message, /^another machine answers at .+192\.0\.2\.1.+ had another key/)
  // A former machine of the new address is still remembered there.
  writeFileSync(knownHosts(), `${old}[127.0.0.1]:${sshd.port} ${type} ${key}\n`)
  assert.match((await failure(() => connect(moved, unasked))).message, 'has changed')
  // Nothing is known of the old address: as for any new server.
  writeFileSync(knownHosts(), '')
  assert.match((await failure(() => connect(moved, unasked))).fix, '--accept-new-host-key')
})

test('a server with several host keys shows the one that is known', async () => {
  const second = newKey(join(home, 'second'), { type: 'rsa' })
  const both = await Sshd.start({ config: `HostKey ${second}` })
  both.authorise(key)
  const own = readFileSync(`${second}.pub`, 'utf8').split(' ').slice(0, 2).join(' ')
  writeFileSync(knownHosts(), `[127.0.0.1]:${both.port} ${own}\n`)
  await connect({ port: both.port }, { acceptNewHostKey: false })
  await both.down()
})

test('judgement of known_hosts agrees with ssh-keygen -F', () => {
  const own = readFileSync(`${key}.pub`, 'utf8').split(' ').slice(0, 2).join(' ')
  const blob = Buffer.from(own.split(' ')[1]!, 'base64')
  const file = join(home, 'kh')
  const word = fc.stringMatching(/^[ab.*?!]{1,6}$/).filter(pattern => pattern !== '!')
  fc.assert(
    fc.property(
      fc.array(word, { minLength: 1, maxLength: 3 }),
      fc.stringMatching(/^[ab.]{1,5}$/),
      (patterns, host) => {
        const text = `${patterns.join(',')} ${own}\n`
        writeFileSync(file, text)
        const found = spawnSync('ssh-keygen', ['-F', host, '-f', file], { encoding: 'utf8' })
        const { state } = judgeHostKey(parseKnownHosts(text, file), host, 22, blob)
        assert.is(state === 'known', found.status === 0, `${host} in ${text}`)
      },
    ),
    { numRuns: 150 },
  )
})

// Where the server is not

test('refused, silent, foreign and unknown addresses are told in two lines, in time', async () => {
  const refused = await failure(async () => connect({ port: await freePort() }))
  assert.match(refused.message, /refuses connections$/)
  const sockets = new Set<Socket>()
  const silent = createServer(socket => sockets.add(socket)).listen(0, '127.0.0.1')
  const port = () => (silent.address() as AddressInfo).port
  await new Promise(resolve => silent.once('listening', resolve))
  const started = performance.now()
  const late = await failure(() => connect({ port: port() }, { timeout: 700 }))
  assert.match(late.message, /does not answer within 0.7 s$/)
  assert.ok(performance.now() - started < 10_000)
  silent.removeAllListeners('connection')
  silent.on('connection', socket => socket.end())
  assert.match((await failure(() => connect({ port: port() }))).message, /hung up before the login/)
  silent.removeAllListeners('connection')
  silent.on('connection', socket => {
    socket.on('error', () => {})
    socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')
  })
  assert.instance(await failure(() => connect({ port: port() })), ExpectedError)
  for (const socket of sockets) socket.destroy()
  silent.close()
  const unknown = await failure(() => connect({ host: 'no-such-host.invalid', port: 22 }))
  assert.match(unknown.message, /the name no-such-host.invalid is not known/)
})

test('an abort ends connecting and a command at once', async () => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1')
  await new Promise(resolve => silent.once('listening', resolve))
  const first = new AbortController()
  setTimeout(() => first.abort(new ExpectedError('interrupted', 'again')), 200)
  const port = (silent.address() as AddressInfo).port
  assert.is((await failure(() => connect({ port }, { signal: first.signal }))).message, 'interrupted')
  silent.close()
  const second = new AbortController()
  const ssh = await connect({}, { signal: second.signal })
  setTimeout(() => second.abort(new ExpectedError('interrupted', 'again')), 200)
  const started = performance.now()
  assert.is((await failure(() => ssh.run(['sleep', '60']))).message, 'interrupted')
  assert.ok(performance.now() - started < 10_000)
})

test('after an abort nothing is run but what cleans up, which its timeout ends', async () => {
  const abort = new AbortController()
  const ssh = await connect({}, { signal: abort.signal })
  abort.abort(new ExpectedError('interrupted', 'again'))
  assert.is((await failure(() => ssh.run(['true']))).message, 'interrupted')
  assert.is(await ssh.run(['echo', 'clean'], { inSpiteOfAbort: true }), 'clean')
  const late = await failure(() => ssh.run(['sleep', '60'], { inSpiteOfAbort: true, timeout: 500 }))
  assert.match(late.message, /was not done after 0.5 s, and was ended$/)
})

// ~/.ssh/config

test('an alias of ~/.ssh/config brings host, port, user and key', async () => {
  mkdirSync(join(home, '.ssh', 'conf.d'))
  writeFileSync(join(home, '.ssh', 'config'), 'Include conf.d/*.conf\nHost *\n  User nobody\n')
  writeFileSync(
    join(home, '.ssh', 'conf.d', 'oas.conf'),
    `Host oas\n  HostName 127.0.0.1\n  Port ${sshd.port}\n  User ${me}\n  IdentityFile ${key}\n`,
  )
  const ssh = await Ssh.connect({ host: 'oas' }, { log, acceptNewHostKey: true })
  open.add(ssh)
  assert.is(await ssh.run(['id', '-un']), me)
  const hidden = await failure(() => Ssh.connect({ host: 'other' }, { log }))
  assert.match(hidden.message, 'other')
})

test('what we make of ~/.ssh/config is what ssh -G makes of it', () => {
  const config = `
Include extra
Host alpha beta*
  HostName %h.example.org
  Port 2200
  IdentityFile ~/.ssh/id_%n_%r
Host !beta2 beta*
  User bee
Host=gamma
  User = "gee"
  ProxyJump jump1,root@jump2:2022
Match host delta user dora
  Port 44
Match originalhost alpha
  HostKeyAlias "al pha"
  IdentitiesOnly yes
Host *
  UserKnownHostsFile ~/.ssh/kh1 ~/.ssh/kh2
  HashKnownHosts yes
  User fallback
`
  writeFileSync(join(home, '.ssh', 'config'), config)
  writeFileSync(join(home, '.ssh', 'extra'), 'Host delta\n  User dora\nHost epsilon\n  Port 5\n')
  const file = join(home, 'absolute') // ssh takes the home folder from passwd, so Include has to be absolute for it
  writeFileSync(file, config.replace('Include extra', `Include ${join(home, '.ssh', 'extra')}`))
  for (const alias of ['alpha', 'beta', 'beta2', 'gamma', 'delta', 'epsilon', 'zeta']) {
    const theirs = new Map<string, string[]>()
    for (const line of local('ssh', ['-G', '-F', file, alias]).split('\n')) {
      const [name = '', ...rest] = line.split(' ')
      theirs.set(name, [...(theirs.get(name) ?? []), rest.join(' ')])
    }
    const passwdHome = local('sh', ['-c', 'getent passwd "$(id -u)" | cut -d: -f6']).trim()
    const ours = resolveHost(
      alias,
      readSshConfig([join(home, '.ssh', 'config')]).text,
      {},
      { home: passwdHome, name: me },
    )
    const expand = (path: string) =>
      path.replace(/^~/, passwdHome).replaceAll('%n', alias).replaceAll('%r', theirs.get('user')![0]!)
    assert.equal(
      {
        hostname: [ours.hostName],
        port: [String(ours.port)],
        user: [ours.user],
        alias: ours.hostKeyAlias,
        only: ours.identitiesOnly,
        jumps: ours.jumps.join(',') || undefined,
        known: ours.userKnownHosts,
      },
      {
        hostname: theirs.get('hostname'),
        port: theirs.get('port'),
        user: theirs.get('user'),
        alias: theirs.get('hostkeyalias')?.[0],
        only: theirs.get('identitiesonly')?.[0] === 'yes',
        jumps: theirs.get('proxyjump')?.[0],
        known: theirs.get('userknownhostsfile')![0]!.split(' ').map(expand),
      },
      alias,
    )
    if (alias.startsWith('alpha'))
      assert.equal(ours.identityFiles, theirs.get('identityfile')!.map(expand), alias)
  }
})

test('ProxyJump goes through real servers, one after the other, each with its host key checked', async () => {
  const [first, second] = await Promise.all([Sshd.start(), Sshd.start()])
  for (const jump of [first, second]) jump.authorise(key)
  writeFileSync(
    join(home, '.ssh', 'config'),
    `Host far
  HostName 127.0.0.1
  Port ${sshd.port}
  ProxyJump one,${me}@two
Host one
  HostName 127.0.0.1
  Port ${first.port}
Host two
  HostName 127.0.0.1
  Port ${second.port}
Host *
  IdentityFile ${key}
`,
  )
  const target = { host: 'far', port: undefined, keyFile: undefined }
  assert.match(
    (await failure(() => connect(target, { acceptNewHostKey: false }))).message,
    String(first.port),
  )
  const ssh = await connect(target)
  // Its address says nothing here: that of a jump host may be the same.
  assert.is(ssh.name, `${me}@far:${sshd.port}`)
  // Our end of it, as the server sees it, is the last jump host.
  assert.is(await ssh.run(['id', '-un']), me)
  assert.equal([first.sessions().length, second.sessions().length], [1, 1])
  assert.is(readFileSync(knownHosts(), 'utf8').trim().split('\n').length, 3)
  ssh.close()
  await second.down()
  assert.match((await failure(() => connect(target))).message, `cannot reach 127.0.0.1:${second.port}`)
  writeFileSync(join(home, '.ssh', 'config'), 'Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n')
  assert.match((await failure(() => connect({ host: 'a' }))).message, 'through itself')
  await first.down()
})

// Commands

test('hostile arguments reach the program byte by byte', async () => {
  const ssh = await connect({ user: free })
  const secret = join('/tmp', `oas-was-run-${process.pid}`)
  const hostile = [
    '',
    ' ',
    'a b',
    '-rf',
    '--',
    "'",
    '"',
    '\\',
    "\\'",
    '$(touch x)',
    '`id`',
    '$HOME',
    '!!',
    '*',
    '~',
    'a=b',
    'x\ny',
    '\n',
    '\r\n',
    '\t',
    ';',
    '&',
    '|',
    '#',
    '{a,b}',
    'ß€😀',
    '\u2028',
    '\x01\x7f\x1b[31m',
    `$(touch ${secret})`,
    `'; touch ${secret}; '`,
    `\\'; touch ${secret} #`,
  ]
  const echo = async (args: string[]) => {
    // Every argument ends with NUL, which no argument can hold.
    const result = await ssh.exec(['printf', '%s\\0', ...args])
    assert.is(result.code, 0, result.stderr.toString())
    return result.stdout
  }
  const bytes = (args: string[]) => Buffer.from(args.map(arg => `${arg}\0`).join(''))
  assert.equal(await echo(hostile), bytes(hostile))
  const piece = fc.oneof(
    fc.constantFrom(...hostile),
    fc.constantFrom("'", '"', '\\', '`', '$(', ')', '\n', ' ', '-', '$', ';'),
    fc.string({ unit: 'grapheme', maxLength: 8 }),
    fc.string({ unit: 'binary', maxLength: 4 }),
  )
  const argument = fc
    .array(piece, { maxLength: 6 })
    .map(parts => parts.join('').replaceAll('\0', ''))
    .filter(text => text.isWellFormed())
  await fc.assert(
    fc.asyncProperty(fc.array(argument, { minLength: 1, maxLength: 5 }), async args => {
      assert.equal(await echo(args), bytes(args))
    }),
    { numRuns: 300 },
  )
  assert.not.ok(existsSync(secret))
})

test('what no argument can hold is refused before anything is sent', async () => {
  const ssh = await connect()
  for (const [bad, why] of [
    ['a\0b', 'NUL'],
    ['\ud800', 'Unicode'],
  ] as const) {
    const error = await failure(() => ssh.run(['printf', '%s', bad]))
    assert.match(error.message, why)
    assert.is(error.exitCode, 2)
  }
})

test('words of the shell are programs, not syntax', async () => {
  const ssh = await connect()
  const error = await failure(() => ssh.run(['if', 'true']))
  assert.match(error.message, /if.*No such file/)
  assert.match(error.fix, 'install if')
})

test('anything but exit code 0 is a failure, with the last line of stderr', async () => {
  const ssh = await connect()
  const error = await failure(() =>
    ssh.run(['sh', '-c', 'echo first >&2; echo why >&2; exit 7'], { fix: 'do this' }),
  )
  assert.match(error.message, /^`sh -c .* failed: why$/s)
  assert.is(error.fix, 'do this')
  assert.match((await failure(() => ssh.run(['sh', '-c', 'exit 7']))).message, 'exit code 7')
  assert.match((await failure(() => ssh.run(['sh', '-c', 'kill -KILL $$']))).message, 'ended by SIGKILL')
  assert.match((await failure(() => ssh.run(['no-such-program']))).fix, 'install no-such-program')
})

test('output is bytes in full, and text that is never cut inside of a character', async () => {
  const ssh = await connect()
  const text = 'ß€😀'.repeat(20_000)
  const pieces: string[] = []
  const result = await ssh.exec(['cat'], { input: text, onStdout: piece => void pieces.push(piece) })
  assert.is(result.stdout.toString(), text)
  assert.is(pieces.join(''), text)
  assert.not.match(pieces.join(''), '\ufffd')
  // One byte at a time: every character arrives in pieces.
  const slow: string[] = []
  await ssh.sh(
    "for i in 1 2 3; do printf '\\360\\237'; sleep 0.05; printf '\\230\\200'; sleep 0.05; done",
    [],
    {
      onStdout: piece => void slow.push(piece),
    },
  )
  assert.is(slow.join(''), '😀😀😀')
  const binary = Buffer.from(Array.from({ length: 256 * 1024 }, (_, i) => (i * 7) & 255))
  assert.equal((await ssh.exec(['cat'], { input: binary })).stdout, binary)
  // A program that does not read its input, and one that writes to both.
  await ssh.run(['true'], { input: 'x'.repeat(4 << 20) })
  const both = await ssh.exec(['sh', '-c', 'head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2'])
  assert.equal([both.stdout.length, both.stderr.length], [3_000_000, 3_000_000])
})

test('a command that takes too long, is silent or says too much is ended on the server, too', async () => {
  const ssh = await connect()
  const mark = `60.${process.pid}`
  const late = await failure(() => ssh.run(['sleep', mark], { timeout: 300 }))
  assert.match(late.message, /was not done after 0.3 s, and was ended$/)
  const silent = await failure(() => ssh.run(['sh', '-c', `echo x; exec sleep ${mark}`], { idle: 300 }))
  assert.match(silent.message, 'said nothing for 0.3 s')
  const lives = () => spawnSync('pgrep', ['-fx', `sleep ${mark}`]).status !== 1
  for (let i = 0; i < 200 && lives(); i++) await sleep(50)
  assert.not(lives(), 'sleep lives on')
  await ssh.sh('for i in 1 2 3 4 5 6; do echo $i; sleep 0.5; done', [], { idle: 2000 })
  assert.match((await failure(() => ssh.run(['cat', '/dev/zero']))).message, 'more than 64 MiB')
  assert.is(await ssh.run(['echo', 'still there']), 'still there')
})

test('many commands at once over one connection', async () => {
  const ssh = await connect()
  const outputs = await Promise.all(
    Array.from({ length: 8 }, (_, i) => ssh.run(['sh', '-c', `sleep 0.2; echo ${i}`])),
  )
  assert.equal(outputs, ['0', '1', '2', '3', '4', '5', '6', '7'])
})

test('too many sessions at once are told as what they are', async () => {
  const ssh = await connect()
  const results = await Promise.allSettled(Array.from({ length: 14 }, () => ssh.run(['sleep', '3'])))
  const rejected = results.flatMap(result => (result.status === 'rejected' ? [result.reason] : []))
  // MaxSessions is 10; on a busy machine sshd may count one that is still being opened.
  assert.ok(rejected.length >= 4 && rejected.length < 14, String(rejected.length))
  for (const error of rejected) assert.match(error.message, /did not run `sleep 3`/)
})

// Broken connections

test('a killed session is a lost connection, not success; reconnecting works', async () => {
  const ssh = await connect()
  const running = failure(() => ssh.run(['sleep', '30']))
  await sleep(300)
  sshd.killSessions()
  assert.instance(await running, ConnectionLost)
  assert.instance(await failure(() => ssh.run(['true'])), ConnectionLost)
  await ssh.reconnect({ deadline: 60_000 })
  assert.is(await ssh.run(['echo', 'back']), 'back')
})

test('reconnecting waits for a server that is down, with a deadline, and never past a changed host key', async () => {
  const own = await Sshd.start()
  own.authorise(key)
  const ssh = await connect({ port: own.port })
  await own.down()
  const gone = await failure(() => ssh.reconnect({ deadline: 1500 }))
  assert.match(gone.message, /gave up after 2 s; last seen: .*refuses connections/)
  setTimeout(() => void own.up(), 1500)
  await ssh.reconnect({ deadline: 60_000 })
  const boot = await ssh.bootId()
  assert.match(boot, /^[0-9a-f-]{36}$/)
  const same = await failure(() => ssh.reconnect({ deadline: 1200, afterBoot: boot }))
  assert.match(same.message, 'it has not rebooted yet')
  await ssh.reconnect({ deadline: 60_000, afterBoot: 'another' })
  await own.down()
  await own.up(`HostKey ${stranger}`.replace('HostKey', '#') /* the same server */)
  await own.down()
  const file = join(own.folder, 'host_key')
  for (const suffix of ['', '.pub'])
    writeFileSync(file + suffix, readFileSync(stranger + suffix), { mode: 0o600 })
  await own.up()
  const started = performance.now()
  assert.instance(await failure(() => ssh.reconnect({ deadline: 20_000 })), HostKeyError)
  assert.ok(performance.now() - started < 15_000)
  await own.down()
})

// Files

test('upload sets exact modes, replaces whole files, and leaves no neighbour', async () => {
  const ssh = await connect()
  const there = folder()
  const names = ['plain', 'a b', "it's", '-dash', 'new\nline', '$(x)', 'ß', '*']
  for (const name of names)
    for (const mode of [0o600, 0o644, 0o755]) {
      const path = join(there, name)
      await ssh.upload(`content of ${name} ${mode}`, path, { mode })
      assert.is(readFileSync(path, 'utf8'), `content of ${name} ${mode}`)
      assert.is(statSync(path).mode & 0o7777, mode)
    }
  assert.equal(readdirSync(there).sort(), [...names].sort())
  const binary = Buffer.from(Array.from({ length: 3 << 20 }, (_, i) => (i * 31) & 255))
  writeFileSync(join(home, 'local'), binary)
  await ssh.upload({ file: join(home, 'local') }, join(there, 'plain'), { mode: 0o640 })
  assert.equal(readFileSync(join(there, 'plain')), binary)
  assert.equal(await ssh.download(join(there, 'plain')), binary)
  await ssh.upload('', join(there, 'empty'), { mode: 0o600 })
  assert.is(statSync(join(there, 'empty')).size, 0)
  await ssh.downloadTo(join(there, '-dash'), join(home, 'copy'), { mode: 0o600 })
  assert.is(readFileSync(join(home, 'copy'), 'utf8'), 'content of -dash 493')
  assert.is(statSync(join(home, 'copy')).mode & 0o777, 0o600)
})

test('what cannot be transferred leaves everything as it was', async () => {
  const ssh = await connect()
  const there = folder()
  mkdirSync(join(there, 'folder'))
  assert.match(
    (await failure(() => ssh.upload('x', join(there, 'folder'), { mode: 0o600 }))).message,
    'cannot overwrite',
  )
  assert.match(
    (await failure(() => ssh.upload('x', join(there, 'no/file'), { mode: 0o600 }))).message,
    'No such file',
  )
  assert.match((await failure(() => ssh.download(join(there, 'no')))).message, 'No such file')
  const nothing = await failure(() => ssh.downloadTo(join(there, 'no'), join(home, 'no'), { mode: 0o600 }))
  assert.match(nothing.message, 'No such file')
  assert.equal(readdirSync(there), ['folder'])
  assert.not.ok(readdirSync(home).some(name => name.startsWith('no')))
})

test('a connection that breaks in the middle of an upload leaves the old file', async () => {
  const ssh = await connect()
  const path = join(folder(), 'file')
  writeFileSync(path, 'old')
  writeFileSync(join(home, 'big'), Buffer.alloc(64 << 20))
  const uploading = failure(() => ssh.upload({ file: join(home, 'big') }, path, { mode: 0o600 }))
  await sleep(150)
  sshd.killSessions()
  assert.instance(await uploading, ConnectionLost)
  for (let i = 0; i < 300 && readdirSync(join(path, '..')).length > 1; i++) await sleep(100)
  assert.equal(readdirSync(join(path, '..')), ['file'])
  assert.is(readFileSync(path, 'utf8'), 'old')
})

test('a full disk leaves the old file, and says so', async () => {
  const ssh = await connect()
  const mount = folder()
  if (process.getuid?.() !== 0) throw new Error('a disk of 1 MB is mounted: run the tests as root')
  local('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', mount])
  try {
    await ssh.upload('old', join(mount, 'file'), { mode: 0o600 })
    const error = await failure(() => ssh.upload(Buffer.alloc(8 << 20), join(mount, 'file'), { mode: 0o600 }))
    assert.match(error.message, 'No space left on device')
    assert.match(error.fix, 'df -h')
    assert.equal(readdirSync(mount), ['file'])
    assert.is(readFileSync(join(mount, 'file'), 'utf8'), 'old')
  } finally {
    local('umount', [mount])
  }
})

// sudo

test('root needs no sudo; NOPASSWD asks for nothing; input is left alone', async () => {
  for (const user of [me, free]) {
    const ssh = await connect({ user })
    assert.is(await ssh.run(['id', '-u'], { sudo: true }), '0')
    assert.is(await ssh.run(['cat'], { sudo: true, input: 'line\nline' }), 'line\nline')
  }
})

test('sudo with a password gets it on stdin, and the command only its own input', async () => {
  process.env.OAS_SUDO_PASSWORD = password
  const ssh = await connect({ user: admin })
  const binary = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7) & 255))
  assert.is(await ssh.run(['id', '-u'], { sudo: true }), '0')
  assert.is(await ssh.run(['id', '-un']), admin)
  assert.equal((await ssh.exec(['cat'], { sudo: true, input: binary })).stdout, binary)
  assert.is(
    await ssh.run(['printf', '%s|', '$(id)', "it's", 'a\nb', ''], { sudo: true }),
    "$(id)|it's|a\nb||",
  )
  assert.match((await failure(() => ssh.run(['sh', '-c', 'exit 9'], { sudo: true }))).message, 'exit code 9')
  const path = join(folder(), 'of-root')
  await ssh.upload(binary, path, { mode: 0o600, sudo: true })
  assert.equal(await ssh.download(path, { sudo: true }), binary)
  assert.is(statSync(path).uid, 0)
  assert.match((await failure(() => ssh.download(path))).message, 'Permission denied')
  // sudo reads no password where it has one cached: the line must not become input.
  appendFileSync(`/etc/sudoers.d/${admin}`, `Defaults:${admin} timestamp_type=global\n`)
  assert.is(await ssh.run(['cat'], { sudo: true, input: 'mine' }), 'mine')
  assert.is(await ssh.run(['cat'], { sudo: true, input: 'mine' }), 'mine')
  assert.is(redact(`it was ${password}`), 'it was ***')
})

test('the password of sudo is in no argument', async () => {
  process.env.OAS_SUDO_PASSWORD = password
  const ssh = await connect({ user: admin })
  let isRunning = true
  const running = ssh.run(['sleep', '1'], { sudo: true }).finally(() => {
    isRunning = false
  })
  let seen = ''
  while (isRunning) {
    for (const pid of readdirSync('/proc').filter(name => /^\d+$/.test(name)))
      try {
        seen += readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      } catch {} // it has ended
    await sleep(50)
  }
  await running
  assert.match(seen, 'sleep\x001')
  assert.not.match(seen, password)
})

test('a wrong sudo password, none, and a user without the right are told in two lines', async () => {
  process.env.OAS_SUDO_PASSWORD = 'wrong password'
  const ssh = await connect({ user: strict })
  const wrong = await failure(() => ssh.run(['id'], { sudo: true }))
  assert.match(wrong.message, /cannot become root on 127.0.0.1: sudo does not accept the password/)
  assert.match(wrong.fix, 'OAS_SUDO_PASSWORD')
  delete process.env.OAS_SUDO_PASSWORD
  const none = await failure(() => ssh.run(['id'], { sudo: true }))
  assert.match(none.fix, 'OAS_SUDO_PASSWORD')
  assert.is(none.exitCode, 2)
  process.env.OAS_SUDO_PASSWORD = password
  assert.is(await ssh.run(['id', '-u'], { sudo: true }), '0') // the failures before are no end
  const other = await connect({ user: nobody })
  const refused = await failure(() => other.run(['id'], { sudo: true }))
  assert.match(refused.message, 'this user may not use sudo')
  assert.match(refused.fix, `adduser ${nobody} sudo`)
})

// The lock

test('one lock at a time, with its holder named; it is free after release, kill and loss', async () => {
  const [one, two] = await Promise.all([connect(), connect()])
  const path = join(folder(), 'lock')
  const holder = "ann's $(laptop) held\nheld"
  const lost: string[] = []
  const options = { path, sudo: false, onLost: (why: ExpectedError) => void lost.push(why.message) }
  const lock = await lockServer(one, { ...options, holder })
  const busy = await failure(() => lockServer(two, { ...options, holder: 'bob' }))
  assert.is(busy.exitCode, 75)
  assert.match(busy.message, holder)
  await lock.release()
  assert.equal(lost, [])
  const again = await lockServer(two, { ...options, holder: 'bob' })
  // The connection ends without a word: the kernel gives the lock back.
  two.close()
  for (let i = 0; i < 600 && lost.length === 0; i++) await sleep(50)
  assert.match(lost[0]!, 'the lock on .* was lost'.replace('.*', two.name))
  await again.release()
  const third = await lockServer(one, { ...options, holder: 'carol' })
  await third.release()
  assert.is(lost.length, 1)
})

test('a holder that falls silent loses the lock in time', async () => {
  const [one, two] = await Promise.all([connect(), connect()])
  const path = join(folder(), 'lock')
  const lost: ExpectedError[] = []
  const options = { path, sudo: false, seconds: 3, onLost: (error: ExpectedError) => void lost.push(error) }
  await lockServer(one, { ...options, holder: 'ann' })
  await sleep(5000)
  assert.is(lost.length, 0, 'signs of life keep it')
  const stopped = sshd.sessions()
  for (const pid of stopped) process.kill(pid, 'SIGSTOP')
  try {
    await sleep(7000)
  } finally {
    for (const pid of stopped) process.kill(pid, 'SIGCONT')
  }
  await (await lockServer(two, { ...options, holder: 'bob' })).release()
  assert.is(lost[0]?.exitCode, 75)
})

test('the lock works by sudo, too', async () => {
  process.env.OAS_SUDO_PASSWORD = password
  const ssh = await connect({ user: admin })
  const options = { path: `/run/oas-test-${process.pid}.lock`, onLost: () => {} }
  const lock = await lockServer(ssh, { ...options, holder: 'ann' })
  assert.is((await failure(() => lockServer(ssh, { ...options, holder: 'bob' }))).exitCode, 75)
  await lock.release()
  await ssh.run(['rm', '--', options.path], { sudo: true })
})

// The script

function cluster(): Record<string, string> {
  const clusters = folder()
  mkdirSync(join(clusters, 'one'))
  writeFileSync(
    join(clusters, 'one', 'inventory.yml'),
    `all:\n  hosts:\n    one:\n      ansible_host: 127.0.0.1\n      ansible_port: ${sshd.port}\n      ansible_user: ${me}\n      ansible_ssh_private_key_file: ${key}\n`,
  )
  return { OAS_CLUSTERS_DIR: clusters, HOME: home }
}

test('scripts/ssh.ts runs a command with its arguments and input as they are', async () => {
  const env = cluster()
  const first = await runScript('ssh', ['--', 'true'], { env })
  assert.is(first.code, 2, first.err)
  assert.match(first.err, /fix: give --accept-new-host-key/)
  const accepted = await runScript(
    'ssh',
    ['--accept-new-host-key', '--', 'printf', '%s|', '$(id)', 'a b', '-n'],
    { env },
  )
  assert.equal([accepted.code, accepted.out.toString()], [0, '$(id)|a b|-n|'], accepted.err)
  const binary = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7) & 255))
  assert.equal((await runScript('ssh', ['--', 'cat'], { env, input: binary })).out, binary)
  const failing = await runScript('ssh', ['--', 'sh', '-c', 'echo no >&2; exit 7'], { env })
  assert.is(failing.code, 1)
  assert.match(failing.err, /^no\n✗ `sh -c echo no .*` on .* failed: exit code 7\n {2}fix: /s)
  const json = await runScript('ssh', ['--json', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7'], { env })
  const { exitCode, result } = JSON.parse(json.out.toString())
  assert.equal([exitCode, result.code, result.stdout, result.stderr], [1, 7, 'out\n', 'err\n'])
})

test('scripts/ssh.ts on a terminal shows the fingerprint, asks, and opens a shell by ssh', async () => {
  const env = cluster()
  // script(1) gives it a terminal.
  const child = spawn('script', ['-qfec', `${process.execPath} --import tsx scripts/ssh.ts`, '/dev/null'], {
    env: { ...process.env, ...env, CI: '', TERM: 'xterm' },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const closed = new Promise(resolve => child.once('close', resolve))
  let screen = ''
  child.stdout.on('data', chunk => {
    screen += chunk
  })
  const see = async (pattern: RegExp | string) => {
    for (let i = 0; i < 1200; i++) {
      if (typeof pattern === 'string' ? screen.includes(pattern) : pattern.test(screen)) return
      await sleep(50)
    }
    child.kill('SIGKILL')
    assert.unreachable(`not seen: ${pattern} in ${screen}`)
  }
  const shown = local('ssh-keygen', ['-lf', sshd.hostKey]).split(' ')[1]!
  await see(/Trust it/)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal is told
  assert.match(screen.replaceAll(/\x1b\[[\d;?]*[a-z]|\s/gi, ''), shown)
  child.stdin.write('y\n')
  await see(/remembered the ed25519 host key/)
  await see(/[$#] $/)
  child.stdin.write('echo "tty: $(tty) $((6 * 7))"; exit 3\n')
  await see(/tty: \/dev\/pts\/\d+ 42/)
  assert.is(await closed, 0)
})

test.run()
