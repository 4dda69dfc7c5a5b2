/** What the tests share that run scripts against servers that mean no good. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { ROOT } from '../../lib/script/files.ts'
import { printable } from '../../lib/script/printable.ts'
import { type Outcome, runScript } from '../harness-script.ts'
import { temporaryFolder } from '../unit/helpers.ts'

const SECONDS = 20
/** How often the time that four scripts take for --help is added to that: on an idle machine it is three seconds together. */
const STARTS = 10
/** What a script may take of the memory. */
const MEMORY = 300 << 20

/** How a script ended, and the most memory that it had, in bytes. */
export type Measured = Outcome & { peak: number }

/** The names of all scripts. */
export const scriptNames = (): string[] =>
  readdirSync(join(ROOT, 'scripts'))
    .filter(file => file.endsWith('.ts'))
    .map(file => file.replace(/\.ts$/, ''))

/** Runs a script on the cluster `oas` in this folder of clusters. */
export async function measured(
  name: string,
  args: readonly string[],
  clusters: string,
  env: Readonly<Record<string, string | undefined>> = {},
  within?: readonly string[],
): Promise<Measured> {
  const peak = join(temporaryFolder(), 'peak')
  const outcome = await runScript(name, args, {
    within,
    env: {
      OAS_CLUSTERS_DIR: clusters,
      OAS_CLUSTER: 'oas',
      OAS_PEAK: peak,
      NODE_OPTIONS: `--import ${join(ROOT, 'test/host/peak.mjs')}`,
      ...env,
    },
  })
  return { ...outcome, peak: Number(readFileSync(peak, 'utf8')) }
}

/**
 * Tries scripts, four at once: each ends in time, in its memory, with a clean screen, and as `check` says. The time is
 * that of an idle machine: one that has other work gets as much more as its starts of scripts take.
 */
export async function tryAll(
  scripts: readonly string[],
  run: (name: string) => Promise<Measured>,
  check: (name: string, outcome: Measured) => void,
): Promise<void> {
  const names = [...scripts]
  const starts = await Promise.all(
    ['status', 'diagnose', 'logs', 'info'].map(name => runScript(name, ['--help'])),
  )
  const limit = SECONDS + STARTS * Math.max(...starts.map(({ seconds }) => seconds))
  const failures: string[] = []
  const work = async () => {
    for (let name = names.shift(); name; name = names.shift()) {
      const outcome = await run(name)
      try {
        assert.ok(outcome.seconds < limit, `${outcome.seconds} s of ${limit}`)
        assert.ok(outcome.peak < MEMORY, `${outcome.peak >> 20} MB`)
        const said = outcome.stdout + outcome.stderr
        assert.is(said, printable(said))
        assert.not.match(said, /^✓ everything is healthy/m)
        assert.not.match(said, 'unexpected:')
        check(name, outcome)
      } catch (error) {
        const { code, seconds, peak, stdout, stderr } = outcome
        const text = `${name} (${code}, ${seconds.toFixed(1)} s, ${peak >> 20} MB): ${(error as Error).message}\n${stdout}${stderr}`
        failures.push(text.slice(0, 1500))
      }
    }
  }
  await Promise.all([work(), work(), work(), work()])
  assert.equal(failures.join('\n\n'), '')
}

/** Holds that a script has failed, or refused to go on, with one error, of what is wrong and how to fix it. */
export function oneError({ code, stderr }: Measured): void {
  assert.ok(code === 1 || code === 4, `exit code ${code}`)
  const errors = stderr.split('\n').filter(line => line.startsWith('✗ '))
  assert.is(errors.length, 1, stderr)
  assert.match(stderr, /\n {2}fix: /)
}
