import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT } from '../../lib/script/files.ts'
import { temporaryFolder } from '../unit/helpers.ts'
import { kubeconfigFile, nobody } from '../unit/transport.ts'

const scripts = readdirSync(join(ROOT, 'scripts'))
  .filter(file => file.endsWith('.ts'))
  .map(file => file.replace(/\.ts$/, ''))
/** Scripts whose cluster need not have a folder yet. */
const mayBeNew = ['install-core', 'upgrade-0.6']
const needCluster = scripts.filter(name => !['help', 'sandbox', 'create-cluster'].includes(name))
/** Arguments without which a script does not ask for its cluster. */
const NEEDED: Record<string, string[]> = { restore: ['NAME'], 'uninstall-app': ['wekan'] }
const clusters = temporaryFolder()
mkdirSync(join(clusters, 'oas.example.org'))

interface Ended {
  code: number | null
  out: string
  err: string
}
const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Runs a script as a user without a terminal does, and waits for its end, for three minutes at most. */
function run(name: string, args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  const child = spawn(process.execPath, ['--import', 'tsx', `scripts/${name}.ts`, ...args], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, OAS_CLUSTERS_DIR: clusters, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 180_000,
    killSignal: 'SIGKILL',
  })
  running.add(child)
  const ended: Ended = { code: null, out: '', err: '' }
  child.stdout.on('data', chunk => {
    ended.out += chunk
  })
  child.stderr.on('data', chunk => {
    ended.err += chunk
  })
  return new Promise(resolve =>
    child.on('close', code => {
      running.delete(child)
      resolve({ ...ended, code })
    }),
  )
}
/** The one error, as it is told: what is wrong and the fix, in two lines and nothing else. */
function twoLines({ err }: Ended): [what: string, fix: string] {
  const match = /^✗ (.+)\n {2}fix: (.+)\n$/.exec(err)
  assert.ok(match, `not two lines: ${err}`)
  return [match![1]!, match![2]!]
}

for (const name of scripts) {
  test(`${name} --help shows the usage and examples, and exits 0`, async () => {
    const { code, out, err } = await run(name, ['--help'])
    assert.equal([code, err], [0, ''])
    assert.match(out, `Usage: npx tsx scripts/${name}.ts`)
    assert.match(out, new RegExp(`Examples:\n  # .+\n  npx tsx scripts/${name}\\.ts`))
    for (const flag of ['--json', '--verbose', '--help']) assert.match(out, flag)
    assert.equal(
      out.split('\n').filter(line => line.length > 80),
      [],
      'wider than 80 columns',
    )
  })

  test(`${name} refuses an unknown flag with a suggestion, and with --json in one document`, async () => {
    const { code, out, err } = await run(name, ['--jsom', '--json'])
    const [what, fix] = twoLines({ code, out, err })
    assert.equal([code, what, fix], [2, 'unknown flag --jsom', 'did you mean --json?'])
    const document = JSON.parse(out)
    assert.equal([document.script, document.exitCode], [name, 2])
    assert.equal(document.errors, [{ message: what, fix }])
  })
}

test('a refusal without --json says the same, and nothing on stdout', async () => {
  for (const name of ['status', 'sandbox']) {
    const ended = await run(name, ['--jsom'])
    assert.equal([ended.code, ended.out], [2, ''])
    assert.equal(twoLines(ended), ['unknown flag --jsom', 'did you mean --json?'])
  }
})

for (const name of needCluster)
  test(`${name} without a usable cluster exits 2 with one error, and with --json one document`, async () => {
    const env = {
      OAS_CLUSTER: mayBeNew.includes(name) ? '../x' : 'oas.example.ogr',
      NO_COLOR: '1',
      NODE_NO_WARNINGS: '1', // Node itself warns of both colour switches
      FORCE_COLOR: '1',
    }
    const { code, out, err } = await run(name, [...(NEEDED[name] ?? []), '--json'], env)
    assert.is(code, 2)
    const document = JSON.parse(out)
    assert.equal([document.script, document.exitCode, document.errors.length], [name, 2, 1])
    const [what, fix] = twoLines({ code, out, err })
    assert.equal(document.errors, [{ message: what, fix }])
    assert.match(`${what} ${fix}`, mayBeNew.includes(name) ? '"../x"' : 'did you mean oas.example.org?')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what colours begin with
    assert.not.match(out + err, /\x1b/)
  })

