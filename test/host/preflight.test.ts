import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import type { PreflightFinding } from '../../lib/preflight/findings.ts'
import { ROOT } from '../../lib/script/files.ts'
import type { ServerFacts } from '../../lib/server/server-facts.ts'
import { freePort } from '../bed/cluster/ports.ts'
import { test } from '../suite.ts'
import {
  addS3User,
  certificateFiles,
  dnsServer,
  mailServer,
  s3Access,
  s3Server,
  stopServers,
} from './servers.ts'
import { cleanUp, folder, local, me, newHome, newKey, newUser, runScript, Sshd } from './sshd.ts'

// Everything that is asked here is real and on loopback: sshd, NSD, Exim, the Versity S3 Gateway, iptables.

const home = newHome()
const clusters = folder()
const cluster = join(clusters, 'oas')
mkdirSync(cluster, { mode: 0o700 })
const key = newKey(join(folder(), 'key'))
const sshd = await Sshd.start()
sshd.authorise(key)
const trusted = await certificateFiles(-1, 10)

const DOMAIN = 'oas.example.test'
const good = await dnsServer({
  [DOMAIN]: `@ A 127.0.0.1\n* CNAME ${DOMAIN}.\n@ CAA 0 issue "letsencrypt.org"`,
})

interface Ended {
  code: number | null
  out: string
  err: string
  findings: PreflightFinding[]
  /** Facts and states of the sections. */
  sections: { name: string; state: string; note?: string; facts?: unknown }[]
}

/** Runs preflight with this configuration, as a process; most tests read its JSON document. */
async function preflight(
  args: readonly string[],
  config: Record<string, string> = {},
  env: Record<string, string> = {},
): Promise<Ended> {
  const lines = Object.entries({ ip_address: '127.0.0.1', domain: DOMAIN, ...config })
  writeFileSync(join(cluster, '.flux.env'), lines.map(line => `${line.join('=')}\n`).join(''), {
    mode: 0o600,
  })
  const all = { OAS_CLUSTERS_DIR: clusters, HOME: home, NODE_EXTRA_CA_CERTS: trusted.cert, ...env }
  const { code, out, err } = await runScript('preflight', [...args, '--json'], { env: all })
  const text = out.toString()
  for (const secret of Object.entries(config).filter(([name]) => /password|secret/.test(name)))
    assert.not.ok(`${text}${err}`.includes(secret[1]), `${secret[0]} is in what it said`)
  const { result } = JSON.parse(text)
  const sections = result?.sections ?? []
  return {
    code,
    out: text,
    err,
    sections,
    findings: sections.flatMap((s: { findings: PreflightFinding[] }) => s.findings),
  }
}
const errors = ({ findings }: Ended) => findings.filter(f => f.severity === 'error').map(f => f.what)
const warnings = ({ findings }: Ended) => findings.filter(f => f.severity === 'warning').map(f => f.what)

test.after(async () => {
  await stopServers()
  cleanUp()
})

// The server

/** Writes the inventory: this machine, by way of our sshd. */
function inventory(user: string): void {
  const host = `ansible_host: 127.0.0.1\n      ansible_port: ${sshd.port}\n      ansible_user: ${user}\n      ansible_ssh_private_key_file: ${key}`
  writeFileSync(join(cluster, 'inventory.yml'), `all:\n  hosts:\n    oas:\n      ${host}\n`)
}

test('an unknown host key is not accepted without being asked for, and the rest is checked all the same', async () => {
  inventory(me)
  const ended = await preflight(['--only', 'server,dns', '--resolver', good])
  assert.is(ended.code, 2)
  assert.match(JSON.parse(ended.out).errors[0].fix, '--accept-new-host-key')
  assert.equal(
    ended.sections.map(({ name, state }) => [name, state]),
    [
      ['server', 'failed'],
      ['dns', 'checked'],
    ],
  )
})

