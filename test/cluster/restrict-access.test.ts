/** restrict-access against the real Traefik, which follows its Deployment on the bed. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { load } from 'js-yaml'
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { ROOT } from '../../lib/script/files.ts'
import { until } from '../../lib/script/wait.ts'
import { all, suite } from '../suite.ts'
import { Bed, type Outcome, runScript } from './harness.ts'
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

const restrict = (...args: string[]): Promise<Outcome> =>
  runScript(
    'restrict-access',
    [
      '--cluster',
      'sandbox',
      ...(args.length > 0 ? ['--yes', '--connect-to', `[::1]:${traefik.http}:${traefik.https}`] : []),
      ...args,
    ],
    { timeout: 300_000 },
  )

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

  test('hostile names and ranges are one error, and nothing is changed', async () => {
    for (const args of [
      ['--app', '../../etc', '--allow', '::1'],
      ['--app', 'a`) || Host(`b', '--allow', '::1'],
      ['--allow', '0.0.0.0/0'],
      ['--allow', '1.2.3.4`'],
      ['--allow', '::1', '--open'],
    ]) {
      const { code, stderr } = await restrict(...args)
      assert.is(code, 2, `${args}: ${stderr}`)
    }
    assert.is(await bed.kubectl.get(OVERRIDE), undefined)
  })
}

test.run()
