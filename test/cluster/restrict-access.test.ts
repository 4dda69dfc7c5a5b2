/** restrict-access against the real Traefik, which follows its Deployment on the bed. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { load } from 'js-yaml'
import * as assert from 'uvu/assert'
import { type KubeObject, refOf } from '../../lib/kubectl/kubectl.ts'
import { ROOT } from '../../lib/script/files.ts'
import { until } from '../../lib/script/wait.ts'
import { run } from '../bed/build/shell.ts'
import { all, suite } from '../suite.ts'
import { told } from './faults.ts'
import { Bed, type Outcome, runScript, type ScriptOptions } from './harness.ts'
import { heldAt, killedAfterWrite, killedAt } from './killing.ts'
import { Traefik, type Visit } from './traefik.ts'

const test = suite('restrict-access')
let bed: Bed
let traefik: Traefik

const WEKAN = 'wekan.oas.example.org'
const PANEL = 'admin.oas.example.org'
const OVERRIDE = { apiVersion: 'v1', kind: 'Secret', name: 'oas-nginx-override', namespace: 'oas' }
/** An address of nobody's ranges, and one of the loopback network's that is this machine, but not the cluster. */
const STRANGER = '127.0.0.5'
const ME = '::1'

const restrict = (...args: string[]): Promise<Outcome> => restrictWith({}, ...args)
const restrictWith = (options: ScriptOptions, ...args: string[]): Promise<Outcome> =>
  runScript(
    'restrict-access',
    [
      '--cluster',
      'sandbox',
      ...(args.length > 0 ? ['--yes', '--connect-to', `[::1]:${traefik.http}:${traefik.https}`] : []),
      ...args,
    ],
    { timeout: 300_000, ...options },
  )
const killed = async (options: ScriptOptions, ...args: string[]): Promise<void> => {
  const { signal, stderr } = await restrictWith(options, ...args)
  assert.is(signal, 'SIGKILL', stderr)
}

/** Waits until a visit is refused, or is not. */
const becomes = (visit: Visit, wanted: 'refused' | 'let in') =>
  until(
    async () => {
      const status = await traefik.visit(visit).catch(String)
      const is = status === 403 ? 'refused' : typeof status === 'number' ? 'let in' : status
      return is === wanted ? { done: undefined } : { last: `${is} (${status})` }
    },
    { deadline: 60_000, every: 300, describe: last => `${JSON.stringify(visit)}: ${last}, not ${wanted}` },
  )

async function leftovers(): Promise<string[]> {
  const kinds = ['IngressRoute', 'Middleware']
  const found = await Promise.all(
    kinds.map(kind => bed.kubectl.list('traefik.io/v1alpha1', kind, { namespace: 'oas' })),
  )
  return found
    .flat()
    .map(({ metadata }) => metadata.name)
    .filter(name => name.startsWith('trial-'))
}

test.before(async () => {
  bed = await Bed.startInstalled()
  traefik = await Traefik.start(bed)
})
test.after(async () => {
  await traefik?.stop()
  await bed?.stop()
})

test('nothing is restricted at first, and it says so', async () => {
  const { code, stdout } = await restrict()
  assert.is(code, 0)
  assert.match(stdout, /every host +everybody/)
})

test('ranges that would lock this machine out are refused, and nothing is changed', async () => {
  const { code, stderr } = await restrict('--allow', '203.0.113.0/24')
  assert.is(code, 4, stderr)
  assert.match(stderr, 'would lock this machine out at ::1')
  assert.is(await bed.kubectl.get(OVERRIDE), undefined)
  assert.equal(await leftovers(), [])
})

