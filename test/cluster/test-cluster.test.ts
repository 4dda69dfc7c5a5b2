/** test-cluster: a healthy platform passes, and each breakage fails exactly its own checks, with the remedy. */
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { sleep, until } from '../../lib/script/wait.ts'
import type { TestCheck } from '../../scripts/test-cluster/checks.ts'
import type { Alerts, Targets } from '../../scripts/test-cluster/prometheus.ts'
import { all, suite } from '../suite.ts'
import { issued, probing } from './faults/certificates.ts'
import { faults as ofFlux } from './faults/flux.ts'
import { made } from './faults/made-certificates.ts'
import { prepare, faults as workloads } from './faults/workloads.ts'
import { Bed, runScript } from './harness.ts'

const test = suite('test-cluster')
const ON_BED = 'certs,app,prometheus,host,backup'
let bed: Bed
let prometheus: Server
/** The trust of a browser: the authority of the bed. */
let trust: Record<string, string>

/** What the stand-in for Prometheus' API answers (web/api/v1 of github.com/prometheus/prometheus). */
const HEALTHY: { targets: Targets; alerts: Alerts } = {
  targets: {
    activeTargets: [
      { labels: { job: 'node-exporter', instance: '10.0.0.1:9100' }, health: 'up', lastError: '' },
    ],
  },
  alerts: { alerts: [{ labels: { alertname: 'Watchdog' }, annotations: {}, state: 'firing' }] },
}
let said: { targets: Targets; alerts: Alerts } | number = HEALTHY

/** A pod in the place of the one that the operator makes of the Prometheus: kwok plays its kubelet. */
const POD: KubeObject = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: 'prometheus-stand-in',
    namespace: 'oas',
    labels: {
      'app.kubernetes.io/name': 'prometheus',
      'app.kubernetes.io/instance': 'kube-prometheus-stack-prometheus',
    },
  },
  spec: {
    containers: [
      { name: 'prometheus', image: 'prometheus', ports: [{ name: 'http-web', containerPort: 9090 }] },
    ],
  },
}

test.before(async () => {
  bed = await Bed.startInstalled({ loki: true })
  prometheus = createServer((request, response) => {
    if (typeof said === 'number') return void response.writeHead(said).end('away')
    const data = request.url!.startsWith('/api/v1/targets') ? said.targets : said.alerts
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ status: 'success', data }))
  })
  await new Promise<void>(resolve => prometheus.listen(0, '127.0.0.1', resolve))
  bed.leadPods(9090, (prometheus.address() as AddressInfo).port)
  await bed.kubectl.apply(POD)
  await prepare(bed)
  // The authority is another one since the state was prepared: what it has signed then, no browser trusts.
  const certificates = await bed.kubectl.list('cert-manager.io/v1', 'Certificate')
  for (const { metadata, spec } of certificates)
    await bed.kubectl.delete({
      apiVersion: 'v1',
      kind: 'Secret',
      namespace: metadata.namespace,
      name: spec.secretName,
    })
  await sleep(1000)
  await Promise.all(certificates.map(certificate => issued(bed, certificate)))
  const file = join(bed.folder, 'authority.pem')
  writeFileSync(file, (await bed.certificates.root()).toString())
  trust = { NODE_EXTRA_CA_CERTS: file }
})
test.after(async () => {
  prometheus?.close()
  await bed?.stop()
})

interface Tested {
  code: number | null
  seconds: number
  stderr: string
  checks: TestCheck[]
  bad: TestCheck[]
}

async function tested(args: readonly string[] = [], only = ON_BED): Promise<Tested> {
  const given = [...probing(bed), '--only', only, '--timeout', '1s', '--json', ...args]
  const { code, stdout, stderr, seconds } = await runScript('test-cluster', given, { env: trust })
  const { result } = JSON.parse(stdout) as { result?: { checks: TestCheck[] } }
  const checks = result?.checks ?? []
  return { code, seconds, stderr, checks, bad: checks.filter(({ problem }) => problem !== undefined) }
}

/** Waits until exactly these checks fail, each with its remedy. */
async function failing(
  wanted: readonly (readonly [name: RegExp, fix: RegExp])[],
  only = ON_BED,
): Promise<void> {
  await until<string, true>(
    async () => {
      const { bad, code, stderr } = await tested([], only)
      const isExact =
        bad.length === wanted.length &&
        wanted.every(([name, fix]) => bad.some(each => name.test(each.name) && fix.test(each.problem!.fix)))
      const text = bad.map(each => `${each.name}: ${each.problem!.what} | ${each.problem!.fix}`).join('\n')
      if (!isExact) return { last: text || `nothing ${stderr}` }
      assert.is(code, wanted.length === 0 ? 0 : 3, stderr)
      return { done: true }
    },
    { deadline: 120_000, every: 1000, describe: last => `\n${last}` },
  )
}