test('a script that misses answers and has no terminal names every flag at once and changes nothing', async () => {
  const { code, out, err } = await run('install-core', ['--cluster', 'oas.example.org'])
  assert.equal([code, out], [2, ''])
  for (const name of ['ip_address', 'domain', 'admin_email']) assert.match(err, `--set ${name}=VALUE`)
  assert.equal(readdirSync(join(clusters, 'oas.example.org')), [])
})

test('an application that is unknown is refused before anything else, all of them at once', async () => {
  const { code, err } = await run('install-app', ['nextclod', 'wekan', 'velerro'])
  assert.is(code, 2)
  assert.match(err, '"nextclod"\n  fix: did you mean nextcloud?')
  assert.match(err, '"velerro"\n  fix: did you mean velero?')
})

test('an error repeats no more of what it was given than a screen takes', async () => {
  const long = 'x'.repeat(100_000)
  const ended = await run('install-app', [long])
  const [what, fix] = twoLines(ended)
  assert.is(ended.code, 2)
  assert.match(what, /^unknown APP "x{80}"$/)
  assert.match(fix, 'wekan')
  assert.match(twoLines(await run('status', ['--cluster', long]))[0], /x{1000,1500}…$/)
})

test('an API server that is down is told in two lines, a stack only with --verbose', async () => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'down'))
  const server = await nobody()
  const kubeconfig = kubeconfigFile({ server })
  const { copyFileSync } = await import('node:fs')
  copyFileSync(kubeconfig, join(folder, 'down', 'kube_config_cluster.yml'))
  const env = { OAS_CLUSTERS_DIR: folder }
  const [plain, verbose] = await Promise.all([run('status', [], env), run('status', ['--verbose'], env)])
  assert.is(plain.code, 1)
  assert.match(twoLines(plain)[0], `the API server ${server} cannot be reached`)
  assert.match(verbose.err, /\n {4}at /)
})

test('an incomplete configuration is wrong usage, told with its line', async () => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'a'))
  writeFileSync(join(folder, 'a', '.flux.env'), 'domain=a.org\nip_adress=1.2.3.4\n')
  const ended = await run('info', [], { OAS_CLUSTERS_DIR: folder })
  assert.is(ended.code, 2)
  const [what, fix] = twoLines(ended)
  assert.match(what, '.flux.env line 2: unknown key ip_adress')
  assert.is(fix, 'did you mean ip_address?')
})

test('without a bucket, what needs one says so before anything else, and how to get one', async () => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'a'))
  writeFileSync(join(folder, 'a', '.flux.env'), 'domain=a.org\nip_address=1.2.3.4\nadmin_email=x@a.org\n')
  const asked: [string, ...string[]][] = [
    ['backup'],
    ['backup', '--list'],
    ['restore', 'NAME', '--app', 'wekan'],
    ['restore-drill'],
    ['restore-drill', '--schedule', '30 4 1 * *'],
    ['install-app', 'velero'],
  ]
  for (const [name, ...args] of asked) {
    const ended = await run(name, [...args, '--yes'], { OAS_CLUSTERS_DIR: folder })
    assert.is(ended.code, 2, ended.err)
    const [what, fix] = twoLines(ended)
    assert.match(what, /no S3 storage for backups is configured in \S+\/a\/\.flux\.env/)
    assert.match(fix, 'set backup_s3_enabled=true and the other backup_s3_ keys there')
  }
})

test('a reader that goes away early is no failure', async () => {
  const child = spawn(
    'sh',
    ['-c', '{ "$0" --import tsx scripts/status.ts --help; echo "exit $?" >&2; } | true', process.execPath],
    { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let err = ''
  child.stderr.on('data', chunk => {
    err += chunk
  })
  await new Promise(resolve => child.on('close', resolve))
  assert.not.match(err, /\n\s+at /)
})

test.run()