test('the facts of this machine are right, and what is in the way is found', async () => {
  inventory(me)
  const inTheWay = createServer().listen(10258, '127.0.0.1')
  try {
    const ended = await preflight(['--only', 'server', '--accept-new-host-key'])
    const facts = ended.sections[0]!.facts as ServerFacts
    const release = readFileSync('/etc/os-release', 'utf8')
    assert.match(release, `PRETTY_NAME="${facts.os.name}"`)
    assert.is(facts.hostname, hostname())
    assert.is(String(facts.cpus), local('nproc', []).trim())
    assert.is(facts.architecture, local('uname', ['-m']).trim())
    const total = Number(/^MemTotal:\s+(\d+) kB/.exec(readFileSync('/proc/meminfo', 'utf8'))![1]) * 1024
    assert.ok(facts.memory! > 0 && facts.memory! <= total)
    assert.ok(Math.abs(facts.clockOffset) < 60_000)
    assert.ok(facts.disks[0]!.size > 1e9)
    assert.ok(facts.mounts.length > 0)
    assert.is(ended.code, 3)
    assert.ok(
      errors(ended).some(what => /^port 10258\/tcp is in use by \S.*cloud-controller-manager/.test(what)),
      errors(ended).join('\n'),
    )
  } finally {
    inTheWay.close()
  }
})

test('a user with sudo sees the same; a wrong password is told in two lines', async () => {
  const password = 'correct horse battery'
  inventory(newUser({ password, sudoers: 'ALL=(ALL) ALL' }))
  const ended = await preflight(['--only', 'server'], {}, { OAS_SUDO_PASSWORD: password })
  assert.is(ended.sections[0]!.state, 'checked')
  const listeners = (ended.sections[0]!.facts as { listeners: { port: number; program?: string }[] })
    .listeners
  assert.is(listeners.find(({ port }) => port === sshd.port)?.program, 'sshd') // which only root gets to know
  const wrong = await preflight(['--only', 'server'], {}, { OAS_SUDO_PASSWORD: 'wrong horse' })
  assert.is(wrong.code, 1)
  assert.match(JSON.parse(wrong.out).errors[0].message, 'sudo does not accept the password')
})

test('a server that cannot be reached is told, and exit code 1 says that it could not look', async () => {
  writeFileSync(
    join(cluster, 'inventory.yml'),
    `all:\n  hosts:\n    oas:\n      ansible_host: 127.0.0.1\n      ansible_port: ${await freePort()}\n`,
  )
  const ended = await preflight(['--only', 'server'])
  assert.is(ended.code, 1)
  assert.match(ended.err, /^✗ .* refuses connections\n {2}fix: /m)
})

// DNS

test('DNS in order has no findings', async () => {
  const ended = await preflight(['--only', 'dns', '--resolver', good, '--resolver', good.replace(':', '#')])
  assert.equal([ended.code, ended.findings], [0, []])
})

test('hosts that lead elsewhere or nowhere, authorities that may not sign, and a zone that is broken', async () => {
  const broken = await dnsServer({
    [DOMAIN]: [
      '@ A 127.0.0.1',
      '* A 127.0.0.1',
      'files A 127.0.0.9',
      'chat TXT nothing',
      'wekan A 127.0.0.1',
      'wekan AAAA 2001:db8::9',
      'wekan CAA 0 issue "digicert.com"',
      'sso A 127.0.0.1',
      'sso CAA 128 tbs "unknown"',
      'grafana CNAME gone.invalid.',
    ].join('\n'),
    'lost.test': undefined,
  })
  const ended = await preflight(['--only', 'dns', '--resolver', broken], { wordpress_domain: 'lost.test' })
  assert.is(ended.code, 3)
  const expected = [
    /^chat\.oas\.example\.test has no A record$/,
    /^files\.oas\.example\.test points to 127\.0\.0\.9, not to 127\.0\.0\.1$/,
    /fails for lost\.test \(ESERVFAIL\)$/,
    /CAA records of wekan\.oas\.example\.test .*: they allow digicert\.com only$/,
    /CAA records of sso\.oas\.example\.test .* critical and of an unknown kind$/,
    /^the CAA records of lost\.test cannot be looked up \(ESERVFAIL\)/,
  ]
  const told = errors(ended).map(what => what.replace('chat.oas.example.test, grafana', 'grafana'))
  for (const pattern of expected.slice(1))
    assert.ok(
      told.some(what => pattern.test(what)),
      `${pattern}: ${told}`,
    )
  assert.match(told.join('\n'), /has no A record/)
  assert.match(warnings(ended).join('\n'), /^wekan\.oas\.example\.test has also the address 2001:db8::9/m)
})

