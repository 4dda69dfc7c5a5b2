/**
 * Runs that are killed, interrupted, or meet another run, on one sandbox. The tests go on from where the one
 * before has left the cluster.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { HELM_RELEASE } from '../../lib/flux/flux.ts'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { CORE_KUSTOMIZATIONS } from '../../lib/platform/apps.ts'
import { LEASE_SECONDS } from '../../lib/platform/lock.ts'
import { generatedKeysOf, loadCatalogue } from '../../lib/platform/secrets.ts'
import { watched } from '../../lib/rollout/rollout.ts'
import { unreadyReason } from '../../lib/rollout/standing.ts'
import type { JournalEntry } from '../../lib/script/journal.ts'
import { until } from '../../lib/script/wait.ts'
import { all, suite } from '../suite.ts'
import { told } from './faults.ts'
import { Bed, type Outcome, runScript, type ScriptOptions } from './harness.ts'
import { killedAfterWrite, killedAt, killedWriting } from './killing.ts'

const test = suite('interrupted')
let bed: Bed

test.before(async () => {
  bed = await Bed.start()
})

test.after(async () => {
  await bed?.stop()
})

const sandbox = (name: string, args: readonly string[], options?: ScriptOptions) =>
  runScript(name, ['--cluster', 'sandbox', ...args, '--yes'], options)

const leaseRef = {
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  namespace: 'kube-system',
  name: 'openappstack-runbooks',
}
const lease = () => bed.kubectl.get(leaseRef)

/** Journals of the cluster, oldest first. Every one must be whole: parsed JSON beside Markdown. */
function journals(): JournalEntry[] {
  const folder = join(bed.cluster, 'journal')
  if (!existsSync(folder)) return []
  const names = readdirSync(folder).sort()
  const json = names.filter(name => name.endsWith('.json'))
  for (const name of json) {
    const markdown = readFileSync(join(folder, name.replace(/json$/, 'md')), 'utf8')
    assert.match(markdown, /^# \S+ on sandbox\n[\s\S]*\n$/)
  }
  return json.map(name => JSON.parse(readFileSync(join(folder, name), 'utf8')) as JournalEntry)
}

async function inOrder(names: readonly string[]): Promise<void> {
  const index = await watched(bed.kubectl)
  assert.equal(
    names.flatMap(name => unreadyReason(name, index) ?? []),
    [],
  )
}

/** The generated values by `SECRET/KEY`: no kill may lose or change one. */
async function generated(): Promise<Record<string, string>> {
  const secrets = await bed.kubectl.list('v1', 'Secret')
  return Object.fromEntries(
    secrets
      .filter(({ metadata }) => /^oas-.*(-variables|-basic-auth)$/.test(metadata.name))
      .filter(({ metadata }) => metadata.name !== 'oas-cluster-variables')
      .flatMap(({ metadata, data }) =>
        Object.entries(data as Record<string, string>).map(([key, value]) => [
          `${metadata.name}/${key}`,
          value,
        ]),
      ),
  )
}

/** Runs a script that has to be killed on its way, and checks what it leaves. */
async function dies(
  name: string,
  args: readonly string[],
  options: ScriptOptions,
  where: string,
): Promise<void> {
  const values = await generated()
  const known = journals().length
  const held = await lease()
  const outcome = await sandbox(name, args, options)
  assert.is(outcome.signal, 'SIGKILL', `it was not killed ${where}:\n${outcome.stderr}`)
  if (held)
    assert.match(outcome.stderr, /taking over the stale lock/, 'the lock of the killed one is taken at once')
  assert.ok(await lease(), 'a killed run cannot give its lock back')
  const now = await generated()
  for (const key of Object.keys(values)) assert.is(now[key], values[key], `${key} changed ${where}`)
  for (const entry of journals().slice(known))
    assert.is(entry.exitCode, undefined, `the journal says that the run ended ${where}`)
}

const coreSteps = [
  'Namespaces and variables',
  'Generated secrets',
  'Flux v',
  'Source and Kustomizations',
  'Wait until ',
]
const appSteps = ['Generated secrets', 'Kustomizations', 'Wait until ']

test('install-core killed before and after every step, and between: the next run goes on', async () => {
  for (const [i, title] of coreSteps.entries()) {
    if (all) await dies('install-core', [], killedAt(`${i + 1}. ${title}`), `before step ${i + 1}`)
    if (i === 0) await dies('install-core', [], killedWriting('install-core.json'), 'at its journal')
    // A Secret is made and its copy is not; Flux is there in part.
    if (i === 1) await dies('install-core', [], killedWriting('variables.yaml'), 'at the copy of a secret')
    if (i === 1) await dies('install-core', [], killedAfterWrite(1), 'after the second secret')
    if (i === 2) await dies('install-core', [], killedAfterWrite(5), 'in the middle of Flux')
    if (i === 3) await dies('install-core', [], killedAfterWrite(1), 'after the source')
    await dies('install-core', [], killedAt(`✓ ${title}`), `after step ${i + 1}`)
  }
  const values = await generated()
  const core = (await loadCatalogue()).filter(entry => entry.app === 'core')
  assert.equal(
    Object.keys(values).sort(),
    core.flatMap(entry => generatedKeysOf(entry).map(key => `${entry.name}/${key}`)).sort(),
  )
  const last = await sandbox('install-core', [])
  assert.is(last.code, 0, last.stderr)
  await inOrder(CORE_KUSTOMIZATIONS)
  assert.equal(await generated(), values)
  for (const key of Object.keys(values))
    assert.ok(existsSync(join(bed.cluster, 'secrets', `${key.split('/')[0]}.yaml`)), `${key} has a copy`)
})

test('install-app killed before and after every step, and between: the next run goes on', async () => {
  // Flux is held until the last of them waits for it: otherwise there may be nothing left to do.
  await bed.signal('kustomize-controller', 'SIGSTOP')
  for (const [i, title] of appSteps.entries()) {
    if (all) await dies('install-app', ['wekan'], killedAt(`${i + 1}. ${title}`), `before step ${i + 1}`)
    if (i < 2) await dies('install-app', ['wekan'], killedAfterWrite(1), `in step ${i + 1}`)
    const lettingGo = (stderr: string) => {
      if (stderr.includes('3. Wait until')) void bed.signal('kustomize-controller', 'SIGCONT')
      return undefined
    }
    const killed = { ...killedAt(`✓ ${title}`), kill: lettingGo }
    await dies('install-app', ['wekan'], killed, `after step ${i + 1}`)
  }
  const last = await sandbox('install-app', ['wekan'])
  assert.is(last.code, 0, last.stderr)
  await inOrder([...CORE_KUSTOMIZATIONS, 'wekan'])
})

test('what was half written stands beside its place, and is for its owner alone', () => {
  const paths = readdirSync(bed.cluster, { recursive: true, encoding: 'utf8' })
  const left = paths.filter(path => path.endsWith('.tmp') && !path.startsWith('.state/'))
  assert.ok(left.some(path => path.startsWith('journal/')) && left.some(path => path.startsWith('secrets/')))
  for (const path of left) assert.is(statSync(join(bed.cluster, path)).mode & 0o777, 0o600)
  assert.ok(journals().length > 10)
  for (const path of paths.filter(name => /^secrets\/.*\.yaml$/.test(name)))
    assert.match(readFileSync(join(bed.cluster, path), 'utf8'), /^apiVersion: v1\n[\s\S]*\ntype: Opaque\n$/)
})

/**
 * Breaks wekan and holds kustomize-controller, so that install-app waits for as long as `work` takes; then
 * lets it go on.
 */
async function whileWaiting<T>(work: () => Promise<T>): Promise<T> {
  await bed.signal('kustomize-controller', 'SIGSTOP')
  try {
    await bed.kubectl.delete({ ...HELM_RELEASE, namespace: 'oas-apps', name: 'wekan' })
    await until(
      async () =>
        (await bed.kubectl.get({ ...HELM_RELEASE, namespace: 'oas-apps', name: 'wekan' }))
          ? { last: undefined }
          : { done: undefined },
      { deadline: 180_000, every: 200, describe: () => 'wekan is still there' },
    )
    return await work()
  } finally {
    await bed.signal('kustomize-controller', 'SIGCONT')
  }
}

/** Starts install-app wekan; resolves once it holds the lock and waits, with the promise of its end. */
async function startWaiting(): Promise<{ ended: Promise<Outcome> }> {
  let waiting = false
  const ended = sandbox('install-app', ['wekan'], {
    kill: stderr => {
      waiting ||= stderr.includes('3. Wait until')
      return undefined
    },
  })
  await until(async () => (waiting ? { done: undefined } : { last: undefined }), {
    deadline: 180_000,
    every: 50,
    describe: () => 'it does not wait',
  })
  return { ended }
}

test('Ctrl-C while it waits: 130, the lock is given back, the journal says so, the next run completes', async () => {
  await whileWaiting(async () => {
    const outcome = await sandbox('install-app', ['wekan'], {
      kill: stderr => (stderr.includes('3. Wait until') ? 'SIGINT' : undefined),
    })
    assert.is(outcome.code, 130, outcome.stderr)
    assert.match(told(outcome)[0]?.fix ?? '', /run the same command again/)
    assert.is(await lease(), undefined)
    const entry = journals().at(-1)
    assert.is(entry?.exitCode, 130)
    assert.match(entry?.error?.message ?? '', /interrupted/)
    assert.is(entry?.steps.at(-1)?.outcome, 'failed')
  })
  const next = await sandbox('install-app', ['wekan'])
  assert.is(next.code, 0, next.stderr)
  await inOrder(['wekan'])
})

test('two runs at once: one ends with 75, names the other and changes nothing; the other completes', async () => {
  const env = readFileSync(join(bed.cluster, '.flux.env'), 'utf8')
  const { ended } = await whileWaiting(async () => {
    const first = await startWaiting()
    const versions = await bed.settled()
    const holder = (await lease())?.spec?.holderIdentity
    const second = await sandbox('install-app', ['wekan'])
    assert.is(second.code, 75, second.stderr)
    assert.ok(told(second)[0]?.what.includes(holder), `${holder} is not named:\n${second.stderr}`)
    const core = await sandbox('install-core', ['--set', 'admin_email=other@example.org'])
    assert.is(core.code, 75, core.stderr)
    assert.equal(await bed.versions(), versions)
    assert.is((await lease())?.spec?.holderIdentity, holder)
    return first
  })
  const outcome = await ended
  assert.is(outcome.code, 0, outcome.stderr)
  assert.is(await lease(), undefined)
  await inOrder(['wekan'])
  assert.is(
    readFileSync(join(bed.cluster, '.flux.env'), 'utf8'),
    env,
    'the refused run has changed .flux.env',
  )
})

if (all)
  test('two runs started together: exactly one works', async () => {
    const { runs } = await whileWaiting(async () => {
      const runs = [sandbox('install-app', ['wekan']), sandbox('install-app', ['wekan'])]
      const loser = await Promise.race(runs)
      assert.is(loser.code, 75, loser.stderr)
      return { runs }
    })
    const codes = (await Promise.all(runs)).map(({ code }) => code)
    assert.equal(codes.sort(), [0, 75])
    await inOrder(['wekan'])
  })

/** A lock as another machine holds it. */
function foreignLease(renewed: number): KubeObject {
  const time = new Date(renewed).toISOString().replace('Z', '000Z')
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: leaseRef.name, namespace: leaseRef.namespace },
    spec: {
      holderIdentity: 'admin@elsewhere (pid 1 in 0badcafe)',
      leaseDurationSeconds: LEASE_SECONDS,
      acquireTime: time,
      renewTime: time,
    },
  }
}

