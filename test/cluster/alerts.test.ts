/** The rules of flux2, evaluated by Prometheus' own tool on series that were chosen for them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { dump } from 'js-yaml'
import * as assert from 'uvu/assert'
import { runLocal } from '../../lib/script/programs.ts'
import { builtSets } from '../bed/build/build.ts'
import { RULE_SETS } from '../bed/build/programs.ts'
import { objectsIn, valuesIn } from '../fixtures/manifests.ts'
import { suite } from '../suite.ts'

const test = suite('alerts')
const folder = mkdtempSync(join(tmpdir(), 'oas-rules-'))
let promtool: string

interface Rule {
  alert: string
  labels: Record<string, string>
  annotations: Record<string, string>
}
const [alerts] = objectsIn('flux2/core/kube-prometheus-stack/alerts.yaml')
const { groups } = (
  valuesIn(alerts!) as {
    additionalPrometheusRulesMap: { openappstack: { groups: { name: string; rules: Rule[] }[] } }
  }
).additionalPrometheusRulesMap.openappstack
const [velero] = objectsIn('flux2/apps/velero/values.yaml')
const { metrics } = valuesIn(velero!) as { metrics: { prometheusRule: { spec: Rule[] } } }
groups.push({ name: 'velero', rules: metrics.prometheusRule.spec })
const rules = groups.flatMap(group => group.rules)

test.before(async () => {
  const [built] = await builtSets({ progress: text => console.log(text), waiting: () => {} }, RULE_SETS)
  promtool = join(built!, 'promtool')
  writeFileSync(join(folder, 'rules.yaml'), dump({ groups }))
})
test.after(() => rmSync(folder, { recursive: true, force: true }))

/** Series, one value a minute, and what fires at a time; nothing where `fires` is left out. */
interface Case {
  alert: string
  series: Record<string, string>
  at: string
  fires?: Record<string, string>
}
const DISK = 'device="sda1", fstype="ext4", instance="oas", mountpoint="/"'
const disk = { device: 'sda1', fstype: 'ext4', instance: 'oas', mountpoint: '/' }
const avail = `node_filesystem_avail_bytes{${DISK}}`
const size = `node_filesystem_size_bytes{${DISK}}`
const ends = 'certmanager_certificate_expiration_timestamp_seconds{name="sso"}'
const ready = 'certmanager_certificate_ready_status{name="sso", condition="False"}'
const flux = (labels: string) =>
  `gotk_resource_info{customresource_kind="HelmRelease", exported_namespace="oas", name="loki"${labels}}`
const fluxed = { customresource_kind: 'HelmRelease', exported_namespace: 'oas', name: 'loki', ready: 'False' }
const restarts = 'kube_pod_container_status_restarts_total{namespace="oas", pod="x"}'
const pressure = 'kube_node_status_condition{node="oas", condition="DiskPressure", status="true"}'
const mail = 'alertmanager_notifications_failed_total{integration="email"}'
const status = 'velero_backup_last_status{schedule="nightly"}'
const success = 'velero_backup_last_successful_timestamp{schedule="nightly"}'
const up = 'up{namespace="velero", service="velero"}'
const configMap = (name: string) => `kube_configmap_created{namespace="velero", configmap="${name}"}`

