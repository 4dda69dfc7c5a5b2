import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { ROOT, readIfExists } from '../../lib/script/files.ts'
import { sleep } from '../../lib/script/wait.ts'
import { cached, cacheKey } from '../bed/build/cache.ts'
import { GO_ENVIRONMENT } from '../bed/build/go.ts'
import { run } from '../bed/build/shell.ts'
import { freePort } from '../bed/cluster/ports.ts'
import { certificate } from '../unit/certificates.ts'
import { folder } from './sshd.ts'

/**
 * Real servers on loopback, for the checks of what is around a server: Debian's NSD for DNS, Debian's Exim for
 * SMTP, the Versity S3 Gateway for S3.
 */
const processes = new Set<ChildProcess>()
/** The user's home: the tests set HOME to one of their own, in which nothing is kept. */
const HOME = homedir()
process.env.XDG_CACHE_HOME ||= join(HOME, '.cache')
process.on('exit', () => {
  for (const child of processes) child.kill('SIGKILL')
})

/** Ends all of them. */
export async function stopServers(): Promise<void> {
  await Promise.all(
    [...processes].map(async child => {
      const ended = new Promise(resolve => child.once('exit', resolve))
      child.kill('SIGTERM')
      await Promise.race([ended, sleep(3000)])
      child.kill('SIGKILL')
    }),
  )
  processes.clear()
}

/** Starts a server and waits until it `answers`. Returns its process, which `stopServers` ends. */
export async function start(
  program: string,
  args: string[],
  answers: () => Promise<boolean>,
  env: Record<string, string> = {},
): Promise<ChildProcess> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  processes.add(child)
  let log = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', chunk => {
      log += chunk
    })
  let failure: Error | undefined
  child.once('error', error => {
    failure = error
  })
  for (let i = 0; i < 1200; i++) {
    if (failure) throw new Error(`${program} is missing (${failure.message}): install it, see package.json`)
    if (child.exitCode !== null) throw new Error(`${program} does not start: ${log}`)
    if (await answers()) return child
    await sleep(50)
  }
  throw new Error(`${program} does not answer: ${log}`)
}

/** Whether somebody listens on a port of loopback. */
async function listens(port: number): Promise<boolean> {
  const { probePort } = await import('../../lib/preflight/net.ts')
  return (await probePort('127.0.0.1', port)) === 'open'
}

/**
 * A DNS server with these zones, in the format of zone files. A zone without a text is one whose file is lost:
 * the server answers SERVFAIL. Returns its address for `--resolver`. With `elsewhere` it is on port 53 of these
 * addresses in a network namespace.
 */
export async function dnsServer(
  zones: Record<string, string | undefined>,
  elsewhere?: { namespace: string; addresses: readonly string[] },
): Promise<string> {
  const [dir, port] = [folder(), elsewhere ? 53 : await freePort()]
  const addresses = elsewhere?.addresses ?? ['127.0.0.1']
  const head = '$TTL 300\n@ SOA ns.invalid. admin.invalid. 1 3600 600 86400 60\n@ NS ns.invalid.\n'
  const sections = Object.entries(zones).map(([name, text]) => {
    const file = join(dir, `${name}.zone`)
    if (text !== undefined) writeFileSync(file, `${head}${text}\n`)
    return `zone:\n  name: "${name}"\n  zonefile: "${file}"\n`
  })
  const paths = ['xfrdfile', 'zonelistfile', 'cookie-secret-file'].map(
    name => `  ${name}: "${dir}/${name}"\n`,
  )
  const file = join(dir, 'nsd.conf')
  writeFileSync(
    file,
    `server:
${addresses.map(address => `  ip-address: ${address}@${port}\n`).join('')}  username: ""
  chroot: ""
  database: ""
  pidfile: ""
  logfile: "${dir}/log"
  zonesdir: "${dir}"
  server-count: 1
${paths.join('')}remote-control:
  control-enable: no
${sections.join('')}`,
  )
  const prefix = elsewhere ? ['ip', 'netns', 'exec', elsewhere.namespace] : []
  const [program = '', ...args] = [...prefix, '/usr/sbin/nsd', '-d', '-c', file]
  // In its file, whichever network it is in.
  const started = () => /nsd started/.test(readIfExists(join(dir, 'log')) ?? '')
  await start(program, args, async () => started())
  return `127.0.0.1:${port}`
}

