/**
 * The way of an alert on the real programs: kube-state-metrics reads the bed, Prometheus judges it by our rules,
 * Alertmanager receives what fires and mails it to a real mail server by our route. Flux's notification-controller tells
 * Alertmanager of failed reconciliations. What kube-prometheus-stack's operator would make of our values is written
 * here: the configuration of Prometheus. Waits of our rules and route are shortened to a second.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { dump, load, loadAll } from 'js-yaml'
import * as assert from 'uvu/assert'
import { condition } from '../../lib/flux/flux.ts'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { until } from '../../lib/script/wait.ts'
import type { TestCheck } from '../../scripts/test-cluster/checks.ts'
import { builtSets } from '../bed/build/build.ts'
import { ALERT_SETS } from '../bed/build/programs.ts'
import { run } from '../bed/build/shell.ts'
import { layoutOf } from '../bed/cluster/layout.ts'
import { issueServing } from '../bed/cluster/pki.ts'
import { freePorts } from '../bed/cluster/ports.ts'
import { kubeconfigOf } from '../bed/cluster/spec.ts'
import { MailServer } from '../bed/login/mail.ts'
import { Processes } from '../bed/login/processes.ts'
import { substituted } from '../bed/login/values.ts'
import { objectsIn, valuesIn } from '../fixtures/manifests.ts'
import { suite } from '../suite.ts'
import { Bed, runScript } from './harness.ts'
import { PROMETHEUS_POD } from './whole-platform.ts'

const test = suite('alerting')
const folder = mkdtempSync(join(tmpdir(), 'oas-alerting-'))
const logs = join(folder, 'logs')
mkdirSync(logs)
const processes = new Processes(logs)
const NAMES = ['prometheus', 'metrics', 'telemetry', 'mail'] as const
let bed: Bed
let mail: MailServer
let ports: Record<(typeof NAMES)[number] | 'alertmanager', number>
/** The folders of the programs, by program. */
let programs: Record<string, string>
let kubeconfig: string

const STACK = 'flux2/core/kube-prometheus-stack'
/** The values of kube-prometheus-stack that the alerts have of their own. */
const [alerts] = objectsIn(`${STACK}/alerts.yaml`).map(
  object =>
    valuesIn(object) as {
      'kube-state-metrics': { customResourceState: { config: object } }
      additionalPrometheusRulesMap: { openappstack: { groups: { name: string; rules: object[] }[] } }
    },
)
/** Alertmanager's configuration of our values, as for a platform that sends mail. */
function alertmanagerConfig(): { route: object } & Record<string, unknown> {
  const variables = {
    domain: 'oas.example.org',
    admin_email: 'admin@oas.example.org',
    outgoing_mail_enabled: 'true',
    outgoing_mail_smtp_host: '127.0.0.1',
    outgoing_mail_smtp_port: String(ports.mail),
    outgoing_mail_from_address: 'oas@oas.example.org',
  }
  const text = readFileSync(`${STACK}/values.yaml`, 'utf8')
  const whole = { grafana_admin_password: 'x', grafana_oauth_client_secret: 'x', ...variables }
  const [secret] = loadAll(substituted(text, whole)) as { stringData: Record<string, string> }[]
  const values = load(secret!.stringData['values.yaml']!) as {
    alertmanager: { config: { global: object; route: object } & Record<string, unknown> }
  }
  const { config } = values.alertmanager
  // As the release fills it in from Secret oas-mail, and where its volume is mounted.
  const account = { smtp_auth_username: 'oas', smtp_auth_password_file: join(folder, 'password') }
  return {
    ...config,
    global: { ...config.global, ...account },
    route: { ...config.route, group_wait: '1s', group_interval: '1s' },
  }
}

const write = (name: string, content: unknown) => {
  const file = join(folder, name)
  writeFileSync(file, typeof content === 'string' ? content : dump(content, { noRefs: true }))
  return file
}
const at = (port: number) => `127.0.0.1:${port}`
const start = (name: string, args: readonly string[], env: Record<string, string> = {}) =>
  processes.start(name, [join(programs[name]!, name), ...args], env)

function startPrometheus(): void {
  const quick = alerts!.additionalPrometheusRulesMap.openappstack.groups.map(({ name, rules }) => ({
    name,
    rules: rules.map(rule => ({ ...rule, for: '1s' })),
  }))
  // The chart's own: it always fires.
  quick.push({ name: 'general', rules: [{ alert: 'Watchdog', expr: 'vector(1)' }] as never })
  const scraped = (job_name: string, port: number) => ({
    job_name,
    honor_labels: true,
    static_configs: [{ targets: [at(port)] }],
  })
  const config = write('prometheus.yaml', {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: [write('rules.yaml', { groups: quick })],
    alerting: { alertmanagers: [{ static_configs: [{ targets: [at(ports.alertmanager)] }] }] },
    scrape_configs: [
      scraped('kube-state-metrics', ports.metrics),
      scraped('alertmanager', ports.alertmanager),
    ],
  })
  const address = `--web.listen-address=${at(ports.prometheus)}`
  start('prometheus', [`--config.file=${config}`, `--storage.tsdb.path=${join(folder, 'series')}`, address])
}

