/**
 * Runs faults: each is seeded on the real programs, has to be named first and with its remedy by a diagnosis, is
 * healed by --fix where that is claimed, and leaves a healthy platform behind.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Diagnosis, diagnose } from '../../lib/diagnosis/diagnose.ts'
import type { RootCause } from '../../lib/diagnosis/finding.ts'
import { gather } from '../../lib/diagnosis/gather.ts'
import { RULES } from '../../lib/diagnosis/rules/index.ts'
import { type Index, parseSnapshot, type Snapshot } from '../../lib/diagnosis/snapshot.ts'
import { HELM_RELEASE, standing } from '../../lib/flux/flux.ts'
import { Kubectl, refOf, refText } from '../../lib/kubectl/kubectl.ts'
import { readConfig } from '../../lib/platform/config.ts'
import { until } from '../../lib/script/wait.ts'
import { type Bed, type Outcome, runScript } from './harness.ts'

/** What has to be told of a fault. */
export interface Expected {
  rule: string
  /** The subject as it is titled, e.g. `HelmRelease oas-apps/wekan`. */
  subject: RegExp
  /** What the remedy has to say, in words or as a command. */
  remedy?: RegExp
}

/** A script that makes a diagnosis, with its arguments. */
export interface Look {
  script: 'diagnose' | 'app-debug' | 'cert-debug'
  /** Some are known only once the bed runs. */
  args?: readonly string[] | ((bed: Bed) => readonly string[])
}

const argsOf = ({ args = [] }: Look, bed: Bed) => (typeof args === 'function' ? args(bed) : args)

/** Something that can be wrong with a platform. */
export interface Fault {
  /** A row of the table in runbooks/faults.md: what is wrong, in plain words. No two are alike. */
  name: string
  /** Where it lies: source, Kustomization, HelmRelease, pod, … */
  layer: string
  /** Brings it about on the real programs; a status is never written by hand. */
  seed(bed: Bed): Promise<void>
  /** What has to be told first; of two faults at once both, in any order. */
  expect: Expected | readonly Expected[]
  /** It is not named first yet: what is told in its place. Published all the same. */
  missed?: string
  /** The script that sees it; `diagnose` unless told. Faults of hosts are seen by the probes of cert-debug alone. */
  look?: Look
  /** --fix of this script is claimed to heal it. */
  fix?: Look & {
    /** What a person corrects before a script can help. */
    after?: (bed: Bed) => Promise<void>
  }
  /** Takes the cause away, as the administrator would: instead of the fix, or what is left after it. */
  heal(bed: Bed): Promise<void>
}

/** A fault that disturbs no other one: many are there at once, and of all that is told some concerns this one. */
export interface ApartFault extends Fault {
  concerns(cause: RootCause, index: Index): boolean
}

/** Milliseconds within which a fault has to be named: Flux and the kubelet need their time to notice it. */
const NOTICED = 180_000
/** Milliseconds within which the platform has to be healthy once the cause is gone. */
const HEALTHY = 300_000

/** What a script says of the platform, with --json. */
export async function diagnosis(
  args: readonly string[] = [],
  script: Look['script'] = 'diagnose',
): Promise<Diagnosis & { outcome: Outcome }> {
  const outcome = await runScript(script, [...args, '--json'])
  const document = JSON.parse(outcome.stdout) as { result?: Diagnosis }
  assert.ok(document.result, `no diagnosis:\n${outcome.stderr}`)
  return { ...document.result!, outcome }
}

const told = (cause: RootCause) => `${cause.rule} ${refText(cause.subject)}: ${cause.cause}`
const all = (causes: readonly RootCause[]) => causes.map(told).join('\n') || 'nothing'

function matches(cause: RootCause | undefined, { rule, subject, remedy }: Expected): boolean {
  if (!cause || cause.rule !== rule || !subject.test(refText(cause.subject))) return false
  return !remedy || remedy.test(`${cause.remedy.text} ${cause.remedy.command ?? ''}`)
}

/** Whether these causes come first, in any order. */
function isNamed(causes: readonly RootCause[], expected: readonly Expected[]): boolean {
  const first = causes.slice(0, expected.length)
  return expected.every(each => first.some(cause => matches(cause, each)))
}

/** Waits until a script tells these first, in any order. Throws what it tells in their place when that takes too long. */
export async function named(
  expected: readonly Expected[],
  args: readonly string[] = [],
  script: Look['script'] = 'diagnose',
): Promise<void> {
  await until<string, true>(
    async () => {
      const { causes, outcome } = await diagnosis(args, script)
      if (!isNamed(causes, expected)) return { last: all(causes) }
      assert.is(outcome.code, 3, outcome.stderr)
      return { done: true }
    },
    { deadline: NOTICED, every: 500, describe: last => last ?? '' },
  )
}

/** Waits until a script finds nothing. Throws what it still finds when that takes too long. */
export async function healthy(
  args: readonly string[] = [],
  script: Look['script'] = 'diagnose',
): Promise<void> {
  await until<string, true>(
    async () => {
      const { causes, gaps } = await diagnosis(args, script)
      if (causes.length === 0 && gaps.length === 0) return { done: true }
      return { last: `${all(causes)}\n${gaps.map(({ what, why }) => `${what}: ${why}`).join('\n')}` }
    },
    { deadline: HEALTHY, every: 500, describe: last => last ?? '' },
  )
}