if (all)
  test('the lock of another machine: respected while it is renewed, taken over when it is not', async () => {
    await whileWaiting(async () => {
      await bed.kubectl.create(foreignLease(Date.now()))
      const refused = await sandbox('install-app', ['wekan'])
      assert.is(refused.code, 75, refused.stderr)
      assert.match(told(refused)[0]?.what ?? '', /admin@elsewhere/)
      assert.match((await lease())?.spec?.holderIdentity, /admin@elsewhere/)
      await bed.kubectl.delete(leaseRef)
      await bed.kubectl.create(foreignLease(Date.now() - (LEASE_SECONDS + 5) * 1000))
    })
    const outcome = await sandbox('install-app', ['wekan'])
    assert.is(outcome.code, 0, outcome.stderr)
    assert.is(await lease(), undefined)
    await inOrder(['wekan'])
  })

if (all)
  test('a run whose lock is taken away ends with 75 and leaves the lock to the other', async () => {
    await whileWaiting(async () => {
      const { ended } = await startWaiting()
      const { spec } = foreignLease(Date.now())
      await bed.kubectl.patch(leaseRef, { spec })
      const outcome = await ended
      assert.is(outcome.code, 75, outcome.stderr)
      assert.match(told(outcome)[0]?.what ?? '', /taken over/)
      assert.is((await lease())?.spec?.holderIdentity, spec.holderIdentity)
      assert.is(journals().at(-1)?.exitCode, 75)
    })
    await bed.kubectl.delete(leaseRef)
    const next = await sandbox('install-app', ['wekan'])
    assert.is(next.code, 0, next.stderr)
    await inOrder(['wekan'])
  })

test.run()