/** A certificate for 127.0.0.1 in files, valid from and until so many days from now. */
export async function certificateFiles(from: number, until: number): Promise<{ cert: string; key: string }> {
  const dir = folder()
  const pem = await certificate(from, until)
  const files = { cert: join(dir, 'cert.pem'), key: join(dir, 'key.pem') }
  writeFileSync(files.cert, pem.cert)
  writeFileSync(files.key, pem.key, { mode: 0o644 }) // Exim reads it as a user of its own
  return files
}

/** A mail server that lets one user log in, when the connection is encrypted. */
export async function mailServer(options: {
  user: string
  password: string
  tls?: { cert: string; key: string }
  /** Authentications that it offers: PLAIN, LOGIN, CRAM-MD5. */
  offers?: readonly string[]
  /** A port for TLS from the first byte, too. */
  tlsPort?: number
}): Promise<{ port: number }> {
  const [dir, port] = [folder(), await freePort()]
  const { user, password, tls, tlsPort, offers = ['PLAIN', 'LOGIN', 'CRAM-MD5'] } = options
  const is = (name: string, given: string, secret: string) =>
    `server_condition = \${if and{{eq{${given}}{${user}}}{eq{${secret}}{${password}}}}}\n  server_set_id = ${given}\n  driver = plaintext\n  public_name = ${name}`
  const authenticators: Record<string, string> = {
    PLAIN: `${is('PLAIN', '$auth2', '$auth3')}\n  server_prompts = :`,
    LOGIN: `${is('LOGIN', '$auth1', '$auth2')}\n  server_prompts = <| Username: | Password:`,
    'CRAM-MD5': `driver = cram_md5\n  public_name = CRAM-MD5\n  server_secret = \${if eq{$auth1}{${user}}{${password}}fail}\n  server_set_id = $auth1`,
  }
  const file = join(dir, 'exim.conf')
  writeFileSync(
    file,
    `spool_directory = ${dir}/spool
log_file_path = ${dir}/spool/%slog
pid_file_path = ${dir}/pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = ${[port, tlsPort].filter(Boolean).join(' : ')}
tls_on_connect_ports = ${tlsPort ?? ''}
primary_hostname = mail.invalid
host_lookup =
rfc1413_hosts =
acl_smtp_rcpt = deny
auth_advertise_hosts = ${tls ? `\${if def:tls_in_cipher{*}{}}` : '*'}
${tls ? `tls_advertise_hosts = *\ntls_certificate = ${tls.cert}\ntls_privatekey = ${tls.key}` : 'tls_advertise_hosts ='}
begin acl
deny:
  deny
begin authenticators
${offers.map((name, i) => `a${i}:\n  ${authenticators[name]}\n`).join('')}`,
  )
  mkdirSync(join(dir, 'spool'))
  chmodSync(join(dir, 'spool'), 0o777) // Exim writes as a user of its own
  await start('/usr/sbin/exim4', ['-bdf', '-C', file], () => listens(port))
  return { port }
}

/** The access of the S3 server's administrator. */
export const s3Access = { id: 'AKIAOPENAPPSTACK', secret: 'a/secret+Key=0123456789abcdef' }

/** What `.flux.env` says of its bucket `backups`. */
export const bucketSettings = (url: string) => ({
  backup_s3_url: url,
  backup_s3_region: 'ceph',
  backup_s3_bucket: 'backups',
  backup_s3_prefix: '',
  backup_s3_aws_access_key_id: s3Access.id,
  backup_s3_aws_secret_access_key: s3Access.secret,
})