/** kube-state-metrics with our configuration: the objects of Flux. */
function startMetrics(): void {
  const config = write('states.yaml', alerts!['kube-state-metrics'].customResourceState.config)
  const listen = ['--host=127.0.0.1', `--port=${ports.metrics}`, '--telemetry-host=127.0.0.1']
  start('kube-state-metrics', [
    `--kubeconfig=${kubeconfig}`,
    `--custom-resource-state-config-file=${config}`,
    '--resources=nodes,pods',
    ...listen,
    `--telemetry-port=${ports.telemetry}`,
  ])
}

test.before(async () => {
  bed = await Bed.startInstalled({ loki: true, notifications: true })
  const building = { progress: (text: string) => console.log(text), waiting: () => {} }
  const built = await builtSets(building, ALERT_SETS)
  programs = Object.fromEntries(built.flatMap(path => readdirSync(path).map(name => [name, path] as const)))
  ports = { ...(await freePorts(NAMES)), alertmanager: bed.alertmanagerPort }
  kubeconfig = kubeconfigOf(layoutOf('sandbox'), 'flux')
  const { ca, certificate, key } = await issueServing(['127.0.0.1'])
  const authority = write('ca.pem', ca)
  mail = MailServer.start(processes, ports.mail, { cert: certificate, key })
  write('password', 'password')
  start(
    'alertmanager',
    [
      `--config.file=${write('alertmanager.yaml', alertmanagerConfig())}`,
      `--storage.path=${join(folder, 'notified')}`,
      `--web.listen-address=${at(ports.alertmanager)}`,
      '--cluster.listen-address=',
    ],
    { SSL_CERT_FILE: authority },
  )
  startMetrics()
  startPrometheus()
  bed.leadPods(9090, ports.prometheus)
  await bed.kubectl.apply(PROMETHEUS_POD)
})
test.after(async () => {
  await processes.stopAll()
  await bed?.stop()
  rmSync(folder, { recursive: true, force: true })
  if (mail) rmSync(mail.folder, { recursive: true, force: true })
})

/** The checks that did not pass, with their remedies, when there are so many. */
async function failing(many: number): Promise<TestCheck[]> {
  return until<string, TestCheck[]>(
    async () => {
      const { stdout } = await runScript('test-cluster', [
        '--only',
        'prometheus',
        '--timeout',
        '1s',
        '--json',
      ])
      const { result } = JSON.parse(stdout) as { result?: { checks: TestCheck[] } }
      const bad = result?.checks.filter(({ problem }) => problem) ?? []
      const text = bad.map(({ name, problem }) => `${name}: ${problem!.what}`).join('\n')
      return result && bad.length === many ? { done: bad } : { last: text || stdout }
    },
    { deadline: 120_000, every: 1000, describe: last => `${last}\n${said('prometheus')}` },
  )
}
const said = (name: string) => processes.log(name).slice(-1500)

interface Received {
  labels: Record<string, string>
  annotations: Record<string, string>
}
/** Waits until Alertmanager has an active alert of this name, or none. */
async function received(name: RegExp, isThere = true): Promise<Received | undefined> {
  return until<string, Received | undefined>(
    async () => {
      const answer = await fetch(`http://${at(ports.alertmanager)}/api/v2/alerts?active=true`)
      const all = (await answer.json()) as Received[]
      const found = all.find(({ labels }) => name.test(labels.alertname ?? ''))
      if (Boolean(found) === isThere) return { done: found }
      return { last: all.map(({ labels }) => JSON.stringify(labels)).join('\n') }
    },
    { deadline: 120_000, every: 500, describe: last => `${last}\n${said('alertmanager')}` },
  )
}
async function mailed(text: RegExp): Promise<void> {
  await until(
    async () => {
      const mails = mail
        .received()
        .replaceAll(/=\r?\n/g, '')
        .replaceAll('=3D', '=') // quoted-printable
      return text.test(mails) ? { done: true } : { last: mails.slice(-1500) }
    },
    { deadline: 60_000, every: 500, describe: last => `${last}\n${said('alertmanager')}` },
  )
}

