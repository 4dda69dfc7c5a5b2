import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT } from '../../../lib/script/files.ts'
import { objectsIn, valuesIn } from '../../fixtures/manifests.ts'

const FOLDER = 'flux2/core/kube-prometheus-stack'

interface AlertRule {
  alert: string
  expr: string
  for: string
  labels: { severity: string }
  annotations: { summary: string; runbook_url: string }
}
const [alerts] = objectsIn(join(FOLDER, 'alerts.yaml'))
const { additionalPrometheusRulesMap } = valuesIn(alerts!) as {
  additionalPrometheusRulesMap: { openappstack: { groups: { rules: AlertRule[] }[] } }
}
const rules = additionalPrometheusRulesMap.openappstack.groups.flatMap(group => group.rules)

test('every alert says what is wrong, how bad that is, and the page that says what to do', () => {
  assert.ok(rules.length >= 8)
  for (const { alert, expr, for: wait, labels, annotations } of rules) {
    assert.match(alert, /^Oas[A-Z]\w+$/)
    assert.match(labels.severity, /^(warning|critical)$/)
    assert.match(wait, /^\d+[mh]$/)
    assert.match(annotations.summary, /\.$|evicted\.$/)
    assert.ok(existsSync(join(ROOT, annotations.runbook_url)), `${alert}: ${annotations.runbook_url}`)
    assert.is(expr.split('(').length, expr.split(')').length, alert)
  }
  assert.is(new Set(rules.map(({ alert }) => alert)).size, rules.length)
})

test('alerts of backups name the page, too', () => {
  const [velero] = objectsIn('flux2/apps/velero/values.yaml')
  const { metrics } = valuesIn(velero!) as { metrics: { prometheusRule: { spec: AlertRule[] } } }
  assert.ok(metrics.prometheusRule.spec.length >= 6)
  for (const { alert, annotations } of metrics.prometheusRule.spec)
    assert.ok(existsSync(join(ROOT, annotations.runbook_url)), `${alert}: ${annotations.runbook_url}`)
})

test('no rule and no panel has a variable that Flux would take for its own', () => {
  for (const file of ['alerts.yaml', 'dashboard.yaml'])
    assert.not.match(readFileSync(join(ROOT, FOLDER, file), 'utf8'), /\$\{|\$\$/)
})

test('what Flux has installed is told as metrics: every kind that the rule of Flux is about may be read', () => {
  const values = valuesIn(alerts!) as {
    'kube-state-metrics': {
      rbac: { extraRules: { apiGroups: string[]; resources: string[] }[] }
      customResourceState: {
        config: { spec: { resources: { groupVersionKind: { group: string; kind: string } }[] } }
      }
    }
  }
  const { rbac, customResourceState } = values['kube-state-metrics']
  for (const { groupVersionKind } of customResourceState.config.spec.resources) {
    const plural = groupVersionKind.kind.toLowerCase().replace(/y$/, 'ie')
    assert.ok(
      rbac.extraRules.some(
        ({ apiGroups, resources }) =>
          apiGroups.includes(groupVersionKind.group) && resources.includes(`${plural}s`),
      ),
      groupVersionKind.kind,
    )
  }
})

test('the dashboard is JSON that Grafana reads, and its panels do not cover each other', () => {
  const [map] = objectsIn(join(FOLDER, 'dashboard.yaml'))
  assert.is(map!.metadata.labels!.grafana_dashboard, '1')
  const { panels, uid, title } = JSON.parse(map!.data['openappstack.json']) as {
    uid: string
    title: string
    panels: {
      id: number
      gridPos: { x: number; y: number; w: number; h: number }
      targets: { expr: string }[]
    }[]
  }
  assert.equal([uid, title], ['openappstack', 'OpenAppStack'])
  assert.is(new Set(panels.map(({ id }) => id)).size, panels.length)
  const places = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, i) => `${x + (i % w)} ${y + Math.floor(i / w)}`),
  )
  assert.is(new Set(places).size, places.length)
  for (const { targets } of panels) for (const { expr } of targets) assert.ok(expr.length > 0)
})

test.run()
