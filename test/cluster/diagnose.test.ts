/**
 * What a diagnosis does with what it is given: it writes nothing, keeps nothing secret, says what it could not look
 * at, and works from a file. On the real API server, through a proxy where that has to be slow or partly down.
 */
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { factLister } from '../../lib/diagnosis/lister.ts'
import { refOf } from '../../lib/kubectl/kubectl.ts'
import { until } from '../../lib/script/wait.ts'
import { all, suite } from '../suite.ts'
import { diagnosis, healthy } from './fault-suite.ts'
import { ApiProxy, folderWith, kustomization, repair, signal, told, viewerFolder } from './faults.ts'
import { Bed, runScript } from './harness.ts'

const test = suite('diagnose')
let bed: Bed
let facts: string

test.before(async () => {
  bed = await Bed.startInstalled({ audit: true })
  process.env.OAS_CLUSTER = bed.up.name // there will be further folders
  facts = join(bed.folder, 'facts.json')
  await healthy()
})
test.after(() => bed?.stop())

/** Whether a Kustomization of the platform is suspended. */
const suspend = (suspend: boolean | null) => bed.kubectl.patch(kustomization('core'), { spec: { suspend } })

/** The diagnosis through a proxy, which every request passes that `meddle` does not answer. */
async function through(meddle: ApiProxy['meddle'], work: (flags: string[]) => Promise<void>): Promise<void> {
  const proxy = new ApiProxy(bed)
  try {
    const server = await proxy.listen()
    proxy.meddle = meddle
    await work(
      folderWith(bed, 'proxy', config => {
        Object.assign(config.clusters[0]!.cluster, { server })
      }),
    )
  } finally {
    await proxy.close()
  }
}

test('a healthy platform: nothing is found, and nothing is written', async () => {
  const mark = bed.auditMark()
  const outcome = await runScript('diagnose', [])
  assert.is(outcome.code, 0, outcome.stderr)
  assert.is(outcome.stdout, 'nothing is broken\n')
  assert.ok(bed.requestsSince(mark).length > 20, 'the audit log has not seen the diagnosis')
  assert.equal(bed.writesSince(mark), [])
})

test('an object of a kind that nobody here knows is told in its own words', async () => {
  const { kubectl } = bed
  const group = 'farm.example.org'
  const crd = { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition' }
  const name = `barns.${group}`
  const schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }
  const version = { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } }
  await kubectl.apply({
    ...crd,
    metadata: { name },
    spec: { group, scope: 'Namespaced', names: { kind: 'Barn', plural: 'barns' }, versions: [version] },
  })
  try {
    const message = 'the storm has taken the roof: no such beam'
    await until(
      async () => {
        kubectl.rediscover()
        return (await kubectl.kinds(`${group}/v1`)).has('Barn') ? { done: true } : { last: 'not served yet' }
      },
      { deadline: 30_000, describe: last => last ?? '' },
    )
    // No program works on this kind: what it would say is written by hand.
    await kubectl.apply({
      apiVersion: `${group}/v1`,
      kind: 'Barn',
      metadata: { name: 'red', namespace: 'default' },
      status: {
        conditions: [
          {
            type: 'Roofed',
            status: 'False',
            reason: 'Storm',
            message,
            lastTransitionTime: '2026-01-01T00:00:00Z',
          },
        ],
      },
    })
    const outcome = await runScript('diagnose', [])
    assert.is(outcome.code, 3, outcome.stderr)
    assert.match(outcome.stdout, `Barn default/red: Roofed is False (Storm): ${message}`)
  } finally {
    await kubectl.delete({ ...crd, name })
  }
})