test('a healthy platform passes', async () => {
  await failing([])
  const { checks, seconds } = await tested()
  console.log(`${checks.length} checks in ${seconds.toFixed(1)} s`)
  for (const section of ON_BED.split(','))
    assert.ok(
      checks.some(each => each.section === section && each.state === 'passed'),
      section,
    )
})

test('JUnit, the line for monitoring, and one application', async () => {
  const file = join(bed.folder, 'junit.xml')
  const args = [...probing(bed), '--only', 'certs,app', '--app', 'wekan', '--junit', file]
  bed.certificates.tls('wekan.oas.example.org', 'no-hsts')
  const { code, stdout } = await runScript('test-cluster', [...args, '--nagios', '--timeout', '1s'], {
    env: trust,
  })
  bed.certificates.tls('wekan.oas.example.org', undefined)
  assert.is(code, 3)
  assert.match(
    stdout,
    /^OPENAPPSTACK CRITICAL - 1 of \d+ checks did not pass: wekan\S+: HSTS \| passed=\d+ failed=1 .*\n$/,
  )
  const xml = readFileSync(file, 'utf8')
  assert.match(xml, /<testsuite name="certs" tests="5" failures="1" errors="0" skipped="0">/)
  assert.match(xml, 'name="HelmRelease oas-apps/wekan"')
  assert.not.match(xml, 'grafana')
})

test('an alert that fires and a target that is down are told one by one, with what to do', async () => {
  said = {
    targets: {
      activeTargets: [
        ...HEALTHY.targets.activeTargets!,
        {
          labels: { job: 'traefik', instance: '10.0.0.9:9100' },
          health: 'down',
          lastError: 'connection refused',
        },
      ],
    },
    alerts: {
      alerts: [
        ...HEALTHY.alerts.alerts!,
        {
          labels: { alertname: 'KubePodCrashLooping', namespace: 'oas', pod: 'x-1' },
          annotations: { summary: 'Pod is crash looping.', runbook_url: 'https://example.org/crash' },
          state: 'firing',
        },
      ],
    },
  }
  await failing([
    [/^target traefik 10\.0\.0\.9:9100$/, /diagnose/],
    [/^alert KubePodCrashLooping oas x-1$/, /read https:\/\/example\.org\/crash/],
  ])
  said = HEALTHY
})

interface Breakage {
  name: string
  break(): Promise<void> | void
  fails: readonly (readonly [name: RegExp, fix: RegExp])[]
  heal(): Promise<void> | void
  only?: string
}

const WEKAN = 'wekan.oas.example.org'
const own = (what: string) => new RegExp(`^wekan\\.oas\\.example\\.org: ${what}$`)

/** A host whose certificate somebody put there by hand. */
function byHand(
  name: string,
  options: Parameters<typeof made>[0],
): Pick<Breakage, 'break' | 'heal' | 'fails'> {
  const host = `${name}.oas.example.org`
  const secret: KubeObject = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: `${name}-tls`, namespace: 'oas' },
    type: 'kubernetes.io/tls',
  }
  const ingress: KubeObject = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { name, namespace: 'oas' },
    spec: {
      ingressClassName: 'nginx',
      rules: [
        {
          host,
          http: {
            paths: [
              {
                path: '/',
                pathType: 'Prefix',
                backend: { service: { name: 'kube-prometheus-stack-grafana', port: { number: 80 } } },
              },
            ],
          },
        },
      ],
      tls: [{ hosts: [host], secretName: `${name}-tls` }],
    },
  }
  return {
    async break() {
      const { cert, key } = await made({ hosts: [host], ...options })
      await bed.kubectl.apply({ ...secret, stringData: { 'tls.crt': cert, 'tls.key': key } } as KubeObject)
      await bed.kubectl.apply(ingress)
    },
    fails: [[new RegExp(`^${host}: certificate$`), /./]],
    async heal() {
      const of = ({ apiVersion, kind, metadata }: KubeObject) => ({ apiVersion, kind, ...metadata })
      await bed.kubectl.delete(of(ingress))
      await bed.kubectl.delete(of(secret))
    },
  }
}

/** A breakage that the diagnosis' own tests have, by its name. */
function known(name: string, fails: Breakage['fails']): Breakage {
  const fault = [...workloads, ...ofFlux].find(each => each.name === name)!
  return { name, break: () => fault.seed(bed), heal: () => fault.heal(bed), fails }
}