test('ranges let in whom they name, and nobody else, whatever he claims', async () => {
  const { code, stdout, stderr } = await restrict('--allow', '::1')
  assert.is(code, 0, stderr)
  assert.match(stdout + stderr, 'this machine is let in')
  await becomes({ host: WEKAN, from: STRANGER }, 'refused')
  await becomes({ host: PANEL, from: STRANGER }, 'refused')
  await becomes({ host: WEKAN, from: ME }, 'let in')
  await becomes({ host: WEKAN, from: STRANGER, forwarded: ME }, 'refused')
  await becomes({ host: WEKAN, from: ME, forwarded: STRANGER }, 'let in')
  assert.is(
    (await traefik.visit({
      host: WEKAN,
      from: STRANGER,
      secure: false,
      path: '/.well-known/acme-challenge/x',
    })) === 403,
    false,
  )
  assert.equal(await leftovers(), [])
  const again = await restrict('--allow', '::1')
  assert.match(again.stdout + again.stderr, 'nothing was changed')
  assert.match((await restrict()).stdout, '::1/128')
})

test('everybody is let in again, and nothing is left', async () => {
  const { code, stderr } = await restrict('--open')
  assert.is(code, 0, stderr)
  await becomes({ host: WEKAN, from: STRANGER }, 'let in')
  assert.is(await bed.kubectl.get(OVERRIDE), undefined)
})