test('what comes while kinds are read one after the other is no reference that leads nowhere', async () => {
  const { kubectl } = bed
  const metadata = { namespace: 'default', name: 'late' }
  const service = { apiVersion: 'v1', kind: 'Service', metadata, spec: { ports: [{ port: 80 }] } }
  const backend = { service: { name: 'late', port: { number: 80 } } }
  const path = { path: '/', pathType: 'Prefix', backend }
  const ingress = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata,
    spec: { ingressClassName: 'nginx', rules: [{ host: 'late.example.org', http: { paths: [path] } }] },
  }
  let services: () => void
  const servicesRead = new Promise<void>(resolve => {
    services = resolve
  })
  let isCreated = false
  try {
    await through(
      async (request, response, pass) => {
        const { pathname } = new URL(request.url!, 'https://localhost')
        if (pathname === '/api/v1/services') response.on('finish', services)
        if (pathname === '/apis/networking.k8s.io/v1/ingresses') {
          await servicesRead
          for (const object of [service, ingress]) await kubectl.apply(object)
          isCreated = true
        }
        pass()
      },
      async flags => {
        const { causes } = await diagnosis(flags)
        assert.ok(isCreated, 'nothing came in between')
        assert.equal(
          causes.filter(({ subject }) => subject.name === 'late').map(({ cause }) => cause),
          [],
        )
      },
    )
  } finally {
    for (const object of [ingress, service]) await kubectl.delete(refOf(object))
  }
})

test('a revision that the storage does not have: what is there now is read', async () => {
  const namespaces = await factLister(bed.kubectl, '9'.repeat(15))('v1', 'Namespace')
  assert.ok(namespaces.some(({ metadata }) => metadata.name === 'default'))
})

test('a snapshot is kept for its owner alone, and holds no secret', async () => {
  await suspend(true)
  try {
    const outcome = await runScript('diagnose', ['--output', facts])
    assert.is(outcome.code, 3, outcome.stderr)
    assert.match(outcome.stdout, /Kustomization flux-system\/core: .*suspended/)
  } finally {
    await suspend(null)
  }
  assert.is(statSync(facts).mode & 0o777, 0o600)
  const text = readFileSync(facts, 'utf8')
  for (const value of await bed.secretValues())
    for (const form of [value, Buffer.from(value).toString('base64'), encodeURIComponent(value)])
      assert.not.ok(value !== '' && text.includes(form), 'a secret is in the snapshot')
})

test('a saved snapshot is judged without any cluster, and as then', async () => {
  const empty = join(bed.folder, 'nothing')
  mkdirSync(empty)
  const outcome = await runScript('diagnose', ['--from', facts], {
    env: { OAS_CLUSTERS_DIR: empty, OAS_CLUSTER: undefined },
  })
  assert.is(outcome.code, 3, outcome.stderr)
  assert.match(outcome.stdout, /^1 warning\n/)
  assert.match(outcome.stdout, /Kustomization flux-system\/core: .*suspended/)
})

test('a file that is not a snapshot, or flags that exclude each other', async () => {
  const damaged = join(bed.folder, 'damaged.json')
  writeFileSync(damaged, readFileSync(facts, 'utf8').slice(0, -100))
  for (const [args, what, code] of [
    [['--from', damaged], /damaged\.json is not a snapshot/, 1],
    [['--from', join(bed.folder, 'absent')], /absent cannot be read: ENOENT/, 2],
    [['--from', facts, '--fix'], /--fix cannot change a saved snapshot/, 2],
    [['--from', facts, '--output', facts], /exclude each other/, 2],
    [['--output', join(bed.folder, 'no/folder/facts.json')], /no\/folder does not exist/, 2],
  ] as const) {
    const outcome = await runScript('diagnose', args)
    assert.is(outcome.code, code, outcome.stderr)
    assert.match(told(outcome)[0]!.what, what)
  }
})

if (all)
  test('a known finding is listed and does not count, until its day is over', async () => {
    const file = join(bed.cluster, 'ignored-findings.yaml')
    await suspend(true)
    try {
      const { causes } = await diagnosis()
      const entry = (until: string) =>
        `- { rule: ${causes[0]!.rule}, subject: Kustomization flux-system/core, reason: is being tested, until: "${until}" }\n`
      writeFileSync(file, entry('2999-12-31'))
      const ignored = await runScript('diagnose', [])
      assert.is(ignored.code, 0, ignored.stderr)
      assert.match(
        ignored.stdout,
        /ignored until 2999-12-31: Kustomization flux-system\/core: .*\(is being tested\)/,
      )
      writeFileSync(file, entry('2020-01-01'))
      assert.is((await runScript('diagnose', [])).code, 3)
      writeFileSync(file, '- rule: something\n')
      const refused = await runScript('diagnose', [])
      assert.is(refused.code, 2)
      assert.match(told(refused)[0]!.what, /entry 1 has no reason; entry 1 has no day/)
    } finally {
      writeFileSync(file, '')
      await suspend(null)
    }
  })

