/** test-cluster: a healthy platform passes, and each breakage fails exactly its own checks, with the remedy. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { editConfig } from '../../lib/platform/config.ts'
import { writeFileAtomic } from '../../lib/script/files.ts'
import { until } from '../../lib/script/wait.ts'
import type { TestCheck } from '../../scripts/test-cluster/checks.ts'
import { certificateFiles, mailServer, stopServers } from '../host/servers.ts'
import { cleanUp, me, newHome, newKey, Sshd } from '../host/sshd.ts'
import { all, suite } from '../suite.ts'
import { probing } from './faults/certificates.ts'
import { faults as ofFlux } from './faults/flux.ts'
import { made } from './faults/made-certificates.ts'
import { faults as workloads } from './faults/workloads.ts'
import { type Bed, runScript } from './harness.ts'
import { type PrometheusAnswers, QUIET, type WholePlatform, wholePlatform } from './whole-platform.ts'

const test = suite('test-cluster')
const ON_BED = 'certs,app,prometheus,host,backup'
const folder = mkdtempSync(join(tmpdir(), 'oas-authorities-'))
let platform: WholePlatform
let bed: Bed
let trust: Record<string, string>

let said: PrometheusAnswers = QUIET

test.before(async () => {
  platform = await wholePlatform(() => said)
  ;({ bed, trust } = platform)
})
test.after(async () => {
  rmSync(folder, { recursive: true })
  await stopServers()
  cleanUp()
  await platform?.stop()
})

interface Tested {
  code: number | null
  seconds: number
  stderr: string
  checks: TestCheck[]
  bad: TestCheck[]
}

async function tested(only = ON_BED, env: Record<string, string> = {}, ...more: string[]): Promise<Tested> {
  const given = [...probing(bed), '--only', only, '--timeout', '1s', '--json', ...more]
  const { code, stdout, stderr, seconds } = await runScript('test-cluster', given, {
    env: { ...trust, ...env },
  })
  const { result } = JSON.parse(stdout) as { result?: { checks: TestCheck[] } }
  const checks = result?.checks ?? []
  return { code, seconds, stderr, checks, bad: checks.filter(({ problem }) => problem !== undefined) }
}

/** A check that fails, its remedy, and where it is worth telling apart, what it says. */
type Failing = readonly [name: RegExp, fix: RegExp, what?: RegExp]

/** Waits until exactly these checks fail, each with its remedy. */
async function failing(
  wanted: readonly Failing[],
  only = ON_BED,
  env: Record<string, string> = {},
): Promise<void> {
  await until<string, true>(
    async () => {
      const { bad, code, stderr } = await tested(only, env)
      const isExact =
        bad.length === wanted.length &&
        wanted.every(([name, fix, what = /./]) =>
          bad.some(
            ({ name: own, problem }) => name.test(own) && fix.test(problem!.fix) && what.test(problem!.what),
          ),
        )
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
        ...QUIET.targets.activeTargets!,
        {
          labels: { job: 'traefik', instance: '10.0.0.9:9100' },
          health: 'down',
          lastError: 'connection refused',
        },
      ],
    },
    alerts: {
      alerts: [
        ...QUIET.alerts.alerts!,
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
  said = QUIET
})

interface Breakage {
  name: string
  break(): unknown
  fails: readonly Failing[]
  heal(): unknown
  only?: string
  /** The environment of test-cluster. */
  env?: Record<string, string>
}

const WEKAN = 'wekan.oas.example.org'
const NIGHTLY = {
  apiVersion: 'velero.io/v1',
  kind: 'Schedule',
  namespace: 'velero',
  name: 'velero-nightly',
} as const
/** When it makes a backup, while a breakage has it make them all the time. */
let nightly: string
const own = (what: string) => new RegExp(`^wekan\\.oas\\.example\\.org: ${what}$`)

/** A host whose certificate somebody put there by hand; one who signed it himself is trusted unless told. */
function byHand(
  name: string,
  what: RegExp,
  options: Parameters<typeof made>[0] & { isStrange?: true },
): Pick<Breakage, 'break' | 'heal' | 'fails' | 'env'> {
  const authorities = join(folder, `${name}.pem`)
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
      const bedOnly = readFileSync(trust.NODE_EXTRA_CA_CERTS!, 'utf8')
      writeFileSync(authorities, options.isStrange ? bedOnly : `${bedOnly}\n${cert}`)
      await bed.kubectl.apply({ ...secret, stringData: { 'tls.crt': cert, 'tls.key': key } } as KubeObject)
      await bed.kubectl.apply(ingress)
    },
    fails: [[new RegExp(`^${host}: certificate$`), /cert-debug|date -u|delete|certificate/, what]],
    env: { NODE_EXTRA_CA_CERTS: authorities },
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
    said = QUIET
  },
  fails,
})