/** The S3 server: built from test/bed/s3 by Go once, and kept. */
export async function s3Program(): Promise<string> {
  const cwd = join(ROOT, 'test', 'bed', 's3')
  const sources = ['go.mod', 'go.sum'].map(name => readFileSync(join(cwd, name), 'utf8'))
  const tell = (text: string) => console.log(`# ${text}`)
  const options = { waiting: tell, damaged: tell }
  const built = await cached(`s3-${cacheKey(sources)}`, options, async into => {
    tell('building the S3 server (once; about three minutes)')
    const work = join(into, 'work')
    mkdirSync(work, { recursive: true })
    const env = { ...GO_ENVIRONMENT, HOME, GOCACHE: join(work, 'cache') }
    const args = ['build', '-mod=readonly', '-trimpath', '-ldflags=-s -w', '-o', join(into, 'versitygw')]
    await run('go', [...args, 'github.com/versity/versitygw/cmd/versitygw'], { cwd, env, timeout: 1_800_000 })
    rmSync(work, { recursive: true, force: true })
  })
  return join(built, 'versitygw')
}

/** A running S3 server. */
export interface S3Server {
  url: string
  /** Where the objects of its one bucket, `backups`, are as files. */
  files: string
  adminUrl: string
}

/** Starts an S3 server in region `ceph`. */
export async function s3Server(options: { tls?: { cert: string; key: string } } = {}): Promise<S3Server> {
  const program = await s3Program()
  const [dir, port, adminPort] = [folder(), await freePort(), await freePort()]
  const files = join(dir, 'objects', 'backups')
  mkdirSync(files, { recursive: true })
  mkdirSync(join(dir, 'users'))
  await start(
    program,
    [
      ...['--port', `127.0.0.1:${port}`, '--admin-port', `127.0.0.1:${adminPort}`, '--region', 'ceph'],
      ...['--iam-dir', join(dir, 'users'), '--iam-cache-disable', '--quiet'],
      ...(options.tls ? ['--cert', options.tls.cert, '--key', options.tls.key] : []),
      ...['posix', join(dir, 'objects')],
    ],
    async () => (await listens(port)) && (await listens(adminPort)),
    { ROOT_ACCESS_KEY: s3Access.id, ROOT_SECRET_KEY: s3Access.secret },
  )
  const scheme = options.tls ? 'https' : 'http'
  return { url: `${scheme}://127.0.0.1:${port}`, files, adminUrl: `http://127.0.0.1:${adminPort}` }
}

/** Makes a user who may do nothing but this in the bucket. */
export async function addS3User(
  server: S3Server,
  { may }: { may: readonly string[] },
): Promise<{ id: string; secret: string }> {
  const user = { id: `user${may.join('')}`, secret: 'another/secret+Key=0123456789' }
  const admin = ['admin', '--access', s3Access.id, '--secret', s3Access.secret, '--region', 'ceph']
  const account = ['--access', user.id, '--secret', user.secret, '--role', 'user']
  await run(await s3Program(), [...admin, '--endpoint-url', server.adminUrl, 'create-user', ...account])
  const statement = (actions: readonly string[], resource: string) => ({
    Effect: 'Allow',
    Principal: { AWS: [user.id] },
    Action: actions.map(action => `s3:${action}`),
    Resource: [`arn:aws:s3:::${resource}`],
  })
  const { AwsClient } = await import('aws4fetch')
  const { id: accessKeyId, secret: secretAccessKey } = s3Access
  const client = new AwsClient({ accessKeyId, secretAccessKey, service: 's3', region: 'ceph', retries: 0 })
  const onBucket = may.filter(action => action === 'ListBucket')
  const onObjects = may.filter(action => action !== 'ListBucket')
  const response = await client.fetch(`${server.url}/backups?policy`, {
    method: 'PUT',
    body: JSON.stringify({
      Version: '2012-10-17',
      Statement: [
        ...(onBucket.length > 0 ? [statement(onBucket, 'backups')] : []),
        ...(onObjects.length > 0 ? [statement(onObjects, 'backups/*')] : []),
      ],
    }),
  })
  if (!response.ok) throw new Error(`the policy is refused: ${await response.text()}`)
  return user
}