test('--fix does what is agreed to, under the cluster’s lock, and watches it', async () => {
  await suspend(true)
  const dry = await runScript('diagnose', ['--fix', '--dry-run'])
  assert.is(dry.code, 3, dry.stderr)
  assert.match(dry.stderr, /resume Kustomization flux-system\/core/)
  assert.is((await bed.kubectl.get(kustomization('core')))!.spec.suspend, true)

  const unasked = await runScript('diagnose', ['--fix'])
  assert.is(unasked.code, 2, unasked.stderr)
  assert.match(told(unasked)[0]!.fix, /--yes/)
  assert.is((await bed.kubectl.get(kustomization('core')))!.spec.suspend, true)

  const fixed = await runScript('diagnose', ['--fix', '--yes'])
  assert.is(fixed.code, 0, fixed.stderr)
  assert.match(fixed.stdout, /nothing is broken\n$/)
  assert.not((await bed.kubectl.get(kustomization('core')))!.spec.suspend)
  assert.is(await bed.kubectl.get({ ...LOCK }), undefined)
})
const LOCK = {
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  namespace: 'kube-system',
  name: 'openappstack-runbooks',
}

test('a user who may not read Secrets: the rest is judged, and the gap is told', async () => {
  const flags = await viewerFolder(bed)
  await suspend(true)
  try {
    const outcome = await runScript('diagnose', flags)
    assert.is(outcome.code, 1, outcome.stderr)
    assert.match(outcome.stdout, /\? Secret: could not be read: .*forbidden/)
    assert.match(told(outcome)[0]!.what, /the diagnosis is not complete .*: .*Secret/)
  } finally {
    await suspend(null)
  }
})

test('one group of the API is down: what it serves is a gap, the rest is judged', async () => {
  await suspend(true)
  try {
    await through(
      (request, response, pass) => {
        if (!request.url!.startsWith('/apis/cert-manager.io/')) return pass()
        response.writeHead(503, { 'content-type': 'application/json' })
        response.end('{"kind":"Status","code":503,"message":"service unavailable"}')
      },
      async flags => {
        const { causes, gaps, outcome } = await diagnosis(flags)
        assert.is(outcome.code, 1, outcome.stderr)
        assert.match(causes.map(({ cause }) => cause).join('\n'), /suspended/)
        assert.equal(
          gaps.map(({ what }) => what),
          ['Certificate', 'CertificateRequest', 'ClusterIssuer', 'Issuer'],
        )
        for (const { why } of gaps) assert.match(why, /answers 503/)
      },
    )
  } finally {
    await suspend(null)
  }
})

if (all)
  test('an API server that is slow is waited for; what never comes is a gap', async () => {
    await through(
      (_request, _response, pass) => setTimeout(pass, 400),
      async flags => {
        const outcome = await runScript('diagnose', flags)
        assert.is(outcome.code, 0, outcome.stderr)
        assert.ok(outcome.seconds < 60, `it took ${outcome.seconds} s`)
      },
    )
    await through(
      (request, _response, pass) => {
        if (!request.url!.startsWith('/api/v1/events')) pass()
      },
      async flags => {
        const { gaps, outcome } = await diagnosis(flags)
        assert.is(outcome.code, 1, outcome.stderr)
        assert.equal(
          gaps.map(({ what }) => what),
          ['Event'],
        )
        assert.match(gaps[0]!.why, /does not answer in time/)
      },
    )
  })

test('the API server is gone: that is told, and no findings', async () => {
  await signal('kube-apiserver', 'SIGKILL')
  try {
    const outcome = await runScript('diagnose', ['--output', join(bed.folder, 'gone.json')])
    assert.is(outcome.code, 1, outcome.stderr)
    assert.is(outcome.stdout, '')
    assert.match(told(outcome)[0]!.what, /the API server .* cannot be reached/)
    assert.not.ok(existsSync(join(bed.folder, 'gone.json')))
    assert.ok(outcome.seconds < 90, `it took ${outcome.seconds} s`)
  } finally {
    await repair()
  }
  await healthy()
})

test('no secret was shown, and none is in a journal', async () => {
  assert.equal(bed.leaks(await bed.secretValues()), [])
})

test.run()