if (all) {
  test('one application is restricted at once, the others are not', async () => {
    const out = await restrict('--app', 'wekan', '--allow', '203.0.113.0/24')
    assert.is(out.code, 4, out.stderr)
    const { code, stderr } = await restrict('--app', 'wekan', '--allow', '::1,203.0.113.0/24')
    assert.is(code, 0, stderr)
    await becomes({ host: WEKAN, from: STRANGER }, 'refused')
    await becomes({ host: WEKAN, from: STRANGER, forwarded: ME }, 'refused')
    await becomes({ host: WEKAN, from: ME }, 'let in')
    await becomes({ host: PANEL, from: STRANGER }, 'let in')
    assert.match(
      (await restrict()).stdout,
      /wekan\.oas\.example\.org +203\.0\.113\.0\/24|wekan\.oas\.example\.org +::1/,
    )
    assert.is((await restrict('--app', 'wekan', '--open')).code, 0)
    await becomes({ host: WEKAN, from: STRANGER }, 'let in')
  })

  test('an application that answers 403 itself is restricted and opened like any other', async () => {
    const ingresses = await bed.kubectl.list('networking.k8s.io/v1', 'Ingress')
    const { metadata, spec, ...kind } = ingresses.find(each => each.spec.rules[0].host === WEKAN)!
    const host = 'refuses.oas.example.org'
    const refusing = {
      ...{ apiVersion: kind.apiVersion, kind: kind.kind },
      metadata: { name: 'refuses', namespace: metadata.namespace },
      spec: { ...spec, rules: [{ ...spec.rules[0], host }] },
    }
    await bed.kubectl.create(refusing)
    await becomes({ host, from: ME }, 'refused')
    const { code, stderr } = await restrict('--app', host, '--allow', '::1')
    assert.is(code, 0, stderr)
    const opened = await restrict('--app', host, '--open')
    assert.is(opened.code, 0, opened.stderr)
    await bed.kubectl.delete(refOf(refusing))
  })

  test('behind a proxy the address that the proxy names counts, and no other claim', async () => {
    const proxy = ['--behind-proxy', '127.0.0.9', '--allow', '198.51.100.0/24']
    const taken = await restrict(...proxy)
    assert.is(taken.code, 1, taken.stderr)
    assert.match(taken.stderr, 'taking the change back')
    assert.is(await bed.kubectl.get(OVERRIDE), undefined)
    assert.is((await restrict(...proxy, '--lock-me-out')).code, 0)
    const visit = { host: WEKAN, from: '127.0.0.9' }
    await becomes({ ...visit, forwarded: '203.0.113.4' }, 'refused')
    await becomes({ ...visit, forwarded: '198.51.100.4' }, 'let in')
    await becomes({ ...visit, forwarded: '198.51.100.4, 203.0.113.4' }, 'refused')
    await becomes({ host: WEKAN, from: STRANGER, forwarded: '198.51.100.4' }, 'refused')
    assert.is((await restrict('--open')).code, 0)
    await becomes({ host: WEKAN, from: STRANGER }, 'let in')
  })

  test('the override of install/ works by hand, is shown and lifted', async () => {
    await bed.kubectl.apply(
      load(readFileSync(join(ROOT, 'install/overrides/oas-nginx-override.yaml'), 'utf8')) as KubeObject,
    )
    await becomes({ host: WEKAN, from: STRANGER }, 'refused')
    assert.match(
      (await restrict()).stdout,
      /every host +203\.0\.113\.0\/24, 198\.51\.100\.7\/32, 10\.42\.0\.0\/16/,
    )
    const { code, stderr } = await restrict('--open')
    assert.is(code, 0, stderr)
    await becomes({ host: WEKAN, from: STRANGER }, 'let in')
  })

  test('what somebody else has changed since the plan was shown is not overwritten', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'oas-held-'))
    const files = { held: join(folder, 'held'), go: join(folder, 'go') }
    const running = restrictWith(heldAt('Plan', files), '--allow', '::1')
    await until(
      async () => (existsSync(files.held) ? { done: undefined } : { last: 'the plan was not shown' }),
      { deadline: 60_000, every: 100, describe: String },
    )
    const { name, namespace } = OVERRIDE
    const data = { 'values.yaml': Buffer.from('deployment: {podAnnotations: {a: b}}\n').toString('base64') }
    await bed.kubectl.create({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, data })
    writeFileSync(files.go, '')
    const { code, stderr } = await running
    rmSync(folder, { recursive: true })
    assert.is(code, 1, stderr)
    assert.match(stderr, 'changed meanwhile; nothing was written')
    assert.equal((await bed.kubectl.get(OVERRIDE))?.data, data)
    assert.equal(await leftovers(), [])
    await bed.kubectl.delete(OVERRIDE)
  })

  test('killed at every step: nobody is locked out, and the next run completes it', async () => {
    const before = [
      ...[1, 3, 5].map(count => killedAfterWrite(count)),
      killedAt('1. Try'),
      killedAt('✓ Try'),
      killedAt('2. Restrict'),
    ]
    for (const options of before) {
      await killed(options, '--allow', '::1')
      assert.is(await bed.kubectl.get(OVERRIDE), undefined)
      await becomes({ host: WEKAN, from: STRANGER }, 'let in')
    }
    // Its write and its reconciliation; the next run waits for what they bring about.
    for (const options of [
      killedAfterWrite(1, /secrets/),
      killedAfterWrite(1, /helmreleases/),
      killedAt('✓ Restrict'),
    ]) {
      await killed(options, '--allow', '::1')
      const next = await restrict('--allow', '::1')
      assert.is(next.code, 0, next.stderr)
      await becomes({ host: WEKAN, from: STRANGER }, 'refused')
      await becomes({ host: WEKAN, from: ME }, 'let in')
      assert.match((await restrict('--allow', '::1')).stderr, 'nothing was changed')
      await killed(killedAfterWrite(1, /secrets/), '--open')
      const opened = await restrict('--open')
      assert.is(opened.code, 0, opened.stderr)
      await becomes({ host: WEKAN, from: STRANGER }, 'let in')
      assert.equal(await leftovers(), [])
    }
  })

  test('killed between the objects of one host: it says so, and the next run completes it', async () => {
    const only = ['--app', 'wekan', '--allow', '::1']
    await killed(killedAfterWrite(1, /\/middlewares\/access-/), ...only)
    const half = await restrict()
    assert.match(half.stdout, /wekan\.oas\.example\.org +everybody/)
    assert.match(half.stderr, 'a run was killed before it was done')
    await becomes({ host: WEKAN, from: STRANGER }, 'let in')
    assert.is((await restrict(...only)).code, 0)
    await becomes({ host: WEKAN, from: STRANGER }, 'refused')
    // Wider ranges: until the next run those before count.
    const wider = ['--app', 'wekan', '--allow', '::1,127.0.0.5']
    await killed(killedAfterWrite(1, /\/middlewares\/access-/), ...wider)
    assert.match((await restrict()).stderr, 'a run was killed before it was done')
    assert.is((await restrict(...wider)).code, 0)
    await becomes({ host: WEKAN, from: STRANGER }, 'let in')
    await killed(killedAfterWrite(1, /\/ingressroutes\/access-/), '--app', 'wekan', '--open')
    assert.is((await restrict('--app', 'wekan', '--open')).code, 0)
    assert.not.match((await restrict()).stdout, 'wekan')
    assert.equal(await leftovers(), [])
  })

  test('two at once: one ends with 75 and changes nothing, or comes after the other', async () => {
    const both = await Promise.all([restrict('--allow', '::1'), restrict('--app', 'wekan', '--allow', '::1')])
    for (const { code, stderr } of both) assert.ok(code === 0 || code === 75, stderr)
    assert.ok(both.some(({ code }) => code === 0))
    assert.equal(await leftovers(), [])
    for (const args of [
      ['--allow', '::1'],
      ['--app', 'wekan', '--allow', '::1'],
    ])
      assert.is((await restrict(...args)).code, 0)
    await becomes({ host: WEKAN, from: STRANGER }, 'refused')
    for (const args of [['--open'], ['--app', 'wekan', '--open']])
      assert.is((await restrict(...args)).code, 0)
    await becomes({ host: WEKAN, from: STRANGER }, 'let in')
  })

  test('IPv6: networks are told apart, in any spelling, also behind a proxy and in forged headers', async () => {
    const [friend, stranger] = ['fd6f:6173:0:1::5', 'fd6f:6173:0:2::5']
    const ip = (what: 'add' | 'delete') =>
      Promise.all(
        [friend, stranger].map(each => run('ip', ['-6', 'address', what, `${each}/128`, 'dev', 'lo'])),
      )
    await ip('add')
    try {
      const given = await restrict('--allow', '::1,FD6F:6173:0000:0001:0:0::9/64')
      assert.is(given.code, 0, given.stderr)
      assert.match((await restrict()).stdout, 'fd6f:6173:0:1::/64')
      await becomes({ host: WEKAN, from: friend }, 'let in')
      await becomes({ host: WEKAN, from: stranger }, 'refused')
      await becomes({ host: WEKAN, from: stranger, forwarded: friend }, 'refused')
      await becomes({ host: WEKAN, from: stranger, forwarded: '::1' }, 'refused')
      await becomes({ host: WEKAN, from: STRANGER, forwarded: friend }, 'refused')
      const proxy = ['--behind-proxy', stranger, '--allow', 'fd6f:6173:0:1::/64', '--lock-me-out']
      const behind = await restrict(...proxy)
      assert.is(behind.code, 0, behind.stderr)
      await becomes({ host: WEKAN, from: stranger, forwarded: friend }, 'let in')
      await becomes({ host: WEKAN, from: stranger, forwarded: '2001:db8::7' }, 'refused')
      await becomes({ host: WEKAN, from: stranger, forwarded: `${friend}, 2001:db8::7` }, 'refused')
      await becomes({ host: WEKAN, from: stranger }, 'refused')
      assert.is((await restrict('--open')).code, 0)
      await becomes({ host: WEKAN, from: stranger }, 'let in')
    } finally {
      await ip('delete')
    }
  })

  test("the docs' example: refused as they write it; its values are shown, and replaced by one command", async () => {
    const values = 'controller:\n  config:\n    whitelist-source-range: 1.2.3.4/24\n'
    const metadata = { name: OVERRIDE.name, namespace: OVERRIDE.namespace }
    const written = { apiVersion: 'v1', kind: 'secret', metadata, data: { 'values.yaml': values } }
    await bed.kubectl.apply(written).then(
      () => assert.unreachable(),
      error => assert.match(String(error), /secret/),
    )
    await bed.kubectl.apply({
      ...{ apiVersion: 'v1', kind: 'Secret', metadata },
      stringData: { 'values.yaml': `${values}deployment: {podAnnotations: {ours: kept}}\n` },
    } as KubeObject)
    const shown = await restrict()
    assert.match(shown.stdout, /every host +everybody/)
    assert.match(shown.stderr, 'which Traefik does not read: run this with --allow 1.2.3.4/24')
    const { code, stderr } = await restrict('--allow', '1.2.3.4/24,::1')
    assert.is(code, 0, stderr)
    await becomes({ host: WEKAN, from: STRANGER }, 'refused')
    const now = await restrict()
    assert.match(now.stdout, /every host +1\.2\.3\.0\/24, ::1\/128/)
    assert.is(now.stderr, '')
    const text = async () =>
      Buffer.from((await bed.kubectl.get(OVERRIDE))!.data['values.yaml'], 'base64').toString()
    assert.not.match(await text(), 'controller')
    assert.is((await restrict('--open')).code, 0)
    assert.match(await text(), /^deployment:[\s\S]*ours: kept/)
    await bed.kubectl.delete(OVERRIDE)
  })

  test('an override that is hostile or broken: one error, and it stays as it is', async () => {
    const bomb = ['a: &a [x,x,x,x,x,x,x,x,x]']
    for (const [i, name] of [...'bcdefgh'].entries())
      bomb.push(`${name}: &${name} [${Array(9).fill(`*${'abcdefg'[i]}`).join()}]`)
    const texts: [text: string | Buffer, message: RegExp][] = [
      [bomb.join('\n'), /too many aliases/],
      ['a: 1\na: 2\n', /line 2: Map keys must be unique/],
      ['- a\n', /not a map/],
      [Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 1]), /not a text/],
      [`a: ${'x'.repeat(300_000)}`, /larger than 256 KiB/],
      ['ports: [1]\n', /below a value that is not a map|ports/],
    ]
    for (const [text, message] of texts) {
      const { name, namespace } = OVERRIDE
      const data = { 'values.yaml': Buffer.from(text).toString('base64') }
      await bed.kubectl.create({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, data })
      const before = await bed.kubectl.get(OVERRIDE)
      for (const args of [['--allow', '::1'], ...(/ports/.test(String(text)) ? [] : [['--open'], []])]) {
        const outcome = await restrict(...args)
        assert.is(outcome.code, 1, `${message} ${args}: ${outcome.stderr}`)
        assert.is(told(outcome).length, 1, outcome.stderr)
        assert.match(told(outcome)[0]!.what, message)
      }
      assert.equal((await bed.kubectl.get(OVERRIDE))?.data, before?.data)
      await bed.kubectl.delete(OVERRIDE)
    }
    assert.equal(await leftovers(), [])
  })

  test('hostile names and ranges are one error, and nothing is changed', async () => {
    for (const args of [
      ['--app', '../../etc', '--allow', '::1'],
      ['--app', 'a`) || Host(`b', '--allow', '::1'],
      ['--allow', '0.0.0.0/0'],
      ['--allow', '1.2.3.4`'],
      ['--allow', '::1', '--open'],
      ['--app', '__proto__', '--allow', '::1'],
      ['--app', '', '--allow', '::1'],
      ['--app', 'wekan\u001b[2J', '--allow', '::1'],
      ['--app', 'x'.repeat(100_000), '--allow', '::1'],
      ['--allow', ''],
      ['--allow', '$(id)'],
      ['--allow', '1.2.3.4/33'],
      ['--allow', '::ffff:1.2.3.4'],
      ['--allow', '1.2.3.4,'.repeat(12_000)],
      ['--allow', '::1', '--behind-proxy', '0.0.0.0/0'],
      ['--allow', '::1', '--app', 'wekan', '--behind-proxy', '::2'],
      ['--allow', '::1', '--timeout', '-1'],
      ['--open', '--show'],
    ]) {
      const { code, stderr } = await restrict(...args)
      assert.is(code, 2, `${args}: ${stderr}`)
      assert.ok(stderr.length < 2000 && !stderr.includes('\u001b'), stderr.slice(0, 2000))
    }
    assert.is(await bed.kubectl.get(OVERRIDE), undefined)
    assert.equal(await leftovers(), [])
  })
}

test.run()