test('resolvers that disagree are named, as are those that are silent', async () => {
  const old = await dnsServer({ [DOMAIN]: '@ 777 A 127.0.0.9\n* CNAME @' })
  const silent = `127.0.0.1:${await freePort()}`
  const ended = await preflight(['--only=dns', ...[good, old, silent].flatMap(ip => ['--resolver', ip])])
  assert.is(ended.code, 0) // nothing that waiting would not heal
  const [first, second] = warnings(ended).sort((a, b) => a.length - b.length)
  assert.is(first, `the resolver ${silent} does not answer (ECONNREFUSED)`)
  assert.match(second!, `the resolver ${old} still says 127.0.0.9 for ${DOMAIN}`)
  assert.match(second!, 'for 777 s at most, others say 127.0.0.1')
})

test('without a wildcard only new applications lack a record', async () => {
  const hosts = [
    'sso',
    'admin',
    'grafana',
    'prometheus',
    'alertmanager',
    'files',
    'office',
    'chat',
    'wekan',
    'www',
  ]
  const zone = ['@ A 127.0.0.1', ...hosts.map(name => `${name} CNAME @`)].join('\n')
  const ended = await preflight(['--only', 'dns', '--resolver', await dnsServer({ [DOMAIN]: zone })])
  assert.equal([ended.code, errors(ended)], [0, []])
  assert.match(warnings(ended)[0]!, 'no wildcard record *.oas.example.test')
})

test('when no resolver answers, it could not look', async () => {
  const ended = await preflight(['--only', 'dns', '--resolver', `127.0.0.1:${await freePort()}`])
  assert.is(ended.code, 1)
  assert.match(
    JSON.parse(ended.out).errors[0].message,
    /^no resolver answers: 127\.0\.0\.1:\d+ ECONNREFUSED$/,
  )
})

test('what is no resolver and no section is refused, whatever it holds', async () => {
  for (const hostile of ['$(id)', '-h', 'a b', '1.2.3.4;id', "'"]) {
    const { code, err } = await preflight([`--resolver=${hostile}`])
    assert.is(code, 2)
    assert.match(err, 'is not the address of a resolver')
  }
  const { code, err } = await preflight(['--only', 'dns,port'])
  assert.equal([code, /did you mean ports\?/.test(err)], [2, true])
})

// Ports

/** A network of its own, in which port 80 is anybody's and every address may be ours; gone after `work`. */
async function inOwnNetwork<T>(
  work: (net: {
    name: string
    local: (...command: string[]) => string
    node: (...args: string[]) => Promise<{ code: number | null; out: string; err: string }>
  }) => Promise<T>,
): Promise<T> {
  const name = `oas-pre-${process.pid}`
  local('ip', ['netns', 'add', name])
  try {
    local('ip', ['-n', name, 'link', 'set', 'lo', 'up'])
    return await work({
      name,
      local: (...command) => local('ip', ['netns', 'exec', name, ...command]),
      node: (...args) =>
        new Promise(resolve => {
          const child = spawn('ip', ['netns', 'exec', name, process.execPath, '--import', 'tsx', ...args], {
            cwd: ROOT,
            env: { ...process.env, OAS_CLUSTERS_DIR: clusters, NO_COLOR: '1', FORCE_COLOR: undefined },
            timeout: 300_000,
          })
          let [out, err] = ['', '']
          child.stdout.on('data', chunk => {
            out += chunk
          })
          child.stderr.on('data', chunk => {
            err += chunk
          })
          child.once('close', code => resolve({ code, out, err }))
        }),
    })
  } finally {
    spawnSync('ip', ['netns', 'delete', name])
  }
}