/** A Kustomization whose path does not exist. */
const BROKEN = (name: string): KubeObject => ({
  apiVersion: 'kustomize.toolkit.fluxcd.io/v1',
  kind: 'Kustomization',
  metadata: { name, namespace: 'flux-system' },
  spec: {
    interval: '1h',
    path: './nowhere',
    prune: true,
    sourceRef: { kind: 'GitRepository', name: 'openappstack' },
  },
})
const remove = ({ apiVersion, kind, metadata }: KubeObject) =>
  bed.kubectl.delete({ apiVersion, kind, ...metadata })

test('our route is accepted by Alertmanager’s own tool, and leads alerts to mail', async () => {
  const tool = join(programs.amtool!, 'amtool')
  const file = join(folder, 'alertmanager.yaml')
  assert.match(await run(tool, ['check-config', file]), /SUCCESS/)
  const route = (...labels: string[]) =>
    run(tool, ['config', 'routes', 'test', `--config.file=${file}`, ...labels])
  assert.is((await route('alertname=OasDiskAlmostFull', 'severity=critical')).trim(), 'mail-true')
  assert.is((await route('alertname=Watchdog')).trim(), 'mail-false')
})

test('a healthy platform: every target answers, the rules are evaluated, nothing fires', async () => {
  await failing(0)
})

test('the dashboard asks what Prometheus understands, and sees the objects of Flux', async () => {
  const [map] = objectsIn(`${STACK}/dashboard.yaml`) as unknown as { data: Record<string, string> }[]
  const { panels } = JSON.parse(map!.data['openappstack.json']!) as {
    panels: { title: string; targets?: { expr: string }[] }[]
  }
  const queries = panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })))
  assert.ok(queries.length > 5)
  const seen: string[] = []
  for (const { title, expr } of queries) {
    const query = new URLSearchParams({ query: expr.replaceAll(/\$__(rate_)?(interval|range)/g, '5m') })
    const answer = await fetch(`http://${at(ports.prometheus)}/api/v1/query?${query}`)
    const { data, error } = (await answer.json()) as { data?: { result: unknown[] }; error?: string }
    assert.is(answer.status, 200, `${title}: ${error}`)
    if (data!.result.length > 0) seen.push(title)
  }
  console.log(`panels with data: ${seen.join(', ')}`)
})

test('what is not ready fires, reaches Alertmanager and the administrator by mail, and is told by test-cluster', async () => {
  const broken = BROKEN('not-ready')
  await bed.kubectl.apply(broken)
  const alert = await received(/^OasFluxNotReady$/)
  assert.is(alert!.labels.exported_namespace, 'flux-system')
  assert.is(alert!.annotations.runbook_url, 'runbooks/diagnose.md')
  const [told] = await failing(1)
  assert.match(told!.name, /^alert OasFluxNotReady not-ready/)
  assert.match(told!.problem!.what, 'Kustomization flux-system/not-ready is not ready.')
  assert.is(told!.problem!.fix, 'read runbooks/diagnose.md')
  await mailed(/Kustomization flux-system\/not-ready is not ready\./)
  await mailed(/runbooks\/diagnose\.md/)
  await remove(broken)
  await received(/^OasFluxNotReady$/, false)
  await mailed(/RESOLVED/)
  await failing(0)
})

test('a target that is down is told', async () => {
  await processes.stop('kube-state-metrics')
  const [told] = await failing(1)
  assert.match(told!.name, /^target kube-state-metrics 127\.0\.0\.1:/)
  assert.match(told!.problem!.what, /is down: .*connection refused/)
  startMetrics()
  await failing(0)
})

test('Flux tells at once what it could not reconcile, and the administrator gets it by mail', async () => {
  const [notifications] = objectsIn('flux2/cluster/optional/notifications.yaml')
  await bed.kubectl.apply(notifications!)
  await until<unknown, true>(
    async () => {
      const { apiVersion, kind, metadata } = notifications!
      const found = (await bed.kubectl.get({ apiVersion, kind, ...metadata }))!
      return condition(found, 'Ready')?.status === 'True' ? { done: true } : { last: found.status }
    },
    { deadline: 120_000, every: 500, describe: last => JSON.stringify(last) },
  )
  const broken = BROKEN('cannot-be-built')
  await bed.kubectl.apply(broken)
  const { labels, annotations } = (await received(/^FluxKustomization/))!
  const { severity, kind, namespace, name } = labels
  assert.equal(
    [severity, kind, namespace, name],
    ['error', 'Kustomization', 'flux-system', 'cannot-be-built'],
  )
  assert.match(annotations.message!, /nowhere: no such file/)
  assert.match(annotations.summary!, /runbooks\/diagnose\.md/)
  await mailed(/name = cannot-be-built/)
  await mailed(/nowhere: no such file/)
  await remove(broken)
})

test.run()