const web = (
  name: string,
  fault: Parameters<Bed['certificates']['fault']>[1],
  fails: Breakage['fails'],
): Breakage => ({
  name,
  break: () => bed.certificates.fault(WEKAN, fault),
  heal: () => bed.certificates.fault(WEKAN, undefined),
  fails,
})
const tls = (
  name: string,
  fault: Parameters<Bed['certificates']['tls']>[1],
  fails: Breakage['fails'],
): Breakage => ({
  name,
  break: () => bed.certificates.tls(WEKAN, fault),
  heal: () => bed.certificates.tls(WEKAN, undefined),
  fails,
})
const dns = (name: string, records: Parameters<Bed['certificates']['dns']>[1], fix: RegExp): Breakage => ({
  name,
  break: () => bed.certificates.dns(WEKAN, records),
  heal: () => bed.certificates.dns(WEKAN, {}),
  fails: [[own('DNS'), fix]],
})
const told = (name: string, what: typeof said, fails: Breakage['fails']): Breakage => ({
  name,
  break: () => {
    said = what
  },
  heal: () => {
    said = HEALTHY
  },
  fails,
})

const BREAKAGES: readonly Breakage[] = [
  { name: 'an expired certificate', ...byHand('old', { from: -90, until: -1 }) },
  { name: 'a certificate that ends soon', ...byHand('soon', { from: -80, until: 5 }) },
  { name: 'a certificate for another host', ...byHand('other', { hosts: ['elsewhere.example.org'] }) },
  { name: 'a self-signed certificate', ...byHand('self', {}) },
  tls('the certificate that the controller has by default', 'default', [
    [own('certificate'), /cert-debug|restart/],
  ]),
  tls('port 443 does not speak TLS', 'refuse', [[own('certificate'), /./]]),
  tls('no HSTS', 'no-hsts', [[own('HSTS'), /install-core/]]),
  tls('nothing behind the ingress is ready', 'away', [[own('answer'), /diagnose/]]),
  web('port 80 answers, and does not redirect', 'wrong', [[own('redirect to https'), /cert-debug/]]),
  web('port 80 answers 404', 404, [[own('redirect to https'), /cert-debug/]]),
  dns('a wildcard that lacks', { a: ['203.0.113.9'] }, /change the record/),
  dns('the name servers fail', { servfail: true }, /name servers/),
  told('no rule is evaluated', { ...HEALTHY, alerts: { alerts: [] } }, [[/^rules$/, /app-debug/]]),
  told('no target', { ...HEALTHY, targets: { activeTargets: [] } }, [[/^targets$/, /app-debug/]]),
  known('The backups were paused', [[/^Schedule velero\/velero-nightly$/, /go on with the backups/]]),
  known('The disk of a node is full', [[/^Node /, /./]]),
  // What its network policy admits is gone with its pods: a cause of its own.
  known('An application was scaled to 0', [
    [/^Deployment oas-apps\/wekan$/, /restore the replicas/],
    [/^NetworkPolicy oas-apps\/wekan/, /labels/],
  ]),
  known('A HelmRelease is suspended', [[/^HelmRelease /, /resume/i]]),
  known('A Kustomization is suspended', [[/^Kustomization /, /resume/i]]),
  known('The Git repository is suspended', [[/^GitRepository /, /resume/i]]),
  known('A Secret that a pod needs is missing', [[/shop|faults/, /./]]),
  known('The Service of an application selects no pod', [[/wekan/, /./]]),
]

if (all) {
  for (const { name, break: seed, heal, fails, only } of BREAKAGES)
    test(`${name}: exactly its own checks fail`, async () => {
      try {
        await seed()
        await failing(fails, only)
      } finally {
        await heal()
      }
      await failing([])
    })

  test('Prometheus that does not answer is not taken for a failure of the platform', async () => {
    said = 503
    const { code, bad } = await tested([], 'prometheus,host')
    said = HEALTHY
    assert.is(code, 1)
    assert.equal(
      bad.map(({ state, section }) => [section, state]),
      [['prometheus', 'unknown']],
    )
  })

  test('a failure comes with the warnings of the last hour and no secret', async () => {
    const { stdout } = await runScript(
      'test-cluster',
      [...probing(bed), '--only', ON_BED, '--timeout', '1s', '--json'],
      { env: trust },
    )
    const values = await bed.secretValues()
    for (const value of values) assert.not.ok(stdout.includes(value))
  })
}

test.run()