test('ports are open, refused, or filtered by a real firewall', () =>
  inOwnNetwork(async net => {
    writeFileSync(join(cluster, '.flux.env'), 'ip_address=127.0.0.1\n')
    const look = async () => {
      const { code, out } = await net.node('scripts/preflight.ts', '--only', 'ports', '--json')
      const [{ facts, findings }] = JSON.parse(out).result.sections
      return { code, facts, findings }
    }
    const refused = { 80: 'refused', 443: 'refused', 6443: 'refused' }
    assert.equal(await look(), { code: 0, facts: refused, findings: [] })

    net.local('iptables', '-A', 'INPUT', '-p', 'tcp', '--dport', '443', '-j', 'DROP')
    const prohibit = ['-j', 'REJECT', '--reject-with', 'icmp-host-prohibited']
    net.local('iptables', '-A', 'INPUT', '-p', 'tcp', '--dport', '6443', ...prohibit)
    const { code, facts, findings } = await look()
    assert.equal([code, facts], [3, { 80: 'refused', 443: 'filtered', 6443: 'filtered' }])
    assert.match(findings[0].what, 'port 443, 6443: packets vanish')
  }))

// Before the first change of install-core and install-app

test('an installation on a public address is stopped by wrong DNS and a firewall, unless told otherwise', () =>
  inOwnNetwork(async net => {
    // Public addresses, those of the default resolvers among them: here they are nobody else's but ours.
    for (const address of ['9.9.9.9', '1.1.1.1', '198.41.0.4', '198.41.0.5'])
      net.local('ip', 'addr', 'add', `${address}/32`, 'dev', 'lo')
    net.local('iptables', '-A', 'INPUT', '-d', '198.41.0.5', '-p', 'tcp', '--dport', '443', '-j', 'DROP')
    const zone = '@ A 198.41.0.4\n* CNAME @'
    await dnsServer({ [DOMAIN]: zone }, { namespace: net.name, addresses: ['9.9.9.9', '1.1.1.1'] })
    const check = async (config: object, options: object, skip = false) => {
      const program = `
        const { checkSurroundings } = await import('./lib/preflight/preflight.ts')
        const say = text => console.log(text)
        const run = { log: { warn: say, info: say }, signal: new AbortController().signal, flags: { 'skip-preflight': ${skip} } }
        const problems = error => (error.problems ?? [error]).map(({ message, fix }) => \`ERROR \${message} FIX \${fix}\`)
        await checkSurroundings(run, ${JSON.stringify({ domain: DOMAIN, ...config })}, ${JSON.stringify(options)})
          .then(() => say('fine'), error => say(problems(error).join('\\n')))`
      const { out, err } = await net.node('--input-type=module', '-e', program)
      assert.is(err, '')
      return out.split('\n').filter(line => line && !/^ {2}fix|does not answer/.test(line)) // this machine's resolver is not here
    }
    const hosts = [DOMAIN, `sso.${DOMAIN}`]
    assert.equal(await check({ ip_address: '198.41.0.4' }, { hosts }), ['fine'])
    const wrong = await check({ ip_address: '198.41.0.5' }, { hosts })
    assert.is(wrong.length, 2, wrong.join('\n'))
    assert.match(
      wrong[0]!,
      /^ERROR oas\.example\.test, sso\..* points to 198\.41\.0\.4, not to 198\.41\.0\.5 FIX .*--skip-preflight$/,
    )
    assert.match(wrong[1]!, /^ERROR no connection from here to 198\.41\.0\.5, port 443: .*--skip-preflight$/)
    assert.equal(await check({ ip_address: '198.41.0.5' }, { hosts }, true), ['fine'])
    // Nothing of it matters where the public cannot come anyway.
    for (const address of ['127.0.0.1', '10.77.0.2', ''])
      assert.equal(await check({ ip_address: address }, { hosts }), ['fine'])

    const mailAndBackup = {
      ip_address: '198.41.0.4',
      ...mail(587),
      ...backup({ backup_s3_url: 'https://127.0.0.1:7480' }),
    }
    const lesser = await check(mailAndBackup, { hosts })
    assert.equal(
      lesser.map(line => line.replace(/ \(.*| refuses.*/, '')),
      ['the SMTP server 127.0.0.1:587', 'the S3 service https://127.0.0.1:7480', 'fine'],
    )
    const velero = await check(mailAndBackup, { hosts, needsBackup: true })
    assert.match(velero.at(-1)!, /^ERROR the S3 service https:\/\/127\.0\.0\.1:7480 refuses connections/)
  }))

// Mail

const account = { user: 'noreply@example.org', password: 'pass word;rm -rf+/=*&|<>' }
const mail = (port: number, change: Record<string, string> = {}) => ({
  outgoing_mail_enabled: 'true',
  outgoing_mail_smtp_host: '127.0.0.1',
  outgoing_mail_smtp_port: String(port),
  outgoing_mail_smtp_user: account.user,
  outgoing_mail_smtp_password: account.password,
  ...change,
})

test('a mail account logs in by each authentication', async () => {
  const { port } = await mailServer({ ...account, tls: trusted })
  for (const authtype of ['LOGIN', 'PLAIN', 'CRAM-MD5']) {
    const ended = await preflight(['--only', 'mail'], mail(port, { outgoing_mail_smtp_authtype: authtype }))
    assert.equal([ended.code, ended.findings], [0, []], authtype)
  }
})

test('port 465 works, and the applications that will not use it are told', async () => {
  await mailServer({ ...account, tls: trusted, tlsPort: 465 })
  const ended = await preflight(['--only', 'mail'], mail(465))
  assert.equal([ended.code, errors(ended), warnings(ended).length], [0, [], 1])
  assert.match(warnings(ended)[0]!, 'Nextcloud, WordPress and Grafana use STARTTLS')
})

test('what is wrong with a mail account is told in words', async () => {
  const [right, plain, expired, strange, choosy] = await Promise.all([
    mailServer({ ...account, tls: trusted }),
    mailServer(account),
    mailServer({ ...account, tls: await certificateFiles(-10, -1) }),
    mailServer({ ...account, tls: await certificateFiles(-1, 10) }),
    mailServer({ ...account, tls: trusted, offers: ['PLAIN'] }),
  ])
  for (const [config, expected] of [
    [
      mail(right.port, { outgoing_mail_smtp_password: 'wrong-password' }),
      /refuses the login of noreply@example\.org: 535/,
    ],
    [
      mail(right.port, { outgoing_mail_smtp_user: 'nobody@example.org' }),
      /refuses the login of nobody@example\.org: 535/,
    ],
    [mail(right.port, { outgoing_mail_smtp_host: 'localhost' }), /certificate of .* is for another host/],
    [mail(plain.port), /does not encrypt \(STARTTLS\)/],
    [mail(expired.port), /certificate of .* has expired/],
    [mail(strange.port), /certificate of .* is signed by nobody known/],
    [mail(choosy.port), /does not let anybody log in by LOGIN: 504/],
    [mail(sshd.port), /does not answer like one: .*SSH-2\.0/],
    [mail(await freePort()), /refuses connections/],
  ] as const) {
    const ended = await preflight(['--only', 'mail'], config)
    assert.is(ended.code, 3)
    assert.is(errors(ended).length, 1)
    assert.match(errors(ended)[0]!, expected)
  }
})

test('a mail account that is half configured is wrong usage', async () => {
  const ended = await preflight(['--only', 'mail'], { outgoing_mail_enabled: 'true' })
  assert.is(ended.code, 2)
  assert.match(
    ended.err,
    'lacks outgoing_mail_smtp_host, outgoing_mail_smtp_user, outgoing_mail_smtp_password',
  )
})

// Backup

const s3 = await s3Server({ tls: trusted })
const backup = (change: Record<string, string> = {}) => ({
  backup_s3_enabled: 'true',
  backup_s3_url: s3.url,
  backup_s3_region: 'ceph',
  backup_s3_bucket: 'backups',
  backup_s3_aws_access_key_id: s3Access.id,
  backup_s3_aws_secret_access_key: s3Access.secret,
  ...change,
})
/** The objects that are in a bucket, as the server keeps them. */
const objects = (files = s3.files) =>
  readdirSync(files, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())

test('a bucket is listed, written, read and left as it was', async () => {
  for (const prefix of ['', 'oas.example.test', 'a/b/']) {
    const ended = await preflight(['--only', 'backup'], backup({ backup_s3_prefix: prefix }))
    assert.equal([ended.code, ended.findings], [0, []], prefix)
    assert.equal(objects(), [])
  }
})

test('what is wrong with a bucket or its key is told in words', async () => {
  const [expired, strange, plain] = await Promise.all([
    s3Server({ tls: await certificateFiles(-10, -1) }),
    s3Server({ tls: await certificateFiles(-1, 10) }),
    s3Server(),
  ])
  for (const [change, expected] of [
    [{ backup_s3_bucket: 'nobodys-bucket' }, /^there is no bucket nobodys-bucket at/],
    [{ backup_s3_aws_secret_access_key: 'wrong-secret' }, /refuses the signature: the secret key is wrong$/],
    [{ backup_s3_aws_access_key_id: 'AKIAUNKNOWN' }, /does not know the access key$/],
    [{ backup_s3_region: 'eu-west-1' }, /is not in region eu-west-1 at .* but at ceph: /],
    [{ backup_s3_url: expired.url }, /certificate of .* has expired$/],
    [{ backup_s3_url: strange.url }, /certificate of .* is signed by nobody known/],
    [{ backup_s3_url: plain.url.replace('http:', 'https:') }, /does not speak TLS there/],
    [{ backup_s3_url: `https://127.0.0.1:${await freePort()}` }, /refuses connections$/],
    [{ backup_s3_url: `http://127.0.0.1:${sshd.port}` }, /failed|does not answer/],
  ] as const) {
    const ended = await preflight(['--only', 'backup'], backup(change))
    assert.is(ended.code, 3, JSON.stringify(change))
    assert.is(errors(ended).length, 1)
    assert.match(errors(ended)[0]!, expected)
  }
  const ended = await preflight(['--only', 'backup'], backup({ backup_s3_url: plain.url }))
  assert.equal([ended.code, errors(ended)], [0, []])
  assert.match(warnings(ended)[0]!, 'backup_s3_url is http')
})

test('a clock that is wrong is told as such', async () => {
  const shift =
    'const now = Date.now; const Real = Date; globalThis.Date = class extends Real { constructor(...a) { super(...(a.length ? a : [now() - 3600e3])) } static now() { return now() - 3600e3 } }'
  const option = `--import=data:text/javascript,${encodeURIComponent(shift)}`
  const ended = await preflight(['--only', 'backup'], backup(), { NODE_OPTIONS: option })
  assert.is(ended.code, 3)
  assert.match(
    errors(ended)[0]!,
    /^the clock of this machine and that of the S3 service .* differ by 60 minutes$/,
  )
})

test('rights that a key lacks are told all at once, and no object stays that can be deleted', async () => {
  const server = await s3Server()
  const all = ['ListBucket', 'PutObject', 'GetObject', 'DeleteObject']
  for (const lacking of [['GetObject'], ['ListBucket', 'GetObject'], ['PutObject'], ['DeleteObject']]) {
    const user = await addS3User(server, { may: all.filter(right => !lacking.includes(right)) })
    const config = {
      backup_s3_url: server.url,
      backup_s3_aws_access_key_id: user.id,
      backup_s3_aws_secret_access_key: user.secret,
    }
    const ended = await preflight(['--only', 'backup'], backup(config))
    assert.is(ended.code, 3)
    assert.equal(
      ended.findings.flatMap(({ fix }) => /the right s3:(\w+)/.exec(fix)?.[1] ?? []),
      lacking,
      JSON.stringify(ended.findings),
    )
    assert.is(objects(server.files).length, lacking.includes('DeleteObject') ? 1 : 0)
  }
})

test('Ctrl-C in the middle leaves no object behind', async () => {
  // A line to the real server that goes dead when the object is to be read: the time to interrupt.
  const plain = await s3Server()
  const port = Number(new URL(plain.url).port)
  const sockets = new Set<Socket>()
  let stalled: () => void = () => {}
  const stall = new Promise<void>(resolve => {
    stalled = resolve
  })
  const line = createServer(client => {
    const upstream = connect(port, '127.0.0.1')
    for (const socket of [client, upstream]) sockets.add(socket.on('error', () => {}))
    client.on('data', data => {
      if (/^GET \/backups\/openappstack-preflight/.test(data.toString())) stalled()
      else upstream.write(data)
    })
    upstream.pipe(client)
    client.once('close', () => upstream.destroy())
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => line.once('listening', resolve))
  const url = `http://127.0.0.1:${(line.address() as { port: number }).port}`
  const lines = { ip_address: '127.0.0.1', domain: DOMAIN, ...backup({ backup_s3_url: url }) }
  writeFileSync(
    join(cluster, '.flux.env'),
    Object.entries(lines)
      .map(l => `${l.join('=')}\n`)
      .join(''),
  )
  const child = spawn(process.execPath, ['--import', 'tsx', 'scripts/preflight.ts', '--only', 'backup'], {
    cwd: ROOT,
    env: { ...process.env, OAS_CLUSTERS_DIR: clusters },
    stdio: 'ignore',
  })
  const ended = new Promise(resolve => child.once('close', resolve))
  try {
    // Without a hold on the process, which would wait for it at the end.
    await Promise.race([stall, setTimeout(180_000, undefined, { ref: false })])
    assert.is(objects(plain.files).length, 1)
    child.kill('SIGINT')
    assert.is(await ended, 130)
    assert.equal(objects(plain.files), [])
  } finally {
    child.kill('SIGKILL')
    line.close()
    for (const socket of sockets) socket.destroy()
  }
})

// All together

test('everything in order: exit code 0, a screen for people, one document for programs', async () => {
  const { port } = await mailServer({ ...account, tls: trusted })
  const config = { ...mail(port), ...backup() }
  const sections = ['--only', 'dns,ports', '--only', 'mail,backup', '--resolver', good]
  const ended = await preflight(sections, config)
  assert.equal([ended.code, ended.findings], [0, []])
  assert.equal(
    ended.sections.map(({ name, state }) => `${name} ${state}`),
    ['dns checked', 'ports checked', 'mail checked', 'backup checked'],
  )
  const env = { OAS_CLUSTERS_DIR: clusters, NODE_EXTRA_CA_CERTS: trusted.cert }
  const shown = await runScript('preflight', sections, { env })
  assert.match(
    shown.out.toString(),
    /^✓ DNS: 11 hosts and \*\.oas\.example\.test, asked 127\.0\.0\.1:\d+\n✓ ports from here: 80 /,
  )
  assert.match(shown.err, 'nothing blocks the installation')
})

test('what is not configured is skipped', async () => {
  const ended = await preflight(['--only', 'mail,backup'])
  assert.equal(
    ended.sections.map(({ name, state }) => `${name} ${state}`),
    ['mail skipped', 'backup skipped'],
  )
  assert.is(ended.code, 0)
})

test.run()