/** Why a fault is not named first among all that concerns it; undefined when it is. */
function mistaken({ name, concerns, expect }: ApartFault, snapshot: Snapshot): string | undefined {
  const { causes } = diagnose(snapshot, RULES, { only: concerns })
  const [expected] = [expect].flat() as [Expected]
  return matches(causes[0], expected) ? undefined : `${name}: ${all(causes)}`
}

/** What a script that looks sees of the cluster; it must not write anything (`Bed.start({ audit: true })`). */
export async function look(bed: Bed, seen: Look): Promise<Snapshot> {
  const file = join(bed.folder, 'facts.json')
  const mark = bed.auditMark()
  await runScript(seen.script, ['--output', file, ...argsOf(seen, bed)])
  assert.equal(bed.writesSince(mark), [], 'a diagnosis has written')
  return parseSnapshot(readFileSync(file, 'utf8'), file)
}

/**
 * Seeds faults all at once and makes a test of each: it is named first among all that concerns it, in one snapshot
 * that a script has taken. Then they are healed, those by --fix where that is claimed.
 */
export function testTogether(
  test: ReturnType<typeof suite>,
  bed: () => Bed,
  faults: readonly ApartFault[],
  seen: Look,
): void {
  let snapshot: Snapshot
  test(`${faults.length} faults at once: each is named first among what concerns it`, async () => {
    await Promise.all(faults.map(fault => fault.seed(bed())))
    await worthALook(bed(), seen.script, snapshot => !faults.some(fault => mistaken(fault, snapshot)))
    await until<string[], true>(
      async () => {
        snapshot = await look(bed(), seen)
        const wrong = faults.flatMap(fault => mistaken(fault, snapshot) ?? [])
        return wrong.length === 0 ? { done: true } : { last: wrong }
      },
      { deadline: 2 * NOTICED, every: 1000, describe: last => (last ?? []).join('\n') },
    )
  })
  for (const fault of faults)
    test(`${fault.layer}: ${fault.name}`, () => {
      assert.is(mistaken(fault, snapshot), undefined)
    })
  for (const { name, fix } of faults)
    if (fix)
      test(`--fix heals: ${name}`, async () => {
        await fix.after?.(bed())
        const outcome = await runScript(fix.script, [...argsOf(fix, bed()), '--fix', '--yes'])
        assert.is(outcome.code, 0, `${outcome.stdout}\n${outcome.stderr}`)
      })
  test('nothing is found once all of them are gone', async () => {
    await Promise.all(faults.map(fault => fault.heal(bed())))
    await worthALook(bed(), seen.script, snapshot => diagnose(snapshot, RULES).causes.length === 0)
    await healthy(argsOf(seen, bed()), seen.script)
  })
}

/**
 * Waits until a diagnosis in this process is as wanted, and half a minute at most: a script takes its time to start,
 * and is asked when it is worth it.
 */
async function worthALook(
  bed: Bed,
  seen: Look['script'],
  wanted: (snapshot: Snapshot) => boolean,
): Promise<void> {
  if (seen === 'cert-debug') return // its probes are its own
  const { git_url, git_branch } = readConfig(join(bed.cluster, '.flux.env'))
  const kubectl = await Kubectl.connect(bed.up.kubeconfig) // as the script does
  await until<void, void>(
    async () => {
      const snapshot = await gather(kubectl, { config: { git_url, git_branch } })
      return wanted(snapshot) ? { done: undefined } : { last: undefined }
    },
    { deadline: 30_000, every: 1000, describe: () => '' },
  ).catch(() => {}) // the script tells what is wrong
  kubectl.client.close()
}

/** Makes a test of each fault. The bed is there when the tests run. */
export function testFaults(test: ReturnType<typeof suite>, bed: () => Bed, faults: readonly Fault[]): void {
  for (const { layer, name, seed, expect, look, fix, heal } of faults.filter(({ missed }) => !missed))
    test(`${layer}: ${name}`, async () => {
      const seen = [look ? argsOf(look, bed()) : [], look?.script ?? 'diagnose'] as const
      try {
        await seed(bed())
        const expected = [expect].flat()
        await worthALook(bed(), seen[1], snapshot => isNamed(diagnose(snapshot, RULES).causes, expected))
        await named(expected, ...seen)
        if (fix) {
          await fix.after?.(bed())
          const args = [...argsOf(fix, bed()), '--fix', '--yes', '--timeout', '5']
          const outcome = await runScript(fix.script, args)
          assert.is(
            outcome.code,
            0,
            `--fix ended with ${outcome.code}:\n${outcome.stdout}\n${outcome.stderr}`,
          )
        }
      } finally {
        await heal(bed())
      }
      await worthALook(bed(), seen[1], snapshot => diagnose(snapshot, RULES).causes.length === 0)
      await healthy(...seen)
      await upgraded(bed())
    })
}

/** Waits until no release is being upgraded any more: an upgrade would take back what the next fault changes. */
async function upgraded(bed: Bed): Promise<void> {
  await until<string, true>(
    async () => {
      const releases = await bed.kubectl.list(HELM_RELEASE.apiVersion, HELM_RELEASE.kind, {})
      const waiting = releases.filter(release => standing(release).state === 'waiting').map(refOf)
      return waiting.length === 0 ? { done: true } : { last: waiting.map(refText).join(', ') }
    },
    { deadline: HEALTHY, every: 500, describe: last => `${last} is being upgraded` },
  )
}