const BREAKAGES: readonly Breakage[] = [
  { name: 'an expired certificate', ...byHand('old', /expired/, { from: -90, until: -1 }) },
  { name: 'a certificate that ends soon', ...byHand('soon', /expires in/, { from: -80, until: 5 }) },
  {
    name: 'a certificate that is not valid yet',
    ...byHand('early', /not valid yet: a clock is wrong/, { from: 2, until: 90 }),
  },
  {
    name: 'a certificate for another host',
    ...byHand('other', /another host/, { hosts: ['elsewhere.example.org'] }),
  },
  { name: 'a self-signed certificate', ...byHand('self', /self-signed/, { isStrange: true }) },
  {
    name: 'the clock of this machine is wrong',
    break() {},
    heal() {},
    env: { NODE_OPTIONS: `--import=${new URL('../fixtures/late-clock.mjs', import.meta.url)}` },
    fails: [[/^Host /, /set by NTP.*timedatectl/, /10 min behind that of this machine/]],
  },
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
  told('no rule is evaluated', { ...QUIET, alerts: { alerts: [] } }, [[/^rules$/, /app-debug/]]),
  told('no target', { ...QUIET, targets: { activeTargets: [] } }, [[/^targets$/, /app-debug/]]),
  known('The backups were paused', [[/^Schedule velero\/velero-nightly$/, /resume the backups/]]),
  {
    name: 'no backup was ever made',
    async break() {
      nightly = (await bed.kubectl.get(NIGHTLY))!.spec.schedule
      await bed.kubectl.patch(NIGHTLY, { spec: { schedule: '@every 30s' } })
    },
    heal: () => bed.kubectl.patch(NIGHTLY, { spec: { schedule: nightly } }),
    fails: [[/^Schedule velero\/velero-nightly$/, /scripts\/backup\.ts/, /never made a backup/]],
  },
  known('The disk of a node is full', [[/^Node /, /./]]),
  known('An application was scaled to 0', [[/^Deployment oas-apps\/wekan$/, /restore the replicas/]]),
  known('A HelmRelease is suspended', [[/^HelmRelease /, /resume/i]]),
  known('A Kustomization is suspended', [[/^Kustomization /, /resume/i]]),
  known('The Git repository is suspended', [[/^GitRepository /, /resume/i]]),
  known('A Secret that a pod needs is missing', [[/shop|faults/, /./]]),
  known('The Service of an application selects no pod', [[/wekan/, /./]]),
]

if (all) {
  for (const { name, break: seed, heal, fails, only, env } of BREAKAGES)
    test(`${name}: exactly its own checks fail`, async () => {
      try {
        await seed()
        await failing(fails, only, env)
      } finally {
        await heal()
      }
      await failing([])
    })

  test('Prometheus that does not answer is not taken for a failure of the platform', async () => {
    said = 503
    const { code, bad } = await tested('prometheus,host')
    said = QUIET
    assert.is(code, 1)
    assert.equal(
      bad.map(({ state, section }) => [section, state]),
      [['prometheus', 'unknown']],
    )
  })

  test('the server over SSH: what is wrong there fails by itself; out of reach it has no answer', async () => {
    const env = { HOME: newHome() }
    const sshd = await Sshd.start()
    const key = newKey(join(bed.folder, 'key'))
    sshd.authorise(key)
    const reached = { ansible_host: '127.0.0.1', ansible_port: sshd.port, ansible_user: me }
    const inventory = { all: { hosts: { sandbox: { ...reached, ansible_ssh_private_key_file: key } } } }
    writeFileSync(join(bed.cluster, 'inventory.yml'), JSON.stringify(inventory))
    try {
      const { code, checks } = await tested('host', env, '--accept-new-host-key')
      assert.is(code, 3)
      const named = (name: string) => checks.find(each => each.name === name)
      assert.is(named('k3s')!.problem!.what, 'k3s is not installed')
      assert.match(named('k3s')!.problem!.fix, 'install-cluster.ts')
      assert.ok(named('updates') && named('reboot'))
      await sshd.down()
      const away = await tested('host', env)
      assert.is(away.code, 1)
      assert.equal(
        away.bad.map(({ state, section }) => [section, state]),
        [['host', 'unknown']],
      )
      assert.match(away.bad[0]!.problem!.what, /refuses connections/)
    } finally {
      rmSync(join(bed.cluster, 'inventory.yml'))
    }
  })

  test('the mail account: a login at its server passes, a wrong password fails with what to correct', async () => {
    const tls = await certificateFiles(-1, 10)
    const { port } = await mailServer({ user: 'oas', password: 'a-password', tls })
    const env = join(bed.cluster, '.flux.env')
    const before = readFileSync(env, 'utf8')
    const account = async (outgoing_mail_smtp_password: string) => {
      const smtp = { outgoing_mail_smtp_host: '127.0.0.1', outgoing_mail_smtp_port: String(port) }
      const user = { outgoing_mail_smtp_user: 'oas', outgoing_mail_smtp_password }
      writeFileAtomic(env, editConfig(before, { outgoing_mail_enabled: 'true', ...smtp, ...user }))
      const { checks } = await tested('login', { NODE_EXTRA_CA_CERTS: tls.cert })
      return checks.find(({ name }) => name === 'mail account')!
    }
    try {
      assert.is((await account('a-password')).state, 'passed')
      const { state, problem } = await account('another-password')
      assert.is(state, 'failed')
      assert.match(problem!.what, /refuses the login of oas/)
      assert.match(problem!.fix, 'outgoing_mail_smtp_user and _password in .flux.env')
    } finally {
      writeFileAtomic(env, before)
    }
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