const CASES: readonly Case[] = [
  {
    alert: 'OasDiskFullInFourDays',
    series: { [avail]: '30-0.01x600', [size]: '100x600' },
    at: '9h',
    fires: disk,
  },
  { alert: 'OasDiskFullInFourDays', series: { [avail]: '30x600', [size]: '100x600' }, at: '9h' },
  { alert: 'OasDiskFullInFourDays', series: { [avail]: '90-0.02x600', [size]: '100x600' }, at: '9h' },
  { alert: 'OasDiskAlmostFull', series: { [avail]: '9x60', [size]: '100x60' }, at: '30m', fires: disk },
  { alert: 'OasDiskAlmostFull', series: { [avail]: '11x60', [size]: '100x60' }, at: '30m' },
  {
    alert: 'OasCertificateEndsSoon',
    series: { [ends]: `${10 * 86_400}x120` },
    at: '90m',
    fires: { name: 'sso' },
  },
  { alert: 'OasCertificateEndsSoon', series: { [ends]: `${30 * 86_400}x120` }, at: '90m' },
  {
    alert: 'OasCertificateNotReady',
    series: { [ready]: '1x120' },
    at: '90m',
    fires: { name: 'sso', condition: 'False' },
  },
  { alert: 'OasCertificateNotReady', series: { [ready]: '1x10 0x110' }, at: '90m' },
  { alert: 'OasFluxNotReady', series: { [flux(', ready="False"')]: '1x60' }, at: '40m', fires: fluxed },
  { alert: 'OasFluxNotReady', series: { [flux(', ready="True"')]: '1x60' }, at: '40m' },
  { alert: 'OasFluxNotReady', series: { [flux(', ready="False", suspended="true"')]: '1x60' }, at: '40m' },
  {
    alert: 'OasPodKeepsCrashing',
    series: { [restarts]: '0+0.2x120' },
    at: '90m',
    fires: { namespace: 'oas', pod: 'x' },
  },
  { alert: 'OasPodKeepsCrashing', series: { [restarts]: '7x120' }, at: '90m' },
  {
    alert: 'OasNodePressure',
    series: { [pressure]: '1x20' },
    at: '10m',
    fires: { node: 'oas', condition: 'DiskPressure', status: 'true' },
  },
  { alert: 'OasNodePressure', series: { [pressure]: '0x20' }, at: '10m' },
  { alert: 'OasMailFails', series: { [mail]: '0x10 1+1x60' }, at: '60m', fires: { integration: 'email' } },
  { alert: 'OasMailFails', series: { [mail]: '3x70' }, at: '60m' },
  { alert: 'BackupFailed', series: { [status]: '0x60' }, at: '30m', fires: { schedule: 'nightly' } },
  { alert: 'BackupFailed', series: { [status]: '1x60' }, at: '30m' },
  { alert: 'VeleroDown', series: { [up]: '0x60' }, at: '40m', fires: {} },
  { alert: 'VeleroDown', series: { [up]: '1x60' }, at: '40m' },
  { alert: 'NoBackupYet', series: { [up]: '1x2000' }, at: '31h', fires: {} },
  { alert: 'NoBackupYet', series: { [success]: '1x2000' }, at: '31h' },
  { alert: 'NoRecentBackup', series: { [success]: '0x2000' }, at: '31h', fires: { schedule: 'nightly' } },
  { alert: 'NoRecentBackup', series: { [success]: '90000x2000' }, at: '31h' },
  { alert: 'BackupNotProved', series: { [up]: '1x200' }, at: '2h', fires: {} },
  { alert: 'BackupNotProved', series: { [configMap('oas-backup-proof')]: '0x200' }, at: '2h' },
  { alert: 'RestoreNotTried', series: { [up]: '1x10300' }, at: '170h', fires: {} },
  { alert: 'RestoreNotTried', series: { [configMap('oas-restore-drill')]: '0x10300' }, at: '170h' },
]

test('every rule fires when it has to, and only then', async () => {
  const file = join(folder, 'series.yaml')
  writeFileSync(
    file,
    dump({
      rule_files: ['rules.yaml'],
      evaluation_interval: '1m',
      tests: CASES.map(({ alert, series, at, fires }) => {
        const rule = rules.find(each => each.alert === alert)!
        const filled = (text: string) =>
          text.replaceAll(/\{\{ \$labels\.(\w+) \}\}/g, (_, label) => fires?.[label] ?? '')
        const annotations = Object.fromEntries(
          Object.entries(rule.annotations).map(([name, text]) => [name, filled(text)]),
        )
        const expected = { exp_labels: { ...fires, ...rule.labels }, exp_annotations: annotations }
        return {
          interval: '1m',
          input_series: Object.entries(series).map(([series, values]) => ({ series, values })),
          alert_rule_test: [{ eval_time: at, alertname: alert, exp_alerts: fires ? [expected] : [] }],
        }
      }),
    }),
  )
  const checked = await runLocal([promtool, 'check', 'rules', join(folder, 'rules.yaml')], {
    timeout: 600_000,
  })
  assert.ok(checked.ok, `${checked.stdout}${checked.stderr}`)
  const tested = await runLocal([promtool, 'test', 'rules', file], { timeout: 600_000 })
  assert.ok(tested.ok, `${tested.stdout}${tested.stderr}`)
})

test('no rule is without its series', () => {
  for (const { alert } of rules) {
    assert.ok(
      CASES.some(each => each.alert === alert && each.fires),
      alert,
    )
    assert.ok(
      CASES.some(each => each.alert === alert && !each.fires),
      alert,
    )
  }
})

test.run()
